"""HTTP without a framework: requests, responses, and conditional requests.

A response is called an answer here, to distinguish it from Flask's `Response`.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple
from wsgiref.types import WSGIEnvironment

Header = tuple[str, str]
OK = "200 OK"
TEXT = "text/plain; charset=utf-8"

SECURITY_HEADERS: tuple[Header, ...] = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Robots-Tag", "noindex"),
)
# Documents are public: scripts of any site may read them.
_COMMON_HEADERS = (("Access-Control-Allow-Origin", "*"), *SECURITY_HEADERS)
NO_STORE: Header = ("Cache-Control", "no-store")
PRIVATE: Header = ("Cache-Control", "private, no-store")
# How long a shared cache keeps an answer. An edit is loaded within two seconds, and so
# reaches everybody within ten.
_SHARED_SECONDS = 5
_BODY_SECONDS = 5.0  # for a whole body

# The outcomes that the signal reports, by status.
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


class Request(NamedTuple):
    """A request; every value may be any text."""

    path: str
    query: str = ""  # the raw query string
    host: str = ""  # the Host header
    method: str = "GET"
    environ: WSGIEnvironment | None = None  # for handlers that need the body or scheme

    @property
    def came_unencrypted(self) -> bool:
        """Whether a trusted proxy reports plain http between the client and itself."""
        environ = self.environ or {}
        trusted = "werkzeug.proxy_fix.orig" in environ
        is_reported = "HTTP_X_FORWARDED_PROTO" in environ
        return trusted and is_reported and environ["wsgi.url_scheme"] == "http"

    def body(self, max_bytes: int) -> bytes:
        """Read at most `max_bytes` + 1 bytes of the body; raises ValueError.

        A site's own limit is not applied, since an error must be in the client's format.
        A timer ends reading after `_BODY_SECONDS`, as a socket's timeout starts again with
        each byte. If the server hides its connection, only the server's own limits apply.
        """
        environ = self.environ or {}
        connection = environ.get("gunicorn.socket")
        timer = threading.Timer(_BODY_SECONDS, shut_down, [connection])
        timer.daemon = True
        if isinstance(connection, socket.socket):
            timer.start()
        try:
            return _read(environ, max_bytes)
        except Exception:  # the server's own, perhaps with bytes of the body
            raise ValueError("the body did not come whole") from None
        finally:
            timer.cancel()


def _read(environ: WSGIEnvironment, max_bytes: int) -> bytes:
    from werkzeug.wsgi import get_content_length, get_input_stream

    stream = get_input_stream(environ)
    body = stream.read(max_bytes + 1)
    for _ in range(64):  # some clients read the answer only after sending everything
        if not stream.read(max_bytes):
            break
    if len(body) < min(get_content_length(environ) or 0, max_bytes + 1):
        raise ValueError("the body is shorter than announced")
    return body


def shut_down(connection: socket.socket, how: int = socket.SHUT_RD) -> None:
    """Make reads from the connection return its end; the answer can still be sent.

    With SHUT_RDWR as *how*, sending ends, too.
    """
    with suppress(OSError):
        # Not `connection.shutdown`: with TLS that would send the rest unencrypted.
        socket.socket.shutdown(connection, how)


class Answer:
    """A response: status line, headers and body, ready to send."""

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
        """`outcome` overrides that of the status: Outlook's errors have status 200."""
        self.status = status
        self.outcome = outcome or _OUTCOMES[status[:3]]
        self.body = body
        self.headers = [*headers, *common]
        self.etag = etag
        self.modified = modified
        if status[:3] not in ("204", "304"):  # without a length: RFC 9110, section 8.6
            self.headers.append(("Content-Length", str(len(body))))
        if etag:
            self.headers += [("ETag", etag), ("Last-Modified", modified)]

    def for_request(self, environ: WSGIEnvironment) -> Answer:
        """Return this answer, or 304 if the client has it (RFC 9110, section 13)."""
        tags = environ.get("HTTP_IF_NONE_MATCH", "")
        if not self.etag or not (tags or "HTTP_IF_MODIFIED_SINCE" in environ):
            return self
        from werkzeug.http import is_resource_modified

        # Apache and Flask-Compress append the coding to the tag of what they compress.
        if self.etag[1:-1] not in tags and is_resource_modified(
            environ, self.etag, last_modified=self.modified
        ):
            return self
        headers = [pair for pair in self.headers if pair[0] == "Cache-Control"]
        status, etag, modified = "304 Not Modified", self.etag, self.modified
        return Answer(status, b"", headers, etag=etag, modified=modified)


def public_cache_control(max_age: int) -> str:
    """Return the Cache-Control value of an answer that clients may keep for `max_age`."""
    shared = min(max_age, _SHARED_SECONDS)
    return f"public, max-age={max_age}, s-maxage={shared}, no-transform"


def public(
    body: bytes, headers: Iterable[Header], *, cache_control: str, modified: str
) -> Answer:
    """Return an answer for all users of a domain; `modified` is an HTTP date."""
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = [*headers, ("Cache-Control", cache_control)]
    return Answer(OK, body, headers, etag=etag, modified=modified)


def private(body: bytes, headers: Iterable[Header], *, outcome: str = "") -> Answer:
    """Return an answer that holds an address, so that no cache may store it."""
    return Answer(OK, body, [*headers, PRIVATE], outcome=outcome)


def text_answer(status: str, text: str, *headers: Header) -> Answer:
    """Return an answer of one line of text. Kontact takes an empty 404 for success."""
    headers = (("Content-Type", TEXT), NO_STORE, *headers)
    return Answer(status, text.encode() + b"\n", headers)


def wrong_method(methods: Iterable[str], *, preflights: bool) -> Answer:
    """Return 405 with the allowed methods (RFC 9110, section 15.5.6).

    `preflights` says that OPTIONS, as in preflight requests, is allowed too.
    """
    text = f"Use {', '.join(methods)} here."
    allowed = dict.fromkeys((*methods, "OPTIONS") if preflights else methods)
    return text_answer("405 Method Not Allowed", text, ("Allow", ", ".join(allowed)))


def preflight(methods: Iterable[str]) -> Answer:
    """Return the answer to a CORS preflight request (Fetch, section 3.3).

    Scripts of any site may use these methods and send a body, as Autodiscover needs.
    """
    headers = [
        ("Access-Control-Allow-Methods", ", ".join(methods)),
        ("Access-Control-Allow-Headers", "content-type"),
        ("Access-Control-Max-Age", "86400"),
        ("Allow", ", ".join((*methods, "OPTIONS"))),
    ]
    return Answer("204 No Content", b"", headers)


# A client tries again after 503, while it takes 404 for a final answer.
UNAVAILABLE = text_answer(
    "503 Service Unavailable",
    "The mail settings are not available at the moment.",
    ("Retry-After", "10"),
)
FAILED = text_answer("500 Internal Server Error", "This request met an internal error.")
NOT_SERVED = text_answer(
    "404 Not Found", "No mail settings are published here for this domain."
)
NO_SUCH_SERVICE = text_answer(
    "404 Not Found", "This service is not offered for this domain."
)
BAD_ADDRESS = text_answer(
    "400 Bad Request",
    "emailaddress must be an e-mail address like user@example.com, or be left out.",
)


class Refused(Exception):  # noqa: N818 (a state, not a mistake)
    """There are no settings for a request; `answer` is the error to send."""

    def __init__(self, answer: Answer, reason: str = "") -> None:
        super().__init__(reason)
        self.answer = answer
