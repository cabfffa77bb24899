"""The web servers of contrib on loopback, and the checks that each must pass."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

from support import ROOT, lacking, program, running

from flask_autoconfig.tools.net.http import fetch_once
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


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def nginx_site(folder: Path, service: str, https: int, http: int) -> str:
    """Return contrib's site for ports of loopback, with all files in the folder."""
    ipv6 = "listen [::1]:" if has_ipv6() else "# listen [::1]:"
    return replaced(
        (CONTRIB / "nginx.conf").read_text(),
        ("listen 80;", f"listen 127.0.0.1:{http};"),
        ("listen [::]:80;", f"{ipv6}{http};"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{https} ssl;"),
        ("listen [::]:443 ssl;", f"{ipv6}{https} ssl;"),
        ("/etc/letsencrypt/", f"{folder}/letsencrypt/"),
        ("/var/www/html", f"{folder}/www"),
        ("/var/cache/nginx-autoconfig", f"{folder}/cache"),
        ("/var/log/nginx/autoconfig.log", f"{folder}/access.log"),
        ("/var/log/nginx/autoconfig-error.log", f"{folder}/site-error.log"),
        ("127.0.0.1:8000", service),
    )


def nginx_site_without_tls(
    folder: Path, service: str, port: int, more: str = ""
) -> str:
    """Return contrib's site for one port, with additional lines in its location."""
    site = nginx_site(folder, service, 0, port)
    kept = [
        line
        for line in site.splitlines()
        if ":0 ssl;" not in line and not line.startswith("    ssl_certificate")
    ]
    location = "    location / {\n"
    return replaced("\n".join(kept), (location, location + more))


def nginx(folder: Path, site: str, port: int, user: str = "root") -> Front:
    """Run nginx with this http block; as root, its worker runs as the user."""
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    as_user = f"user {user};" if os.getuid() == 0 else ""
    file = folder / "nginx.conf"
    file.write_text(
        f"{as_user}daemon off; pid {folder}/pid; error_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{temporary}{site}\n}}\n"
    )
    return running(program("nginx"), "-p", folder, "-c", file, port=port)


def _apache(folder: Path, site: str, *ports: int) -> Front:
    """Run Apache with these virtual hosts."""
    names = (
        "mpm_event authz_core ssl socache_shmcb proxy proxy_http headers reqtimeout buffer "
        "setenvif"
    )
    modules = "".join(
        f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
        for name in names.split()
    )
    addresses = ["127.0.0.1", "[::1]"] if has_ipv6() else ["127.0.0.1"]
    listens = [f"Listen {it}:{port}\n" for it in addresses for port in ports]
    user = "User nobody\nGroup nogroup\n" if os.getuid() == 0 else ""
    (folder / "apache.conf").write_text(
        f"ServerRoot {folder}\nServerName localhost\nPidFile {folder}/pid\n"
        f"ErrorLog {folder}/error.log\nMutex file:{folder} default\n"
        f"DefaultRuntimeDir {folder}\n{''.join(listens)}{modules}{user}{site}"
    )
    command = (program("apache2"), "-D", "FOREGROUND", "-f", folder / "apache.conf")
    return running(*command, port=ports[0])


def caddy(folder: Path, text: str, port: int, log: Path | None = None) -> Front:
    """Run Caddy with this Caddyfile."""
    file = folder / "Caddyfile"
    file.write_text(text)
    command = (program("caddy"), "run", "--config", file, "--adapter", "caddyfile")
    env = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    return running(*command, port=port, env=env, log=log)


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
    live = "/etc/letsencrypt/live/autoconfig.example.com"
    site = replaced(
        (CONTRIB / "apache.conf").read_text(),
        ("*:443", f"*:{https}"),
        ("*:80", f"*:{http}"),
        (f"{live}/fullchain.pem", str(pair[0])),
        (f"{live}/privkey.pem", str(pair[1])),
        ("/var/log/apache2/autoconfig.log", f"{folder}/access.log"),
        ("/var/www/html", f"{folder}/www"),
        ("127.0.0.1:8000", service),
    )
    return _apache(folder, site, https, http)


def behind_caddy(
    folder: Path, service: str, https: int, http: int, pair: Pair
) -> Front:
    # There is no certificate authority to ask.
    own = ("tls {\n\t\ton_demand\n\t}", f"tls {pair[0]} {pair[1]}")
    return caddy_of_contrib(folder, service, https, http, "", own)


def caddy_of_contrib(
    folder: Path,
    service: str,
    https: int,
    http: int,
    settings: str,
    *more: tuple[str, str],
) -> Front:
    """Run Caddy with contrib's file, with further global settings and replacements."""
    bind = "127.0.0.1 ::1" if has_ipv6() else "127.0.0.1"
    site = replaced(
        (CONTRIB / "Caddyfile").read_text(),
        (
            "{\n\ton_demand_tls",
            f"{{\n\tadmin off\n\thttps_port {https}\n\thttp_port {http}\n"
            f"\tdefault_bind {bind}\n{settings}\ton_demand_tls",
        ),
        ("127.0.0.1:8000", service),
        *more,
    )
    return caddy(folder, site, https)


# --- A site that a web server already serves, with the lines of contrib -------------------


def site_of_nginx(folder: Path, service: str, port: int) -> Front:
    snippet = replaced(
        (CONTRIB / "nginx-well-known.conf").read_text(),
        ("/var/log/nginx/autoconfig-error.log", f"{folder}/site-error.log"),
        ("127.0.0.1:8000", service),
        ("$scheme", "https"),  # otherwise Outlook is redirected to https first
    )
    site = (
        f"server {{ listen 127.0.0.1:{port}; server_name example.com;\n"
        f"access_log {folder}/site.log;\n"
        f'location / {{ return 200 "the site"; }}\n{snippet} }}'
    )
    return nginx(folder, site, port)


def site_of_apache(folder: Path, service: str, port: int) -> Front:
    _, _, lines = (CONTRIB / "apache.conf").read_text().rpartition("# For a domain")
    kept = [line for line in lines.splitlines() if line.startswith("#   ")]
    lines = replaced(
        "\n".join(line.removeprefix("#   ") for line in kept),
        ("127.0.0.1:8000", service),
        ("/var/log/apache2/access.log", f"{folder}/site.log"),
    )
    combined = 'LogFormat "%h %t \\"%r\\" %>s" combined\n'
    site = f"{combined}<VirtualHost *:{port}>\n{lines}\n</VirtualHost>\n"
    return _apache(folder, site, port)


def site_of_caddy(folder: Path, service: str, port: int) -> Front:
    text = (CONTRIB / "Caddyfile").read_text()
    kept = [it.removeprefix("#") for it in text.splitlines() if it.startswith("#\t")]
    lines = replaced("\n".join(kept), ("127.0.0.1:8000", service))
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
            page = fetch_once(network, f"{url}?emailaddress=fred@{domain}")
            assert (page.status, page.content_type) == (200, "text/xml")
            assert f"<domain>{domain}</domain>".encode() in page.body
        assert page.certificate is not None
        assert page.certificate.problem == ""
        plain = fetch_once(network, url.replace("https:", "http:"))
        assert plain.body == page.body
        pacc = f"https://ua-auto-config.{domain}/.well-known/user-agent-configuration"
        assert fetch_once(network, f"{pacc}.json").content_type == "application/json"
        pox = f"http://autodiscover.{domain}/autodiscover/autodiscover.xml"
        redirect = fetch_once(network, pox)
        assert redirect.status == 302
        assert redirect.headers["location"] == pox.replace("http:", "https:")
    for name in ("fred", "ann"):  # no profile is cached
        url = f"https://autoconfig.example.com/mail/mobileconfig?emailaddress={name}"
        page = fetch_once(network, f"{url}@example.com")
        assert f"{name}@example.com".encode() in page.body
