"""The table of clients: their requests, in order, and how they read the answers.

Its rows are in clients.toml. `check` simulates the clients over the network
(:mod:`check.playing`), `validate` with the documents that would be served
(:mod:`warnings`).
"""

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from msgspec import Struct, json, structs

from ..config.tables import FamilyName, Provider
from ..documents import Recipient, outlook, thunderbird
from ..documents.setups import UnusableDocumentError, read_outlook
from ..families import FAMILIES, Family
from ..files import table_beside
from .reading import Fault, Reading, Rules, read

# The words of clients.toml.
Form = Literal["address", "evolution", "none", "raw"]
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
        """Whether it goes to a host outside the domain."""
        return self.place.startswith(("mx", "ispdb"))


class Client(Struct, frozen=True, forbid_unknown_fields=True):
    """A client: its requests, and how it reads the answers."""

    name: str
    family: FamilyName  # the documents that it requests first
    steps: tuple[Step, ...] = ()
    rules: Rules = Rules()
    needs_xml_type: bool = False  # text/xml or application/xml
    takes_no_compression: bool = False
    takes_empty: bool = False  # stops at an empty 200 or a 204, and guesses
    takes_empty_404: bool = False  # stops at an empty 404
    # It reads only the first 2xx response in the domain for each format, and goes on only
    # if its XML or JSON cannot be parsed.
    takes_first_2xx: bool = False
    needs_absolute_location: bool = False
    agent: str = ""  # its User-Agent, "" if it is unknown
    redirects: int = 10  # that it follows at most, as curl and libsoup in programs
    patience: float = 10.0  # seconds that it waits for a response, at least
    srv: Literal["", "mail", "outlook"] = ""  # records that it looks up at the end
    in_check: bool = True  # False: only `validate` simulates it


def _family(name: FamilyName) -> Family:
    return next(family for family in FAMILIES if family.name == name)


_XML_PATHS = [route.path for route in _family("thunderbird").routes]
CONFIG, _WELL_KNOWN, _MAIL_V1 = _XML_PATHS[:3]
POX, _V2 = (route.path for route in _family("outlook").routes[:2])
_PATHS = {"config": CONFIG, "well-known": _WELL_KNOWN, "mail-v1": _MAIL_V1}
_PATHS |= {"pox": POX, "v2": _V2, "": ""}
# Thunderbird's URL; older releases and the other clients use another host name.
ISPDB = "https://live.thunderbird.net/autoconfig/v1.1/"


def _with_paths(client: Client) -> Client:
    steps = tuple(step._replace(path=_PATHS[step.path]) for step in client.steps)
    return structs.replace(client, steps=steps)


# By way of JSON: `msgspec.convert` is newer than the oldest version that is required.
_ROWS = json.encode(table_beside(__file__, "clients.toml")["client"])
CLIENTS = tuple(map(_with_paths, json.decode(_ROWS, type=list[Client])))
_BY_NAME = {client.name: client for client in CLIENTS}
THUNDERBIRD = _BY_NAME["Thunderbird"]
OUTLOOK = _BY_NAME["Outlook (classic)"]
CALENDARS = _BY_NAME["Calendars"]


def readings_of(
    clients: Iterable[Client], provider: Provider, recipient: Recipient
) -> Iterator[tuple[Client, Reading]]:
    """Yield each client with what it sets up from the document for *recipient*.

    The clients read config-v1.1.xml or Autodiscover; the recipient has an address.
    """
    assert recipient.address is not None  # noqa: S101
    short = structs.replace(provider, list_domains=False)
    document = thunderbird.write(short, recipient)
    for client in clients:
        if client.family == "outlook":
            yield client, _outlook_reading(provider, recipient)
        else:
            yield client, read(document, client.rules, recipient.address)


def _outlook_reading(provider: Provider, recipient: Recipient) -> Reading:
    body = outlook.write(provider, recipient)
    try:
        if body is not None:
            return Reading(read_outlook(body))
        if any(outlook.left_out(provider)):
            return Reading(None)  # warnings.py reports the servers that are left out
        code, message = "no-account", "it gets error 500: no server to read mail from"
        cure = "add the server, if there is one"
    except UnusableDocumentError as error:
        code, message, cure = "meaningless", str(error), error.cure
    return Reading(None, (Fault(code, "document", "", message, cure),))


def family_of(step: Step) -> FamilyName:
    return "thunderbird" if step.kind == "xml" else "outlook"


def label_of(step: Step) -> str:
    """Return the label of the host that a step requests."""
    return _family(family_of(step)).label
