"""Documents: what clients can use, and how they differ from the file or each other."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import unquote

from msgspec import structs

from ....address import (
    DOMAIN_PLACEHOLDER,
    PLACEHOLDERS,
    address_in_query,
    is_for_all,
    with_domain,
)
from ....config.explain.hints import corrected_login, foreign_placeholder
from ....config.reading import from_raw
from ....config.tables import SERVER_KEYS, AuthenticationMethod, Provider, Server
from ....config.values import quote
from ....documents import Recipient, thunderbird
from ....documents.thunderbird_reader import NotAutoconfigError, Reader
from ....errors import ConfigError, Problem
from ...clients import THUNDERBIRD, readings_of
from ...naming import named
from ...net.http import Response
from ...net.untrusted import split_url
from ...reading import Fault, read, username_fault
from ...reading import in_words as enumerated
from ...warnings import TESTED_BY_CHECK, by_fault, find_warnings
from .. import texts
from ..context import Context, Document, FaultyDocument
from ..facts import Facts, Request
from ..findings import OK, Case, Finding, finding, from_problem, shown
from . import servers, web

_MAX_PROBLEMS = 3  # of a faulty document
_MAX_DIFFERENCES = 4  # of two documents, in one finding
_FILLED_IN = re.compile("|".join(PLACEHOLDERS))  # by clients


def read_documents(
    requests: Iterable[Request], case: Case, facts: Facts
) -> tuple[list[Document], list[FaultyDocument]]:
    """Return the different documents among the responses, and those that are faulty."""
    by_body: dict[bytes, dict[Request, Response]] = {}
    documents, faulty = [], []
    for request in requests:
        response, problem = web.fetch(case, facts, request)
        if problem is None:
            responses = by_body.setdefault(web.decompressed(response), {})
            responses.setdefault(request, response)
    for body, responses in by_body.items():
        answered, first = tuple(responses), next(iter(responses.values()))
        try:
            provider = _for_everybody(provider_of(body), answered)
        except NotAutoconfigError:
            continue
        except ConfigError as error:
            raw = Reader().read(body)
            types = {
                f"{key}[{index}]": server.get("type", "")
                for key in SERVER_KEYS
                for index, server in enumerate(raw.get(key, ()))
            }
            faulty.append(FaultyDocument(answered, body, types, tuple(error.problems)))
            continue
        is_verified = any(response.is_verified for response in responses.values())
        documents.append(Document(answered, first, body, provider, is_verified))
    return documents, faulty


def _for_everybody(provider: Provider, requests: Sequence[Request]) -> Provider:
    """Return the provider with placeholders for the one address that all asked with."""
    addresses = {address_in_query(split_url(request.url).query) for request in requests}
    address = next(iter(addresses)) if len(addresses) == 1 else ""
    names = {address: "%EMAILADDRESS%", address.rpartition("@")[0]: "%EMAILLOCALPART%"}

    def with_placeholder(server: Server) -> Server:
        name = names.get(server.username or "")
        return structs.replace(server, username=name) if name else server

    return provider.with_servers(with_placeholder) if address else provider


def provider_of(document: bytes) -> Provider:
    """Return the provider of a document; raise NotAutoconfigError or ConfigError."""
    (provider,) = from_raw({"provider": [Reader().read(document)]}).providers
    return provider


def check_documents(context: Context) -> Iterator[Finding]:
    """Report what is wrong with each document, or that it is good."""
    for document in context.documents:
        findings = list(_of_document(context, document))
        if not context.readers(document) and any(_stopped(context, document)):
            # Its values do not matter until clients can read it.
            of_values = ("document.differs", "document.has-others", "document.warning")
            findings = [found for found in findings if found.code not in of_values]
        elif all(found.status == OK for found in findings):
            place, hosts = document.place, _hosts_of(document)
            agreed = " and agrees with the file" if context.case.provider else ""
            findings += [finding("document.good", place, agreed=agreed, servers=hosts)]
        for found in findings:
            needs_clients = found.status != OK and not found.clients
            yield found.hurting(*context.readers(document) if needs_clients else ())
    for faulty in context.faulty:
        yield from _of_faulty(context, faulty)


def _hosts_of(document: Document) -> str:
    return in_words([row for _, row in document.provider.servers if row.hostname])


def _of_faulty(context: Context, document: FaultyDocument) -> Iterator[Finding]:
    """Report each wrong value once, with the clients that it keeps from working."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for problem in document.problems:
        place = problem.place.removeprefix("provider[0]").removeprefix(".")
        code = f"document.bad-{'username' if place.endswith('.username') else 'value'}"
        places.setdefault((code, problem.message, problem.cure), []).append(place)
    readers, stopped = context.readers(document), [*_stopped(context, document)]
    for (code, message, cure), wrong in [*places.items()][:_MAX_PROBLEMS]:
        if stopped and not any(document.types.get(place, "-") for place in wrong):
            continue  # the clients' faults say that it has no type
        clients = [client for client, fault in stopped if fault.place in wrong]
        faults = [fault for _, fault in stopped if fault.place in wrong]
        words = enumerated([named(place, document.types) for place in wrong])
        text = f"{words}: {message}" if words else message
        if wrong == [""]:  # the message about what is missing has the TOML's words
            if clients:
                continue  # the clients' faults say it
            asker = context.case.asker
            faults = [*read(document.body, THUNDERBIRD.rules, asker).faults]
            text = faults[0].message if faults else text
        cure = faults[0].cure if faults else cure
        found = finding(code, document.requests[0].url, advice=cure, problem=text)
        if clients:
            found = found.marked("only way")._replace(places=_urls(document))
        yield found.hurting(*clients, *readers)


