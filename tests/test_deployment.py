"""The files in contrib/, each tested with its program."""

import http.client
import re
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import dns.zone
import fronts
import pytest
import yaml
from client_requests import outlook_request
from fronts import CONTRIB, HOSTS, Front, Pair
from services import (
    Service,
    captured,
    children_of,
    fetch,
    free_port,
    load,
    run,
    serve,
    serving,
    until,
)
from support import (
    BIN,
    ROOT,
    TWO_DOMAINS,
    ZONE_HEAD,
    Patch,
    certificate_for,
    program,
    replaced,
)

from flask_autoconfig.documents import outlook

BEHIND = (fronts.behind_nginx, fronts.behind_apache, fronts.behind_caddy)
OF_SITE = (fronts.site_of_nginx, fronts.site_of_apache, fronts.site_of_caddy)
CONFIG = "/.well-known/autoconfig/mail/config-v1.1.xml?emailaddress=fred@example.com"


@pytest.fixture
def service(file: Path) -> Iterator[str]:
    """A service behind one proxy; yields host and port."""
    with serving(file, "--proxies", "1") as url:
        yield url.removeprefix("http://")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: Patch) -> Pair:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return certificate_for(*HOSTS, "example.com", folder=tmp_path)


@pytest.mark.world
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("front", BEHIND)
def test_a_proxy_serves_any_number_of_domains(
    tmp_path: Path,
    service: str,
    certificate: Pair,
    front: Callable[..., Front],
    address: str,
) -> None:
    fronts.need(address)
    https, http = free_port(), free_port()
    with front(tmp_path, service, https, http, certificate):
        fronts.check_front(https, http, address)
    if front is not fronts.behind_caddy:  # which writes no access log
        log = (tmp_path / "access.log").read_text()
        assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 200' in log
        assert "fred" not in log


@pytest.mark.world
@pytest.mark.parametrize("front", OF_SITE)
def test_the_lines_for_a_site_forward_clients_and_log_no_address(
    tmp_path: Path, service: str, front: Callable[..., Front]
) -> None:
    port, log = free_port(), tmp_path / "site.log"
    url = f"http://127.0.0.1:{port}"
    with front(tmp_path, service, port):
        assert b"imap.example.com" in fetch(url + CONFIG, Host="example.com").body
        assert fetch(f"{url}/.well-known/caldav", Host="example.com").status == 404
        # Outlook sends requests to the host that `_autodiscover._tcp` names.
        for path in ("autodiscover/autodiscover.xml", "Autodiscover/Autodiscover.xml"):
            request = outlook.request("fred@example.com")
            response = fetch(f"{url}/{path}", data=request, Host="www.example.com")
            assert b"imap.example.com" in response.body or response.status == 302
        other = fetch(f"{url}/other", Host="example.com")
        assert b"imap.example.com" not in other.body
        until(lambda: "/other" in log.read_text())
    assert "config-v1.1" not in log.read_text()
    assert "fred" not in log.read_text()


@pytest.mark.world
def test_nginx_follows_edits_and_keeps_no_address(tmp_path: Path, service: str) -> None:
    port = free_port()
    shows = "add_header X-Cache $upstream_cache_status always;\n"
    config = "/mail/config-v1.1.xml"
    pox = outlook.request("fred@example.com")
    v2 = "/autodiscover/autodiscover.json"

    def fetch_path(path: str, data: bytes | None = None) -> tuple[str | None, bytes]:
        host, method = "autoconfig.example.com", "POST" if data else "GET"
        url = f"http://127.0.0.1:{port}{path}"
        response = fetch(url, Host=host, data=data, method=method)
        assert response.status == 200
        return response.headers["X-Cache"], response.body

    site = fronts.nginx_site_without_tls(tmp_path, service, port, shows)
    with fronts.nginx(tmp_path, site, port):
        assert fetch_path(config)[0] == "MISS"
        assert fetch_path(config)[0] == "HIT"
        for path, data in (
            (f"{config}?emailaddress=fred@example.com", None),
            ("/mail/mobileconfig?emailaddress=fred@example.com", None),
            ("/mail/setup?emailaddress=fred@example.com", None),
            (f"{v2}?Email=fred@example.com&Protocol=AutodiscoverV1", None),
            ("/autodiscover/autodiscover.xml", pox),
        ):
            for _ in range(3):
                assert fetch_path(path, data)[0] != "HIT", path
        cached = [p.read_bytes() for p in tmp_path.glob("cache/**/*") if p.is_file()]
        assert b"imap.example.com" in b"".join(cached)
        assert b"fred" not in b"".join(cached)
        edited = TWO_DOMAINS.replace("imap.", "mail.")
        (tmp_path / "autoconfig.toml").write_text(edited)
        fetch_path(config)
        until(lambda: b"mail.example.com" in fetch_path(config)[1], seconds=10)


