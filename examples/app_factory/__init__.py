"""An application factory, with autoconfig.toml in the instance folder.

Run it with `flask --app examples/app_factory run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Flask

from flask_autoconfig import Autoconfig


def create_app(config: dict[str, Any] | None = None) -> Flask:
    """Create the site; `config` overrides its defaults, for example in tests."""
    instance = Path(__file__).parent / "instance"
    app = Flask(__name__, instance_path=str(instance.resolve()))
    app.config["AUTOCONFIG_CLIENTS"] = {"thunderbird", "outlook", "apple", "page"}
    app.config.from_mapping(config or {})
    app.register_blueprint(Autoconfig())
    return app
