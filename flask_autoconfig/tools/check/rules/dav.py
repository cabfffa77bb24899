"""Calendars and address books: from SRV or `.well-known` to a principal, as clients go."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from ....address import fill_in_url, is_ip, known_part
from ....config.tables import Provider, Server
from ....documents.setups import Account
from ....families import FAMILIES
from ...net.http import Reply
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from ..facts import Ask, Facts, side_by_side
from ..findings import Case, Finding, finding, shown
from . import web
from .certificates import of_certificate

if TYPE_CHECKING:
    from ..scene import Scene

_PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<current-user-principal/></prop></propfind>"
)
_HEADERS = (("Content-Type", "application/xml"), ("Depth", "0"))
_TYPES = ("caldav", "carddav")
_URL_TYPES = (*_TYPES, "webdav", "jmap")


class Way(NamedTuple):
    """Where a client came to, or what stopped it."""

    account: Account | None = None
    findings: tuple[Finding, ...] = ()


def ask_for(url: str) -> Ask:
    """The first request of a client, without a login."""
    return Ask(url, "PROPFIND", _PROPFIND, _HEADERS)


def well_known(case: Case) -> list[tuple[str, str]]:
    """Type and URL of what clients ask at the domain."""
    (family,) = [it for it in FAMILIES if it.name == "dav"]
    paths = {route.path.rpartition("/")[2]: route.path for route in family.routes}
    return [(it, f"https://{case.domain}{paths[it]}") for it in _TYPES]


def play(case: Case, facts: Facts) -> list[Way]:
    """Both kinds, each by SRV, else by .well-known (RFC 6764, section 6)."""
    return [_way(case, facts, type_, url) for type_, url in well_known(case)]


def _way(case: Case, facts: Facts, type_: str, url: str) -> Way:
    wanted = _wanted(case.provider, type_)
    if case.provider is not None and not wanted:
        return Way()
    by_srv = _by_srv(case, facts, type_)
    if not (wanted or by_srv):
        return _by_chance(case, facts, type_, url)
    start = by_srv or url
    try:
        reply = facts.answer(ask_for(start))
    except ProbeError as error:
        trouble = web.of_error(facts, case, start, error)
        if web.ABSENT in trouble.marks and not by_srv:
            return _not_published(url, type_, wanted)
        return Way(findings=(trouble.within("dav", type=type_),))
    place = shown(start)
    if reply.is_forged and reply.certificate is not None:
        host = split_url(reply.url).hostname or ""
        told = of_certificate("https", shown(reply.url), reply.certificate, host)[0]
        return Way(findings=(told,))
    if _is_dav(reply):
        account = _account_at(type_, _without_path(case, wanted, reply))
        led = f"leads to {shown(reply.url)}" if reply.redirects else "it answers itself"
        beside = _beside(case, facts, type_, url) if by_srv else ()
        return Way(account, (_good(place, type_, led), *beside))
    is_start = not (by_srv or reply.redirects)
    if is_start and reply.status in (404, 405, 410, 501):
        return _not_published(url, type_, wanted)
    return Way(findings=(_no_dav(reply, place, type_),))


def _beside(case: Case, facts: Facts, type_: str, url: str) -> tuple[Finding, ...]:
    """What is wrong at the domain itself, where SRV records lead to the right place.

    Its web site need not know of calendars. But a redirect that leads astray was meant.
    """

    def wrong(got: str, code: str = "dav.well-known") -> tuple[Finding, ...]:
        return (finding(code, shown(url), got=got, type=type_),)

    try:
        target = facts.reply(ask_for(url)).target
        if target.startswith("http:"):
            return wrong(f"it redirects from https to http: {shown(target)}")
        reply = facts.answer(ask_for(url))
    except ProbeError as error:
        if error.kind in ("dns", "connect", "silent", "private"):
            return ()
        return wrong(web.of_error(facts, case, url, error).seen)
    if reply.is_forged or _is_dav(reply):
        return ()
    got = _no_dav(reply, shown(url), type_).seen
    is_meant = split_url(url).path not in (split_url(reply.url).path, "")
    if reply.redirects and is_meant and split_url(reply.url).path.strip("/"):
        return wrong(got)
    return wrong(got, "dav.well-known-absent")


def _good(place: str, type_: str, led: str) -> Finding:
    return finding("dav.found", place, type=type_, led=led)


def _by_chance(case: Case, facts: Facts, type_: str, url: str) -> Way:
    """Where nobody says that there is a calendar, a web site's own answers are no fault."""
    try:
        reply = facts.answer(ask_for(url))
    except ProbeError:
        return Way()
    if reply.is_forged or not _is_dav(reply):
        return Way()
    good = _good(shown(url), type_, "it answers")
    return Way(_account_at(type_, reply.url), (good,))


