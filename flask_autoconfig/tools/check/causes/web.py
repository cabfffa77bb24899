"""What is wrong with an HTTP answer, or why there is none: the cause and its cure."""

from __future__ import annotations

import re
import zlib
from contextlib import suppress
from typing import NamedTuple

from ...network import REDIRECTS, ProbeError, Reply
from ...resolver import LookupFailed
from ...untrusted import is_public, split_url
from ..facts import Ask, Facts
from ..findings import IF_PRIVATE, Case, Finding, failure, shown
from .certificates import certificate_trouble

NOTHING = "clients that ask there get nothing"
_MOST = 1024 * 1024  # bytes of a document, once unpacked
_MOST_PAGE = 64 * 1024  # bytes of a page for people that are searched
# Up to the next tag only: so the time grows linearly with the length of the page.
_PASSWORD_FIELD = re.compile(rb"<input[^<>]+type=.?password", re.I)
_TITLE = re.compile(r"<title[^<>]*>([^<]{1,80})", re.I)


class Trouble(NamedTuple):
    """Why a request gave nothing that can be used."""

    finding: Finding  # a failure; who plays the client knows how bad it is
    is_absent: bool = False  # nothing is published there, and that is no fault
    ends: bool = False  # some clients take it for an answer, and look no further


def _absent(url: str, seen: str) -> Trouble:
    finding = failure("https", shown(url), seen, "nothing is published there", "")
    return Trouble(finding, is_absent=True)


def _trouble(
    url: str, seen: str, why: str, cure: str, *, ends: bool = False
) -> Trouble:
    return Trouble(failure("https", shown(url), seen, why, cure), ends=ends)


# --- No answer ------------------------------------------------------------------------

_CURES = {
    "connect": "start the web server, open the port in the firewall, or correct the "
    "address in DNS",
    "silent": "open the port in the firewall, or correct the address in DNS: packets "
    "to it are dropped",
    "tls": "give the web server a certificate for the name",
    "timeout": "make it answer faster: Thunderbird waits 5 seconds",
    "http": "look at the web server: is it one that answers there?",
    "redirect": "redirect straight to a URL that answers",
    "private": IF_PRIVATE,
}


def of_error(facts: Facts, case: Case, url: str, error: ProbeError) -> Trouble:
    """Why nobody answered."""
    parts = split_url(url)
    host = parts.hostname or ""
    if error.kind == "dns":
        return _of_name(facts, url, host, error)
    lost = error.kind in ("connect", "silent")
    if lost and (parts.scheme == "http" or host == case.domain):
        return _absent(url, str(error))  # a domain need not have a web site
    cure = error.cure or _CURES.get(error.kind, "look at the web server")
    if error.kind in ("private", "redirect") and _leads_inside(facts, url):
        cure = (
            _LET_HOST_THROUGH
            if error.kind == "redirect"
            else f"{_LET_HOST_THROUGH}; {cure}"
        )
    return _trouble(url, str(error), NOTHING, cure)


_LET_HOST_THROUGH = (
    "let the proxy pass the host name on, so that no redirect leads inside (nginx: "
    "proxy_set_header Host $host; and X-Forwarded-Host $host; `serve --proxies 1`)"
)


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


def _of_name(facts: Facts, url: str, host: str, error: ProbeError) -> Trouble:
    """No address: not published, unless it is an alias that leads to nothing."""
    try:
        if facts.addresses(host):  # it is a redirect's host that is not there
            return _trouble(url, str(error), NOTHING, "correct where it redirects to")
        target = facts.alias(host)
    except LookupFailed as failed:
        if is_loop(facts, host):  # a name server that follows it fails at it
            return Trouble(dead_alias(facts, host, NOTHING))
        cure = failed.cure or "look at the domain's name servers"
        return Trouble(failure("dns", host, failed.reason, NOTHING, cure))
    if target:
        return Trouble(dead_alias(facts, host, NOTHING))
    return _absent(url, f"{host} has no address in DNS")


def by_redirect(facts: Facts, ask: Ask, trouble: Trouble) -> Trouble:
    """The same; what is met where a redirect leads has the redirect for its cause."""
    found = trouble.finding
    try:
        target = facts.reply(ask).target
    except ProbeError:
        return trouble
    if not target or "redirect" in found.seen or found.step == "dns":
        return trouble
    seen = f"it redirects to {shown(target)}: {found.seen}"
    cure = "answer there, or redirect to where the settings are"
    cure = f"{cure}; {found.cure}" if found.cure else cure
    told = failure("https", shown(ask.url), seen, NOTHING, cure)
    return trouble._replace(finding=told, is_absent=False)