def _urls(document: Document | FaultyDocument) -> tuple[str, ...]:
    return tuple(dict.fromkeys(shown(request.url) for request in document.requests))


def _stopped(
    context: Context, document: Document | FaultyDocument
) -> Iterator[tuple[str, Fault]]:
    """Yield each client that a document gives no settings, with each of its faults."""
    urls = _urls(document)
    for play in context.plays:
        failures = (found for found in play.failures() if found.subject in urls)
        if any(found.code == "document.unusable" for found in failures):
            reading = read(document.body, play.client.rules, context.case.asker)
            yield from ((play.client.name, fault) for fault in reading.faults)


def _of_document(context: Context, document: Document) -> Iterator[Finding]:
    case, provider = context.case, document.provider
    if document in context.foreign:
        yield from _other_domain(context, document)
        return
    yield from _by_clients(context, document)
    if b"<displayName" not in document.body:
        yield finding("document.no-display-name", document.place)
    reported = shared = shared_usernames(case, [document])
    names = {f"{place}.username": row.username for place, row in provider.servers}
    if case.address and not is_personal(case, document):  # the person's own name
        reported |= {name for name in names.values() if name and is_for_all(name)}
    warnings_of = partial(find_warnings, ours=False, without=TESTED_BY_CHECK)
    known = warnings_of([case.provider]) if case.provider else []
    for problem in warnings_of([provider]):
        place = problem.place.removeprefix("provider[0].")
        # Another rule says what is wrong with servers without encryption.
        is_reported = names.get(place) in reported or place.endswith(".socket_type")
        if problem not in known and not is_reported:
            problem = problem._replace(place=named(place, document.types))
            yield from_problem("document", document.place, problem)
    for name in sorted(shared):
        if not username_fault(name, case.asker):  # the clients' rules report it
            cure = f"write <username>{corrected_login(name)}</username>"
            yield shared_name(case, document.place, name, cure)
    yield from _other_domain(context, document)
    if case.provider is not None:
        yield from with_file(context, case.provider, document)
    elif context.provider not in (None, provider):
        yield from _with_reference(context, document)


def _by_clients(context: Context, document: Document) -> Iterator[Finding]:
    """Yield what readers cannot use in a document, unless the file's has it too."""
    case, body = context.case, document.body
    readers = [play.client for play in context.plays if play.reads(document)]
    known: set[tuple[str, str]] = set()
    if case.provider is not None:
        recipient = Recipient(case.domain, case.asker, exact=case.exact)
        for _, reading in readings_of(readers, case.provider, recipient):
            known |= {(fault.code, fault.place) for fault in reading.faults}
    readings = [(client, read(body, client.rules, case.asker)) for client in readers]
    without_login: dict[tuple[str, ...], list[Fault]] = {}
    for names, fault in by_fault(readings):
        if (fault.code, fault.place) in known:
            continue
        if fault.effect == "login":
            without_login.setdefault(tuple(names), []).append(fault)
        else:
            # The message may name the server itself.
            place = named(fault.place, document.types)
            place = "" if fault.message.startswith("the ") else place
            problem = Problem(place, fault.message, fault.cure, enumerated(names))
            yield from_problem("document", document.place, problem, names)
    for clients, faults in without_login.items():
        reason = "; ".join(fault.message for fault in faults)
        code, cure = "document.no-login", faults[0].cure
        places = {fault.place for fault in faults}
        stopped = _stopped(context, document)
        others = [client for client, fault in stopped if fault.place in places]
        found = finding(code, document.place, advice=cure, reason=reason)
        yield found._replace(places=_urls(document)).hurting(*clients, *others)