def _without_path(case: Case, wanted: str, reply: Reply) -> str:
    """The file's own URL where the way ended at it, which a server may lead on from."""
    known = known_part(wanted, case.domain) if wanted else ""
    return known if known and known in (*reply.redirects, reply.url) else reply.url


def _wanted(provider: Provider | None, type_: str) -> str:
    """The URL that the file has of it."""
    for _, server in provider.servers if provider else ():
        if server.type == type_ and server.url:
            return server.url
    return ""


def _by_srv(case: Case, facts: Facts, type_: str) -> str:
    name = f"_{type_}s._tcp.{case.domain}"
    with suppress(LookupFailed):
        for host, port in facts.srv(name):
            if not host:
                continue
            texts = facts.txt(name)
            paths = [
                it.removeprefix("path=") for it in texts if it.startswith("path=/")
            ]
            path = paths[0] if paths else f"/.well-known/{type_}"
            return f"https://{host}{'' if port == 443 else f':{port}'}{path}"
    return ""


def _not_published(url: str, type_: str, wanted: str) -> Way:
    """The file says that there is one, and then nobody finds it."""
    if not wanted:
        return Way()
    told = finding("dav.not-published", shown(url), type=type_, wanted=wanted)
    return Way(findings=(told,))


def _is_dav(reply: Reply) -> bool:
    """The end of the way: DAV's own answer, or its wish for a login (RFC 4918)."""
    if reply.status == 207:
        return True
    if reply.status == 401:
        return bool(reply.headers.get("www-authenticate"))
    return "dav" in reply.headers and reply.status in (200, 204, 403)


def _no_dav(reply: Reply, place: str, type_: str) -> Finding:
    code, where = "dav.none", ""
    if reply.status == 401:
        code = "dav.no-authenticate"
    elif reply.status == 200 and web.is_web_page(reply):
        code, where = "dav.web-page", shown(reply.url)
    elif reply.status == 405:
        code = "dav.method-refused"
    elif reply.redirects:
        code, where = "dav.led-astray", f" at {shown(reply.url)}, where it leads"
    return finding(code, place, type=type_, status=reply.status, where=where)


# --- The servers of a file --------------------------------------------------------------


def look(scene: Scene) -> list[Finding]:
    """Whether each server that speaks HTTP does, as the file or a document names it."""
    case, facts, provider = scene.case, scene.facts, scene.provider
    servers = [
        server
        for _, server in (provider.servers if provider else ())
        if server.type in _URL_TYPES and server.url
    ]
    tasks = [partial(_server, case, facts, it) for it in dict.fromkeys(servers)]
    return [it for found in side_by_side(tasks) for it in found]


def _server(case: Case, facts: Facts, server: Server) -> list[Finding]:
    return list(_of_server(case, facts, server))


def _of_server(case: Case, facts: Facts, server: Server) -> Iterator[Finding]:
    url = fill_in_url(server.url, case.domain, case.address)
    url = url or known_part(server.url or "", case.domain)
    if not url:
        yield finding("dav.not-tried", server.url or "")
        return
    ask = Ask(url) if server.type == "jmap" else ask_for(url)
    try:
        reply = facts.answer(ask)
    except ProbeError as error:
        trouble = web.of_error(facts, case, url, error)
        is_unknown = error.kind == "dns" and not trouble.cure
        yield finding(
            "dav.server-unknown" if is_unknown else "dav.server-dead",
            url,
            advice=trouble.cure,
            got=trouble.seen,
            type=server.type,
            host=split_url(url).hostname,
        )
        return

    if reply.certificate is not None:
        host = split_url(reply.url).hostname or ""
        told = of_certificate("server", url, reply.certificate, host)
        yield from told
        if reply.is_forged:
            return
    speaks = _is_dav(reply) or (server.type == "jmap" and reply.status in (200, 401))
    if speaks:
        yield finding("dav.server-found", url, type=server.type)
        return
    found = _no_dav(reply, url, server.type)
    is_asked = found.code == "dav.no-authenticate"
    yield finding(
        "dav.server-no-authenticate" if is_asked else "dav.server-wrong",
        url,
        got=found.seen,
        type=server.type,
    )


def _account_at(type_: str, url: str) -> Account:
    """Return the account of a calendar or an address book at *url*."""
    parts = split_url(url)
    host = parts.hostname or ""
    port = parts.port or (443 if host else 0)
    host = f"[{host}]" if is_ip(host) and ":" in host else host
    return Account(type_, host, port, "SSL", url=url)
