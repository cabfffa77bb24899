"""Looks names up in DNS, each within a time."""

from __future__ import annotations

import copy
import math
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import dns.exception
import dns.resolver

from ..address import is_ip


class LookupFailed(OSError):  # noqa: N818 (it is what the field calls it)
    """Nobody answered a look-up, or with an error."""


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
            raise LookupFailed(f"{name}: no time is left to ask for it")
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
            raise LookupFailed(f"{name} {type_}: {_reason(error)}") from error
        return list(answer)

    def addresses(self, host: str) -> list[str]:
        """The IP addresses of a host; raises LookupFailed where nobody answers."""
        if is_ip(host):
            return [host]
        if self._system:  # as every program here does, /etc/hosts included
            return _in_time(_system_addresses, host, self._left(host))
        both = self.until(time.monotonic() + self._timeout)
        records = both._answers(host, "A") + both._answers(host, "AAAA")
        return [str(it.address) for it in records]

    def mx(self, domain: str) -> list[str]:
        """The hosts that take the domain's mail, the preferred first."""
        records = sorted(self._answers(domain, "MX"), key=lambda it: int(it.preference))
        return [_host(it.exchange) for it in records if _host(it.exchange)]

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


def _reason(error: Exception) -> str:
    if isinstance(error, dns.exception.Timeout):
        return "no name server answers"
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _system_addresses(host: str) -> list[str]:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno in (socket.EAI_NONAME, socket.EAI_NODATA):
            return []
        raise LookupFailed(f"{host}: {error.strerror}") from error
    except UnicodeError:
        return []
    return list(dict.fromkeys(str(info[4][0]) for info in infos))


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
        raise LookupFailed(f"{host}: no name server answers")
    if isinstance(results[0], LookupFailed):
        raise results[0]
    return results[0]
