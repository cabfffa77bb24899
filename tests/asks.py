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


def outlook_asks(
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


REQUEST = outlook_asks("fred@example2.com").encode()


class Ask(NamedTuple):
    """A request, headers named as in an environ."""

    path: str
    method: str = "GET"
    query: str = QUERY
    body: bytes = b""
    host: str = HOST
    headers: tuple[tuple[str, str], ...] = ()


def asks_of(family: str) -> Iterator[Ask]:
    """Yield a request for every path and method of a family."""
    (routes,) = (known.routes for known in FAMILIES if known.name == family)
    for route in routes:
        is_folder = route.rest and route.path.endswith("/")
        usual = f"{route.path}example2.com" if is_folder else route.path
        others = (usual.upper(), usual.title()) if route.ignores_case else ()
        for path in (usual, *others):
            for method in route.allowed:
                yield Ask(path, method, body=REQUEST if method == "POST" else b"")


class Got(NamedTuple):
    status: str
    headers: dict[str, str]
    body: bytes

    @property
    def lasting(self) -> tuple[str, dict[str, str], bytes]:
        """The response without the time when its service read the file."""
        headers = {**self.headers}
        headers.pop("Last-Modified", None)
        return self.status, headers, self.body


def environ_of(ask: Ask) -> WSGIEnvironment:
    """Return the environ that a server builds for the request (PEP 3333)."""
    environ: WSGIEnvironment = {
        "REQUEST_METHOD": ask.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": ask.path.encode().decode("latin-1"),
        "QUERY_STRING": ask.query,
        "HTTP_HOST": ask.host,
        "CONTENT_LENGTH": str(len(ask.body)),
        "wsgi.input": BytesIO(ask.body),
        "wsgi.errors": sys.stderr,
        **{f"HTTP_{name}": value for name, value in ask.headers},
    }
    if ask.body:
        environ["CONTENT_TYPE"] = "text/xml"
    setup_testing_defaults(environ)
    return environ


def got(app: WSGIApplication, ask: Ask, **changes: Any) -> Got:
    """Return the response of an application, and check that it conforms to PEP 3333."""
    return heard(validator(app), {**environ_of(ask), **changes})


def heard(app: WSGIApplication, environ: WSGIEnvironment) -> Got:
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
    return Got(status, dict(headers), b"".join(written))


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
    path, mine = environ["PATH_INFO"], [("X-Site", "mine"), ("Content-Type", "text/x")]
    if path in _BODIES:
        start_response("200 OK", mine)
        return _BODIES[path](environ)
    if path == "/echo":
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        start_response("202 Accepted", mine)
        return [body.upper()]
    if path == "/fails":
        start_response("200 OK", mine)
        try:
            raise ValueError("of the site")
        except ValueError:
            start_response("500 Of The Site", mine, sys.exc_info())
        return [b"sorry"]
    if path == "/writes":
        start_response("200 OK", mine)(b"written")
        return []
    start_response("404 Of The Site", mine)
    return [b"The site has no " + path.encode("latin-1")]
