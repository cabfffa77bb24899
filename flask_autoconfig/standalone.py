"""The WSGI door: the service by itself, under gunicorn or any other WSGI server.

A GET of a path with one spelling is answered before Flask's request machinery is
entered; what is left goes to a small Flask app with the blueprint.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from flask import Flask, Response, current_app, request

from .answers import Request
from .blueprint import Autoconfig
from .errors import ConfigError
from .files import DEFAULT_FILE, file_in_environment
from .service import Service

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class FastPath:
    """WSGI middleware: answers what the service knows, leaves the rest to the app."""

    def __init__(self, service: Service, app: WSGIApplication) -> None:
        self.service = service
        self.app = app

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        if method == "GET" or method == "HEAD":
            query, host = environ.get("QUERY_STRING", ""), environ.get("HTTP_HOST", "")
            path = environ.get("PATH_INFO", "")
            answer = self.service.answer(Request(path, query, host, method, environ))
            if answer is not None:
                answer = answer.for_request(environ)
                start_response(answer.status, list(answer.headers))
                return () if method == "HEAD" else (answer.body,)
        return self.app(environ, start_response)


class _LiveAutoconfig(Autoconfig):
    """All routes are its own, so that the file's `clients` count when they change."""

    is_live = True


def create_app(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    proxies: int = 0,
) -> Flask:
    """The standalone service, a WSGI app: `gunicorn 'flask_autoconfig:create_app()'`.

    `config` is the TOML file or a mapping of Flask's configuration keys; by default the
    file is the environment's `AUTOCONFIG_FILE`, or `autoconfig.toml` in the working
    directory. `proxies` is how many proxies before it are trusted to say the host and
    the scheme. Raises ConfigError where the file is missing or faulty.
    """
    app = Flask("flask_autoconfig", static_folder=None)
    if isinstance(config, Mapping):
        app.config.from_mapping(config)
        config = None
    file = config or app.config.get("AUTOCONFIG_FILE")
    file = file or file_in_environment() or DEFAULT_FILE
    if isinstance(file, str | os.PathLike):  # else the blueprint says what is wrong
        file = Path(file).absolute()
    app.config["AUTOCONFIG_FILE"] = file

    app.add_url_rule("/healthz", "healthz", _health, provide_automatic_options=False)
    try:
        app.register_blueprint(_LiveAutoconfig())
    except ConfigError as error:
        _stop_gunicorn(error)
        raise
    app.wsgi_app = FastPath(  # type: ignore[method-assign]
        app.extensions["autoconfig"], app.wsgi_app
    )

    if proxies:
        from werkzeug.middleware.proxy_fix import ProxyFix

        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )
    return app


def _health() -> Response:
    """Whether the service is well; with `?domain=HOST`, whether it serves that host.

    The second is what Caddy asks before it gets a certificate for a name.
    """
    service: Service = current_app.extensions["autoconfig"]
    asked = dict(
        parse_qsl(request.environ["QUERY_STRING"][:1024], keep_blank_values=True)
    )
    host = asked.get("domain")
    is_served = host is None or service.serves_host(host)
    text, status = ("ok\n", 200) if is_served else ("That host is not served.\n", 404)
    response = Response(text, status, mimetype="text/plain")
    response.headers["Cache-Control"] = "no-store"
    return response


def _stop_gunicorn(error: ConfigError) -> None:
    """Under gunicorn's own command: end with the problems, without a traceback."""
    if "gunicorn.arbiter" in sys.modules:
        from gunicorn.errors import AppImportError

        class FaultyError(AppImportError, RuntimeError):  # type: ignore[misc]
            """The one ends a worker with its words alone, the other a preload."""

        raise FaultyError(str(error)) from None
