"""The web servers of contrib on loopback, and the checks that each must pass."""

import os
import socket
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from services import running
from support import ROOT, configure, lacking, program, replaced, table

from flask_autoconfig.tools.net.http import Request, fetch_once
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network

CONTRIB = ROOT / "contrib"
Pair = tuple[Path, Path]  # a certificate and its key
Front = AbstractContextManager[subprocess.Popen[bytes]]
HOSTS = [
    f"{label}.{domain}"
    for label in ("autoconfig", "autodiscover", "ua-auto-config")
    for domain in ("example.com", "example2.com")
]


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def need(address: str) -> None:
    """Skip, or fail under CI, where this machine has no IPv6."""
    if ":" in address and not has_ipv6():
        lacking("IPv6 (::1)")


def _adapted(text: str, edits: Mapping[str, str], **values: object) -> str:
    """Return a text of contrib with the replacements of fronts.toml."""
    return replaced(text, *((old, new.format(**values)) for old, new in edits.items()))


def _of_contrib(name: str, **values: object) -> str:
    """Return a file of contrib for ports of loopback."""
    text = (CONTRIB / name).read_text()
    return _adapted(text, table(name, "fronts.toml"), **values)


def nginx_site(folder: Path, service: str, https: int, http: int) -> str:
    """Return contrib's site for ports of loopback, with all files in the folder."""
    values = {"folder": folder, "service": service, "https": https, "http": http}
    ipv6 = "listen [::1]:" if has_ipv6() else "# listen [::1]:"
    return _of_contrib("nginx.conf", ipv6=ipv6, **values)


def nginx_site_without_tls(
    folder: Path, service: str, port: int, more: str = ""
) -> str:
    """Return contrib's site for one port, with additional lines in its location."""
    site = nginx_site(folder, service, 0, port)
    lines = [
        line
        for line in site.splitlines()
        if ":0 ssl;" not in line and not line.startswith("    ssl_certificate")
    ]
    location = "    location / {\n"
    return replaced("\n".join(lines), (location, location + more))


def nginx(folder: Path, site: str, port: int, user: str = "root") -> Front:
    """Run nginx with this http block; as root, its worker runs as the user."""
    as_user = f"user {user};" if os.getuid() == 0 else ""
    file = configure(folder, "fronts/nginx.conf", user=as_user, site=site)
    return running(program("nginx"), "-p", folder, "-c", file, port=port)


def _apache(folder: Path, site: str, *ports: int) -> Front:
    """Run Apache with these virtual hosts."""
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    listens = "\n".join(f"Listen {a}:{port}" for a in addresses for port in ports)
    user = "User nobody\nGroup nogroup" if os.getuid() == 0 else ""
    values = {"listens": listens, "user": user, "site": site}
    file = configure(folder, "fronts/apache.conf", **values)
    command = (program("apache2"), "-D", "FOREGROUND", "-f", file)
    return running(*command, port=ports[0])


def caddy(folder: Path, text: str, port: int) -> Front:
    """Run Caddy with this Caddyfile."""
    file = folder / "Caddyfile"
    file.write_text(text)
    command = (program("caddy"), "run", "--config", file, "--adapter", "caddyfile")
    env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return running(*command, port=port, env=env, log=folder / "caddy.log")


# --- The web servers with the files of contrib -------------------------------------------


def behind_nginx(
    folder: Path, service: str, https: int, http: int, pair: Pair
) -> Front:
    live = folder / "letsencrypt/live/autoconfig.example.com"
    live.mkdir(parents=True)
    (live / "fullchain.pem").symlink_to(pair[0])
    (live / "privkey.pem").symlink_to(pair[1])
    return nginx(folder, nginx_site(folder, service, https, http), https)


def behind_apache(
    folder: Path, service: str, https: int, http: int, pair: Pair
) -> Front:
    ports = {"https": https, "http": http}
    values = {"folder": folder, "service": service, "pair": pair, **ports}
    return _apache(folder, _of_contrib("apache.conf", **values), https, http)


