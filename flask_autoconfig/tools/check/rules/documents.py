"""Documents: what clients can use, and how they differ from the file or each other."""

import re
from collections.abc import Iterable, Iterator, Sequence
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
from ....config.explain.hints import login_for, theirs_in
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
from ...reading import Fault, odd_name, read
from ...reading import in_words as enumerated
from ...warnings import ASKED, by_fault, find_warnings
from .. import texts
from ..context import Context, Document, FaultyDocument
from ..facts import Facts, Request
from ..findings import OK, Case, Finding, finding, from_problem, shown
from . import servers, web

_MOST_PROBLEMS = 3  # of a faulty document
_MOST_DIFFERENCES = 4  # of two documents, in one finding
_OURS = re.compile("|".join(PLACEHOLDERS))  # what clients fill in


def found(
    requests: Iterable[Request], case: Case, facts: Facts
) -> tuple[list[Document], list[FaultyDocument]]:
    """Return the different documents among the responses, and those that are faulty."""
    answers: dict[bytes, list[tuple[Request, Response]]] = {}
    for request in requests:
        response, wrong = web.asked(case, facts, request)
        if wrong is None:
            answers.setdefault(web.unpacked(response), []).append((request, response))

    documents, faulty = [], []
    for body, answered in answers.items():
        listed = tuple(request for request, _ in answered)
        try:
            provider = _for_everybody(provider_of(body), listed)
        except NotAutoconfigError:
            continue
        except ConfigError as error:
            raw = Reader().read(body)
            types = {
                f"{key}[{index}]": server.get("type", "")
                for key in SERVER_KEYS
                for index, server in enumerate(raw.get(key, ()))
            }
            faulty.append(FaultyDocument(listed, body, types, tuple(error.problems)))
            continue
        is_verified = any(response.is_verified for _, response in answered)
        documents.append(Document(listed, answered[0][1], body, provider, is_verified))
    return documents, faulty


def _for_everybody(provider: Provider, requests: Sequence[Request]) -> Provider:
    """Return the provider with placeholders for the one address that all asked with."""
    asked = {address_in_query(split_url(it.url).query) for it in requests}
    who = next(iter(asked)) if len(asked) == 1 else ""
    names = {who: "%EMAILADDRESS%", who.rpartition("@")[0]: "%EMAILLOCALPART%"}

    def unnamed(server: Server) -> Server:
        name = names.get(server.username or "")
        return structs.replace(server, username=name) if name else server

    return provider.with_servers(unnamed) if who else provider


def provider_of(document: bytes) -> Provider:
    """Return the provider of a document; raise NotAutoconfigError or ConfigError."""
    (provider,) = from_raw({"provider": [Reader().read(document)]}).providers
    return provider


def look(context: Context) -> Iterator[Finding]:
    """Yield what is wrong with each document, or that it is valid."""
    for document in context.documents:
        findings = list(_of_document(context, document))
        is_lost = not context.readers(document) and any(_lost(context, document))
        if is_lost:  # its values do not matter until clients can read it
            ours = ("document.differs", "document.has-others", "document.warning")
            findings = [one for one in findings if one.code not in ours]
        elif all(found.status == OK for found in findings):
            servers = _hosts_of(document)
            agreed = " and agrees with the file" if context.case.provider else ""
            place = document.place
            good = finding("document.good", place, agreed=agreed, servers=servers)
            findings.append(good)
        for found in findings:
            needs_clients = found.status != OK and not found.clients
            yield found.hurting(*context.readers(document) if needs_clients else ())
    for faulty in context.faulty:
        yield from _of_faulty(context, faulty)


def _hosts_of(document: Document) -> str:
    listed = (server for _, server in document.provider.servers if server.hostname)
    return in_words(tuple(listed))


