"""Applications from PyPI under their usual servers, each in an environment of its own.

isso is a Werkzeug application, Radicale plain WSGI; bepasty is a Flask site, and locust one
with a server and a login of its own, whose context processor fails without a `user_loader`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from asks import FILE, asks_of
from services import answered_alike, fetch, free_port, running
from support import ROOT, tables

from flask_autoconfig import create_app
from flask_autoconfig.families import FAMILIES

# wsgiref's list of methods is that of HTTP without WebDAV.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD"),
    pytest.mark.install,
]
GUNICORN = "gunicorn --bind=127.0.0.1:{port} site_of_mine:application"
APPLICATIONS = tables("applications.toml")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    build = (sys.executable, "-m", "build", "--no-isolation", "--wheel")
    subprocess.run([*build, "-o", out, ROOT], cwd=out, check=True, capture_output=True)
    return next(out.iterdir())


@pytest.mark.parametrize("name", APPLICATIONS)
def test_clients_are_answered_in_an_application_as_by_the_service_alone(
    name: str, wheel: Path, tmp_path: Path
) -> None:
    application = APPLICATIONS[name]
    (tmp_path / "site_of_mine.py").write_text(application["source"])
    (tmp_path / "settings").write_text(application.get("settings", ""))
    (tmp_path / "autoconfig.toml").write_bytes(FILE.read_bytes())
    bin_ = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", bin_.parent], check=True)
    subprocess.run([bin_ / "pip", "install", "-q", name, wheel], check=True)

    port = free_port()
    program, *options = application.get("server", GUNICORN).format(port=port).split()
    log, url = tmp_path / "log", f"http://127.0.0.1:{port}"
    with running(
        bin_ / program, *options, port=port, cwd=tmp_path, log=log, at_once=True
    ):
        page = fetch(url + application["path"])
        assert page.status == 200
        assert application["words"] in page.body.decode()
        alone = create_app(FILE)
        for ask in (ask for family in FAMILIES for ask in asks_of(family.name)):
            answered_alike(alone, url, ask)
