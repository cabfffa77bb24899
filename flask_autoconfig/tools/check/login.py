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


def with_other_methods(
    case: Case, servers: Iterable[Server], results: Iterable[ClientResult]
) -> list[Server]:
    """Return the servers once for each other method that clients set up there."""
    setups = (result.sets_up.servers for result in results if result.sets_up)
    accounts = list(chain(*setups))
    return [
        structs.replace(server, authentication=(account.authentication,))
        for server in servers
        for account in accounts
        if account.authentication in _MECHANISMS
        if account.authentication not in server.authentication
        if Endpoint.of(account) == endpoint_of(case, server)
    ]


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

    At the first server that refuses the login, one more is tried, with another mechanism,
    at another address of the host or with the other form of the user name. *may_retry*
    gets the name and the server, and decides: servers count failures and lock accounts.
    """
    wait = PATIENCE + network.timeout  # servers may delay a login

    def log_in_at(
        servers: Iterable[Server], only: str = "", user: str = "", mechanism: str = ""
    ) -> list[Login]:
        allowed = reach(case, replace(network, only=only), wait)
        log_in_once = partial(_log_in, case, allowed, password, user, mechanism)
        with ending.within(wait + _MARGIN):
            return run_concurrently(partial(log_in_once, server) for server in servers)

    logins, retry = log_in_at(servers), None
    refused = next((login for login in logins if login.finding is None), None)
    if refused is not None and case.address is not None:
        accepted = {login.user for login in logins if login.is_accepted}
        mechanism, address = refused.outcome.other, ""
        user, place = refused.user, place_of(case, refused.server)
        if mechanism:
            place = f"{place} by {mechanism}"
        elif user in accepted and (address := refused.outcome.elsewhere):
            # Other servers accept the name: the fault may be of one address.
            place = f"{place} ({address})"
        else:
            local, full = case.address.local, str(case.address)
            user = local if user == full else full
        if may_retry(user, place):
            (retry,) = log_in_at([refused.server], address, user, mechanism)
    by_subject = {login.subject: login for login in logins}
    for found in _findings(case, logins, retry, password.isascii()):
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
    """Yield the findings of a check and of its logins, each explained by the others.

    *whose* are the settings that the logins were tried with.
    """
    groups = texts.table("groups")
    is_good = {found.status for found in logins} == {OK}
    faulty = [found.subject for found in logins if found.code == "login.server-fault"]
    moved = [dict(found.values) for found in findings if found.code == "mx.elsewhere"]
    is_name_wrong = any(found.code == "login.wrong-name" for found in logins)
    for found in (*findings, *logins):
        is_bare = all(name.startswith("encryption-") for name, _ in found.around)
        if is_good and found.code in groups["by_login"] and is_bare:
            found = found.within("login-works", whose=whose)
        elif is_name_wrong and found.code in groups["contradictions"]:
            found = found.within("wrong-file", whose=whose).marked("explained")
        elif faulty and found.code in groups["no_mailbox"]:
            found = found.within("server-fails", at=faulty[0])
        elif moved and found.code in groups["no_mailbox"]:
            found = found.within("mailbox-moved", hoster=moved[0]["hoster"])
        yield found


def _log_in(
    case: Case, network: Network, password: str, user: str, sasl: str, server: Server
) -> Login:
    """Log in; *user* and *sasl*, a mechanism, replace those of the server if not empty."""
    endpoint = endpoint_of(case, server)
    user = user or fill_in(server.username, case.domain, case.address)
    methods = server.authentication
    method = next((method for method in methods if method in _MECHANISMS), None)
    shown = method or methods[0]
    name = sasl or (shown if isinstance(shown, str) else shown.name)
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
            mechanisms = (sasl,) if sasl else _MECHANISMS[method]
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
    failed_step, response, *_ = outcome
    login = login._replace(is_accepted=failed_step != "login", outcome=outcome)
    code = texts.code_on("login", failed_step, "")
    if failed_step in ("sender", "recipient"):
        code = texts.code_of("sending", response, code)
    code = texts.code_of(failed_step, response, code)
    refusal = _refusal(code, login, address=address) if code else None
    return login._replace(finding=refusal)


def _findings(
    case: Case, logins: list[Login], retry: Login | None, is_ascii_password: bool
) -> list[Finding]:
    """Return the findings of logins; *retry* repeated the first that was refused."""
    in_order = (retry, *reversed(logins))
    accepted = {login.user: login for login in in_order if login and login.is_accepted}
    refused = [login for login in logins if login.finding is None]
    findings, values = [], {}
    if retry is not None:
        placeholder = "%EMAILADDRESS%" if "@" in retry.user else "%EMAILLOCALPART%"
        values = {"tried": retry.user, "at": retry.subject, "placeholder": placeholder}
        values["elsewhere"] = refused[0].outcome.elsewhere
    for login in refused:
        is_address = login.user == str(case.address)
        code = "login.refused" if is_address else "login.refused-name"
        # The password is the same for all of them.
        other = accepted.get(login.user) or next(iter(accepted.values()), None)
        values |= {"other": other.subject, "name": other.user} if other else {}
        if retry is not None and retry.is_accepted and login.user == refused[0].user:
            is_first = login is refused[0]
            code = "login.wrong-name" if is_first else "login.refused-as-well"
            if login.user == retry.user:
                mechanism = login.outcome.other and login.subject.split()[-1]
                kind = mechanism or ("address" if is_first else "")
                code = texts.code_on("login", kind, "login.refused-here-alone")
        elif other is not None:
            hosts = (other.endpoint.host, login.endpoint.host)
            is_dav = bool(login.server.url)
            code = "login.refused-dav" if is_dav else "login.refused-here-alone"
            if login.user != other.user:
                code = "login.refused-name-here"
            elif len(set(map(base_domain, hosts))) > 1:
                code = "login.other-hoster"
        elif retry is not None and retry.finding is None:
            code = "login.both-refused"
        if not accepted and not is_ascii_password:
            code = "login.not-ascii"
        found = _refusal(code, login, **values)
        local, _, domain = login.user.rpartition("@")
        if not accepted and domain != (unfolded := unfold(domain)):
            found = found.within("unicode", form=f"{local}@{unfolded}")
        findings.append(found)
    return [*findings, *(login.finding for login in logins if login.finding)]


def _refusal(code: str, login: Login, **values: Any) -> Finding:
    """Return the finding of a login, with what the server responded."""
    one_address = f" at {login.outcome.address} (its host has another address)"
    return finding(
        code,
        login.subject,
        user=login.user,
        said=login.outcome.said + meaning(login.outcome.said),
        asked_at=login.outcome.address,
        by_one=one_address if login.outcome.elsewhere else "",
        # Only mail servers name their software; Nextcloud is usual for calendars.
        software=login.outcome.software or ("Nextcloud" if login.server.url else ""),
        type=login.endpoint.type.upper(),
        **values,
    )
