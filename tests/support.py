"""Helpers of several test files: rows of tables, their requests, certificates."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import product
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import trustme
from client_requests import HOST, outlook_request
from flask import Flask
from werkzeug.test import Client, TestResponse

from flask_autoconfig import Autoconfig, ConfigError, create_app
from flask_autoconfig.config import reading
from flask_autoconfig.config import tables as model
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.tables import Config, Provider
from flask_autoconfig.errors import Problem
from flask_autoconfig.reload import Live
from flask_autoconfig.service import Current
from flask_autoconfig.snapshot import Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
BIN = Path(sys.executable).parent
# Files like those of the ISP database, one for each provider.
ISP = ROOT / "tests/isp"
ISP_FILES = sorted(ISP.glob("*.xml"))

TWO_DOMAINS = (ROOT / "tests/two_domains.toml").read_text(encoding="utf-8")
FULL = (ROOT / "tests/full.toml").read_text(encoding="utf-8")
IMAP = {"type": "imap", "hostname": "imap.example.com"}
SMTP = {"type": "smtp", "hostname": "smtp.example.com"}
Log = pytest.LogCaptureFixture
Patch = pytest.MonkeyPatch
Write = Callable[..., Path]  # the fixture `toml`
# The types of the tables in a configuration.
MODEL = {
    table
    for table in vars(model).values()
    if isinstance(table, type) and issubclass(table, model.Table)
} - {model.Table}

# Turns the output of `dns` into a zone file.
ZONE_HEAD = """$TTL 60
@ IN SOA ns hostmaster 1 7200 3600 1209600 60
@ IN NS ns
ns IN A 127.0.0.1
"""


def site(file: Path, autoconfig: Autoconfig | None = None, **config: Any) -> Flask:
    """Return a Flask site with the blueprint; its templates are beside the file."""
    app = Flask("site", root_path=str(file.parent))
    app.config.update({"AUTOCONFIG_FILE": file, **config})
    app.register_blueprint(autoconfig or Autoconfig())
    return app


Send = Callable[..., TestResponse]


def sender(app: WSGIApplication, scheme: str = "http", mount: str = "") -> Send:
    """Return a function that sends a request; header names have `_` for `-`."""
    send = Client(app).open

    def answer(
        target: str, method: str = "GET", data: Any = None, **headers: str
    ) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        headers = {"Host": HOST} | named
        root = f"{scheme}://localhost{mount}"
        return send(target, base_url=root, method=method, data=data, headers=headers)

    return answer


def configured(
    text: str = TWO_DOMAINS,
    *,
    start: str = "",
    more: str = "",
    every: str = "",
    provider: str = "",
    domains: Sequence[str] = ("example.com", "example2.com"),
    servers: str = "",
    changes: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the file that a row of a table describes.

    It is *text*, or a provider with these *servers*. *start* and *more* are lines before
    and behind it, *provider* is a line of each provider, *every* one of each server with
    a host name.
    """
    if servers:
        text = f'[[provider]]\ndomains = ["example.com"]\n{servers}'
    text = text.replace('["example.com", "example2.com"]', json.dumps(domains))
    text = text.replace("\ndomains =", f"\n{provider}\ndomains =")
    text = text.replace("\nhostname =", f"\n{every}\nhostname =")
    return f"{start}\n{replaced(text, *changes.items())}\n{more}"


