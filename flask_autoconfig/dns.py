"""The DNS records that a domain should publish, and looking up those it does.

RFC 6186 and 8314 (mail), RFC 6764 (calendars, address books), RFC 8620 (JMAP), MS-OXDSCLI
(Outlook), draft-ietf-mailmaint-pacc. A target of "." says "not offered here".
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from .documents import pacc
from .model import Provider, Server

if TYPE_CHECKING:
    pass

TTL = 3600
# What clients look up: SRV name, type in the file, socket type.
MAIL_SERVICES = (
    ("_imaps._tcp", "imap", "SSL"),
    ("_imap._tcp", "imap", "STARTTLS"),
    ("_pop3s._tcp", "pop3", "SSL"),
    ("_pop3._tcp", "pop3", "STARTTLS"),
    ("_submissions._tcp", "smtp", "SSL"),
    ("_submission._tcp", "smtp", "STARTTLS"),
)
URL_SERVICES = (
    ("_caldavs._tcp", "caldav"),
    ("_carddavs._tcp", "carddav"),
    ("_jmap._tcp", "jmap"),
)
# The names that clients ask over HTTPS, beside the domain itself.
HOST_LABELS = ("autoconfig", "autodiscover", "ua-auto-config")


class Record(NamedTuple):
    """One record; `name` is relative to the domain, host names in `data` end in a dot."""

    name: str
    type: str
    data: str


def records(
    provider: Provider, domain: str, target: str, digests: Iterable[str] = ()
) -> Iterator[Record]:
    """What a domain should publish, where `target` is the host that serves this.

    `digests` are TXT values of PACC documents that are still served elsewhere.
    """
    has_pacc = pacc.write(provider, domain) is not None
    for label in HOST_LABELS:
        is_target = target == f"{label}.{domain}"  # which has an address of its own
        if not is_target and (label != "ua-auto-config" or has_pacc):
            yield Record(label, "CNAME", f"{target}.")
    yield from service_records(provider, domain)
    yield Record("_autodiscover._tcp", "SRV", f"0 1 443 {target}.")
    for value in dict.fromkeys((*digest_values(provider, domain), *digests)):
        yield Record("_ua-auto-config", "TXT", f'"{value}"')


def service_records(provider: Provider, domain: str) -> Iterator[Record]:
    """The SRV records of what is offered and what is not, and the TXT paths."""
    servers = [server for _, server in provider.servers]
    for name, type_, socket_type in MAIL_SERVICES:
        found = [
            it for it in servers if it.type == type_ and it.socket_type == socket_type
        ]
        yield from _srv(name, [_place(server, domain) for server in found])
    for name, type_ in URL_SERVICES:
        urls = [it.url for it in servers if it.type == type_ and it.url]
        places = [_place_of_url(url, domain) for url in urls[:1]]
        yield from _srv(name, [(host, port) for host, port, _ in places])
        for _, _, path in places:
            if type_ != "jmap":
                yield Record(name, "TXT", f'"path={path}"')


def _srv(name: str, places: list[tuple[str, int]]) -> Iterator[Record]:
    """In the file's order, as priorities; nothing offered is the target "."."""
    if not places:
        yield Record(name, "SRV", "0 0 0 .")
    for priority, (host, port) in enumerate(dict.fromkeys(places)):
        yield Record(name, "SRV", f"{priority} 1 {port} {host}.")


def _place(server: Server, domain: str) -> tuple[str, int]:
    host = (server.hostname or "").replace("%EMAILDOMAIN%", domain)
    return host, server.port or 0


def _place_of_url(url: str, domain: str) -> tuple[str, int, str]:
    """Host, port and the path up to where it needs an address (RFC 6764, section 4)."""
    parts = urlsplit(url.replace("%EMAILDOMAIN%", domain))
    path = parts.path.partition("%EMAIL")[0]
    path = path.rpartition("/")[0] + "/" if path != parts.path else path
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.hostname or "", port, path or "/"


def digest_values(provider: Provider, domain: str) -> list[str]:
    """The TXT value of the PACC document, if there is one."""
    document = pacc.write(provider, domain)
    return [] if document is None else [pacc.digest_record(document)]


def certificate_names(domain: str) -> list[str]:
    """The names that the web server's certificates must be valid for."""
    return [*(f"{label}.{domain}" for label in HOST_LABELS), domain]


def zone(domain: str, found: Iterable[Record], serial: int) -> str:
    """The records as a zone file (RFC 1035, section 5)."""
    lines = [
        f"; {domain}: what mail clients look up",
        f"; certificates are needed for: {' '.join(certificate_names(domain))}",
        f"$ORIGIN {domain}.",
        f"$TTL {TTL}",
        "; The next two make this a zone of its own: leave them out where the zone exists.",
        f"@ IN SOA ns.invalid. hostmaster.{domain}. {serial} 7200 3600 1209600 {TTL}",
        "@ IN NS ns.invalid.",
    ]
    lines += [f"{it.name} IN {it.type} {it.data}" for it in found]
    return "\n".join(lines) + "\n"


class Resolver:
    """Looks names up, each within `timeout` seconds, at `server` or the system's."""

    def __init__(
        self, server: tuple[str, int] | None = None, timeout: float = 5.0
    ) -> None:
        import dns.resolver

        self._system = server is None
        try:
            self._resolver = dns.resolver.Resolver(configure=self._system)
        except dns.resolver.NoResolverConfiguration:
            self._resolver = dns.resolver.Resolver(
                configure=False
            )  # which finds nobody
        if server:
            self._resolver.nameservers = [server[0]]
            self._resolver.port = server[1]
        self._resolver.lifetime = timeout
        self._resolver.timeout = timeout

    def _answers(self, name: str, type_: str) -> list[Any]:
        import dns.exception
        import dns.resolver

        try:
            answer = self._resolver.resolve(f"{name}.", type_, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise LookupFailed(f"{name} {type_}: {_reason(error)}") from error
        return list(answer)

    def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host; raises LookupFailed where nobody answers."""
        from .address import is_ip

        if is_ip(host):
            return [host]
        if self._system:  # as every program here does, /etc/hosts included
            try:
                infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            except socket.gaierror as error:
                if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
                    return []
                raise LookupFailed(f"{host}: {error.strerror}") from error
            except UnicodeError:
                return []
            return list(dict.fromkeys(str(info[4][0]) for info in infos))
        found = self._answers(host, "A") + self._answers(host, "AAAA")
        return [str(it.address) for it in found]

    def mx(self, domain: str) -> list[str]:
        """The hosts that take the domain's mail, the preferred first."""
        found = sorted(self._answers(domain, "MX"), key=lambda it: int(it.preference))
        return [_host(it.exchange) for it in found if _host(it.exchange)]

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Host and port by priority; the host "" where it says "not offered"."""
        found = sorted(self._answers(name, "SRV"), key=lambda it: int(it.priority))
        return [(_host(it.target), int(it.port)) for it in found]

    def txt(self, name: str) -> list[str]:
        """The TXT records, the strings of each joined."""
        found = self._answers(name, "TXT")
        return [b"".join(it.strings).decode("utf-8", "replace") for it in found]


class LookupFailed(OSError):  # noqa: N818 (it is what the field calls it)
    """Nobody answered a look-up, or with an error."""


def _host(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()


def _reason(error: Exception) -> str:
    import dns.exception

    if isinstance(error, dns.exception.Timeout):
        return "no name server answers"
    return str(error).partition("\n")[0][:200] or type(error).__name__
