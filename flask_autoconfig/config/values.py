"""What one value must keep. Each function gives the value as it will be served.

Each raises ValueError with two arguments: what is wrong, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote as encoded
from urllib.parse import urlsplit, urlunsplit

from ..address import CONTROL, PLACEHOLDERS, fold, is_ip
from ..cleaning import clean

_PLACEHOLDER = re.compile(r"%([A-Za-z][A-Za-z_]*)%")
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s<>\"{}|\\^`]+")
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*:?//")
_PORT = re.compile(r"(?<![:0-9]):([0-9]{1,5})(?=/|$)")
_WITHOUT_SCHEME = re.compile(r"(?:[\w-]+\.)+[A-Za-z][\w-]*(?:/\S*)?")
_LONGEST_LINE = 2000  # characters, as browsers and servers take of a URL
_LONGEST_PATTERN = 255  # characters; glob calls itself for each folder
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


def quote(value: object) -> str:
    """The value as the file would spell it, cut to what fits a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, int) and value.bit_length() > 300:
        return "a number of very many digits"  # which Python refuses to write out
    text = f'"{clean(value[:80])}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "…" + text[-1]


def line(value: str, most: int = _LONGEST_LINE) -> str:
    """One line of text, of so many characters at most."""
    if len(value) > most:
        message = f"it has {len(value)} characters, more than {most}"
        raise ValueError(message, "shorten it")
    return _text(value)


def _text(value: str) -> str:
    control = CONTROL.search(value)
    if control:
        raise ValueError(
            f"a control character (U+{ord(control[0]):04X}) in it", "remove it"
        )
    if not value.strip():
        raise ValueError("it is empty", "give it a value or remove the key")
    if value != value.strip():
        # Evolution and Kontact save it with the white space.
        raise ValueError(
            f"white space around {quote(value)}", f"write {quote(value.strip())}"
        )
    return value


def prose(value: str) -> str:
    """A text for people: as in HTML, a run of white space is one space."""
    return _text(" ".join(value.split()))


def placeholder_text(value: str) -> str:
    """A line in which the placeholders, if any, are ones that clients know."""
    for match in _PLACEHOLDER.finditer(line(value)):
        _check_placeholder(match[0])
    return value


def _check_placeholder(found: str) -> None:
    if found in PLACEHOLDERS:
        return
    if found.upper() in PLACEHOLDERS:
        raise ValueError(f"{found} is not in capitals", f"write {found.upper()}")
    from .foreign import LOCAL_PART, meaning_of, translated

    cure = f"use {_or(PLACEHOLDERS)}"
    if meaning_of(found.strip("%")):
        cure = f"write {translated(found)}"
        if meaning_of(found.strip("%")) == LOCAL_PART != translated(found):
            cure += f", or {LOCAL_PART} for what stands before the @"
    raise ValueError(f"no client knows the placeholder {found}", cure)


def _or(words: tuple[str, ...]) -> str:
    return ", ".join(words[:-1]) + " or " + words[-1]


def host_name(value: str) -> str:
    """A host name, folded; placeholders may stand in it."""
    return _around_placeholders(placeholder_text(value), _fold)


def _around_placeholders(value: str, fold_: Callable[[str], str]) -> str:
    """Fold a name with a stand-in for each placeholder, and put those back."""
    if "%" not in value:
        return fold_(value)
    found = [match[0] for match in _PLACEHOLDER.finditer(value)]
    numbers = iter(range(len(found)))
    folded = fold_(_PLACEHOLDER.sub(lambda _: f"x{next(numbers)}q9x", value))
    for number, placeholder in enumerate(found):
        folded = folded.replace(f"x{number}q9x", placeholder)
    return folded


def _fold(value: str) -> str:
    if is_ip(value):
        return value.lower()
    try:
        return fold(value)
    except ValueError:
        message = f"expected a host name, got {quote(value)}"
        raise ValueError(message, _host_cure(value)) from None


def _host_cure(value: str) -> str:
    if bare_host(value):
        port = _PORT.search(value)
        return f"write {quote(bare_host(value))}" + (
            f", and port = {port[1]}" if port else ""
        )
    from .foreign import ADDRESS, theirs_in, translated

    ours = translated(value)
    if theirs_in(value) and ADDRESS in ours:  # of something that we have no word for
        return "write the real name here, as mail.example.com: nothing fills it in"
    if theirs_in(value) and not re.search("[^A-Za-z0-9.%-]", ours):
        return f"write {quote(ours)}"
    if "_" in value and re.fullmatch(r"[\w.-]+", value):
        return "write it as the DNS has it: there is no _ in a host name"
    return "write a name like mail.example.com, without a scheme, port or space"


