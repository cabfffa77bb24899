"""Real logins with the published user name and method, and their findings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from msgspec import structs

from ...address import fill_in, fill_in_url, unfold
from ...config.ports import MAIL_TYPES
from ...config.tables import WITHOUT_LOGIN, Server
from .. import ending
from ..naming import base_domain
from ..net.conversations import meaning
from ..net.mail import PATIENCE, Endpoint, Outcome, log_in
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from . import texts
from .facts import side_by_side
from .findings import FAILURE, OK, Case, Finding, finding
from .rules import dav
from .rules.servers import endpoint_of
from .run import ClientResult, reach

_MARGIN = 10.0  # seconds for computing, on top of waiting for servers

_LOGINS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}


class Try(NamedTuple):
    """A login at a server, and its outcome."""

    server: Server
    subject: str
    endpoint: Endpoint
    user: str
    is_in: bool = False
    outcome: Outcome = Outcome()
    finding: Finding | None = None  # None where the server refused name or password


def for_login(
    case: Case, listed: Iterable[Server], findings: Iterable[Finding]
) -> tuple[list[Server], list[Finding]]:
    """Return the servers to log in at, and findings about the others.

    A server with a failure gets no password, nor does one that was not looked at.
    """
    seen: dict[str, bool] = {}  # whether a server has a failure
    for found in findings:
        for place in found.places if found.step == "server" else ():
            seen[place] = seen.get(place, False) or found.status == FAILURE
    servers: dict[object, Server] = {}  # one for each URL
    others = []
    for server in listed:
        is_known = server.type in (*MAIL_TYPES, *dav.URL_TYPES)
        if not is_known or server.authentication[0] in WITHOUT_LOGIN:
            continue
        subject = place_of(case, server)
        if not server.username:
            others.append(finding("login.no-user-name", subject))
        elif subject not in seen:
            others.append(finding("login.server-unseen", subject))
        elif seen[subject]:
            others.append(finding("login.server-faulty", subject))
        else:
            servers.setdefault(subject if server.url else server, server)
    return [*servers.values()], others


def as_published(
    case: Case, listed: Iterable[Server], results: Iterable[ClientResult]
) -> list[Server]:
    """Return the listed servers with the other methods that clients set up there."""
    setups = [
        result.sets_up.servers for result in results if result.sets_up is not None
    ]
    used = dict.fromkeys((it.authentication, Endpoint.of(it)) for it in chain(*setups))
    return [
        structs.replace(server, authentication=(method,))
        for server in listed
        for method, endpoint in used
        if method in _LOGINS and method not in server.authentication
        if endpoint == endpoint_of(case, server)
    ]


def place_of(case: Case, server: Server) -> str:
    """Return the URL of a server, or what it is and its host, port and encryption."""
    url = fill_in_url(server.url, case.domain, case.address) if server.url else ""
    return url or str(endpoint_of(case, server))


def logged_in(
    case: Case,
    network: Network,
    servers: Iterable[Server],
    password: str,
    may_retry: Callable[[str, str], bool],
    results: Sequence[ClientResult],
) -> tuple[list[Finding], tuple[ClientResult, ...]]:
    """Log in at each of the servers; return findings, and the results for the clients then.

    At the first server that refuses, another mechanism, another address of its host or
    the other form of the user name is tried, if *may_retry* allows it, which gets the name
    and the server. It is one login only, since servers count failures and lock accounts.
    """
    wait = PATIENCE + network.timeout  # servers may delay a login

    def log_in_at(
        servers: Iterable[Server], only: str = "", user: str = "", by: str = ""
    ) -> list[Try]:
        there = reach(case, replace(network, only=only), wait)
        log_in_here = partial(_try, case, there, password, user, by)
        with ending.within(wait + _MARGIN, "the logins"):
            return side_by_side(partial(log_in_here, server) for server in servers)

    tries, again = log_in_at(servers), None
    first = next((each for each in tries if each.finding is None), None)
    if first is not None and case.address is not None:
        address = str(case.address)
        other = case.address.local if first.user == address else address
        by, where = first.outcome.other, place_of(case, first.server)
        # Where another server accepts the name, the fault may be of one address.
        is_known = any(it.is_in and it.user == first.user for it in tries)
        at = first.outcome.elsewhere if is_known and not by else ""
        if by or at:
            other, where = first.user, f"{where} by {by}" if by else f"{where} ({at})"
        if may_retry(other, where):
            (again,) = log_in_at([first.server], at, other, by)
    found = _findings(case, tries, again, password.isascii())
    return _after(case, found, tries, results)


def _after(
    case: Case,
    findings: Iterable[Finding],
    tries: Iterable[Try],
    results: Sequence[ClientResult],
) -> tuple[list[Finding], tuple[ClientResult, ...]]:
    tried = {it.subject: it for it in tries}
    told = []
    stops: dict[str, str] = {}
    for found in findings:
        if found.status == FAILURE and found.subject in tried:
            login = tried[found.subject]
            found = found.hurting(
                *(it.client for it in results if _uses(case, it, login))
            )
            stops = dict.fromkeys(found.clients, str(found)) | stops
        told.append(found)
    return told, tuple(
        replace(result, works=False, stopped_by=stops[result.client])
        if result.works is not False and result.sets_up and result.client in stops
        else result
        for result in results
    )


def _uses(case: Case, result: ClientResult, login: Try) -> bool:
    """Return whether a client makes this login; its calendars count only without mail."""
    accounts = result.sets_up.servers if result.sets_up is not None else ()
    mail = [it for it in accounts if not it.url]
    others = _LOGINS.keys() - {*login.server.authentication}
    if not mail:
        return login.subject in [it.url for it in accounts]
    names = ("", login.user)
    used = [
        it
        for it in mail
        if it.authentication not in others
        and fill_in(it.username, case.domain, case.address) in names
    ]
    return not login.server.url and login.endpoint in map(Endpoint.of, used)


def informed(
    findings: Sequence[Finding], logins: Sequence[Finding], whose: str
) -> Iterator[Finding]:
    """Yield the findings of a check and of its logins, with what each tells the other.

    *whose* are the settings that the logins were tried with.
    """
    groups = texts.table("groups")
    are_in = {it.status for it in logins} == {OK}
    failing = [it.subject for it in logins if it.code == "login.server-fault"]
    moved = [dict(it.values) for it in findings if it.code == "mx.elsewhere"]
    is_wrong = any(it.code == "login.wrong-name" for it in logins)
    for found in (*findings, *logins):
        is_bare = all(name.startswith("encryption-") for name, _ in found.around)
        if are_in and found.code in groups["by_login"] and is_bare:
            found = found.within("login-works", whose=whose)
        elif is_wrong and found.code in groups["contradictions"]:
            found = found.within("wrong-file", whose=whose).marked("explained")
        elif failing and found.code in groups["no_mailbox"]:
            found = found.within("server-fails", at=failing[0])
        elif moved and found.code in groups["no_mailbox"]:
            found = found.within("mailbox-moved", hoster=moved[0]["hoster"])
        yield found


# --- One login ------------------------------------------------------------------------


def _try(
    case: Case, network: Network, password: str, user: str, by: str, server: Server
) -> Try:
    endpoint = endpoint_of(case, server)
    user = user or fill_in(server.username, case.domain, case.address)
    method = next((each for each in server.authentication if each in _LOGINS), None)
    shown = method or server.authentication[0]
    name = shown if isinstance(shown, str) else shown.name
    subject = f"{endpoint.type} {endpoint.host}:{endpoint.port} {by or name}"
    if server.url:
        subject = place_of(case, server)
        host = split_url(subject).hostname or ""
        endpoint = endpoint._replace(host=host)
    login = Try(server, subject, endpoint, user)
    if method is None:
        return login._replace(finding=finding("login.other-method", subject))
    if endpoint.socket_type == "plain":
        return login._replace(finding=finding("login.unencrypted", subject))
    address = str(case.address)
    try:
        if server.url:
            outcome = dav.log_in(network, server.type, subject, user, password)
        else:
            methods = (by,) if by else _LOGINS[method]
            outcome = log_in(network, endpoint, methods, user, password, address)
    except ProbeError as error:
        if error.kind in ("login", "private", "port"):
            code = "login.not-possible"
            found = finding(code, subject, advice=error.cure, reason=error)
            return login._replace(finding=found)
        code = "login.no-answer"
        if not isinstance(error.__cause__, OSError):  # of the network, not the server's
            code = texts.code_of("login", str(error), code)
        login = login._replace(outcome=Outcome("", str(error), error.software))
        return login._replace(finding=_refusal(code, login))
    failed, said, *_ = outcome
    login = login._replace(is_in=failed != "login", outcome=outcome)
    code = texts.code_on("login", failed, "")
    if failed in ("sender", "recipient"):
        code = texts.code_of("sending", said, code)
    code = texts.code_of(failed, said, code)
    end = _refusal(code, login, address=address) if code else None
    return login._replace(finding=end)


# --- Findings -------------------------------------------------------------------------


def _findings(
    case: Case, tries: list[Try], again: Try | None, is_ascii: bool
) -> list[Finding]:
    accepted = {it.user: it for it in (again, *reversed(tries)) if it and it.is_in}
    refused = [each for each in tries if each.finding is None]
    findings, values = [], {}
    if again is not None:
        placeholder = "%EMAILADDRESS%" if "@" in again.user else "%EMAILLOCALPART%"
        values = {"tried": again.user, "at": again.subject, "placeholder": placeholder}
        values["elsewhere"] = refused[0].outcome.elsewhere
    for login in refused:
        is_usual = login.user == str(case.address)
        code = "login.refused" if is_usual else "login.refused-name"
        # The password is the same for all of them.
        there = accepted.get(login.user) or next(iter(accepted.values()), None)
        values |= {"other": there.subject, "name": there.user} if there else {}
        if again is not None and again.is_in and login.user == refused[0].user:
            is_first, code = login is refused[0], "login.wrong-name"
            code = code if is_first else "login.refused-as-well"
            if login.user == again.user:
                method = login.outcome.other and login.subject.split()[-1]
                way = method or ("address" if is_first else "")
                code = texts.code_on("login", way, "login.refused-here-alone")
        elif there is not None:
            hosters = {base_domain(it.endpoint.host) for it in (there, login)}
            here = "login.refused-here-alone"
            here = "login.refused-dav" if login.server.url else here
            code = "login.other-hoster" if len(hosters) > 1 else here
            code = code if login.user == there.user else "login.refused-name-here"
        elif again is not None and again.finding is None:
            code = "login.both-refused"
        if not accepted and not is_ascii:
            code = "login.not-ascii"
        findings.append(_refusal(code, login, **values))
        local, _, domain = login.user.rpartition("@")
        if not accepted and domain != (name := unfold(domain)):
            findings[-1] = findings[-1].within("unicode", form=f"{local}@{name}")
    return [*findings, *(each.finding for each in tries if each.finding is not None)]


def _refusal(code: str, login: Try, **values: Any) -> Finding:
    at = f" at {login.outcome.address} (its host has another address)"
    return finding(
        code,
        login.subject,
        user=login.user,
        said=login.outcome.said + meaning(login.outcome.said),
        asked_at=login.outcome.address,
        by_one=at if login.outcome.elsewhere else "",
        # Only mail servers say what they are; for calendars there is a usual program.
        software=login.outcome.software or ("Nextcloud" if login.server.url else ""),
        type=login.endpoint.type.upper(),
        **values,
    )
