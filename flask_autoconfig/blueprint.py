"""The Flask door: a blueprint for an existing site.

State belongs to the app (`app.extensions["autoconfig"]`), so that one process may hold
several apps, each with a file of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flask import Blueprint, Flask, Response, request
from werkzeug.datastructures import Headers

from .errors import ConfigError, Problem
from .service import Answer, Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask.sansio.app import App
    from flask.sansio.blueprints import BlueprintSetupState

FindProvider = TypeVar("FindProvider", bound=Callable[[str], str | None])


class Autoconfig(Blueprint):
    """Answers mail clients from one TOML file: `app.register_blueprint(Autoconfig())`.

    It reads these keys of `app.config`:

    - `AUTOCONFIG_FILE`: the TOML file; a relative path counts from `app.root_path`.
      Without it the environment variable of that name, then `autoconfig.toml` in the
      instance folder, then beside the app.
    - `AUTOCONFIG_CLIENTS`: the set of client families to serve; all by default.

    Registering raises ConfigError where no file is found or it is faulty.
    """

    def __init__(
        self, name: str = "autoconfig", import_name: str = "flask_autoconfig"
    ) -> None:
        super().__init__(name, import_name)
        self._find_provider: Callable[[str], str | None] | None = None
        self.record(self._set_up)

    def find_provider(self, function: FindProvider) -> FindProvider:
        """Decorate a function from a domain (A-labels) to a provider's id or None.

        It is asked for domains that the file does not know.
        """
        self._find_provider = function
        return function

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Register on an app, as `app.register_blueprint` does; raises ConfigError."""
        if options.get("url_prefix"):
            raise _refusal(
                "url_prefix",
                "mail clients ask at the root of the host, never under a prefix",
                "register it without url_prefix; subdomain= works",
            )
        if "autoconfig" in app.extensions:
            raise _refusal(
                "register_blueprint", "this app has it already", "register it once"
            )
        super().register(app, options)

    def _set_up(self, state: BlueprintSetupState) -> None:
        app = state.app
        service = Service(
            find_file(app),
            clients=app.config.get("AUTOCONFIG_CLIENTS"),
            find_provider=lambda domain: (
                self._find_provider(domain) if self._find_provider else None
            ),
        )
        app.extensions["autoconfig"] = service
        options: dict[str, Any] = {"provide_automatic_options": False}
        if app.url_map.host_matching:
            options["host"] = state.options.get("host", "<autoconfig_host>")
        view = partial(_config, service)
        for path in service.paths:
            state.add_url_rule(path, "config", view, methods=["GET"], **options)


def _refusal(place: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(place, message, cure)], "flask_autoconfig")


class _Prepared(Response):
    """An answer's response: its headers are complete, nothing is worked out again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body, answer.status)
        self.headers[:] = answer.headers

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def _config(service: Service, **_: str) -> Response:
    """Answer from the app's own service; the host's variables are not needed."""
    environ = request.environ
    answer = service.answer(request.path, environ["QUERY_STRING"], request.host)
    assert answer is not None  # noqa: S101 (only the service's own paths are routed)
    return _Prepared(answer.for_request(environ))


def find_file(app: App) -> Path:
    """The TOML file of a Flask app; raises ConfigError where there is none."""
    root = Path(app.root_path)
    named = app.config.get("AUTOCONFIG_FILE") or os.environ.get("AUTOCONFIG_FILE")
    if named:
        return root / named
    places = [root / "autoconfig.toml"]
    if isinstance(app, Flask):
        places.insert(0, Path(app.instance_path) / "autoconfig.toml")
    for place in places:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in places)
    raise ConfigError(
        [
            Problem(
                "AUTOCONFIG_FILE",
                f"no configuration: it is not set, and there is no {looked}",
                'set app.config["AUTOCONFIG_FILE"] to your autoconfig.toml',
            )
        ],
        app.import_name,
    )


autoconfig = Autoconfig()
