"""Comparisons of what clients set up, with each other and with the file."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from ....address import NOBODY, Address
from ....config.ports import MAIL_TYPES
from ....config.tables import Provider
from ....documents import Recipient, activesync, apple, outlook
from ....documents.setups import (
    Account,
    MeaninglessError,
    Setup,
    read_outlook,
    read_profile,
)
from ....documents.thunderbird_reader import NotAutoconfigError
from ....errors import ConfigError
from ....families import Family
from ...clients import OUTLOOK, THUNDERBIRD, Client, label_of, readings_of
from ...naming import SERVERS
from ...net.http import Reply
from ...net.mail import Endpoint
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from ...reading import in_words as enumerated
from .. import texts
from ..facts import Ask, each_of
from ..findings import FAILURE, WARNING, Case, Finding, finding
from ..scene import Document, Play, Scene, ask_of, asks
from . import connections, documents, servers, single, sources, web

# What keeps this program, but not clients, from settings.
_UNTOLD = ("http.limited", *web.SHUT)


def reference(scene: Scene) -> Document | None:
    """Return the most credible document, else that of the ISP database."""
    listed = [one.document for one in scene.sources if one.document]
    by_ispdb = [it.found for it in scene.plays if it.found and it.is_by_ispdb]
    if not listed:
        urls = (Ask(one.url) for one in by_ispdb)
        listed, _ = documents.found(urls, scene.case, scene.facts)
    return next((one for one in listed if one not in scene.foreign), None)


# --- Accounts ---------------------------------------------------------------------------


def differences(scene: Scene) -> Iterator[Finding]:
    """Yield what a client sets up other than the file, or than other sources say."""
    for play in scene.own_plays:
        if play.setup is None or play.client.family == "dav" or play.failures():
            continue
        file = scene.case.provider
        compared = _with_file(scene, play, file) if file else _without_file(scene, play)
        listed = [*compared]
        for one in () if scene.has_document(play) else play.mail:
            if (name := one.username) in scene.names_for_all:
                listed.append(_one_name(scene.case, play.place, str(name)))
        for slip in play.setup.slips:
            code, said = slip.code or "document.ignored", slip.message
            listed.append(finding(code, play.place, advice=slip.cure, message=said))
        yield from (found.hurting(play.client.name) for found in listed)
    yield from sources.contradictions(scene)


def _one_name(case: Case, place: str, name: str) -> Finding:
    other = name.partition("@")[2]
    if other and not case.has(other) and not documents.is_nobodys(case, name):
        code, domain = "document.other-users", case.domain
        return finding(code, place, domain=domain, others=other)
    return documents.one_name(case, place, name)


def _with_file(scene: Scene, play: Play, file: Provider) -> Iterator[Finding]:
    client, who = play.client, scene.case.asker
    expected = _expected(scene, client)
    if not play.is_by_ispdb:
        yield from _dead_exchange(scene, play) or _incomplete(scene, play, expected)
    # The first document may have the same other servers.
    own = [it for it in scene.documents[:1] if it not in scene.foreign]
    listed = servers.endpoints(scene.case, own[0].provider if own else None)
    of_document = [*documents.with_file(scene, file, own[0])] if own else []
    differing: dict[tuple[str, str], list[tuple[Account, Account]]] = {}
    for ours, theirs in _differing(expected, play, who):
        if play.is_by_ispdb:
            yield _in_ispdb(scene, play, "the file says", ours, theirs)
            continue
        if "none" in (ours.authentication, theirs.authentication):
            told = list(connections.refused_method(scene.facts, theirs, client))
            yield from told
            if told and sources.is_same(theirs._replace(authentication=""), ours, who):
                continue
        same = ours._replace(username=theirs.username)
        if same == theirs and theirs.username in scene.names_for_all:
            continue
        code, is_faulty = "setup.differs", sources.is_faulty(scene, theirs)
        if sources.is_faulty(scene, ours) and not theirs.url and not is_faulty:
            is_right = servers.is_alive(scene.facts, Endpoint.of(theirs))
            code = "setup.file-outdated" if is_right else code
        is_beside = servers.is_as_good(scene, ours, theirs)
        told = [it for it in of_document if is_beside or it.status == FAILURE]
        is_elsewhere = code == "setup.differs" and ours[1:4] != theirs[1:4]
        if is_elsewhere and Endpoint.of(theirs) in listed and told:
            yield from (found.at(play.place) for found in told)
            continue
        is_beside |= any(sources.is_same(ours, one, who) for one in play.mail)
        mark = "beside" if is_beside and not is_faulty else ""
        differing.setdefault((code, mark), []).append((ours, theirs))
    way = play.found.place if play.found is not None else ""
    for (code, mark), pairs in differing.items():
        found = sources.difference(code, play.place, "the file says", who, *pairs)
        ways = [{one[3], it[3]} for one, it in pairs if one[:3] == it[:3]]
        if way == "srv":
            found = found.within("by-srv")
        elif {"SSL", "STARTTLS"} in ways and client.family in ("outlook", "apple"):
            found = found.within(f"encryption-in-{client.family}")
        elif way.startswith("mx") and not file.mx_domains:  # it is no hoster's
            found = found.within("at-mx", here=f"autoconfig.{scene.case.domain}")
        yield found.marked(mark)


def _incomplete(
    scene: Scene, play: Play, expected: Sequence[Account]
) -> Iterator[Finding]:
    types = {account.type for account in play.accounts}
    mail = [one for one in expected if one.type in MAIL_TYPES and not one.url]
    missing = [one for one in mail if one.type not in types]
    servers = scene.case.provider.servers if scene.case.provider else ()
    is_meant = any(one.type in web.EXCHANGE_TYPES for _, one in servers)
    if missing and not (is_meant and _exchange(play)):
        listed = ", ".join(map(str, [*play.mail, *_exchange(play)]))
        words = enumerated([SERVERS[one.type] for one in missing], "or")
        found = f"{listed} and no {words}" if listed else "no mail account"
        ours = ", ".join(map(str, missing))
        is_there = {401, 403}.intersection(_exchange_answers(scene, play))
        incomplete = finding("setup.incomplete", play.place, theirs=found, ours=ours)
        is_beside = "imap" in types and {one.type for one in missing} == {"pop3"}
        incomplete = incomplete.marked("beside" if is_beside else "")
        yield incomplete.marked("exchange" if is_there else "")


def _exchange(play: Play) -> list[Account]:
    """Return the accounts of an Exchange server, which needs no others."""
    types = ("ews", "activesync")
    return [one for one in play.accounts if one.url and one.type in types]


def _exchange_answers(scene: Scene, play: Play) -> Iterator[int]:
    """Yield the status of each Exchange URL, 0 where no server is there."""
    for one in _exchange(play):
        try:
            is_there = scene.facts.addresses(split_url(one.url).hostname or "")
            yield scene.facts.answer(Ask(one.url)).status if is_there else 0
        except ProbeError as error:
            yield 0 if error.kind == "connect" else 500
        except LookupFailed:
            yield 500


def _dead_exchange(scene: Scene, play: Play) -> list[Finding]:
    """Return that no URL leads to an Exchange; some may be for people inside only."""
    answers = set(_exchange_answers(scene, play))
    if not answers or not answers <= {0, 404, 410}:
        return []
    reason = f"status {max(answers)}" if max(answers) else "no server is there"
    account, *_ = _exchange(play)
    return [finding("setup.dead-url", play.place, account=account, reason=reason)]


def phones(scene: Scene) -> Iterator[Finding]:
    """Yield a URL of ActiveSync that leads nowhere, or that phones get none of the file."""
    file = scene.case.provider
    is_meant = any(it.type == "activesync" for _, it in file.servers) if file else False
    schemas = outlook.RESPONSE.encode(), activesync.NAMESPACE.encode()
    plays = (it for it in scene.plays if it.client.name == OUTLOOK.name)
    for found in filter(None, (play.found for play in plays)):
        ask = ask_of(OUTLOOK.steps[1], scene.case, found.reply.url)
        ask = ask._replace(body=(ask.body or b"").replace(*schemas))
        reply, wrong = web.asked(scene.case, scene.facts, ask)
        try:
            setup = read_outlook(web.unpacked(reply)) if reply.status else Setup(())
            for dead in _dead_exchange(scene, Play(OUTLOOK, setup, found)):
                yield dead.hurting("ActiveSync phones")
        except MeaninglessError as error:
            # Phones send the password where they are asked for it.
            if is_meant and reply.status not in (401, 429, 503):
                reason = wrong.seen if wrong else error
                none = finding("autodiscover.no-phones", found.url, reason=reason)
                yield none.hurting("ActiveSync phones")


def _expected(scene: Scene, client: Client) -> tuple[Account, ...]:
    """Return what a client would set up with the documents of the file."""
    case, setup = scene.case, None
    recipient = Recipient(case.domain, case.asker, exact=case.exact)
    if case.provider is not None and client.family == "apple":
        body = apple.write(case.provider, recipient)
        with suppress(MeaninglessError):
            setup = servers.settled(scene.facts, read_profile(body)) if body else None
    elif case.provider is not None and client.steps:
        ((_, reading),) = readings_of([client], case.provider, recipient)
        setup = reading.setup
    return setup.servers if setup else ()


def _without_file(scene: Scene, play: Play) -> Iterator[Finding]:
    """Yield accounts that do not work, and those that the ISP database differs in."""
    client, is_document = play.client, scene.has_document(play)
    for account in play.mail:
        reason = "" if is_document else sources.of_own_network(account)
        if reason:
            code = "setup.private-host"
            found = finding(code, play.place, account=account, reason=reason)
            is_alive = servers.is_alive(scene.facts, Endpoint.of(account))
            yield found.marked("beside" if is_alive else "")
        is_read = client.rules.oauth != "unknown" or account.type == "smtp"
        is_open = account.authentication == "none" and is_read
        if client.family in ("outlook", "apple") or is_open:
            yield from connections.refused_method(scene.facts, account, client)
    if client.family in ("outlook", "apple"):
        types = {account.type for account in play.mail}
        missing = "" if "smtp" in types else SERVERS["smtp"]
        missing = "IMAP or POP3 server" if types <= {"smtp"} else missing
        if types and missing and not _exchange(play):
            mail = ", ".join(map(str, play.mail))
            yield finding("setup.half", play.place, theirs=mail, missing=missing)
        yield from _dead_exchange(scene, play)
    provider = scene.provider if client.family == "apple" else None
    listed = [it for _, it in provider.servers if it.url] if provider else []
    named = [Account(it.type, "", 0, "", it.username, url=str(it.url)) for it in listed]
    for pair in _differing(named, play, scene.case.asker):
        if pair[0].url == pair[1].url:  # only the user names differ
            known = ("profile.other-name", play.place, "config-v1.1.xml says")
            yield sources.difference(*known, scene.case.asker, pair)
    if play.is_by_ispdb and scene.measure:
        accounts, whose = scene.measure.accounts, sources.said_by(scene.measure)
        for ours, theirs in _differing(accounts, play, scene.case.asker):
            yield _in_ispdb(scene, play, whose, ours, theirs)


def _in_ispdb(
    scene: Scene, play: Play, whose: str, ours: Account, theirs: Account
) -> Finding:
    code, who = "ispdb.differs", scene.case.asker
    found = sources.difference(code, play.place, whose, who, (ours, theirs))
    return found.marked("only way" if sources.is_faulty(scene, theirs) else "")


def _differing(
    ours: Sequence[Account], play: Play, who: Address
) -> Iterator[tuple[Account, Account]]:
    """Yield the accounts of the client that are none of ours: ours of its type, and it."""
    for their in play.accounts:
        same_type = [one for one in ours if one.type == their.type]
        if same_type and not any(sources.is_same(one, their, who) for one in same_type):
            yield same_type[0], their


def replaced_profiles(scene: Scene) -> Iterator[Finding]:
    """Yield that the profiles of two addresses replace each other on a device."""
    another = replace(scene.case, address=Address(NOBODY, scene.case.domain))
    for play in scene.plays:
        if play.setup and play.client.family == "apple":
            other = single.play_profile(play.client, another, scene.facts).setup
            name, accounts = play.setup.identifier, play.setup.servers
            if other and other.identifier == name and other.servers != accounts:
                found = finding("profile.one-identifier", play.place, identifier=name)
                yield found.hurting(play.client.name)


def names_for_all(scene: Scene) -> frozenset[str]:
    """Return the user names that everybody gets, as requests for two people show."""
    case = replace(scene.case, address=scene.case.asker)
    found = documents.names_for_all(scene.case, scene.documents)
    another = replace(case, address=Address(NOBODY, case.domain))
    for play in scene.plays:
        names = {account.username or "" for account in play.mail}
        found |= {name for name in names if documents.is_nobodys(case, name)}
        suspect = {name for name in names if documents.is_anothers(case, name)} - found
        reply = play.found.reply if play.found else None
        setup: Setup | None = Setup(())
        if suspect and play.client.family == "apple":
            setup = single.play_profile(play.client, another, scene.facts).setup
        elif suspect and reply and play.client.family == "outlook":
            with suppress(ProbeError, MeaninglessError):
                ask = ask_of(OUTLOOK.steps[1], another, reply.url)
                setup = read_outlook(web.unpacked(scene.facts.answer(ask)))
        theirs = setup.servers if setup else ()
        found |= suspect & {it.username or "" for it in theirs}
    return found


# --- What is not published --------------------------------------------------------------


def nothing(scene: Scene) -> Iterator[Finding]:
    """Yield that there is no config-v1.1.xml where there should be one."""
    served = [one for one in scene.case.families if one.name == "thunderbird"]
    codes = {found.code for play in scene.plays for found in play.findings}
    is_there = scene.documents or scene.faulty or "document.not-read" in codes
    none = None if is_there or not served else _no_document(scene, served[0])
    if scene.case.provider is not None:
        yield from filter(None, [none])
        return
    plays = [play for play in scene.plays if play.client.family != "dav"]
    is_found = any(play.setup is not None for play in plays)
    # Somebody has made the name for the document, or the document.
    meant = ("document.not-there", "document.misplaced", "document.none-at-domain")
    is_meant = none is not None and none.code in meant
    if none and is_meant:
        yield none.marked("first place" if is_found else "")
    if is_found:
        yield from _some(scene, plays)
    elif own := [*sources.own_programs(scene.facts, scene.case.domain)]:
        yield from own
    elif none and not (is_meant or none.advice):  # such as another name
        met = [found for play in plays for found in play.findings]
        failed = (it for it in met if it.status == FAILURE)
        is_explained = any(it.code in _UNTOLD for it in met) or any(
            it.step == "document" or it.code == "http.empty" for it in failed
        )
        at = ""
        with suppress(LookupFailed):
            listed = scene.facts.network.resolver.name_servers(scene.case.domain)
            at = f" at its name servers, {enumerated(listed)}" if listed else ""
        found = finding("document.none", scene.case.domain, at=at)
        yield found.marked("explained" if is_explained else "")


def _some(scene: Scene, plays: list[Play]) -> Iterator[Finding]:
    """Yield which clients find nothing that others find."""
    lost = [
        play.client
        for play in plays
        if play.client.steps and play.setup is None
        if all(it.code not in _UNTOLD for it in play.findings)
        if all(it.status not in (WARNING, FAILURE) for it in play.findings)
    ]
    lost.sort(key=lambda it: it.family != "thunderbird")
    for client in lost[:1]:
        domain, names = scene.case.domain, [it.name for it in lost]
        name = f"{scene.case.family(client.family).label}.{domain}"
        code, said = "document.some", {"askers": enumerated(names), "name": name}
        found = finding(code, domain, **said).hurting(*names)
        # Another finding tells of a host that lacks the documents of others.
        is_like = client.family == "thunderbird" and scene.documents
        yield found.marked("absent" if scene.facts.exists(name) or not is_like else "")


def _no_document(scene: Scene, family: Family) -> Finding:
    domain, plays = scene.case.domain, scene.plays
    name = f"{family.label}.{domain}"
    mark = "elsewhere" if documents.is_hosted(scene) else ""
    if any(play.found and play.found.place.startswith("mx") for play in plays):
        return finding("document.none-at-domain", domain, name=name).marked(mark)
    if any(play.is_by_ispdb for play in plays):
        return finding("document.none-at-domain-ispdb", domain, name=name).marked(mark)
    own = [play for play in plays if play.client.family == family.name]
    met = (found for play in own for found in play.findings)
    has_cause = any(it.status == FAILURE or it.code == "http.limited" for it in met)
    lost = [it.client.name for it in own if it.setup is None]
    askers = enumerated(lost) if 0 < len(lost) < len(own) else family.askers
    said = {"name": name, "domain": domain, "askers": askers}
    code, advice = "document.misplaced", web.renamed(scene.facts, name)
    for url in [] if has_cause or advice else _misplaced(scene, name):
        return finding(code, url, **said)
    code = "document.not-published"
    none = finding(code, name, advice=advice, **said)
    if scene.facts.exists(name):
        url = f"https://{name}{family.routes[0].path}"
        status = "" if has_cause else " (status 404)"
        code = "document.not-there"
        none = finding(code, url, status=status, **said)
        with suppress(ProbeError):
            none = web.with_cache(none, "caches", scene.facts.answer(Ask(url)))
    is_chance = not scene.case.provider and scene.facts.is_by_wildcard(name, domain)
    none = none.marked("by chance" if is_chance else "")
    return none.marked("explained" if has_cause else "")


def _misplaced(scene: Scene, name: str) -> list[str]:
    """Return the URLs of documents that are where no client asks for them."""
    domain, paths = scene.case.domain, texts.table("groups")["misplaced"]
    near = (name, domain, f"mail.{domain}")

    def look(url: str) -> Iterator[str]:
        reply, _ = web.asked(scene.case, scene.facts, Ask(url))
        if b"<clientConfig" in web.unpacked(reply):
            yield url

    hosts = filter(scene.facts.exists, near)
    return each_of(look, [f"https://{host}{path}" for host in hosts for path in paths])


def ispdb(scene: Scene) -> Iterator[Finding]:
    """Yield that the ISP database could not be asked about the domain."""
    (step,) = (step for step in THUNDERBIRD.steps if step.place == "ispdb")
    clients = [it.client.name for it in scene.plays if step in it.client.steps]
    for ask in asks(step, scene.case, scene.facts) if clients else ():
        try:
            status = scene.facts.answer(ask).status
            reason = "" if status in (200, 404) else f"status {status}"
        except ProbeError as error:
            reason = str(error)
        if reason:
            yield finding("ispdb.not-reached", ask.url, reason=reason).hurting(*clients)


def hosters(scene: Scene) -> Iterator[Finding]:
    """Yield empty responses of MX hosts' domains, where clients of others stop."""
    case, facts = scene.case, scene.facts
    step = next(step for step in THUNDERBIRD.steps if step.place == "mx domain")
    unknown = replace(case, domain="unknown.invalid", address=None)
    listed = asks(step, case, facts)
    for name in (case.provider.mx_domains if case.provider else ())[:2]:
        url = f"https://{label_of(step)}.{name}{step.path}"
        listed.append(ask_of(step, unknown, url))
    for ask in dict.fromkeys(listed):
        _, found = web.asked(case, facts, ask)
        if found is not None and found.code in web.ENDING:
            yield found._replace(marks=frozenset(("for others",)))


def each_document(scene: Scene) -> Iterator[Finding]:
    """Yield the addresses of a document's host that answer its request with another."""
    for document in scene.documents:
        ask, first = document.asks[0], document.reply
        if first.redirects or not first.address:
            continue
        with suppress(ProbeError):
            for address, reply in scene.facts.at_addresses(ask).items():
                if not isinstance(reply, Reply) or reply.is_limited:
                    continue
                found = ""
                if reply.status != first.status:
                    found = f"status {reply.status}"
                elif not reply.is_forged:
                    found = "another document"
                    with suppress(ConfigError, NotAutoconfigError):
                        other = documents.provider_of(web.unpacked(reply))
                        found = "" if other == document.provider else found
                if found:
                    code, at = "document.at-address", document.place
                    yield finding(code, at, found=found, address=address)