def dead_alias(facts: Facts, name: str, why: str) -> Finding:
    """A CNAME that leads to nothing, or back to itself."""
    *way, last = names_of(facts, name)
    if last in way:
        return failure(
            "dns",
            name,
            f"its alias (CNAME) is a loop: {' → '.join([*way, last])}",
            why,
            f"let {way[-1]} lead to a host that has an address, or give it one",
        )
    cure = (
        f"publish an address of {last}, or let {way[-1] if way else name} lead to the "
        "right host"
    )
    seen = f"it is an alias (CNAME) of {last}, which has no address"
    return failure("dns", name, seen, why, without_dot(last) or cure)


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
    case: Case, facts: Facts, trouble: Trouble | None, url: str
) -> Trouble | None:
    """The same, with what DNS has to do with it: somebody else's host, a wildcard."""
    host = split_url(url).hostname or ""
    if trouble is None or host == case.domain or not case.has(host):
        return trouble
    found, target = trouble.finding, names_of(facts, host)[-1]
    if found.step == "dns":
        return trouble
    if not case.has(target):
        seen = f"{found.seen} ({host} is an alias of {target})"
        cure = (
            f"let {host} lead to the host that serves the settings, if {target} is not"
        )
        cure = f"{cure}; else {found.cure}" if found.cure else cure
        return trouble._replace(finding=found._replace(seen=seen, cure=cure))
    if target == host and facts.is_by_wildcard(host, case.domain):
        seen = f"{found.seen} (a wildcard record, *.{case.domain}, leads there)"
        cure = (
            "give the name a record of its own, which goes before the wildcard, to the "
            "host that serves the settings"
        )
        return trouble._replace(finding=found._replace(seen=seen, cure=cure))
    return trouble


# --- An answer that is no document ------------------------------------------------------


def of_reply(case: Case, reply: Reply, asked: str) -> Trouble | None:
    """What is wrong with an answer whatever document is wanted; None for nothing."""
    if reply.is_forged and reply.certificate is not None:
        host = split_url(reply.url).hostname or ""
        found = certificate_trouble("https", shown(reply.url), reply.certificate, host)
        return Trouble(found)
    lost = _lost_path(reply, asked)
    if lost:
        return lost
    if reply.status in (404, 410):
        if reply.body.strip():
            return _absent(reply.url, f"status {reply.status}")
        seen = f"status {reply.status} with an empty body"
        cure = "send a line of text with it"
        why = "Kontact takes it for an answer and ends its search"
        trouble = _trouble(reply.url, seen, why, cure, ends=True)
        return trouble._replace(is_absent=True)
    if reply.status == 204 or (reply.status == 200 and not reply.body.strip()):
        seen = "an empty answer" + (" (status 204)" if reply.status == 204 else "")
        return _trouble(
            reply.url,
            seen,
            "Delta Chat and others take it for an answer and guess",
            "serve the document, or 404 with words in it",
            ends=True,
        )
    wall = _login_wall(reply, asked)
    if wall:
        return wall
    if reply.status != 200:
        return _status(reply)
    coding = reply.headers.get("content-encoding", "").lower()
    if coding not in ("", "identity", *_CODINGS):
        seen = f"it is compressed ({coding[:20]}), which nobody asked for"
        cure = "compress only what Accept-Encoding asks for, and not these paths"
        return _trouble(reply.url, seen, "clients make nothing of it", cure)
    if is_web_page(reply):
        return _web_page(reply)
    return None


_CODINGS = ("gzip", "deflate")  # that can be unpacked here


def _lost_path(reply: Reply, asked: str) -> Trouble | None:
    """A redirect of everything to a site's front page, in the place of the document."""
    path = split_url(asked).path
    led = split_url(reply.url).path
    is_front = reply.redirects and led in ("", "/") and path not in ("", "/")
    if not is_front or not (is_web_page(reply) or reply.status in (404, 410)):
        return None
    if _PASSWORD_FIELD.search(reply.body[:_MOST_PAGE]):
        return None  # a login page, which has a cure of its own
    return _trouble(
        asked,
        f"it redirects everything to {shown(reply.url)}: the path is lost",
        NOTHING,
        "exempt these paths from the redirect and pass them on to this service; a "
        "redirect that keeps the path (nginx: return 301 "
        "https://HOST$request_uri;) helps only where that host serves them",
    )


