"""Each client's way: the table of what it asks, in its order, and how it reads.

What stands here of a client was measured of it, or read in its code. A new client is a
row of CLIENTS; the paths are those of the families.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ...config.tables import FamilyName
from ...families import FAMILIES, Family
from ..quirks import K9 as K9_NAME
from . import reading
from .reading import Rules

# Whom a request names: the address; Evolution's local part for everybody; nobody; the
# address as it is, with no percent-encoding.
Form = Literal["address", "evolution", "none", "raw"]
# Where: LABEL.DOMAIN, the domain itself, and the same below the MX host's domain or at
# the MX host itself.
Place = Literal["host", "domain", "mx domain", "mx host"]
Kind = Literal["xml", "pox", "pox by get", "v2", "302"]


class Step(NamedTuple):
    """One request of a client."""

    place: Place
    path: str
    form: Form = "address"
    scheme: Literal["https", "http"] = "https"
    kind: Kind = "xml"


class Client(NamedTuple):
    """A client: what it asks, and how it takes the answers."""

    name: str
    family: FamilyName  # whose documents it asks for first
    steps: tuple[Step, ...] = ()
    rules: Rules = Rules()
    needs_xml_type: bool = False  # text/xml or application/xml
    takes_no_compression: bool = False
    takes_empty: bool = False  # an empty 200, and 204, are an answer: it guesses
    takes_empty_404: bool = False  # it ends its search there
    needs_absolute_location: bool = False
    srv: Literal["", "mail", "outlook"] = ""  # what it looks up where nothing was found


def _family(name: FamilyName) -> Family:
    return next(family for family in FAMILIES if family.name == name)


_CONFIG, _WELL_KNOWN = (route.path for route in _family("thunderbird").routes[:2])
_MAIL_V1 = "/.well-known/mail-v1.xml"
_POX, _V2 = (route.path for route in _family("outlook").routes[:2])


def _at_both(
    form: Form, scheme: Literal["https", "http"] = "https"
) -> tuple[Step, ...]:
    return (
        Step("host", _CONFIG, form, scheme),
        Step("domain", _WELL_KNOWN, form, scheme),
    )


_POSTED = (Step("domain", _POX, kind="pox"), Step("host", _POX, kind="pox"))
_GOT = tuple(step._replace(kind="pox by get", form="none") for step in _POSTED)

THUNDERBIRD = Client(
    "Thunderbird",
    "thunderbird",
    (
        *_at_both("address"),
        *_at_both("address", "http"),
        Step("mx domain", _CONFIG),
    ),
    reading.THUNDERBIRD,
    needs_xml_type=True,
)
EVOLUTION = Client(
    "Evolution",
    "thunderbird",
    (
        Step("host", _CONFIG, "evolution"),
        Step("host", _CONFIG, "evolution", "http"),
        Step("domain", _WELL_KNOWN, "evolution"),
        Step("domain", _WELL_KNOWN, "evolution", "http"),
    ),
    reading.EVOLUTION,
    srv="mail",
)
DELTA_CHAT = Client(
    "Delta Chat",
    "thunderbird",
    (Step("host", _CONFIG), Step("domain", _WELL_KNOWN, "none"), *_GOT),
    reading.DELTA_CHAT,
    takes_no_compression=True,
    takes_empty=True,
    needs_absolute_location=True,
)
OUTLOOK = Client(
    "Outlook (classic)",
    "outlook",
    (
        Step("host", _V2, kind="v2"),
        *_POSTED,
        Step("host", _POX, "none", "http", kind="302"),
    ),
    srv="outlook",
)
IPHONE = Client("iPhone", "apple")
PACC = Client("PACC", "pacc")
CALENDARS = Client("Calendars", "dav")

CLIENTS = (
    THUNDERBIRD,
    Client(
        K9_NAME,
        "thunderbird",
        (
            *_at_both("none"),
            *_at_both("none", "http"),
            Step("mx domain", _CONFIG, "none"),
        ),
        reading.K9,
    ),
    EVOLUTION,
    Client(
        "Kontact",
        "thunderbird",
        (
            Step("host", _CONFIG, "none"),
            Step("host", _CONFIG, "none", "http"),
            Step("domain", _WELL_KNOWN, "none"),
        ),
        reading.KONTACT,
        takes_empty_404=True,
    ),
    DELTA_CHAT,
    OUTLOOK,
    IPHONE,
    PACC,
    Client(
        "GNOME Online Accounts",
        "thunderbird",
        (
            Step("host", _MAIL_V1, "raw"),
            Step("domain", _MAIL_V1, "raw"),
            *_at_both("raw"),
            Step("mx host", _MAIL_V1, "raw"),
        ),
        reading.UNFILLED,
    ),
    Client(
        "SnappyMail",
        "thunderbird",
        (
            Step("host", _MAIL_V1),
            Step("domain", _WELL_KNOWN),
            Step("host", _CONFIG, scheme="http"),
            *_POSTED,
        ),
        reading.UNFILLED,
    ),
    Client(
        "FairEmail",
        "thunderbird",
        (Step("host", _CONFIG), Step("mx domain", _CONFIG), *_POSTED),
        reading.FAIREMAIL,
    ),
    CALENDARS,
)


def family_of(step: Step) -> FamilyName:
    """Whose document a step asks for."""
    return "thunderbird" if step.kind == "xml" else "outlook"


def label_of(step: Step) -> str:
    """The first label of the host that a step asks."""
    return _family(family_of(step)).label


def pox_path() -> str:
    """Where Autodiscover's settings are."""
    return _POX


def profile_paths() -> tuple[str, ...]:
    """Where profiles are, the one that takes an address first."""
    return tuple(route.path for route in _family("apple").routes)


def generic(family: Family) -> Client:
    """A family without ways of its own: its clients get one document at one host."""
    return Client(family.askers or family.name, family.name)  # type: ignore[arg-type]
