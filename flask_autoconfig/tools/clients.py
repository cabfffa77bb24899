"""The table of clients: what each requests, in which order, and how it reads the answers.

The values were measured with the client or read in its source. `check` plays the clients
over the network (:mod:`check.playing`), `validate` over the documents that would be
served (:mod:`warnings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec import structs

from ..config.tables import FamilyName, Provider
from ..documents import Recipient, outlook, thunderbird
from ..documents.setups import MeaninglessError, read_outlook
from ..families import FAMILIES, Family
from .reading import Fault, Reading, Rules, read

# What the query names: the address; an address with Evolution's fixed local part; nothing;
# the address without percent-encoding.
Form = Literal["address", "evolution", "none", "raw"]
# The host of a request: LABEL.DOMAIN, the domain itself, LABEL and the domain of the MX
# host, or LABEL and the MX host; or the ISP database, about the domain or that of the MX
# host.
Place = Literal["host", "domain", "mx domain", "mx host", "ispdb", "ispdb mx"]
Scheme = Literal["https", "http"]
Kind = Literal["xml", "pox", "pox by get", "v2", "302"]


class Step(NamedTuple):
    """One request of a client."""

    place: Place
    path: str
    form: Form = "address"
    scheme: Scheme = "https"
    kind: Kind = "xml"

    @property
    def is_far(self) -> bool:
        """Whether it goes to a host of somebody else."""
        return self.place.startswith(("mx", "ispdb"))


class Client(NamedTuple):
    """A client: what it requests, and how it reads the answers."""

    name: str
    family: FamilyName  # the documents that it requests first
    steps: tuple[Step, ...] = ()
    rules: Rules = Rules()
    needs_xml_type: bool = False  # text/xml or application/xml
    takes_no_compression: bool = False
    takes_empty: bool = False  # stops at an empty 200 or a 204, and guesses
    takes_empty_404: bool = False  # stops at an empty 404
    needs_absolute_location: bool = False
    agent: str = ""  # its User-Agent, "" where it is not known
    redirects: int = 10  # that it follows, as curl and libsoup do in programs
    patience: float = 10.0  # seconds that it waits for a response, at least
    srv: Literal["", "mail", "outlook"] = ""  # records that it looks up at the end
    in_check: bool = True  # False: `validate` alone plays it


def _family(name: FamilyName) -> Family:
    return next(family for family in FAMILIES if family.name == name)


CONFIG, _WELL_KNOWN = (route.path for route in _family("thunderbird").routes[:2])
_MAIL_V1 = "/.well-known/mail-v1.xml"
# Thunderbird's; older releases and the other clients use another name of it.
ISPDB = "https://live.thunderbird.net/autoconfig/v1.1/"
_BY_ISPDB = Step("ispdb", "", "none")
_BY_MX_AND_ISPDB = Step("ispdb mx", "", "none")
POX, _V2 = (route.path for route in _family("outlook").routes[:2])


def _at_both(form: Form, scheme: Scheme = "https") -> tuple[Step, ...]:
    places: tuple[tuple[Place, str], ...] = (("host", CONFIG), ("domain", _WELL_KNOWN))
    return tuple(Step(place, path, form, scheme) for place, path in places)


_POSTED = (Step("domain", POX, kind="pox"), Step("host", POX, kind="pox"))
_GOT = tuple(step._replace(kind="pox by get", form="none") for step in _POSTED)

OUTLOOK = Client(
    "Outlook (classic)",
    "outlook",
    (
        Step("host", _V2, kind="v2"),
        *_POSTED,
        Step("host", POX, "none", "http", kind="302"),
    ),
    agent="Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17328; Pro)",
    srv="outlook",
)
THUNDERBIRD = Client(
    "Thunderbird",
    "thunderbird",
    (
        *_at_both("address"),
        *_at_both("address", "http"),
        _BY_ISPDB,
        Step("mx domain", CONFIG),
        _BY_MX_AND_ISPDB,
        *reversed(_POSTED),
        Step("host", POX, "none", "http", kind="pox"),
    ),
    rules=Rules(
        other_types=frozenset(("exchange", "ews", "owa")),  # 153.8
        # It skips methods that it does not know, and drops a server that has no others
        # (153.8).
        methods=frozenset(
            (
                *("password-cleartext", "password-encrypted", "GSSAPI", "NTLM"),
                *("none", "client-IP-address", "smtp-after-pop", "OAuth2"),
            )
        ),
        oauth="by host",
        needs_domain=True,
        needs_id=True,  # like the three below seen with 153.8
        made_up=("undefined", "true"),
        gecko=True,
    ),
    needs_xml_type=True,
    agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:153.0) Gecko/20100101 "
    "Thunderbird/153.0",
    redirects=7,
    patience=5.0,
    srv="outlook",
)
CALENDARS = Client("Calendars", "dav")
_UNFILLED = Rules(domain="kept")

CLIENTS = (
    THUNDERBIRD,
    Client(
        "Thunderbird for Android (K-9)",
        "thunderbird",
        (
            *_at_both("none"),
            *_at_both("none", "http"),
            _BY_ISPDB,
            Step("mx domain", CONFIG, "none"),
            _BY_MX_AND_ISPDB,
        ),
        rules=Rules(
            types=("imap", "smtp"),
            socket_types=("SSL", "STARTTLS"),
            methods=frozenset(("OAuth2", "password-cleartext", "password-encrypted")),
            provider="last",
            trims=False,
            needs_id=True,
            needs_username=True,
            all_or_nothing=True,
        ),
        agent="okhttp/4.12.0",
        redirects=20,
    ),
    Client(
        "Evolution",  # 3.46
        "thunderbird",
        (
            Step("host", CONFIG, "evolution"),
            Step("host", CONFIG, "evolution", "http"),
            Step("domain", _WELL_KNOWN, "evolution"),
            Step("domain", _WELL_KNOWN, "evolution", "http"),
            _BY_ISPDB,
        ),
        rules=Rules(
            pick="last",
            trims=False,
            domain="empty",
            oauth="unknown",
            any_socket=True,
            no_extra_attributes=True,
            no_byte_order_mark=True,
        ),
        agent="Evolution/3.46.4",
        srv="mail",
    ),
    Client(
        "Kontact",  # the account assistant of 22.12, the methods of July 2026
        "thunderbird",
        (
            _BY_ISPDB,
            Step("host", CONFIG, "none"),
            Step("host", CONFIG, "none", "http"),
            Step("domain", _WELL_KNOWN, "none"),
        ),
        rules=Rules(trims=False, cleartext_last=True, any_socket=True),
        takes_empty_404=True,
    ),
    Client(
        "Delta Chat",  # core 2.65
        "thunderbird",
        (
            Step("host", CONFIG),
            Step("domain", _WELL_KNOWN, "none"),
            *_GOT,
            _BY_ISPDB,
        ),
        rules=Rules(cuts_references=True, needs_username=True, ignores_methods=True),
        takes_no_compression=True,
        takes_empty=True,
        needs_absolute_location=True,
    ),
    OUTLOOK,
    Client("iPhone", "apple"),
    Client("PACC", "pacc"),
    Client(
        "GNOME Online Accounts",  # 46
        "thunderbird",
        (
            Step("host", _MAIL_V1, "raw"),
            Step("domain", _MAIL_V1, "raw"),
            *_at_both("raw"),
            _BY_ISPDB,
            Step("mx host", _MAIL_V1, "raw"),
            _BY_MX_AND_ISPDB,
        ),
        rules=_UNFILLED,
        agent="gnome-online-accounts/3.50.0 libsoup/3.4.4",
    ),
    Client(
        "SnappyMail",
        "thunderbird",
        (
            Step("host", _MAIL_V1),
            Step("domain", _WELL_KNOWN),
            Step("host", CONFIG, scheme="http"),
            *_POSTED,
        ),
        rules=_UNFILLED,
    ),
    Client(
        "FairEmail",
        "thunderbird",
        (
            *_at_both("address"),
            _BY_ISPDB,
            Step("mx domain", CONFIG),
            _BY_MX_AND_ISPDB,
            *_POSTED,
        ),
        rules=Rules(types=("imap", "smtp"), domain="kept", only_first_incoming=True),
    ),
    Client(
        "Geary",
        "thunderbird",
        (Step("host", CONFIG, "none"), _BY_ISPDB),
        rules=Rules(
            types=("imap", "smtp"),
            domain="kept",
            only_first_incoming=True,
            usernames=frozenset(("%EMAILADDRESS%",)),
        ),
        in_check=False,  # a domain with the `.well-known` URL alone is right without it
    ),
    Client(
        "Mailspring",
        "thunderbird",
        _at_both("none"),
        rules=Rules(usernames=frozenset(("%EMAILADDRESS%", "%EMAILLOCALPART%"))),
    ),
    CALENDARS,
)


def readings_of(
    clients: Iterable[Client], provider: Provider, recipient: Recipient
) -> Iterator[tuple[Client, Reading]]:
    """Yield what each client sets up from the document that *recipient* is served.

    The clients read config-v1.1.xml or Autodiscover; the recipient has an address.
    """
    assert recipient.address is not None  # noqa: S101
    brief = structs.replace(provider, list_domains=False)
    document = thunderbird.write(brief, recipient)
    by_rules: dict[Rules, Reading] = {}
    for client in clients:
        if client.family == "outlook":
            yield client, _outlook_reading(provider, recipient)
            continue
        if client.rules not in by_rules:
            by_rules[client.rules] = read(document, client.rules, recipient.address)
        yield client, by_rules[client.rules]


def _outlook_reading(provider: Provider, recipient: Recipient) -> Reading:
    body = outlook.write(provider, recipient)
    try:
        if body is not None:
            return Reading(read_outlook(body))
        if any(outlook.left_out(provider)):
            return Reading(None)  # warnings.py reports the servers that are left out
        code, message = "no-account", "it gets error 500: no server to read mail from"
        cure = "add the server, if there is one"
    except MeaninglessError as error:
        code, message, cure = "meaningless", str(error), error.cure
    return Reading(None, (Fault(code, "document", "", message, cure),))


def family_of(step: Step) -> FamilyName:
    return "thunderbird" if step.kind == "xml" else "outlook"


def label_of(step: Step) -> str:
    """Return the label of the host that a step requests."""
    return _family(family_of(step)).label
