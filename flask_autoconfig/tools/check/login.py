"""Real logins, with the published name and method."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from ...address import fill_in
from ...config.ports import MAIL_TYPES
from ...config.tables import WITHOUT_LOGIN, Provider, Server
from .. import ending
from ..net.mail import PATIENCE, Endpoint, log_in
from ..net.tcp import Network, ProbeError
from .facts import side_by_side
from .findings import Case, Finding, finding
from .rules.servers import endpoint_of
from .run import Fare
from .weigh import FAILURE

_MARGIN = 10.0  # seconds that computing may take, beside waiting for servers

_LOGINS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}


# What came of a try.
_IN, _REFUSED, _OWN_FAULT, _UNKNOWN = "in", "refused", "own fault", "unknown"


class Try(NamedTuple):
    """A login that was tried at a server, and what came of it."""

    server: Server
    subject: str
    endpoint: Endpoint
    user: str
    outcome: str  # in, refused, own fault (of the server), unknown
    said: str = ""  # by the server, where it refused
    finding: Finding | None = None  # where that is already known


def for_login(
    case: Case, provider: Provider, findings: Iterable[Finding]
) -> tuple[list[Server], list[Finding]]:
    """The servers to log in at, and what is to say of the others.

    A server that something is wrong with gets no password: that comes first. Nor does
    one that was not looked at.
    """
    seen = [it for it in findings if it.step == "server"]
    faulty = {place for it in seen if it.status == FAILURE for place in it.places}
    sound = {place for it in seen for place in it.places} - faulty
    servers, others = [], []
    for _, server in provider.servers:
        if server.type not in MAIL_TYPES or server.authentication[0] in WITHOUT_LOGIN:
            continue
        subject = str(endpoint_of(case, server))
        if server in servers:
            continue
        code = ""
        if not server.username:
            code = "login.no-user-name"
        elif subject in faulty:
            code = "login.server-faulty"
        elif subject not in sound:
            code = "login.server-unseen"
        if code:
            others.append(finding(code, subject))
        else:
            servers.append(server)
    return servers, others


def log_in_at(
    case: Case, network: Network, servers: Iterable[Server], password: str
) -> list[Try]:
    """A real login at each of the servers, with the published name."""
    with _ended(network):
        return side_by_side(
            partial(_try, case, network, it, password) for it in servers
        )


def once_more(
    case: Case,
    network: Network,
    tries: list[Try],
    password: str,
    may: Callable[[str, str], bool],
) -> Try | None:
    """One more try with the person's other name, at one server alone.

    Servers count failures and shut people out: so it is one, only where the name or the
    password can be what is wrong, and only if `may` says so, which gets the name and the
    server.
    """
    first = next((it for it in tries if it.outcome == _REFUSED), None)
    if first is None or case.address is None:
        return None
    address = str(case.address)
    other = case.address.local if first.user == address else address
    if not may(other, first.subject):
        return None
    with _ended(network):
        return _try(case, network, first.server, password, other)


def told(case: Case, tries: list[Try], again: Try | None) -> list[Finding]:
    """What the tries say, the cause before what follows from it."""
    others = [it for it in tries if it.outcome != _REFUSED]
    findings = [it.finding or _of_try(it) for it in others]
    let_in = {it.user: it.subject for it in reversed(tries) if it.outcome == _IN}
    refused = [it for it in tries if it.outcome == _REFUSED]
    if again is None or again.outcome not in (_IN, _REFUSED):
        return [*(_refusal(case, it, let_in) for it in refused), *findings]
    if again.outcome == _REFUSED:
        findings = [*(_refusal(case, it, let_in) for it in refused), *findings]
        if not let_in:
            findings.append(
                finding("login.both-refused", again.subject, user=again.user)
            )
        return findings
    first, *rest = refused
    follow = [
        _following(it, again) if it.user == first.user else _refusal(case, it, let_in)
        for it in rest
    ]
    return [_wrong_name(first, again), *follow, *findings]


def hurting(
    findings: Iterable[Finding], tries: Iterable[Try], fares: Iterable[Fare]
) -> list[Finding]:
    """The failures with the clients that set such a server up."""
    places = {it.subject: it.endpoint for it in tries}
    found = []
    for it in findings:
        hurt = [
            fare.client
            for fare in fares
            if fare.sets_up is not None
            and any(
                not account.url and Endpoint.of(account) == places.get(it.subject)
                for account in fare.sets_up.servers
            )
        ]
        found.append(it.hurting(*hurt) if it.status == FAILURE else it)
    return found


def fares_after(fares: Iterable[Fare], findings: Iterable[Finding]) -> tuple[Fare, ...]:
    """How clients fare when the logins are known: who is let in nowhere does not work."""
    stops: dict[str, Finding] = {}
    for found in findings:
        for client in found.clients if found.status == FAILURE else ():
            stops.setdefault(client, found)
    return tuple(
        replace(it, works=False, stopped_by=str(stops[it.client]))
        if it.works and it.client in stops
        else it
        for it in fares
    )


def _ended(network: Network) -> AbstractContextManager[None]:
    seconds = PATIENCE + network.timeout + _MARGIN
    return ending.within(seconds, "the logins")


# --- One try --------------------------------------------------------------------------


def _try(
    case: Case, network: Network, server: Server, password: str, user: str = ""
) -> Try:
    endpoint = endpoint_of(case, server)
    user = user or fill_in(server.username, case.domain, case.address)
    method = next((it for it in server.authentication if it in _LOGINS), None)
    first = method or server.authentication[0]
    shown = first if isinstance(first, str) else first.name
    subject = f"{endpoint.type} {endpoint.host}:{endpoint.port} {shown}"

    def ended(outcome: str, said: str = "", found: Finding | None = None) -> Try:
        return Try(server, subject, endpoint, user, outcome, said, found)

    if method is None:
        return ended(_UNKNOWN, found=finding("login.other-method", subject))
    if endpoint.socket_type == "plain":
        return ended(_UNKNOWN, found=finding("login.unencrypted", subject))
    try:
        refusal = log_in(
            network,
            endpoint,
            mechanisms=_LOGINS[method],
            user=user,
            password=password,
        )
    except ProbeError as error:
        is_refused = error.kind in ("login", "private")
        told = finding(
            "login.not-possible" if is_refused else "login.no-answer",
            subject,
            advice=error.cure if is_refused else "",
            user=user,
            reason=error,
        )
        return ended(_UNKNOWN, found=told)
    if not refusal:
        return ended(_IN)
    return ended(_OWN_FAULT if is_own_fault(refusal) else _REFUSED, refusal)


# RFC 5530, RFC 3206: what is no judgement of the name or the password.
_CODES = (
    *("[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[IN-USE]", "[LIMIT]"),
    *("[SYS/TEMP]", "[SYS/PERM]", "[LOGIN-DELAY]"),
)
_WORDS = re.compile(
    r"temporar|connection (refused|lost|reset|timed out)|auth(entication)? socket"
    r"|internal (server )?error|internal authentication fail|no such file"
    r"|permission denied to|cannot connect|can't connect|could not connect"
    r"|generic failure|no mechanism available|unable to authenticate at",
    re.IGNORECASE,
)


def is_own_fault(refusal: str) -> bool:
    """Whether a server says that it could not judge a login, whatever was typed.

    In SMTP that is any 4xx (RFC 5321, 4.2.1); elsewhere a code in brackets, and some
    servers say it in words alone.
    """
    is_transient = re.match(r"4\d\d[ -]", refusal) is not None
    has_code = any(it in refusal.upper()[:60] for it in _CODES)
    return is_transient or has_code or _WORDS.search(refusal) is not None


# --- What is said of it ---------------------------------------------------------------

_WHO_JUDGES = {
    "imap": "Dovecot: its passdb and its auth process",
    "pop3": "Dovecot: its passdb and its auth process",
    "smtp": "Postfix: smtpd_sasl_type and smtpd_sasl_path, which is Dovecot's socket",
}


def _of_try(it: Try) -> Finding:
    """Of who is let in, and of a server that could not judge."""
    if it.outcome == _IN:
        return finding("login.good", it.subject, user=it.user)
    return _of_refusal("login.server-fault", it)


def _of_refusal(code: str, it: Try, **values: Any) -> Finding:
    judge = _WHO_JUDGES[it.endpoint.type]
    return finding(code, it.subject, user=it.user, said=it.said, judge=judge, **values)


def _wrong_name(first: Try, again: Try) -> Finding:
    placeholder = "%EMAILADDRESS%" if "@" in again.user else "%EMAILLOCALPART%"
    return _of_refusal(
        "login.wrong-name", first, other=again.user, placeholder=placeholder
    )


def _following(it: Try, again: Try) -> Finding:
    host = again.endpoint.host
    return _of_refusal("login.refused-as-well", it, other_host=host)


def _refusal(case: Case, it: Try, let_in: Mapping[str, str]) -> Finding:
    """`let_in` are the names that another server took, with the same password."""
    if it.user in let_in:
        return _of_refusal("login.refused-here-alone", it, other=let_in[it.user])
    for name, where in let_in.items():
        return _of_refusal("login.refused-name-here", it, other=where, name=name)
    is_address = it.user == str(case.address)
    return _of_refusal("login.refused" if is_address else "login.refused-name", it)
