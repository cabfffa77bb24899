"""The applications that the benchmark compares, each for one gunicorn worker."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response

from flask_autoconfig import Autoconfig, create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/mail/config-v1.1.xml"


def _document() -> bytes:
    client = create_app(os.environ["AUTOCONFIG_FILE"]).test_client()
    body: bytes = client.get(f"{PATH}?emailaddress=fred@example.com").data
    return body


def view() -> Flask:
    """A Flask view that returns the same bytes and does nothing else."""
    app = Flask(__name__)
    body = _document()

    @app.get(PATH)
    def config() -> Response:
        return Response(body, content_type="text/xml; charset=utf-8")

    return app


def blueprint() -> Flask:
    """The blueprint in a Flask site."""
    app = Flask(__name__)
    app.register_blueprint(Autoconfig())
    return app


def function() -> WSGIApplication:
    """A bare WSGI function that returns the same bytes."""
    body = _document()
    headers = [
        ("Content-Type", "text/xml; charset=utf-8"),
        ("Content-Length", str(len(body))),
    ]

    def config(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return (body,)

    return config


def standalone() -> Flask:
    """The service by itself."""
    return create_app()
