"""Calendars and address books: how clients find them, and the servers themselves."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from urllib.parse import urljoin
from urllib.request import (
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithDefaultRealm,
    Request,
    parse_http_list,
    parse_keqv_list,
)

from ....address import PLACEHOLDERS, fill_in_url, known_part
from ....config.tables import Server
from ....documents.setups import Account, Setup
from ....documents.xml import NotXmlError, parse, text_of
from ...clients import Client
from ...net.conversations import in_base64
from ...net.http import Reply, fetch_once, following
from ...net.mail import Outcome
from ...net.resolver import LookupFailed
from ...net.tcp import Network, ProbeError
from ...net.untrusted import Secrets, split_url, unquoted
from .. import texts
from ..facts import Ask, Facts, each_of
from ..findings import OK, Case, Finding, finding, shown
from ..scene import Play, Scene
from . import web
from .connections import of_certificate

_PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<current-user-principal/></prop></propfind>"
)
_HEADERS = (("Content-Type", "application/xml"), ("Depth", "0"))
_TYPES = ("caldav", "carddav")
_DOWNGRADED, _NOT_ASKED, _OPEN = "dav.downgraded", "http.port-not-asked", "dav.open"
_OF_SERVER = ("dav.method-refused", "dav.no-principal")  # whose cure fits its URL, too
_TOLD = texts.table("groups")["no_site"]
# What a wrong path leads to.
_BY_PATH = ("dav.none", "dav.not-published", "dav.led-astray", "dav.web-page")
URL_TYPES = (*_TYPES, "webdav", "jmap")
_WITH_PASSWORD = frozenset(("basic", "digest", "ntlm", "negotiate"))  # schemes


def ask_for(url: str) -> Ask:
    """Return a client's first request, which has no credentials."""
    return Ask(url, "PROPFIND", _PROPFIND, _HEADERS)


def ask_of(type_: str, url: str) -> Ask:
    return Ask(url) if type_ == "jmap" else ask_for(url)


def asks(client: Client, case: Case) -> list[Ask]:
    """Return the requests for the .well-known URLs, in the order of the types."""
    routes = case.family(client.family).routes
    paths = {route.path.rpartition("/")[2]: route.path for route in routes}
    return [ask_for(f"https://{case.domain}{paths[type_]}") for type_ in _TYPES]