def other_domains(case: Case, document: Document) -> list[str]:
    """Return the domains that a document is for, if the case's is not among them."""
    provider, patterns = document.provider, list(document.provider.domains)
    # The reader writes %EMAILDOMAIN% as "*".
    is_listed = not {case.domain, DOMAIN_PLACEHOLDER, "*"}.isdisjoint(patterns)
    return [] if is_listed or case.domain in provider.mx_domains else patterns


def is_foreign(context: Context, document: Document) -> bool:
    """Return whether a document is for other domains, which the MX host is not in."""
    # A proxy may rewrite the names of its own site in everything that passes it.
    others = {*other_domains(context.case, document)} - {f"www.{context.case.domain}"}
    return bool(others) and not has_mx_in(context, others)


def has_mx_in(context: Context, domains: Iterable[str]) -> bool:
    """Return whether an MX host is in one of the domains."""
    ends = tuple(f".{domain}" for domain in domains)
    hosts = context.facts.mx_hosts(context.case.domain) if ends else []
    return any(f".{host}".endswith(ends) for host in hosts)


def foreign(context: Context) -> tuple[Document, ...]:
    """Return the documents of another customer: for other domains, with other servers."""
    if context.case.provider is None:
        sources = (source for source in context.sources if source.is_contradicted)
        documents = [source.document for source in sources if source.is_foreign]
        return tuple(filter(None, documents))
    differs = partial(with_file, context, context.case.provider)
    others = (doc for doc in context.documents if is_foreign(context, doc))
    return tuple(document for document in others if any(differs(document)))


def _other_domain(context: Context, document: Document) -> Iterator[Finding]:
    patterns = other_domains(context.case, document)
    if not patterns:
        return
    domain, code = context.case.domain, "document.other-domain"
    others = ", ".join(patterns[:4]) + (" …" if len(patterns) > 4 else "")
    ends = tuple(f"@{pattern}" for pattern in patterns)
    names = {name for name in context.shared_usernames if name.endswith(ends)}
    if document in context.foreign:
        code, names = "document.another-customers", set()
    elif names:
        code = "document.other-users"
    values = {"domain": domain, "others": others, "servers": _hosts_of(document)}
    found = finding(code, document.place, **values)
    if (count := document.body.count(b"<emailProvider")) > 1:
        found = found.within("several-providers", count=count, domain=domain)
    misled = [play for play in context.plays if context.is_foreign(play)]
    for play in context.plays:
        misled += [play for mail in play.mail if mail.username in names]
    if document in context.foreign[:1] or names:
        places = (document.place, *(play.place for play in misled if play.outcome))
        found = found._replace(places=tuple(dict.fromkeys(places)))
        found = found.hurting(*(play.client.name for play in misled))
    if code == "document.other-domain":
        is_hosters = has_mx_in(context, patterns)  # which has it for all its domains
        found = found.marked("explained" if is_hosters else "").hurting("Mustang")
    yield found


# --- User names -------------------------------------------------------------------------


def shared_name(case: Case, place: str, name: str, cure: str = "") -> Finding:
    """Return the finding for a user name that everybody gets, or that is malformed."""
    if odd := username_fault(name, case.asker):
        reason = f"the user name is {name}, {odd}"
        cure = "publish only the address as the user name"
        return finding("document.no-login", place, advice=cure, reason=reason)
    return finding("document.one-username", place, advice=cure, name=quote(name))


def is_unusable_username(case: Case, username: str) -> bool:
    """Return whether no mailbox has the user name, whatever clients fill in."""
    # The domain may be that of examples.
    rest = _FILLED_IN.sub("", username).removesuffix(f"@{case.domain}")
    is_unfilled = texts.code_of("username", rest) or foreign_placeholder(username)
    is_odd = is_unfilled or username_fault(username, case.asker)
    return bool(is_odd) and username != str(case.asker)


def is_others_username(case: Case, username: str) -> bool:
    """Return whether a user name is fixed, and not that of the known address."""
    # By the file people have names of their own, unless it has this one.
    address = case.asker if case.provider else case.address
    if address is None or not username or not is_for_all(username):
        return False
    servers = case.provider.servers if case.provider else ()
    fixed = {server.username for _, server in servers}
    return username not in (str(address), address.local, *fixed)


def is_personal(case: Case, document: Document) -> bool:
    """Return whether requests without the person's address get a fixed user name, too."""
    queries = {unquote(split_url(request.url).query) for request in document.requests}
    names = {server.username for _, server in document.provider.servers}
    has_fixed = any(name and is_for_all(name) for name in names)
    return has_fixed and queries != {f"emailaddress={case.asker}"}


