"""The web: every URL that clients try, and the documents that are found there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from msgspec import structs

from ...address import NOBODY, Address
from ...config.reading import from_raw
from ...config.tables import SERVER_KEYS, Provider
from ...documents import Recipient, outlook, thunderbird
from ...documents.thunderbird_reader import NotAutoconfigError, Reader
from ...errors import ConfigError
from ...families import Family
from .. import quirks, written
from ..network import REDIRECTS, Network, ProbeError, Reply, fetch
from ..resolver import LookupFailed
from .findings import (
    IF_PRIVATE,
    OK,
    WARNING,
    Case,
    Finding,
    failure,
    from_problem,
    has_failure,
    of_certificate,
    ok,
    warning,
)


class Seen(NamedTuple):
    """What a look at the web gave."""

    findings: tuple[Finding, ...] = ()
    documents: tuple[Provider, ...] = ()  # every config-v1.1.xml that can be read
    verified: tuple[Provider, ...] = ()  # those that came whole over verified https
    bodies: tuple[tuple[str, bytes], ...] = ()  # of other families, by name


Step = Callable[[], Seen]


def look(case: Case, network: Network) -> Seen:
    """Ask what the clients of the case's families ask, side by side."""
    steps = [step for family in case.families for step in _steps(case, network, family)]
    with ThreadPoolExecutor() as pool:
        parts = [result.result() for result in [pool.submit(step) for step in steps]]
    return Seen(
        tuple(finding for part in parts for finding in part.findings),
        tuple(document for part in parts for document in part.documents),
        tuple(document for part in parts for document in part.verified),
        tuple(body for part in parts for body in part.bodies),
    )


def _steps(case: Case, network: Network, family: Family) -> Iterator[Step]:
    """What a family's clients do. Without ways of their own they get one document."""
    host = f"{family.label}.{case.domain}"
    if family.name == "thunderbird":
        asker = case.address or Address(NOBODY, case.domain)
        query = f"?emailaddress={quote(str(asker))}"
        first, second, older = (route.path + query for route in family.routes[:3])
        yield partial(_both_documents, case, network, host, first, second)
        at_older = partial(_older, network, f"https://{host}{older}")
        yield partial(_if_there, network, host, at_older)
        yield partial(_unencrypted, network, f"http://{host}{first}")
    elif family.name == "outlook":
        posted = partial(_autodiscover, case, network, host, family.routes[0].path)
        yield partial(_if_there, network, host, posted)
    elif family.name == "dav" and case.provider:
        types = {server.type for _, server in case.provider.servers if server.url}
        for route in family.routes:
            if route.path.rpartition("/")[2] in types:
                yield partial(_redirect, network, f"https://{case.domain}{route.path}")
    elif family.label and family.formats:
        its_own = partial(_any_document, case, network, family)
        yield partial(_if_there, network, host, its_own)


def _if_there(network: Network, host: str, step: Step) -> Seen:
    return step() if _resolves(network, host) else Seen()


def _resolves(network: Network, host: str) -> bool:
    """Whether there is such a host; what is wrong with it is the step of DNS to say."""
    try:
        return bool(network.resolver.addresses(host))
    except LookupFailed:
        return False


_HTTP_CURES = {
    "dns": "publish an address for the name",
    "connect": "start the web server, and open the port",
    "tls": "give the web server a certificate for the name",
    "timeout": "make it answer faster: Thunderbird waits 5 seconds",
    "redirect": "redirect straight to a URL that answers",
    "private": IF_PRIVATE,
}


def ask(
    network: Network, url: str, step: str = "https", **options: Any
) -> tuple[Reply | None, tuple[Finding, ...]]:
    """The reply, None where no client would take it, and what there is to say of it."""
    try:
        reply = fetch(network, url, **options)
    except ProbeError as error:
        why = "clients that ask there get nothing"
        cure = _HTTP_CURES.get(error.kind, "look at the web server")
        return None, (failure(step, url, str(error), why, cure),)

    findings: tuple[Finding, ...] = ()
    if reply.certificate is not None:
        host = urlsplit(reply.url).hostname or ""
        findings = tuple(of_certificate(step, url, reply.certificate, host))
        if has_failure(findings):
            return None, findings
    if reply.redirects:
        findings += (ok(step, url, f"it leads to {reply.url}"),)
    return reply, findings


