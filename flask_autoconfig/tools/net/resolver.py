"""DNS lookups, each within a deadline, and why they fail."""

import copy
import math
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.rdataclass import IN
from dns.rdatatype import MX, NS, RRSIG

from ...address import is_ip
from .common import in_thread, texts
from .untrusted import is_public

_MOST_SERVERS = 4  # of a zone
_MOST_RECORDS = {"A": 16, "AAAA": 16, "MX": 30, "SRV": 30}  # of an answer
_THREAD_DELAY = 0.3  # seconds that the result of a lookup that timed out may be late


class LookupFailed(OSError):  # noqa: N818 (a failed lookup is the field's term)
    """A DNS lookup failed.

    `kind` is timeout (no name server answers), dnssec, servfail, refused, tcp (port 53 is
    closed), short (the name server does not recurse), kind (only one of A and AAAA is
    answered), loop (of aliases), unknown (the query is not supported) or "". `cure` is
    the remedy, "" where none is known.
    """

    def __init__(self, name: str, reason: str, kind: str = "") -> None:
        super().__init__(f"{name}: {reason}")
        self.kind = kind
        self.reason = reason  # without the name
        self.cure = str(texts()["lookup"].get(kind, ""))


class Resolver:
    """Looks names up within *timeout* seconds each.

    *server* is the address and port of a name server, None for those of the system.
    """

    def __init__(
        self, server: tuple[str, int] | None = None, timeout: float = 5.0
    ) -> None:
        self._is_inside = server is not None and not is_public(server[0])
        self._behind: Resolver | None = None  # for what a server of a zone delegates
        try:
            self._resolver = dns.resolver.Resolver(configure=server is None)
        except dns.resolver.NoResolverConfiguration:  # then every lookup fails
            self._resolver = dns.resolver.Resolver(configure=False)
        if server:
            self._resolver.nameservers = [server[0]]
            self._resolver.port = server[1]
        self._resolver.use_edns(0, 0, 1232)  # for extended errors (RFC 8914)
        self._answers: dict[tuple[str, str], list[Any] | None] = {}
        self._timeout = timeout
        self._until = math.inf  # on the monotonic clock
        # Hosts of which only one kind of address was answered, with the other kind.
        self.unanswered: dict[str, str] = {}

    def until(self, moment: float) -> "Resolver":
        """Return this resolver with a deadline on the monotonic clock."""
        copied = copy.copy(self)
        copied._until = min(self._until, moment)
        return copied

    def forget(self, domain: str) -> None:
        """Forget the answers for a domain and the names in it."""
        for name, type_ in list(self._answers):
            if f".{name}".endswith(f".{domain}"):
                self._answers.pop((name, type_), None)

    def at(self, address: str) -> "Resolver":
        """Return a resolver that asks a zone's name server, and this one for the rest."""
        copied = copy.copy(self)
        copied._behind, copied._answers = self, {}
        copied._resolver = copy.copy(self._resolver)
        copied._resolver.nameservers, copied._resolver.port = [address], 53
        return copied

    def authorities(self, name: str, allow_private: bool = False) -> "list[Authority]":
        """Return the name servers of the zone that the name is in; raises LookupFailed.

        A host that DNS names is not trusted: servers at private addresses are left out,
        unless they are allowed or the user's own name server is at one.
        """
        hosts: list[str] = []
        for zone in _zones(name):
            if not hosts and not self.alias(zone):
                hosts = self.delegated(zone, allow_private) or self.name_servers(zone)
        return list(self._asked_of(hosts, allow_private))

    def name_servers(self, zone: str) -> list[str]:
        found = sorted(_host(one.target) for one in self.records(zone, "NS"))
        return list(filter(None, found))

    def _asked_of(self, hosts: list[str], allow_private: bool) -> "Iterator[Authority]":
        for host in hosts[:_MOST_SERVERS]:
            with suppress(LookupFailed):
                addresses = self.addresses(host)
                yield from [
                    Authority(host, address, self.at(address))
                    for address in sorted(addresses, key=lambda one: ":" in one)
                    if allow_private or self._is_inside or is_public(address)
                ][:1]

    def delegated(self, zone: str, allow_private: bool = False) -> list[str]:
        """Return the name servers that the zone above names, whom all ask, if known."""
        parent = zone.partition(".")[2]
        with suppress(LookupFailed, dns.exception.DNSException, OSError):
            for server in self._asked_of(self.name_servers(parent), allow_private):
                asked, left = server.resolver._resolver, self._left(zone)
                response = asked.resolve(
                    f"{zone}.", "NS", lifetime=left, raise_on_no_answer=False
                ).response
                for section in (response.answer, response.authority):
                    name = dns.name.from_text(zone)
                    if found := response.get_rrset(section, name, IN, NS):
                        return sorted(_host(data.target) for data in found)
                return []
        return []

    def _left(self, name: str) -> float:
        left = min(self._timeout, self._until - time.monotonic())
        if left <= 0:
            error = LookupFailed(name, "no time is left to ask for it", "timeout")
            error.cure = str(texts()["lookup"]["late"])
            raise error
        return left

    def _lookup(self, name: str, type_: str) -> list[Any] | None:
        """Return the records, None where the name does not exist; ask once for each."""
        if (name, type_) not in self._answers:
            self._answers[name, type_] = self._asked(name, type_)
        found = self._answers[name, type_]
        return found and list(found)

    def _asked(
        self, name: str, type_: str, flags: int | None = None
    ) -> list[Any] | None:
        resolver, left = copy.copy(self._resolver), self._left(name)
        resolver.flags = flags
        try:
            answer = resolver.resolve(f"{name}.", type_, search=False, lifetime=left)
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.NoAnswer as error:
            if _is_cut_short(error.kwargs.get("response")):
                if self._behind:
                    return self._behind._lookup(name, type_)
                reason = "the name server asked answers for its own zones only"
                raise LookupFailed(f"{name} {type_}", reason, "short") from error
            return []
        except (dns.exception.DNSException, OSError) as error:
            kind, reason = _reason(error)
            if kind == "servfail" and flags is None:
                # See whether it succeeds without validation of DNSSEC.
                unchecked = self.until(time.monotonic() + 1.0)
                with suppress(LookupFailed):
                    unchecked._asked(name, type_, flags=dns.flags.RD | dns.flags.CD)
                    kind, reason = "dnssec", "its DNSSEC signatures are not valid"
            raise LookupFailed(f"{name} {type_}", reason, kind) from error
        most = _MOST_RECORDS.get(type_, len(answer))
        return sorted(answer)[:most] if len(answer) > most else list(answer)

    def addresses(self, host: str) -> list[str]:
        """Return the IP addresses of a host, IPv6 first; raises LookupFailed."""
        if is_ip(host):
            return [host]
        if host == "localhost":  # RFC 6761, section 6.3
            return ["::1", "127.0.0.1"]
        if (kept := (host, "AAAA and A")) not in self._answers:
            limited = self.until(time.monotonic() + self._timeout)
            self._answers[kept] = limited._both_kinds(host)
        found = [ip_address(record.address) for record in self._answers[kept] or ()]
        # Sorted, so that each run asks the same server, whatever order records come in.
        found.sort(key=lambda it: (-it.version, it.packed))
        return [str(one) for one in found]

    def _both_kinds(self, host: str) -> list[Any]:
        """Return the AAAA and A records of a host, looked up side by side.

        If one kind fails, the other is returned. If one is late and the other is there,
        it is waited for half of the time: the rest is for a connection.
        """
        types = [type_ for type_ in ("AAAA", "A") if type_ != self.unanswered.get(host)]
        lookups = [in_thread(partial(self._lookup, host, type_)) for type_ in types]
        start, left = time.monotonic(), self._left(host)
        done, _ = wait(lookups, left, FIRST_COMPLETED)
        is_one_there = any(lookup.exception() is None for lookup in done)
        end = start + (left / 2 if is_one_there else left + _THREAD_DELAY)
        wait(lookups, max(end - time.monotonic(), 0))

        found: list[list[Any] | None] = []
        failed: dict[str, LookupFailed] = {}
        for type_, lookup in zip(types, lookups, strict=True):
            try:
                found.append(lookup.result(0))
            except LookupFailed as error:
                failed[type_] = error
            except TimeoutError:
                failed[type_] = LookupFailed(host, "no name server answers", "timeout")
        records = [record for each in found for record in each or []]
        late = [type_ for type_, error in failed.items() if error.kind == "timeout"]
        if late and found:
            (type_,) = late
            # Some servers say so where a name has one kind of address.
            if None in found:
                return []
            if records:
                self.unanswered[host] = type_
            reason = f"the name server answers, but not for {type_}"
            failed[type_] = LookupFailed(host, reason, "kind")
        if failed and not records:
            raise next(iter(failed.values()))
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
            left = self._left(name)
            response = resolver.resolve(f"{name}.", "MX", lifetime=left).response
            zone = dns.name.from_text(name)
            found = response.get_rrset(response.answer, zone, IN, RRSIG, MX)
            return list(found or ())
        return []

    def is_known(self, name: str) -> bool:
        """Return whether the name exists in DNS; True where that cannot be found out."""
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
        records = sorted(self.records(domain, "MX"), key=lambda one: one.preference)
        if only_best:
            records = [it for it in records if it.preference == records[0].preference]
        return [host for one in records if (host := _host(one.exchange))]

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Return host and port of SRV records by priority; raises LookupFailed.

        The host is "" where the record says that the service is not offered.
        """
        records = sorted(self.records(name, "SRV"), key=lambda one: one.priority)
        return [(_host(one.target), int(one.port)) for one in records]

    def records(self, name: str, type_: str) -> list[Any]:
        return self._lookup(name, type_) or []

    def txt(self, name: str) -> list[str]:
        found = self.records(name, "TXT")
        return [b"".join(one.strings).decode("utf-8", "replace") for one in found]


class Authority(NamedTuple):
    host: str
    address: str
    resolver: Resolver

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


def _zones(name: str) -> Iterator[str]:
    """Yield a name and those that it is in, without the top-level domain."""
    labels = name.split(".")
    yield from (".".join(labels[at:]) for at in range(len(labels) - 1))


def _host(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()


# --- Why a lookup failed --------------------------------------------------------------

_DNSSEC_CODES = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27))  # of RFC 8914


def _reason(error: Exception) -> tuple[str, str]:
    """Return the kind of a failure, and the failure in words."""
    # What each name server did: itself, TCP, port, error, response.
    tries = getattr(error, "kwargs", {}).get("errors") or []
    for server, _, _, failure, *_ in tries:
        if isinstance(failure, dns.message.Truncated):
            return "tcp", texts()["too_long"].format(server=_server(server))
    if isinstance(error, dns.exception.Timeout):
        servers = sorted({f"{_server(each[0])} port {each[2]}" for each in tries})
        beside = f" ({', '.join(servers[:3])})" if servers else ""
        return "timeout", f"no name server answers{beside}"
    reasons = [_of_response(_server(server), *rest[2:4]) for server, *rest in tries]
    if reasons:
        return next((reason for reason in reasons if reason[0]), reasons[0])
    if isinstance(error, dns.resolver.NoNameservers):
        return "timeout", "this machine knows no name server"
    return "", str(error).partition("\n")[0][:200] or type(error).__name__


def _of_response(address: str, failure: Any, response: Any = None) -> tuple[str, str]:
    """Return the same for what one name server did."""
    if isinstance(failure, dns.message.ChainTooLong):
        return "loop", "its alias (CNAME) is a loop"
    if response is not None:
        for option in response.options:
            if isinstance(option, dns.edns.EDEOption):
                code, text = int(option.code), option.text or ""
                kind = "dnssec" if code in _DNSSEC_CODES else "servfail"
                unnamed = "DNSSEC" if kind == "dnssec" else f"error {code} (RFC 8914)"
                reason = texts()["extended"].get(str(code), unnamed)
                return kind, f"{reason}: {text[:200]}" if text else reason
        name = dns.rcode.to_text(response.rcode())
        useless = f"the answer of the name server {address} is of no use ({name})"
        entry = texts()["response"].get(name, {"kind": "", "reason": useless})
        return entry["kind"], entry["reason"].format(server=address)
    if isinstance(failure, OSError):
        reason = failure.strerror or type(failure).__name__
        return "timeout", f"the name server {address} is not reached: {reason}"
    return "", f"what the name server {address} answers cannot be read"


def _is_cut_short(response: Any) -> bool:
    """Return whether a server that does not recurse left the rest to other servers.

    A response that there are no records has the zone's SOA (RFC 2308, section 2.2).
    """
    if response is None or response.flags & dns.flags.RA:
        return False
    types = {records.rdtype for records in (*response.answer, *response.authority)}
    is_referral = dns.rdatatype.NS in types and not response.flags & dns.flags.AA
    is_open = dns.rdatatype.CNAME in types or is_referral
    return is_open and dns.rdatatype.SOA not in types


def _server(nameserver: Any) -> str:
    """Return the address of a name server, which dnspython writes as Do53:ADDRESS@PORT."""
    text = str(getattr(nameserver, "address", nameserver))
    return text.removeprefix("Do53:").partition("@")[0]