def replaced(text: str, *pairs: tuple[str, str]) -> str:
    """Return a text with replacements, each of which must apply."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def assert_answered(send: Send, row: Mapping[str, Any]) -> None:
    """Send the requests that a row describes; each response must be as it says.

    `path`, `host` and `method` may be lists, of which every combination is requested.
    `answer` has headers of the response, "" for none; `has` has parts of its body, of
    which `json` is all; neither body nor headers have what it `lacks`. `outlook` and
    `phone` are the address in a request of Outlook or of an ActiveSync phone.
    """
    if "outlook" in row:
        row = {"method": "POST", "body": outlook_request(row["outlook"]), **row}
    if "phone" in row:
        schemas = ("mobilesync", "mobilesync/responseschema/2006")
        row = {"method": "POST", "body": outlook_request(row["phone"], *schemas), **row}
    expected = row.get("answer", {})
    several = (row.get("method", "GET"), row.get("host", HOST), row["path"])
    for method, host, path in product(*map(listed, several)):
        headers = {"Host": host, **row.get("headers", {})}
        response = send(path, method, row.get("body"), **headers)
        case = f"{method} {host}{path}"
        assert response.status_code == row.get("status", 200), case
        assert {n: response.headers.get(n, "") for n in expected} == expected, case
        missing = [t for t in listed(row.get("has", [])) if t not in response.text]
        whole = f"{response.headers}{response.text}"
        forbidden = [t for t in listed(row.get("lacks", [])) if t in whole]
        assert (missing, forbidden) == ([], []), case
        assert "json" not in row or response.json == row["json"], case


def assert_served(toml: Write, row: Mapping[str, Any]) -> None:
    """Start a service with the file of a row, and send its requests: itself, or `requests`.

    The file is beside the tests, or see `configured`. Results of `hooks` are looked up
    by the argument.
    """
    file = row.get("file", {})
    file = ROOT / "tests" / file if isinstance(file, str) else toml(configured(**file))
    hooks = {name: found.get for name, found in row.get("hooks", {}).items()}
    options = {"hooks": SimpleNamespace(**hooks)} if hooks else {}
    app = create_app(file, proxies=row.get("proxies", 0), **options)
    for request in row.get("requests", [row]):
        assert_answered(sender(app, mount=request.get("mount", "")), request)


def lacking(what: str) -> NoReturn:
    """Skip the test because something is missing; with CI=true, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, which CI requires")
    pytest.skip(f"{what} is missing")


def program(name: str) -> str:
    """Return the path of a program, also one in root's PATH only, or skip the test."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    return path or lacking(name)


def shared(name: str) -> Path:
    """Return the path of optional test data beside the repository, or skip the test."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"optional: there is no {path} beside this repository")
    return path


@contextmanager
def open_folder() -> Iterator[Path]:
    """Create a temporary folder for servers that run as another user.

    They cannot enter the folders of pytest, which belong to its user only.
    """
    with tempfile.TemporaryDirectory(prefix="autoconfig-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def configure(
    folder: Path, name: str, certificate: Sequence[object] = ("", ""), **values: object
) -> Path:
    """Write a configuration file from its template in tests/servers."""
    values |= {"certificate": certificate[0], "key": certificate[1]}
    template = Path(__file__).with_name("servers") / name
    file = folder / template.name
    file.write_text(template.read_text().format(folder=folder, **values))
    return file


def loads(text: str) -> Config:
    """Return the tables of a TOML text; raise ConfigError with every problem."""
    return reading._Reading(Path()).load(reading._parsed(text), text).tables


def provider_of(**raw: Any) -> Provider:
    """Return the provider with these tables, of example.com unless they have domains."""
    (found,) = from_raw({"provider": [{"domains": ["example.com"], **raw}]}).providers
    return found


def problems_of(call: Callable[..., object], *arguments: Any) -> tuple[Problem, ...]:
    """Return the problems of the ConfigError that a call raises."""
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    return caught.value.problems


def look(live: Live[Current], times: int = 4) -> None:
    """Look for edits as often as it takes until one is taken up."""
    for _ in range(times):
        live.look()


def has_domains(live: Live[Current], *domains: str) -> bool:
    directory = snapshot_of(live).directory
    return all(directory.by_domain(domain) is not None for domain in domains)


def snapshot_of(live: Live[Current]) -> Snapshot:
    return live.built.lookup.snapshot


def tables(file: str) -> dict[str, Any]:
    """Return what a TOML file beside the tests holds."""
    return tomllib.loads((ROOT / "tests" / file).read_text(encoding="utf-8"))


def table(name: str, file: str = "page.toml") -> dict[str, Any]:
    """Return a table of a TOML file beside the tests."""
    return dict(tables(file)[name])


def rows(name: str, parameters: str, *files: str) -> pytest.MarkDecorator:
    """Parametrize a test by a table of TOML files: a row has an id and the values."""
    found: dict[str, Any] = {}
    for file in files or ("page.toml",):
        assert found.keys().isdisjoint(table(name, file))
        found |= table(name, file)
    return pytest.mark.parametrize(parameters, list(found.values()), ids=list(found))


_AUTHORITY = trustme.CA()


def certificate_for(
    *names: str, folder: Path, not_after: datetime | None = None
) -> tuple[Path, Path]:
    """Issue a certificate; return its PEM files. The root is `folder/ca.pem`."""
    certificate = _AUTHORITY.issue_cert(*names, not_after=not_after)
    files = folder / f"{names[0]}.pem", folder / f"{names[0]}.key"
    files[0].write_bytes(b"".join(pem.bytes() for pem in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(files[1])
    _AUTHORITY.cert_pem.write_to_path(folder / "ca.pem")
    return files
