"""Send the requests of mail clients: `python contrib/bench/soak.py [--seconds 60]`.

Run `flask-autoconfig serve` on loopback, and send it a mix of the requests of mail clients
from several threads. Report the throughput, the slowest percentile, and the memory of the
workers at the start and at the end. The exit code is 1 if any response was wrong.

With `--hostile`, send invalid hosts, paths and methods, broken and incomplete bodies, and
random bytes, and count the statuses. The exit code is 1 if a status was 500 or more, or a
response was missing. `--requests N` stops after so many requests.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import random
import re
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

sys.path.append(str(Path(__file__).resolve().parent.parent.parent / "tests"))

from services import free_port, running
from support import BIN

DOMAINS = 1000
POX = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    'requestschema/2006"><Request><EMailAddress>{}</EMailAddress></Request></Autodiscover>'
)


class Ask(NamedTuple):
    """A request, and the expected status."""

    method: str
    target: str
    host: str
    status: int
    body: str = ""


def ask(number: int) -> Ask:
    """Return a random request of a client."""
    domain = f"d{random.randrange(DOMAINS)}.test"  # noqa: S311 (load, no secret)
    address = f"user{number}@{domain}"
    config = "/mail/config-v1.1.xml"
    well_known = f"/.well-known/autoconfig{config}"
    autoconfig = f"autoconfig.{domain}"
    query = f"?emailaddress={address.replace('@', '%40')}"
    template_recipient = f"?emailaddress=EVOLUTIONUSER%40{domain}&emailmd5=abc"
    v2 = f"/autodiscover/autodiscover.json?Email={address}&Protocol=AutodiscoverV1"
    pacc = "/.well-known/user-agent-configuration.json"
    pox = "/autodiscover/autodiscover.xml"
    return random.choice(  # noqa: S311
        (
            Ask("GET", config + query, autoconfig, 200),
            Ask("GET", config + query, autoconfig, 200),
            Ask("GET", well_known + query, domain, 200),
            Ask("GET", config + template_recipient, autoconfig, 200),
            Ask("GET", config, autoconfig, 200),
            Ask("GET", config + query, "autoconfig.nowhere.invalid", 200),
            # The only provider of the file answers requests without an address.
            Ask("GET", config, "autoconfig.nowhere.invalid", 200),
            Ask("GET", f"{config}?emailaddress=a@b{number}.invalid", "x.invalid", 404),
            Ask("POST", pox, f"autodiscover.{domain}", 200, POX.format(address)),
            Ask("GET", v2, f"autodiscover.{domain}", 200),
            Ask("GET", f"/mail/mobileconfig{query}", autoconfig, 200),
            Ask("GET", pacc, f"ua-auto-config.{domain}", 200),
            Ask("PROPFIND", "/.well-known/caldav", domain, 404),
            Ask("GET", f"/mail/setup{query}", autoconfig, 200),
            Ask("HEAD", config, autoconfig, 200),
        )
    )


class Bytes(NamedTuple):
    """Raw bytes. If they are no request, there may be no response."""

    sent: bytes
    is_request: bool = True
    stops: bool = False  # the rest is never sent, and the client waits


HOSTS = (
    *("xn--.test", "xn--a.test", "é.test", "ex\u3002test", "a" * 300, "[::1]", "[", ""),
    *(".", "-.test", "d1.test:99999", "d1.test:x", "autoconfig.", "\xad.test", "1.2.3"),
)
PATHS = (
    *("/mail/config-v1.1.xml", "/autodiscover/autodiscover.xml", "/mail/setup", "//"),
    *("/autodiscover/autodiscover.json", "/mail/mobileconfig", "/healthz", "/%00%ff"),
    *("/.well-known/caldav", "/v1.1/d1.test", "/..%2f..%2fetc/passwd", "*", "/%"),
    *("/mail/config-v1.1.xml/", "http://d1.test/mail/setup", "/" + "a" * 3000),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "PROPFIND", "BREW", "get")
ADDRESSES = (
    *("a@d1.test", "%40", "@", "a" * 3000 + "@d1.test", "a@" + "b." * 1500),
    *("%ff@d1.test", "a@xn--.test", "a@%C2%AD.test", "%22%0a%22@d1.test"),
    *("a@[1.2.3.4]", "%", "a+b"),
)
BODIES = (b"", b"<", b"<a/>", b"\x00" * 70_000, POX.format("a@xn--.test").encode())
CHUNKS = (b"-5\r\na", b"zz\r\n", b"0x5\r\n", b"5\r\naaaaabb0\r\n\r\n", b"ff\r\na")


def hostile() -> Bytes:
    """Return a random hostile request."""
    pick = random.choice
    if random.random() < 0.1:  # noqa: S311 (load, no secret)
        return Bytes(random.randbytes(random.randrange(1, 2000)), is_request=False)  # noqa: S311
    query = f"?emailaddress={pick(ADDRESSES)}&Protocol={pick(ADDRESSES[:3])}"
    head = f"{pick(METHODS)} {pick(PATHS)}{pick(('', query))} HTTP/1.1\r\n"
    head += f"Host: {pick(HOSTS)}\r\nConnection: close\r\n"
    body = pick(BODIES)
    kind = random.random()  # noqa: S311
    if kind < 0.2:
        chunked = f"{head}Transfer-Encoding: chunked\r\n\r\n".encode()
        return Bytes(chunked + pick(CHUNKS))
    if kind < 0.25:
        return Bytes(
            f"{head}Content-Length: 100000\r\n\r\n".encode() + body, stops=True
        )
    if kind < 0.3:
        return Bytes(f"{head}Content-Length: {pick((-1, 'x', 9))}\r\n\r\n".encode())
    return Bytes(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)


class Soak:
    """The work of the threads, and its results."""

    def __init__(
        self, port: int, until: float, requests: int = 0, *, hostile: bool = False
    ) -> None:
        self.port = port
        self.until = until
        self.most: Iterator[int] = iter(
            range(requests) if requests else itertools.count()
        )
        self.work = self.be_hostile if hostile else self.ask
        self.statuses: Counter[str] = Counter()
        self.waits: list[float] = []
        self.wrong: list[str] = []

    def is_over(self) -> bool:
        return time.monotonic() >= self.until or next(self.most, None) is None

    def be_hostile(self, seed: int) -> None:
        while not self.is_over():
            self._throw(hostile())

    def _throw(self, thrown: Bytes) -> None:
        start = time.perf_counter()
        status = "none"
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self.port), 20) as to,
        ):
            with suppress(OSError):  # the server may refuse before everything is sent
                to.sendall(thrown.sent)
                if not thrown.stops:
                    to.shutdown(socket.SHUT_WR)
            status = to.recv(100)[9:12].decode("latin-1") or "none"
        self.waits.append(time.perf_counter() - start)
        self.statuses[status] += 1
        if status >= "500" and (status != "none" or thrown.is_request):
            self.wrong.append(f"{status}: {thrown.sent[:300]!r}")

    def ask(self, seed: int) -> None:
        number = seed
        while not self.is_over():
            number += 1
            asked = ask(number)
            start = time.perf_counter()
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            try:
                headers = {"Host": asked.host}
                connection.request(asked.method, asked.target, asked.body, headers)
                reply = connection.getresponse()
                reply.read()
                if reply.status != asked.status:
                    self.wrong.append(f"{asked}: {reply.status}")
            except OSError as error:
                self.wrong.append(f"{asked}: {error}")
            finally:
                connection.close()
            self.waits.append(time.perf_counter() - start)


def memory(master: int) -> list[int]:
    """Return the resident memory of each worker, in MB."""
    tasks = Path(f"/proc/{master}/task").glob("*/children")
    workers = "".join(task.read_text() for task in tasks).split()
    texts = [Path(f"/proc/{worker}/status").read_text() for worker in workers]
    return [int(re.findall(r"VmRSS:\s+(\d+)", text)[0]) // 1024 for text in texts]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--requests", type=int, default=0, help="end after so many")
    parser.add_argument(
        "--hostile", action="store_true", help="send what nobody should"
    )
    parser.add_argument("--threads", type=int, default=6)
    options = parser.parse_args()
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "autoconfig.toml")
        names = ", ".join(f'"d{number}.test"' for number in range(DOMAINS))
        file.write_text(
            f"[[provider]]\ndomains = [{names}]\nlist_domains = false\n"
            '[[provider.incoming]]\ntype = "imap"\nhostname = "imap.d0.test"\n'
            '[[provider.outgoing]]\ntype = "smtp"\nhostname = "smtp.d0.test"\n'
        )
        command = (BIN / "flask-autoconfig", "--config", file, "serve")
        bind = ("--bind", f"127.0.0.1:{port}")
        with running(*command, *bind, port=port) as server:
            _run(Soak(port, time.monotonic() + 3), options.threads)
            before = memory(server.pid)
            start = time.monotonic()
            until, most = start + options.seconds, options.requests
            soak = Soak(port, until, most, hostile=options.hostile)
            _run(soak, options.threads)
            took = time.monotonic() - start
            after = memory(server.pid)
    waits = sorted(wait * 1000 for wait in soak.waits)
    print(f"{len(waits)} requests, {len(waits) / took:.0f} a second")
    slow = waits[len(waits) * 99 // 100]
    print(
        f"median {statistics.median(waits):.1f} ms, 99th percentile {slow:.1f} ms, "
        f"slowest {waits[-1]:.1f} ms"
    )
    print(f"memory of the workers: {before} MB at the start, {after} MB at the end")
    if soak.statuses:
        print("statuses:", *(f"{s}: {n}" for s, n in sorted(soak.statuses.items())))
    print(f"{len(soak.wrong)} wrong answers", *soak.wrong[:5], sep="\n  ")
    sys.exit(1 if soak.wrong else 0)


def _run(soak: Soak, threads: int) -> None:
    workers = [
        threading.Thread(target=soak.work, args=(number * 1_000_000,))
        for number in range(threads)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


if __name__ == "__main__":
    main()
