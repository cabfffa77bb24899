"""The applications that the benchmark compares, each for one worker of a server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask, Response

from flask_autoconfig import Autoconfig, AutoconfigMiddleware, create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment
    from werkzeug.test import TestResponse

PATH = "/mail/config-v1.1.xml"


def _document() -> TestResponse:
    client = create_app(os.environ["AUTOCONFIG_FILE"]).test_client()
    return client.get(f"{PATH}?emailaddress=fred@example.com")


def view() -> Flask:
    """A Flask view that returns the same bytes and does nothing else."""
    app = Flask(__name__)
    body = _document().data

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
    body = _document().data
    length = ("Content-Length", str(len(body)))
    return _constant(body, [("Content-Type", "text/xml; charset=utf-8"), length])


def function_with_headers() -> WSGIApplication:
    """A bare WSGI function that returns the same bytes and the same headers."""
    document = _document()
    return _constant(document.data, list(document.headers))


def _constant(body: bytes, headers: list[tuple[str, str]]) -> WSGIApplication:
    def config(
        environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        start_response("200 OK", headers)
        return (body,)

    return config


def middleware() -> WSGIApplication:
    """The middleware around that function."""
    return AutoconfigMiddleware(function(), os.environ["AUTOCONFIG_FILE"])


def standalone() -> Flask:
    """The standalone service."""
    return create_app()
