"""Comparisons of what clients set up, with each other and with the file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from ....address import NOBODY, Address, fill_in
from ....config.ports import MAIL_TYPES
from ....documents import Recipient
from ....documents.setups import Account, MeaninglessError, Setup, read_outlook
from ....families import Family
from ...clients import OUTLOOK, THUNDERBIRD, Client, label_of, readings_of
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ..asking import ask_of, asks
from ..facts import Ask
from ..findings import Case, Finding, finding
from ..scene import Document, Play, Scene
from ..weigh import FAILURE
from . import documents, servers, single, web


def reference(scene: Scene) -> Document | None:
    """Return the document to compare with, where there is no file.

    Documents whose servers all work come first, then those that clients use.
    """
    urls = [play.found.url for play in scene.plays if play.found]
    listed = [
        document
        for url in urls
        for document in scene.documents
        if url in {ask.url for ask in document.asks}
    ]
    listed += scene.documents
    if len(scene.documents) == 1:
        return listed[0]

    def has_dead(document: Document) -> bool:
        return servers.has_dead(scene.case, scene.facts, document.provider)

    return min(listed, key=has_dead, default=None)


def of_ispdb(scene: Scene) -> Document | None:
    """Return the document of the ISP database that clients found, or None."""
    found = [play.found for play in scene.plays if play.found]
    listed = [Ask(one.url) for one in found if one.place.startswith("ispdb")]
    read, _ = documents.found(listed, scene.case, scene.facts)
    return next(iter(read), None)


# --- Accounts ---------------------------------------------------------------------------


def differences(scene: Scene) -> Iterator[Finding]:
    """Yield what a client sets up other than the file, or than the first client."""
    compare = _with_file if scene.case.provider else _with_first_client
    for client, play in zip(scene.clients, scene.plays, strict=True):
        is_compared = play.setup is not None and client.family != "dav"
        if is_compared and not play.failures():
            for found in compare(scene, client, play):
                yield found.hurting(client.name)


def _with_file(scene: Scene, client: Client, play: Play) -> Iterator[Finding]:
    setup = expected(client, scene.case) or Setup(())
    for ours, theirs in _differing(setup, play, scene.case.asker):
        if play.is_by_ispdb:
            yield _in_ispdb(scene, play, theirs, "the file says", ours)
            continue
        is_outdated = _is_faulty(scene, ours) and not _is_faulty(scene, theirs)
        code = "setup.file-outdated" if is_outdated else "setup.differs"
        yield _difference(code, play, theirs, "the file says", ours)


def expected(client: Client, case: Case) -> Setup | None:
    """Return what a client would set up with the documents of the file, or None."""
    if client.family == "apple":
        return single.expected_profile(case)
    if case.provider is None or not client.steps:
        return None
    recipient = Recipient(case.domain, case.asker, exact=case.exact)
    ((_, reading),) = readings_of([client], case.provider, recipient)
    return reading.setup


def _with_first_client(scene: Scene, client: Client, play: Play) -> Iterator[Finding]:
    """Compare without a file; accounts that do not work are faults of their own."""
    for account in play.mail:
        name = account.username or ""
        if name in scene.names_for_all:
            yield documents.one_name(play.place, name)
        if client.family == "outlook":
            yield from servers.refused_method(scene.facts, account, client.name)

    plays = [play for play in scene.plays if play.setup and play.setup.servers]

    def faults(play: Play) -> int:
        return sum(_is_faulty(scene, account) for account in play.mail)

    first = min(plays, key=faults, default=None)
    if first is None or first.setup is None or first is play:
        return
    # Not every format can express every method.
    accounts = [one._replace(authentication="") for one in first.setup.servers]
    for ours, theirs in _differing(Setup(tuple(accounts)), play, scene.case.asker):
        whose = f"{first.client} sets up"
        if play.is_by_ispdb and not first.is_by_ispdb:
            yield _in_ispdb(scene, play, theirs, whose, ours)
            continue
        is_faulty = _is_faulty(scene, ours) or _is_faulty(scene, theirs)
        if not is_faulty and not _is_choice(first, play, ours):
            found = _difference("setup.contradicts", play, theirs, whose, ours)
            is_same_server = _is_same_server(scene, play, ours)
            yield found.marked("same server" if is_same_server else "")


def _in_ispdb(
    scene: Scene, play: Play, theirs: Account, whose: str, ours: Account
) -> Finding:
    """Return that the ISP database has another server, which may work as well."""
    found = _difference("ispdb.differs", play, theirs, whose, ours)
    return found.marked("only way" if _is_faulty(scene, theirs) else "")


def _is_faulty(scene: Scene, account: Account) -> bool:
    """Return whether an account gets no mail, as far as it can be tried."""
    if account.url or account.type not in MAIL_TYPES:
        return False
    return account.username in scene.names_for_all or servers.is_dead(
        scene.facts, Endpoint.of(account)
    )


def _is_choice(first: Play, play: Play, ours: Account) -> bool:
    """Return whether two clients use different servers of the same document."""
    replies = [one.found.reply if one.found else None for one in (first, play)]
    bodies = {reply.body if reply else None for reply in replies}
    endpoints = [Endpoint.of(one) for one in play.mail if one.type == ours.type]
    return (
        len(bodies) == 1 and None not in bodies and Endpoint.of(ours) not in endpoints
    )


def _is_same_server(scene: Scene, play: Play, ours: Account) -> bool:
    """Return whether a client uses another name of the same server."""

    def addresses(account: Account) -> list[str]:
        with suppress(LookupFailed):
            return sorted(scene.facts.addresses(account.hostname))
        return []

    return bool(addresses(ours)) and any(
        one.type == ours.type
        and one.hostname != ours.hostname
        and one[2:4] == ours[2:4]
        and addresses(one) == addresses(ours)
        for one in play.mail
    )


def _differing(
    ours: Setup, play: Play, who: Address
) -> Iterator[tuple[Account, Account]]:
    """Yield the accounts of one type that differ: ours, and that of the client."""
    theirs = play.setup.servers if play.setup else ()
    for our in ours.servers:
        same_type = [one for one in theirs if one.type == our.type]
        if same_type and not any(_is_same(our, one, who) for one in same_type):
            yield our, same_type[0]


def _is_same(one: Account, other: Account, who: Address) -> bool:
    if one.url or other.url:
        return one.url.rstrip("/") == other.url.rstrip("/")
    if one[1:4] != other[1:4]:
        return False
    if len({one.authentication, other.authentication} - {""}) > 1:
        return False
    names = [fill_in(each.username, who.domain, who) for each in (one, other)]
    return not all(names) or names[0] == names[1]


def _difference(
    code: str, play: Play, theirs: Account, whose: str, ours: Account
) -> Finding:
    said = {"theirs": _in_words(theirs, ours), "ours": _in_words(ours, theirs)}
    return finding(code, play.place, whose=whose, **said)


def _in_words(account: Account, other: Account) -> str:
    words = str(account)
    if account.username != other.username and account.username:
        words += f", user name {account.username}"
    methods = {account.authentication, other.authentication}
    if len(methods) > 1 and "" not in methods:
        words += f", {account.authentication}"
    return words


def names_for_all(scene: Scene) -> frozenset[str]:
    """Return the user names that everybody gets, in documents and from Autodiscover.

    Autodiscover may return personal login names, so it is asked for another person too.
    """
    case = scene.case
    found = documents.names_for_all(case, scene.documents)
    another = replace(case, address=Address(NOBODY, case.domain))
    for play in scene.plays:
        names = {account.username or "" for account in play.mail}
        found |= set(filter(documents.is_unfilled, names))
        suspect = {name for name in names if documents.is_anothers(case, name)} - found
        reply = play.found.reply if play.found else None
        if suspect and reply and play.family == "outlook":
            with suppress(ProbeError, MeaninglessError):
                ask = ask_of(OUTLOOK.steps[1], another, reply.url)
                setup = read_outlook(web.unpacked(scene.facts.answer(ask)))
                found |= suspect & {one.username or "" for one in setup.servers}
    return found


# --- What is not published --------------------------------------------------------------


def nothing(scene: Scene) -> Iterator[Finding]:
    """Yield that there is no config-v1.1.xml where there should be one."""
    served = [one for one in scene.case.families if one.name == "thunderbird"]
    codes = {found.code for play in scene.plays for found in play.findings}
    is_there = scene.documents or scene.faulty or "document.not-read" in codes
    if is_there or not served:
        return
    found = _no_settings(scene)
    if scene.case.provider:
        found = _no_document(scene, served[0])
    if found is not None:
        yield found


def _no_settings(scene: Scene) -> Finding | None:
    """Return that nothing is published, unless a client finds another format."""
    plays = [play for play in scene.plays if play.family != "dav"]
    if any(play.setup is not None for play in plays):
        return None
    is_explained = any(
        found.code in ("http.exchange", "http.limited")
        or (
            found.status == FAILURE
            and (found.step == "document" or found.code == "http.empty")
        )
        for play in scene.plays
        for found in play.findings
    )
    none = finding("document.none", scene.case.domain)
    return none.marked("explained" if is_explained else "")


def _no_document(scene: Scene, family: Family) -> Finding:
    domain, plays = scene.case.domain, scene.plays
    if any(play.found and play.found.place.startswith("mx") for play in plays):
        return finding("document.none-at-domain", domain)
    if any(play.is_by_ispdb for play in plays):
        return finding("document.none-at-domain-ispdb", domain)
    name, askers = f"{family.label}.{domain}", family.askers
    has_cause = any(
        found.status == FAILURE or found.code == "http.limited"
        for play in plays
        if play.family == family.name
        for found in play.findings
    )
    none = finding("document.not-published", name, name=name, askers=askers)
    if scene.facts.exists(name):
        url = f"https://{name}{family.routes[0].path}"
        status = "" if has_cause else " (status 404)"
        code = "document.not-there"
        none = finding(code, url, domain=domain, status=status, askers=askers)
    return none.marked("explained" if has_cause else "")


def ispdb(scene: Scene) -> Iterator[Finding]:
    """Yield that the ISP database could not be asked about the domain."""
    (step,) = (step for step in THUNDERBIRD.steps if step.place == "ispdb")
    clients = [
        client.name
        for client in scene.clients
        if any(each.place == "ispdb" for each in client.steps)
    ]
    for ask in asks(step, scene.case, scene.facts) if clients else ():
        try:
            status = scene.facts.answer(ask).status
            reason = "" if status in (200, 404) else f"status {status}"
        except ProbeError as error:
            reason = str(error)
        if reason:
            yield finding("ispdb.not-reached", ask.url, reason=reason).hurting(*clients)


def hosters(scene: Scene) -> Iterator[Finding]:
    """Yield empty responses of MX hosts' domains, for the domain and for an unknown one.

    Clients of other domains take an empty response for an answer.
    """
    case, facts = scene.case, scene.facts
    step = next(step for step in THUNDERBIRD.steps if step.place == "mx domain")
    unknown = replace(case, domain="unknown.invalid", address=None)
    listed = asks(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{label_of(step)}.{name}{step.path}"
        listed.append(ask_of(step, unknown, url))
    for ask in dict.fromkeys(listed):
        with suppress(ProbeError):
            found = web.of_reply(case, facts.answer(ask), ask.url)
            if found is not None and found.code in web.ENDING:
                yield found._replace(marks=frozenset(("for others",)))
