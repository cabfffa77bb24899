"""Handlers of requests: documents, Outlook's protocols, redirects, the page.

A handler looks up the provider of a request and chooses the document, or the error that
its clients understand.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .address import (
    address_in_query,
    fold,
    host_of,
    known_part,
    parse_address,
    person_name,
)
from .answers import (
    NO_STORE,
    NO_SUCH_SERVICE,
    NOT_SERVED,
    TEXT,
    Answer,
    Request,
    private,
)
from .documents import Format, outlook
from .lookup import Lookup
from .snapshot import Served

Handler = Callable[[Lookup, Request], Answer]


def document(format_: Format, *, only_domain: bool = False) -> Handler:
    """Return a handler that serves a document by the query's address or the host.

    With `only_domain` it is the same for everybody of a domain, since DNS has its digest.
    """

    def answer(lookup: Lookup, request: Request) -> Answer:
        served = lookup.find(request.query, request.host, only_domain=only_domain)
        if isinstance(served, Answer):
            return served
        return served.snapshot.document(format_, served)

    return answer


def profile(format_: Format) -> Handler:
    """Return a handler of a document with a person's name and language from the query.

    `Accept-Language` is not used, so that caches need not know of it.
    """

    def answer(lookup: Lookup, request: Request) -> Answer:
        served = lookup.find_person(request.query, request.host)
        if isinstance(served, Answer):
            return served
        keys = _lower_keys(request.query)
        served = served._replace(
            person=person_name(keys.get("name", "")), language=keys.get("lang", "")
        )
        return served.snapshot.document(format_, served)

    return answer


def by_domain(start: str, format_: Format) -> Handler:
    """Return a handler of a document by the domain in the path after `start`."""

    def answer(lookup: Lookup, request: Request) -> Answer:
        try:
            domain = fold(request.path[len(start) :])
        except ValueError:
            return NOT_SERVED
        served = lookup.find_domain(domain)
        if served is None:
            return NOT_SERVED
        return served.snapshot.document(format_, served)

    return answer


def redirect(type_: str) -> Handler:
    """Return a handler that redirects to a server (RFC 6764, section 5; RFC 8620, 2.2)."""

    def answer(lookup: Lookup, request: Request) -> Answer:
        served = lookup.find("", request.host)
        if isinstance(served, Answer):
            return served
        url = _url_of(served, type_)
        if not url or _is_request_url(url, request):
            return NO_SUCH_SERVICE
        # After 301 a client may turn PROPFIND into GET.
        stays = request.method not in ("GET", "HEAD")
        status = "308 Permanent Redirect" if stays else "301 Moved Permanently"
        headers = [("Location", url), ("Content-Type", TEXT)]
        headers.append(("Cache-Control", served.snapshot.cache_control))
        return Answer(status, f"{url}\n".encode(), headers)

    return answer


def _url_of(served: Served, type_: str) -> str:
    """Return the URL of the first server of the type, up to a user's placeholder."""
    for _, server in served.provider.servers:
        if server.type == type_:
            return known_part(server.url or "", served.domain_or_name)
    return ""


def _is_request_url(url: str, request: Request) -> bool:
    """Whether the URL is that of the request: the redirect would be a loop."""
    parts = urlsplit(url)
    requested_port = request.host.partition(":")[2] or "443"
    is_here = parts.hostname == host_of(request.host)
    return (
        is_here
        and parts.path == request.path
        and str(parts.port or 443) == requested_port
    )


# --- Outlook --------------------------------------------------------------------------


