"""Looks names up in DNS, each within a time."""

from __future__ import annotations

import copy
import math
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from typing import Any, TypeVar

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.resolver
from dns.rdata import Rdata

from ...address import is_ip

T = TypeVar("T")


class LookupFailed(OSError):  # noqa: N818 (it is what the field calls it)
    """Nobody answered a look-up, or with an error.

    `kind` is timeout (no name server is reached), dnssec, servfail, refused, tcp (shut),
    short (it asks no other name server), kind (A or AAAA alone is answered), loop (of
    aliases), unknown (it knows no such questions), "" for anything else; `cure` says what
    to do, where the kind knows.
    """

    def __init__(self, name: str, reason: str, kind: str = "") -> None:
        super().__init__(f"{name}: {reason}")
        self.kind = kind
        self.reason = reason  # without the name

    @property
    def cure(self) -> str:
        """What to do about it, "" where that cannot be known."""
        return _CURES.get(self.kind, "")


_CURES = {
    "dnssec": "sign the zone anew, or correct the DS record at the registrar; "
    "`delv NAME` tells which link of the chain breaks",
    "servfail": "ask the domain's own name servers (`dig +trace NAME`): one of them "
    "does not answer, or does not know the zone",
    "refused": "ask a name server that answers you, with --resolver",
    "timeout": "see that the name server runs and that port 53 is open to it, "
    "by UDP and by TCP; or name another with --resolver",
    "tcp": "open port 53 of the name server by TCP, too: answers that are too long for "
    "UDP come that way",
    "short": "ask a name server that recurses: another --resolver, or none for the "
    "system's",
    "kind": "let the domain's name servers answer for both kinds of addresses, if only "
    "that there is none",
    "loop": "let the last of the aliases lead to a host that has an address",
    "unknown": "ask another name server, with --resolver: this one is too old, or none",
}