@pytest.mark.world
def test_changing_blue_to_green_loses_no_request(file: Path, tmp_path: Path) -> None:
    port = free_port()
    statuses: list[int] = []

    def send() -> None:
        statuses.extend(_statuses(port, 1, "192.0.2.1", PROFILE))
        time.sleep(0.02)

    def site_of(service: Service) -> str:
        address = f"127.0.0.1:{service.port}"
        return fronts.nginx_site_without_tls(tmp_path, address, port)

    with (
        serve(file) as blue,
        serve(file) as green,
        fronts.nginx(tmp_path, site_of(blue), port) as proxy,
        load(send),
    ):
        until(lambda: len(statuses) > 20)
        until(lambda: green.fetch("/readyz").status == 200)
        configuration = tmp_path / "nginx.conf"
        ports = (f"127.0.0.1:{blue.port}", f"127.0.0.1:{green.port}")
        configuration.write_text(replaced(configuration.read_text(), ports))
        old = set(children_of(proxy.pid))
        proxy.send_signal(signal.SIGHUP)
        # In place of ten seconds; they end with their last requests.
        until(lambda: not old & set(children_of(proxy.pid)))
        blue.process.terminate()
        assert blue.process.wait(20) == 0
        seen = len(statuses)
        until(lambda: len(statuses) > seen + 20)
    assert set(statuses) == {200}


PROFILE = "/mail/mobileconfig"  # not cached by nginx, since it names the address
OFFICE = 400  # simultaneous requests: fifty people, eight requests each


def _statuses(
    port: int, count: int, client: str, path: str = "/mail/config-v1.1.xml"
) -> list[int]:
    """Return the statuses of consecutive requests from a client at this address."""
    url = f"http://127.0.0.1:{port}{path}?emailaddress=fred.secret@example.com"
    headers = {"Host": "autoconfig.example.com", "X_Real_IP": client}
    return [fetch(url, method="GET", data=None, **headers).status for _ in range(count)]


