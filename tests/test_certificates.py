"""contrib's nginx files with certificates and permissions by certbot and Pebble.

nginx starts as root, and its worker runs as www-data, as on a real machine.
"""

import os
import pwd
import re
import shlex
import socket
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from authority import authority
from fronts import CONTRIB, behind_apache, caddy_of_contrib, has_ipv6, nginx, nginx_site
from services import captured, free_port, serving, until
from support import TWO_DOMAINS, lacking, open_folder, program, replaced

from flask_autoconfig import families

pytestmark = pytest.mark.world
WORKER = "www-data"
HOSTER = (CONTRIB / "nginx-hoster.conf").read_text()


class Office(NamedTuple):
    """A machine with nginx, certbot, the service, and a certificate authority."""

    folder: Path
    service: str
    https: int
    http: int
    authority: int

    @property
    def letsencrypt(self) -> Path:
        return self.folder / "letsencrypt"

    def certbot(self, line: str) -> None:
        """Run a documented command with the folders and authority of the test."""
        line = line.replace("/var/www/html", str(self.folder / "www"))
        kinds = {"config": "letsencrypt", "work": "certbot", "logs": "certbot-logs"}
        folders = [f"--{kind}-dir={self.folder / name}" for kind, name in kinds.items()]
        server = f"--server=https://localhost:{self.authority}/dir"
        options = ["--no-verify-ssl", "--non-interactive", "--agree-tos"]
        options += ["--register-unsafely-without-email", "--no-random-sleep-on-renew"]
        words = (program("certbot"), *shlex.split(line)[1:], *folders, server)
        captured(*words, *options, code=0)

    def default_site(self) -> str:
        """Return the site that nginx comes with: a folder of files at port 80."""
        return f"server {{ listen 127.0.0.1:{self.http}; root {self.folder}/www; }}"

    def site(self) -> str:
        return nginx_site(self.folder, self.service, self.https, self.http)

    def serial(self, host: str, address: str = "127.0.0.1") -> str:
        """Return the serial of the certificate for a name, "" if the handshake fails."""
        context = ssl.create_default_context(cafile=self.folder / "root.pem")
        plain = socket.create_connection((address, self.https), 10)
        try:
            sock = context.wrap_socket(plain, server_hostname=host)
        except ssl.SSLError:
            return ""
        finally:
            plain.close()
        with sock:
            head = f"GET /mail/config-v1.1.xml HTTP/1.1\r\nHost: {host}"
            sock.sendall(f"{head}\r\nConnection: close\r\n\r\n".encode())
            assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
            return str((sock.getpeercert() or {})["serialNumber"])


@pytest.fixture
def office() -> Iterator[Office]:
    if os.getuid() != 0:
        lacking("root")
    try:
        pwd.getpwnam(WORKER)
    except KeyError:
        lacking(f"the user {WORKER}")
    with open_folder() as folder:
        (folder / "www").mkdir()
        file = folder / "autoconfig.toml"
        file.write_text(TWO_DOMAINS)
        http = free_port()
        with serving(file, "--proxies", "1") as url, authority(folder, http) as port:
            service = url.removeprefix("http://")
            yield Office(folder, service, free_port(), http, port)


def _commands(file: str) -> list[str]:
    """Return the commands in the comments of a file."""
    text = re.sub(r"\\\n# *", "", (CONTRIB / file).read_text())
    return re.findall(r"^#   ((?:certbot|chgrp|chmod|runuser) .*)$", text, re.MULTILINE)


def _names(domain: str) -> list[str]:
    return [f"{label}.{domain}" for label in families.labels()]


def _modes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): stat.filemode(path.stat().st_mode)
        for path in (folder / "live", folder / "archive", *folder.glob("*/*/*1.pem"))
    }


def test_the_certbot_commands_have_every_name_of_the_domain() -> None:
    for file in ("nginx.conf", "nginx-hoster.conf"):
        (line,) = [line for line in _commands(file) if line.startswith("certbot")]
        assert re.findall(r"-d (\S+)", line) == _names("example.com")


