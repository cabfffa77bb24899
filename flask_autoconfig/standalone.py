"""The service by itself, under gunicorn or any other WSGI server.

It is the middleware around a small Flask app that knows only `/healthz`, `/` (which leads
to the page for people) and 404.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from .answers import NO_STORE, NOT_SERVED, TEXT, UNAVAILABLE, Answer, in_words
from .errors import ConfigError, Problem
from .files import DEFAULT_FILE, file_in_environment
from .hooks import HookFailed, Hooks
from .importing import imported, name_in_environment
from .middleware import AutoconfigMiddleware
from .service import Service, log_fault


class _App(Flask):
    """The small app behind the door."""

    def log_exception(self, exc_info: Any) -> None:
        """Log where an error was raised; Flask's own line has the path and more."""
        log_fault("The service", exc_info[1])


def create_app(
    config: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    *,
    proxies: int = 0,
    hooks: object = None,
) -> Flask:
    """The standalone service, a WSGI app: `gunicorn 'flask_autoconfig:create_app()'`.

    `config` is the TOML file or a mapping of Flask's configuration keys; by default the
    file is the environment's `AUTOCONFIG_FILE`, or `autoconfig.toml` in the working
    directory. `proxies` is how many proxies before it are trusted to say the host and
    the scheme. `hooks` is an object or module with `find_provider`, `find_username` or
    both, or the name of one, `MODULE` or `MODULE:OBJECT`, which is imported here; by
    default that name is the environment's `AUTOCONFIG_HOOKS`. Raises ConfigError where
    the file is missing or faulty, or the hooks are none.
    """
    app = _App("flask_autoconfig", static_folder=None)
    if isinstance(config, Mapping):
        app.config.from_mapping(config)
        config = None
    app.add_url_rule("/healthz", "healthz", _health, provide_automatic_options=False)
    app.add_url_rule("/", "root", _to_the_page, provide_automatic_options=False)
    app.register_error_handler(HTTPException, _in_words)
    try:
        given = _hooks(hooks)
        door = AutoconfigMiddleware(
            app.wsgi_app,
            _source(app, config),
            clients=app.config.get("AUTOCONFIG_CLIENTS"),
            find_provider=given.find_provider,
            find_username=given.find_username,
            strict=True,  # no site stands behind it that must go on
        )
    except ConfigError as error:
        _stop_gunicorn(error)
        raise
    app.extensions["autoconfig"] = door.service
    app.wsgi_app = door  # type: ignore[method-assign]
    if proxies:  # around all of it, so that an access log has the client's address
        from werkzeug.middleware.proxy_fix import ProxyFix

        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )
    return app


def _source(
    app: Flask, file: str | os.PathLike[str] | None
) -> str | os.PathLike[str] | Mapping[str, Any]:
    """The configuration itself, or the file that has it, which the app's keys name."""
    mapping = app.config.get("AUTOCONFIG")
    if isinstance(mapping, Mapping) and file is None:
        return mapping
    named = file or app.config.get("AUTOCONFIG_FILE") or file_in_environment()
    if named is not None and not isinstance(named, str | os.PathLike):
        message = f"expected a path, got {named!r}"
        problem = Problem("AUTOCONFIG_FILE", message, 'write "autoconfig.toml"')
        raise ConfigError([problem], "flask_autoconfig")
    app.config["AUTOCONFIG_FILE"] = file = Path(named or DEFAULT_FILE).absolute()
    return file


def _hooks(source: object) -> Hooks:
    if source is None:
        source = name_in_environment()
    if source is None:
        return Hooks()
    if isinstance(source, Hooks):
        return source
    if isinstance(source, str):
        return imported(source)
    try:
        return Hooks.of(source)
    except TypeError as error:
        cure = "give an object or module with one of them"
        raise ConfigError([Problem("hooks", str(error), cure)]) from error


def _health() -> Response:
    """Whether the service is well; with `?domain=HOST`, whether it serves that host.

    The second is what Caddy asks before it gets a certificate for a name.
    """
    service: Service = current_app.extensions["autoconfig"]
    asked = dict(
        parse_qsl(request.environ["QUERY_STRING"][:1024], keep_blank_values=True)
    )
    host = asked.get("domain")
    try:
        if host is None or service.lookup.serves_host(host):
            return _response(in_words("200 OK", "ok"))
    except HookFailed:
        return _response(UNAVAILABLE)
    return _response(in_words("404 Not Found", "That host is not served."))


def _to_the_page() -> Response:
    """Whoever types the bare host name is a person."""
    service: Service = current_app.extensions["autoconfig"]
    page = service.path_of("page")
    if page is None:
        return _response(NOT_SERVED)
    target = request.root_path.rstrip("/") + page
    headers = [("Location", target), ("Content-Type", TEXT), NO_STORE]
    return _response(Answer("302 Found", f"{target}\n".encode(), headers))


def _in_words(error: HTTPException) -> Response:
    """What is not there, or cannot be done so, told in a line of text."""
    if error.code == 404:
        return _response(NOT_SERVED)
    response = _response(in_words(f"{error.code} {error.name}", f"{error.name}."))
    response.headers.extend(
        pair for pair in error.get_headers() if pair[0] != "Content-Type"
    )
    return response


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)


def _stop_gunicorn(error: ConfigError) -> None:
    """Under gunicorn's own command: end with the problems, without a traceback."""
    if "gunicorn.arbiter" in sys.modules:
        from gunicorn.errors import AppImportError

        class FaultyError(AppImportError, RuntimeError):  # type: ignore[misc]
            """The one ends a worker with its words alone, the other a preload."""

        raise FaultyError(error.shown()) from None
