"""Requests of every family's clients, for each WSGI entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from flask_autoconfig.families import FAMILIES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

# Two domains with a server of every kind, and all families.
FILE = Path(__file__).parent / "django_shop/autoconfig.toml"
HOST = "autoconfig.example.com"
CONFIG = "/mail/config-v1.1.xml"
POX = "/autodiscover/autodiscover.xml"
PACC = "/.well-known/user-agent-configuration.json"
QUERY = (
    "emailaddress=fred%40example2.com&Protocol=AutodiscoverV1&name=Fred&colour=123456"
)


def outlook_request(
    email: str, kind: str = "outlook", accepted: str = "outlook/responseschema/2006a"
) -> str:
    """Return a request for the settings of an address (MS-OXDSCLI, 3.1.5.2).

    It is Outlook's, or with other schemas that of a phone.
    """
    place = "http://schemas.microsoft.com/exchange/autodiscover/"
    return f"""<?xml version="1.0" encoding="utf-8"?>
<Autodiscover xmlns="{place}{kind}/requestschema/2006"><Request>
<EMailAddress>{email}</EMailAddress>
<AcceptableResponseSchema>{place}{accepted}</AcceptableResponseSchema>
</Request></Autodiscover>"""


REQUEST = outlook_request("fred@example2.com").encode()


class WebRequest(NamedTuple):
    """A request, headers named as in an environ."""

    path: str
    method: str = "GET"
    query: str = QUERY
    body: bytes = b""
    host: str = HOST
    headers: tuple[tuple[str, str], ...] = ()


def requests_of(*names: str) -> Iterator[WebRequest]:
    """Yield a request for every path and method of these families, or of all."""
    chosen = [known for known in FAMILIES if known.name in names or not names]
    for route in (route for family in chosen for route in family.routes):
        is_folder = route.rest and route.path.endswith("/")
        plain = f"{route.path}example2.com" if is_folder else route.path
        spellings = (plain.upper(), plain.title()) if route.ignores_case else ()
        for path in (plain, *spellings):
            for method in route.allowed:
                body = REQUEST if method == "POST" else b""
                yield WebRequest(path, method, body=body)


class WebResponse(NamedTuple):
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def lasting(self) -> tuple[str, dict[str, str], bytes]:
        """The response without the time when its service read the file."""
        headers = {**self.headers}
        headers.pop("Last-Modified", None)
        return self.status, headers, self.body


def environ_of(request: WebRequest) -> WSGIEnvironment:
    """Return the environ that a server builds for the request (PEP 3333)."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query,
        "HTTP_HOST": request.host,
        "CONTENT_LENGTH": str(len(request.body)),
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        **{f"HTTP_{name}": value for name, value in request.headers},
    }
    if request.body:
        environ["CONTENT_TYPE"] = "text/xml"
    setup_testing_defaults(environ)
    return environ


def call_app(app: WSGIApplication, request: WebRequest, **changes: Any) -> WebResponse:
    """Return the response of an application, and check that it conforms to PEP 3333."""
    return run_app(validator(app), {**environ_of(request), **changes})


def run_app(app: WSGIApplication, environ: WSGIEnvironment) -> WebResponse:
    begun: list[tuple[str, list[tuple[str, str]]]] = []
    written: list[bytes] = []

    def start(
        status: str, headers: list[tuple[str, str]], exc_info: Any = None, /
    ) -> Callable[[bytes], object]:
        assert not begun or exc_info
        begun.append((status, headers))
        return written.append

    body = app(environ, start)
    try:
        written.extend(body)
    finally:
        if hasattr(body, "close"):
            body.close()
    status, headers = begun[-1]
    return WebResponse(status, dict(headers), b"".join(written))


class _Counted:
    """A body of three pieces; `closed` counts the bodies that a server has closed."""

    closed = 0

    def __iter__(self) -> Iterator[bytes]:
        yield from (b"one ", b"two ", b"three")

    def close(self) -> None:
        _Counted.closed += 1


_BODIES: dict[str, Callable[[WSGIEnvironment], Iterable[bytes]]] = {
    "/stream": lambda _: _Counted(),
    "/closed": lambda _: [str(_Counted.closed).encode()],
    "/file": lambda environ: environ["wsgi.file_wrapper"](FILE.open("rb")),
}


def little_site(
    environ: WSGIEnvironment, start_response: StartResponse
) -> Iterable[bytes]:
    """A site that uses every feature of PEP 3333."""
    path = environ["PATH_INFO"]
    headers = [("X-Site", "mine"), ("Content-Type", "text/x")]
    if path in _BODIES:
        start_response("200 OK", headers)
        return _BODIES[path](environ)
    if path == "/echo":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("202 Accepted", headers)
        return [body.upper()]
    if path == "/fails":
        start_response("200 OK", headers)
        try:
            raise ValueError("of the site")
        except ValueError:
            start_response("500 Of The Site", headers, sys.exc_info())
        return [b"sorry"]
    if path == "/writes":
        start_response("200 OK", headers)(b"written")
        return []
    start_response("404 Of The Site", headers)
    return [b"The site has no " + path.encode("latin-1")]