class Resolver:
    """Looks names up, each within `timeout` seconds, at `server` or the system's."""

    def __init__(
        self, server: tuple[str, int] | None = None, timeout: float = 5.0
    ) -> None:
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
        self._resolver.use_edns(0, 0, 1232)  # which carries extended errors (RFC 8914)
        self._timeout = timeout
        self._until = math.inf  # on the monotonic clock
        # Hosts of which one kind of address was answered for, and this one was not.
        self.unanswered: dict[str, str] = {}

    def until(self, moment: float) -> Resolver:
        """The same, which ends every look-up by a moment of the monotonic clock."""
        copied = copy.copy(self)
        copied._until = min(self._until, moment)
        return copied

    def _left(self, name: str) -> float:
        left = min(self._timeout, self._until - time.monotonic())
        if left <= 0:
            raise LookupFailed(name, "no time is left to ask for it", "timeout")
        return left

    def _answers(self, name: str, type_: str) -> list[Any]:
        return self._asked(name, type_) or []

    def _asked(self, name: str, type_: str, edns: bool = True) -> list[Any] | None:
        """The records, None where there is no such name."""
        asked = self._resolver
        if not edns:
            asked = copy.copy(asked)
            asked.use_edns(-1)
        try:
            answer = asked.resolve(
                f"{name}.", type_, search=False, lifetime=self._left(name)
            )
        except dns.resolver.NXDOMAIN:
            return None
        except dns.resolver.NoAnswer as error:
            reason = _stops_short(error.kwargs.get("response"))
            if reason:
                raise LookupFailed(f"{name} {type_}", reason, "short") from error
            return []
        except (dns.exception.DNSException, OSError) as error:
            if isinstance(error, LookupFailed):
                raise
            failed = self._failure(name, type_, error)
            if (
                failed.kind == "unknown" and edns
            ):  # RFC 6891, section 7: it is an old one
                return self._asked(name, type_, edns=False)
            raise failed from error
        return list(answer)

    def _failure(self, name: str, type_: str, error: Exception) -> LookupFailed:
        """Why a look-up failed: by the extended errors, or by asking once more."""
        kind, reason = _reason(error)
        if kind == "servfail" and self._is_there_unchecked(name, type_):
            kind, reason = "dnssec", "its DNSSEC signatures are not valid"
        return LookupFailed(f"{name} {type_}", reason, kind)

    def _is_there_unchecked(self, name: str, type_: str) -> bool:
        """Whether it is answered where nobody checks the signatures."""
        trusting = copy.copy(self._resolver)
        trusting.set_flags(dns.flags.RD | dns.flags.CD)
        try:
            left = min(self._left(name), 1.0)
            trusting.resolve(f"{name}.", type_, search=False, lifetime=left)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return True
        except (dns.exception.DNSException, OSError):
            return False
        return True

    def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host; raises LookupFailed where nobody answers."""
        if is_ip(host):
            return [host]
        if self._system:  # as every program here does, /etc/hosts included
            try:
                # The rest of the time is for asking by ourselves.
                return _in_time(_system_addresses, host, self._left(host) * 0.6)
            except LookupFailed as error:
                if error.kind not in ("servfail", "timeout"):
                    raise  # the system does not say why
        both = self.until(time.monotonic() + self._timeout)
        return [str(it.address) for it in both._of_both_kinds(host)]

    def _of_both_kinds(self, host: str) -> list[Any]:
        """IPv6 first, as programs try them, asked for side by side.

        One kind that fails hides not the other. One that is late is waited for half of
        the time where the other is there: the rest is for who wants to go there.
        """
        known = self.unanswered.get(host)
        asked = {
            type_: _beside(partial(self._asked, host, type_))
            for type_ in ("AAAA", "A")
            if type_ != known
        }
        seconds = self._left(host)
        begun = time.monotonic()
        over = begun + seconds + _THREADS
        done, _ = wait(asked.values(), seconds, FIRST_COMPLETED)
        if any(it.exception() is None for it in done):
            over = begun + seconds / 2
        wait(asked.values(), max(over - time.monotonic(), 0))

        records: list[Any] = []
        is_nowhere = False
        failed: dict[str, LookupFailed] = {}
        for type_, future in asked.items():
            try:
                found = future.result(0)
                records += found or []
                is_nowhere = is_nowhere or found is None
            except LookupFailed as error:
                failed[type_] = error
            except TimeoutError:
                failed[type_] = LookupFailed(host, "no name server answers", "timeout")
        late = [type_ for type_, it in failed.items() if it.kind == "timeout"]
        if len(failed) < len(asked) and late:
            other = "A" if late[0] == "AAAA" else "AAAA"
            reason = (
                f"the name server does not answer for {late[0]} (it does for {other})"
            )
            failed[late[0]] = LookupFailed(host, reason, "kind")
            if records:
                self.unanswered[host] = late[0]
            elif is_nowhere:  # some say so of a name that has the other kind alone
                return []
        if failed and not records:
            raise next(iter(failed.values()))
        return records

    def is_known(self, name: str) -> bool:
        """Whether DNS knows the name, whatever it has of it; True where nobody says."""
        try:
            self._resolver.resolve(
                f"{name}.", "SOA", search=False, lifetime=self._left(name)
            )
        except dns.resolver.NXDOMAIN:
            return False
        except (dns.exception.DNSException, OSError):
            return True
        return True

    def alias(self, name: str) -> str:
        """What the name is another name of (its CNAME), "" where it is its own."""
        if is_ip(name):
            return ""
        records = self._answers(name, "CNAME")
        return _host(records[0].target) if records else ""

    def mx(self, domain: str) -> list[str]:
        """The hosts that take the domain's mail, the preferred first."""
        records = sorted(self._answers(domain, "MX"), key=lambda it: int(it.preference))
        return [_host(it.exchange) for it in records if _host(it.exchange)]

    def takes_no_mail(self, domain: str) -> bool:
        """Whether it says so: a null MX (RFC 7505)."""
        records = self._answers(domain, "MX")
        return bool(records) and not any(_host(it.exchange) for it in records)

    def srv(self, name: str) -> list[tuple[str, int]]:
        """Host and port by priority; the host "" where it says "not offered"."""
        records = sorted(self._answers(name, "SRV"), key=lambda it: int(it.priority))
        return [(_host(it.target), int(it.port)) for it in records]

    def records(self, name: str, type_: str) -> list[Rdata]:
        """The data of the records of that type at the name."""
        return [it for it in self._answers(name, type_) if it.rdtype.name == type_]

    def txt(self, name: str) -> list[str]:
        """The TXT records, the strings of each joined."""
        records = self._answers(name, "TXT")
        return [b"".join(it.strings).decode("utf-8", "replace") for it in records]


_THREADS = 0.3  # seconds, for what a look-up's own end takes to be told