def _of_faulty(context: Context, document: FaultyDocument) -> Iterator[Finding]:
    """Yield each wrong value once, with the clients that it keeps from working."""
    places: dict[tuple[str, str, str], list[str]] = {}
    for problem in document.problems:
        place = problem.place.removeprefix("provider[0]").removeprefix(".")
        code = f"document.bad-{'username' if place.endswith('.username') else 'value'}"
        places.setdefault((code, problem.message, problem.cure), []).append(place)
    readers = context.readers(document)
    lost = list(_lost(context, document))
    for (code, message, cure), listed in [*places.items()][:_MOST_PROBLEMS]:
        words = enumerated([named(place, document.types) for place in listed])
        said = f"{words}: {message}" if words else message
        if lost and not any(document.types.get(place, "-") for place in listed):
            continue  # the clients say that it has no type
        hurt = [(name, fault) for name, fault in lost if fault.place in listed]
        faults = [fault for _, fault in hurt]
        if listed == [""]:  # the message about what is missing has the TOML's words
            if hurt:
                continue  # the clients say it
            faults = [
                *read(document.body, THUNDERBIRD.rules, context.case.asker).faults
            ]
            said = faults[0].message if faults else said
        cure = faults[0].cure if faults else cure
        found = finding(code, document.requests[0].url, advice=cure, problem=said)
        if hurt:
            found = found.marked("only way")._replace(places=_urls(document))
        yield found.hurting(*(name for name, _ in hurt), *readers)


def _urls(document: Document | FaultyDocument) -> tuple[str, ...]:
    return tuple(dict.fromkeys(shown(request.url) for request in document.requests))


def _lost(
    context: Context, document: Document | FaultyDocument
) -> Iterator[tuple[str, Fault]]:
    """Yield the clients that find no settings for a document's faults, and these."""
    urls = _urls(document)
    for client, stops in ((play.client, play.failures()) for play in context.plays):
        if any(it.code == "document.unusable" and it.subject in urls for it in stops):
            reading = read(document.body, client.rules, context.case.asker)
            yield from ((client.name, fault) for fault in reading.faults)


def _of_document(context: Context, document: Document) -> Iterator[Finding]:
    case = context.case
    if document in context.foreign:
        yield from _other_domain(context, document)
        return
    yield from _by_clients(context, document)
    if b"<displayName" not in document.body:
        yield finding("document.no-display-name", document.place)
    for_all = names_for_all(case, [document])
    servers = document.provider.servers
    names = {f"{place}.username": server.username for place, server in servers}
    told = {*for_all}
    if case.address and not is_personal(case, document):  # the person's own name
        told |= {name for name in names.values() if name and is_for_all(name)}
    ours = [case.provider] if case.provider else []
    known = list(find_warnings(ours, ours=False, without=ASKED))
    for problem in find_warnings([document.provider], ours=False, without=ASKED):
        if problem in known:
            continue
        place = problem.place.removeprefix("provider[0].")
        # Another rule says what is wrong with servers without encryption.
        if names.get(place) not in told and not place.endswith(".socket_type"):
            problem = problem._replace(place=named(place, document.types))
            yield from_problem("document", document.place, problem)
    for name in sorted(for_all):
        if not odd_name(name, case.asker):  # the clients' rules tell it
            cure = f"write <username>{login_for(name)}</username>"
            yield one_name(case, document.place, name, cure)
    yield from _other_domain(context, document)
    if case.provider is not None:
        yield from with_file(context, case.provider, document)
    elif context.provider not in (None, document.provider):
        yield from _with_reference(context, document)


def _by_clients(context: Context, document: Document) -> Iterator[Finding]:
    """Yield what readers cannot use in it, unless the file's has it too."""
    case = context.case
    readers = [play.client for play in context.plays if play.reads(document)]
    known: set[tuple[str, str]] = set()
    if case.provider is not None:
        recipient = Recipient(case.domain, case.asker, exact=case.exact)
        for _, reading in readings_of(readers, case.provider, recipient):
            known |= {(fault.code, fault.place) for fault in reading.faults}
    readings = ((it, read(document.body, it.rules, case.asker)) for it in readers)
    shut: dict[tuple[str, ...], list[Fault]] = {}
    for clients, fault in by_fault(readings):
        if (fault.code, fault.place) in known:
            continue
        if fault.effect == "login":
            shut.setdefault((*clients,), []).append(fault)
        else:
            client = enumerated(clients)
            # The message names the server itself.
            place = named(fault.place, document.types)
            place = "" if fault.message.startswith("the ") else place
            problem = Problem(place, fault.message, fault.cure, client)
            yield from_problem("document", document.place, problem, clients)
    for hurt, faults in shut.items():
        reason = "; ".join(fault.message for fault in faults)
        code, cure = "document.no-login", faults[0].cure
        places = {fault.place for fault in faults}
        lost = [name for name, one in _lost(context, document) if one.place in places]
        found = finding(code, document.place, advice=cure, reason=reason)
        yield found._replace(places=_urls(document)).hurting(*hurt, *lost)