_LOGIN_WORDS = re.compile(r"log-?in|sign-?in|\bsso\b|oauth|/auth\b|cas/|wp-login", re.I)
_LET_OUT = (
    "let these paths through without a login: in nginx a location of their own without "
    "auth_basic, in a Flask site before the login that guards everything"
)


def _login_wall(reply: Reply, asked: str) -> Trouble | None:
    url = shown(reply.url)
    if reply.status in (401, 407):
        return _trouble(
            reply.url,
            f"status {reply.status}: it wants a login",
            "clients have none yet, and one that does send it sends the mail password",
            _LET_OUT,
        )
    led = reply.redirects and _LOGIN_WORDS.search(split_url(url).path)
    has_field = _PASSWORD_FIELD.search(reply.body[:_MOST_PAGE])
    if reply.status == 200 and (led or has_field) and is_web_page(reply):
        seen = f"a login page ({url})" if led else "a login page"
        return _trouble(asked, seen, NOTHING, _LET_OUT)
    return None


_UPSTREAM = (
    "start the service behind the proxy, and look where the proxy looks for it "
    "(proxy_pass, the socket, its rights)"
)


def _status(reply: Reply) -> Trouble:
    text = reply.body[:4000].decode("utf-8", "replace").lower()
    seen = f"status {reply.status}"
    cure = "look at the log of what answers there"
    if _CHALLENGE.search(text) or "cf-mitigated" in reply.headers:
        seen += ": it wants a browser (bot protection)"
        cure = _NO_BROWSER
    elif "csrf" in text:
        seen += ": a CSRF check refuses it"
        cure = "exempt these paths from the CSRF check (csrf.exempt(autoconfig))"
    elif reply.status in (400, 421):
        seen += ": the server does not take the name that is asked"
        cure = (
            "let it take these names: TRUSTED_HOSTS in Flask, ALLOWED_HOSTS in Django, "
            "server_name and the certificate's site in nginx"
        )
    elif reply.status == 403:
        seen += ": it is forbidden"
        cure = (
            "let everybody read these paths: look at the web server's rules (location "
            "~ /\\. forbids .well-known too), a firewall, bot protection, file rights"
        )
    elif reply.status == 405:
        allow = reply.headers.get("allow", "")
        seen += ": the method is refused" + (f" (it takes {allow})" if allow else "")
        cure = "let POST through to the service: static files answer GET alone"
    elif reply.status == 429:
        seen += ": too many requests"
        cure = "raise the limit: an office's clients come from one address"
    elif reply.status in (502, 504):
        seen += ": the proxy gets no answer from what is behind it"
        cure = _UPSTREAM
    elif reply.status == 503:
        cure = (
            "if it is this service, its file is faulty: see `flask-autoconfig validate` "
            f"and its log; otherwise {_UPSTREAM}"
        )
    elif reply.status in REDIRECTS:
        seen += " without a Location"
        cure = "redirect straight to the document"
    elif reply.status >= 500:
        seen += ": it fails at the request"
    why = "clients that ask there get nothing"
    return _trouble(reply.url, seen, why, cure)


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
_NO_BROWSER = "exempt these paths from the bot protection: mail clients are no browsers"
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


def _web_page(reply: Reply) -> Trouble:
    text = reply.body[:20_000].decode("utf-8", "replace")
    title = _TITLE.search(text)
    called = f" (“{' '.join(title[1].split())}”)" if title else ""
    seen = f"a web page{called} where the settings should be"
    if _PARKED.search(text):
        seen = f"a parked domain's page{called} where the settings should be"
        cure = (
            "let the name lead to the host that serves the settings: take the "
            "registrar's parking (often a wildcard record) out of DNS"
        )
    elif _CHALLENGE.search(text):
        seen = f"a page{called} that wants a browser (bot protection)"
        cure = _NO_BROWSER
    elif _DEFAULT.search(text):
        seen = f"the web server's default page{called} where the settings should be"
        cure = (
            "give the web server a site for the name (server_name, ServerAlias) that "
            "passes on to this service"
        )
    else:
        cure = (
            "the web server knows no site for the name, or its site answers every path: "
            "pass these paths on to this service before that"
        )
    return _trouble(reply.url, seen, NOTHING, cure)


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


PURGE = "purge the cache in front of the service: a reload of the service does not help"


def unencrypted_hop(reply: Reply) -> str:
    """The first http URL that https leads to, "" where there is none."""
    way = [*reply.redirects, reply.url]
    if split_url(way[0]).scheme != "https":
        return ""
    return next((it for it in way if split_url(it).scheme == "http"), "")
