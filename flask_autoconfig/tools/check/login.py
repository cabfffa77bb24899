"""Real logins, with the published name and method."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from ...address import fill_in
from ...config.ports import MAIL_TYPES
from ...config.tables import Provider, Server
from ..mail import log_in, mail_server
from ..network import Network, ProbeError
from .causes.servers import endpoint_of
from .facts import side_by_side
from .findings import FAILURE, Case, Finding, failure, note, ok, warning

_LOGINS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}


class Refused(NamedTuple):
    """A login that a server refused, and what to try once more."""

    server: Server
    finding: Finding
    user: str  # another name of the same person


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
        if server.type not in MAIL_TYPES or not server.username:
            continue
        subject = str(endpoint_of(case, server))
        if subject in faulty:
            why = "what is wrong with the server comes first"
            others.append(warning("login", subject, "not tried", why))
        elif subject in sound and server not in servers:
            servers.append(server)
    return servers, others


def log_in_at(
    case: Case, network: Network, servers: Iterable[Server], password: str
) -> tuple[list[Finding], list[Refused]]:
    """A real login at each of the servers; the second are the refused ones."""
    tasks = [partial(_login, case, network, it, password) for it in servers]
    results = side_by_side(tasks)
    refused = [
        Refused(it, finding, _other_name(case, it))
        for it, (finding, is_refused) in zip(servers, results, strict=True)
        if is_refused
    ]
    return [finding for finding, _ in results], refused


def once_more(
    case: Case,
    network: Network,
    refused: list[Refused],
    password: str,
    may: Callable[[str, str], bool],
) -> list[Finding]:
    """One more try with the person's other name, at one server alone.

    Servers count failures and shut people out: so it is one, and only if `may` says so,
    which gets the name and the server.
    """
    for server, finding, user in refused[:1]:
        subject = finding.subject
        if not user or not may(user, subject):
            break
        told, is_refused = _login(case, network, server, password, user)
        if told.status == FAILURE and not is_refused:
            return []
        if is_refused:
            seen = f"{user} is refused too: the password is wrong, or both names are"
            return [note("login", subject, seen)]
        placeholder = "%EMAILADDRESS%" if "@" in user else "%EMAILLOCALPART%"
        return [
            warning(
                "login",
                subject,
                f"{user} is let in, the name that is published is not",
                "the published user name is the wrong one",
                f'publish username = "{placeholder}"',
            )
        ]
    return []


def _other_name(case: Case, server: Server) -> str:
    if case.address is None:
        return ""
    user = fill_in(server.username, case.domain, case.address)
    address = str(case.address)
    return case.address.local if user == address else address


def _login(
    case: Case, network: Network, server: Server, password: str, user: str = ""
) -> tuple[Finding, bool]:
    """What came of it, and whether the server refused it."""
    endpoint = endpoint_of(case, server)
    user = user or fill_in(server.username, case.domain, case.address)
    method = next((it for it in server.authentication if it in _LOGINS), None)
    first = method or server.authentication[0]
    shown = first if isinstance(first, str) else first.name
    subject = f"{endpoint.type} {endpoint.host}:{endpoint.port} {shown}"
    if method is None:
        return warning("login", subject, "not tried: only passwords can be", ""), False
    if endpoint.socket_type == "plain":
        why = "a password must not travel in the clear"
        return warning("login", subject, "not tried: unencrypted", why), False

    try:
        offered = mail_server(network, endpoint).mechanisms
        known = _LOGINS[method]
        mechanism = next((it for it in known if it in offered), known[0])
        refusal = log_in(
            network, endpoint, mechanism=mechanism, user=user, password=password
        )
    except ProbeError as error:
        return _no_answer(subject, user, error), False
    if not refusal:
        return ok("login", subject, f"{user} is let in"), False
    return _refusal(case, subject, user, refusal), True


def _no_answer(subject: str, user: str, error: ProbeError) -> Finding:
    return failure(
        "login",
        subject,
        f"{user} gets no answer: {error}",
        "that is no refusal: nobody knows whether the password is right",
        "look at the server's log: what does its login wait for?",
    )


_TEMPORARY = ("[UNAVAILABLE]", "454", "[INUSE]", "[SYS/TEMP]", "[SERVERBUG]", "421")


def _refusal(case: Case, subject: str, user: str, refusal: str) -> Finding:
    if any(it in refusal.upper()[:40] for it in _TEMPORARY):
        return failure(
            "login",
            subject,
            f"the login of {user} fails in the server itself: {refusal}",
            "nobody is let in, whatever the password",
            "look at the server's log: what it asks for passwords does not answer "
            "(Postfix: smtpd_sasl_path, Dovecot: auth)",
        )
    if user != str(case.address):
        cure = "the published user name is not the address: see whether it should be"
    else:
        cure = "look at the password, and whether the server wants another user name"
    return failure(
        "login",
        subject,
        f"{user} is refused: {refusal}",
        "a person who types the same is refused too",
        cure,
    )
