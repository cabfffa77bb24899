"""The standalone service, for gunicorn or any other WSGI server.

It is the middleware around a small Flask app with only `/healthz` (it runs), `/readyz` (it
has a configuration), `/` (a redirect to the page for people) and 404.
"""

import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, Response, current_app, request

from .answers import NOT_SERVED, UNAVAILABLE, Answer, Refused, text_answer, wrong_method
from .blueprint import is_on, source_of
from .errors import ConfigError
from .files import DEFAULT_FILE, file_in_environment
from .hooks import Functions
from .hooks.calling import load_hooks, name_in_environment
from .middleware import AutoconfigMiddleware
from .service import Service


def create_app(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    proxies: int = 0,
    hooks: object = None,
) -> Flask:
    """Return the standalone service: `gunicorn 'flask_autoconfig:create_app()'`.

    `config` is the TOML file or a mapping of Flask's configuration keys; the default is
    the environment's `AUTOCONFIG_FILE`, or `autoconfig.toml` in the working directory.
    `proxies` is the number of trusted proxies that set the X-Forwarded headers. `hooks`
    is an object or module with `find_provider`, `find_provider_by_address` or
    `find_username`, or its name as `MODULE` or `MODULE:OBJECT`; the default is the name
    in the environment's `AUTOCONFIG_HOOKS`. Raises ConfigError if the hooks cannot be used,
    or the file is missing or faulty; if `AUTOCONFIG_STRICT` (in the configuration or the
    environment) is "no", such a file is logged, and clients get 503 until it is corrected.
    """
    app = Flask("flask_autoconfig", static_folder=None, root_path=".")
    if not isinstance(config, Mapping):
        config = {"AUTOCONFIG_FILE": config}
    app.config.from_mapping(config)
    file = app.config.get("AUTOCONFIG_FILE") or file_in_environment() or DEFAULT_FILE
    app.config["AUTOCONFIG_FILE"] = file
    app.add_url_rule("/healthz", "healthz", _health, provide_automatic_options=False)
    app.add_url_rule("/readyz", "readyz", _readiness, provide_automatic_options=False)
    app.add_url_rule("/", "root", _redirect_to_page, provide_automatic_options=False)
    app.register_error_handler(404, lambda _error: _response(NOT_SERVED))
    app.register_error_handler(405, _wrong_method)
    # Unlike in a site, no other part of the app has to go on running.
    strict = os.environ.get("AUTOCONFIG_STRICT") or True
    try:
        middleware = AutoconfigMiddleware(
            app.wsgi_app,
            source_of(app),
            clients=app.config.get("AUTOCONFIG_CLIENTS"),
            strict=is_on(app.config.get("AUTOCONFIG_STRICT", strict)),
            **_functions(hooks),
        )
    except ConfigError as error:
        _stop_gunicorn(error)
        raise
    app.extensions["autoconfig"] = middleware.service
    app.wsgi_app = middleware  # type: ignore[method-assign]
    if proxies:  # outermost, so that an access log has the client's address
        from werkzeug.middleware.proxy_fix import ProxyFix

        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )
    return app


def _functions(source: object) -> Functions:
    if source is None:
        source = name_in_environment() or Functions()
    if isinstance(source, Functions):
        return source
    if isinstance(source, str):
        return load_hooks(source)
    try:
        return Functions.of(source)
    except TypeError as error:
        cure = "pass an object or module with one of them"
        raise ConfigError.of("hooks", str(error), cure) from error


def _health() -> Response:
    """Report health, or with `?domain=HOST` whether that host is served.

    Caddy sends the latter before it requests a certificate (`on_demand_tls`).
    """
    service: Service = current_app.extensions["autoconfig"]
    query = request.query_string.decode("latin-1")  # accepts any bytes
    host = dict(parse_qsl(query, keep_blank_values=True)).get("domain")
    try:
        if host is None or service.lookup.serves_host(host):
            return _response(text_answer("200 OK", "ok"))
    except Refused as refusal:
        return _response(refusal.answer)
    return _response(text_answer("404 Not Found", "That host is not served."))


def _readiness() -> Response:
    """Report whether the hooks and a valid configuration are loaded."""
    service: Service = current_app.extensions["autoconfig"]
    is_ready = service.live.current().lookup.is_ready
    try:
        service.hooks.functions.load()
    except Exception:  # whatever the module of the hooks raises; each request logs it
        is_ready = False
    return _response(text_answer("200 OK", "ok") if is_ready else UNAVAILABLE)


def _redirect_to_page() -> Response:
    """Redirect the root to the page, for people who type only the host name."""
    service: Service = current_app.extensions["autoconfig"]
    page = service.path_of("page")
    if page is None:
        return _response(NOT_SERVED)
    target = request.root_path.rstrip("/") + page
    return _response(text_answer("302 Found", target, ("Location", target)))


def _wrong_method(error: Any) -> Response:
    return _response(wrong_method(sorted(error.valid_methods), preflights=False))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _stop_gunicorn(error: ConfigError) -> None:
    """Under the `gunicorn` command, exit with the problems instead of a traceback."""
    if "gunicorn.app.wsgiapp" in sys.modules:
        from gunicorn.errors import AppImportError

        class FaultyError(AppImportError, RuntimeError):  # type: ignore[misc]
            """AppImportError ends a worker, RuntimeError a preload, without a traceback."""

        raise FaultyError(str(error)) from None
