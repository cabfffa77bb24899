"""A Flask site with host matching: a shop on one host, mail clients on all others.

With host matching, a route belongs to a host. The blueprint answers on every host that has
no such route, and so on `autoconfig.` of any domain.
Run it with `flask --app examples/subdomain run`.
"""

from __future__ import annotations

from flask import Flask

from flask_autoconfig import autoconfig

app = Flask(__name__, host_matching=True, static_host="static.example.com")


@app.get("/", host="shop.example.com")
def shop() -> str:
    """A page of one host."""
    return "Welcome to the shop."


app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)
