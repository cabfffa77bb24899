"""What a wrong response comes from, as other requests and DNS show."""

from contextlib import suppress

from ...clients import POX, Step
from ...net.http import Response
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from .. import texts
from ..context import request_of
from ..facts import Facts, Request
from ..findings import Case, Finding, finding, shown
from . import web

_GROUPS = texts.table("groups")  # of codes


def by_form(
    case: Case, facts: Facts, step: Step, request: Request, wrong: Finding
) -> Finding:
    """Return that a request with the address, without it or by GET is answered."""
    bare = Request(request.url.partition("?")[0])
    if request.method == "POST" or step.form in ("address", "raw"):
        with suppress(ProbeError):
            status, by_post = facts.fetch(request).status, request.method == "POST"
            is_lost = by_post and status == 404
            if is_lost or status in (400, 403, 406):
                page = facts.fetch(bare)
                if page.status == 200 and not (is_lost and web.is_web_page(page)):
                    code = "http.post-forbidden" if by_post else "http.query-refused"
                    return finding(code, bare.url, status=status)
        return wrong
    if step.form not in ("none", "evolution") or wrong.code == "http.limited":
        return wrong
    other = request_of(step._replace(form="address"), case, bare.url)
    _, found = web.asked(case, facts, other)
    if found is not None:
        return wrong
    if step.form == "evolution":
        return finding("http.local-part-counts", request.url, got=wrong.seen)
    status = facts.fetch(request).status
    got = wrong.seen if status == 200 else f"the server answers {status}"
    is_lost = status in (400, 404, 410, 421)
    code = "http.host-lost" if is_lost else "http.address-wanted"
    return finding(code, request.url, got=got)


def by_query(
    case: Case,
    facts: Facts,
    step: Step,
    request: Request,
    response: Response,
    wrong: Finding,
) -> Finding:
    """Return that a redirect loses the query, with which there are settings."""
    if step.kind != "xml" or not response.redirects or split_url(response.url).query:
        return wrong
    whole = request_of(step._replace(form="address"), case, response.url)
    _, there = web.asked(case, facts, whole)
    if there is not None:
        return wrong
    got = web.of_response(case, response, response.url) or wrong
    return finding(
        "http.query-lost", request.url, target=shown(response.url), got=got.seen
    )


def by_login(
    facts: Facts, request: Request, response: Response, wrong: Finding
) -> Finding:
    """Return that a server asks for a password at Autodiscover's path alone."""
    is_known = wrong.code != "http.login-wanted" or wrong.around
    if is_known or {name.lower() for name in response.schemes} != {"basic"}:
        return wrong
    parts = split_url(response.url)
    with suppress(ProbeError):
        root = facts.fetch(Request(f"{parts.scheme}://{parts.netloc}/"))
        if parts.path.lower() == POX and root.status != 401:
            said = dict(wrong.values)["named"]
            code, status = "autodiscover.asks-login", response.status
            return finding(code, request.url, status=status, named=said)
    return wrong


def by_name(case: Case, facts: Facts, found: Finding, request: Request) -> Finding:
    """Return the finding with its cause in DNS: an address, an alias, a wildcard."""
    host = split_url(request.url).hostname or ""
    # The domain's own site need not have settings at any address.
    is_site = web.ABSENT in found.marks and host == case.domain
    if not is_site and (other := _at_another_address(case, facts, request)):
        here = facts.response(request).address
        kind = "AAAA" if ":" in here else "A"
        led = found.within("at-address", here=here, other=other, kind=kind)
        return led._replace(marks=frozenset())
    is_below = case.has(host) and host != case.domain
    is_named = found.step == "dns" or found.code == "http.exchange"
    if is_named or not is_below:
        return found
    target = web.names_of(facts, host)[-1]
    # A certificate for other names may be that of another site.
    is_mismatch = found.code == "tls.name-mismatch"
    if not case.has(target) or (target != host and is_mismatch):
        is_theirs = is_mismatch and not case.has(target)
        name = "alias-of-others" if is_theirs else "alias"
        return found.within(name, host=host, target=target)
    if target == host and facts.is_by_wildcard(host, case.domain):
        return found.within("wildcard", domain=case.domain)
    if found.code in _GROUPS["no_https"]:
        by_http = request._replace(url=request.url.replace("https:", "http:", 1))
        _, page = web.asked(case, facts, by_http)
        if page and page.code in _GROUPS["pages"]:
            return found.within("by-http", host=host, got=page.seen)
    return found


def by_alias(case: Case, facts: Facts, found: Finding) -> Finding:
    """Return the finding with the alias that may lead to a former provider."""
    host = split_url(found.subject).hostname or ""
    if found.code in _GROUPS["by_alias"] and case.has(host):
        target = web.names_of(facts, host)[-1]
        if not case.has(target):
            return found.within("alias", host=host, target=target)
    return found


def _at_another_address(case: Case, facts: Facts, request: Request) -> str:
    """Return another address of the host, where the request is answered well, or ""."""
    with suppress(ProbeError):
        first = facts.response(request)
        is_wrong = not first.target and web.of_response(case, first, request.url)
        for address, response in (
            facts.at_addresses(request).items() if is_wrong else ()
        ):
            if not isinstance(response, Response) or response.target:
                continue
            if web.of_response(case, response, request.url) is None:
                return address
    return ""
