"""What `validate` warns of.

Each client is played over the documents that it would be served (:mod:`clients`): what it
stumbles over is a warning at that place in the file. What no client's rules explain is a
row of advice: a function of a provider, with whom it hurts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from msgspec import json, to_builtins

from ..address import Address, unfold
from ..config import values
from ..config.ports import MAIL_TYPES, standard_port
from ..config.rules import Origin
from ..config.tables import FamilyName, Provider, Server
from ..config.writing import strings_read_by
from ..documents import (
    LONGEST_NAME,
    LONGEST_SHORT_NAME,
    Recipient,
    apple,
    pacc,
)
from ..errors import Problem
from ..families import FAMILIES, Family
from ..page import look
from . import novices, zone
from .clients import CLIENTS, Client, readings_of
from .reading import Fault, Reading, in_words

_BROKEN_PLACEHOLDER = re.compile(
    r"%(?:EMAILADDRESS|EMAILLOCALPART|EMAILDOMAIN|REALNAME)(?!%)"
)

_BY_RECORDS = "Programs that go by SRV records"
# Of each thing that hurts: its place in the provider, what is wrong, what would be right.
Complaints = Iterator[tuple[str, str, str]]


class Subject(NamedTuple):
    """A provider that is looked at."""

    provider: Provider

    @property
    def mail(self) -> Iterator[tuple[str, Server]]:
        """Its servers that mail programs speak to, each with its place."""
        return (it for it in self.provider.servers if it[1].type in MAIL_TYPES)


class Advice(NamedTuple):
    """A row of what no client's rules explain."""

    client: str  # whom it hurts
    complaints: Callable[[Subject], Complaints]
    family: FamilyName | None = None  # the client asks for nothing else; None: any
    is_of_ours: bool = False  # about what we make of the settings, not about them


def _in_clear(of: Subject) -> Complaints:
    for at, server in of.mail:
        if server.socket_type == "plain":
            yield (
                f"{at}.socket_type",
                "mail and passwords travel unencrypted",
                'offer "SSL" or "STARTTLS"',
            )


def _no_url(_: object) -> None:
    """In the place of what a domains file lists, which is no URL."""


def _page_in_clear(of: Subject) -> Complaints:
    if b"http://" not in json.encode(of.provider, enc_hook=_no_url):
        return
    raw = to_builtins(of.provider, enc_hook=_no_url)
    for it in strings_read_by(values.url, Provider, raw, ""):
        if it.table[it.key].startswith("http://"):
            yield (
                it.place,
                "whoever follows it asks unencrypted, and anybody on the way can answer",
                "write https://, once the server speaks it",
            )


def _encrypted_password(of: Subject) -> Complaints:
    for at, server in of.mail:
        methods = [it for it in server.authentication if it != "OAuth2"]  # Evolution
        if methods[:1] == ["password-encrypted"]:
            yield (
                f"{at}.authentication",
                "it obeys password-encrypted to the letter (CRAM-MD5), even under TLS, "
                "and where the server offers only PLAIN every login fails",
                'write "password-cleartext" unless the server offers CRAM-MD5',
            )


def _unfinished_placeholder(of: Subject) -> Complaints:
    for at, server in of.provider.servers:
        broken = _BROKEN_PLACEHOLDER.search(server.username or "")
        if broken:
            yield (
                f"{at}.username",
                f"{broken[0]} without its last % is taken literally",
                f"write {broken[0]}%",
            )


_STANDARD = {
    standard_port(type_, socket_type): (type_, socket_type)
    for type_ in MAIL_TYPES
    for socket_type in ("SSL", "STARTTLS")
}


def _odd_port(of: Subject) -> Complaints:
    for at, server in of.mail:
        owner, expected = _STANDARD.get(server.port, (server.type, "plain"))
        if owner != server.type:
            yield (
                f"{at}.port",
                f"port {server.port} is {owner}'s, and this server is of type "
                f"{server.type}",
                "write the port that it really has",
            )
        elif "plain" not in (expected, server.socket_type) and (
            server.socket_type != expected
        ):
            yield (
                f"{at}.port",
                f"port {server.port} is {expected}'s, the server is said to speak "
                f"{server.socket_type} there",
                f'write socket_type = "{expected}", unless it really does',
            )


