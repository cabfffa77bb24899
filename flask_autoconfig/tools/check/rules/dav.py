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
from ..facts import Facts, Request, gather
from ..findings import OK, Case, Finding, finding, shown
from . import causes, web
from .connections import of_certificate

_PROPFIND = (
    b'<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop>'
    b"<current-user-principal/></prop></propfind>"
)
_HEADERS = (("Content-Type", "application/xml"), ("Depth", "0"))
_TYPES = ("caldav", "carddav")
_DOWNGRADED, _NOT_ASKED, _OPEN = "dav.downgraded", "http.port-not-asked", "dav.open"
_OF_SERVER = ("dav.method-refused", "dav.no-principal")  # whose cure fits its URL, too
_NO_SITE = texts.table("groups")["no_site"]  # what affects every path of a host
_BY_PATH = ("dav.none", "dav.not-published", "dav.led-astray", "dav.web-page")
URL_TYPES = (*_TYPES, "webdav", "jmap")
_WITH_PASSWORD = frozenset(("basic", "digest", "ntlm", "negotiate"))  # schemes


def request_of(type_: str, url: str) -> Request:
    """Return a client's first request, which has no credentials."""
    if type_ == "jmap":
        return Request(url)
    return Request(url, "PROPFIND", _PROPFIND, _HEADERS)


def url_requests(client: Client, case: Case) -> list[Request]:
    """Return the requests for the .well-known URLs, in the order of the types."""
    routes = case.family(client.family).routes
    paths = {route.path.rpartition("/")[2]: route.path for route in routes}
    return [request_of(kind, f"https://{case.domain}{paths[kind]}") for kind in _TYPES]


