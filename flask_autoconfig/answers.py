"""HTTP without a framework: what a request says, and what goes back.

The headers that every answer has, 304, and the answers that are always the same have
their one home here.
"""

from __future__ import annotations

import hashlib
import re
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

Header = tuple[str, str]
OK = "200 OK"
TEXT = "text/plain; charset=utf-8"

SECURITY_HEADERS: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
)
# Every document is public, and any page's script may read it.
_COMMON_HEADERS = (("Access-Control-Allow-Origin", "*"), *SECURITY_HEADERS)
NOT_KEPT: Header = ("Cache-Control", "no-store")
KEPT_BY_NOBODY_ELSE: Header = ("Cache-Control", "private, no-store")
# How long caches that many share keep an answer: with the two seconds that an edit takes
# here, it is there for everybody within ten.
_SHARED_SECONDS = 5
_BODY_SECONDS = 5.0  # for the whole of a body, in however many pieces it comes


# What came of a request, for who counts them.
_OUTCOMES = {
    "200": "served",
    "204": "preflight",
    "301": "redirected",
    "302": "redirected",
    "304": "not modified",
    "308": "redirected",
    "400": "bad request",
    "404": "not served",
    "405": "wrong method",
    "500": "failed",
    "503": "unavailable",
}


class BodyError(ValueError):
    """A request's body did not come as HTTP says, or not in time."""


class Request(NamedTuple):
    """What a client asks; any text may stand anywhere."""

    path: str
    query: str = ""  # the raw query string
    host: str = ""  # the Host header
    method: str = "GET"
    environ: WSGIEnvironment | None = None  # for the few that ask the body or scheme

    @property
    def came_unencrypted(self) -> bool:
        """Whether a trusted proxy says that the client spoke plain http."""
        environ = self.environ or {}
        trusted = "werkzeug.proxy_fix.orig" in environ
        said = "HTTP_X_FORWARDED_PROTO" in environ
        return trusted and said and environ["wsgi.url_scheme"] == "http"

    def body(self, most: int) -> bytes:
        """The body, one byte more than `most` if it has so many.

        Raises BodyError for one that is broken off, faulty or too slow. A site's own
        limit does not count: too much is answered in the client's format.
        """
        environ = self.environ or {}
        try:
            with _in_time(environ.get("gunicorn.socket")):
                return _read(environ, most)
        except Exception:  # each server has errors of its own, with the bytes in them
            raise BodyError("the body did not come whole") from None


def _read(environ: WSGIEnvironment, most: int) -> bytes:
    from werkzeug.wsgi import get_content_length, get_input_stream

    stream = get_input_stream(environ)
    body = stream.read(most + 1)
    for _ in range(64):  # a client that still sends would not read the answer
        if len(stream.read(most)) < most:
            break
    announced = get_content_length(environ) or 0
    if len(body) < min(announced, most + 1):
        raise BodyError("the body is shorter than announced")
    return body


