"""What to write instead: other programs' names for our keys, tables and values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .foreign import ADDRESS, login_for
from .values import bare_host, quote

# Our key, and what other programs and people call it.
_CALLED = {
    "socket_type": "ssl tls starttls usessl usetls usestarttls enablessl enabletls "
    "enablestarttls ssltls secure security encryption encrypted connection "
    "connectionsecurity connectiontype transport socket ssltype tlsmode sslmode "
    "encryptiontype cryptotype",
    "hostname": "server host address servername serveraddress mailserver mailhost "
    "imapserver popserver pop3server smtpserver imaphost pophost pop3host smtphost fqdn "
    "ip ipaddress hosts hostnames servers incomingserver outgoingserver",
    "username": "user login loginname account accountname email emailaddress uid userid "
    "usernameformat",
    "authentication": "auth authmethod authtype authmechanism authentificate "
    "authenticationmethod authenticationtype mechanism mechanisms method methods sasl "
    "saslmechanism loginmethod passwordtype authentification",
    "type": "protocol proto kind service scheme servertype incomingtype outgoingtype",
    "port": "ports portnumber tcpport imapport popport pop3port smtpport",
    "url": "uri link href endpoint baseurl davurl",
    "domains": "domain domainname domainnames maildomain maildomains emaildomain zone "
    "realm alias aliases email emails",
    "display_name": "name title providername company organisation organization label",
    "display_short_name": "shortname short abbreviation",
    "domains_file": "domainfile domainlist domainsfrom",
    "mx_domains": "mx mxhost mxhosts mxdomain mxrecord",
    "logo_url": "logo icon image picture logourl iconurl",
    "max_age": "ttl cache cachemaxage maxcacheage expires lifetime refresh",
    "include": "includes import imports includedir",
    "clients": "client families family formats protocols services",
    "login_page": "url loginurl loginpage webmail page link",
}
_OURS: dict[str, list[str]] = {}
for _key, _names in _CALLED.items():
    for _name in _names.split():
        _OURS.setdefault(_name, []).append(_key)
_PASSWORDS = frozenset(("password", "pass", "passwd", "pwd", "pw", "passphrase"))
# What people head a table with, and the server that they mean.
_SERVERS = {
    "imap": ("incoming", "imap"),
    "imaps": ("incoming", "imap"),
    "imap4": ("incoming", "imap"),
    "pop": ("incoming", "pop3"),
    "pop3": ("incoming", "pop3"),
    "pop3s": ("incoming", "pop3"),
    "jmap": ("incoming", "jmap"),
    "ews": ("incoming", "ews"),
    "activesync": ("incoming", "activesync"),
    "exchange": ("incoming", "exchange"),
    "incomingserver": ("incoming", "imap"),
    "incomingmail": ("incoming", "imap"),
    "inbound": ("incoming", "imap"),
    "receiving": ("incoming", "imap"),
    "smtp": ("outgoing", "smtp"),
    "smtps": ("outgoing", "smtp"),
    "submission": ("outgoing", "smtp"),
    "outgoingserver": ("outgoing", "smtp"),
    "outgoingmail": ("outgoing", "smtp"),
    "outbound": ("outgoing", "smtp"),
    "sending": ("outgoing", "smtp"),
    "caldav": ("calendar", "caldav"),
    "carddav": ("address_book", "carddav"),
    "contacts": ("address_book", "carddav"),
    "webdav": ("file_share", "webdav"),
    "xmpp": ("chat", "xmpp"),
    "jabber": ("chat", "xmpp"),
}
_GENERAL = frozenset(
    [
        "general",
        "default",
        "defaults",
        "global",
        "globals",
        "main",
        "config",
        "configuration",
        "settings",
        "autoconfig",
        "options",
        "server",
    ]
)
# Values by their other names; the first that the key takes is meant.
_VALUES = {
    "socket_type": {
        "SSL": "tls ssl/tls tls/ssl ssltls ssl tls1.2 tls1.3 tlsv1.2 tlsv1.3 implicit "
        "implicit-tls tls-on-connect on yes true secure encrypted always required https "
        "imaps pop3s smtps",
        "STARTTLS": "starttls start-tls stls start_tls explicit explicit-tls "
        "opportunistic tls-if-available upgrade",
        "plain": "none no off false clear cleartext unencrypted nossl plaintext never "
        "http insecure",
    },
    "authentication": {
        "password-cleartext": "plain login password normal normal-password cleartext "
        "clear-text plaintext passwd password-plain plain-text basic plain-login auto "
        "any default yes true password-normal on",
        "password-encrypted": "cram-md5 cram_md5 crammd5 digest-md5 md5 secure encrypted "
        "encrypted-password apop",
        "OAuth2": "xoauth2 oauth oauthbearer modern modern-auth oauth-2.0 oauth2.0 oidc",
        "GSSAPI": "kerberos kerberos5 krb5 gss",
        "NTLM": "spa windows",
        "TLS-client-cert": "external certificate client-cert client-certificate tls-cert",
        "none": "no off false anonymous",
        "http-basic": "http basic-auth",
        "http-digest": "digest",
    },
    "type": {
        "imap": "imaps imap4 imap4rev1 imap/ssl imap-ssl imap+ssl",
        "pop3": "pop pops pop3s pop-3 pop3/ssl",
        "smtp": "smtps esmtp submission submissions lmtp smtp/ssl smtp-ssl msa mta",
        "activesync": "eas mobilesync",
    },
    "clients": {
        "apple": "ios mobileconfig macos iphone",
        "outlook": "autodiscover microsoft exchange",
        "thunderbird": "autoconfig mozilla",
        "dav": "caldav carddav",
    },
}
_ALL = frozenset(["all", "any", "every", "everything", "everybody", "*", "default"])
_OF_SERVERS = {
    "caldav": "calendar",
    "carddav": "address_book",
    "webdav": "file_share",
    "xmpp": "chat",
}


class Hint(NamedTuple):
    """What to write, and the key of the table that was meant, "" for none of its own."""

    cure: str
    key: str = ""


def plain(name: str) -> str:
    """A name without what people put between its words."""
    return re.sub(r"[\s_.-]", "", name.lower())


def for_key(key: str, raw: Mapping[str, Any], known: Iterable[str]) -> Hint | None:
    """What to write for a key that a raw table does not know, None for no hint.

    `known` are the keys that it knows.
    """
    value, name = raw[key], plain(key)
    if name in _PASSWORDS:
        return Hint("remove it: everybody can read this, and clients ask for it")
    if is_tables(value):
        return _for_table(key, value, top="provider" in known)
    for ours in _OURS.get(name, ()):
        if ours in known:
            if ours in raw:
                return Hint(f"remove it: {ours} is there", ours)
            return Hint(f"write {ours} = {_value_for(ours, key, raw)}", ours)
    return None


def elsewhere(
    key: str, raw: Mapping[str, Any], homes: Mapping[str, Iterable[str]]
) -> str:
    """The cure for a key that belongs into another table by another name, or "".

    `homes` are the tables by their heading, each with its keys.
    """
    for ours in _OURS.get(plain(key), ()):
        for heading, keys in homes.items():
            if ours in keys:
                return f"write {ours} = {_value_for(ours, key, raw)} in {heading}"
    return _domain_heading(key, raw[key]) if isinstance(raw[key], dict) else ""


def is_tables(value: Any) -> bool:
    """Whether a raw value is a table, or a list with one in it."""
    items = value if isinstance(value, list) else [value]
    return any(isinstance(it, dict) for it in items)


def _for_table(key: str, value: Any, top: bool) -> Hint | None:
    below = ", below its [[provider]]" if top else ""
    if plain(key) in _SERVERS and not _is_pop3_options(key, value):
        home, type_ = _SERVERS[plain(key)]
        tables = value if isinstance(value, list) else [value]
        named = all("type" in it for it in tables if isinstance(it, dict))
        more = "" if named else f', and write type = "{type_}"'
        return Hint(f"head it [[provider.{home}]]{below}{more}", "" if top else home)
    if plain(key) in ("server", "servers", "mailserver", "mail") and not (
        top and isinstance(value, dict)
    ):
        return Hint(f"head it [[provider.incoming]] or [[provider.outgoing]]{below}")
    if top and isinstance(value, dict) and plain(key) in _GENERAL:
        return Hint("write its keys at the top of the file, without this heading")
    return None


def _is_pop3_options(key: str, value: Any) -> bool:
    hosts = ("hostname", "host", "server")
    return key == "pop3" and not any(it in value for it in hosts)


def _domain_heading(key: str, value: Any) -> str:
    """What to write for a domain that heads a table."""
    labels = [key]
    while isinstance(value, dict) and len(value) == 1 and "." not in key:
        label, value = next(iter(value.items()))
        if not isinstance(value, dict):
            break
        labels.append(label)
    name = ".".join(labels)
    if "." in name and bare_host(name) == name.lower():
        return f'write [[provider]], and domains = ["{name}"] below it'
    return ""


def _value_for(ours: str, key: str, raw: Mapping[str, Any]) -> str:
    """The value for our key, of what stands in the table for theirs."""
    value = raw[key]
    if ours == "socket_type":
        return f'"{socket_type(value, key, raw.get("port"))}"'
    if ours == "authentication":
        first = value[0] if isinstance(value, list) and value else value
        return f'"{synonym("authentication", first) or "password-cleartext"}"'
    if ours == "type":
        return f'"{synonym("type", value) or "imap"}"'
    if ours == "username":
        return quote(login_for(value) if isinstance(value, str) else ADDRESS)
    if ours == "hostname":
        first = value[0] if isinstance(value, list) and value else value
        host = bare_host(first) if isinstance(first, str) else ""
        return quote(host or "mail.example.com")
    if ours == "port":
        number = re.search(r"\d+", quote(value))
        return number[0][:5] if number else "993"
    if ours in ("domains", "mx_domains", "include", "clients"):
        return listed(value)
    if isinstance(value, bool | int) and ours == "max_age":
        return quote(int(value))
    return quote(value) if isinstance(value, str) else '"…"'


def for_all(key: str, value: Any) -> str:
    """The cure for a list of clients that is meant to name all of them, or ""."""
    if key != "clients" or not isinstance(value, str) or value.lower() not in _ALL:
        return ""
    return "remove the key: without it all are served, but ispdb"


def in_one_text(key: str, value: list[Any]) -> str:
    """The text that is meant by a list, for a key whose text holds several words, or ""."""
    if key != "scope" or not all(isinstance(it, str) for it in value):
        return ""
    return f"write {key} = {quote(' '.join(value))}"


def listed(value: Any) -> str:
    """The list that is meant by one text, or by several in one."""
    words = value if isinstance(value, list) else [value]
    if isinstance(value, str):
        words = re.split(r"[\s,;]+", value)
    texts = [quote(it.partition("@")[2] or it) for it in words if isinstance(it, str)]
    texts = [it for it in texts if it != '""']
    if not texts:
        return '["…"]'
    return f"[{', '.join(texts[:3])}{', …' if len(texts) > 3 else ''}]"


def socket_type(value: Any, key: str = "", port: Any = None) -> str:
    """The encryption that is meant by a key of this name and its value."""
    said = synonym("socket_type", "yes" if value is True else value)
    if isinstance(value, bool | int) and not value:
        return "STARTTLS" if "starttls" not in plain(key) else "SSL"
    if said == "plain":
        return said
    if port in (143, 110, 587, 25) or (
        "starttls" in plain(key) and said in ("SSL", None)
    ):
        return "STARTTLS"
    return said or "SSL"


def synonym(key: str, value: Any, words: Iterable[str] = ()) -> str | None:
    """The word of ours for another program's value of a key, None for no such word.

    `words` are those that the key takes here, if not all.
    """
    if not isinstance(value, str):
        return None
    known = _VALUES.get(key, {})
    given = re.sub(r"[\s_]+", "-", "/".join(map(str.strip, value.lower().split("/"))))
    taken = set(words)
    for word, others in known.items():
        meant = given == word.lower() or given in others.split()
        if meant and (not taken or word in taken):
            return word
    return next((word for word in taken if given == word.lower()), None)


def for_type(value: str, key: str) -> str | None:
    """Where a server of that type belongs, for one that stands in another's table."""
    home = _SERVERS.get(plain(value), ("", ""))[0] or _OF_SERVERS.get(value.lower(), "")
    if home and home != key:
        return f"head this server [[provider.{home}]]"
    return None
