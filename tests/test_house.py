"""The structure of the package: one place for each fact, imports in one direction."""

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import pytest
from documents import text_of
from services import captured, run
from strangers import answering, server
from support import ROOT, TWO_DOMAINS, Patch, Write, certificate_for, site
from test_http import host_matching, subdomain
from werkzeug.test import Client
from world import NameServer

from flask_autoconfig import create_app, families
from flask_autoconfig.address import PLACEHOLDERS
from flask_autoconfig.config.tables import FamilyName, Provider
from flask_autoconfig.documents import Format, Recipient
from flask_autoconfig.families import Digest, Family, Route
from flask_autoconfig.handlers import document

PACKAGE = ROOT / "flask_autoconfig"
SOURCES = {
    str(file.relative_to(PACKAGE)): file.read_text(encoding="utf-8")
    for file in sorted(PACKAGE.rglob("*.py"))
}
LINES = {name: len(text.splitlines()) for name, text in SOURCES.items()}


# --- A new family --------------------------------------------------------------------


def greet(provider: Provider, recipient: Recipient) -> bytes:
    return f"Hello {recipient.domain or provider.identity}\n".encode()


GREETING = Format("greeting", "text/plain", greet)
PATH = "/.well-known/greeting.txt"
FAMILY = Family(
    "warm-greeting",
    (Route(PATH, partial(document, GREETING), is_file=True),),
    (GREETING,),
    label="greeting",
    askers="Those who greet",
    digest=Digest("_greeting", lambda document: f"d={len(document)}"),
)


@pytest.fixture
def file(toml: Write, monkeypatch: Patch) -> Path:
    """A file of a service that has the new family too."""
    monkeypatch.setattr(families, "FAMILIES", (*families.FAMILIES, FAMILY))
    name = "flask_autoconfig.tools.commands.show"  # reads the table when imported
    monkeypatch.delitem(sys.modules, name, raising=False)
    return toml(TWO_DOMAINS)


def test_a_new_family_is_served_however_it_is_mounted(file: Path) -> None:
    below = subdomain(file, "greeting")
    for app in (create_app(file), site(file), below, host_matching(file)):
        client, headers = Client(app), {"Host": "greeting.example.com"}
        response = client.get(PATH, headers=headers)
        assert response.data == b"Hello example.com\n"
        assert response.headers["Content-Type"] == "text/plain"
        headers["If-None-Match"] = response.headers["ETag"]
        assert client.get(PATH, headers=headers).status_code == 304


def command(file: Path, *arguments: str) -> str:
    result = run("--config", file, *arguments)
    assert result.returncode in (0, 1), result.stderr
    return result.stdout


def test_a_new_family_is_shown_exported_and_listed(file: Path, tmp_path: Path) -> None:
    output = command(file, "show", "example2.com", "--format", "greeting")
    assert output == "Hello example2.com\n"
    command(file, "export", str(tmp_path / "out"))
    assert (tmp_path / f"out/example2.com{PATH}").read_text() == output
    report = json.loads(command(file, "dns", "--target", "www.example.com", "--json"))
    record = {"name": "greeting", "type": "CNAME", "data": "www.example.com."}
    assert "greeting.example2.com" in report["example2.com"]["certificate_names"]
    assert record in report["example2.com"]["records"]


