"""Calendars and address books: how clients find them, and the servers themselves."""

import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from urllib.parse import urljoin

from ....address import PLACEHOLDERS, fill_in_url, known_part
from ....config.tables import Server
from ....documents.setups import Account, Setup
from ....documents.xml import NotXmlError, parse, text_of
from ...clients import Client
from ...net.conversations import in_base64
from ...net.http import Response, fetch_once, follow_redirects
from ...net.mail import Outcome
from ...net.resolver import LookupFailed
from ...net.tcp import Network, ProbeError
from ...net.untrusted import Secrets, split_url, unquoted
from .. import texts
from ..context import Context, Play
from ..facts import Facts, Request, each_of
from ..findings import OK, Case, Finding, finding, shown
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


def request_for(url: str) -> Request:
    """Return a client's first request, which has no credentials."""
    return Request(url, "PROPFIND", _PROPFIND, _HEADERS)


def request_of(type_: str, url: str) -> Request:
    return Request(url) if type_ == "jmap" else request_for(url)


def url_requests(client: Client, case: Case) -> list[Request]:
    """Return the requests for the .well-known URLs, in the order of the types."""
    routes = case.family(client.family).routes
    paths = {route.path.rpartition("/")[2]: route.path for route in routes}
    return [request_for(f"https://{case.domain}{paths[type_]}") for type_ in _TYPES]