# --- What a client finds ----------------------------------------------------------------


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return the calendars and address books that a client finds (RFC 6764, section 6)."""
    played = Play(client)
    accounts = []
    servers = [server for _, server in case.provider.servers] if case.provider else []
    for type_, (well_known, *_) in zip(_TYPES, url_requests(client, case), strict=True):
        urls = (server.url for server in servers if server.type == type_)
        wanted = next(filter(None, urls), "")
        srv_url, srv_name = _by_srv(case, facts, type_)
        if case.provider is not None and not wanted:
            continue
        quotes = _quotation_marks(case, facts, type_)
        played.findings += quotes
        url = srv_url or well_known
        account, found = _follow(case, facts, type_, url, wanted, srv_name)
        if account is not None:
            accounts.append(account)
            played.findings.append(found)
            if srv_url:
                played.findings += _beside_srv(case, facts, type_, well_known)
        elif wanted or srv_url or found.code == "dav.no-principal":  # somebody meant it
            is_explained = quotes and found.code in _BY_PATH  # by the wrong path
            played.findings += [] if is_explained else [found]
    if accounts:
        played.setup = Setup(tuple(accounts))
    elif case.provider is not None and any(map(facts.exists, case.hosts)):
        played.findings = [
            found.marked("" if found.code == _NOT_ASKED else "only way")
            for found in played.findings
        ]
    return played


def _follow(
    case: Case, facts: Facts, type_: str, url: str, wanted: str, srv_name: str
) -> tuple[Account | None, Finding]:
    """Follow a URL, by the SRV record *srv_name* or the .well-known one, to the server."""
    missing = finding("dav.not-published", url, type=type_, wanted=wanted)
    response, problem = _fetched(case, facts, type_, url)
    is_meant = response.redirects or srv_name or case.provider
    if response.status == 401 and not is_meant:
        # A site that asks for a login everywhere may have no calendars.
        site, _ = web.fetch(case, facts, Request(f"https://{case.domain}/"))
        if site.status == 401:
            return None, missing
    code, is_dav = problem.code if problem else "", _is_dav(response, type_)
    if problem and (code == _NOT_ASKED or (code == _DOWNGRADED and not is_dav)):
        return None, problem
    record = f"{srv_name} SRV"
    if problem is not None and not response.status:
        if web.ABSENT not in problem.marks or (srv_name and case.provider):
            return None, problem.within("dav", type=type_)
        code, values = "dav.srv-dead", {"type": type_, "target": split_url(url).netloc}
        dead = finding(code, record, reason=problem.seen, **values)
        return None, dead if srv_name else missing
    if problem is not None and code not in (_DOWNGRADED, _OPEN):
        is_404 = response.status in (404, 405, 410, 501) and not response.is_forged
        is_missing = is_404 and not response.redirects and not srv_name
        usual = ("/", f"/.well-known/{type_}")
        if srv_name and response.status == 404 and split_url(url).path not in usual:
            problem = problem.within("txt-path", at=srv_name)
        if code == "dav.led-astray" and wanted:
            problem = problem._replace(advice=f"redirect to {shown(wanted)}")
        return None, missing if is_missing else problem

    target = f"it leads to {shown(response.url)}"
    answer = target if response.redirects else "the server answers at this URL"
    # The URL of the file stays, even where the server redirects further.
    known = known_part(wanted, case.domain) if wanted else ""
    final = known if known in (*response.redirects, response.url) else response.url
    # No user name where DNS alone says whose server it is (RFC 6764, section 8).
    is_sure = response.is_verified and case.has(split_url(url).hostname or "")
    account = Account(type_, "", 0, "", PLACEHOLDERS[0] if is_sure else None, url=final)
    if problem is None and response.url.startswith("http:"):
        code, target = "dav.unencrypted", shown(response.url)
        return account, finding(code, record, type=type_, target=target)
    return account, problem or finding("dav.found", url, type=type_, led=answer)


def _beside_srv(case: Case, facts: Facts, type_: str, url: str) -> Iterator[Finding]:
    """Report a wrong redirect of the .well-known URL, needless beside SRV records."""
    response, problem = _fetched(case, facts, type_, url)
    # What stands in the way of every path has a finding of its own.
    if problem and not response.is_forged and problem.code not in (*_NO_SITE, _OPEN):
        path, final = (split_url(one).path.strip("/") for one in (url, response.url))
        is_elsewhere = not response.status or final not in ("", path)
        is_elsewhere = is_elsewhere or problem.code == _DOWNGRADED
        code = "dav.well-known" if is_elsewhere else "dav.well-known-absent"
        yield finding(code, url, type=type_, got=problem.seen)


def _by_srv(case: Case, facts: Facts, type_: str) -> tuple[str, str]:
    """Return the URL that the SRV and TXT records give, and their name, or ""."""
    services = ((f"{type_}s", "https", 443), (type_, "http", 80))
    for service, scheme, usual in services[:1] if case.provider else services:
        name = f"_{service}._tcp.{case.domain}"
        for host, port in facts.targets(name)[:1]:
            if (scheme, port) == ("http", 443):
                continue
            with suppress(LookupFailed):
                values = facts.txt(name)
                paths = [text[5:] for text in values if text.startswith("path=/")]
                path = paths[0] if paths else f"/.well-known/{type_}"
                netloc = host if port == usual else f"{host}:{port}"
                return f"{scheme}://{netloc}{path}", name
    return "", ""


def _quotation_marks(case: Case, facts: Facts, type_: str) -> list[Finding]:
    """Report quotation marks that were typed into the TXT record of the path."""
    name = f"_{type_}s._tcp.{case.domain}"
    with suppress(LookupFailed):
        for value in facts.txt(name):
            if value != (path := unquoted(value)) and path.startswith("path="):
                code, record = "dav.txt-quoted", f"{name} TXT"
                return [finding(code, record, type=type_, value=value, path=path)]
    return []


def _fetched(case: Case, facts: Facts, type_: str, url: str) -> web.Answer:
    """Return the response of a server, of status 0 without any, and its problem."""
    request = request_of(type_, url)
    response, problem = web.fetch(case, facts, request)
    is_refused = False  # by a firewall, which lets GET through
    if response.status in (403, 405) and "dav" not in response.headers:
        page, absent = web.fetch(case, facts, Request(url))
        is_refused = response.status == 403 and page.status in (200, 401)
        # A web server without DAV refuses PROPFIND even where it has nothing.
        if response.status == 405 and page.status == 404:
            response, problem = page, absent
    is_dav = _is_dav(response, type_)
    if response.status and not response.is_forged:
        is_jmap = type_ == "jmap" and response.status in (200, 401)
        kept = (*texts.patterns("refusal"), "http.page-leads", "http.bot-protection")
        is_kept = response.status >= 500 or (problem and problem.code in kept)
        if problem is None or not is_kept:
            problem = _not_dav(response, url, type_)
            if is_refused:
                where = " with status 403"
                problem = finding("dav.method-refused", url, type=type_, where=where)
        problem = None if is_jmap or is_dav else problem._replace(around=())
        if problem is None and type_ in _TYPES and _principals(response) == [""]:
            problem = finding(_OPEN, url, type=type_)
    elif problem is not None and not response.status:
        problem = causes.by_redirect(facts, request, problem, "dav-redirect")
    for hop, target in pairwise(web.redirect_chain(facts, request)):
        if hop.startswith("https:") and target.startswith("http:"):
            got = f"it redirects from https to http: {shown(target)}"
            problem = finding(_DOWNGRADED, url, type=type_, got=got)
            problem = problem.marked("" if is_dav else "only way")
    return response, problem


def _is_dav(response: Response, type_: str) -> bool:
    """Return whether a response is one of DAV (RFC 4918), or asks for a login."""
    if response.status == 401:
        return bool(response.headers.get("www-authenticate"))
    if response.status == 207:
        return type_ not in _TYPES or bool(_principals(response))
    return "dav" in response.headers and response.status in (200, 204, 403)


def _principals(response: Response) -> list[str]:
    """Return the URLs of the person, "" for somebody unauthenticated (RFC 5397)."""
    with suppress(NotXmlError):
        elements = parse(response.body).iter("{DAV:}current-user-principal")
        return [text_of(element) for element in elements if len(element)]
    return []


def _without_password(response: Response) -> str:
    """Return the schemes of a server that takes no password, or ""."""
    takes_none = _schemes(response).isdisjoint(_WITH_PASSWORD)
    is_shut = takes_none and response.status == 401
    return ", ".join(sorted(response.schemes)) if is_shut else ""


def _not_dav(response: Response, url: str, type_: str) -> Finding:
    """Return the finding for a response that is none of DAV."""
    code, title = "dav.none", web.title_and_text(response)[0]
    where = f" (“{title}”)" if title else ""
    is_dav_url = "dav" in split_url(response.url).path.lower()
    if response.redirects:
        where += f" at {shown(response.url)}, where it redirects to"
    if response.status == 401:
        code = "dav.no-authenticate"
    elif response.status == 207:
        code, where = "dav.no-principal", shown(response.url)
    elif response.status == 200 and web.is_web_page(response):
        code, where = "dav.web-page", shown(response.url)
    elif response.status == 405 and (is_dav_url or not response.redirects):
        code = "dav.method-refused"
    elif response.redirects:
        code = "dav.led-astray"
    return finding(code, url, type=type_, status=response.status, where=where)


# --- The servers of a file or document --------------------------------------------------


def check_urls(context: Context) -> list[Finding]:
    """Report whether each server with a URL answers."""
    listed = context.provider.servers if context.provider else ()
    servers = [row for _, row in listed if row.type in URL_TYPES and row.url]
    findings = gather(partial(_server, context), dict.fromkeys(servers))
    return findings + gather(partial(_found_by_clients, context), context.led_to)


def led_to(context: Context) -> Iterator[Server]:
    """Yield the servers that clients find by verified https, and no document lists."""
    listed = context.provider.servers if context.provider else ()
    known = {(server.url or "").rstrip("/") for _, server in listed}
    for play in () if context.case.provider else context.plays:
        is_verified = play.outcome is not None and play.outcome.response.is_verified
        is_profile = play.client.family == "apple" and is_verified
        is_read = is_profile or play.client.family == "dav"
        for type_, *_, name, _, url in play.accounts if is_read else ():
            name = name or (PLACEHOLDERS[0] if is_profile else "")
            if type_ in _TYPES and name and url.rstrip("/") not in known:
                yield Server(type_, url=url, username=name)


def _found_by_clients(context: Context, server: Server) -> Iterator[Finding]:
    """Report whether a server that clients find answers."""
    # Programs know the OAuth2 of some servers, and devices try other paths of a host.
    is_path_known = "/.well-known/" not in str(server.url)
    harmless = ("dav.no-password", "" if is_path_known else "dav.server-wrong")
    for found in _server(context, server):
        for play in context.plays if found.status != OK else ():
            if server.url in [account.url for account in play.accounts]:
                found = found.hurting(play.client.name)
                if play.client.family == "apple":
                    found = found.within("in-profile", place=play.place)
        if found.code not in harmless:
            yield found


def _server(context: Context, server: Server) -> Iterator[Finding]:
    """Report whether a server answers at its URL, and takes a password."""
    case, facts = context.case, context.facts
    url = fill_in_url(server.url, case.domain, case.address)
    url = url or known_part(server.url or "", case.domain)
    if not url:
        yield finding("dav.not-tried", server.url or "")
        return
    type_ = server.type
    response, problem = _fetched(case, facts, type_, url)
    host = split_url(response.url).hostname or ""
    if response.certificate is not None:
        yield of_certificate("server", url, response.certificate, host)
    schemes = _without_password(response) if type_ != "jmap" else ""
    if problem is None and schemes and "OAuth2" not in server.authentication:
        found = finding("dav.no-password", url, type=type_, schemes=schemes)
        clients = [play.client for play in context.plays if play.setup]
        names = (client.name for client in clients if client.family == "dav")
        yield found.marked("only way").hurting(*names)
    elif problem is None:
        yield finding("dav.server-found", url, type=type_)
    elif problem.code in (_DOWNGRADED, _NOT_ASKED, _OPEN):
        yield problem
    elif not response.status:
        is_unknown = problem.code == "http.absent" and not facts.exists(host)
        code = "dav.server-unknown" if is_unknown else "dav.server-dead"
        values = {"got": problem.seen, "type": type_, "host": host}
        found = finding(code, url, advice=problem.cure, **values)
        yield found.marked(*problem.marks & {"late"})
    elif not response.is_forged:
        is_login = problem.code == "dav.no-authenticate"
        code = "dav.server-no-authenticate" if is_login else "dav.server-wrong"
        # The cures of the others are for the .well-known URL.
        has_cure = not problem.code.startswith("dav.") or problem.code in _OF_SERVER
        cure = problem.cure if has_cure else ""
        yield finding(code, url, advice=cure, got=problem.seen, type=type_)


def log_in(network: Network, type_: str, url: str, user: str, password: str) -> Outcome:
    """Log in by Basic (RFC 7617), or by Digest if that is asked for; raise ProbeError.

    Redirects are followed within the host; the error's kind is "login" if the password
    would go elsewhere or over a connection that cannot be trusted, or the server wants
    another scheme.
    """
    token, secrets = in_base64(f"{user}:{password}"), Secrets(password)
    host = split_url(url).netloc

    def fetch(url: str) -> Response:
        if split_url(url).netloc != host:
            raise ProbeError("login", "it leads to another host or port")
        request = request_of(type_, url)
        response = send(request, f"Basic {token}")
        answer = _digest(response, request, user, password)
        return send(request, answer) if answer else response

    def send(request: Request, authorization: str) -> Response:
        headers = (*request.headers, ("Authorization", authorization))
        return fetch_once(network, request._replace(headers=headers))

    def quote(response: Response) -> str:
        secrets.add(token)
        return secrets.quoted(f"status {response.status}{web.beyond_status(response)}")

    try:
        response = follow_redirects(fetch, url)
        if response.status == 401:
            if response.schemes and not _schemes(response) & {"basic", "digest"}:
                raise ProbeError("login", "the server takes no login by Basic")
            return Outcome("login", quote(response))
        status, form = (200, "json") if type_ == "jmap" else (207, "xml")
        if response.status != status:
            return Outcome("dav", quote(response))
        if form not in response.content_type:
            return Outcome("dav", f"its Content-Type is not that of {form.upper()}")
        return _at_principal(fetch, quote, response) if type_ in _TYPES else Outcome()
    except ProbeError as error:
        message = secrets.quoted(str(error))
        raise ProbeError(error.kind, message, error.cure) from error


def _digest(response: Response, request: Request, user: str, password: str) -> str:
    """Return the answer to a challenge of Digest alone (RFC 7616), else "".

    Raise ProbeError for a challenge that cannot be answered.
    """
    if response.status != 401 or _schemes(response) != {"digest"}:
        return ""
    passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    passwords.add_password(None, request.url, user, password)
    handler = urllib.request.HTTPDigestAuthHandler(passwords)
    unsent = urllib.request.Request(request.url, method=request.method)  # noqa: S310
    _, _, parameters = response.headers["www-authenticate"].partition(" ")
    listed = urllib.request.parse_http_list(parameters)
    with suppress(ValueError, LookupError, OSError):  # another algorithm or form
        challenge = urllib.request.parse_keqv_list(listed)
        if answer := handler.get_authorization(unsent, challenge):
            return f"Digest {answer}"
    raise ProbeError("login", "the server takes no login by Basic, or by Digest as MD5")


def _schemes(response: Response) -> set[str]:
    return {name.lower() for name in response.schemes}


def _at_principal(
    fetch: Callable[[str], Response],
    quote: Callable[[Response], str],
    response: Response,
) -> Outcome:
    """Ask for the person's own collection, as clients do next (RFC 5397)."""
    principals = _principals(response)
    if not principals:
        return Outcome("dav", "it names no current-user-principal for the login")
    if not any(principals):
        return Outcome("dav", "it answers as to a stranger (unauthenticated)")
    url = urljoin(response.url, next(filter(None, principals)))
    if split_url(url).netloc != split_url(response.url).netloc:
        return Outcome("dav", "its current-user-principal is at another host or port")
    answer = follow_redirects(fetch, url)
    if answer.status == 207:
        return Outcome()
    return Outcome("dav", f"{quote(answer)} at its current-user-principal")