# --- What a client finds ----------------------------------------------------------------


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return the calendars and address books that a client finds (RFC 6764, section 6)."""
    played = Play(client)
    accounts = []
    servers = [server for _, server in case.provider.servers] if case.provider else []
    for type_, (url, *_) in zip(_TYPES, asks(client, case), strict=True):
        urls = (server.url for server in servers if server.type == type_)
        wanted = next(filter(None, urls), "")
        by_srv, name = _by_srv(case, facts, type_)
        if case.provider is not None and not wanted:
            continue
        typed = _typed(case, facts, type_)
        played.findings += [typed] if typed else []
        account, found = _follow(case, facts, type_, by_srv or url, wanted, name)
        if account is not None:
            accounts.append(account)
            played.findings.append(found)
            if by_srv:
                played.findings += _beside_srv(case, facts, type_, url)
        elif wanted or by_srv or found.code == "dav.no-principal":  # somebody meant it
            is_by_path = typed and found.code in _BY_PATH
            played.findings += [] if is_by_path else [found]
    if accounts:
        played.setup = Setup(tuple(accounts))
    elif any(facts.exists(it) for it in case.hosts) and case.provider is not None:
        played.findings = [
            found.marked("" if found.code == _NOT_ASKED else "only way")
            for found in played.findings
        ]
    return played


def _follow(
    case: Case, facts: Facts, type_: str, url: str, wanted: str, by_srv: str
) -> tuple[Account | None, Finding]:
    """Follow the URL of the SRV record *by_srv*, or the .well-known URL, to the server."""
    missing = finding("dav.not-published", url, type=type_, wanted=wanted)
    reply, wrong = _asked(case, facts, ask_for(url), type_)
    # A site that asks for a login everywhere may have no calendars.
    is_bare = reply.status == 401 and not (reply.redirects or by_srv or case.provider)
    if (
        is_bare
        and web.asked(case, facts, Ask(f"https://{case.domain}/"))[0].status == 401
    ):
        return None, missing
    code, is_dav = wrong.code if wrong else "", _is_dav(reply, type_)
    if wrong and (code == _NOT_ASKED or (code == _DOWNGRADED and not is_dav)):
        return None, wrong
    if wrong is not None and not reply.status:
        if web.ABSENT not in wrong.marks or (by_srv and case.provider):
            return None, wrong.within("dav", type=type_)
        at, target = f"{by_srv} SRV", split_url(url).netloc
        dead = finding("dav.srv-dead", at, type=type_, target=target, reason=wrong.seen)
        return None, dead if by_srv else missing
    if wrong is not None and code not in (_DOWNGRADED, _OPEN):
        is_404 = reply.status in (404, 405, 410, 501) and not reply.is_forged
        is_missing = is_404 and not reply.redirects and not by_srv
        usual = ("/", f"/.well-known/{type_}")
        if by_srv and reply.status == 404 and split_url(url).path not in usual:
            wrong = wrong.within("txt-path", at=by_srv)
        if code == "dav.led-astray" and wanted:
            wrong = wrong._replace(advice=f"redirect to {shown(wanted)}")
        return None, missing if is_missing else wrong

    here = "the server answers at this URL"
    led = f"it leads to {shown(reply.url)}" if reply.redirects else here
    # The URL of the file stays, even where the server redirects further.
    known = known_part(wanted, case.domain) if wanted else ""
    end = known if known in (*reply.redirects, reply.url) else reply.url
    # Without a name where DNS alone says whose server it is (RFC 6764, section 8).
    is_sure = reply.is_verified and case.has(split_url(url).hostname or "")
    account = Account(type_, "", 0, "", PLACEHOLDERS[0] if is_sure else None, url=end)
    if wrong is None and reply.url.startswith("http:"):
        at, target = f"{by_srv} SRV", shown(reply.url)
        return account, finding("dav.unencrypted", at, type=type_, target=target)
    return account, wrong or finding("dav.found", url, type=type_, led=led)


def _beside_srv(case: Case, facts: Facts, type_: str, url: str) -> Iterator[Finding]:
    """Yield a wrong redirect of the .well-known URL, needless beside SRV records."""
    reply, wrong = _asked(case, facts, ask_for(url), type_)
    path, led = (split_url(it).path.strip("/") for it in (url, reply.url))
    # What stands in the way of every path has a finding of its own.
    if wrong is not None and not reply.is_forged and wrong.code not in (*_TOLD, _OPEN):
        is_led = wrong.code == _DOWNGRADED or not reply.status or led not in ("", path)
        code = "dav.well-known" if is_led else "dav.well-known-absent"
        yield finding(code, url, type=type_, got=wrong.seen)


def _by_srv(case: Case, facts: Facts, type_: str) -> tuple[str, str]:
    """Return the URL that the SRV and TXT records give, and their name, or ""."""
    ways = ((f"{type_}s", "https", 443), (type_, "http", 80))
    for service, scheme, usual in ways[:1] if case.provider else ways:
        name = f"_{service}._tcp.{case.domain}"
        led = [it for it in facts.targets(name)[:1] if (scheme, it[1]) != ("http", 443)]
        for host, port in led:
            with suppress(LookupFailed):
                paths = [it[5:] for it in facts.txt(name) if it.startswith("path=/")]
                path = paths[0] if paths else f"/.well-known/{type_}"
                at = host if port == usual else f"{host}:{port}"
                return f"{scheme}://{at}{path}", name
    return "", ""


def _typed(case: Case, facts: Facts, type_: str) -> Finding | None:
    """Return that quotation marks were typed into the TXT record of the path, or None."""
    name = f"_{type_}s._tcp.{case.domain}"
    with suppress(LookupFailed):
        for value in facts.txt(name):
            if value != (path := unquoted(value)) and path.startswith("path="):
                code, at = "dav.txt-quoted", f"{name} TXT"
                return finding(code, at, type=type_, value=value, path=path)
    return None


def _asked(
    case: Case, facts: Facts, ask: Ask, type_: str
) -> tuple[Reply, Finding | None]:
    """Return the response of a server, and what is wrong; without any its status is 0."""
    reply, wrong = web.asked(case, facts, ask)
    if reply.status == 405 and "dav" not in reply.headers:
        # A web server without DAV refuses PROPFIND even where it has nothing.
        there, found = web.asked(case, facts, Ask(ask.url))
        reply, wrong = (there, found) if there.status == 404 else (reply, wrong)
    if reply.status and not reply.is_forged:
        is_jmap = type_ == "jmap" and reply.status in (200, 401)
        told = (*texts.patterns("refusal"), "http.page-leads")
        is_told = wrong is not None and wrong.code in told
        if wrong is None or not (is_told or reply.status >= 500):
            wrong = _not_dav(reply, ask.url, type_)
        wrong = None if is_jmap or _is_dav(reply, type_) else wrong._replace(around=())
        if wrong is None and type_ in _TYPES and _principals(reply) == [""]:
            wrong = finding(_OPEN, ask.url, type=type_)
    elif wrong is not None and not reply.status:
        wrong = web.by_redirect(facts, ask, wrong, "dav-redirect")
    for hop, target in pairwise(web.hops(facts, ask)):
        if not hop.startswith("https:") or not target.startswith("http:"):
            continue
        got = f"it redirects from https to http: {shown(target)}"
        wrong = finding(_DOWNGRADED, ask.url, type=type_, got=got)
        wrong = wrong.marked("" if _is_dav(reply, type_) else "only way")
    return reply, wrong


def _is_dav(reply: Reply, type_: str) -> bool:
    """Return whether it is a response of DAV, or a request to authenticate (RFC 4918)."""
    if reply.status == 401:
        return bool(reply.headers.get("www-authenticate"))
    if reply.status == 207:
        return type_ not in _TYPES or bool(_principals(reply))
    return "dav" in reply.headers and reply.status in (200, 204, 403)


def _principals(reply: Reply) -> list[str]:
    """Return the URLs of the person, "" for somebody unauthenticated (RFC 5397)."""
    with suppress(NotXmlError):
        found = parse(reply.body).iter("{DAV:}current-user-principal")
        return [text_of(it) for it in found if len(it)]
    return []


def _without_password(reply: Reply) -> str:
    """Return the schemes of a server that takes no password, or ""."""
    schemes = reply.schemes if reply.status == 401 else set()
    has_password = any(name.lower() in _WITH_PASSWORD for name in schemes)
    return "" if has_password else ", ".join(sorted(schemes))


def _not_dav(reply: Reply, url: str, type_: str) -> Finding:
    code, title = "dav.none", web.words_of(reply)[0]
    where = f" (“{title}”)" if title else ""
    if reply.redirects:
        where += f" at {shown(reply.url)}, where it redirects to"
    if reply.status == 401:
        code = "dav.no-authenticate"
    elif reply.status == 207:
        code, where = "dav.no-principal", shown(reply.url)
    elif reply.status == 200 and web.is_web_page(reply):
        code, where = "dav.web-page", shown(reply.url)
    elif reply.status == 405 and (
        not reply.redirects or "dav" in split_url(reply.url).path.lower()
    ):
        code = "dav.method-refused"
    elif reply.redirects:
        code = "dav.led-astray"
    return finding(code, url, type=type_, status=reply.status, where=where)


# --- The servers of a file or document --------------------------------------------------


def look(scene: Scene) -> list[Finding]:
    """Return whether each server with a URL answers."""
    listed = scene.provider.servers if scene.provider else ()
    servers = [it for _, it in listed if it.type in URL_TYPES and it.url]
    found = each_of(partial(_server, scene), dict.fromkeys(servers))
    found += each_of(partial(_led_to, scene), scene.led_to)
    return found if scene.case.provider else [*found, *_by_jmap_record(scene)]


def led_to(scene: Scene) -> Iterator[Server]:
    """Yield the servers that clients find by verified https, and no document lists."""
    listed = scene.provider.servers if scene.provider else ()
    known = {(it.url or "").rstrip("/") for _, it in listed}
    for play in () if scene.case.provider else scene.plays:
        is_sure = play.found is not None and play.found.reply.is_verified
        is_profile = play.client.family == "apple" and is_sure
        for one in play.accounts if is_profile or play.client.family == "dav" else ():
            name = one.username or (PLACEHOLDERS[0] if is_profile else "")
            if one.type in _TYPES and name and one.url.rstrip("/") not in known:
                yield Server(one.type, url=one.url, username=name)


def _led_to(scene: Scene, server: Server) -> Iterator[Finding]:
    plays = [it for it in scene.plays if server.url in [one.url for one in it.accounts]]
    # Programs know the OAuth2 of some servers, and devices try other paths of a host.
    is_path_known = "/.well-known/" not in str(server.url)
    harmless = ("dav.no-password", "" if is_path_known else "dav.server-wrong")
    for found in _server(scene, server):
        for play in plays if found.status != OK else ():
            found = found.hurting(play.client.name)
            if play.client.family == "apple":
                found = found.within("in-profile", place=play.place)
        if found.code not in harmless:
            yield found


def _by_jmap_record(scene: Scene) -> Iterator[Finding]:
    """Yield whether a JMAP server is where the SRV record says (RFC 8620, section 2.2)."""
    record = f"_jmap._tcp.{scene.case.domain}"
    for host, port in scene.facts.targets(record)[:1]:
        at = host if port == 443 else f"{host}:{port}"
        url = f"https://{at}/.well-known/jmap"
        for found in _server(scene, Server(type="jmap", url=url)):
            is_good = found.status == OK
            yield found if is_good else found.within("by-record", record=record)


def _server(scene: Scene, server: Server) -> Iterator[Finding]:
    case, facts = scene.case, scene.facts
    url = fill_in_url(server.url, case.domain, case.address)
    url = url or known_part(server.url or "", case.domain)
    if not url:
        yield finding("dav.not-tried", server.url or "")
        return
    reply, wrong = _asked(case, facts, ask_of(server.type, url), server.type)
    host = split_url(reply.url).hostname or ""
    if reply.certificate is not None:
        yield of_certificate("server", url, reply.certificate, host)
    schemes = _without_password(reply) if server.type != "jmap" else ""
    if wrong is None and schemes and "OAuth2" not in server.authentication:
        shut = finding("dav.no-password", url, type=server.type, schemes=schemes)
        plays = [it for it in scene.plays if it.client.family == "dav" and it.setup]
        yield shut.marked("only way").hurting(*(it.client.name for it in plays))
    elif wrong is None:
        yield finding("dav.server-found", url, type=server.type)
    elif wrong.code in (_DOWNGRADED, _NOT_ASKED, _OPEN):
        yield wrong
    elif not reply.status:
        is_unknown = wrong.code == "http.absent" and not facts.exists(host)
        code = "dav.server-unknown" if is_unknown else "dav.server-dead"
        said = {"got": wrong.seen, "type": server.type, "host": host}
        found = finding(code, url, advice=wrong.cure, **said)
        yield found.marked(*wrong.marks & {"late"})
    elif not reply.is_forged:
        is_login = wrong.code == "dav.no-authenticate"
        code = "dav.server-no-authenticate" if is_login else "dav.server-wrong"
        is_ours = wrong.code.startswith("dav.") and wrong.code not in _OF_SERVER
        cure = "" if is_ours else wrong.cure
        slashed = "" if url.endswith("/") else f"{url}/"
        if slashed and _is_dav(
            web.asked(case, facts, ask_for(slashed))[0], server.type
        ):
            code, cure = "dav.server-slash", ""
        yield finding(code, url, advice=cure, got=wrong.seen, type=server.type)


def log_in(network: Network, type_: str, url: str, user: str, password: str) -> Outcome:
    """Log in by Basic (RFC 7617), or by Digest where that is asked for; raises ProbeError.

    Redirects are followed within the host; its kind is "login" if the password would go
    elsewhere or over a connection that cannot be trusted, or the server wants another
    scheme.
    """
    token, secrets = in_base64(f"{user}:{password}"), Secrets(password)
    host = split_url(url).netloc

    def asked(url: str) -> Reply:
        if split_url(url).netloc != host:
            raise ProbeError("login", "it leads to another host or port")
        ask = ask_of(type_, url)
        reply = asked_with(ask, f"Basic {token}")
        answer = _digest(reply, ask, user, password)
        return asked_with(ask, answer) if answer else reply

    def asked_with(ask: Ask, value: str) -> Reply:
        headers = (*ask.headers, ("Authorization", value))
        return fetch_once(network, ask._replace(headers=headers))

    def said_by(reply: Reply) -> str:
        secrets.add(token)
        return secrets.quoted(f"status {reply.status}{web.beyond_status(reply)}")

    try:
        reply = following(asked, url)
        if reply.status == 401:
            if reply.schemes and not _schemes(reply) & {"basic", "digest"}:
                raise ProbeError("login", "the server takes no login by Basic")
            return Outcome("login", said_by(reply))
        good, form = (200, "json") if type_ == "jmap" else (207, "xml")
        if reply.status != good:
            return Outcome("dav", said_by(reply))
        if form not in reply.content_type:
            return Outcome("dav", f"its Content-Type is not that of {form.upper()}")
        return _at_principal(asked, said_by, reply) if type_ in _TYPES else Outcome()
    except ProbeError as error:
        message = secrets.quoted(str(error))
        raise ProbeError(error.kind, message, error.cure) from error


def _digest(reply: Reply, ask: Ask, user: str, password: str) -> str:
    """Return the answer to a challenge of Digest alone (RFC 7616), else "".

    Raises ProbeError for a challenge that cannot be answered.
    """
    if reply.status != 401 or _schemes(reply) != {"digest"}:
        return ""
    known = HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, ask.url, user, password)
    request = Request(ask.url, method=ask.method)  # noqa: S310 (it is never sent)
    listed = parse_http_list(reply.headers["www-authenticate"].partition(" ")[2])
    with suppress(ValueError, LookupError, OSError):  # another algorithm or form
        challenge = parse_keqv_list(listed)
        answer = HTTPDigestAuthHandler(known).get_authorization(request, challenge)
        if answer:
            return f"Digest {answer}"
    raise ProbeError("login", "the server takes no login by Basic, or by Digest as MD5")


def _schemes(reply: Reply) -> set[str]:
    return {name.lower() for name in reply.schemes}


def _at_principal(
    asked: Callable[[str], Reply], said_by: Callable[[Reply], str], reply: Reply
) -> Outcome:
    """Ask for the person's own collection, as clients do next (RFC 5397)."""
    paths = list(filter(None, listed := _principals(reply)))
    if listed and not paths:
        return Outcome("dav", "it answers as to a stranger (unauthenticated)")
    if not paths:
        return Outcome("dav", "it names no current-user-principal for the login")
    own = urljoin(reply.url, paths[0])
    if split_url(own).netloc != split_url(reply.url).netloc:
        return Outcome("dav", "its current-user-principal is at another host or port")
    there = following(asked, own)
    if there.status == 207:
        return Outcome()
    at = f"{said_by(there)} at its current-user-principal"
    # A proxy may remove the beginning of the path, which the server then does not know.
    begun, path = "", split_url(own).path
    for part in split_url(reply.url).path.split("/")[1:3]:
        begun = f"{begun}/{part}"
        if part and not path.startswith(f"{begun}/"):
            with suppress(ProbeError):
                if asked(urljoin(own, begun + path)).status == 207:
                    return Outcome("dav", f"{at}, and it answers below {begun}")
    return Outcome("dav", at)
