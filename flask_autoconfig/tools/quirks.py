"""What single clients cannot take: their quirks, as one table.

Each quirk is a function of a provider, in a row with the client that it hurts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import NamedTuple

from msgspec import json, to_builtins

from ..address import unfold
from ..config import values
from ..config.ports import MAIL_TYPES, standard_port
from ..config.rules import Origin
from ..config.tables import FamilyName, Provider, Server
from ..config.writing import strings_read_by
from ..documents import LONGEST_NAME, LONGEST_SHORT_NAME, apple, pacc
from ..errors import Problem
from ..families import FAMILIES, Family
from ..page import look
from . import novices, zone

_BROKEN_PLACEHOLDER = re.compile(
    r"%(?:EMAILADDRESS|EMAILLOCALPART|EMAILDOMAIN|REALNAME)(?!%)"
)

_BY_RECORDS = "Programs that go by SRV records"
K9 = "Thunderbird for Android (K-9)"
# Of each thing that hurts: its place in the provider, what is wrong, what would be right.
Complaints = Iterator[tuple[str, str, str]]


class Subject(NamedTuple):
    """A provider that is looked at, and its servers that mail programs speak to."""

    provider: Provider
    mail: list[tuple[str, Server]]  # each with its place in the provider


class Quirk(NamedTuple):
    """A client, and what it stumbles over."""

    client: str
    complaints: Callable[[Subject], Complaints]
    family: FamilyName | None = None  # the client asks for nothing else; None: any
    is_of_ours: bool = False  # about what we make of the settings, not about them


def _mail_servers(provider: Provider) -> list[tuple[str, Server]]:
    return [
        (at, server) for at, server in provider.servers if server.type in MAIL_TYPES
    ]


def _drops_unencrypted(of: Subject) -> Complaints:
    for at, server in of.mail:
        if server.socket_type == "plain" and server.type != "pop3":
            yield (
                f"{at}.socket_type",
                "it drops the whole document for an unencrypted server",
                'offer "SSL" or "STARTTLS"',
            )


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


def _no_k9_method(of: Subject) -> Complaints:
    known = {"OAuth2", "password-cleartext", "password-encrypted"}
    for at, server in of.mail:
        if server.type != "pop3" and not known.intersection(
            method for method in server.authentication if isinstance(method, str)
        ):
            yield (
                f"{at}.authentication",
                "it drops the whole document for a server without a method it knows",
                'add "password-cleartext" or "OAuth2"',
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


def _several(of: Subject) -> Complaints:
    for key in ("incoming", "outgoing"):
        seen: dict[str, int] = {}
        for index, server in enumerate(getattr(of.provider, key)):
            first = seen.setdefault(server.type, index)
            if first != index:
                yield (
                    f"{key}[{index}]",
                    f"of several {server.type} servers Evolution takes the last, "
                    "Kontact the first",
                    "keep the best one",
                )


def _oauth_in_kontact(of: Subject) -> Complaints:
    for at, server in of.mail:
        if "OAuth2" in server.authentication and len(server.authentication) > 1:
            yield (
                f"{at}.authentication",
                "OAuth2 wins, even behind a password method",
                "keep OAuth2 only if Kontact can use it with your server",
            )


def _only_oauth(of: Subject) -> Complaints:
    for at, server in of.mail:
        if server.authentication == ("OAuth2",):
            yield (
                f"{at}.authentication",
                "Thunderbird does OAuth2 only with providers that it knows and drops "
                "the server otherwise; Evolution sets up no authentication",
                'let "password-cleartext" follow it',
            )


def _certificate_alone(of: Subject) -> Complaints:
    for at, server in of.mail:
        if server.authentication == ("TLS-client-cert",):
            yield (
                f"{at}.authentication",
                "it drops a server with TLS-client-cert alone",
                "add a method with a password",
            )


def _reference_in_value(of: Subject) -> Complaints:
    for at, server in of.mail:
        if any(char in (server.username or "") for char in "&<>"):
            yield (
                f"{at}.username",
                "it cuts the name off at a character that XML must escape (& < >)",
                "choose a login name without it",
            )


def _no_user_name(of: Subject) -> Complaints:
    for at, server in of.mail:
        if server.username is None:
            yield (
                f"{at}.username",
                "it drops a server without a user name",
                'write username = "%EMAILADDRESS%", which others ignore there',
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


def _no_mail(of: Subject) -> Complaints:
    if not of.provider.incoming or not of.provider.outgoing:
        yield (
            "",
            "it takes no document without an incoming and an smtp server",
            "add the servers, if there are any",
        )


def _no_account(of: Subject) -> Complaints:
    types = {server.type for server in of.provider.incoming}
    if not types.intersection(("imap", "pop3", "ews", "exchange")):
        yield (
            "",
            "it gets no account without a server to read mail from, but error 500",
            "add the server, if there is one",
        )


_STANDARD = {
    (type_, socket_type): standard_port(type_, socket_type)
    for type_ in MAIL_TYPES
    for socket_type in ("SSL", "STARTTLS")
}
_USUAL = {port: socket_type for (_, socket_type), port in _STANDARD.items()}
_OWNER = {port: type_ for (type_, _), port in _STANDARD.items()}


def _odd_port(of: Subject) -> Complaints:
    for at, server in of.mail:
        owner = _OWNER.get(server.port)
        if owner and owner != server.type:
            yield (
                f"{at}.port",
                f"port {server.port} is {owner}'s, and this server is of type "
                f"{server.type}",
                "write the port that it really has",
            )
            continue
        expected = _USUAL.get(server.port)
        if expected and server.socket_type not in (expected, "plain"):
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


def _not_in_pacc(of: Subject) -> Complaints:
    for place, reason in pacc.left_out(of.provider):
        yield (
            place,
            f"it is left out there: {reason}",
            "offer it so too, or leave PACC's clients without it",
        )


def _not_in_dns(of: Subject) -> Complaints:
    for place, reason in zone.left_out(of.provider):
        yield (
            place,
            f"it has no record: {reason}",
            "offer it so too, or leave those programs without it",
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


def _not_in_profile(of: Subject) -> Complaints:
    for place, reason in apple.left_out(of.provider):
        yield (
            place,
            f"it is left out of profiles: {reason}",
            "offer it so too, or leave Apple's programs without it",
        )


def _pop3_first(of: Subject) -> Complaints:
    types = [server.type for server in of.provider.incoming]
    if "imap" in types[1:] and types[0] != "imap":
        yield (
            "incoming[0]",
            f"it reads the first server alone, and finds no settings in {types[0]}",
            "let the imap server stand first",
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


# What hurts most comes first: passwords that anybody can read, what no client can use,
# what some drop the whole document for, what single ones do otherwise, and style.
QUIRKS = (
    Quirk("Every client", _in_clear),
    Quirk("Every client", _page_in_clear),
    Quirk("Every client", novices.unreachable_hosts),
    Quirk("Every client", novices.misplaced),
    Quirk("Every client", novices.unknown_domains, is_of_ours=True),
    Quirk("Every client", novices.same_names),
    Quirk("Every client", _unfinished_placeholder),
    Quirk("Every client", _odd_port),
    Quirk("Every client", _usual_url),
    Quirk("Every client", _no_authorization_server),
    Quirk("Every client", novices.unreachable_pages),
    Quirk("Thunderbird", _no_mail, "thunderbird"),
    Quirk("Thunderbird", _certificate_alone, "thunderbird"),
    Quirk(K9, _drops_unencrypted, "thunderbird"),
    Quirk(K9, _no_k9_method, "thunderbird"),
    Quirk("Kontact and Evolution", _encrypted_password, "thunderbird"),
    Quirk("Kontact and Evolution", _several, "thunderbird"),
    Quirk("Kontact", _oauth_in_kontact, "thunderbird"),
    Quirk("Thunderbird and Evolution", _only_oauth, "thunderbird"),
    Quirk("Delta Chat", _reference_in_value, "thunderbird"),
    Quirk("Delta Chat", _no_user_name, "thunderbird"),
    Quirk("FairEmail", _pop3_first, "thunderbird"),
    Quirk("Outlook", _no_account, "outlook"),
    Quirk("Every client", _long_list),
    Quirk("Every client", _long_name),
    Quirk("Your own site", novices.same_domains, is_of_ours=True),
    Quirk("The page", _pale_colour, "page"),
    Quirk("iPhone, iPad and Mac", _not_in_profile, "apple", is_of_ours=True),
    Quirk(_BY_RECORDS, _not_in_dns, is_of_ours=True),
    Quirk(_BY_RECORDS, _login_not_in_dns, is_of_ours=True),
    Quirk("PACC", _not_in_pacc, "pacc", is_of_ours=True),
)
# The row before which what hurts the own site alone is told.
_BEFORE_STYLE = [it.complaints for it in QUIRKS].index(_long_list)


def warnings(
    providers: Sequence[Provider],
    served: Iterable[Family] = FAMILIES,
    origins: Sequence[Origin] = (),
    *,
    ours: bool = True,
) -> list[Problem]:
    """What one client or another cannot take, the worst first: in the order of QUIRKS.

    What one of them finds is in the file's order. `served` are the families whose
    clients count, `origins` say where each provider stands: without them in one file.
    Unless they are `ours`, others publish the settings.
    """
    one_file = (Origin("", f"provider[{it}]", "") for it in count())
    names = {family.name for family in served}
    found: list[list[Problem]] = [[] for _ in QUIRKS]
    same_ids = found[_BEFORE_STYLE]
    seen: dict[str, Origin] = {}
    for provider, origin in zip(providers, origins or one_file, strict=False):
        first = seen.setdefault(provider.identity, origin)
        if first is not origin:
            same_ids.append(_same_id(provider, origin, first))
        subject = Subject(provider, _mail_servers(provider))
        for problems, quirk in zip(found, QUIRKS, strict=True):
            client, complaints, family, is_of_ours = quirk
            if (family is not None and family not in names) or (
                is_of_ours and not ours
            ):
                continue
            for where, message, cure in complaints(subject):
                place = f"{origin.place}.{where}" if where else origin.place
                problems.append(Problem(place, message, cure, client, origin.file))
    return [problem for problems in found for problem in problems]


def _same_id(provider: Provider, origin: Origin, first: Origin) -> Problem:
    name = unfold(provider.identity)
    return Problem(
        f"{origin.place}.id",
        f"{first.seen_from(origin)} has the id {name} too",
        "give it another: find_provider reaches only the first",
        "Your own site",
        origin.file,
    )
