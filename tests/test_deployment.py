"""The files in contrib/, each with the program that it is for."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import dns.zone
import pytest
import yaml
from fronts import (
    CONTRIB,
    HOSTS,
    check_front,
    has_ipv6,
    need,
    nginx,
    nginx_site,
    nginx_site_without_tls,
    replaced,
)
from support import (
    BIN,
    ROOT,
    TWO_DOMAINS,
    ZONE_HEAD,
    certificate_for,
    fetch,
    free_port,
    program,
    run,
    running,
    serving,
    until,
)

from flask_autoconfig.documents import outlook


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The service as the proxies' files want it; gives host and port."""
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    with serving(file, "--proxies", "1") as url:
        yield url.removeprefix("http://")


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return certificate_for(*HOSTS, "example.com", folder=tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_nginx_serves_any_number_of_domains(
    tmp_path: Path, service: str, certificate: tuple[Path, Path], address: str
) -> None:
    need(address)
    https, http = free_port(), free_port()
    live = tmp_path / "letsencrypt/live/autoconfig.example.com"
    live.mkdir(parents=True)
    (live / "fullchain.pem").symlink_to(certificate[0])
    (live / "privkey.pem").symlink_to(certificate[1])
    site = nginx_site(tmp_path, service, https, http)
    with nginx(tmp_path, site, https):
        check_front(https, http, address)
    log = (tmp_path / "access.log").read_text()
    assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 200' in log
    assert "fred" not in log


def test_nginx_serves_the_well_known_paths_of_an_existing_site(
    tmp_path: Path, service: str
) -> None:
    port = free_port()
    snippet = (CONTRIB / "nginx-well-known.conf").read_text()
    snippet = replaced(
        snippet,
        ("/var/log/nginx/autoconfig-error.log", f"{tmp_path}/site-error.log"),
        ("127.0.0.1:8000", service),
        ("$scheme", "https"),  # else Outlook is led to there first
    )
    site = (
        f"server {{ listen 127.0.0.1:{port}; server_name example.com;\n"
        f'location / {{ return 200 "the site"; }}\n{snippet} }}'
    )
    with nginx(tmp_path, site, port):
        url = f"http://127.0.0.1:{port}"
        assert fetch(f"{url}/", Host="example.com").body == b"the site"
        path = "/.well-known/autoconfig/mail/config-v1.1.xml"
        assert b"imap.example.com" in fetch(url + path, Host="example.com").body
        assert fetch(f"{url}/.well-known/caldav", Host="example.com").status == 404
        # Outlook goes to the host that `_autodiscover._tcp` names.
        for path in ("autodiscover/autodiscover.xml", "Autodiscover/Autodiscover.xml"):
            asked = outlook.request("fred@example.com")
            reply = fetch(f"{url}/{path}", data=asked, Host="www.example.com")
            assert b"imap.example.com" in reply.body


def test_nginx_has_an_edit_within_ten_seconds_and_never_keeps_an_address(
    tmp_path: Path, service: str
) -> None:
    port = free_port()
    shows = "add_header X-Cache $upstream_cache_status always;\n"
    config = "/mail/config-v1.1.xml?emailaddress=fred@example.com"
    pox = outlook.request("fred@example.com")
    v2 = "/autodiscover/autodiscover.json"

    def ask(path: str, data: bytes | None = None) -> tuple[str | None, bytes]:
        host, method = "autoconfig.example.com", "POST" if data else "GET"
        url = f"http://127.0.0.1:{port}{path}"
        reply = fetch(url, Host=host, data=data, method=method)
        assert reply.status == 200
        return reply.headers["X-Cache"], reply.body

    with nginx(tmp_path, nginx_site_without_tls(tmp_path, service, port, shows), port):
        assert ask(config)[0] == "MISS"
        assert ask(config)[0] == "HIT"
        for path, data in (
            ("/mail/mobileconfig?emailaddress=fred@example.com", None),
            ("/mail/setup?emailaddress=fred@example.com", None),
            (f"{v2}?Email=fred@example.com&Protocol=AutodiscoverV1", None),
            ("/autodiscover/autodiscover.xml", pox),
        ):
            for _ in range(3):
                assert ask(path, data)[0] != "HIT", path
        edited = TWO_DOMAINS.replace("imap.", "mail.")
        (tmp_path / "autoconfig.toml").write_text(edited)
        ask(config)
        until(lambda: b"mail.example.com" in ask(config)[1], seconds=10)


def test_nginx_logs_no_address_when_the_service_is_down(tmp_path: Path) -> None:
    port, nobody = free_port(), f"127.0.0.1:{free_port()}"
    config = "/mail/config-v1.1.xml?emailaddress=fred@example.com"
    with nginx(tmp_path, nginx_site_without_tls(tmp_path, nobody, port), port):
        url = f"http://127.0.0.1:{port}{config}"
        assert fetch(url, Host="autoconfig.example.com").status == 502
    text = "".join(it.read_text() for it in tmp_path.glob("*.log"))
    assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 502' in text
    assert "fred" not in text


OFFICE = 400  # requests at once: fifty people whose programs ask eight times each


def _statuses(port: int, count: int, client: str) -> list[int]:
    """What a client at this address gets for so many requests, one behind the other."""
    path = "/mail/config-v1.1.xml?emailaddress=fred.secret@example.com"
    headers = {"Host": "autoconfig.example.com", "X-Real-IP": client}
    statuses = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(count):
        connection.request("GET", path, headers=headers)
        reply = connection.getresponse()
        reply.read()
        statuses.append(reply.status)
    connection.close()
    return statuses


def test_nginx_serves_an_office_at_once_and_refuses_a_flood(
    tmp_path: Path, service: str
) -> None:
    port = free_port()
    more = "set_real_ip_from 127.0.0.1;\n"  # so that one machine is many clients
    site = nginx_site_without_tls(tmp_path, service, port, more)
    site = replaced(site, ("site-error.log emerg;", "site-error.log error;"))
    with nginx(tmp_path, site, port):
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
    text = "".join(it.read_text() for it in tmp_path.glob("*.log"))
    assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 429' in text
    assert "secret" not in text


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_apache_serves_any_number_of_domains(
    tmp_path: Path, service: str, certificate: tuple[Path, Path], address: str
) -> None:
    need(address)
    https, http = free_port(), free_port()
    live = "/etc/letsencrypt/live/autoconfig.example.com"
    site = replaced(
        (CONTRIB / "apache.conf").read_text(),
        ("*:443", f"*:{https}"),
        ("*:80", f"*:{http}"),
        (f"{live}/fullchain.pem", str(certificate[0])),
        (f"{live}/privkey.pem", str(certificate[1])),
        ("/var/log/apache2/autoconfig.log", f"{tmp_path}/access.log"),
        ("127.0.0.1:8000", service),
    )
    with apache(tmp_path, site, https, http):
        check_front(https, http, address)
    log = (tmp_path / "access.log").read_text()
    assert '"GET autoconfig.example.com/mail/config-v1.1.xml" 200' in log
    assert "fred" not in log


def apache(
    folder: Path, site: str, *ports: int
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A real Apache with these virtual hosts at ports of loopback."""
    names = (
        "mpm_event authz_core ssl socache_shmcb proxy proxy_http headers reqtimeout "
        "setenvif"
    )
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in names.split()
    )
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\n"
        f"ErrorLog {folder}/error.log\nMutex file:{folder} default\n"
        f"DefaultRuntimeDir {folder}\n"
        f"{''.join(map(_listen, ports))}"
        f"{modules}{_user()}{site}"
    )
    command = (program("apache2"), "-D", "FOREGROUND", "-f", folder / "apache.conf")
    return running(*command, port=ports[0])


def asked_of_a_site(port: int) -> None:
    """What a site that passes mail clients on must do, Outlook at its own name too."""
    url = f"http://127.0.0.1:{port}"
    query = "?emailaddress=fred@example.com"
    path = f"/.well-known/autoconfig/mail/config-v1.1.xml{query}"
    assert b"imap.example.com" in fetch(url + path, Host="example.com").body
    asked = outlook.request("fred@example.com")
    for path in ("autodiscover/autodiscover.xml", "Autodiscover/Autodiscover.xml"):
        reply = fetch(f"{url}/{path}", data=asked, Host="www.example.com")
        assert b"imap.example.com" in reply.body or reply.status == 302
    assert b"imap.example.com" not in fetch(f"{url}/other", Host="example.com").body


def test_apaches_lines_for_a_site_pass_clients_on_and_log_no_address(
    tmp_path: Path, service: str
) -> None:
    port = free_port()
    _, _, lines = (CONTRIB / "apache.conf").read_text().rpartition("# For a domain")
    lines = "\n".join(
        it.removeprefix("#   ") for it in lines.splitlines() if it.startswith("#   ")
    )
    log = tmp_path / "site.log"
    lines = replaced(
        lines,
        ("127.0.0.1:8000", service),
        ("/var/log/apache2/access.log", str(log)),
    )
    combined = 'LogFormat "%h %t \\"%r\\" %>s" combined\n'
    site = f"{combined}<VirtualHost *:{port}>\n{lines}\n</VirtualHost>\n"
    with apache(tmp_path, site, port):
        asked_of_a_site(port)
        until(lambda: "GET /other" in log.read_text())
    assert "config-v1.1" not in log.read_text()
    assert "fred" not in log.read_text()


def test_caddys_lines_for_a_site_pass_clients_on_and_log_no_address(
    tmp_path: Path, service: str
) -> None:
    port, log = free_port(), tmp_path / "site.log"
    text = (CONTRIB / "Caddyfile").read_text()
    lines = "\n".join(
        it.removeprefix("#") for it in text.splitlines() if it.startswith("#\t")
    )
    (tmp_path / "Caddyfile").write_text(
        f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}}\nhttp://:{port} {{\n"
        f"\tlog {{\n\t\toutput file {log}\n\t}}\n"
        f"{replaced(lines, ('127.0.0.1:8000', service))}\n}}\n"
    )
    command = (program("caddy"), "run", "--config", tmp_path / "Caddyfile")
    env = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with running(*command, "--adapter", "caddyfile", port=port, env=env):
        asked_of_a_site(port)
        until(lambda: '"/other"' in log.read_text())
    assert "config-v1.1" not in log.read_text()
    assert "fred" not in log.read_text()


def _listen(port: int) -> str:
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    return "".join(f"Listen {address}:{port}\n" for address in addresses)


def _user() -> str:
    return "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_caddy_serves_any_number_of_domains(
    tmp_path: Path, service: str, certificate: tuple[Path, Path], address: str
) -> None:
    need(address)
    https, http = free_port(), free_port()
    bind = "127.0.0.1 ::1" if has_ipv6() else "127.0.0.1"
    site = replaced(
        (CONTRIB / "Caddyfile").read_text(),
        # There is no certificate authority to ask here: what it says is tried below.
        ("tls {\n\t\ton_demand\n\t}", f"tls {certificate[0]} {certificate[1]}"),
        (
            "{\n\ton_demand_tls",
            f"{{\n\tadmin off\n\thttps_port {https}\n"
            f"\thttp_port {http}\n\tdefault_bind {bind}\n\tauto_https disable_redirects"
            "\n\ton_demand_tls",
        ),
        ("127.0.0.1:8000", service),
    )
    (tmp_path / "Caddyfile").write_text(site)
    command = (program("caddy"), "run", "--config", tmp_path / "Caddyfile")
    env = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    with running(*command, "--adapter", "caddyfile", port=https, env=env):
        check_front(https, http, address)


def test_caddy_logs_no_address_when_the_service_is_down(tmp_path: Path) -> None:
    port, nobody = free_port(), f"127.0.0.1:{free_port()}"
    head = f"{{\n\tadmin off\n\thttp_port {port}\n\tdefault_bind 127.0.0.1\n"
    text = replaced(
        (CONTRIB / "Caddyfile").read_text().partition("https:// {")[0],
        ("{\n\ton_demand_tls", f"{head}\ton_demand_tls"),
    )
    http = (CONTRIB / "Caddyfile").read_text().partition("http:// {")[2]
    site = f"{text}http:// {{{http}".replace("127.0.0.1:8000", nobody)
    (tmp_path / "Caddyfile").write_text(site)
    command = (program("caddy"), "run", "--config", tmp_path / "Caddyfile")
    env = {"XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    log = tmp_path / "log"
    with running(*command, "--adapter", "caddyfile", port=port, env=env, log=log):
        url = f"http://127.0.0.1:{port}/mail/config-v1.1.xml"
        assert fetch(f"{url}?emailaddress=fred@example.com").status == 502
    assert "fred" not in log.read_text()


def test_what_caddy_asks_before_it_gets_a_certificate(service: str) -> None:
    for host, status in (
        ("autoconfig.example.com", 200),
        ("ua-auto-config.example2.com", 200),
        ("autoconfig.nowhere.test", 404),
        ("", 404),
    ):
        assert fetch(f"http://{service}/healthz?domain={host}").status == status


def test_systemd_takes_the_unit_and_finds_it_safe(tmp_path: Path) -> None:
    for name in ("autoconfig.service", "autoconfig.socket"):
        text = (CONTRIB / "systemd" / name).read_text()
        text = text.replace("/opt/autoconfig/bin", str(BIN))
        (tmp_path / name).write_text(text)
    (tmp_path / "autoconfig.service.d").mkdir()
    signs = (CONTRIB / "systemd/sign.conf").read_text()
    (tmp_path / "autoconfig.service.d/sign.conf").write_text(signs)
    analyze = program("systemd-analyze")
    unit = str(tmp_path / "autoconfig.service")
    done = subprocess.run(
        [analyze, "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
        check=False,
    )
    assert "autoconfig" not in done.stderr, done.stderr
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--threshold=20", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_the_paths_that_systemd_hands_a_key_over_at_are_those_to_write_in_the_file(
    tmp_path: Path,
) -> None:
    """systemd is not this machine's first process: a folder like its own stands for it."""
    text = (CONTRIB / "systemd/sign.conf").read_text()
    sign = "\n".join(re.findall(r"^#   (\[sign\]|\w+ = .*)$", text, re.MULTILINE))
    files = [Path(path) for path in tomllib.loads(sign)["sign"].values()]
    handed = re.findall(r"^LoadCredential=(\S+?):/\S+$", text, re.MULTILINE)
    assert [path.name for path in files] == handed
    assert {str(path.parent) for path in files} == {
        "/run/credentials/autoconfig.service"
    }
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    pair = certificate_for("autoconfig.example.com", folder=tmp_path)
    for name, source in zip(handed, pair, strict=True):
        (credentials / name).write_bytes(source.read_bytes())
        (credentials / name).chmod(0o400)
    credentials.chmod(0o500)
    file = tmp_path / "autoconfig.toml"
    sign = sign.replace("/run/credentials/autoconfig.service", str(credentials))
    file.write_text(f"{sign}\n{TWO_DOMAINS}")
    with serving(file) as url:
        profile = fetch(f"{url}/mail/mobileconfig?emailaddress=fred@example.com").body
    (tmp_path / "profile").write_bytes(profile)
    verify = (program("openssl"), "cms", "-verify", "-inform", "DER", "-in")
    trusted = ("-CAfile", tmp_path / "ca.pem", "-purpose", "any")
    done = subprocess.run(
        [*verify, tmp_path / "profile", *trusted], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"fred@example.com" in done.stdout


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_the_service_takes_its_sockets_from_systemd(
    tmp_path: Path, address: str
) -> None:
    need(address)
    port = free_port()
    unit = (CONTRIB / "systemd/autoconfig.socket").read_text()
    listens = re.findall(r"^ListenStream=(\S+):8000$", unit, re.MULTILINE)
    assert listens == ["127.0.0.1", "[::1]"]
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    sockets = [word for it in listens for word in ("-l", f"{it}:{port}")]
    if not has_ipv6():
        sockets = sockets[:2]
    command = (BIN / "flask-autoconfig", "--config", file, "serve")
    activate = (program("systemd-socket-activate"), *sockets)
    with running(*activate, *command, port=port, at_once=True):
        host = f"[{address}]" if ":" in address else address
        assert fetch(f"http://{host}:{port}/healthz").body == b"ok\n"


def test_the_zone_file_is_what_the_command_prints_for_the_example() -> None:
    text = (CONTRIB / "example.com.zone").read_text()
    dns.zone.from_text(ZONE_HEAD + text, origin="example.com")
    options = ("dns", "example.com", "--target", "www.example.com")
    printed = run("--config", ROOT / "examples/autoconfig.toml", *options).stdout

    def records(zone: str) -> list[str]:
        return re.findall(r"^[^;\s].*$", zone, re.M)

    assert records(text) == records(printed)


def test_the_image_installs_the_project_and_runs_as_nobody() -> None:
    """No container engine runs here: what can be told without one."""
    text = (CONTRIB / "docker/Dockerfile").read_text()
    assert "\nUSER autoconfig\n" in text
    assert "HEALTHCHECK" in text
    (command,) = re.findall(r"^CMD (\[.*\])$", text, re.M)
    words = tomllib.loads(f"words = {command}")["words"]
    assert run(*words[1:2], "--help").returncode == 0
    help_text = run("serve", "--help").stdout
    assert all(word in help_text for word in words if word.startswith("--"))


def test_compose_mounts_the_folder_where_the_image_looks_for_its_file() -> None:
    image = (CONTRIB / "docker/Dockerfile").read_text()
    compose = yaml.safe_load((CONTRIB / "docker/compose.yaml").read_text())
    (service,) = compose["services"].values()
    (mount,) = service["volumes"]
    assert f"\nENV AUTOCONFIG_FILE={mount['target']}/autoconfig.toml\n" in image
    assert mount["read_only"]
    folder = (CONTRIB / "docker" / mount["source"]).relative_to(ROOT)
    assert f"Make the folder {folder} " in (CONTRIB / "docker/compose.yaml").read_text()
    # What .dockerignore keeps out counts from here.
    assert (CONTRIB / "docker" / service["build"]["context"]).resolve() == ROOT
    (number,) = re.findall(r"--uid (\d+)", image)
    assert f"chown {number} " in (CONTRIB / "docker/compose.yaml").read_text()