def autodiscover(path: str, format_: Format, mobile: Format) -> Handler:
    """Return the handler of POX, by POST or as Delta Chat by GET (MS-OXDSCLI, 3.1.5).

    ActiveSync phones name their own schema in the body and get the format `mobile`.
    """

    def by_host(lookup: Lookup, request: Request) -> Answer:
        name = host_of(request.host)
        if request.came_unencrypted and name:  # Outlook takes only a 302 there
            served = lookup.look_up(None, request.host)
            name = (served and served.provider.autodiscover_host) or name
            url = f"https://{name}{path}"
            headers = [("Location", url), ("Content-Type", TEXT), NO_STORE]
            return Answer("302 Found", f"{url}\n".encode(), headers)
        if lookup.is_shared(request.host) and not address_in_query(request.query):
            return NOT_SERVED  # the settings of another domain would be wrong
        return document(format_)(lookup, request)

    def answer(lookup: Lookup, request: Request) -> Answer:
        if request.method != "POST":
            return by_host(lookup, request)
        try:
            asked = outlook.read_request(request.body(outlook.MOST_BYTES))
            address = parse_address(asked.address)
        except outlook.RequestError as error:
            return _pox_error(error.code)
        except ValueError:
            return _pox_error(outlook.INVALID_REQUEST)
        served = lookup.find_address(address, request.host)
        if served is None:
            return _pox_error(outlook.NOT_SERVED)
        wanted = mobile if asked.is_mobile else format_
        document = served.snapshot.document(wanted, served)
        if document is not NO_SUCH_SERVICE:
            return document
        code = outlook.SCHEMA_NOT_SUPPORTED if asked.is_mobile else outlook.NOT_SERVED
        return _pox_error(code)

    return answer


def _pox_error(code: int) -> Answer:
    """Return an error, which has status 200 too (MS-OXDSCLI, 2.2.4.1.1.2)."""
    outcome = "bad request" if code == outlook.INVALID_REQUEST else "not served"
    headers = [("Content-Type", outlook.CONTENT_TYPE)]
    return private(outlook.error(code), headers, outcome=outcome)


def autodiscover_v2(path: str, pox_path: str) -> Handler:
    """Return the handler of version 2, with the address in the query or the path."""

    def answer(lookup: Lookup, request: Request) -> Answer:
        keys = _lower_keys(request.query)
        text = request.path[len(path) :].removeprefix("/").partition("/")[2]
        text = text or keys.get("email", "")
        try:
            address = parse_address(text) if text else None
        except ValueError:
            return _v2_error("400 Bad Request", "InvalidRequest", "Not an address.")
        protocol = keys.get("protocol")
        if not protocol:
            message = "The query parameter Protocol is missing."
            return _v2_error("400 Bad Request", "MandatoryParameterMissing", message)

        served = lookup.find_address(address, request.host)
        name = host_of(request.host)
        if served is not None and served.provider.autodiscover_host:
            name = served.provider.autodiscover_host
        elif not name and served is not None and served.domain_or_name:
            name = f"autodiscover.{served.domain_or_name}"
        if served is None or not name:
            message = "No settings are published here for this domain."
            return _v2_error("404 Not Found", "UserNotFound", message)
        url = f"https://{name}{pox_path}"
        body = outlook.write_v2(served.provider, protocol, url, served.recipient)
        if body is None:
            message = "The protocol is not offered; AutodiscoverV1 is."
            return _v2_error("400 Bad Request", "InvalidProtocol", message)
        return private(body, [("Content-Type", outlook.JSON_CONTENT_TYPE)])

    return answer


def _lower_keys(query: str) -> dict[str, Any]:
    if not query.isascii():  # raw bytes, which WSGI hands over as latin-1
        query = query.encode("latin-1", "replace").decode("utf-8", "replace")
    return {key.lower(): value for key, value in parse_qsl(query[:4096])}


def _v2_error(status: str, code: str, message: str) -> Answer:
    headers = [("Content-Type", outlook.JSON_CONTENT_TYPE), NO_STORE]
    return Answer(status, outlook.error_v2(code, message), headers)


# --- The page -------------------------------------------------------------------------


def page_handler(module: str, name: str) -> Handler:
    """Return a handler from a module of the page, imported with the first request."""

    def answer(lookup: Lookup, request: Request) -> Answer:
        handler: Handler = getattr(import_module(f".page.{module}", __package__), name)
        return handler(lookup, request)

    return answer
