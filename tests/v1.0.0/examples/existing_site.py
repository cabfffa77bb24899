"""A Flask site that also answers mail clients.

Try it: `flask --app examples/existing_site run`

Everything but the last two lines stands for a site that is there already.
"""

from __future__ import annotations

from flask import Flask

from flask_autoconfig import autoconfig

app = Flask(__name__)


@app.get("/")
def home() -> str:
    """The site's own page, which goes on as before."""
    return "Welcome to Example Ltd."


app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"  # counts from this file's folder
app.register_blueprint(autoconfig)