def others_of(case: Case, document: Document) -> list[str]:
    """Return the domains that a document is for, if the case's is not among them."""
    provider = document.provider
    patterns = list(provider.domains)
    # The reader writes %EMAILDOMAIN% as "*".
    is_for_it = not {case.domain, DOMAIN_PLACEHOLDER, "*"}.isdisjoint(patterns)
    return [] if is_for_it or case.domain in provider.mx_domains else patterns


def is_foreign(context: Context, document: Document) -> bool:
    """Return whether a document is for other domains, which the MX host is not in."""
    # A proxy may rewrite the names of its own site in everything that passes it.
    others = {*others_of(context.case, document)} - {f"www.{context.case.domain}"}
    return bool(others) and not is_of_mx(context, others)


def is_of_mx(context: Context, names: Iterable[str]) -> bool:
    ends = tuple(f".{name}" for name in names)
    hosts = context.facts.mx_hosts(context.case.domain) if ends else []
    return any(f".{host}".endswith(ends) for host in hosts)


def foreign(context: Context) -> tuple[Document, ...]:
    """Return the documents of another customer: for other domains, with other servers."""
    if context.case.provider is None:
        theirs = (it for it in context.sources if it.is_foreign and it.is_contradicted)
        return tuple(source.document for source in theirs if source.document)
    differs = partial(with_file, context, context.case.provider)
    others = (one for one in context.documents if is_foreign(context, one))
    return tuple(one for one in others if any(differs(one)))


def _other_domain(context: Context, document: Document) -> Iterator[Finding]:
    patterns = others_of(context.case, document)
    if patterns:
        domain = context.case.domain
        others = ", ".join(patterns[:4]) + (" …" if len(patterns) > 4 else "")
        code = "document.other-domain"
        ends = tuple(f"@{name}" for name in patterns)
        names = {it for it in context.names_for_all if it.endswith(ends)}
        if document in context.foreign:
            code, names = "document.another-customers", set()
        code = "document.other-users" if names else code
        said = {"domain": domain, "others": others, "servers": _hosts_of(document)}
        found = finding(code, document.place, **said)
        if (count := document.body.count(b"<emailProvider")) > 1:
            found = found.within("several-providers", count=count, domain=domain)
        if code == "document.other-domain" and is_of_mx(context, patterns):
            found = found.marked("explained")  # it is that of the domain's hoster
        plays = [play for play in context.plays if context.is_foreign(play)]
        plays += [
            it for it in context.plays if names & {one.username for one in it.mail}
        ]
        if document in context.foreign[:1] or names:
            places = (document.place, *(play.place for play in plays if play.found))
            found = found._replace(places=tuple(dict.fromkeys(places)))
            found = found.hurting(*(play.client.name for play in plays))
        yield found.hurting("Mustang") if code == "document.other-domain" else found


# --- User names -------------------------------------------------------------------------


def one_name(case: Case, place: str, name: str, cure: str = "") -> Finding:
    """Return that everybody gets the same user name, or the domain in it twice."""
    if odd := odd_name(name, case.asker):
        reason = f"the user name is {name}, {odd}"
        cure = "publish only the address as the user name"
        return finding("document.no-login", place, advice=cure, reason=reason)
    return finding("document.one-username", place, advice=cure, name=quote(name))


def is_nobodys(case: Case, username: str) -> bool:
    """Return whether no client can make the name of a mailbox of a user name."""
    if username == str(case.asker):  # also where the domain is that of examples
        return False
    is_unfilled = texts.code_of("username", _OURS.sub("", username))
    return bool(theirs_in(username) or is_unfilled or odd_name(username, case.asker))


def is_anothers(case: Case, username: str) -> bool:
    """Return whether it is a fixed user name other than that of the known address."""
    # By the file people have names of their own, unless it has this one.
    who = case.asker if case.provider else case.address
    if who is None or not username or not is_for_all(username):
        return False
    servers = case.provider.servers if case.provider else ()
    return username not in (str(who), who.local, *(it.username for _, it in servers))


def is_personal(case: Case, document: Document) -> bool:
    """Return whether requests without the person's address get a fixed user name too."""
    queries = {unquote(split_url(request.url).query) for request in document.requests}
    names = {server.username for _, server in document.provider.servers}
    has_fixed = any(name and is_for_all(name) for name in names)
    return has_fixed and queries != {f"emailaddress={case.asker}"}


def names_for_all(case: Case, documents: Iterable[Document]) -> frozenset[str]:
    """Return the user names that no client fills in, and requests for all get."""
    return frozenset(
        name
        for document in documents
        for name in {it.username or "" for _, it in document.provider.servers}
        if is_nobodys(case, name)
        or (is_anothers(case, name) and is_personal(case, document))
    )