def bare_host(value: str) -> str:
    """The host name in a URL, an address or `host:port`; "" where there is none."""
    authority = re.split("[/?#]", _SCHEME.sub("", value.strip()), maxsplit=1)[0]
    name = _PORT.sub("", authority.rpartition("@")[2]).strip("[]\"'<>")
    try:
        return name.lower() if is_ip(name) else fold(name)
    except ValueError:
        return ""


def exact_domain(value: str) -> str:
    """A domain by its name, folded."""
    if "*" in value or "%" in value:
        raise ValueError(
            f"expected a domain, got {quote(value)}", 'write one like "example.com"'
        )
    return domain_pattern(value)


def file_pattern(value: str) -> str:
    """A pattern of files as a shell has them: `*`, `?` and `[…]` stay in one folder."""
    if "**" in line(value, _LONGEST_PATTERN):
        raise ValueError(
            f"{quote(value)} is no pattern here: ** would be every folder below",
            'write one * for each folder, as "brands/*.toml" or "brands/*/*.toml"',
        )
    return value


def domain_pattern(value: str) -> str:
    """A domain, `*.example.com` or `*`, folded."""
    if line(value) == "*":
        return value
    star, name = ("*.", value[2:]) if value.startswith("*.") else ("", value)
    first, *others = map(str.strip, re.split("[,;]", value))
    hosts = list(map(bare_host, filter(None, (first, *others))))
    if others and all(hosts):
        cure = f"write {', '.join(map(quote, hosts))}"
        raise ValueError(f"expected a domain, got {quote(value)}", cure)
    if "@" in value:
        domain = value.rpartition("@")[2]
        raise ValueError(f"{quote(value)} is an address", f"write {quote(domain)}")
    if "*" in name or "%" in name:
        raise ValueError(
            f"expected a domain, got {quote(value)}",
            'write "example.com", "*.example.com" for all below it, or "*" for any',
        )
    if is_ip(name.strip("[]")):
        raise ValueError(f"{quote(value)} is an IP address", "write the mail domain")
    return star + _fold(name)


def identifier(value: str) -> str:
    """A provider's id: Thunderbird and K-9 drop a file whose id is no host name."""
    return value if line(value) == "%EMAILDOMAIN%" else _fold(value)


def language_tag(value: str) -> str:
    """A language of RFC 5646, or "" for a text that names none."""
    if value and not _LANGUAGE.fullmatch(value):
        raise ValueError(
            f"expected a language, got {quote(value)}", 'write one like "en" or "pt-BR"'
        )
    return value


def url(value: str) -> str:
    """An absolute URL of the web in ASCII: its host as A-labels, the rest encoded.

    Only https and http: pages and clients follow it, and another scheme can run a
    script or open a file there.
    """
    for match in _PLACEHOLDER.finditer(_PERCENT_ENCODED.sub("/", line(value))):
        _check_placeholder(match[0])
    cure = "write one like https://www.example.com/"
    if _WITHOUT_SCHEME.fullmatch(value):
        cure = f"write {quote('https://' + value)}"
    wrong = ValueError(f"expected a URL, got {quote(value)}", cure)

    if not _URL.fullmatch(value):
        raise wrong
    scheme, colon, _ = value.partition(":")
    if scheme.lower() not in ("https", "http"):
        raise ValueError(
            f"expected a URL of the web, got {quote(value)}",
            f"write one that begins with https://, not with {scheme}://",
        )
    try:
        parts = urlsplit(value)
        host, port = parts.hostname or "", parts.port
        if port == 0:
            raise wrong
        # urlsplit lowers the case, and our placeholders' with it.
        host = _PLACEHOLDER.sub(lambda match: match[0].upper(), host)
        name = host if is_ip(host) else _around_placeholders(host, fold)
    except ValueError:
        raise wrong from None

    if not host.isascii():
        user, at, _ = parts.netloc.rpartition("@")
        authority = name if port is None else f"{name}:{port}"
        value = urlunsplit(parts._replace(netloc=f"{user}{at}{authority}"))
    rest = value.partition(":")[2]
    # As RFC 3987, section 3.1, maps an IRI: a header holds nothing beyond ASCII.
    return scheme.lower() + colon + _BEYOND_ASCII.sub(lambda it: encoded(it[0]), rest)