@pytest.mark.parametrize(
    ("served", "status"),
    [(b"Hello example.test\n", "ok"), (b"Hello, stranger\n", "failure")],
)
def test_check_covers_a_new_family(
    file: Path, tmp_path: Path, monkeypatch: Any, served: bytes, status: str
) -> None:
    file.write_text(TWO_DOMAINS.replace("example.com", "example.test"))
    host = "greeting.example.test"
    certificate = certificate_for(host, folder=tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    response = b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + served
    with NameServer() as names, server(answering(response), certificate) as port:
        names.load("greeting IN A 127.0.0.1\n", '_greeting IN TXT "d=19"\n')
        options = ["--resolver", f"127.0.0.1:{names.port}", "--json"]
        options += ["--connect-to", f"{host}:443:127.0.0.1:{port}"]
        findings = json.loads(command(file, "check", "example.test", *options))
    found = {(f["step"], f["subject"]): f["status"] for f in findings["findings"]}
    assert found["dns", host] == "ok"
    assert found["document", f"https://{host}{PATH}"] == status
    # The digest of a document that is not the file's says nothing.
    assert found.get(("dns", f"_{host}")) == ("ok" if status == "ok" else None)
    assert found["dns", "autodiscover.example.test"] == "warning"


# --- The table of families -------------------------------------------------------------

ROUTES = [route for family in families.FAMILIES for route in family.routes]


def test_the_table_is_consistent() -> None:
    assert tuple(family.name for family in families.FAMILIES) == get_args(FamilyName)
    paths = [route.path for route in ROUTES]
    assert len(paths) == len(set(paths))
    for route in ROUTES:  # what is exported has one spelling
        assert not (route.is_file and (route.rest or route.ignores_case)), route.path


def _names(cell: str) -> list[str]:
    return re.findall(r"`([\w-]+)`", cell)


def test_the_documented_table_of_families_is_true() -> None:
    _, _, below = text_of("tests/README.md").partition("| family | host |")
    rows = below.partition("\n\n")[0].splitlines()
    cells = [re.split(r" *\| *", row.strip("|"))[:4] for row in rows[2:]]
    table = {_names(row[0])[0]: row for row in cells}
    assert list(table) == [family.name for family in families.FAMILIES]
    for family in families.FAMILIES:
        _, host, paths, formats = table[family.name]
        assert host == (f"`{family.label}.DOMAIN`" if family.label else "the site's")
        listed = [path.removesuffix("DOMAIN") for path in re.findall("`(/.*?)`", paths)]
        assert listed == [route.path for route in family.routes]
        assert _names(formats) == [format_.name for format_ in family.formats]
        methods = {method for route in family.routes for method in route.methods}
        named = set(re.findall(r"\b[A-Z]{3,}\b(?!`)", paths)) - {"DOMAIN"}
        assert named == methods or named < methods


def _contrib(name: str) -> str:
    return text_of(f"contrib/{name}")


def test_the_web_servers_forward_what_is_requested_from_the_domain_itself() -> None:
    (nginx,) = re.findall(r"location ~ (\S+)", _contrib("nginx-well-known.conf"))
    (apache,) = re.findall(r"ProxyPassMatch (\S+)", _contrib("apache.conf"))
    (caddy,) = re.findall(r"@autoconfig path (.*)", _contrib("Caddyfile"))
    # Outlook requests its paths from the target of its SRV record and from each domain.
    (outlook,) = families.chosen("outlook", "")
    (pacc,) = families.chosen("pacc", "")
    well_known = [
        route.path
        for route in ROUTES
        if route.path.startswith("/.well-known/") and route not in pacc.routes
    ]
    forwarded = [*well_known, *(route.path for route in outlook.routes)]
    assert caddy.split() == forwarded
    for route in ROUTES:
        for pattern in (nginx, apache):
            is_forwarded = bool(re.search(pattern, route.path))
            assert is_forwarded == (route.path in forwarded), route.path


def test_the_web_servers_have_the_hosts_of_every_family() -> None:
    (nginx,) = re.findall(r"server_name (.*);", _contrib("nginx.conf"))
    assert nginx.split() == [f"~^{label}\\." for label in families.labels()]
    (page,) = re.findall(r"^    (/\S+) 1;$", _contrib("nginx.conf"), re.MULTILINE)
    (family,) = families.chosen("page", "")
    # It is not cached, since its pictures have private headers.
    assert page == family.routes[0].path
    aliases = re.findall(r"ServerAlias (.*)", _contrib("apache.conf"))
    assert aliases == [" ".join(f"{label}.*" for label in families.labels())] * 2


# --- Size and imports ------------------------------------------------------------------


def test_the_package_is_small() -> None:
    assert [name for name, number in LINES.items() if number > 450] == []
    assert sum(LINES.values()) <= 20_801


def _modules_after(code: str) -> list[str]:
    tail = "import sys, json; print(json.dumps(sorted(sys.modules)))"
    modules: list[str] = json.loads(captured("python", "-c", f"{code}\n{tail}").stdout)
    return modules


def test_a_site_imports_no_module_of_the_commands_or_the_page(toml: Write) -> None:
    file = str(toml(TWO_DOMAINS))
    modules = _modules_after(
        "from flask import Flask\n"
        "from flask_autoconfig import autoconfig\n"
        "app = Flask('site')\n"
        f"app.config['AUTOCONFIG_FILE'] = {file!r}\n"
        "app.register_blueprint(autoconfig)\n"
        "client = app.test_client()\n"
        "assert client.get('/mail/config-v1.1.xml').status_code == 200\n"
    )
    own = [name for name in modules if name.startswith("flask_autoconfig")]
    assert "flask_autoconfig.blueprint" in own
    origins = [Path(str(find_spec(name).origin)) for name in own]  # type: ignore[union-attr]
    assert len(origins) <= 40
    names = (str(file).rpartition("flask_autoconfig/")[2] for file in origins)
    lines = sum(LINES[name] for name in names)
    assert lines <= 5_400
    for unneeded in ("tools", "config.explain", "page"):
        assert f"flask_autoconfig.{unneeded}" not in own
    for heavy in ("gunicorn", "dns", "segno", "tomli_w", "idna", "defusedxml"):
        assert heavy not in modules


def test_flask_imports_the_commands_without_their_dependencies() -> None:
    before = set(_modules_after("import flask.cli"))
    loaded = _modules_after(
        "import flask.cli\n"
        "from importlib.metadata import entry_points\n"
        "(ours,) = entry_points(group='flask.commands', name='autoconfig')\n"
        "ours.load()"
    )
    added = {name for name in set(loaded) - before if "importlib" not in name}
    assert {name for name in added if name.startswith("flask_autoconfig")} == {
        "flask_autoconfig",
        "flask_autoconfig.errors",
        "flask_autoconfig.files",
        "flask_autoconfig.tools",
        "flask_autoconfig.tools.cli",
    }
    assert not added & {"msgspec", "tomllib", "gunicorn", "dns"}


# A module imports only from its own layer's package and from the layers before.
LAYERS = (
    {"errors", "address", "files", "answers", "bounded", "cleaning"},
    {"signing", "signals"},
    {"config"},
    {"directory", "reload", "documents", "hooks"},
    {"snapshot"},
    {"lookup"},
    {"page"},
    {"handlers"},
    {"families"},
    {"service"},
    {"blueprint", "middleware"},
    {"standalone"},
    {"__init__"},
    {"tools"},
    {"__main__"},
)


def _part(name: str) -> str:
    return name.partition("/")[0].removesuffix(".py")


def test_modules_import_only_from_lower_layers() -> None:
    layer = {part: number for number, parts in enumerate(LAYERS) for part in parts}
    for name, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.ImportFrom) or node.level <= name.count("/"):
                continue
            named = [node.module] if node.module else [a.name for a in node.names]
            for other in named:
                part, imported = _part(name), str(other).partition(".")[0]
                assert imported == part or layer[imported] < layer[part], name