def behind_caddy(
    folder: Path, service: str, https: int, http: int, pair: Pair
) -> Front:
    # There is no certificate authority to ask.
    own = f"tls {pair[0]} {pair[1]}"
    return caddy_of_contrib(folder, service, https, http, tls=own)


def caddy_of_contrib(
    folder: Path,
    service: str,
    https: int,
    http: int,
    settings: str = "",
    tls: str = "tls {\n\t\ton_demand\n\t}",
) -> Front:
    """Run Caddy with contrib's file, with further global settings."""
    values = {"service": service, "https": https, "http": http, "tls": tls}
    bind = "127.0.0.1 ::1" if has_ipv6() else "127.0.0.1"
    site = _of_contrib("Caddyfile", bind=bind, settings=settings, **values)
    return caddy(folder, site, https)


# --- A site that a web server already serves, with the lines of contrib -------------------


def _of_site(name: str, start: str, folder: Path, service: str) -> str:
    """Return the lines of a file that begin so, without that."""
    _, _, text = (CONTRIB / name).read_text().rpartition("# For a domain")
    lines = f"#{text}".splitlines()
    lines = [line.removeprefix(start) for line in lines if line.startswith(start)]
    edits = table("site", "fronts.toml")[name]
    return _adapted("\n".join(lines), edits, folder=folder, service=service)


def site_of_nginx(folder: Path, service: str, port: int) -> Front:
    snippet = _of_site("nginx-well-known.conf", "", folder, service)
    site = (
        f"server {{ listen 127.0.0.1:{port}; server_name example.com;\n"
        f"access_log {folder}/site.log;\n"
        f'location / {{ return 200 "the site"; }}\n{snippet} }}'
    )
    return nginx(folder, site, port)


def site_of_apache(folder: Path, service: str, port: int) -> Front:
    lines = _of_site("apache.conf", "#   ", folder, service)
    combined = 'LogFormat "%h %t \\"%r\\" %>s" combined\n'
    site = f"{combined}<VirtualHost *:{port}>\n{lines}\n</VirtualHost>\n"
    return _apache(folder, site, port)


def site_of_caddy(folder: Path, service: str, port: int) -> Front:
    lines = _of_site("Caddyfile", "#\t", folder, service)
    site = (
        f"{{\n\tadmin off\n\tdefault_bind 127.0.0.1\n}}\nhttp://:{port} {{\n"
        f"\tlog {{\n\t\toutput file {folder}/site.log\n\t}}\n{lines}\n}}\n"
    )
    return caddy(folder, site, port)


def check_front(https: int, http: int, address: str = "127.0.0.1") -> None:
    """Check the proxy's responses for each name of each domain."""
    mapped = {(host, 443): (address, https) for host in HOSTS}
    mapped |= {(host, 80): (address, http) for host in HOSTS}
    network = Network(Resolver(), 5.0, mapped)
    for domain in ("example.com", "example2.com"):
        url = f"https://autoconfig.{domain}/mail/config-v1.1.xml"
        for _ in range(3):  # the second time from the proxy's cache
            page = fetch_once(network, Request(f"{url}?emailaddress=fred@{domain}"))
            assert (page.status, page.content_type) == (200, "text/xml")
            assert f"<domain>{domain}</domain>".encode() in page.body
        assert page.certificate is not None
        assert page.certificate.problem == ""
        plain = fetch_once(network, Request(url.replace("https:", "http:")))
        assert plain.body == page.body
        pacc = f"https://ua-auto-config.{domain}/.well-known/user-agent-configuration"
        document = fetch_once(network, Request(f"{pacc}.json"))
        assert document.content_type == "application/json"
        pox = f"http://autodiscover.{domain}/autodiscover/autodiscover.xml"
        redirect = fetch_once(network, Request(pox))
        assert redirect.status == 302
        assert redirect.headers["location"] == pox.replace("http:", "https:")
    for name in ("fred", "ann"):  # no profile is cached
        url = f"https://autoconfig.example.com/mail/mobileconfig?emailaddress={name}"
        page = fetch_once(network, Request(f"{url}@example.com"))
        assert f"{name}@example.com".encode() in page.body