@contextmanager
def _in_time(connection: Any) -> Iterator[None]:
    """Let reading from a connection end in time, as if the client had ended it.

    The timeout of a socket would not do: it begins anew with each byte. Where the server
    does not show its connection, its own limits count.
    """
    if not isinstance(connection, socket.socket):
        yield
        return
    timer = threading.Timer(_BODY_SECONDS, stop_reading, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def stop_reading(connection: socket.socket) -> None:
    """Let whoever reads from the connection meet its end; the answer can still go out."""
    with suppress(OSError):
        # Not `connection.shutdown`: with TLS that would send the rest unencrypted.
        socket.socket.shutdown(connection, socket.SHUT_RD)


class Answer:
    """What goes back to the client: status line, headers and body, ready to send."""

    __slots__ = (
        *("_not_modified", "body", "etag", "headers", "modified", "outcome", "status"),
    )

    def __init__(
        self,
        status: str,
        body: bytes,
        headers: Iterable[Header],
        *,
        etag: str = "",
        modified: str = "",
        common: Iterable[Header] = _COMMON_HEADERS,
        outcome: str = "",
    ) -> None:
        """`outcome` is for an answer whose status does not tell it, as Outlook's errors."""
        self.status = status
        self.outcome = outcome or _OUTCOMES[status[:3]]
        self.body = body
        self.headers = [*headers, *common]
        self.etag = etag
        self.modified = modified
        self._not_modified: Answer | None = None  # made when it is first asked for
        if status[:3] not in ("204", "304"):  # they have none (RFC 9110, section 8.6)
            self.headers.append(("Content-Length", str(len(body))))
        if etag:
            self.headers += [("ETag", etag), ("Last-Modified", modified)]

    def for_request(self, environ: dict[str, Any]) -> Answer:
        """Return this answer, or 304 where the client has it (RFC 9110, section 13)."""
        tag = environ.get("HTTP_IF_NONE_MATCH")
        if not self.etag or (tag is None and "HTTP_IF_MODIFIED_SINCE" not in environ):
            return self
        is_same = tag == self.etag and "HTTP_IF_MATCH" not in environ
        if not is_same and self._is_modified(environ):
            return self
        if self._not_modified is None:
            kept = [pair for pair in self.headers if pair[0] in _KEPT_BY_304]
            self._not_modified = Answer(
                "304 Not Modified", b"", kept, etag=self.etag, modified=self.modified
            )
        return self._not_modified

    def _is_modified(self, environ: dict[str, Any]) -> bool:
        from werkzeug.http import is_resource_modified, parse_date

        if _CODING.search(environ.get("HTTP_IF_NONE_MATCH", "")):
            environ = _without_codings(environ)
        modified = parse_date(self.modified)
        return is_resource_modified(environ, etag=self.etag, last_modified=modified)


_KEPT_BY_304 = frozenset({"Cache-Control"})
# A site that compresses an answer marks its tag, as `"…:gzip"` or `"…-br"`.
_CODING = re.compile(r"(?<=[0-9a-f]{32})[:;+-][a-z]+(?=\")")


def _without_codings(environ: WSGIEnvironment) -> WSGIEnvironment:
    """The request with the tags as we gave them (RFC 9110, section 8.8.3.3)."""
    tags = _CODING.sub("", environ["HTTP_IF_NONE_MATCH"])
    return {**environ, "HTTP_IF_NONE_MATCH": tags}


def kept_for(max_age: int) -> str:
    """The Cache-Control of what a client may keep for so many seconds."""
    shared = min(max_age, _SHARED_SECONDS)
    return f"public, max-age={max_age}, s-maxage={shared}, no-transform"


def public(
    body: bytes, headers: Iterable[Header], *, cache_control: str, modified: str
) -> Answer:
    """An answer that is the same for everybody of a domain; `modified` as HTTP has it."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = [*headers, ("Cache-Control", cache_control)]
    return Answer(OK, body, headers, etag=etag, modified=modified)


def private(body: bytes, headers: Iterable[Header], *, outcome: str = "") -> Answer:
    """An answer that carries an address: nobody may keep it."""
    return Answer(OK, body, [*headers, KEPT_BY_NOBODY_ELSE], outcome=outcome)


def in_words(status: str, text: str, *more: Header) -> Answer:
    """An answer in words. A 404 has a body: to Kontact an empty one is success."""
    headers = [("Content-Type", TEXT), NOT_KEPT, *more]
    return Answer(status, text.encode() + b"\n", headers)


def wrong_method(methods: Iterable[str], *, preflights: bool) -> Answer:
    """What a request gets with none of these methods (RFC 9110, section 15.5.6).

    `preflights` says that OPTIONS is answered as well.
    """
    text = f"This is asked with {', '.join(methods)}."
    allowed = dict.fromkeys((*methods, "OPTIONS") if preflights else methods)
    return in_words("405 Method Not Allowed", text, ("Allow", ", ".join(allowed)))


def preflight(methods: Iterable[str]) -> Answer:
    """What a browser is told that asks for a page of another site (Fetch, section 3.3).

    Any page's script may ask with these methods, and send a document of its own, as a
    POST to Autodiscover is.
    """
    headers = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", "content-type"),
        ("Access-Control-Max-Age", "86400"),
        ("Allow", ", ".join((*methods, "OPTIONS"))),
    ]
    return Answer("204 No Content", b"", headers)


# A client that comes again in a while finds what cannot be told now: 404 would be no.
UNAVAILABLE = in_words(
    "503 Service Unavailable",
    "The mail settings cannot be told at the moment.",
    ("Retry-After", "10"),
)
FAILED = in_words("500 Internal Server Error", "This request met a fault of ours.")
NOT_SERVED = in_words("404 Not Found", "No mail settings are published here for that.")
NO_SUCH_SERVICE = in_words(
    "404 Not Found", "This service is not offered for that domain."
)
BAD_ADDRESS = in_words(
    "400 Bad Request",
    "emailaddress must be an e-mail address like user@example.com, or be left out.",
)
