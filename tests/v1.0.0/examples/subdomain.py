"""A site that tells its hosts apart: mail clients' hosts here, the shop's there.

Flask's host matching sends each host to routes of its own; the blueprint answers on
every host that has no such route, so `autoconfig.` of any domain gets there.
Try it: `flask --app examples/subdomain run`
"""

from __future__ import annotations

from flask import Flask

from flask_autoconfig import autoconfig

app = Flask(__name__, host_matching=True, static_host="static.example.com")


@app.get("/", host="shop.example.com")
def shop() -> str:
    """A page of one host only."""
    return "Welcome to the shop."


app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)
