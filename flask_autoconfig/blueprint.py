"""The Flask blueprint for an existing site.

Its state is in `app.extensions["autoconfig"]`, so that one process may hold several apps,
each with its own file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from wsgiref.types import WSGIEnvironment

from flask import (
    Blueprint,
    Flask,
    Response,
    current_app,
    has_request_context,
    request,
    request_started,
)
from flask import Request as FlaskRequest
from werkzeug.datastructures import Headers
from werkzeug.routing import BaseConverter

from . import families
from .address import is_authority
from .answers import PRIVATE, Answer, Request
from .config.building import plain
from .config.reading import Loaded, from_raw
from .errors import ConfigError
from .families import FamilyRoute, Route
from .files import DEFAULT_FILE, file_in_environment
from .hooks import FindProvider, FindUsername, Functions, Hooks
from .reload import log
from .service import Service, Settings

if TYPE_CHECKING:
    from flask.sansio.app import App
    from flask.sansio.blueprints import BlueprintSetupState

FindProviderT = TypeVar("FindProviderT", bound=FindProvider)
FindUsernameT = TypeVar("FindUsernameT", bound=FindUsername)


class Autoconfig(Blueprint):
    """Answers mail clients from one TOML file: `app.register_blueprint(Autoconfig())`.

    It reads these keys of `app.config`:

    - `AUTOCONFIG`: the configuration itself, a mapping with the TOML's keys.
    - `AUTOCONFIG_FILE`: the TOML file, relative to `app.root_path`. The default is the
      environment variable of that name, then `autoconfig.toml` in the instance folder,
      then beside the app.
    - `AUTOCONFIG_CLIENTS`: the client families to serve. The default is the environment
      variable of that name, then the file's `clients`. They are fixed at registration,
      as Flask's routes are.
    - `AUTOCONFIG_STRICT`: whether a faulty file stops the app.
    - `AUTOCONFIG_PAGE_CSP`: the page's Content-Security-Policy, "" for none.
    - `AUTOCONFIG_LOCALE`: a folder with message catalogs of the page
      (`de/LC_MESSAGES/autoconfig.mo`) that override the built-in ones.

    Registering raises ConfigError if no file is configured or found, and for a faulty
    mapping. A configured file that is missing or faulty raises it only with `app.debug`,
    `app.testing` or `AUTOCONFIG_STRICT`. Otherwise its problems are logged, and clients
    get 503 until the file is corrected.

    Endpoints for `url_for`: `autoconfig.setup`, the page (`emailaddress=`), and
    `autoconfig.profile`, the Apple profile (`emailaddress=`).
    """

    def __init__(
        self, name: str = "autoconfig", import_name: str = "flask_autoconfig"
    ) -> None:
        if not isinstance(name, str):  # an app, as other extensions take it
            raise TypeError(
                f"the first argument is the blueprint's name, got {name!r}: write "
                "app.register_blueprint(Autoconfig())"
            )
        super().__init__(name, import_name, template_folder="page/templates")
        self.functions = Functions()
        self.record(self._set_up)
        self.url_value_preprocessor(self._keep_body)
        self.app_context_processor(lambda: {"autoconfig_settings": self.settings})

    def find_provider(self, function: FindProviderT) -> FindProviderT:
        """Decorate a function from a domain (A-labels) to its provider.

        It returns the id of a provider in the file, a `Provider`, a mapping with the keys
        of `[[provider]]`, or None, and is called for domains that are not in the file.
        The results of all hooks are cached for the file's `hook_max_age`. All decorators
        raise TypeError for an async function.
        """
        self.functions.set(find_provider=function)
        return function

    def find_provider_by_address(self, function: FindProviderT) -> FindProviderT:
        """Decorate a function from an address to its own provider, or None.

        It is for users of one domain with different servers. It returns what
        `find_provider` returns, None to use the domain's provider, and is called for any
        address before the file and `find_provider` are used. A document for a whole domain
        (PACC, DNS, no address in the request) is that of the domain. So that nobody can
        find out which mailboxes exist, it must return a provider for others too.
        """
        self.functions.set(find_provider_by_address=function)
        return function

    def find_username(self, function: FindUsernameT) -> FindUsernameT:
        """Decorate a function from an address to its login name or None.

        It is for login names that no placeholder expresses. For None the file's
        `username` is used. So that nobody can find out which mailboxes exist, it should
        return a name for others too.
        """
        self.functions.set(find_username=function)
        return function

    def settings(self, address: str | None) -> Settings | None:
        """Return the settings of an address; None if not served or not available now.

        It needs an app context; templates call `autoconfig_settings(address)`. In a
        request the URLs have the requested host, else `https://autoconfig.DOMAIN`.
        """
        service: Service | None = current_app.extensions.get("autoconfig")
        if service is None:
            raise RuntimeError(
                "this app has no autoconfig: app.register_blueprint(autoconfig) first"
            )
        environ = request.environ if has_request_context() else None
        return service.settings(address, environ)

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Register on an app; raises ConfigError."""
        if options.get("url_prefix"):
            raise ConfigError.of(
                "url_prefix",
                "mail clients send requests to the root of the host, never to a prefix",
                "register it without url_prefix; subdomain= works",
            )
        matches = app.subdomain_matching and not app.url_map.host_matching
        if options.get("subdomain") and not matches:
            raise ConfigError.of(
                "subdomain",
                "this app does not match subdomains: no request would be answered",
                "create it with Flask(…, subdomain_matching=True) and set SERVER_NAME, or "
                "register without subdomain to answer on every host",
            )
        folder = app.config.get("AUTOCONFIG_LOCALE")
        if folder is not None and not Path(app.root_path, str(folder)).is_dir():
            message = f"there is no folder {folder!r}"
            cure = "set one that has catalogs"
            raise ConfigError.of("AUTOCONFIG_LOCALE", message, cure)
        super().register(app, options)

    def _set_up(self, state: BlueprintSetupState) -> None:
        app = state.app
        service = Service(
            source_of(app),
            clients=app.config.get("AUTOCONFIG_CLIENTS"),
            hooks=Hooks(self.functions),
            strict=_is_strict(app),
            in_site=True,
        )
        app.extensions["autoconfig"] = service
        # A site may initialize Flask-WTF at any time before the first request.
        request_started.connect(self._exempt_from_csrf, app)
        _warn_of_refused_hosts(app, service)
        # Wrong methods are answered here, not by the site's error page.
        options: dict[str, Any] = {"methods": families.METHODS}
        options["provide_automatic_options"] = False
        if app.url_map.host_matching:
            options["host"] = state.options.get("host", f"<{_HOST}>")
            if "host" not in state.options:
                app.url_defaults(partial(_add_host, f"{state.name}."))
        routes: dict[str, FamilyRoute] = {}  # by Flask's rule
        views: dict[str, Callable[..., Response]] = {}  # by endpoint
        for family in service.at_start:
            for route in family.routes:
                rule, endpoint = _rule(app, route), route.endpoint or family.name
                routes[rule] = default = FamilyRoute(family.name, route)
                view = views.setdefault(endpoint, _view(app, service, routes, default))
                for subdomain in _subdomains(state):
                    options["subdomain"] = subdomain
                    state.add_url_rule(rule, endpoint, view, **options)

    def _exempt_from_csrf(self, app: Flask, **_: object) -> None:
        """Exempt the views from Flask-WTF's CSRF check, at the app's first request.

        The views change nothing, and Outlook sends POST without a token.
        """
        csrf = app.extensions.get("csrf")
        if csrf is not None and hasattr(csrf, "exempt"):
            csrf.exempt(self)
        request_started.disconnect(self._exempt_from_csrf, app)

    def _keep_body(self, _endpoint: object, _values: object) -> None:
        """Keep the site from consuming, as a form, the XML in the body of a request."""
        if request.method == "POST":
            request.environ["CONTENT_TYPE"] = "text/xml"