# --- Compared with the file, or another document ----------------------------------------


def with_file(
    context: Context, file: Provider, document: Document
) -> Iterator[Finding]:
    """Yield the differences of a document from the provider of the file."""
    case = context.case
    recipient = Recipient(case.domain, exact=case.exact)
    alone = structs.replace(file, list_domains=False)  # only servers count
    ours = provider_of(thunderbird.write(alone, recipient))
    told = names_for_all(case, [document])  # by another rule
    pair, by = (ours, document.provider), "the file says"
    if differing := differences(context, *pair, by=by, told=told):
        code = "document.has-others" if all(differing.values()) else "document.differs"
        wrong = finding(code, document.place, differences=_listed(differing))
        yield web.with_cache(wrong, "cache", document.response)


def _with_reference(context: Context, document: Document) -> Iterator[Finding]:
    other = next(
        each for each in context.documents if each.provider is context.provider
    )
    where, compared = other.place, (other.provider, document.provider)
    if differing := differences(context, *compared):
        is_minor = all(differing.values())
        code = "document.has-more" if is_minor else "document.contradicts"
        if where == document.place:
            where = "the same URL for a request with another form of the address"
            known = replace(context.case, has_own_login=True)
            if not differences(replace(context, case=known), *compared):
                code = "document.name-by-address"
        words = _listed(differing)
        wrong = finding(code, document.place, differences=words, where=where)
        yield web.with_cache(wrong, "caches", document.response, other.response)


def _listed(differing: Iterable[str]) -> str:
    listed = [*differing]
    rest = len(listed) - _MOST_DIFFERENCES
    more = [f"and {rest} more"] if rest > 0 else []
    return "; ".join(listed[:_MOST_DIFFERENCES] + more)


def differences(
    context: Context,
    ours: Provider,
    theirs: Provider,
    by: str = "another says",
    told: frozenset[str] = frozenset(),
) -> dict[str, bool]:
    """Return where the servers of two providers differ, and whether that is minor.

    What is minor keeps nobody from the mail. Values that are *told* are left out.
    """
    case, types = context.case, {place: server.type for place, server in theirs.servers}
    found: dict[str, bool] = {}
    for key in SERVER_KEYS:
        our, their = getattr(ours, key), getattr(theirs, key)
        is_mail = key in ("incoming", "outgoing")
        if len(our) == len(their):
            rest = list(our)
            for index, other in enumerate(their):
                # Clients look for a type: where it comes among others does not matter.
                same = (it for it in rest if it.type == other.type)
                pair = next(same, rest[0]), other
                rest.remove(pair[0])
                for name, *values in _fields(case, *pair):
                    place = named(f"{key}[{index}].{name}", types)
                    one, it = map(in_words, values)
                    is_minor = not is_mail or servers.is_as_good(context, *pair)
                    if it not in told:
                        found[f"{place} is {it}, {by} {one}"] = is_minor
        else:
            place = f"the further {key.replace('_', ' ')} server"
            alone = [
                [it for it in one if all(any(_fields(case, it, at)) for at in other)]
                for one, other in ((our, their), (their, our))
            ]
            is_minor = not is_mail or (bool(our and their) and not all(alone))
            one, it = map(in_words, alone)
            found[f"{place} is {it}, {by} {one}"] = is_minor
    return found


def _fields(case: Case, our: Any, their: Any) -> Iterator[tuple[str, Any, Any]]:
    for field in our.__struct_fields__:
        if case.has_own_login and field == "username":
            continue  # the site only returns it for an address
        one, other = getattr(our, field), getattr(their, field)
        whole, parts = PLACEHOLDERS[0], f"{PLACEHOLDERS[1]}@{case.domain}"
        filled = [
            with_domain(value, case.domain).replace(whole, parts)
            if isinstance(value, str)
            else value
            for value in (one, other)
        ]
        if filled[0] != filled[1]:
            yield field, one, other


def in_words(value: Any) -> str:
    """Return a value of the model as people write it."""
    if isinstance(value, tuple | list):
        return ", ".join(map(in_words, value)) or "nothing"
    if isinstance(value, Server):
        return value.url or f"{value.type} {value.hostname}:{value.port}"
    if value is None:
        return "missing"
    return value.name if isinstance(value, AuthenticationMethod) else str(value)
