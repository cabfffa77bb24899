"""What several test files need: real servers in processes of their own, ports for them,
and where the material is."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager, suppress
from datetime import datetime
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from unittest.mock import patch

import dns.resolver
import pytest
import trustme

from flask_autoconfig.reload import Live
from flask_autoconfig.service import Current
from flask_autoconfig.snapshot import Snapshot
from flask_autoconfig.tools.cli import cli

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
BIN = Path(sys.executable).parent
# Files shaped like those of the ISP database, one a provider.
ISP = ROOT / "tests/isp"
ISP_FILES = sorted(ISP.glob("*.xml"))

TWO_DOMAINS = """
[[provider]]
domains = ["example.com", "example2.com"]

[[provider.incoming]]
type = "imap"
hostname = "imap.example.com"

[[provider.incoming]]
type = "pop3"
hostname = "pop.example.com"

[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
"""


# What makes lines of `dns` a zone of their own, relative to its domain.
ZONE_HEAD = (
    "$TTL 60\n@ IN SOA ns hostmaster 1 60 60 60 60\n@ IN NS ns\nns IN A 127.0.0.1\n"
)


def outlook_asks(email: str) -> str:
    """What Outlook posts to find the settings of an address (MS-OXDSCLI, 3.1.5.2)."""
    place = "http://schemas.microsoft.com/exchange/autodiscover/outlook/"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="{place}requestschema/2006"><Request>
<EMailAddress>{email}</EMailAddress>
<AcceptableResponseSchema>{place}responseschema/2006a</AcceptableResponseSchema>
</Request></Autodiscover>"""


def lacking(what: str) -> NoReturn:
    """Skip for want of something, or fail where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and under CI nothing may be")
    pytest.skip(f"{what} is missing")


def program(name: str) -> str:
    """The path of a program, also of those only root has in its PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return path or lacking(name)


def shared(name: str) -> Path:
    """Real material that stands beside the repository; tests over it are extra ones."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"an extra test: no {path} beside this repository")
    return path


# Ports below the range that systems take for outgoing connections (from 32768 on Linux,
# 49152 elsewhere): no connection of anybody's can take one between asking and listening.
_BLOCKS = range(10_000, 32_000, 200)


def _hold(port: int) -> list[socket.socket]:
    """Sockets that hold the port, for TCP and UDP at every address; none if it is taken."""
    kinds = (socket.SOCK_STREAM, socket.SOCK_DGRAM)
    holders = [socket.socket(socket.AF_INET, kind) for kind in kinds]
    try:
        for holder in holders:
            holder.bind(("", port))
    except OSError:
        _let_go(holders)
        return []
    return holders


def _let_go(holders: list[socket.socket]) -> None:
    for holder in holders:
        holder.close()


def _is_free(port: int) -> bool:
    holders = _hold(port)
    _let_go(holders)
    return bool(holders)


def _own_ports() -> Iterator[int]:
    """The ports of one block, over and over: ours for as long as we hold its first one.

    So no other worker of this run, and no other run on the machine, hands them out.
    """
    start, held = next((it, held) for it in _BLOCKS if (held := _hold(it)))
    while held:
        yield from range(start + 1, start + _BLOCKS.step)


_PORTS = _own_ports()


def free_port() -> int:
    """A port of loopback that nothing listens on, and that nobody else is given."""
    return next(port for port in _PORTS if _is_free(port))


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that servers which run as another user can enter, until the block ends.

    Below pytest's own they cannot: each start of pytest, also in another window, shuts
    that one to all but its user.
    """
    with tempfile.TemporaryDirectory(prefix="autoconfig-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def snapshot_of(live: Live[Current]) -> Snapshot:
    """The configuration that answers; there has to be one."""
    assert live.built.lookup is not None
    return live.built.lookup.snapshot


class Reply(NamedTuple):
    status: int
    headers: Message
    body: bytes


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def fetch(
    url: str, *, method: str = "GET", data: bytes | None = None, **headers: str
) -> Reply:
    """One request over real HTTP; header names with `_` for `-`, no redirects."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, data=data, headers=named)
    try:
        with _OPENER.open(request, timeout=10) as response:
            return Reply(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


def wait_for(
    port: int,
    process: subprocess.Popen[bytes],
    seconds: float = 20,
    address: str = "127.0.0.1",
) -> None:
    """Return when something listens there; fail when the process ended instead."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, f"{process.args!r} ended at once"
        with socket.socket() as sock:
            sock.settimeout(1)
            if sock.connect_ex((address, port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on {port}")


def end(process: subprocess.Popen[bytes], *, at_once: bool = False) -> None:
    """Stop a server that leads a session of its own, and what it has started."""
    if not at_once:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def running(
    *command: str | Path,
    port: int,
    log: Path | None = None,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    address: str = "127.0.0.1",
    at_once: bool = False,
    seconds: float = 20,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server in a process of its own, until the block ends.

    `at_once` is for gunicorn: a worker that starts does not hear that it shall stop, and
    the others take a second to.
    """
    out = log.open("ab") if log else subprocess.DEVNULL
    process = subprocess.Popen(
        [str(word) for word in command],
        stdout=out,
        stderr=subprocess.STDOUT,
        env={**os.environ, **(env or {})},
        cwd=cwd,
        start_new_session=True,
    )
    try:
        wait_for(port, process, seconds, address)
        yield process
    finally:
        end(process, at_once=at_once)
        if log:
            assert not isinstance(out, int)
            out.close()


@contextmanager
def serving(file: Path, *options: str, log: Path | None = None) -> Iterator[str]:
    """`flask-autoconfig serve` on a free port of loopback; gives its base URL."""
    port = free_port()
    bind = f"127.0.0.1:{port}"
    command = (BIN / "flask-autoconfig", "--config", file, "serve", "--bind", bind)
    with running(*command, *options, port=port, log=log, at_once=True):
        yield f"http://{bind}"


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Return as soon as the condition holds; fail if it does not after these seconds."""
    end = time.monotonic() + seconds
    is_late = False
    while not condition():
        assert not is_late, f"not within {seconds} seconds"
        time.sleep(0.05)
        is_late = time.monotonic() > end  # it is asked once more then


_AUTHORITY = trustme.CA()


def certificate_for(
    *names: str, folder: Path, not_after: datetime | None = None
) -> tuple[Path, Path]:
    """A certificate and its key in PEM files; the root is `folder/ca.pem`."""
    certificate = _AUTHORITY.issue_cert(*names, not_after=not_after)
    files = folder / f"{names[0]}.pem", folder / f"{names[0]}.key"
    files[0].write_bytes(b"".join(it.bytes() for it in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files[1])
    _AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    return files


@contextmanager
def names(
    monkeypatch: pytest.MonkeyPatch, ports: dict[tuple[str, int], int]
) -> Iterator[None]:
    """For clients in this process: (host, port) is that port of loopback."""
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        here = ports.get((str(host), int(port or 0)))
        if here is None:
            return real(host, port, *more, **options)
        return real("127.0.0.1", here, *more, **options)

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = ["127.0.0.1"]
    resolver.port = free_port()  # where nobody answers
    resolver.lifetime = 1
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        patch.setattr(dns.resolver, "default_resolver", resolver)
        yield


def run(
    *arguments: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Call the command `flask-autoconfig`; no terminal, nothing to read.

    It is called in this process, where an error that it does not handle is raised. For
    `serve`, which forks and may go to the background, and with the environment variable
    `COMMAND_PROCESSES`, which `.ci/run` sets, this is `run_process`.
    """
    if "serve" in arguments or os.environ.get("COMMAND_PROCESSES"):
        return run_process(*arguments, cwd=cwd, **env)
    words = [str(it) for it in arguments]
    streams = [
        io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(3)
    ]
    code: Any = 0
    with ExitStack() as stack:
        for name, stream in zip(("stdin", "stdout", "stderr"), streams, strict=True):
            stack.enter_context(patch.object(sys, name, stream))
        stack.enter_context(patch.dict(os.environ, env))
        stack.enter_context(chdir(cwd or "."))
        try:
            cli(words, prog_name="flask-autoconfig")
        except SystemExit as ended:
            code = ended.code
    out, err = (stream.buffer.getvalue().decode() for stream in streams[1:])
    return subprocess.CompletedProcess(words, code, out, err)


def run_process(
    *arguments: str | Path,
    cwd: Path | None = None,
    pass_fds: Any = (),
    **env: str,
) -> subprocess.CompletedProcess[str]:
    """Start the command `flask-autoconfig`; no terminal, nothing to read."""
    return subprocess.run(
        [BIN / "flask-autoconfig", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=120,
        check=False,
        pass_fds=pass_fds,
    )
