"""Looks names up in DNS, each within a time."""

from __future__ import annotations

import copy
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import dns.edns
import dns.exception
import dns.flags
import dns.rcode
import dns.resolver

from ..address import is_ip


class LookupFailed(OSError):  # noqa: N818 (it is what the field calls it)
    """Nobody answered a look-up, or with an error.

    `kind` is timeout (no name server is reached), dnssec, servfail or refused, "" for
    anything else; `cure` says what to do, where the kind knows.
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
        try:
            answer = self._resolver.resolve(
                f"{name}.", type_, search=False, lifetime=self._left(name)
            )
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            if isinstance(error, LookupFailed):
                raise
            raise self._failure(name, type_, error) from error
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
                return _in_time(_system_addresses, host, self._left(host))
            except LookupFailed as error:
                if error.kind != "servfail":
                    raise  # the system does not say why: ask by ourselves
        both = self.until(time.monotonic() + self._timeout)
        return [str(it.address) for it in both._of_both_kinds(host)]

    def _of_both_kinds(self, host: str) -> list[Any]:
        """IPv6 first, as programs try them. One kind that fails hides not the other."""
        records: list[Any] = []
        failed: list[LookupFailed] = []
        for type_ in ("AAAA", "A"):
            try:
                records += self._answers(host, type_)
            except LookupFailed as error:
                failed.append(error)
                if error.kind in ("timeout", "dnssec"):
                    break
        if failed and not records:
            raise failed[0]
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

    def records(self, name: str, type_: str) -> list[str]:
        """The data of the records of that type there, as a zone file has it.

        Names in it are whole, in lower case; a text is one string in quotes.
        """
        if type_ == "TXT":
            return [f'"{text}"' for text in self.txt(name)]
        found = self._answers(name, type_)
        return [str(it.to_text()).lower() for it in found if it.rdtype.name == type_]

    def txt(self, name: str) -> list[str]:
        """The TXT records, the strings of each joined."""
        records = self._answers(name, "TXT")
        return [b"".join(it.strings).decode("utf-8", "replace") for it in records]


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


def _reason(error: Exception) -> tuple[str, str]:
    """The kind of a failure, and the failure in words."""
    said = getattr(error, "kwargs", {}).get("errors") or []
    if isinstance(error, dns.exception.Timeout):
        asked = sorted({f"{_server(it[0])} port {it[2]}" for it in said if len(it) > 2})
        beside = f" ({', '.join(map(str, asked[:3]))})" if asked else ""
        return "timeout", f"no name server answers{beside}"
    for each in said:
        answer = each[4] if len(each) > 4 else None
        if answer is None:
            continue
        for option in answer.options:
            if isinstance(option, dns.edns.EDEOption):
                return _of_code(int(option.code), option.text or "")
        if answer.rcode() == dns.rcode.SERVFAIL:
            return "servfail", "the name server fails at it (SERVFAIL)"
        if answer.rcode() == dns.rcode.REFUSED:
            who = f"the name server {_server(each[0])}"
            return "refused", f"{who} refuses to answer (REFUSED)"
    text = str(error).partition("\n")[0][:200]
    return "", text or type(error).__name__


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
    except UnicodeError:
        return []
    found = dict.fromkeys(str(info[4][0]) for info in infos)
    return sorted(found, key=lambda address: ":" not in address)


def _in_time(
    look_up: Callable[[str], list[str]], host: str, seconds: float
) -> list[str]:
    """What it gives; the system's own look-up knows no time, so that it is left behind."""
    results: list[list[str] | LookupFailed] = []

    def run() -> None:
        try:
            results.append(look_up(host))
        except LookupFailed as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise LookupFailed(host, "no name server answers", "timeout")
    if isinstance(results[0], LookupFailed):
        raise results[0]
    return results[0]