def _add_host(prefix: str, endpoint: str, values: dict[str, Any]) -> None:
    """Let `url_for` use the requested host in an app with host matching."""
    if endpoint.startswith(prefix) and _HOST not in values:
        host = request.host if has_request_context() else None
        values[_HOST] = host or current_app.config["SERVER_NAME"]


_HOST = "autoconfig_host"  # the variable in the rules of an app that matches hosts


def _subdomains(state: BlueprintSetupState) -> tuple[str | None, ...]:
    app = state.app
    if app.url_map.host_matching or not app.subdomain_matching:
        return (state.subdomain,)
    subdomain = state.subdomain or app.url_map.default_subdomain
    return tuple(dict.fromkeys([subdomain, *families.labels()]))


def _rule(app: App, route: Route) -> str:
    if route.has_one_spelling:
        return route.path
    converter = "autoconfig_" + re.sub(r"\W", "_", route.path)

    class Path(BaseConverter):
        part_isolating = False
        weight = 0  # precedes a site's own catch-all
        regex = route.pattern.replace("/", "", 1)

    app.url_map.converters[converter] = Path
    return f"/<{converter}:autoconfig_path>"


def _view(
    app: App, service: Service, routes: dict[str, FamilyRoute], default: FamilyRoute
) -> Callable[..., Response]:
    def autoconfig_view(**_: str) -> Response:
        current: FlaskRequest = request._get_current_object()  # type: ignore[attr-defined]
        # A site may add rules of its own for this view, such as one with a final slash.
        family_route = routes.get(str(current.url_rule), default)
        environ = current.environ
        body: bytes | None = getattr(current, "_cached_data", None)
        if body:  # the site has read the stream before this view
            environ = {**environ, "wsgi.input": BytesIO(body)}
        host = environ.get("HTTP_HOST", "")
        if not is_authority(host) or host.endswith((":80", ":443")):
            host = current.host  # "", or without the port that the scheme implies
        query, method = environ["QUERY_STRING"], current.method
        plain_request = Request(current.path, query, host, method, environ)
        answer = service.answer_at(family_route, plain_request)
        response_class: Any = app.response_class
        if response_class is Response:
            return _Prepared(answer)
        return response_class(answer.body, answer.status, answer.headers)  # type: ignore[no-any-return]

    return autoconfig_view


