"""The Flask door: a blueprint for an existing site.

State belongs to the app (`app.extensions["autoconfig"]`), so that one process may hold
several apps, each with a file of its own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from flask import Blueprint, Flask, Response, render_template, request
from markupsafe import Markup
from werkzeug.datastructures import Headers
from werkzeug.exceptions import MethodNotAllowed
from werkzeug.routing import BaseConverter
from werkzeug.wsgi import get_input_stream

from .address import Address, address_in_query, unfold
from .documents import outlook
from .errors import ConfigError, Problem
from .service import (
    BAD_ADDRESS,
    DAV_PATHS,
    ISPDB,
    PAGE,
    Answer,
    Found,
    Hook,
    Hooks,
    Service,
)

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
    - `AUTOCONFIG_CLIENTS`: the set of client families to serve; all by default.

    Registering raises ConfigError where no file is found or it is faulty.
    """

    def __init__(
        self, name: str = "autoconfig", import_name: str = "flask_autoconfig"
    ) -> None:
        super().__init__(name, import_name, template_folder="templates")
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
            hooks=self._hooks,
        )
        app.extensions["autoconfig"] = service
        options: dict[str, Any] = {"provide_automatic_options": False}
        if app.url_map.host_matching:
            options["host"] = state.options.get("host", "<autoconfig_host>")

        def add(
            name: str, view: View, methods: list[str], paths: Iterable[str]
        ) -> None:
            view = partial(view, service)
            for path in paths:
                state.add_url_rule(path, name, view, methods=methods, **options)

        add("config", _config, ["GET"], service.paths)
        if "dav" in service.clients:
            add("dav", _dav, _DAV_METHODS, DAV_PATHS)
        if "outlook" in service.clients:
            app.url_map.converters["autoconfig_outlook"] = _AutodiscoverPath
            path = "/<autoconfig_outlook:autodiscover>"
            add("autodiscover", _autodiscover, ["GET", "POST"], [path])
        if "ispdb" in service.clients:
            add("ispdb", _ispdb, ["GET"], [f"{ISPDB}<autoconfig_domain>"])
        if "page" in service.clients:
            add("setup", _page, ["GET"], [PAGE])


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


View = Callable[..., Response]
# A view gets the app's own service; the host's variables are not needed.


def _config(service: Service, **_: str) -> Response:
    """A document that is chosen by path, query and host alone."""
    environ = request.environ
    answer = service.answer(request.path, environ["QUERY_STRING"], request.host)
    assert answer is not None  # noqa: S101 (only the service's own paths are routed)
    return _Prepared(answer.for_request(environ))


def _ispdb(service: Service, autoconfig_domain: str, **_: str) -> Response:
    answer = service.isp_database(autoconfig_domain)
    return _Prepared(answer.for_request(request.environ))


# PROPFIND is what clients send (RFC 6764, section 5); what follows it is redirected too.
_DAV_METHODS = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH"]
_DAV_METHODS += ["REPORT", "MKCALENDAR", "MKCOL"]


def _dav(service: Service, **_: str) -> Response:
    return _Prepared(service.redirect(request.path, request.host, request.method))


class _AutodiscoverPath(BaseConverter):
    """Outlook's paths in any spelling of case: Outlook itself uses several."""

    part_isolating = False
    weight = 0  # before a site's own catch-all
    regex = r"(?i:autodiscover/autodiscover\.(?:xml|json(?:/v1\.0/[^/]+)?))"


def _autodiscover(service: Service, autodiscover: str, **_: str) -> Response:
    environ = request.environ
    is_v2 = autodiscover.lower().startswith("autodiscover/autodiscover.json")
    if is_v2 and request.method == "POST":
        raise MethodNotAllowed(["GET", "HEAD"])
    if request.method == "POST":
        return _Prepared(service.autodiscover(_body(), request.host))
    query = environ["QUERY_STRING"]
    if is_v2:
        return _Prepared(service.autodiscover_v2(request.path, query, request.host))
    answer = service.autodiscover_by_host(
        query, request.host, must_encrypt=_came_unencrypted(environ)
    )
    return _Prepared(answer.for_request(environ))


def _body() -> bytes:
    """The request's body, one byte more than is taken, if it has so many.

    A site's own limit does not count: too much is answered in Outlook's own format.
    """
    stream = get_input_stream(request.environ)
    body = stream.read(outlook.MOST_BYTES + 1)
    for _ in range(64):  # a client that still sends would not read the answer
        if len(stream.read(outlook.MOST_BYTES)) < outlook.MOST_BYTES:
            break
    return body


def _page(service: Service, **_: str) -> Response:
    """The page for people; the template says how it looks."""
    from .documents import page

    accepted = request.accept_languages.best_match(page.languages()) or "en"
    gettext = page.translations(accepted).gettext
    typed = address_in_query(request.environ["QUERY_STRING"])[:254]
    found = (
        service.find(request.environ["QUERY_STRING"], request.host) if typed else None
    )
    values: dict[str, Any] = {"settings": None, "error": None}
    status = 200
    if isinstance(found, Answer):
        status = int(found.status[:3])
        values["error"] = (
            gettext("That is no e-mail address. It looks like name@example.com.")
            if found is BAD_ADDRESS
            else gettext("There are no settings here for that address.")
        )
    elif found is not None and found.address is not None:
        values |= _page_of(service, found, found.address, accepted)
    nonce = secrets.token_urlsafe(16)
    html = render_template(
        "autoconfig/setup.html",
        _=gettext,
        language=accepted,
        nonce=nonce,
        action=request.script_root + PAGE,
        typed=typed,
        **values,
    )
    response = Response(html, status)
    response.headers.extend(page_headers(nonce))
    return response


def _page_of(
    service: Service, found: Found, address: Address, language: str
) -> dict[str, Any]:
    from .documents import apple, page

    provider = found.provider

    here = f"{request.url_root.rstrip('/')}{PAGE}?emailaddress={quote(str(address))}"
    has_profile = "apple" in service.clients and apple.write(provider, None, address)
    return {
        "settings": page.settings(provider, address, language),
        "address": f"{address.local}@{unfold(address.domain)}",
        "here": here,
        "here_text": request.url_root.split("://")[-1].rstrip("/") + PAGE,
        "qr": Markup(page.qr_code(here)),  # noqa: S704 (segno's own SVG)
        "profile": f"{request.script_root}/mail/mobileconfig?"
        f"emailaddress={quote(str(address))}"
        if has_profile
        else None,
    }


def page_headers(nonce: str) -> list[tuple[str, str]]:
    """The page's headers: nothing from elsewhere, nothing kept, not to be framed."""
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return [
        ("Content-Security-Policy", policy),
        ("Cache-Control", "private, no-store"),
        ("Vary", "Accept-Language"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Robots-Tag", "noindex"),
    ]


def _came_unencrypted(environ: WSGIEnvironment) -> bool:
    """Whether a trusted proxy says that the client spoke plain http."""
    trusted = "werkzeug.proxy_fix.orig" in environ
    said = "HTTP_X_FORWARDED_PROTO" in environ
    return trusted and said and environ["wsgi.url_scheme"] == "http"


def find_file(app: App) -> Path:
    """The TOML file of a Flask app; raises ConfigError where there is none."""
    root = Path(app.root_path)
    named = app.config.get("AUTOCONFIG_FILE") or os.environ.get("AUTOCONFIG_FILE")
    if isinstance(named, str | os.PathLike):
        return root / named
    if named:
        message = f"expected a path, got {named!r}"
        problem = Problem("AUTOCONFIG_FILE", message, 'write "autoconfig.toml"')
        raise ConfigError([problem], app.import_name)
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
