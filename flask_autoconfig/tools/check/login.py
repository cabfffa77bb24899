"""Real logins with the published user name and method, and their findings."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from ...address import fill_in, fill_in_url
from ...config.ports import MAIL_TYPES
from ...config.tables import WITHOUT_LOGIN, Server
from .. import ending
from ..net.mail import PATIENCE, Endpoint, Outcome, log_in
from ..net.tcp import Network, ProbeError
from ..net.untrusted import split_url
from . import texts
from .facts import run_concurrently
from .findings import FAILURE, OK, Case, Finding, finding
from .rules import dav
from .rules.servers import endpoint_of
from .run import ClientResult, reach

_MARGIN = 10.0  # seconds for computing, on top of waiting for servers

# The SASL mechanisms of methods.
_MECHANISMS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}


class Login(NamedTuple):
    """A login at a server, and its outcome."""

    server: Server
    subject: str  # of its findings
    endpoint: Endpoint
    user: str
    is_accepted: bool = False
    outcome: Outcome = Outcome()
    finding: Finding | None = None  # None where the server refused name or password


def servers_for_login(
    case: Case, servers: Iterable[Server], findings: Iterable[Finding]
) -> tuple[list[Server], list[Finding]]:
    """Return the servers to log in at, and findings about the others.

    A server with a failure gets no password, nor does one that was not checked.
    """
    of_servers = [found for found in findings if found.step == "server"]
    failures = (found for found in of_servers if found.status == FAILURE)
    checked = {place for found in of_servers for place in found.places}
    faulty = {place for found in failures for place in found.places}
    chosen: dict[object, Server] = {}  # one for each URL
    others = []
    for server in servers:
        is_supported = server.type in (*MAIL_TYPES, *dav.URL_TYPES)
        if not is_supported or server.authentication[0] in WITHOUT_LOGIN:
            continue
        subject = place_of(case, server)
        if not server.username:
            others.append(finding("login.no-user-name", subject))
        elif subject not in checked:
            others.append(finding("login.server-unseen", subject))
        elif subject in faulty:
            others.append(finding("login.server-faulty", subject))
        else:
            chosen.setdefault(subject if server.url else server, server)
    return [*chosen.values()], others


def place_of(case: Case, server: Server) -> str:
    """Return the URL of a server, or its protocol, host, port and encryption."""
    url = fill_in_url(server.url, case.domain, case.address) if server.url else ""
    return url or str(endpoint_of(case, server))


def log_in_everywhere(
    case: Case,
    network: Network,
    servers: Iterable[Server],
    password: str,
    may_retry: Callable[[str, str], bool],
    results: Sequence[ClientResult],
) -> Iterator[Finding]:
    """Log in at the servers; yield the findings, with the clients that they stop.

    At the first server that refuses the login, one more is tried, with the other form of
    the user name. *may_retry* gets the name and the server, and decides: servers count
    failures and lock accounts.
    """
    wait = PATIENCE + network.timeout  # servers may delay a login

    def log_in_at(servers: Iterable[Server], user: str = "") -> list[Login]:
        log_in_once = partial(_log_in, case, reach(case, network, wait), password, user)
        with ending.within(wait + _MARGIN):
            return run_concurrently(partial(log_in_once, server) for server in servers)

    logins, retry = log_in_at(servers), None
    refused = next((login for login in logins if login.finding is None), None)
    if refused is not None and case.address is not None:
        local, full = case.address.local, str(case.address)
        user = local if refused.user == full else full
        if may_retry(user, place_of(case, refused.server)):
            (retry,) = log_in_at([refused.server], user)
    by_subject = {login.subject: login for login in logins}
    for found in _findings(case, logins, retry):
        login = by_subject.get(found.subject)
        if login is not None and found.status == FAILURE:
            users = [result.client for result in results if _uses(case, result, login)]
            found = found.hurting(*users)
        yield found


def with_logins(result: ClientResult, findings: Iterable[Finding]) -> ClientResult:
    """Return the result for a client, by the findings of a check with logins."""
    if not result.sets_up:
        return result
    of_client = (found for found in findings if result.client in found.clients)
    failures = [found for found in of_client if found.status == FAILURE]
    of_logins = [found for found in failures if found.step == "login"]
    if of_logins and result.works is not False:
        return replace(result, works=False, stopped_by=str(of_logins[0]))
    return result if failures else replace(result, works=True, stopped_by="")


def _uses(case: Case, result: ClientResult, login: Login) -> bool:
    """Return whether a client makes this login; its calendars count only without mail."""
    accounts = result.sets_up.servers if result.sets_up is not None else ()
    mail = [account for account in accounts if not account.url]
    if not mail:
        return login.subject in [account.url for account in accounts]
    other_methods = _MECHANISMS.keys() - {*login.server.authentication}
    users = ("", login.user)
    endpoints = [
        Endpoint.of(account)
        for account in mail
        if account.authentication not in other_methods
        and fill_in(account.username, case.domain, case.address) in users
    ]
    return not login.server.url and login.endpoint in endpoints


def combined(
    findings: Sequence[Finding], logins: Sequence[Finding], whose: str
) -> Iterator[Finding]:
    """Yield the findings of a check and of its logins, which explain the former.

    *whose* are the settings that the logins were tried with.
    """
    groups = texts.table("groups")
    is_good = {found.status for found in logins} == {OK}
    is_name_wrong = any(found.code == "login.wrong-name" for found in logins)
    for found in (*findings, *logins):
        if is_good and found.code in groups["by_login"] and not found.around:
            found = found.within("login-works", whose=whose)
        elif is_name_wrong and found.code in groups["contradictions"]:
            found = found.within("wrong-file", whose=whose).marked("explained")
        yield found


def _log_in(
    case: Case, network: Network, password: str, user: str, server: Server
) -> Login:
    """Log in; *user* replaces the user name of the server if it is not empty."""
    endpoint = endpoint_of(case, server)
    user = user or fill_in(server.username, case.domain, case.address)
    methods = server.authentication
    method = next((method for method in methods if method in _MECHANISMS), None)
    shown = method or methods[0]
    name = shown if isinstance(shown, str) else shown.name
    subject = f"{endpoint.type} {endpoint.host}:{endpoint.port} {name}"
    if server.url:
        subject = place_of(case, server)
        endpoint = endpoint._replace(host=split_url(subject).hostname or "")
    login = Login(server, subject, endpoint, user)
    if method is None:
        return login._replace(finding=finding("login.other-method", subject))
    if endpoint.socket_type == "plain":
        return login._replace(finding=finding("login.unencrypted", subject))
    address = str(case.address)
    try:
        if server.url:
            outcome = dav.log_in(network, server.type, subject, user, password)
        else:
            mechanisms = _MECHANISMS[method]
            outcome = log_in(network, endpoint, mechanisms, user, password, address)
    except ProbeError as error:
        if error.kind in ("login", "private", "port"):
            code = "login.not-possible"
            found = finding(code, subject, advice=error.cure, reason=error)
            return login._replace(finding=found)
        code = "login.no-answer"
        if not isinstance(error.__cause__, OSError):  # not an error of the network
            code = texts.code_of("login", str(error), code)
        login = login._replace(outcome=Outcome("", str(error), error.software))
        return login._replace(finding=_refusal(code, login))
    failed_step, response, _ = outcome
    login = login._replace(is_accepted=failed_step != "login", outcome=outcome)
    code = texts.code_on("login", failed_step, "")
    if failed_step in ("sender", "recipient"):
        code = texts.code_of("sending", response, code)
    code = texts.code_of(failed_step, response, code)
    refusal = _refusal(code, login, address=address) if code else None
    return login._replace(finding=refusal)


def _findings(case: Case, logins: list[Login], retry: Login | None) -> list[Finding]:
    """Return the findings of logins; *retry* repeated the first that was refused."""
    accepted = {login.user: login for login in reversed(logins) if login.is_accepted}
    refused = [login for login in logins if login.finding is None]
    has_other_name = retry is not None and retry.is_accepted
    findings = []
    for login in refused:
        is_tried = login.user == str(case.address) or (retry and not has_other_name)
        code, values = "login.refused" if is_tried else "login.refused-name", {}
        if retry is not None and has_other_name and login is refused[0]:
            placeholder = "%EMAILADDRESS%" if "@" in retry.user else "%EMAILLOCALPART%"
            code = "login.wrong-name"
            values = {"tried": retry.user, "placeholder": placeholder}
        elif login.user in accepted and not has_other_name:  # with the same password
            code = "login.refused-here-alone"
            values = {"other": accepted[login.user].subject}
        findings.append(_refusal(code, login, **values))
    return [*findings, *(login.finding for login in logins if login.finding)]


def _refusal(code: str, login: Login, **values: Any) -> Finding:
    """Return the finding of a login, with what the server responded."""
    return finding(
        code,
        login.subject,
        user=login.user,
        said=login.outcome.said,
        # Only mail servers name their software; Nextcloud is usual for calendars.
        software=login.outcome.software or ("Nextcloud" if login.server.url else ""),
        type=login.endpoint.type.upper(),
        **values,
    )