def _long_name(of: Subject) -> Complaints:
    limits = {
        "display_name": LONGEST_NAME,
        "display_short_name": LONGEST_SHORT_NAME,
    }
    for key, limit in limits.items():
        name = getattr(of.provider, key)
        if name and len(name) > limit:
            yield (
                key,
                f"the documents take {limit} characters at most, this has {len(name)}",
                "shorten it, or it is cut there",
            )


def _login_not_in_dns(of: Subject) -> Complaints:
    known = {"%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILLOCALPART%@%EMAILDOMAIN%"}
    for at, server in of.mail:
        if server.username and server.username not in known:
            yield (
                f"{at}.username",
                "records name no login: they try the address, then what stands before "
                "the @ (RFC 6186, section 4)",
                "let people log in with one of these, too",
            )


def _usual_url(of: Subject) -> Complaints:
    for at, server in of.provider.servers:
        if server.is_url_usual:
            yield (
                f"{at}.hostname",
                f"they are told {server.url}, where such a service is by its standard",
                "give the real url instead of hostname",
            )


def _no_authorization_server(of: Subject) -> Complaints:
    for at, server in of.provider.servers:
        if "OAuth2" in server.authentication and of.provider.oauth2 is None:
            yield (
                f"{at}.authentication",
                "where it does not know the provider it finds no authorization server",
                "add [provider.oauth2], or take OAuth2 out",
            )


def _long_list(of: Subject) -> Complaints:
    number = (
        sum(1 for _ in of.provider.exact_domains) if of.provider.list_domains else 0
    )
    if number > 1000:
        yield (
            "list_domains",
            f"every answer lists all {number} domains, and who reads one sees them all",
            "set list_domains = false",
        )


def _pale_colour(of: Subject) -> Complaints:
    colour = of.provider.page.colour if of.provider.page else None
    if colour is None:
        return
    contrast = look.contrast(colour, look.PAPER)
    if contrast < look.ENOUGH:
        shade = look.legible(colour, look.PAPER)
        yield (
            "page.colour",
            f"its contrast on the page is {contrast:.1f}:1, under {look.ENOUGH}:1, so that "
            f"links are written in {shade} instead",
            f"write a darker one, as {shade}",
        )


def _left_out(
    reasons: Callable[[Provider], Iterable[tuple[str, str]]], message: str, who: str
) -> Callable[[Subject], Complaints]:
    """Return the complaints about a format that has no word for some servers."""

    def complaints(of: Subject) -> Complaints:
        for place, reason in reasons(of.provider):
            cure = f"offer it so too, or leave {who} without it"
            yield place, f"{message}: {reason}", cure

    return complaints


_NOT_IN_PROFILES = _left_out(
    apple.left_out, "it is left out of profiles", "Apple's programs"
)
_NOT_IN_DNS = _left_out(zone.left_out, "it has no record", "those programs")
_NOT_IN_PACC = _left_out(pacc.left_out, "it is left out there", "PACC's clients")
_SAME_ID = "same id"
# What hurts most comes first: passwords that anybody can read, what no client can use,
# what some drop the whole document for, what single ones do otherwise, and style. A word
# stands for the faults of clients that are played, by their effect.
_ORDER: tuple[Advice | str, ...] = (
    Advice("Every client", _in_clear),
    Advice("Every client", _page_in_clear),
    Advice("Every client", novices.unreachable_hosts),
    Advice("Every client", novices.misplaced),
    Advice("Every client", novices.unknown_domains, is_of_ours=True),
    Advice("Every client", novices.same_names),
    Advice("Every client", _unfinished_placeholder),
    Advice("Every client", _odd_port),
    Advice("Every client", _usual_url),
    Advice("Every client", _no_authorization_server),
    Advice("Every client", novices.unreachable_pages),
    "document",
    # They set up what the file says, and whether that works is the server's matter.
    Advice("Kontact and Evolution", _encrypted_password, "thunderbird"),
    "server",
    "setting",
    Advice("Every client", _long_list),
    Advice("Every client", _long_name),
    _SAME_ID,
    Advice("Your own site", novices.same_domains, is_of_ours=True),
    Advice("The page", _pale_colour, "page"),
    Advice("iPhone, iPad and Mac", _NOT_IN_PROFILES, "apple", is_of_ours=True),
    Advice(_BY_RECORDS, _NOT_IN_DNS, is_of_ours=True),
    Advice(_BY_RECORDS, _login_not_in_dns, is_of_ours=True),
    Advice("PACC", _NOT_IN_PACC, "pacc", is_of_ours=True),
)