def test_only_terminal_prints() -> None:
    printing = r"click\.s?echo\(|\bprint\(|std(out|err)\.(buffer\.)?write\("
    found = [name for name, text in SOURCES.items() if re.search(printing, text)]
    assert found == ["tools/terminal.py"]


def test_documents_import_no_http_and_only_mounts_import_flask() -> None:
    in_flask = {"blueprint.py", "standalone.py", "page/in_site.py"}
    for name, text in SOURCES.items():
        if name not in in_flask and _part(name) != "tools":
            assert not re.search(r"^ *(from|import) flask\b", text, re.MULTILINE), name
        if _part(name) == "documents":
            assert not re.search(r"import .*\b(answers|werkzeug)\b", text), name


def test_the_readmes_map_lists_every_module() -> None:
    _, _, below = text_of("README.md").partition("\n    flask_autoconfig/\n")
    drawn: set[str] = set()
    folder = ""
    for line in below.partition("\n\n")[0].splitlines():
        indent, name, _ = re.findall(r"^( +)(\S+) +(\S.*)$", line)[0]
        is_top = len(indent) == 6
        drawn.add(name if is_top else folder + name)
        if is_top:
            folder = name if name.endswith("/") else ""
    there = {name for name in SOURCES if not name.endswith("__init__.py")}
    # A folder in a folder has one line for all its modules.
    folded = {name for name in drawn if re.fullmatch(r"\w+/\w+/", name)}
    assert all((PACKAGE / name).is_dir() for name in folded)
    there = {name for name in there if not name.startswith(tuple(folded))} | folded
    packages = {f"{path.parent.name}/" for path in PACKAGE.glob("*/__init__.py")}
    assert drawn == there | packages | {"__init__.py"}


def _strings(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(SOURCES[name])):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_the_html_of_the_page_is_in_templates() -> None:
    html = r"</\w+>|(?<!P)<\w+( \w+=|>)|\bclass="
    for name in filter(lambda name: _part(name) == "page", SOURCES):
        assert [text for text in _strings(name) if re.search(html, text)] == []
    script = (PACKAGE / "page/static/script.js").read_text(encoding="utf-8")
    assert not re.search(r"class|[\"' ][.][a-z]", script)


def test_placeholders_are_spelled_in_one_module() -> None:
    assert {"%EMAILDOMAIN%", *PLACEHOLDERS} == set(PLACEHOLDERS)
    assert [name for name in SOURCES if "%EMAIL" in _strings(name)] == []


def test_no_pattern_has_a_possessive_group() -> None:
    """Python before 3.11.5, as in Debian 12, matches them wrongly; atomic groups do."""
    group = r"\)(?:[*+?]|{[0-9,]*})\+(?!\+)"
    assert [name for name, text in SOURCES.items() if re.search(group, text)] == []
