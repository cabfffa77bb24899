"""A Flask site that also answers mail clients.

Run it with `flask --app examples/existing_site run`. Everything but the last two lines
represents an existing site.
"""

from __future__ import annotations

from flask import Flask

from flask_autoconfig import autoconfig

app = Flask(__name__)


@app.get("/")
def home() -> str:
    """A page of the site, which works as before."""
    return "Welcome to Example Ltd."


app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"  # relative to this folder
app.register_blueprint(autoconfig)