# --- config-v1.1.xml ------------------------------------------------------------------


def _both_documents(
    case: Case, network: Network, host: str, first: str, second: str
) -> Seen:
    """At the clients' own host and at the domain: one has to work, neither be wrong."""
    seen = Seen()
    if _resolves(network, host):
        seen = _document(case, network, f"https://{host}{first}")
    other = _document(case, network, f"https://{case.domain}{second}")
    findings = other.findings
    if seen.documents and not any(it.step == "document" for it in findings):
        # Nothing there is no harm: clients have the first one.
        findings = tuple(
            it if it.status == OK else it._replace(status=WARNING) for it in findings
        )
    return Seen(
        seen.findings + findings,
        seen.documents + other.documents,
        seen.verified + other.verified,
    )


def _document(case: Case, network: Network, url: str) -> Seen:
    reply, findings = ask(network, url)
    if reply is None:
        return Seen(findings)
    trouble = _not_a_document(reply)
    if trouble:
        return Seen((*findings, trouble))
    try:
        raw = Reader().read(reply.body)
        (provider,) = from_raw({"provider": [raw]}).providers
    except (NotAutoconfigError, ConfigError) as error:
        return Seen((*findings, _unreadable(url, error)))
    findings += tuple(_judged(case, url, reply.body, provider))
    return Seen(findings, (provider,), (provider,) if reply.is_verified else ())


def _judged(
    case: Case, url: str, document: bytes, provider: Provider
) -> Iterator[Finding]:
    """The document by each client's quirks, and held against the file."""
    problems = written.document_warnings(document)
    if case.provider is None:  # a file's own warnings are the file's step
        problems += quirks.warnings([provider], ours=False)
    for problem in problems:
        yield from_problem("document", url, problem)

    agrees = True
    for place, seen, wanted in _differences(case, provider):
        agrees = False
        yield failure(
            "document",
            url,
            f"{place} is {seen}, the file says {wanted}",
            "clients get other settings than you think",
            "reload what serves it, or publish the file that is meant",
        )
    if agrees:
        agreed = " and agrees with the file" if case.provider else ""
        servers = ", ".join(
            f"{it.type} {it.hostname}:{it.port}"
            for _, it in provider.servers
            if it.hostname
        )
        yield ok("document", url, f"it is valid{agreed}: {servers}")


def _differences(case: Case, seen: Provider) -> Iterator[tuple[str, str, str]]:
    """Where the servers of the document are not the file's: place, seen, wanted."""
    if case.provider is None:
        return
    recipient = Recipient(case.domain, exact=case.exact)
    alone = structs.replace(case.provider, list_domains=False)  # only servers count
    raw = Reader().read(thunderbird.write(alone, recipient))
    (wanted,) = from_raw({"provider": [raw]}).providers

    for key in SERVER_KEYS:
        ours, theirs = getattr(wanted, key), getattr(seen, key)
        if len(ours) != len(theirs):
            yield key, f"{len(theirs)} servers", f"{len(ours)}"
            continue
        for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
            for field in structs.fields(our):
                one, other = getattr(our, field.name), getattr(their, field.name)
                if one != other:
                    yield f"{key}[{index}].{field.name}", str(other), str(one)


def _older(network: Network, url: str) -> Seen:
    """The URL of the draft's earlier revisions, which two clients ask before others."""
    try:
        reply = fetch(network, url)
    except ProbeError:
        return Seen()  # what is wrong with the host is told of its first document
    trouble = _not_a_document(reply)
    if trouble is None:
        return Seen()
    why = "GNOME Online Accounts and SnappyMail ask there"
    return Seen((trouble._replace(status=WARNING, why=why),))


def _unencrypted(network: Network, url: str) -> Seen:
    """Kontact and Thunderbird ask over http too. That nothing answers there is no fault."""
    try:
        reply = fetch(network, url)
    except ProbeError:
        return Seen()
    if reply.status != 200:
        return Seen()
    trouble = _not_a_document(reply)
    if trouble:
        return Seen((trouble._replace(status=WARNING),))
    return Seen((ok("https", url, "it is answered over plain http too"),))


