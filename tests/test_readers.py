"""Independent clients from PyPI read the documents.

exchangelib is not among them: since version 5 it uses Autodiscover over SOAP alone.
"""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import aiohttp
import dns.resolver
import maildiscover
import pytest
from caldav.davclient import DAVClient
from caldav.discovery import discover_service
from myldiscovery.discovery import parse_autoconfig
from services import free_port, names, run, running
from support import BIN, TWO_DOMAINS, Patch, Write, certificate_for
from vdirsyncer.storage.dav import CalDAVStorage, CardDAVStorage
from world import DOMAIN, PASSWORD, USER, NameServer

pytestmark = pytest.mark.world
SETTINGS = (
    TWO_DOMAINS.replace("example.com", DOMAIN)
    + '[[provider.calendar]]\ntype = "caldav"\nurl = "https://%EMAILDOMAIN%/dav/"\n'
    + '[[provider.address_book]]\ntype = "carddav"\nurl = "https://%EMAILDOMAIN%/dav/"\n'
)
APP = """
from radicale import application
from werkzeug.exceptions import NotFound
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from flask_autoconfig import AutoconfigMiddleware

site = DispatcherMiddleware(NotFound(), {{"/dav": application}})
app = AutoconfigMiddleware(site, {file!r})
"""


@pytest.fixture
def site(toml: Write, tmp_path: Path, monkeypatch: Patch) -> Iterator[Path]:
    """A real calendar server behind the middleware, at the domain and its host names.

    Yields the TOML file.
    """
    file = toml(SETTINGS)
    hosts = (DOMAIN, f"autoconfig.{DOMAIN}")
    certificate, key = certificate_for(*hosts, folder=tmp_path)
    (tmp_path / "app.py").write_text(APP.format(file=str(file)))
    (tmp_path / "users").write_text(f"{USER}:{PASSWORD}\n")
    (tmp_path / "radicale").write_text(
        f"[auth]\ntype = htpasswd\nhtpasswd_filename = {tmp_path}/users\n"
        f"htpasswd_encryption = plain\n"
        f"[storage]\nfilesystem_folder = {tmp_path}/collections\n"
    )
    port = free_port()
    command = (BIN / "gunicorn", "--bind", f"127.0.0.1:{port}", "--chdir", tmp_path)
    tls = ("--certfile", certificate, "--keyfile", key, "--no-control-socket")
    env = {"RADICALE_CONFIG": str(tmp_path / "radicale")}
    at_443 = {(host, 443): port for host in hosts}
    at_443["autoconfig.thunderbird.net", 443] = free_port()  # where nothing listens
    with (
        running(*command, *tls, "app:app", port=port, env=env, at_once=True),
        names(monkeypatch, at_443),
    ):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
        yield file


def _found(config: maildiscover.MailConfig) -> dict[str, tuple[str, int]]:
    found = {}
    for name, server in vars(config).items():
        if server:
            host, port, *_ = server.to_tuple()
            found[name] = str(host), int(port)
    return found


SERVERS = {
    "imaps": (f"imap.{DOMAIN}", 993),
    "pop3s": (f"pop.{DOMAIN}", 995),
    "smtp": (f"smtp.{DOMAIN}", 465),
}


def test_maildiscover_finds_no_contradiction(site: Path, monkeypatch: Patch) -> None:
    zone = run("--config", site, "dns", DOMAIN, "--target", f"www.{DOMAIN}").stdout
    resolver = dns.resolver.Resolver(configure=False)
    with NameServer() as server:
        server.load(zone)
        resolver.nameservers, resolver.port = ["127.0.0.1"], server.port
        monkeypatch.setattr(dns.resolver, "default_resolver", resolver)
        by_dns = maildiscover.DNSSRV(USER).get()
        assert _found(by_dns) == {name: SERVERS[name] for name in ("imaps", "pop3s")}
        found = maildiscover.get(USER)  # raises if both differ
        assert _found(found) == SERVERS
        assert found.imaps.auth_type == ["password-cleartext"]


def test_myl_discovery_reads_ports_and_encryption(toml: Write) -> None:
    pop3 = '[[provider.incoming]]\ntype = "pop3"\nhostname = "pop.example.com"\n'
    file = toml(TWO_DOMAINS.replace(pop3, ""))
    found = parse_autoconfig(run("--config", file, "show", "example.com").stdout)
    expected = {"port": 993, "starttls": False, "ssl": True}
    assert found["imap"] == {"server": "imap.example.com", **expected}
    assert found["smtp"] == {"server": "smtp.example.com", **expected, "port": 465}


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # aiohttp's, over TLS
@pytest.mark.parametrize("storage", [CalDAVStorage, CardDAVStorage])
def test_vdirsyncer_finds_collections_by_domain(site: Path, storage: Any) -> None:
    assert site.is_file()

    async def collections() -> list[str]:
        async with aiohttp.TCPConnector() as connector:
            account = {
                "url": f"https://{DOMAIN}/",
                "username": USER,
                "password": PASSWORD,
                "verify": str(site.parent / "ca.pem"),
                "connector": connector,
            }
            await storage.create_collection("work", **account)
            found = storage.discover(**account)
            return [collection["url"] async for collection in found]

    # The site has nothing at its root, so the redirect was followed.
    found = [unquote(url).rstrip("/") for url in asyncio.run(collections())]
    assert found == [f"https://{DOMAIN}/dav/{USER}/work"]
    gc.collect()  # so that warnings of unclosed connections belong to this test


@pytest.mark.usefixtures("site")
def test_a_caldav_client_finds_its_calendars_from_the_domain_alone() -> None:
    url = f"https://{DOMAIN}/dav/"
    for service in ("caldav", "carddav"):
        found = discover_service(USER, service, timeout=10)
        assert found is not None
        assert (found.source, found.url) == ("well-known", url)
    with DAVClient(url, username=USER, password=PASSWORD) as client:
        anything: Any = client  # its types are not all there
        principal = anything.principal()
        principal.make_calendar(name="Work")
        calendars = [str(c.get_display_name()) for c in principal.get_calendars()]
    assert calendars == ["Work"]
