"""Finds a domain's real servers and makes the configuration that fits them.

SRV records, the MX host and its domain, and the customary names on the customary ports
are tried side by side; of what answers, the safest of each kind is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple

from ..address import fold
from ..config.ports import standard_port
from ..config.reading import from_raw
from ..config.tables import Config
from .discover_urls import url_servers
from .net import mail
from .net.mail import MECHANISMS, Endpoint, MailServer
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .zone import MAIL_SERVICES

_LABELS = {
    "imap": ("imap", "mail", "mx", ""),
    "pop3": ("pop", "pop3", "mail", "mx", ""),
    "smtp": ("smtp", "mail", "mx", ""),
}
_WORKERS = 24
_STEPS = 6  # so many timeouts long may all of it take
_MOST_TARGETS = 20  # of those that SRV records name, that are talked to


class Candidate(NamedTuple):
    """A server that may be there."""

    endpoint: Endpoint
    source: str  # SRV, MX or name

    def __str__(self) -> str:
        return str(self.endpoint)


class Answered(NamedTuple):
    """A candidate that is there."""

    candidate: Candidate
    server: MailServer


class Discovery(NamedTuple):
    """The configuration that fits, and in sentences what was left out and why.

    `reasons` say of each server of the configuration, by its key in the provider and in
    its order, why it was taken. `warnings` say what people lose by what was left out.
    """

    config: Config | None
    notes: list[str]
    reasons: dict[str, list[str]]
    warnings: list[str]
    cure: str = ""  # what to do where there is no configuration


Tell = Callable[[str], None]


def seconds(net: Network) -> float:
    """How long waiting for the servers of one domain may take."""
    return _STEPS * net.timeout


def discover(domain: str, net: Network, tell: Tell) -> Discovery:
    """Look for the servers of a domain (A-labels); `tell` gets a line for each step."""
    net = net.step(seconds(net))
    notes: list[str] = []
    if reason := _no_name_server(domain, net):
        return Discovery(None, notes, {}, [], reason)
    denied: dict[str, list[str]] = {}
    candidates = list(_candidates(domain, net, tell, notes, denied))
    silent: list[Candidate] = []  # although DNS names them
    answered = _try_all(candidates, net, tell, notes, silent)
    _leave_out_denied(answered, denied, notes)
    urls, url_reasons = url_servers(domain, net, tell, notes)
    best = {type_: _best(type_, answered, notes) for type_ in _LABELS}
    reasons = {
        "incoming": [
            *(reason for type_ in ("imap", "pop3") for _, reason in best[type_]),
            *url_reasons.pop("incoming", []),
        ],
        "outgoing": [reason for _, reason in best["smtp"]],
        **url_reasons,
    }
    raw: dict[str, Any] = {
        "domains": [domain],
        "incoming": [
            *(entry for entry, _ in (*best["imap"], *best["pop3"])),
            *urls.pop("incoming", []),
        ],
        "outgoing": [entry for entry, _ in best["smtp"]],
        **urls,
    }

    has_mail = any(it["type"] in ("imap", "pop3") for it in raw["incoming"])
    if not has_mail or not raw["outgoing"]:
        missing = (
            "no IMAP or POP3 server" if not has_mail else "no SMTP submission server"
        )
        notes.append(f"{missing} was found for {domain}")
        cure = _cure(answered, silent)
        if not (answered or silent or net.resolver.is_known(domain)):
            cure = "there is no such domain in DNS: look at how it is spelt"
        return Discovery(None, notes, {}, [], cure)
    tables = from_raw({"provider": [_without_empty(raw)]}).tables
    warnings = [] if best["imap"] else list(_without_imap(answered))
    return Discovery(tables, notes, reasons, warnings)


def _no_name_server(domain: str, net: Network) -> str:
    """The cure where no name server is reached, so that nothing can be found."""
    if net.connect_to:  # the servers are told
        return ""
    try:
        net.resolver.mx(domain)
    except LookupFailed as error:
        if error.kind == "timeout":
            return f"no name server answers ({error}): {error.cure}"
    return ""


def _leave_out_denied(
    answered: dict[Candidate, MailServer],
    denied: dict[str, list[str]],
    notes: list[str],
) -> None:
    """Take out what the domain says it does not offer, although it answers.

    One record that denies POP3 denies all of it; of IMAP and submission the encryption
    that the record is about, since nobody can do without them.
    """
    for candidate in list(answered):
        endpoint = candidate.endpoint
        names = denied.get(endpoint.type, [])
        own = [
            service
            for service, type_, socket_type in MAIL_SERVICES
            if (type_, socket_type) == (endpoint.type, endpoint.socket_type)
        ]
        said = [it for it in names if endpoint.type == "pop3" or it in own]
        if said and candidate.source != "SRV":
            del answered[candidate]
            notes.append(
                f'{candidate} is left out: {said[0]} in DNS says "not offered"'
            )


def _without_imap(answered: dict[Candidate, MailServer]) -> Iterator[str]:
    """That there would be IMAP, if somebody mended it."""
    for candidate, server in answered.items():
        if candidate.endpoint.type == "imap":
            yield (
                f"people get POP3 alone, although there is {candidate}: "
                f"{_reason_against(server)}; mend that, and run init again"
            )
            return


def _cure(answered: dict[Candidate, MailServer], silent: list[Candidate]) -> str:
    """What to do where too little was found: mend what is there, before all else."""
    for candidate, server in answered.items():
        reason = _reason_against(server)
        if reason and candidate.endpoint.type in ("imap", "smtp"):
            return f"mend {candidate} ({reason}), and run init again"
    if silent:
        named = ", ".join(map(str, silent[:4]))
        return (
            f"DNS names {named}, and nobody answers there: start the servers, or open "
            "their ports in the firewall, and run init again"
        )
    return (
        "write the file by hand (examples/autoconfig.toml shows how), or give the servers "
        "SRV records or customary names such as imap. and smtp."
    )


def _without_empty(raw: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in raw.items() if value}


def _candidates(
    domain: str,
    net: Network,
    tell: Tell,
    notes: list[str],
    denied: dict[str, list[str]],
) -> Iterator[Candidate]:
    """What SRV says first, then names of the domain and of its MX hosts.

    `denied` gets the services that SRV says are not offered, by their type.
    """
    resolver = net.resolver
    named = 0
    for service, type_, socket_type in MAIL_SERVICES:
        try:
            targets = resolver.srv(f"{service}.{domain}")
        except LookupFailed as error:
            tell(f"SRV {service}.{domain}: {error}")
            continue
        for host, port in targets:
            tell(
                f"SRV {service}.{domain}: {host or 'not offered'} {port or ''}".rstrip()
            )
            if not host:
                denied.setdefault(type_, []).append(f"{service}.{domain}")
            if host and not _is_host_name(host):
                notes.append(f"{host}: left out, since it is no host name")
                continue
            if host and not port:
                notes.append(f"{host}: left out, since its SRV record has the port 0")
                continue
            named += bool(host)
            if host and named <= _MOST_TARGETS:
                yield Candidate(Endpoint(type_, host, port, socket_type), "SRV")
    if named > _MOST_TARGETS:
        count = named - _MOST_TARGETS
        notes.append(f"{count} more servers that SRV records name are not asked")

    for type_, host, source in dict.fromkeys(_customary(domain, net, tell)):
        if _is_host_name(host):
            yield from _ports(type_, host, source)


def _is_host_name(host: str) -> bool:
    try:
        return fold(host) == host
    except ValueError:
        return False


def _customary(domain: str, net: Network, tell: Tell) -> Iterator[tuple[str, str, str]]:
    """Type, host and source of the names that servers have by custom."""
    mx_hosts: list[str] = []
    try:
        mx_hosts = net.resolver.mx(domain)[:3]
        tell(f"MX {domain}: {', '.join(mx_hosts) or 'none'}")
    except LookupFailed as error:
        tell(f"MX {domain}: {error}")

    parents = [host.partition(".")[2] for host in mx_hosts]
    bases = dict.fromkeys([domain, *(it for it in parents if "." in it)])
    for type_, labels in _LABELS.items():
        for base in bases:
            for label in labels:
                host = f"{label}.{base}" if label else base
                yield type_, host, "name" if base == domain else "MX"
        for host in mx_hosts:
            yield type_, host, "MX"


def _ports(type_: str, host: str, source: str) -> Iterator[Candidate]:
    for socket_type in ("SSL", "STARTTLS"):
        port = standard_port(type_, socket_type)
        if port:
            yield Candidate(Endpoint(type_, host, port, socket_type), source)


def _try_all(
    candidates: list[Candidate],
    net: Network,
    tell: Tell,
    notes: list[str],
    silent: list[Candidate],
) -> dict[Candidate, MailServer]:
    """Those that answer; `silent` gets those that SRV records name and that do not."""
    unique = list({it.endpoint: it for it in reversed(candidates)}.values())[::-1]
    existing = _existing({it.endpoint.host for it in unique}, net)
    answered: dict[Candidate, MailServer] = {}
    refused: dict[str, None] = {}

    with ThreadPoolExecutor(_WORKERS) as pool:
        tries = {
            pool.submit(mail.mail_server, net, it.endpoint): it
            for it in unique
            if it.endpoint.host in existing or _is_mapped(it.endpoint, net)
        }
        for done in as_completed(tries):
            candidate = tries[done]
            try:
                answered[candidate] = done.result()
            except ProbeError as error:
                if error.kind == "private":
                    refused[str(error)] = None
                elif (
                    error.kind not in ("connect", "silent", "dns")
                    or candidate.source == "SRV"
                ):
                    tell(f"{candidate}: {error}")
                if candidate.source == "SRV" and error.kind in ("connect", "silent"):
                    silent.append(candidate)
                continue
            except Exception as error:  # an answer that nobody has thought of
                kind = type(error).__name__
                notes.append(f"{candidate} is left out: an odd answer ({kind})")
                continue
            tell(f"{candidate}: {_described(answered[candidate])}")
    notes += [f"{it}: not asked, unless you say --allow-private" for it in refused]
    return {it: answered[it] for it in unique if it in answered}


def _is_mapped(endpoint: Endpoint, net: Network) -> bool:
    return (endpoint.host, endpoint.port) in net.connect_to


def _existing(hosts: Iterable[str], net: Network) -> set[str]:
    """The hosts that DNS knows, so that no port of the others is tried."""

    def exists(host: str) -> bool:
        try:
            return bool(net.resolver.addresses(host))
        except LookupFailed:
            return False

    listed = list(hosts)
    with ThreadPoolExecutor(_WORKERS) as pool:
        return {
            host
            for host, exists_ in zip(listed, pool.map(exists, listed), strict=True)
            if exists_
        }


def _described(server: MailServer) -> str:
    words = [f"offers {', '.join(sorted(server.mechanisms)) or 'no login'}"]
    if server.certificate is not None:
        days = f"certificate good for {server.certificate.days_left} days"
        words.append(server.certificate.problem or days)
    return "; ".join(words)


def _best(
    type_: str, answered: dict[Candidate, MailServer], notes: list[str]
) -> list[tuple[dict[str, object], str]]:
    """The safest server of a type, as the TOML has it, and why it is that.

    The others become notes.
    """
    usable: list[Answered] = []
    for candidate, server in answered.items():
        if candidate.endpoint.type != type_:
            continue
        reason = _reason_against(server)
        if reason:
            notes.append(f"{candidate} is left out: {reason}")
        else:
            usable.append(Answered(candidate, server))

    usable.sort(key=_rank)
    for other in usable[1:]:
        notes.append(
            f"{other.candidate} is left out: all clients agree only on one {type_} "
            f"server, and {usable[0].candidate} comes first"
        )
    return [(_entry(usable[0], notes), _reason_for(usable[0]))] if usable else []


def _rank(it: Answered) -> tuple[bool, bool, bool, bool]:
    """The better first: what clients can do, then safely, then as the domain says.

    TLS from the first byte comes before STARTTLS (RFC 8314), SRV before custom.
    """
    candidate, server = it
    days = server.certificate.days_left if server.certificate else None
    return (
        _authentication(server) != "password-cleartext",
        candidate.endpoint.socket_type != "SSL",
        candidate.source != "SRV",
        days is not None and days < _FEW_DAYS,
    )


_SOURCES = {
    "SRV": "an SRV record of the domain names it",
    "MX": "it is the MX host, or called so in its domain",
    "name": "it has the customary name",
}
_FEW_DAYS = 14


def _reason_for(it: Answered) -> str:
    """Why a server was taken, in a sentence for the file."""
    candidate, server = it
    endpoint = candidate.endpoint
    direct = endpoint.socket_type == "SSL"
    safe = "TLS from the first byte" if direct else "STARTTLS, nothing safer answers"
    words = [_SOURCES[candidate.source], safe]
    words.append(f"it offers {', '.join(sorted(server.mechanisms))}")
    if server.certificate is not None and server.certificate.ends:
        words.append(f"its certificate is good until {server.certificate.ends}")
    return "; ".join(words)


def _reason_against(server: MailServer) -> str:
    if server.certificate is not None and server.certificate.problem:
        return f"its certificate is no good: {server.certificate.problem}"
    if not _authentication(server):
        return "it offers no login that the file can name"
    return ""


# What takes more than a line in the file.
_NEEDS_MORE = ("OAuth2", "TLS-client-cert")


def _authentication(server: MailServer) -> str:
    for method, names in MECHANISMS.items():
        if method not in _NEEDS_MORE and names & server.mechanisms:
            return str(method)
    return ""


def _entry(best: Answered, notes: list[str]) -> dict[str, object]:
    candidate, server = best
    endpoint = candidate.endpoint
    if server.mechanisms & MECHANISMS["OAuth2"]:
        notes.append(
            f"{candidate} offers OAuth2 too: add it to authentication, with "
            "[provider.oauth2], if clients are to use it"
        )
    return {
        "type": endpoint.type,
        "hostname": endpoint.host,
        "port": endpoint.port,
        "socket_type": endpoint.socket_type,
        "authentication": _authentication(server),
    }