class _Prepared(Response):
    """A response with the complete headers of an answer.

    They are copied only when the site reads or changes them.
    """

    def __init__(self, answer: Answer) -> None:
        super().__init__([answer.body], answer.status, _NO_DEFAULTS)
        del self.headers
        self._answer = answer

    @cached_property
    def headers(self) -> Headers:  # type: ignore[override]
        headers = Headers()
        headers[:] = self._answer.headers
        return headers

    def get_wsgi_response(
        self, environ: WSGIEnvironment
    ) -> tuple[Iterable[bytes], str, list[tuple[str, str]]]:
        if "headers" in vars(self):
            return super().get_wsgi_response(environ)
        return self.get_app_iter(environ), self.status, list(self._answer.headers)

    def get_wsgi_headers(self, environ: WSGIEnvironment) -> Headers:
        if "Set-Cookie" in self.headers:  # set by the site for one visitor
            self.headers["Cache-Control"] = PRIVATE[1]
        return self.headers


_NO_DEFAULTS = Headers([("Content-Type", "")])  # saves Response from computing its own


# --- The app's configuration ------------------------------------------------------------


def source_of(app: App) -> Path | Loaded:
    """Return the app's configuration file, or what its mapping holds.

    Raises ConfigError, also for a faulty mapping.
    """
    mapping = app.config.get("AUTOCONFIG")
    if mapping is None:
        return _file_of(app)
    if not isinstance(mapping, Mapping):
        message = f"expected a mapping with the TOML's keys, got {mapping!r}"
        cure = "set the path of a file as AUTOCONFIG_FILE"
        raise ConfigError.of("AUTOCONFIG", message, cure)
    try:
        return from_raw(plain(mapping), base=app.root_path)
    except ConfigError as error:
        raise ConfigError(error.problems, "AUTOCONFIG") from error


def _file_of(app: App) -> Path:
    root = Path(app.root_path)
    file = app.config.get("AUTOCONFIG_FILE") or file_in_environment()
    if isinstance(file, str | os.PathLike):
        return root / file
    cure = 'set app.config["AUTOCONFIG_FILE"] to your autoconfig.toml'
    if file:
        raise ConfigError.of("AUTOCONFIG_FILE", f"expected a path, got {file!r}", cure)
    folders = [Path(app.instance_path), root] if isinstance(app, Flask) else [root]
    candidates = [folder / DEFAULT_FILE for folder in folders]
    if file := next(filter(Path.is_file, candidates), None):
        return file
    paths = " or ".join(map(str, candidates))
    message = f"no configuration: it is not set, and there is no {paths}"
    raise ConfigError.of("AUTOCONFIG_FILE", message, cure)


def _is_strict(app: App) -> bool:
    value = app.config.get("AUTOCONFIG_STRICT", os.environ.get("AUTOCONFIG_STRICT"))
    return is_on(value) or bool(app.debug) or bool(app.testing)


def is_on(value: object) -> bool:
    return str(value or "").lower() not in ("", "false", "0", "no", "off")


def _warn_of_refused_hosts(app: App, service: Service) -> None:
    """Log the host names of clients that the site's `TRUSTED_HOSTS` refuses."""
    trusted = app.config.get("TRUSTED_HOSTS")
    if not trusted:
        return
    from werkzeug.sansio.utils import host_is_trusted

    labels = [family.label for family in service.at_start if family.label]
    providers = service.live.built.lookup.snapshot.loaded.providers
    domains = (name for provider in providers for name in provider.exact_domains)
    hosts = (f"{label}.{name}" for name in islice(domains, 3) for label in labels)
    refused = [host for host in hosts if not host_is_trusted(host, trusted)]
    if refused:
        log.warning(
            "TRUSTED_HOSTS refuses the requests of mail clients to %s: add these names, "
            'or ".example.com" for a domain and all its subdomains',
            ", ".join(refused),
        )


autoconfig = Autoconfig()
