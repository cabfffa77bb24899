"""The hosts at which Thunderbird can log in with OAuth2."""

from __future__ import annotations

# OAuth2Providers.sys.mjs of Thunderbird 153.8, which has no others: the mail hosts in its
# table `kHostnames`, each of which includes the names below it.
_HOSTS = (
    *("gmail.com", "googlemail.com", "office365.com", "outlook.com", "hotmail.com"),
    *("yahoo.com", "att.net", "aol.com", "thundermail.com"),
    *("imap.fastmail.com", "pop.fastmail.com", "smtp.fastmail.com"),
    *("imap.comcast.net", "pop.comcast.net", "smtp.comcast.net"),
    *("imap.mail.ru", "smtp.mail.ru", "imap.yandex.com", "smtp.yandex.com"),
)


def is_known(host: str | None) -> bool:
    """Return whether Thunderbird can use OAuth2 at a host."""
    name = f".{(host or '').strip().lower()}"
    return name.endswith(tuple(f".{known}" for known in _HOSTS))