def _host(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return "" if text in (".", "@") else text.lower()


# RFC 8914, section 4: what a name server says beside SERVFAIL.
_DNSSEC_CODES = frozenset((1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 25, 27))
_CODES = {
    6: "DNSSEC: the signatures are bogus",
    7: "DNSSEC: the signatures have expired",
    8: "DNSSEC: the signatures are not valid yet",
    9: "DNSSEC: the key that the DS record names is missing",
    10: "DNSSEC: the signatures are missing",
    12: "DNSSEC: the proof that it does not exist is missing",
    22: "none of the domain's name servers is reached",
    23: "a name server of the domain is not reached",
}


_RCODES = {
    dns.rcode.SERVFAIL: ("servfail", "the name server fails at it (SERVFAIL)"),
    dns.rcode.REFUSED: ("refused", "the name server {} refuses to answer (REFUSED)"),
    dns.rcode.NOTIMP: ("unknown", "the name server {} knows no such question (NOTIMP)"),
    dns.rcode.FORMERR: (
        "unknown",
        "the name server {} does not understand the question (FORMERR)",
    ),
}


def _reason(error: Exception) -> tuple[str, str]:
    """The kind of a failure, and the failure in words."""
    said = getattr(error, "kwargs", {}).get("errors") or []
    for server, _, _, what, *_ in said:
        if isinstance(what, dns.message.Truncated):
            who = _server(server)
            words = (
                f"the answer of the name server {who} is too long for UDP, and by TCP "
            )
            return "tcp", f"{words}(port 53) it does not answer"
    if isinstance(error, dns.exception.Timeout):
        asked = sorted({f"{_server(it[0])} port {it[2]}" for it in said if len(it) > 2})
        beside = f" ({', '.join(map(str, asked[:3]))})" if asked else ""
        return "timeout", f"no name server answers{beside}"
    found = [_of_answer(*it[:5]) for it in said if len(it) > 4]
    if found:
        return next((it for it in found if it[0]), found[0])
    if isinstance(error, dns.resolver.NoNameservers):
        return "timeout", "this machine knows no name server"
    text = str(error).partition("\n")[0][:200]
    return "", text or type(error).__name__


def _of_answer(
    server: Any, _tcp: bool, _port: int, what: Any, answer: Any
) -> tuple[str, str]:
    """The same of what one name server answered, if it did."""
    who = _server(server)
    if isinstance(what, dns.message.ChainTooLong) or _is_loop(answer):
        return "loop", "its alias (CNAME) is a loop"
    if answer is not None:
        for option in answer.options:
            if isinstance(option, dns.edns.EDEOption):
                return _of_code(int(option.code), option.text or "")
        kind, words = _RCODES.get(answer.rcode(), ("", ""))
        code = dns.rcode.to_text(answer.rcode())
        words = words or f"the answer of the name server {{}} is of no use ({code})"
        return kind, words.format(who)
    if isinstance(what, OSError):
        said = what.strerror or type(what).__name__
        return "timeout", f"the name server {who} is not reached: {said}"
    return "", f"what the name server {who} answers cannot be read"


def _way(answer: Any) -> list[Any]:
    """The name that was asked for and its aliases in an answer, up to one twice."""
    aliases = {
        it.name: it[0].target
        for it in answer.answer
        if it.rdtype == dns.rdatatype.CNAME
    }
    way = [it.name for it in answer.question[:1]]
    while way and way[-1] in aliases and way[-1] not in way[:-1]:
        way.append(aliases[way[-1]])
    return way


def _is_loop(answer: Any) -> bool:
    way = _way(answer) if answer is not None else []
    return way[-1:] != [] and way[-1] in way[:-1]


def _stops_short(answer: Any) -> str:
    """What a name server leaves open that asks no other, "" where it is the whole answer.

    An answer that there is nothing has the zone's SOA (RFC 2308, section 2.2).
    """
    if answer is None or answer.flags & dns.flags.RA:
        return ""
    kinds = {it.rdtype for it in answer.authority}
    if dns.rdatatype.SOA in kinds:
        return ""
    only = "the name server asked answers for its own zones only"
    aliases = {
        it.name: it[0].target
        for it in answer.answer
        if it.rdtype == dns.rdatatype.CNAME
    }
    if aliases:
        name = answer.question[0].name
        for _ in range(len(aliases)):
            name = aliases.get(name, name)
        return f"it is an alias (CNAME) of {_host(name)}, and {only}"
    if dns.rdatatype.NS in kinds and not answer.flags & dns.flags.AA:
        return f"{only}, and refers to others"
    return ""


def _server(nameserver: Any) -> str:
    said = str(getattr(nameserver, "address", nameserver))
    return (
        said.partition(":")[2].rpartition("@")[0] if said.startswith("Do53:") else said
    )


def _of_code(code: int, text: str) -> tuple[str, str]:
    kind = "dnssec" if code in _DNSSEC_CODES else "servfail"
    words = _CODES.get(code)
    if words is None:
        words = (
            "DNSSEC" if kind == "dnssec" else f"the name server fails at it ({code})"
        )
    return kind, f"{words}: {text[:200]}" if text else words


def _system_addresses(host: str) -> list[str]:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return []
        kind = "servfail" if error.errno == socket.EAI_AGAIN else ""
        raise LookupFailed(host, str(error.strerror), kind) from error
    except ValueError:  # no host name, as UnicodeError says too
        return []
    found = dict.fromkeys(str(info[4][0]) for info in infos)
    return sorted(found, key=lambda address: ":" not in address)


def _beside(look: Callable[[], T]) -> Future[T]:
    """What it gives, in a thread of its own, which may be left behind."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(look())
        except Exception as error:  # whatever it is, it is who waits that wants to know
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def _in_time(
    look_up: Callable[[str], list[str]], host: str, seconds: float
) -> list[str]:
    """What it gives; the system's own look-up knows no time, so that it is left behind."""
    try:
        return _beside(partial(look_up, host)).result(seconds)
    except TimeoutError as error:
        raise LookupFailed(host, "no name server answers", "timeout") from error
