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
from ..mail import PATIENCE, Endpoint, log_in
from ..network import Network, ProbeError
from .causes.servers import endpoint_of
from .facts import side_by_side
from .findings import FAILURE, Case, Finding, failure, note, ok, warning
from .run import Fare

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
        if not server.username:
            why = "no user name is published for it"
        elif subject in faulty:
            why = "what is wrong with the server comes first"
        elif subject not in sound:
            why = "the server was not looked at"
        else:
            servers.append(server)
            continue
        others.append(warning("login", subject, "not tried", why))
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
            seen = (
                f"{again.user} is refused too: the password is wrong, or both names are"
            )
            findings.append(note("login", again.subject, seen))
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
                not account.url and account.endpoint == places.get(it.subject)
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

    def ended(outcome: str, said: str = "", finding: Finding | None = None) -> Try:
        return Try(server, subject, endpoint, user, outcome, said, finding)

    if method is None:
        seen = "not tried: only passwords can be"
        return ended(_UNKNOWN, finding=warning("login", subject, seen, ""))
    if endpoint.socket_type == "plain":
        why = "a password must not travel in the clear"
        seen = "not tried: unencrypted"
        return ended(_UNKNOWN, finding=warning("login", subject, seen, why))
    try:
        refusal = log_in(
            network,
            endpoint,
            mechanisms=_LOGINS[method],
            user=user,
            password=password,
        )
    except ProbeError as error:
        if error.kind in ("login", "private"):
            seen = f"not tried: {error}"
            found = warning("login", subject, seen, "", error.cure)
            return ended(_UNKNOWN, finding=found)
        return ended(_UNKNOWN, finding=_no_answer(subject, user, error))
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
_REFUSED_TOO = "a person who types the same is refused too"


def _of_try(it: Try) -> Finding:
    """Of who is let in, and of a server that could not judge."""
    if it.outcome == _IN:
        return ok("login", it.subject, f"{it.user} is let in")
    return failure(
        "login",
        it.subject,
        f"the login of {it.user} fails in the server itself: {it.said}",
        "nobody is let in, whatever the password",
        "look at the server's log: what it asks for passwords does not answer "
        f"({_WHO_JUDGES[it.endpoint.type]})",
    )


def _no_answer(subject: str, user: str, error: ProbeError) -> Finding:
    return failure(
        "login",
        subject,
        f"{user} gets no answer: {error}",
        "that is no refusal: nobody knows whether the password is right",
        "look at the server's log: what does its login wait for?",
    )


def _wrong_name(first: Try, again: Try) -> Finding:
    placeholder = "%EMAILADDRESS%" if "@" in again.user else "%EMAILLOCALPART%"
    return failure(
        "login",
        first.subject,
        f"{again.user} is let in, the name that is published ({first.user}) is not: "
        f"{first.said}",
        "the published user name is the wrong one: whoever takes it is refused",
        f'publish username = "{placeholder}"',
    )


def _following(it: Try, again: Try) -> Finding:
    found = failure(
        "login",
        it.subject,
        f"{it.user} is refused: {it.said}",
        _REFUSED_TOO,
        f"publish the name that {again.endpoint.host} takes here too, and try again",
    )
    return found._replace(follows=True)


def _refusal(case: Case, it: Try, let_in: Mapping[str, str]) -> Finding:
    """`let_in` are the names that another server took, with the same password."""
    why = _REFUSED_TOO
    if it.user in let_in:
        why = f"{let_in[it.user]} takes the same name and password"
        cure = (
            "it is this server's own: look at its log, and at whom it asks for "
            f"passwords ({_WHO_JUDGES[it.endpoint.type]})"
        )
    elif let_in:
        name, where = next(iter(let_in.items()))
        cure = f"the password is right: {where} takes it with {name}; see whether this "
        cure += "server wants that user name"
    elif it.user != str(case.address):
        cure = "the published user name is not the address: see whether it should be"
    else:
        cure = "look at the password, and whether the server wants another user name"
    return failure("login", it.subject, f"{it.user} is refused: {it.said}", why, cure)