def test_one_certificate_by_certbot_serves_every_name(office: Office) -> None:
    (line,) = _commands("nginx.conf")
    reload = f"kill -HUP $(cat {office.folder}/pid)"
    line = replaced(line, ("systemctl reload nginx", reload))
    with nginx(office.folder, office.default_site(), office.http, WORKER):
        office.certbot(line)
    modes = _modes(office.letsencrypt)
    assert modes["live"] == modes["archive"] == "drwx------"
    assert modes["archive/autoconfig.example.com/privkey1.pem"] == "-rw-------"
    with nginx(office.folder, office.site(), office.https, WORKER):
        serials = {office.serial(name) for name in _names("example.com")}
        assert len(serials) == 1
        assert "" not in serials
        if has_ipv6():
            assert office.serial("autoconfig.example.com", "::1") in serials
        office.certbot("certbot renew --force-renewal")
        until(lambda: office.serial("autoconfig.example.com") not in {*serials, ""})
    assert _modes(office.letsencrypt) == modes
    # Apache passes the proofs for a renewal too.
    live = office.letsencrypt / "live/autoconfig.example.com"
    pair = (live / "fullchain.pem", live / "privkey.pem")
    folder, service = office.folder, office.service
    with behind_apache(folder, service, office.https, office.http, pair):
        before = office.serial("autoconfig.example.com")
        assert before
        office.certbot("certbot renew --force-renewal")
        until(lambda: office.serial("autoconfig.example.com") not in {before, ""})


@pytest.mark.parametrize("challenge", ["http", "tls"])
def test_caddy_obtains_certificates_for_its_domains_alone_and_renews_them(
    office: Office, challenge: str
) -> None:
    folder, name = office.folder, "autoconfig.example.com"
    # The authority finds nothing at the port of the other kind of challenge.
    http = office.http if challenge == "http" else free_port()
    tls = office.https if challenge == "tls" else free_port()
    with authority(folder, http, tls=tls, seconds=12) as port:
        more = f"\tacme_ca https://localhost:{port}/dir\n"
        more += f"\tacme_ca_root {folder}/ca.pem\n"
        with caddy_of_contrib(folder, office.service, office.https, office.http, more):
            before = office.serial(name)
            assert before
            assert office.serial("autoconfig.nowhere.test") == ""
            until(lambda: office.serial(name) not in {before, ""})


def test_a_certificate_for_each_domain_needs_the_permissions(office: Office) -> None:
    *rights, line, is_readable = _commands("nginx-hoster.conf")
    assert [command.split()[0] for command in rights] == ["chgrp", "chmod"]
    domains = ("example.com", "example2.com")
    names = [name for domain in domains for name in _names(domain)]
    own = ("/etc/letsencrypt", str(office.letsencrypt))

    def may_read() -> bool:
        command = replaced(is_readable, own)
        return captured(program("sh"), "-c", command).returncode == 0

    without_hook = re.sub("--deploy-hook '.*' ", "", line)
    with nginx(office.folder, office.default_site(), office.http, WORKER):
        for domain in domains:
            office.certbot(without_hook.replace("example.com", domain))
    with nginx(office.folder, _of_a_hoster(office), office.https, WORKER):
        # nginx reports no problem, but every handshake fails.
        assert {office.serial(name) for name in names} == {""}
        assert not may_read()
        for command in rights:
            words = shlex.split(replaced(command, own))
            assert captured(program(words[0]), *words[1:]).returncode == 0
        again = f"{line} --force-renewal"
        office.certbot(again.replace("example.com", domains[0]))
        # Only those with a readable key, without a reload.
        assert may_read()
        assert all(office.serial(name) for name in _names(domains[0]))
        assert not any(office.serial(name) for name in _names(domains[1]))
        office.certbot(again.replace("example.com", domains[1]))
        before = {name: office.serial(name) for name in names}
        assert len(set(before.values())) == len(domains)
        assert "" not in before.values()
        office.certbot("certbot renew --force-renewal")
        after = {name: office.serial(name) for name in names}
        assert len({*before.values(), *after.values()}) == 2 * len(domains)
        assert "" not in after.values()
        assert office.serial("autoconfig.nowhere.test") == ""


def _of_a_hoster(office: Office) -> str:
    """Return contrib's site with the two lines in the comment of the hoster's file."""
    own = ("/etc/letsencrypt", str(office.letsencrypt))
    lines = re.findall(r"^#   (ssl_certificate.*;)$", HOSTER, re.MULTILINE)
    assert len(lines) == 2
    site = re.sub(r"(?m)^    ssl_certificate.*\n", "", office.site())
    site = replaced(site, ("    access_log ", "\n".join(lines) + "\n    access_log "))
    return replaced(HOSTER, own) + site
