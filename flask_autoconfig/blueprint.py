"""The Flask door: a blueprint for an existing site.

State belongs to the app (`app.extensions["autoconfig"]`), so that one process may hold
several apps, each with a file of its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from flask import Blueprint, Flask, Response, abort, request
from flask import Request as FlaskRequest
from werkzeug.datastructures import Headers
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter

from . import families
from .answers import Answer, Request
from .errors import ConfigError, Problem
from .families import Family, Route
from .files import DEFAULT_FILE, file_in_environment
from .service import Hook, Hooks, Service

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment
    from flask.sansio.app import App
    from flask.sansio.blueprints import BlueprintSetupState

HookT = TypeVar("HookT", bound=Hook)


class Autoconfig(Blueprint):
    """Answers mail clients from one TOML file: `app.register_blueprint(Autoconfig())`.

    It reads these keys of `app.config`:

    - `AUTOCONFIG_FILE`: the TOML file; a relative path counts from `app.root_path`.
      Without it the environment variable of that name, then `autoconfig.toml` in the
      instance folder, then beside the app.
    - `AUTOCONFIG_CLIENTS`: the client families to serve; by default those of the
      environment variable of that name, then the file's `clients`. They count at
      registration, since Flask's routes are fixed then.

    Registering raises ConfigError where no file is found or it is faulty.
    """

    # Whether the families that are served may change while the app runs.
    is_live: ClassVar[bool] = False

    def __init__(
        self, name: str = "autoconfig", import_name: str = "flask_autoconfig"
    ) -> None:
        super().__init__(name, import_name, template_folder="page/templates")
        self._hooks = Hooks()
        self.record(self._set_up)

    def find_provider(self, function: HookT) -> HookT:
        """Decorate a function from a domain (A-labels) to a provider's id or None.

        It is asked for domains that the file does not know.
        """
        self._hooks.find_provider = function
        return function

    def find_username(self, function: HookT) -> HookT:
        """Decorate a function from an address to its login name or None.

        It is for logins that are no placeholder. None leaves what the file says; so that
        nobody can tell which mailboxes exist, it should give a name for those that do
        not exist as well.
        """
        self._hooks.find_username = function
        return function

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Register on an app, as `app.register_blueprint` does; raises ConfigError."""
        if options.get("url_prefix"):
            raise _refusal(
                "url_prefix",
                "mail clients ask at the root of the host, never under a prefix",
                "register it without url_prefix; subdomain= works",
            )
        _refuse_useless(app, options)
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
            fixed=not self.is_live,
            hooks=self._hooks,
        )

        app.extensions["autoconfig"] = service
        options: dict[str, Any] = {"provide_automatic_options": False}
        if app.url_map.host_matching:
            options["host"] = state.options.get("host", "<autoconfig_host>")

        for family in families.FAMILIES if self.is_live else service.at_start:
            routes = {_rule(app, route): route for route in family.routes}
            view = _view(service, family, routes, is_live=self.is_live)
            for rule, route in routes.items():
                methods = list(_ANY_METHOD if self.is_live else route.methods)
                state.add_url_rule(rule, family.name, view, methods=methods, **options)


def _rule(app: App, route: Route) -> str:
    """The route's path in Flask's words."""
    if not (route.rest or route.any_case):
        return route.path
    pattern = re.escape(route.path.removeprefix("/")) + route.rest
    converter = "autoconfig_" + re.sub(r"\W", "_", route.path)

    class Path(BaseConverter):
        """What has several spellings, or goes on after its beginning."""

        part_isolating = False
        weight = 0  # before a site's own catch-all
        regex = f"(?i:{pattern})" if route.any_case else pattern

    app.url_map.converters[converter] = Path
    return f"/<{converter}:autoconfig_path>"


# Where families may be off, a wrong method of one that is off is no other than a right
# one: it is nobody's, and not refused in the name of what is not there.
_ANY_METHOD = (
    *("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"),
    *("PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"),
)


def _view(
    service: Service, family: Family, routes: dict[str, Route], *, is_live: bool
) -> Callable[..., Response]:
    """Answers a family's requests; `routes` are its routes by Flask's rule."""

    def view(**_: str) -> Response:  # the host's and the path's variables: not needed
        if is_live and family not in service.families:
            abort(404)
        now: FlaskRequest = request._get_current_object()  # type: ignore[attr-defined]
        assert now.url_rule is not None  # noqa: S101 (Flask came here by it)
        route = routes[now.url_rule.rule]
        if is_live and now.method not in (*route.methods, "HEAD"):
            raise MethodNotAllowed([*route.methods, "HEAD"])
        environ = now.environ
        query = environ["QUERY_STRING"]
        asked = Request(now.path, query, now.host, now.method, environ)
        answer = route.handler(service, asked)
        return _Prepared(answer.for_request(environ))

    view.__name__ = family.name
    return view


def _refuse_useless(app: App, options: dict[str, Any]) -> None:
    """Refuse options that Flask would take and then never match a request with."""
    matches_hosts = app.url_map.host_matching
    matches_subdomains = app.subdomain_matching and not matches_hosts
    if options.get("subdomain") and not matches_subdomains:
        raise _refusal(
            "subdomain",
            "this app does not match subdomains: nothing would be answered",
            "make it with Flask(…, subdomain_matching=True) and set SERVER_NAME, or "
            "register without subdomain to answer on every host",
        )

    if options.get("host") and not matches_hosts:
        raise _refusal(
            "host",
            "this app does not match hosts: it would be answered on all of them",
            "make it with Flask(…, host_matching=True), or register without host",
        )


def _refusal(place: str, message: str, cure: str) -> ConfigError:
    return ConfigError([Problem(place, message, cure)], "flask_autoconfig")


class _Prepared(Response):
    """An answer's response: its headers are complete, nothing is worked out again."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body, answer.status)
        self.headers[:] = answer.headers

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        return self.headers


def find_file(app: App) -> Path:
    """The TOML file of a Flask app; raises ConfigError where there is none."""
    root = Path(app.root_path)
    named = app.config.get("AUTOCONFIG_FILE") or file_in_environment()
    if isinstance(named, str | os.PathLike):
        return root / named
    if named:
        message = f"expected a path, got {named!r}"
        problem = Problem("AUTOCONFIG_FILE", message, 'write "autoconfig.toml"')
        raise ConfigError([problem], app.import_name)

    candidates = [root / DEFAULT_FILE]
    if isinstance(app, Flask):
        candidates.insert(0, Path(app.instance_path) / DEFAULT_FILE)
    for candidate in candidates:
        if candidate.is_file():
            return candidate

    looked = " or ".join(map(str, candidates))
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