# --- What a client finds ----------------------------------------------------------------


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return the calendars and address books that a client finds (RFC 6764, section 6)."""
    played = Play(client)
    accounts = []
    servers = [server for _, server in case.provider.servers] if case.provider else []
    for type_, (url, *_) in zip(_TYPES, url_requests(client, case), strict=True):
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
    response, wrong = _asked(case, facts, request_for(url), type_)
    # A site that asks for a login everywhere may have no calendars.
    is_bare = response.status == 401 and not (
        response.redirects or by_srv or case.provider
    )
    if (
        is_bare
        and web.asked(case, facts, Request(f"https://{case.domain}/"))[0].status == 401
    ):
        return None, missing
    code, is_dav = wrong.code if wrong else "", _is_dav(response, type_)
    if wrong and (code == _NOT_ASKED or (code == _DOWNGRADED and not is_dav)):
        return None, wrong
    if wrong is not None and not response.status:
        if web.ABSENT not in wrong.marks or (by_srv and case.provider):
            return None, wrong.within("dav", type=type_)
        at, target = f"{by_srv} SRV", split_url(url).netloc
        dead = finding("dav.srv-dead", at, type=type_, target=target, reason=wrong.seen)
        return None, dead if by_srv else missing
    if wrong is not None and code not in (_DOWNGRADED, _OPEN):
        is_404 = response.status in (404, 405, 410, 501) and not response.is_forged
        is_missing = is_404 and not response.redirects and not by_srv
        usual = ("/", f"/.well-known/{type_}")
        if by_srv and response.status == 404 and split_url(url).path not in usual:
            wrong = wrong.within("txt-path", at=by_srv)
        if code == "dav.led-astray" and wanted:
            wrong = wrong._replace(advice=f"redirect to {shown(wanted)}")
        return None, missing if is_missing else wrong

    here = "the server answers at this URL"
    led = f"it leads to {shown(response.url)}" if response.redirects else here
    # The URL of the file stays, even where the server redirects further.
    known = known_part(wanted, case.domain) if wanted else ""
    end = known if known in (*response.redirects, response.url) else response.url
    # Without a name where DNS alone says whose server it is (RFC 6764, section 8).
    is_sure = response.is_verified and case.has(split_url(url).hostname or "")
    account = Account(type_, "", 0, "", PLACEHOLDERS[0] if is_sure else None, url=end)
    if wrong is None and response.url.startswith("http:"):
        at, target = f"{by_srv} SRV", shown(response.url)
        return account, finding("dav.unencrypted", at, type=type_, target=target)
    return account, wrong or finding("dav.found", url, type=type_, led=led)


def _beside_srv(case: Case, facts: Facts, type_: str, url: str) -> Iterator[Finding]:
    """Yield a wrong redirect of the .well-known URL, needless beside SRV records."""
    response, wrong = _asked(case, facts, request_for(url), type_)
    path, led = (split_url(it).path.strip("/") for it in (url, response.url))
    # What stands in the way of every path has a finding of its own.
    if (
        wrong is not None
        and not response.is_forged
        and wrong.code not in (*_TOLD, _OPEN)
    ):
        is_led = (
            wrong.code == _DOWNGRADED or not response.status or led not in ("", path)
        )
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
    case: Case, facts: Facts, request: Request, type_: str
) -> tuple[Response, Finding | None]:
    """Return the response of a server, and what is wrong; without any its status is 0."""
    response, wrong = web.asked(case, facts, request)
    if response.status == 405 and "dav" not in response.headers:
        # A web server without DAV refuses PROPFIND even where it has nothing.
        there, found = web.asked(case, facts, Request(request.url))
        response, wrong = (there, found) if there.status == 404 else (response, wrong)
    if response.status and not response.is_forged:
        is_jmap = type_ == "jmap" and response.status in (200, 401)
        told = (*texts.patterns("refusal"), "http.page-leads")
        is_told = wrong is not None and wrong.code in told
        if wrong is None or not (is_told or response.status >= 500):
            wrong = _not_dav(response, request.url, type_)
        wrong = (
            None if is_jmap or _is_dav(response, type_) else wrong._replace(around=())
        )
        if wrong is None and type_ in _TYPES and _principals(response) == [""]:
            wrong = finding(_OPEN, request.url, type=type_)
    elif wrong is not None and not response.status:
        wrong = web.by_redirect(facts, request, wrong, "dav-redirect")
    for hop, target in pairwise(web.hops(facts, request)):
        if not hop.startswith("https:") or not target.startswith("http:"):
            continue
        got = f"it redirects from https to http: {shown(target)}"
        wrong = finding(_DOWNGRADED, request.url, type=type_, got=got)
        wrong = wrong.marked("" if _is_dav(response, type_) else "only way")
    return response, wrong


def _is_dav(response: Response, type_: str) -> bool:
    """Return whether it is a response of DAV, or a request to authenticate (RFC 4918)."""
    if response.status == 401:
        return bool(response.headers.get("www-authenticate"))
    if response.status == 207:
        return type_ not in _TYPES or bool(_principals(response))
    return "dav" in response.headers and response.status in (200, 204, 403)


def _principals(response: Response) -> list[str]:
    """Return the URLs of the person, "" for somebody unauthenticated (RFC 5397)."""
    with suppress(NotXmlError):
        found = parse(response.body).iter("{DAV:}current-user-principal")
        return [text_of(it) for it in found if len(it)]
    return []


def _without_password(response: Response) -> str:
    """Return the schemes of a server that takes no password, or ""."""
    schemes = response.schemes if response.status == 401 else set()
    has_password = any(name.lower() in _WITH_PASSWORD for name in schemes)
    return "" if has_password else ", ".join(sorted(schemes))


def _not_dav(response: Response, url: str, type_: str) -> Finding:
    code, title = "dav.none", web.title_and_text(response)[0]
    where = f" (“{title}”)" if title else ""
    if response.redirects:
        where += f" at {shown(response.url)}, where it redirects to"
    if response.status == 401:
        code = "dav.no-authenticate"
    elif response.status == 207:
        code, where = "dav.no-principal", shown(response.url)
    elif response.status == 200 and web.is_web_page(response):
        code, where = "dav.web-page", shown(response.url)
    elif response.status == 405 and (
        not response.redirects or "dav" in split_url(response.url).path.lower()
    ):
        code = "dav.method-refused"
    elif response.redirects:
        code = "dav.led-astray"
    return finding(code, url, type=type_, status=response.status, where=where)


# --- The servers of a file or document --------------------------------------------------


def look(context: Context) -> list[Finding]:
    """Return whether each server with a URL answers."""
    listed = context.provider.servers if context.provider else ()
    servers = [it for _, it in listed if it.type in URL_TYPES and it.url]
    found = each_of(partial(_server, context), dict.fromkeys(servers))
    found += each_of(partial(_led_to, context), context.led_to)
    return found if context.case.provider else [*found, *_by_jmap_record(context)]


def led_to(context: Context) -> Iterator[Server]:
    """Yield the servers that clients find by verified https, and no document lists."""
    listed = context.provider.servers if context.provider else ()
    known = {(it.url or "").rstrip("/") for _, it in listed}
    for play in () if context.case.provider else context.plays:
        is_sure = play.found is not None and play.found.response.is_verified
        is_profile = play.client.family == "apple" and is_sure
        for one in play.accounts if is_profile or play.client.family == "dav" else ():
            name = one.username or (PLACEHOLDERS[0] if is_profile else "")
            if one.type in _TYPES and name and one.url.rstrip("/") not in known:
                yield Server(one.type, url=one.url, username=name)


def _led_to(context: Context, server: Server) -> Iterator[Finding]:
    plays = [
        it for it in context.plays if server.url in [one.url for one in it.accounts]
    ]
    # Programs know the OAuth2 of some servers, and devices try other paths of a host.
    is_path_known = "/.well-known/" not in str(server.url)
    harmless = ("dav.no-password", "" if is_path_known else "dav.server-wrong")
    for found in _server(context, server):
        for play in plays if found.status != OK else ():
            found = found.hurting(play.client.name)
            if play.client.family == "apple":
                found = found.within("in-profile", place=play.place)
        if found.code not in harmless:
            yield found


def _by_jmap_record(context: Context) -> Iterator[Finding]:
    """Yield whether a JMAP server is where the SRV record says (RFC 8620, section 2.2)."""
    record = f"_jmap._tcp.{context.case.domain}"
    for host, port in context.facts.targets(record)[:1]:
        at = host if port == 443 else f"{host}:{port}"
        url = f"https://{at}/.well-known/jmap"
        for found in _server(context, Server(type="jmap", url=url)):
            is_good = found.status == OK
            yield found if is_good else found.within("by-record", record=record)


def _server(context: Context, server: Server) -> Iterator[Finding]:
    case, facts = context.case, context.facts
    url = fill_in_url(server.url, case.domain, case.address)
    url = url or known_part(server.url or "", case.domain)
    if not url:
        yield finding("dav.not-tried", server.url or "")
        return
    response, wrong = _asked(case, facts, request_of(server.type, url), server.type)
    host = split_url(response.url).hostname or ""
    if response.certificate is not None:
        yield of_certificate("server", url, response.certificate, host)
    schemes = _without_password(response) if server.type != "jmap" else ""
    if wrong is None and schemes and "OAuth2" not in server.authentication:
        shut = finding("dav.no-password", url, type=server.type, schemes=schemes)
        plays = [it for it in context.plays if it.client.family == "dav" and it.setup]
        yield shut.marked("only way").hurting(*(it.client.name for it in plays))
    elif wrong is None:
        yield finding("dav.server-found", url, type=server.type)
    elif wrong.code in (_DOWNGRADED, _NOT_ASKED, _OPEN):
        yield wrong
    elif not response.status:
        is_unknown = wrong.code == "http.absent" and not facts.exists(host)
        code = "dav.server-unknown" if is_unknown else "dav.server-dead"
        said = {"got": wrong.seen, "type": server.type, "host": host}
        found = finding(code, url, advice=wrong.cure, **said)
        yield found.marked(*wrong.marks & {"late"})
    elif not response.is_forged:
        is_login = wrong.code == "dav.no-authenticate"
        code = "dav.server-no-authenticate" if is_login else "dav.server-wrong"
        is_ours = wrong.code.startswith("dav.") and wrong.code not in _OF_SERVER
        cure = "" if is_ours else wrong.cure
        slashed = "" if url.endswith("/") else f"{url}/"
        if slashed and _is_dav(
            web.asked(case, facts, request_for(slashed))[0], server.type
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

    def asked(url: str) -> Response:
        if split_url(url).netloc != host:
            raise ProbeError("login", "it leads to another host or port")
        request = request_of(type_, url)
        response = sent_with(request, f"Basic {token}")
        answer = _digest(response, request, user, password)
        return sent_with(request, answer) if answer else response

    def sent_with(request: Request, value: str) -> Response:
        headers = (*request.headers, ("Authorization", value))
        return fetch_once(network, request._replace(headers=headers))

    def said_by(response: Response) -> str:
        secrets.add(token)
        return secrets.quoted(f"status {response.status}{web.beyond_status(response)}")

    try:
        response = follow_redirects(asked, url)
        if response.status == 401:
            if response.schemes and not _schemes(response) & {"basic", "digest"}:
                raise ProbeError("login", "the server takes no login by Basic")
            return Outcome("login", said_by(response))
        good, form = (200, "json") if type_ == "jmap" else (207, "xml")
        if response.status != good:
            return Outcome("dav", said_by(response))
        if form not in response.content_type:
            return Outcome("dav", f"its Content-Type is not that of {form.upper()}")
        return _at_principal(asked, said_by, response) if type_ in _TYPES else Outcome()
    except ProbeError as error:
        message = secrets.quoted(str(error))
        raise ProbeError(error.kind, message, error.cure) from error


def _digest(response: Response, request: Request, user: str, password: str) -> str:
    """Return the answer to a challenge of Digest alone (RFC 7616), else "".

    Raises ProbeError for a challenge that cannot be answered.
    """
    if response.status != 401 or _schemes(response) != {"digest"}:
        return ""
    known = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    known.add_password(None, request.url, user, password)
    unsent = urllib.request.Request(request.url, method=request.method)  # noqa: S310
    listed = urllib.request.parse_http_list(
        response.headers["www-authenticate"].partition(" ")[2]
    )
    with suppress(ValueError, LookupError, OSError):  # another algorithm or form
        challenge = urllib.request.parse_keqv_list(listed)
        answer = urllib.request.HTTPDigestAuthHandler(known).get_authorization(
            unsent, challenge
        )
        if answer:
            return f"Digest {answer}"
    raise ProbeError("login", "the server takes no login by Basic, or by Digest as MD5")


def _schemes(response: Response) -> set[str]:
    return {name.lower() for name in response.schemes}


def _at_principal(
    asked: Callable[[str], Response],
    said_by: Callable[[Response], str],
    response: Response,
) -> Outcome:
    """Ask for the person's own collection, as clients do next (RFC 5397)."""
    paths = list(filter(None, listed := _principals(response)))
    if listed and not paths:
        return Outcome("dav", "it answers as to a stranger (unauthenticated)")
    if not paths:
        return Outcome("dav", "it names no current-user-principal for the login")
    own = urljoin(response.url, paths[0])
    if split_url(own).netloc != split_url(response.url).netloc:
        return Outcome("dav", "its current-user-principal is at another host or port")
    there = follow_redirects(asked, own)
    if there.status == 207:
        return Outcome()
    at = f"{said_by(there)} at its current-user-principal"
    # A proxy may remove the beginning of the path, which the server then does not know.
    begun, path = "", split_url(own).path
    for part in split_url(response.url).path.split("/")[1:3]:
        begun = f"{begun}/{part}"
        if part and not path.startswith(f"{begun}/"):
            with suppress(ProbeError):
                if asked(urljoin(own, begun + path)).status == 207:
                    return Outcome("dav", f"{at}, and it answers below {begun}")
    return Outcome("dav", at)
