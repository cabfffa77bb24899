"""DNS lookups, each within a deadline, and why they fail."""

import copy
import math
import time
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address
from operator import attrgetter
from typing import Any, NamedTuple

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
from dns.rdataclass import IN
from dns.rdatatype import CNAME, MX, NS, RRSIG, SOA

from ...address import is_ip
from .common import texts
from .untrusted import is_public

_MAX_SERVERS = 4  # of a zone
_MAX_ANSWERS = 10_000  # that are cached: those for some hundred domains
_MAX_RECORDS = {"A": 16, "AAAA": 16, "MX": 30, "SRV": 30}  # of an answer


class LookupFailed(OSError):  # noqa: N818 (a failed lookup is the field's term)
    """A DNS lookup failed.

    `kind` is timeout (no name server answers), dnssec, servfail, refused, tcp (port 53 is
    closed), short (the name server does not recurse), loop (of aliases), unknown (the
    query is not supported) or "". `cure` is the remedy, "" if none is known.
    """

    def __init__(self, name: str, reason: str, kind: str = "") -> None:
        super().__init__(f"{name}: {reason}")
        self.kind = kind
        self.reason = reason  # without the name
        self.cure = str(texts()["lookup"].get(kind, ""))


class Resolver:
    """Looks up names in DNS, each within *timeout* seconds.

    *server* is the address and port of a name server, None for those of the system.
    """

    def __init__(
        self, server: tuple[str, int] | None = None, timeout: float = 5.0
    ) -> None:
        self._is_private = server is not None and not is_public(server[0])
        self._recursive: Resolver | None = None  # for names that a zone delegates
        try:
            self._resolver = dns.resolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:  # every lookup will fail
            self._resolver = dns.resolver.Resolver(configure=False)
        if server:
            self._resolver.nameservers = [server[0]]
            self._resolver.port = server[1]
        self._resolver.use_edns(0, 0, 1232)  # for extended errors (RFC 8914)
        self._answers: dict[tuple[str, str], list[Any] | None] = {}
        self._timeout = timeout
        self._until = math.inf  # on the monotonic clock
        self._only_ipv4: set[str] = set()  # hosts whose AAAA lookup failed

    def until(self, moment: float) -> "Resolver":
        """Return this resolver with a deadline on the monotonic clock."""
        resolver = copy.copy(self)
        resolver._until = min(self._until, moment)
        return resolver

    def with_server(self, address: str) -> "Resolver":
        """Return a resolver for a zone's name server, and for what that one delegates."""
        resolver = copy.copy(self)
        resolver._recursive, resolver._answers, resolver._only_ipv4 = self, {}, set()
        resolver._resolver = copy.copy(self._resolver)
        resolver._resolver.nameservers, resolver._resolver.port = [address], 53
        return resolver

    def authorities(self, name: str, allow_private: bool = False) -> "list[Authority]":
        """Return the name servers of the zone that the name is in; raises LookupFailed.

        Hosts that DNS names are not trusted: servers at private addresses are left out,
        unless they are allowed or the user's own name server is at one.
        """
        hosts: list[str] = []
        for zone in _zones(name):
            if not hosts and not self.alias(zone):
                hosts = self.delegated(zone, allow_private) or self.name_servers(zone)
        return list(self._servers(hosts, allow_private))

    def name_servers(self, zone: str) -> list[str]:
        hosts = (_host(record.target) for record in self.records(zone, "NS"))
        return sorted(filter(None, hosts))

    def _servers(self, hosts: list[str], allow_private: bool) -> "Iterator[Authority]":
        for host in hosts[:_MAX_SERVERS]:
            with suppress(LookupFailed):
                for address in sorted(self.addresses(host), key=lambda ip: ":" in ip):
                    if allow_private or self._is_private or is_public(address):
                        yield Authority(host, address, self.with_server(address))
                        break

    def delegated(self, zone: str, allow_private: bool = False) -> list[str]:
        """Return the name servers that the parent zone names, [] if they are unknown."""
        parent = zone.partition(".")[2]
        with suppress(LookupFailed, dns.exception.DNSException, OSError):
            hosts = self.name_servers(parent)
            for server in self._servers(hosts, allow_private):
                resolver, left = server.resolver._resolver, self._seconds_left(zone)
                response = resolver.resolve(
                    f"{zone}.", "NS", lifetime=left, raise_on_no_answer=False
                ).response
                for section in (response.answer, response.authority):
                    name = dns.name.from_text(zone)
                    if records := response.get_rrset(section, name, IN, NS):
                        return sorted(_host(record.target) for record in records)
                return []
        return []

    def _seconds_left(self, name: str) -> float:
        left = min(self._timeout, self._until - time.monotonic())
        if left <= 0:
            error = LookupFailed(name, "no time is left to ask for it", "timeout")
            error.cure = str(texts()["lookup"]["late"])
            raise error
        return left

    def _lookup(self, name: str, type_: str) -> list[Any] | None:
        """Return the records, None if the name does not exist; query each only once."""
        with suppress(KeyError):
            return self._answers[name, type_]
        records = self._query(name, type_)
        if len(self._answers) >= _MAX_ANSWERS:
            self._answers.clear()
        self._answers[name, type_] = records
        return records

    def _query(self, name: str, type_: str, flags: int = 0) -> list[Any] | None:
        resolver, left = copy.copy(self._resolver), self._seconds_left(name)
        resolver.flags = flags or None  # by default, dnspython's
        try:
            answer = resolver.resolve(f"{name}.", type_, search=False, lifetime=left)
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.NoAnswer as error:
            if _is_cut_short(error.kwargs.get("response")):
                if self._recursive:
                    return self._recursive._lookup(name, type_)
                reason = "the name server asked answers for its own zones only"
                raise LookupFailed(f"{name} {type_}", reason, "short") from error
            return []
        except (dns.exception.DNSException, OSError) as error:
            kind, reason = _reason(error)
            if kind == "servfail" and not flags:
                # Find out whether it succeeds without DNSSEC validation.
                unchecked = self.until(time.monotonic() + 1.0)
                with suppress(LookupFailed):
                    unchecked._query(name, type_, flags=dns.flags.RD | dns.flags.CD)
                    kind, reason = "dnssec", "its DNSSEC signatures are not valid"
            raise LookupFailed(f"{name} {type_}", reason, kind) from error
        most = _MAX_RECORDS.get(type_, len(answer))
        return sorted(answer)[:most] if len(answer) > most else list(answer)

    def addresses(self, host: str) -> list[str]:
        """Return the IP addresses of a host, IPv6 first; raises LookupFailed."""
        if is_ip(host):
            return [host]
        if host == "localhost":  # RFC 6761, section 6.3
            return ["::1", "127.0.0.1"]
        addresses = [ip_address(rec.address) for rec in self._look_up_addresses(host)]
        # Every run must connect to the same server, whatever the order of the records.
        addresses.sort(key=lambda address: (-address.version, address.packed))
        return list(map(str, addresses))

    def _look_up_addresses(self, host: str) -> list[Any]:
        """Return the A and AAAA records of a host; one failed lookup is ignored.

        A firewall may drop AAAA queries: they get half of the time, since the rest is for
        a connection, and only once.
        """
        end = min(self._until, time.monotonic() + self._timeout)
        limited, records, errors = self.until(end), [], []
        for type_ in ("A",) if host in self._only_ipv4 else ("A", "AAAA"):
            try:
                found = limited._lookup(host, type_)
                if found is None:  # the name does not exist
                    break
                records += found
            except LookupFailed as error:
                errors.append(error)
                if records:
                    self._only_ipv4.add(host)
            limited = self.until((time.monotonic() + end) / 2)
        if errors and not records:
            raise errors[0]
        return records

    def serial(self, name: str) -> int:
        """Return the serial number of the zone that the name is in; 0 if unknown."""
        with suppress(LookupFailed):
            for zone in _zones(name):
                for record in self.records(zone, "SOA"):
                    return int(record.serial)
        return 0

    def signatures(self, name: str) -> list[Any]:
        """Return the RRSIG records of the name's MX records, if there are any."""
        resolver = copy.copy(self._resolver)
        resolver.use_edns(0, dns.flags.DO, 1232)
        with suppress(LookupFailed, dns.exception.DNSException, OSError):
            left = self._seconds_left(name)
            response = resolver.resolve(f"{name}.", "MX", lifetime=left).response
            owner = dns.name.from_text(name)
            return list(response.get_rrset(response.answer, owner, IN, RRSIG, MX) or ())
        return []

    def is_known(self, name: str) -> bool:
        """Return whether the name exists in DNS; True if that cannot be found out."""
        try:
            return self._lookup(name, "SOA") is not None
        except LookupFailed:
            return True

    def alias(self, name: str) -> str:
        """Return the target of the name's CNAME, "" for none; raises LookupFailed."""
        records = [] if is_ip(name) else self.records(name, "CNAME")
        return _host(records[0].target) if records else ""

    def mx(self, domain: str, only_best: bool = False) -> list[str]:
        """Return the domain's MX hosts by preference; raises LookupFailed."""
        records = sorted(self.records(domain, "MX"), key=attrgetter("preference"))
        if only_best:
            records = [mx for mx in records if mx.preference == records[0].preference]
        return [host for record in records if (host := _host(record.exchange))]

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Return the host and port of SRV records by priority; raises LookupFailed.

        The host is "" in a record that says that the service is not offered.
        """
        records = sorted(self.records(name, "SRV"), key=attrgetter("priority"))
        return [(_host(record.target), int(record.port)) for record in records]

    def records(self, name: str, type_: str) -> list[Any]:
        return self._lookup(name, type_) or []

    def txt(self, name: str) -> list[str]:
        strings = [b"".join(record.strings) for record in self.records(name, "TXT")]
        return [text.decode("utf-8", "replace") for text in strings]


class Authority(NamedTuple):
    host: str
    address: str
    resolver: Resolver

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


def _zones(name: str) -> Iterator[str]:
    """Yield a name and its parent domains, without the top-level domain."""
    labels = name.split(".")
    yield from (".".join(labels[start:]) for start in range(len(labels) - 1))


def _host(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()


# --- Why a lookup failed --------------------------------------------------------------

_DNSSEC_CODES = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27))  # of RFC 8914


def _reason(error: Exception) -> tuple[str, str]:
    """Return the kind of a failure, and its reason in words."""
    # For each query: the name server, whether by TCP, the port, the error, the response.
    queries = getattr(error, "kwargs", {}).get("errors") or []
    for server, _, _, failure, *_ in queries:
        if isinstance(failure, dns.message.Truncated):
            return "tcp", texts()["too_long"].format(server=_address(server))
    if isinstance(error, dns.exception.Timeout):
        servers = sorted({f"{_address(query[0])} port {query[2]}" for query in queries})
        suffix = f" ({', '.join(servers[:3])})" if servers else ""
        return "timeout", f"no name server answers{suffix}"
    reasons = [_query_reason(_address(query[0]), *query[3:5]) for query in queries]
    if reasons:
        return next((reason for reason in reasons if reason[0]), reasons[0])
    if isinstance(error, dns.resolver.NoNameservers):
        return "timeout", "this machine knows no name server"
    return "", str(error).partition("\n")[0][:200] or type(error).__name__


def _query_reason(address: str, failure: Any, response: Any = None) -> tuple[str, str]:
    """Return the kind and the reason of the failure at one name server."""
    if isinstance(failure, dns.message.ChainTooLong):
        return "loop", "its alias (CNAME) is a loop"
    if response is not None:
        for option in response.options:
            if isinstance(option, dns.edns.EDEOption):
                code, text = int(option.code), option.text or ""
                kind = "dnssec" if code in _DNSSEC_CODES else "servfail"
                default = "DNSSEC" if kind == "dnssec" else f"error {code} (RFC 8914)"
                reason = texts()["extended"].get(str(code), default)
                return kind, f"{reason}: {text[:200]}" if text else reason
        name = dns.rcode.to_text(response.rcode())
        reason = f"the answer of the name server {address} is of no use ({name})"
        row = texts()["response"].get(name, {"kind": "", "reason": reason})
        return row["kind"], row["reason"].format(server=address)
    if isinstance(failure, OSError):
        reason = failure.strerror or type(failure).__name__
        return "timeout", f"the name server {address} is not reached: {reason}"
    return "", f"what the name server {address} answers cannot be read"


def _is_cut_short(response: Any) -> bool:
    """Return whether a server that does not recurse refers the client to other servers.

    A response that there are no records has the zone's SOA (RFC 2308, section 2.2).
    """
    if response is None or response.flags & dns.flags.RA:
        return False
    types = {records.rdtype for records in (*response.answer, *response.authority)}
    is_referral = NS in types and not response.flags & dns.flags.AA
    return (CNAME in types or is_referral) and SOA not in types


def _address(nameserver: Any) -> str:
    """Return the address of a name server, which dnspython writes as Do53:ADDRESS@PORT."""
    text = str(getattr(nameserver, "address", nameserver))
    return text.removeprefix("Do53:").partition("@")[0]
