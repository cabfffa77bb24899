"""Validates single values. Each function returns the value as it will be served.

Each raises ValueError with two arguments: the message and the cure.
"""

import re
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from urllib.parse import quote as encoded

from ..address import CONTROL, PLACEHOLDERS, fold, is_ip, parse_address
from ..cleaning import clean

_PLACEHOLDER = re.compile(r"%([A-Za-z][A-Za-z_]*)%")
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# The scheme, the host, the port with its colon, and the rest of a URL.
_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]+\]|[^/?#:@\s<>\"{}|\\^`\[\]]+)"
    r"((?::[0-9]{1,5})?)((?:[/?#][^\s<>\"{}|\\^`]*)?)"
)
_URL_LOGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s]*@")
_WITHOUT_SCHEME = re.compile(r"(?:[\w-]+\.)+[A-Za-z][\w-]*(?:/\S*)?")
_LONGEST_LINE = 2000  # characters; browsers and servers take such URLs
_LONGEST_PATTERN = 255  # characters, since glob recurses for each folder
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_COLOUR = re.compile(r"#(?:[0-9a-f]{3}|[0-9a-f]{6})")


def quote(value: object) -> str:
    """Return a value as TOML spells it, cut to fit into a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 300:
        return "a number of very many digits"  # which Python refuses to format
    text = f'"{clean(value[:80])}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "…" + text[-1]


def _unexpected(expected: str, value: str, cure: str) -> ValueError:
    return ValueError(f"expected {expected}, got {quote(value)}", cure)


def line(value: str, max_length: int = _LONGEST_LINE) -> str:
    if len(value) > max_length:
        message = f"it has {len(value)} characters, more than {max_length}"
        raise ValueError(message, "shorten it")
    if control := CONTROL.search(value):
        message = f"it contains a control character (U+{ord(control[0]):04X})"
        raise ValueError(message, "remove it")
    if not value.strip():
        raise ValueError("it is empty", "give it a value or remove the key")
    if value != value.strip():
        # Evolution and Kontact save it with the white space.
        cure = f"write {quote(value.strip())}"
        raise ValueError(f"white space around {quote(value)}", cure)
    return value


def prose(value: str) -> str:
    """Return text for people, with one space for each run of white space."""
    return line(" ".join(value.split()), sys.maxsize)


def placeholder_text(value: str) -> str:
    """Return a line; the placeholders in it must be ones that clients know."""
    for match in _PLACEHOLDER.finditer(line(value)):
        _check_placeholder(match[0])
    return value


def _check_placeholder(text: str) -> None:
    if text in PLACEHOLDERS:
        return
    if text.upper() in PLACEHOLDERS:
        raise ValueError(f"{text} is not in capitals", f"write {text.upper()}")
    from .explain.hints import placeholder_cure

    known = f"{', '.join(PLACEHOLDERS[:-1])} and {PLACEHOLDERS[-1]}"
    message = f"no client knows the placeholder {text}, only {known}"
    raise ValueError(message, placeholder_cure(text))


def host_name(value: str) -> str:
    return _around_placeholders(placeholder_text(value), _fold)


def _around_placeholders(value: str, fold_: Callable[[str], str]) -> str:
    """Fold a name, and leave the placeholders in it as they are."""
    if "%" not in value:
        return fold_(value)
    names = {placeholder: f"x{n}q9x" for n, placeholder in enumerate(PLACEHOLDERS)}
    folded = fold_(_PLACEHOLDER.sub(lambda match: names.get(match[0], "%"), value))
    return re.sub("x([0-9])q9x", lambda match: PLACEHOLDERS[int(match[1])], folded)


def _fold(value: str) -> str:
    if is_ip(value):
        return value.lower()
    try:
        return fold(value)
    except ValueError:
        from .explain.hints import no_host

        raise _unexpected("a host name", value, no_host(value)) from None


def exact_domain(value: str) -> str:
    if value.startswith("*"):
        raise _unexpected("a domain", value, 'write one like "example.com"')
    return domain_pattern(value)


def file_pattern(value: str) -> str:
    """Return a pattern of files with `*`, `?` and `[…]`, as in a shell."""
    if "**" in line(value, _LONGEST_PATTERN):
        raise ValueError(
            f"{quote(value)} contains **, which would match every folder below",
            'write one * for each folder, as in "brands/*/*.toml"',
        )
    return value


def domain_pattern(value: str) -> str:
    """Return a domain, `*.example.com` or `*`, folded."""
    if line(value) == "*":
        return value
    star, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    if not is_ip(name):
        with suppress(ValueError):
            return star + fold(name)
    from .explain.hints import no_domain

    raise ValueError(*no_domain(value))


def identifier(value: str) -> str:
    """Return an id; Thunderbird and K-9 drop a file whose id is not a host name."""
    return value if line(value) == "%EMAILDOMAIN%" else _fold(value)


def url(value: str, schemes: tuple[str, ...] = ("https", "http")) -> str:
    """Return an absolute https or http URL in ASCII: A-labels and percent-encoding.

    Pages and clients follow it, and another scheme could run a script or open a file.
    """
    if _URL_LOGIN.match(value):  # the message does not repeat it
        raise ValueError(
            "a user name or password in the URL would be published",
            "remove what stands between // and @",
        )
    for placeholder in _PLACEHOLDER.finditer(_PERCENT_ENCODED.sub("/", line(value))):
        _check_placeholder(placeholder[0])
    cure = "write one like https://www.example.com/"
    if _WITHOUT_SCHEME.fullmatch(value):
        cure = f"write {quote('https://' + value)}"
    error = _unexpected("an https URL", value, cure)
    match = _URL.fullmatch(value)
    if not match or match[1].lower() not in schemes:
        raise error
    scheme, host, port, rest = match.groups()
    try:
        name = host if is_ip(host.strip("[]")) else _around_placeholders(host, fold)
    except ValueError:
        raise error from None
    if port and not 0 < int(port[1:]) < 65536:
        raise error
    # The mapping of an IRI (RFC 3987, section 3.1), since headers are ASCII.
    rest = _BEYOND_ASCII.sub(lambda text: encoded(text[0]), rest)
    return f"{scheme.lower()}://{host if host.isascii() else name}{port}{rest}"


def issuer(value: str) -> str:
    """Return an issuer: a host name, or an https URL that clients compare literally.

    It has no query and no fragment (RFC 8414, section 2).
    """
    cure = 'write one like "login.example.com" or "https://login.example.com/mail"'
    if "://" not in line(value):
        try:
            return fold(value)
        except ValueError:
            raise _unexpected("a host name or https URL", value, cure) from None
    result = url(value, ("https",))
    if re.search("[?#%]|//", result.removeprefix("https://")):
        raise _unexpected("an issuer", value, cure)
    return result


def colour(value: str) -> str:
    """Return an HTML colour as `#rrggbb` in lower case."""
    text = line(value).lower()
    if not _COLOUR.fullmatch(text):
        raise _unexpected("a colour", value, 'write one like "#1456b8"')
    return text if len(text) == 7 else "#" + "".join(2 * digit for digit in text[1:])


def language_tag(value: str) -> str:
    """Return a language tag (RFC 5646), or "" for text in no particular language."""
    if not re.fullmatch("(?:[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)?", value):
        raise _unexpected("a language", value, 'write one like "en" or "pt-BR"')
    return value


service_url = partial(url, schemes=("https", "http", "wss"))  # wss: XMPP, RFC 7395


def email(value: str) -> str:
    try:
        parse_address(line(value))
    except ValueError:
        cure = 'write one like "help@example.com"'
        raise _unexpected("an e-mail address", value, cure) from None
    return value
