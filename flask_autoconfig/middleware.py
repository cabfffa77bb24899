"""WSGI middleware in front of any application.

    application = AutoconfigMiddleware(application, "autoconfig.toml")

The requests of mail clients are answered before the application's own login, limits and
CSRF protection; all others are passed on unchanged. Register the blueprint instead in a
Flask site whose own templates and request handlers should apply.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# Imported here, since the modules of Werkzeug import each other: two threads that are
# the first to import one could get a module that is not complete.
import werkzeug  # noqa: F401

from .answers import Request
from .config.building import plain
from .config.reading import Loaded, from_raw
from .hooks import FindProvider, FindUsername, Functions, Hooks
from .service import Service, Settings


class AutoconfigMiddleware:
    """Answers mail clients from one TOML file, and passes other requests on.

    `file` is the TOML file, relative to the working directory, or a mapping with its
    keys. A faulty or missing file is logged, and clients get 503 until it is corrected;
    with `strict` it raises ConfigError, as a faulty mapping always does. `clients` names
    the families to serve and overrides the file's own; an unknown name raises ConfigError.
    `proxies` is the number of trusted proxies that set the X-Forwarded headers; the
    application's own requests do not change.

    `find_provider`, `find_provider_by_address` and `find_username` are the hooks of
    :class:`Autoconfig`'s decorators; an async function raises TypeError. They are called
    in an application context of `flask_app`, a `Flask`, if it is given.
    """

    def __init__(
        self,
        app: WSGIApplication,
        file: str | os.PathLike[str] | Mapping[str, Any] | Loaded,
        *,
        clients: Iterable[str] | str | None = None,
        proxies: int = 0,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
        find_provider_by_address: FindProvider | None = None,
        flask_app: Any = None,
        strict: bool = False,
    ) -> None:
        self.app = app
        functions = Functions(
            find_provider=find_provider,
            find_username=find_username,
            find_provider_by_address=find_provider_by_address,
        )
        if flask_app is not None:
            for name, function in functions.items():
                functions[name] = function and within(flask_app, function)
        self.service = Service(
            from_raw(plain(file)) if isinstance(file, Mapping) else file,
            clients=clients,
            hooks=Hooks(functions),
            strict=strict,
        )
        self._live = self.service.live
        self._forwarded = _forwarded_by(proxies) if proxies else None

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer the request, or call the application (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        family_route = self._live.current().router.find(path)
        if family_route is None:
            return self.app(environ, start_response)
        if self._forwarded is not None:
            environ = self._forwarded(environ)
        if not path.isascii():  # WSGI passes bytes as latin-1
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        method = environ.get("REQUEST_METHOD", "GET")
        query, host = environ.get("QUERY_STRING") or "", environ.get("HTTP_HOST") or ""
        request = Request(path, query, host, method, environ)
        answer = self.service.answer_at(family_route, request)
        start_response(answer.status, list(answer.headers))
        return () if method == "HEAD" else (answer.body,)

    def settings(
        self, address: str, environ: WSGIEnvironment | None = None
    ) -> Settings | None:
        """Return the settings of an address; None if not served or not available now.

        With the `environ` of a request, the URLs have the requested host.
        """
        if environ is not None and self._forwarded is not None:
            environ = self._forwarded(environ)
        return self.service.settings(address, environ)


def within(app: Any, function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a function that calls *function* in a new application context of *app*."""

    def call(key: str) -> Any:
        with app.app_context():
            return function(key)

    return call


def _forwarded_by(proxies: int) -> Callable[[WSGIEnvironment], WSGIEnvironment]:
    """Return a function that applies the X-Forwarded headers of trusted proxies."""
    from werkzeug.middleware.proxy_fix import ProxyFix

    def return_environ(environ: WSGIEnvironment, _start: StartResponse) -> Any:
        return environ

    # An application that returns the environ which ProxyFix has changed.
    fix: Any = ProxyFix(return_environ, x_for=proxies, x_proto=proxies, x_host=proxies)
    return lambda environ: fix(dict(environ), None)
