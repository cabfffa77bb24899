"""A Flask site that has mail settings on its own pages and in its mails.

Run `flask --app examples/own_pages run` and open http://127.0.0.1:5000/me, or run
`flask --app examples/own_pages welcome fred@example.com`.
"""

from __future__ import annotations

from email.message import EmailMessage

import click
from flask import Flask, render_template_string

from flask_autoconfig import autoconfig

app = Flask(__name__)
app.config["AUTOCONFIG_FILE"] = "autoconfig.toml"
app.register_blueprint(autoconfig)

PROFILE_PAGE = """<!doctype html><title>Your account</title>
{% with mail = autoconfig_settings(address) %}
{% if mail %}
<h2>Your mail, {{ address }}</h2>
<ul>
{% for server in mail.servers if server.hostname %}
<li>{{ server.type }}: {{ server.hostname }}, port {{ server.port }},
{{ server.socket_type }}, user name {{ server.username }}</li>
{% endfor %}
</ul>
<p>{% if mail.page_url %}<a href="{{ mail.page_url }}">Set it up</a>{% endif %}
{% if mail.profile_url %}<a href="{{ mail.profile_url }}">on an iPhone</a>{% endif %}</p>
{% else %}
<p>We have no mail settings for {{ address }}.</p>
{% endif %}
{% endwith %}"""


@app.get("/me")
def profile_page() -> str:
    """Show a user's settings, in a real site after a login."""
    return render_template_string(PROFILE_PAGE, address="fred@example.com")


def welcome_mail(address: str) -> EmailMessage:
    """Return the first mail to a new user. This needs an application context."""
    mail = EmailMessage()
    mail["To"] = address
    mail["From"] = "help@example.com"
    mail["Subject"] = "Welcome"
    settings = autoconfig.settings(address)
    if settings is None:
        mail.set_content("Welcome!\n")
        return mail
    reading, sending = settings.incoming[0], settings.outgoing[0]
    mail.set_content(
        "Welcome! Your mail program finds its settings by itself. If it does not:\n\n"
        f"  Reading: {reading.hostname}, port {reading.port} ({reading.socket_type})\n"
        f"  Sending: {sending.hostname}, port {sending.port} ({sending.socket_type})\n"
        f"  User name: {reading.username}\n\n"
        f"Step by step: {settings.page_url}\n"
    )
    return mail


@app.cli.command("welcome")
@click.argument("address")
def welcome(address: str) -> None:
    """Print the welcome mail for ADDRESS."""
    click.echo(welcome_mail(address).as_string())
