"""The WSGI door: in front of any application, as whitenoise stands there.

    application = AutoconfigMiddleware(application, "autoconfig.toml")

What mail clients ask is answered here, before the application's own login, limits and
CSRF protection; everything else passes untouched. In a Flask site that wants its own
rules and templates to count, register the blueprint instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers import Request
from .config.mapping import plain
from .config.reading import from_raw
from .hooks import FindProvider, FindUsername, Hooks
from .service import Service
from .settings import Settings, settings_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class AutoconfigMiddleware:
    """Answers mail clients from one TOML file, and passes all else to an application.

    `file` is the TOML file, or a mapping with its keys; a relative path counts from the
    working directory. A file that is faulty or not there stops nothing but the answers:
    the log has its problems, and clients get 503 until it is mended; with `strict` it
    raises ConfigError. A faulty mapping always raises it, as do `clients`, the names of
    the families that are served (before the file's own), where one is unknown. `proxies`
    is how many proxies in front are trusted to say the host and the scheme: to the
    application nothing changes.

    `find_provider` takes a domain (A-labels) and gives the id of a provider in the file,
    a `Provider`, a mapping with the keys of `[[provider]]`, or None; it is asked for
    domains that the file does not know. `find_username` takes an address and gives the
    login name, or None for what the file says.
    """

    def __init__(
        self,
        app: WSGIApplication,
        file: str | os.PathLike[str] | Mapping[str, Any],
        *,
        clients: Iterable[str] | str | None = None,
        proxies: int = 0,
        find_provider: FindProvider | None = None,
        find_username: FindUsername | None = None,
        strict: bool = False,
    ) -> None:
        self.app = app
        self.service = Service(
            from_raw(plain(file))
            if isinstance(file, Mapping)
            else Path(file).absolute(),
            clients=clients,
            hooks=Hooks(find_provider, find_username),
            strict=strict,
        )
        self._live = self.service.live
        self._forwarded = _believing(proxies) if proxies else None

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer the request, or let the application do so (PEP 3333)."""
        path = environ.get("PATH_INFO", "")
        try:
            found = self._live.current().router.find(path)
        except TypeError:  # of a server that gives no text
            found = None
        if found is None:
            return self.app(environ, start_response)
        if self._forwarded is not None:
            environ = self._forwarded(environ)
        if not path.isascii():  # WSGI hands bytes over as latin-1
            path = path.encode("latin-1", "replace").decode("utf-8", "replace")
        method = environ.get("REQUEST_METHOD", "GET")
        query, host = environ.get("QUERY_STRING") or "", environ.get("HTTP_HOST") or ""
        request = Request(path, query, host, method, environ)
        answer = self.service.answer_at(found, request)
        start_response(answer.status, list(answer.headers))
        return () if method == "HEAD" else (answer.body,)

    def settings(
        self, address: str, environ: WSGIEnvironment | None = None
    ) -> Settings | None:
        """The settings of an address, None where none are served or can be told now.

        With the `environ` of a request, its URLs are at the host that was asked.
        """
        if environ is not None and self._forwarded is not None:
            environ = self._forwarded(environ)
        return settings_of(self.service, address, environ)


def _believing(proxies: int) -> Any:
    """What gives the request as that many trusted proxies say that it was."""
    from werkzeug.middleware.proxy_fix import ProxyFix

    fix = ProxyFix(_nobody, x_for=proxies, x_proto=proxies, x_host=proxies)

    def forwarded(environ: WSGIEnvironment) -> WSGIEnvironment:
        fixed = dict(environ)
        fix(fixed, _unheard)
        return fixed

    return forwarded


def _nobody(_environ: WSGIEnvironment, _start: StartResponse) -> Iterable[bytes]:
    return ()


def _unheard(*_: object) -> Any:
    """Nothing is answered while a request is being read."""
