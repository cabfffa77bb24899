"""The causes of wrong responses, as other requests and DNS show them."""

from contextlib import suppress

from ...clients import POX, THUNDERBIRD, Client, Step
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
    case: Case, facts: Facts, step: Step, request: Request, problem: Finding
) -> Finding:
    """Return the finding that the request succeeds with another query or by GET, if so."""
    bare, is_post = Request(request.url.partition("?")[0]), request.method == "POST"
    if is_post or step.form in ("address", "raw"):
        with suppress(ProbeError):
            status = facts.fetch(request).status
            is_missing = is_post and status == 404
            # The words of a firewall or of a CSRF check say more.
            by_status = texts.code_on("http", str(status), "http.status")
            is_bare = not is_post or problem.code in (by_status, "http.name-refused")
            if is_missing or (status in (400, 403, 406) and is_bare):
                page = facts.fetch(bare)
                if page.status == 200 and not (is_missing and web.is_web_page(page)):
                    code = "http.post-forbidden" if is_post else "http.query-refused"
                    return finding(code, bare.url, status=status)
        return problem
    if step.form not in ("none", "evolution") or problem.code == "http.limited":
        return problem
    with_address = request_of(step._replace(form="address"), case, bare.url)
    _, other_problem = web.fetch(case, facts, with_address)
    if other_problem is not None:
        return problem
    if step.form == "evolution":
        return finding("http.local-part-counts", request.url, got=problem.seen)
    status = facts.fetch(request).status
    got = problem.seen if status == 200 else f"the server answers {status}"
    is_missing = status in (400, 404, 410, 421)
    code = "http.host-lost" if is_missing else "http.address-wanted"
    return finding(code, request.url, got=got)


def by_query(
    case: Case,
    facts: Facts,
    step: Step,
    request: Request,
    response: Response,
    problem: Finding,
) -> Finding:
    """Return the finding that a redirect loses the query and then the settings, if so."""
    if step.kind != "xml" or not response.redirects or split_url(response.url).query:
        return problem
    with_query = request_of(step._replace(form="address"), case, response.url)
    _, other_problem = web.fetch(case, facts, with_query)
    if other_problem is not None:
        return problem
    got = (web.response_problem(case, response, response.url) or problem).seen
    return finding("http.query-lost", request.url, target=shown(response.url), got=got)


def by_redirect(facts: Facts, request: Request, found: Finding, around: str) -> Finding:
    """Return the finding, within a text at the URL that redirects if one led to it."""
    urls = web.redirect_chain(facts, request)
    targets = [split_url(url) for url in urls]
    is_reported = found.code in _GROUPS["redirects"]
    if len(urls) == 1 or is_reported or found.step == "dns":
        return found
    first, *_, last = targets
    # A service at another port, such as a calendar server, has a path of its own.
    is_same = (first.hostname, first.path) == (last.hostname, last.path)
    if is_same and last.port not in (None, 80, 443):
        found = found.within("redirect-port", port=last.port)
    else:
        found = found.within(around, target=shown(urls[1]))
    found = found.at(shown(request.url))
    return found._replace(marks=found.marks - {web.ABSENT})


def by_login(
    facts: Facts, request: Request, response: Response, problem: Finding
) -> Finding:
    """Return the finding that only Autodiscover's path requires a login, if so."""
    is_other = problem.code != "http.login-wanted" or problem.around
    if is_other or {name.lower() for name in response.schemes} != {"basic"}:
        return problem
    parts = split_url(response.url)
    with suppress(ProbeError):
        root = facts.fetch(Request(f"{parts.scheme}://{parts.netloc}/"))
        if parts.path.lower() == POX and root.status != 401:
            named = dict(problem.values)["named"]
            code, status = "autodiscover.asks-login", response.status
            return finding(code, request.url, status=status, named=named)
    return problem


def by_agent(
    case: Case, facts: Facts, client: Client, request: Request
) -> Finding | None:
    """Return a finding if the server refuses the client's User-Agent, else None."""
    if client.agent and client is not THUNDERBIRD:  # every request has its own
        request = request.with_agent(client.agent)
        response, problem = web.fetch(case, facts, request)
        if problem and response.status and not response.is_limited:
            return finding("http.agent-refused", request.url, got=problem.seen)
    return None


def by_name(case: Case, facts: Facts, found: Finding, request: Request) -> Finding:
    """Return the finding with its cause in DNS: an address, an alias or a wildcard."""
    host = split_url(request.url).hostname or ""
    # The domain's own site need not have settings at any address.
    is_site = web.ABSENT in found.marks and host == case.domain
    if not is_site and (other := _other_address(case, facts, request)):
        address = facts.response(request).address
        kind = "AAAA" if ":" in address else "A"
        found = found.within("at-address", here=address, other=other, kind=kind)
        return found._replace(marks=frozenset())
    is_explained = found.step == "dns" or found.code == "http.exchange"
    if is_explained or not case.has(host) or host == case.domain:
        return found
    target = web.alias_chain(facts, host)[-1]
    is_external = not case.has(target)
    # A certificate for other names may be that of another site.
    is_mismatch = found.code == "tls.name-mismatch"
    if is_external or (target != host and is_mismatch):
        around = "alias-of-others" if is_external and is_mismatch else "alias"
        return found.within(around, host=host, target=target)
    if target == host and facts.is_from_wildcard(host, case.domain):
        return found.within("wildcard", domain=case.domain)
    return found


def by_alias(case: Case, facts: Facts, found: Finding) -> Finding:
    """Return the finding with the alias of its host, which may be a former provider's."""
    host = split_url(found.subject).hostname or ""
    if found.code in _GROUPS["by_alias"] and case.has(host):
        target = web.alias_chain(facts, host)[-1]
        if not case.has(target):
            return found.within("alias", host=host, target=target)
    return found


def _other_address(case: Case, facts: Facts, request: Request) -> str:
    """Return another address of the host, with a good response to the request, or ""."""
    with suppress(ProbeError):
        first = facts.response(request)
        if first.target or not web.response_problem(case, first, request.url):
            return ""
        for address, response in facts.at_addresses(request).items():
            if not isinstance(response, Response) or response.target:
                continue
            if web.response_problem(case, response, request.url) is None:
                return address
    return ""
