"""What is wrong with an HTTP answer, or why there is none: the cause and its cure."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from typing import Any

from ...net.http import REDIRECTS, Reply
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import is_public, split_url
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding, shown
from .certificates import certificate_trouble

_MOST = 1024 * 1024  # bytes of a document, once unpacked
_MOST_PAGE = 64 * 1024  # bytes of a page for people that are searched
# Up to the next tag only: so the time grows linearly with the length of the page.
_PASSWORD_FIELD = re.compile(rb"<input[^<>]+type=.?password", re.I)
_TITLE = re.compile(r"<title[^<>]*>([^<]{1,80})", re.I)
ABSENT = "absent"  # the mark of what was not published, and need not be
# Answers that some clients take for settings, so that they look no further.
ENDING = frozenset(("http.empty", "http.empty-404"))


def _found(code: str, url: str, *, advice: str = "", **values: Any) -> Finding:
    return finding(code, shown(url), advice=advice, **values)


def _absent(url: str, reason: str) -> Finding:
    return _found("http.absent", url, reason=reason).marked(ABSENT)


# --- No answer ------------------------------------------------------------------------

# The code for each kind of ProbeError.
_CODES = {
    "connect": "http.no-connection",
    "silent": "http.silent",
    "tls": "http.no-tls",
    "timeout": "http.timeout",
    "redirect": "http.bad-redirect",
    "private": "http.private",
}


def of_error(facts: Facts, case: Case, url: str, error: ProbeError) -> Finding:
    """Why a request got no answer."""
    parts = split_url(url)
    host = parts.hostname or ""
    if error.kind == "dns":
        return _of_name(facts, url, host, error)
    lost = error.kind in ("connect", "silent")
    if lost and (parts.scheme == "http" or host == case.domain):
        return _absent(url, str(error))  # a domain need not have a web site
    code, advice = _CODES.get(error.kind, "http.no-http"), error.cure
    if error.kind in ("private", "redirect") and _leads_inside(facts, url):
        code, advice = f"http.{error.kind}-inside", ""
    return _found(code, url, advice=advice, reason=error)


def _leads_inside(facts: Facts, url: str) -> bool:
    """Whether a redirect from there names a host that only the server itself knows."""
    try:
        target = facts.reply(Ask(url)).target
    except ProbeError:
        return False
    host = split_url(target).hostname or ""
    is_number = ":" in host or {*host} <= {*"0123456789."}
    inside = is_number and not is_public(host)
    is_short = "." not in host and not is_number
    return bool(target) and (inside or is_short)


def _of_name(facts: Facts, url: str, host: str, error: ProbeError) -> Finding:
    """No address: not published, unless it is an alias that leads to nothing."""
    try:
        if facts.addresses(host):  # it is a redirect's host that is not there
            return _found("http.redirect-nowhere", url, reason=error)
        target = facts.alias(host)
    except LookupFailed as failed:
        if is_loop(facts, host):  # a name server that follows it fails at it
            return dead_alias("dns", facts, host)
        return finding(
            "http.lookup-failed", host, advice=failed.cure, reason=failed.reason
        )
    if target:
        return dead_alias("dns", facts, host)
    return _absent(url, f"{host} has no address in DNS")


def by_redirect(facts: Facts, ask: Ask, found: Finding) -> Finding:
    """The finding, or the redirect that led to where it was met."""
    try:
        target = facts.reply(ask).target
    except ProbeError:
        return found
    if not target or found.code in _OF_A_REDIRECT or found.step == "dns":
        return found
    led = found.within("redirect", target=shown(target)).at(shown(ask.url))
    return led._replace(marks=led.marks - {ABSENT})


# Findings that name the redirect themselves.
_OF_A_REDIRECT = frozenset(
    ("http.path-lost", "http.bad-redirect", "http.redirect-inside")
)


def dead_alias(prefix: str, facts: Facts, name: str) -> Finding:
    """A CNAME that leads to nothing, or back to itself.

    *prefix* is the first part of the code: dns, server or mx.
    """
    *way, last = names_of(facts, name)
    if last in way:
        listed = " → ".join([*way, last])
        return finding(f"{prefix}.alias-loop", name, way=listed, last=way[-1])
    before = way[-1] if way else name
    return finding(
        f"{prefix}.dead-alias",
        name,
        advice=without_dot(last),
        target=last,
        before=before,
    )


def without_dot(host: str) -> str:
    """The cure where a zone's own name was added to a whole one, "" where it was not."""
    labels = host.split(".")
    for length in range(len(labels) // 2, 1, -1):
        if labels[-length:] == labels[-2 * length : -length]:
            meant = ".".join(labels[:-length])
            return (
                f"write {meant}. in the zone, with the dot at its end: without it the "
                "zone's own name is added"
            )
    return ""


def is_loop(facts: Facts, name: str) -> bool:
    """Whether the name's alias leads back to itself."""
    *way, last = names_of(facts, name)
    return last in way


_MOST_ALIASES = 8


def names_of(facts: Facts, name: str) -> list[str]:
    """The name and what it is an alias of, one after the other; a loop ends as it began."""
    way = [name]
    with suppress(LookupFailed):
        while len(way) <= _MOST_ALIASES and way[-1] not in way[:-1]:
            target = facts.alias(way[-1])
            if not target:
                break
            way.append(target)
    return way


def by_name(
    case: Case, facts: Facts, found: Finding | None, url: str
) -> Finding | None:
    """The finding with what DNS has to do with it: an alias of another host, a wildcard."""
    host = split_url(url).hostname or ""
    if found is None or host == case.domain or not case.has(host):
        return found
    target = names_of(facts, host)[-1]
    if found.step == "dns":
        return found
    if not case.has(target):
        return found.within("alias", host=host, target=target)
    if target == host and facts.is_by_wildcard(host, case.domain):
        return found.within("wildcard", domain=case.domain)
    return found


# --- An answer that is no document ------------------------------------------------------


def of_reply(case: Case, reply: Reply, asked: str) -> Finding | None:
    """What is wrong with an answer whatever document is wanted; None for nothing."""
    url = reply.url
    if reply.is_forged and reply.certificate is not None:
        host = split_url(url).hostname or ""
        return certificate_trouble("https", shown(url), reply.certificate, host)
    lost = _lost_path(reply, asked)
    if lost:
        return lost
    if reply.status in (404, 410):
        if reply.body.strip():
            return _absent(url, f"status {reply.status}")
        return _found("http.empty-404", url, status=reply.status).marked(ABSENT)
    if reply.status == 204 or (reply.status == 200 and not reply.body.strip()):
        status = " (status 204)" if reply.status == 204 else ""
        return _found("http.empty", url, status=status)
    wall = _login_wall(reply, asked)
    if wall:
        return wall
    if reply.status != 200:
        return _status(reply)
    coding = reply.headers.get("content-encoding", "").lower()
    if coding not in ("", "identity", *_CODINGS):
        return _found("http.unknown-coding", url, coding=coding[:20])
    return _web_page(reply) if is_web_page(reply) else None


_CODINGS = ("gzip", "deflate")  # that can be unpacked here


def _lost_path(reply: Reply, asked: str) -> Finding | None:
    """A redirect of everything to a site's front page, in the place of the document."""
    path = split_url(asked).path
    led = split_url(reply.url).path
    is_front = reply.redirects and led in ("", "/") and path not in ("", "/")
    if not is_front or not (is_web_page(reply) or reply.status in (404, 410)):
        return None
    if _PASSWORD_FIELD.search(reply.body[:_MOST_PAGE]):
        return None  # a login page, which has a cure of its own
    return _found("http.path-lost", asked, target=shown(reply.url))


_LOGIN_WORDS = re.compile(r"log-?in|sign-?in|\bsso\b|oauth|/auth\b|cas/|wp-login", re.I)


def _login_wall(reply: Reply, asked: str) -> Finding | None:
    url = shown(reply.url)
    if reply.status in (401, 407):
        return _found("http.login-wanted", url, status=reply.status)
    led = reply.redirects and _LOGIN_WORDS.search(split_url(url).path)
    has_field = _PASSWORD_FIELD.search(reply.body[:_MOST_PAGE])
    if reply.status == 200 and (led or has_field) and is_web_page(reply):
        return _found("http.login-page", asked, where=f" ({url})" if led else "")
    return None


_OF_STATUS = {
    400: "http.name-refused",
    421: "http.name-refused",
    403: "http.forbidden",
    405: "http.method-refused",
    429: "http.rate-limited",
    502: "http.no-upstream",
    503: "http.unavailable",
    504: "http.no-upstream",
}


def _status(reply: Reply) -> Finding:
    text = reply.body[:4000].decode("utf-8", "replace").lower()
    status, code = reply.status, "http.status"
    if _CHALLENGE.search(text) or "cf-mitigated" in reply.headers:
        code = "http.bot-protection"
    elif "csrf" in text:
        code = "http.csrf"
    elif status in REDIRECTS:
        code = "http.no-location"
    else:
        other = "http.server-error" if status >= 500 else "http.status"
        code = _OF_STATUS.get(status, other)
    allow = reply.headers.get("allow", "")
    allowed = f" (it takes {allow})" if allow else ""
    return _found(code, reply.url, status=status, allowed=allowed)


# --- A page for people ------------------------------------------------------------------

_PARKED = re.compile(
    r"domain (?:is|may be|name is) (?:parked|for sale)|buy this domain"
    r"|parked (?:free|domain)|parkingcrew|sedoparking|domain parking"
    r"|this domain is available",
    re.I,
)
_CHALLENGE = re.compile(
    r"cf-chl|challenge-platform|just a moment|enable javascript and cookies|captcha"
    r"|checking your browser|ddos-guard",
    re.I,
)
_DEFAULT = re.compile(
    r"welcome to nginx|apache2? (?:ubuntu|debian)? ?default page|it works!"
    r"|caddy.{0,30}works|iis windows server|default web site page",
    re.I,
)


def is_web_page(reply: Reply) -> bool:
    """Whether it is HTML, whatever it says of itself."""
    start = reply.body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or (
        reply.content_type == "text/html" and b"<clientconfig" not in start
    )


def _web_page(reply: Reply) -> Finding:
    text = reply.body[:20_000].decode("utf-8", "replace")
    title = _TITLE.search(text)
    called = f" (“{' '.join(title[1].split())}”)" if title else ""
    code = "http.web-page"
    if _PARKED.search(text):
        code = "http.parked"
    elif _CHALLENGE.search(text):
        code = "http.challenge"
    elif _DEFAULT.search(text):
        code = "http.default-page"
    return _found(code, reply.url, title=called)


# --- What beside a document hurts -------------------------------------------------------


def unpacked(reply: Reply) -> bytes:
    """The body, unpacked if it came compressed; as it is where that cannot be done."""
    if reply.headers.get("content-encoding", "").lower() not in _CODINGS:
        return reply.body
    try:
        return zlib.decompressobj(47).decompress(reply.body, _MOST)
    except zlib.error:
        return reply.body


def from_cache(reply: Reply) -> str:
    """Words that say it came from a cache, "" where nothing says so."""
    age = reply.headers.get("age", "")
    said = reply.headers.get("x-cache", "") or reply.headers.get("cf-cache-status", "")
    if age.isdecimal() and int(age[:9]) > 0:
        return f"it comes from a cache, {age[:9]} seconds old"
    return f"it comes from a cache ({said[:60]})" if "hit" in said.lower() else ""


def unencrypted_hop(reply: Reply) -> str:
    """The first http URL that https leads to, "" where there is none."""
    way = [*reply.redirects, reply.url]
    if split_url(way[0]).scheme != "https":
        return ""
    return next((it for it in way if split_url(it).scheme == "http"), "")