def _not_a_document(reply: Reply) -> Finding | None:
    if reply.status != 200:
        return failure(
            "https",
            reply.url,
            f"status {reply.status}",
            "clients that ask there get nothing",
            "serve the document there; for an unknown domain, add it to the file",
        )

    if not reply.body.strip():
        return failure(
            "https",
            reply.url,
            "an empty answer",
            "Delta Chat and Kontact take it for an answer and guess",
            "serve the document, or 404 with words in it",
        )

    if "content-encoding" in reply.headers:
        return failure(
            "https",
            reply.url,
            f"compressed unasked ({reply.headers['content-encoding']})",
            "Delta Chat reads no compression",
            "switch it off for this path",
        )

    if reply.content_type not in ("text/xml", "application/xml"):
        return failure(
            "https",
            reply.url,
            f"content type {reply.content_type or 'missing'}",
            "Thunderbird reads only text/xml and application/xml",
            "send Content-Type: text/xml",
        )
    return None


def _unreadable(url: str, error: Exception) -> Finding:
    seen = str(error).replace("\n", ";")
    if isinstance(error, ConfigError):
        seen = "; ".join(f"{it.place}: {it.message}" for it in error.problems)
    why, cure = "no client can use it", "make it with this program's `show` or `export`"
    return failure("document", url, seen[:500], why, cure)


# --- The other families ---------------------------------------------------------------


def _autodiscover(case: Case, network: Network, host: str, path: str) -> Seen:
    url = f"https://{host}{path}"
    address = case.address or Address(NOBODY, case.domain)
    document = None
    if case.provider:
        document = outlook.write(case.provider, Recipient(case.domain, address))
        if document is None:  # ActiveSync alone, or nothing that Outlook can use
            return Seen()
    reply, findings = ask(
        network,
        url,
        method="POST",
        body=outlook.request(str(address)),
        headers={"Content-Type": "text/xml"},
    )
    if reply is None:
        return Seen(findings)
    why = "Outlook finds no settings"
    cure = "let this service answer POST there"
    if reply.status != 200:
        trouble = failure("https", url, f"status {reply.status}", why, cure)
        return Seen((*findings, trouble))
    try:
        servers = outlook.read_servers(reply.body)
    except ValueError as error:
        return Seen((*findings, failure("https", url, str(error), why, cure)))

    wanted = outlook.read_servers(document) if document else servers
    if servers != wanted:
        seen = f"it says {_listed(servers)}, the file says {_listed(wanted)}"
        return Seen((*findings, failure("document", url, seen, why, cure)))
    good = ok("document", url, f"Outlook gets {_listed(servers)}")
    return Seen((*findings, good))


def _listed(servers: list[tuple[str, str, str]]) -> str:
    listed = ", ".join(f"{kind} {host}:{port}" for kind, host, port in servers)
    return listed or "nothing"


def _any_document(case: Case, network: Network, family: Family) -> Seen:
    """The document of a family without ways of its own, held against the file's."""
    url = f"https://{family.label}.{case.domain}{family.routes[0].path}"
    format_ = family.formats[0]
    expected = None
    if case.provider:
        recipient = Recipient(case.domain, exact=case.exact)
        expected = format_.write(case.provider, recipient)
        if expected is None:
            return Seen()
    reply, findings = ask(network, url)
    if reply is None:
        return Seen(findings)
    why = f"{family.askers} find no settings"
    wanted = format_.content_type.partition(";")[0]
    if reply.status != 200 or reply.content_type != wanted:
        seen = f"status {reply.status}, {reply.content_type or 'no content type'}"
        cure = f"let this service answer there, as {wanted}"
        return Seen((*findings, failure("https", url, seen, why, cure)))

    told = ok("document", url, "it is served")
    if expected is not None and reply.body != expected:
        seen = "the document is not the one that the file makes"
        told = failure("document", url, seen, why, "reload what serves it")
    return Seen((*findings, told), bodies=((family.name, reply.body),))


def _redirect(network: Network, url: str) -> Seen:
    kind = url.rpartition("/")[2]
    reply, findings = ask(network, url, follow=False)
    if reply is None or reply.status not in {*REDIRECTS, 401}:
        seen = f"status {reply.status}" if reply else findings[-1].seen
        why = "calendar and address book programs look there when SRV fails"
        cure = f"redirect it to the {kind} server, or let this service answer"
        return Seen((warning("https", url, seen, why, cure),))
    seen = reply.headers.get("location", "it answers itself")
    return Seen((*findings, ok("https", url, f"leads to {seen}")))