def shared_usernames(case: Case, documents: Iterable[Document]) -> frozenset[str]:
    """Return the user names of documents that are not those of the person who asks."""
    return frozenset(
        name
        for document in documents
        for name in {server.username or "" for _, server in document.provider.servers}
        if is_unusable_username(case, name)
        or (is_others_username(case, name) and is_personal(case, document))
    )


# --- Compared with the file, or another document ----------------------------------------


def with_file(
    context: Context, file: Provider, document: Document
) -> Iterator[Finding]:
    """Report how a document differs from that of the file."""
    case = context.case
    recipient = Recipient(case.domain, exact=case.exact)
    servers_only = structs.replace(file, list_domains=False)
    expected = provider_of(thunderbird.write(servers_only, recipient))
    known = shared_usernames(case, [document])  # another rule reports them
    compared = expected, document.provider
    if differing := differences(context, *compared, "the file says", *known):
        code = "document.has-others" if all(differing.values()) else "document.differs"
        found = finding(code, document.place, differences=_listed(differing))
        yield web.with_cache(found, "cache", document.response)


def _with_reference(context: Context, document: Document) -> Iterator[Finding]:
    """Report how a document differs from the one that others are compared with."""
    same = [doc for doc in context.documents if doc.provider is context.provider]
    reference = same[0]
    where, compared = reference.place, (reference.provider, document.provider)
    if differing := differences(context, *compared, "another says"):
        is_minor = all(differing.values())
        code = "document.has-more" if is_minor else "document.contradicts"
        if where == document.place:
            where = "the same URL for a request with another form of the address"
            without_names = replace(context.case, has_own_login=True)
            context = replace(context, case=without_names)
            if not differences(context, *compared, "another says"):
                code = "document.name-by-address"
        words = _listed(differing)
        found = finding(code, document.place, differences=words, where=where)
        yield web.with_cache(found, "caches", document.response, reference.response)


def _listed(differing: Collection[str]) -> str:
    more = len(differing) - _MAX_DIFFERENCES
    rest = [f"and {more} more"] if more > 0 else []
    return "; ".join([*differing][:_MAX_DIFFERENCES] + rest)


def differences(
    context: Context, expected: Provider, actual: Provider, by: str, *known: str
) -> dict[str, bool]:
    """Return where the servers of two providers differ, and whether that is minor.

    What is minor keeps nobody from the mail. The *known* values are left out; *by* says
    whose the expected ones are, such as "the file says".
    """
    case, types = context.case, {place: server.type for place, server in actual.servers}
    found: dict[str, bool] = {}
    for key in SERVER_KEYS:
        wanted, present = getattr(expected, key), getattr(actual, key)
        is_mail = key in ("incoming", "outgoing")
        if len(wanted) != len(present):
            missing = _unlike_all(case, wanted, present)
            further = _unlike_all(case, present, wanted)
            has_common = bool(wanted and present) and not (missing and further)
            place = f"the further {key.replace('_', ' ')} server"
            text = f"{place} is {in_words(further)}, {by} {in_words(missing)}"
            found[text] = has_common or not is_mail
            continue
        rest = [*wanted]
        for index, server in enumerate(present):
            # Clients look for a type: where it comes among others does not matter.
            same_type = (other for other in rest if other.type == server.type)
            other = next(same_type, rest[0])
            rest.remove(other)
            for field, *values in _fields(case, other, server):
                place = named(f"{key}[{index}].{field}", types)
                should, value = map(in_words, values)
                is_minor = not is_mail or servers.works_as_well(context, other, server)
                if value not in known:
                    found[f"{place} is {value}, {by} {should}"] = is_minor
    return found


def _unlike_all(case: Case, servers: Any, others: Any) -> list[Any]:
    """Return the servers that differ from each of the others."""
    differs = partial(_fields, case)
    return [row for row in servers if all(any(differs(row, other)) for other in others)]


def _fields(case: Case, server: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the fields in which two servers differ, with both values."""
    address = f"{PLACEHOLDERS[1]}@{case.domain}"

    def filled_in(value: Any) -> Any:
        if isinstance(value, str):
            value = with_domain(value, case.domain).replace(PLACEHOLDERS[0], address)
        return value

    for field in server.__struct_fields__:
        if case.has_own_login and field == "username":
            continue  # the site only returns it for an address
        values = getattr(server, field), getattr(other, field)
        if filled_in(values[0]) != filled_in(values[1]):
            yield field, *values


def in_words(value: Any) -> str:
    """Return a value of the model as people write it."""
    if isinstance(value, tuple | list):
        return ", ".join(map(in_words, value)) or "nothing"
    if isinstance(value, Server):
        return value.url or f"{value.type} {value.hostname}:{value.port}"
    if value is None:
        return "missing"
    return value.name if isinstance(value, AuthenticationMethod) else str(value)
