"""Applications from PyPI under their usual servers, each in an environment of its own.

isso is a Werkzeug application, Radicale plain WSGI; bepasty is a Flask site, and locust one
with a server and a login of its own, whose context processor fails without a `user_loader`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from asks import FILE, asks_of
from support import ROOT, answered_alike, fetch, free_port, running

from flask_autoconfig import create_app
from flask_autoconfig.families import FAMILIES

# wsgiref's list of methods is that of HTTP without WebDAV.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Unknown REQUEST_METHOD"),
    pytest.mark.install,
]
GUNICORN = "gunicorn --bind=127.0.0.1:{port} site_of_mine:application"


class Application(NamedTuple):
    path: str  # of a page of its own
    words: str  # on that page
    source: str  # of `site_of_mine.py`
    settings: str = ""
    server: str = GUNICORN


APPLICATIONS = {
    "isso": Application(
        "/js/embed.min.js",
        "isso",
        """
import os
os.environ["ISSO_SETTINGS"] = "settings"
from isso.run import application as site
from flask_autoconfig import AutoconfigMiddleware
application = AutoconfigMiddleware(site, "autoconfig.toml")
""",
        "[general]\ndbpath = comments.db\nhost = http://127.0.0.1/\n",
    ),
    "radicale": Application(
        "/.web/",
        "<title>Radicale",
        """
import os
os.environ["RADICALE_CONFIG"] = "settings"
from radicale import application as site
from flask_autoconfig import AutoconfigMiddleware
application = AutoconfigMiddleware(site, "autoconfig.toml")
""",
        "[storage]\nfilesystem_folder = collections\n[auth]\ntype = none\n",
    ),
    "bepasty": Application(
        "/",
        "bepasty.example.org",
        """
import os
os.environ["BEPASTY_CONFIG"] = os.path.abspath("settings")
from bepasty.app import create_app
from flask_autoconfig import autoconfig
application = create_app()
application.config["AUTOCONFIG_FILE"] = os.path.abspath("autoconfig.toml")
application.register_blueprint(autoconfig)
""",
        "STORAGE = 'filesystem'\nSTORAGE_FILESYSTEM_DIRECTORY = '.'\nSECRET_KEY = 'x'\n",
    ),
    "locust": Application(
        "/login",
        "authArgs",
        """
import os
from locust import User, events
from flask_autoconfig import autoconfig

class Fred(User):
    pass

@events.init.add_listener
def register(environment, **_):
    app = environment.web_ui.app
    app.secret_key = "x"
    app.config["AUTOCONFIG_FILE"] = os.path.abspath("autoconfig.toml")
    app.register_blueprint(autoconfig)
""",
        server="locust -f site_of_mine.py --web-login --web-host=127.0.0.1 "
        "--web-port={port}",
    ),
}


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
    (tmp_path / "site_of_mine.py").write_text(application.source)
    (tmp_path / "settings").write_text(application.settings)
    (tmp_path / "autoconfig.toml").write_bytes(FILE.read_bytes())
    bin_ = tmp_path / "venv/bin"
    subprocess.run([sys.executable, "-m", "venv", bin_.parent], check=True)
    subprocess.run([bin_ / "pip", "install", "-q", name, wheel], check=True)

    port = free_port()
    program, *options = application.server.format(port=port).split()
    log, url = tmp_path / "log", f"http://127.0.0.1:{port}"
    with running(
        bin_ / program, *options, port=port, cwd=tmp_path, log=log, at_once=True
    ):
        page = fetch(url + application.path)
        assert page.status == 200
        assert application.words in page.body.decode()
        alone = create_app(FILE)
        for ask in (ask for family in FAMILIES for ask in asks_of(family.name)):
            answered_alike(alone, url, ask)