def warnings(
    providers: Sequence[Provider],
    served: Iterable[Family] = FAMILIES,
    origins: Sequence[Origin] = (),
    *,
    ours: bool = True,
) -> list[Problem]:
    """Return what one client or another cannot take, the worst first.

    What is equally bad is in the file's order. `served` are the families whose clients
    count, `origins` say where each provider stands: without them in one file. Unless the
    settings are `ours`, others publish them, and no client is played: their documents
    are read as they are.
    """
    one_file = (Origin("", f"provider[{it}]", "") for it in count())
    families = {family.name: family for family in served}
    rows = [
        it
        for it in _ORDER
        if isinstance(it, Advice)
        and (it.family is None or it.family in families)
        and (ours or not it.is_of_ours)
    ]
    found: dict[Advice | str, list[Problem]] = {it: [] for it in _ORDER}
    seen: dict[str, Origin] = {}
    for provider, origin in zip(providers, origins or one_file, strict=False):
        first = seen.setdefault(provider.identity, origin)
        if first is not origin:
            found[_SAME_ID].append(_same_id(provider, origin, first))
        subject = Subject(provider)
        told: list[tuple[Advice | str, str, tuple[str, str, str]]] = [
            (row, row.client, it) for row in rows for it in row.complaints(subject)
        ]
        for client, fault in of_served(provider, families) if ours else ():
            told.append((fault.effect, client, fault[2:]))
        for key, client, (where, message, cure) in told:
            place = f"{origin.place}.{where}" if where else origin.place
            found[key].append(Problem(place, message, cure, client, origin.file))
    return [problem for problems in found.values() for problem in problems]


def of_served(
    provider: Provider, families: Mapping[str, Family]
) -> Iterator[tuple[str, Fault]]:
    """Yield what clients stumble over in the documents that they would be served."""
    domain = next(iter(provider.exact_domains), "")
    exact = bool(domain)
    if not exact:  # somebody's whom the pattern is for
        pattern = next(iter(provider.domains), "*")
        domain = pattern.replace("*", "example" if "." in pattern else "example.com")
    recipient = Recipient(domain, Address("postmaster", domain), exact=exact)
    clients = [it for it in CLIENTS if it.steps and it.family in families]
    everybody = [it.name for it in clients if it.family == "thunderbird"]
    for names, fault in stumbles(readings_of(clients, provider, recipient)):
        is_all = names == everybody
        yield families["thunderbird"].askers if is_all else in_words(names), fault


def stumbles(
    readings: Iterable[tuple[Client, Reading]],
) -> Iterable[tuple[list[str], Fault]]:
    """Return each fault once, with the names of all clients that stumble over it."""
    found: dict[Fault, list[str]] = {}
    for client, reading in readings:
        for fault in reading.faults:
            found.setdefault(fault, []).append(client.name)
    return [(names, fault) for fault, names in found.items()]


def _same_id(provider: Provider, origin: Origin, first: Origin) -> Problem:
    name = unfold(provider.identity)
    return Problem(
        f"{origin.place}.id",
        f"{first.seen_from(origin)} has the id {name} too",
        "give it another: find_provider reaches only the first",
        "Your own site",
        origin.file,
    )
