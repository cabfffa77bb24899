"""Handlers of requests: documents, Outlook's protocols, redirects, the page.

A handler looks up the provider of a request and chooses the document, or the error that
its clients understand. Its first arguments are bound in the table of families.
"""

import json
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import answers
from .address import (
    address_in_query,
    fold,
    host_of,
    known_part,
    parse_address,
    person_name,
)
from .answers import NO_SUCH_SERVICE, NOT_SERVED, Answer, Header, Request, private
from .documents import Format, outlook
from .lookup import Lookup

Handler = Callable[[Lookup, Request], Answer]


def document(
    format_: Format, lookup: Lookup, request: Request, *, only_domain: bool = False
) -> Answer:
    """Return the document for the address in the query, or else for the host.

    With `only_domain`, it is the same for all addresses of a domain: DNS has its digest.
    """
    served = lookup.find(request.query, request.host, only_domain=only_domain)
    return served.snapshot.document(format_, served)


def profile(format_: Format, lookup: Lookup, request: Request) -> Answer:
    """Return a document with the person's name and the language in the query.

    `Accept-Language` is ignored, so that the response needs no `Vary` header.
    """
    served = lookup.find_for_person(request.query, request.host)
    keys = _query_keys(request.query)
    person, language = person_name(keys.get("name", "")), keys.get("lang", "")
    served = served._replace(person=person, language=language)
    return served.snapshot.document(format_, served)


def by_domain(start: str, format_: Format, lookup: Lookup, request: Request) -> Answer:
    try:
        served = lookup.find_domain(fold(request.path[len(start) :]))
    except ValueError:
        return NOT_SERVED
    return NOT_SERVED if served is None else served.snapshot.document(format_, served)


def redirect(type_: str, lookup: Lookup, request: Request) -> Answer:
    """Redirect to the first server of a type (RFC 6764, section 5; RFC 8620, 2.2)."""
    served = lookup.find("", request.host)
    urls = (server.url for _, server in served.provider.servers if server.type == type_)
    url = known_part(next(urls, None) or "", served.domain_or_name)
    target, port = urlsplit(url), request.host.partition(":")[2] or "443"
    requested = (host_of(request.host), port, request.path)
    if not url or (target.hostname, str(target.port or 443), target.path) == requested:
        return NO_SUCH_SERVICE  # a redirect to the requested URL would be a loop
    # After 301 a client may turn PROPFIND into GET.
    is_get = request.method in ("GET", "HEAD")
    status = "301 Moved Permanently" if is_get else "308 Permanent Redirect"
    return _redirection(status, url, ("Cache-Control", served.snapshot.cache_control))


def _redirection(status: str, url: str, cache_control: Header) -> Answer:
    headers = [("Location", url), ("Content-Type", answers.TEXT), cache_control]
    return Answer(status, f"{url}\n".encode(), headers)


# --- Outlook --------------------------------------------------------------------------


def autodiscover(
    path: str, format_: Format, mobile: Format, lookup: Lookup, request: Request
) -> Answer:
    """Answer a POX request: a POST (MS-OXDSCLI, section 3.1.5), or Delta Chat's GET.

    ActiveSync phones name their own schema in the body and get the format `mobile`.
    """
    if request.method != "POST":
        host = host_of(request.host)
        if request.came_unencrypted and host:  # Outlook takes only a 302 there
            served = lookup.look_up(None, request.host)
            host = (served and served.provider.autodiscover_host) or host
            return _redirection("302 Found", f"https://{host}{path}", answers.NO_STORE)
        if lookup.is_shared_host(request.host) and not address_in_query(request.query):
            return NOT_SERVED  # the settings of another domain would be wrong
        return document(format_, lookup, request)

    try:
        text, is_phone = outlook.read_request(request.body(outlook.MAX_BYTES))
        address = parse_address(text)
    except ValueError:
        return _pox_error(outlook.INVALID_REQUEST)
    served = lookup.find_address(address, request.host)
    if served is None:
        return _pox_error(outlook.NOT_SERVED)
    answer = served.snapshot.document(mobile if is_phone else format_, served)
    code = outlook.SCHEMA_NOT_SUPPORTED if is_phone else outlook.NOT_SERVED
    return _pox_error(code) if answer is NO_SUCH_SERVICE else answer


def _pox_error(code: int) -> Answer:
    """Return an error, which has status 200 too (MS-OXDSCLI, 2.2.4.1.1.2)."""
    outcome = "bad request" if code == outlook.INVALID_REQUEST else "not served"
    headers = [("Content-Type", outlook.CONTENT_TYPE)]
    return private(outlook.error(code), headers, outcome=outcome)


def autodiscover_v2(
    path: str, pox_path: str, lookup: Lookup, request: Request
) -> Answer:
    """Answer an Autodiscover v2 request, with the address in the path or the query."""
    keys = _query_keys(request.query)
    text = request.path[len(path) :].removeprefix("/").partition("/")[2]
    text = text or keys.get("email", "")
    try:
        address = parse_address(text) if text else None
    except ValueError:
        return _v2_error("InvalidRequest", "Not an address.")
    protocol = keys.get("protocol")
    if not protocol:
        message = "The query parameter Protocol is missing."
        return _v2_error("MandatoryParameterMissing", message)

    served = lookup.find_address(address, request.host)
    host = host_of(request.host)
    if served is not None:
        domain = served.domain_or_name
        host = host or (domain and f"autodiscover.{domain}")
        host = served.provider.autodiscover_host or host
    if served is None or not host:
        message = "No settings are published here for this domain."
        return _v2_error("UserNotFound", message, "404 Not Found")
    url = f"https://{host}{pox_path}"
    body = outlook.write_v2(served.provider, protocol, url, served.recipient)
    if body is None:
        message = "The protocol is not offered; AutodiscoverV1 is."
        return _v2_error("InvalidProtocol", message)
    return private(body, [("Content-Type", outlook.JSON_CONTENT_TYPE)])


def _query_keys(query: str) -> dict[str, Any]:
    """Return the values in a query string by their keys in lower case."""
    if not query.isascii():  # raw bytes, which WSGI hands over as latin-1
        query = query.encode("latin-1", "replace").decode("utf-8", "replace")
    return {key.lower(): value for key, value in parse_qsl(query[:4096])}


def _v2_error(code: str, message: str, status: str = "400 Bad Request") -> Answer:
    headers = [("Content-Type", outlook.JSON_CONTENT_TYPE), answers.NO_STORE]
    body = json.dumps({"ErrorCode": code, "ErrorMessage": message}).encode()
    return Answer(status, body, headers)


# --- The page -------------------------------------------------------------------------


def page(module: str, function: str, lookup: Lookup, request: Request) -> Answer:
    """Call a function of a module in `page/`, which the first request imports."""
    handler: Handler = getattr(import_module(f".page.{module}", __package__), function)
    return handler(lookup, request)
