"""The effect of GUNICORN_CMD_ARGS on `serve`, and addresses that cannot be used."""

import os
import signal
import socket
import ssl
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from gunicorn.config import Config
from services import CONFIG, captured, children_of, fetch, free_port, load, serve, until
from services import run_process as run
from support import BIN, ROOT, certificate_for, lacking, program, rows

pytestmark = pytest.mark.world
Refused = Callable[..., str]


@pytest.fixture
def refused(file: Path) -> Refused:
    """A function that runs `serve`, which must end, and returns its last line."""

    def refused(*options: str, arguments: str = "") -> str:
        result = run("--config", file, "serve", *options, GUNICORN_CMD_ARGS=arguments)
        assert result.returncode in (1, 2), result
        return result.stderr.splitlines()[-1]

    return refused


# --- Settings that apply ----------------------------------------------------------------


def test_options_of_serve_override_the_arguments(file: Path, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    arguments = f"--bind 127.0.0.1:PORT --workers 3 --pid {pid} --threads 5"
    with serve(file, arguments=arguments) as service:
        assert service.fetch().status == 200
        assert pid.read_text() == f"{service.process.pid}\n"
        until(lambda: len(service.workers()) == 3)
        line = f"Serving {file}, 2 domains, at 127.0.0.1:{service.port}\n"
        assert line in service.log.read_text()
    arguments = f"--bind 127.0.0.1:{free_port()} --workers 3"
    options = ("--bind", "127.0.0.1:PORT", "--workers", "1")
    with serve(file, *options, arguments=arguments) as service:
        assert service.fetch().status == 200
        time.sleep(0.5)  # in which a second worker would start
        assert len(service.workers()) == 1


def test_a_certificate_makes_it_serve_tls(file: Path, tmp_path: Path) -> None:
    certificate, key = certificate_for("localhost", folder=tmp_path)
    context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    arguments = f"--certfile {certificate} --keyfile {key}"
    with serve(file, arguments=arguments) as service:
        for _ in range(3):
            with (
                service.connect() as plain,
                context.wrap_socket(plain, server_hostname="localhost") as sock,
            ):
                sock.sendall(f"GET {CONFIG} HTTP/1.0\r\n\r\n".encode())
                response = b"".join(iter(lambda: sock.recv(65536), b""))
            assert response.startswith(b"HTTP/1.0 200 OK\r\n")
            assert response.endswith(b"</clientConfig>\n")


def test_a_configuration_file_is_read_again_on_hup(file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "gunicorn.conf.py"
    hook = "def when_ready(server):\n    server.log.info(message)\n"
    settings.write_text(f"workers = 3\nmessage = 'the site is up'\n{hook}")
    with serve(file, arguments=f"--config {settings}") as service:
        until(lambda: len(service.workers()) == 3)
        assert "[INFO] the site is up\n" in service.log.read_text()
        settings.write_text("workers = 1\n")
        service.process.send_signal(signal.SIGHUP)
        until(lambda: len(service.workers()) == 1)
        for text in ("workers = \n", "workers = -1\n", "raise SystemExit(3)\n"):
            settings.write_text(text)
            count = service.log.read_text().count("stay in use")
            service.process.send_signal(signal.SIGHUP)
            until(lambda: service.log.read_text().count("stay in use") > count)  # noqa: B023
            assert service.fetch().status == 200


def test_a_daemon_reports_errors(file: Path, tmp_path: Path, refused: Refused) -> None:
    pid, bind = tmp_path / "pid", f"127.0.0.1:{free_port()}"
    command = ("--config", file, "serve", "--bind", bind)
    arguments = f"--daemon --pid {pid}"
    assert run(*command, GUNICORN_CMD_ARGS=arguments).returncode == 0
    until(pid.exists)
    master = int(pid.read_text())
    try:
        until(lambda: bool(children_of(master)))
        assert fetch(f"http://{bind}{CONFIG}").status == 200
        assert "Address already in use" in refused("--bind", bind, arguments=arguments)
    finally:
        os.kill(master, signal.SIGTERM)
    until(lambda: not pid.exists())


def test_two_services_can_share_a_port(file: Path) -> None:
    with serve(file, arguments="--reuse-port --bind 127.0.0.1:PORT") as first:
        arguments = f"--reuse-port --bind 127.0.0.1:{first.port} --bind 127.0.0.1:PORT"
        with serve(file, arguments=arguments) as second:
            until(lambda: len(second.workers()) == 2)
            assert first.fetch().status == 200


def test_usr2_starts_a_server_and_loses_no_request(file: Path, tmp_path: Path) -> None:
    pid, new = tmp_path / "pid", tmp_path / "pid.2"
    statuses: list[int] = []
    with serve(file, arguments=f"--pid {pid}") as service:
        with load(lambda: statuses.append(service.fetch().status)):
            service.process.send_signal(signal.SIGUSR2)
            until(new.exists)
            service.process.terminate()
            assert service.process.wait(30) == 0
            until(lambda: pid.exists() and not new.exists())
            seen = len(statuses)
            until(lambda: len(statuses) > seen + 100)
        assert {*statuses} == {200}
        os.kill(int(pid.read_text()), signal.SIGTERM)
        until(lambda: not pid.exists())


# The second worker is stopped before it has handlers of its own.
FORKS = """
import os, pathlib, signal

def post_fork(server, worker):
    forks = pathlib.Path("forks")
    forks.write_text(forks.read_text() + "." if forks.exists() else ".")
    if forks.read_text() == "..":
        os.kill(os.getpid(), signal.SIGTERM)
"""


def test_a_worker_that_is_stopped_while_it_starts_ends(file: Path) -> None:
    forks = file.with_name("forks")
    file.with_name("conf.py").write_text(FORKS)
    with serve(file, arguments="--config conf.py --workers 1") as service:
        until(lambda: forks.exists() and forks.read_text() == ".")
        until(lambda: len(service.workers()) == 1)
        os.kill(service.workers()[0], signal.SIGTERM)
        until(lambda: forks.read_text() == "...")
        assert service.fetch().status == 200


def test_the_help_names_the_defaults() -> None:
    text = run("serve", "--help").stdout
    settings = tomllib.loads((ROOT / "flask_autoconfig/tools/serve.toml").read_text())
    for name in ("bind", "workers"):
        assert f"{settings['defaults'][name]} by default" in text


def test_log_worker_and_trusted_headers_are_fixed(file: Path, tmp_path: Path) -> None:
    settings = tmp_path / "gunicorn.conf.py"
    settings.write_text("secure_scheme_headers = {'X-FORWARDED-PROTO': 'https'}\n")
    arguments = (
        f"--config {settings} --log-level debug --access-logformat '%(r)s %(q)s'"
        " --worker-class sync --logger-class gunicorn.glogging.Logger"
        " --forwarded-allow-ips '*'"
    )
    names = ["access_log_format", "forwarded_allow_ips", "logger_class"]
    names += ["secure_scheme_headers", "worker_class"]
    if "forwarder_headers" in Config().settings:  # from gunicorn 22 on
        arguments += " --forwarder-headers X-Forwarded-Host --header-map dangerous"
        names += ["forwarder_headers", "header_map"]
    with serve(file, arguments=arguments) as service:
        assert service.fetch().status == 200
        path, host = "/autodiscover/autodiscover.xml", "a.example.com"
        forwarded = service.fetch(path, Host=host, X_Forwarded_Proto="https")
        assert forwarded.status != 302
        for request in (  # half a head, and a header that proxies take for another
            f"GET {CONFIG} HTTP/1.1\r\nHo",
            f"GET {CONFIG} HTTP/1.0\r\nX_Forwarded_Host: fred.secret\r\n\r\n",
        ):
            service.send(request.encode())
        service.fetch("/last")
        until(lambda: '"GET /last HTTP/1.1" 404' in service.log.read_text())
        premature = "Ignored premature client disconnection."
        until(lambda: premature in service.log.read_text())
    text = service.log.read_text()
    fixed = ", ".join(sorted(names))
    assert f"GUNICORN_CMD_ARGS: serve keeps its own {fixed}\n" in text
    assert "Using worker: sync" not in text
    assert "secret" not in text


# --- Errors -----------------------------------------------------------------------------


@rows("faulty_arguments", "arguments, message", "commands.toml")
def test_a_bad_argument_ends_it(refused: Refused, arguments: str, message: str) -> None:
    line = refused(arguments=arguments)
    assert "GUNICORN_CMD_ARGS: " in line
    assert message in line


@rows("impossible_addresses", "bind, words", "commands.toml")
def test_an_impossible_address_ends_it(refused: Refused, bind: str, words: str) -> None:
    line = refused(arguments=f"--bind {bind}")
    assert line.startswith(f"Error: cannot serve at {bind}: ")
    assert line.endswith(words)


def test_an_address_in_use_ends_it(refused: Refused, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = refused("--bind", address)
        assert line == (
            f"Error: cannot serve at {address}: Address already in use;"
            " choose another by --bind"
        )
        assert line == refused(arguments=f"--bind {address}")
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as live:
        live.bind(str(path))
        live.listen()
        line = refused("--bind", f"unix:{path}")
        assert line.startswith(f"Error: cannot serve at unix:{path}: Address already")
    assert path.exists()


def test_the_socket_of_a_dead_server_is_replaced(file: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
        dead.listen()
    arguments = f"--bind 127.0.0.1:PORT --bind unix:{path}"
    with serve(file, arguments=arguments), socket.socket(socket.AF_UNIX) as client:
        until(lambda: client.connect_ex(path) == 0)
        client.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.0 200 OK")


def test_a_port_reserved_for_root_ends_it_with_one_line(file: Path) -> None:
    if int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80:
        lacking("a port that is reserved for root")
    without = [program("setpriv"), "--bounding-set=-net_bind_service"]
    command = (BIN / "flask-autoconfig", "--config", file, "serve")
    start = (*(without if os.getuid() == 0 else ()), *command)
    result = captured(*start, "--bind", "127.0.0.1:80", code=1)
    assert result.stderr == (
        "Error: cannot serve at 127.0.0.1:80: Permission denied; "
        "choose another by --bind\n"
    )