@pytest.mark.world
def test_nginx_limits_a_flood_but_not_an_office(tmp_path: Path, service: str) -> None:
    port = free_port()
    more = "set_real_ip_from 127.0.0.1;\n"  # so that one machine is many clients
    site = fronts.nginx_site_without_tls(tmp_path, service, port, more)
    site = replaced(site, ("site-error.log emerg;", "site-error.log error;"))
    with fronts.nginx(tmp_path, site, port):
        assert set(_statuses(port, OFFICE, "192.0.2.1")) == {200}
        flood = _statuses(port, 3 * OFFICE, "192.0.2.1")
        assert set(flood) == {200, 429}
        assert flood.count(429) > OFFICE
        assert _statuses(port, 1, "192.0.2.2") == [200]
        # One client of IPv6 has more addresses than a table could hold.
        for number in range(4):
            _statuses(port, OFFICE // 2, f"2001:db8:1:2:{number}::{number}")
        assert 429 in _statuses(port, OFFICE // 2, "2001:db8:1:2::5")
        assert _statuses(port, 1, "2001:db8:1:3::5") == [200]
    text = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 429' in text
    assert "secret" not in text


@pytest.mark.world
@pytest.mark.parametrize("front", BEHIND)
def test_no_address_is_logged_when_the_service_is_down(
    tmp_path: Path, certificate: Pair, front: Callable[..., Front]
) -> None:
    nobody, https, http = (free_port() for _ in range(3))
    url = f"http://127.0.0.1:{http}/mail/config-v1.1.xml?emailaddress=fred@example.com"
    with front(tmp_path, f"127.0.0.1:{nobody}", https, http, certificate):
        assert fetch(url, Host="autoconfig.example.com").status in (502, 503)
    text = "".join(path.read_text() for path in tmp_path.glob("*.log"))
    if front is fronts.behind_nginx:
        assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 502' in text
    assert "fred" not in text


# --- Slow clients --------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("front", [*BEHIND, *OF_SITE[1:]])
def test_the_proxy_buffers_slow_bodies(
    file: Path, certificate: Pair, front: Callable[..., Front]
) -> None:
    # So few threads that a single slow body would delay the others.
    few = "--workers 1 --threads 2"
    port = free_port()
    trusting = ssl.create_default_context(cafile=file.with_name("ca.pem"))
    trusting.check_hostname = False
    is_site = front in OF_SITE
    more = () if is_site else (free_port(), certificate)
    path = "/autodiscover/autodiscover.xml"
    headers = {"Host": "autodiscover.example.com", "Content-Type": "text/xml"}

    def client() -> http.client.HTTPConnection:
        if is_site:
            return http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        address = ("127.0.0.1", port)
        return http.client.HTTPSConnection(*address, timeout=10, context=trusting)

    def answer(data: str | None) -> bytes:
        with closing(client()) as connection:
            method, where = ("POST", path) if data else ("GET", CONFIG)
            connection.request(method, where, body=data, headers=headers)
            return connection.getresponse().read()

    with (
        serving(file, "--proxies", "1", arguments=few) as url,
        front(file.parent, url.removeprefix("http://"), port, *more),
        ExitStack() as slow,
    ):
        for _ in range(60):
            connection = slow.enter_context(closing(client()))
            connection.putrequest("POST", path, skip_host=True)
            for name, value in {**headers, "Content-Length": "60000"}.items():
                connection.putheader(name, value)
            # More than what Apache waits for by itself.
            connection.endheaders(b"<" * 20_000)
        start = time.monotonic()
        for _ in range(10):
            assert b"imap.example.com" in answer(None)
            assert b"imap.example.com" in answer(outlook_request("fred@example.com"))
        assert time.monotonic() - start < 2


@pytest.mark.world
def test_systemd_accepts_the_unit_and_rates_it_safe(tmp_path: Path) -> None:
    for name in ("autoconfig.service", "autoconfig.socket"):
        text = (CONTRIB / "systemd" / name).read_text()
        text = text.replace("/opt/autoconfig/bin", str(BIN))
        (tmp_path / name).write_text(text)
    # systemd-analyze finds nothing wrong with a core dump, which would hold addresses.
    assert "\nLimitCORE=0\n" in (tmp_path / "autoconfig.service").read_text()
    (tmp_path / "autoconfig.service.d").mkdir()
    signs = (CONTRIB / "systemd/sign.conf").read_text()
    (tmp_path / "autoconfig.service.d/sign.conf").write_text(signs)
    analyze = program("systemd-analyze")
    unit = str(tmp_path / "autoconfig.service")
    path = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
    result = captured(analyze, "verify", "--man=no", unit, **path)
    assert "autoconfig" not in result.stderr, result.stderr
    result = captured(analyze, "security", "--offline=true", "--threshold=20", unit)
    assert result.returncode == 0, result.stdout


def test_the_zone_file_has_the_records_that_the_command_prints() -> None:
    text = (CONTRIB / "example.com.zone").read_text()
    dns.zone.from_text(ZONE_HEAD + text, origin="example.com")
    options = ("dns", "example.com", "--target", "www.example.com")
    printed = run("--config", ROOT / "examples/autoconfig.toml", *options).stdout

    def records(zone: str) -> list[str]:
        return re.findall(r"^[^;\s].*$", zone, re.M)

    assert records(text) == records(printed)


def test_compose_mounts_the_folder_that_the_image_reads() -> None:
    docker = CONTRIB / "docker"
    image = (docker / "Dockerfile").read_text()
    text = (docker / "compose.yaml").read_text()
    (service,) = yaml.safe_load(text)["services"].values()
    (mount,) = service["volumes"]
    assert f"\nENV AUTOCONFIG_FILE={mount['target']}/autoconfig.toml\n" in image
    assert mount["read_only"]
    folder = (docker / mount["source"]).relative_to(ROOT)
    assert f"Create the directory {folder} " in text
    # What .dockerignore keeps out counts from here.
    assert (docker / service["build"]["context"]).resolve() == ROOT
    (number,) = re.findall(r"--uid (\d+)", image)
    assert f"chown {number} " in text
