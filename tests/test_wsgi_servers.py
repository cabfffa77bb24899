"""The middleware under WSGI servers, each a process of its own before a little site."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from client_requests import FILE, REQUEST, requests_of
from services import GUNICORN, SITE, Service, answered_alike, send, served, until
from support import TWO_DOMAINS, Write

from flask_autoconfig import create_app

EDITED = TWO_DOMAINS.replace("imap.", "mail.")
# wsgiref's list of methods is that of HTTP without WebDAV.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD"),
    pytest.mark.world,
]

BEHIND_THE_MIDDLEWARE = """
import os, time
from client_requests import little_site
from flask_autoconfig import AutoconfigMiddleware

lookups = []

def find_provider(domain):
    lookups.append(domain)
    time.sleep(1)
    return "example.com"

def site(environ, start_response):
    if environ["PATH_INFO"] == "/":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"Welcome {os.getpid()} {len(lookups)}".encode()]
    return little_site(environ, start_response)

application = AutoconfigMiddleware(
    site, os.environ["AUTOCONFIG_FILE"], find_provider=find_provider
)
"""
SERVERS = {
    "gunicorn-sync": (*GUNICORN, "--worker-class=sync"),
    "gunicorn-gthread": (*GUNICORN, "--worker-class=gthread", "--threads=4"),
    "gunicorn-gevent": (*GUNICORN, "--worker-class=gevent"),
    "gunicorn-gevent-preload": (*GUNICORN, "--worker-class=gevent", "--preload"),
    "waitress": ("waitress-serve", "--listen=127.0.0.1:{port}", "--threads=8"),
}


@pytest.fixture(scope="module", params=list(SERVERS.values()), ids=list(SERVERS))
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("site")
    with served(request.param, FILE, folder, BEHIND_THE_MIDDLEWARE) as service:
        yield service


def test_every_family_is_answered_like_by_the_service(service: Service) -> None:
    alone = create_app(FILE)
    for request in requests_of():
        response = answered_alike(alone, service.url, request)
        if etag := response.headers["ETag"]:
            changed = request._replace(headers=(("IF_NONE_MATCH", etag),))
            again = send(service.url, changed)
            assert (again.status, again.body) == (304, b""), request


def test_the_sites_own_responses_are_unchanged(service: Service) -> None:
    closed = int(service.fetch("/closed").body)
    data = b"hello" * 100_000
    for path, status, body in (
        ("/stream", 200, b"one two three"),
        ("/file", 200, FILE.read_bytes()),
        ("/echo", 202, data.upper()),
        ("/fails", 500, b"sorry"),
        ("/writes", 200, b"written"),
        ("/b%C3%BCcher", 404, "The site has no /bücher".encode()),
    ):
        method, sends = ("POST", data) if path == "/echo" else ("GET", None)
        response = service.fetch(path, method=method, data=sends)
        assert (response.status, response.body) == (status, body)
        assert response.headers["X-Site"] == "mine"
    # The server may close a stream after the client has all of it.
    until(lambda: service.fetch("/closed").body == str(closed + 1).encode())
    options = b"OPTIONS * HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"
    assert b"404 Of The Site" in service.send(options)


def test_simultaneous_requests_of_a_domain_call_a_hook_once(service: Service) -> None:
    with ThreadPoolExecutor(6) as pool:
        responses = list(pool.map(service.config_of, ["customer.test"] * 6))
    assert {response.status for response in responses} == {200}
    domain = b"<domain>customer.test</domain>"
    assert all(domain in response.body for response in responses)
    assert service.fetch("/").body.split()[2] == b"1"


# --- A file that changes ---------------------------------------------------------------


@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_corrections_and_edits_take_effect(
    toml: Write, tmp_path: Path, server: tuple[str, ...]
) -> None:
    file = toml("[[provider")
    with served(server, file, tmp_path, BEHIND_THE_MIDDLEWARE) as service:
        early = service.fetch()
        assert (early.status, early.headers["Retry-After"]) == (503, "10")
        assert service.fetch("/").body.startswith(b"Welcome")
        for text, host in ((TWO_DOMAINS, b">imap."), (EDITED, b">mail.")):
            toml(text)
            until(lambda host=host: host in service.fetch().body, seconds=5)  # type: ignore[misc]
        file.unlink()
        time.sleep(2)
        assert b">mail." in service.fetch().body
    assert "The last valid configuration remains" in (tmp_path / "log").read_text()


RECYCLING = (*GUNICORN, "--max-requests=3", "--workers=1")


@pytest.mark.parametrize("fault", ["[[provider", None], ids=["a typo", "no file"])
@pytest.mark.parametrize("site", [BEHIND_THE_MIDDLEWARE, SITE])
def test_recycled_workers_survive_an_unusable_file(
    file: Path, toml: Write, tmp_path: Path, site: str, fault: str | None
) -> None:
    with served(RECYCLING, file, tmp_path, site) as service:
        assert service.fetch().status == 200
        toml(fault or "")
        if fault is None:
            file.unlink()
        workers = set()
        for _ in range(12):  # the site's page is there all the time
            response = service.fetch("/")
            assert response.status == 200
            workers.add(response.body)
        assert len(workers) >= 4
        response = service.fetch()
        assert (response.status, response.headers["Retry-After"]) == (503, "10")
        toml(EDITED)
        until(lambda: b">mail." in service.fetch().body, seconds=10)
    log = (tmp_path / "log").read_text()
    assert str(file) in log
    assert "Requests are answered with 503 until it is corrected." in log
    assert "failed to boot" not in log


def test_an_incomplete_body_does_not_block_gevent(file: Path, tmp_path: Path) -> None:
    server = SERVERS["gunicorn-gevent"]
    with served(server, file, tmp_path, BEHIND_THE_MIDDLEWARE) as service:
        head = "POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: a.test\r\n"
        head += f"Connection: close\r\nContent-Length: {len(REQUEST)}\r\n\r\n"
        with service.connect(head.encode() + REQUEST[:9]) as sock:
            assert service.fetch().status == 200
            assert b"<ErrorCode>600</ErrorCode>" in sock.makefile("rb").read()
        assert service.fetch().status == 200
