"""The table of programs: the tiles of the page, and what each program needs.

A new program needs a row here, a template `autoconfig/steps/ID.html` with its steps, and
its id in `ProgramName` of `config/page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..config.tables import Method, ProgramName
from .account import ALL_PASSWORDS, OAUTH2, PASSWORD, Account, MailServer
from .device import Device
from .words import N_


class Program(NamedTuple):
    """A program, the devices that it runs on, and the servers that it can use."""

    id: ProgramName
    name: str  # on its tile; a proper name is the same in every language
    title: str  # above its steps
    devices: tuple[Device, ...]
    where: str = ""  # the device's name, on the tile for visitors with another device
    is_of_device: bool = False  # preinstalled on the device
    methods: frozenset[Method] = PASSWORD  # the authentication methods it supports
    types: tuple[str, ...] = ("imap", "pop3")  # the protocols it reads mail with
    or_with: Callable[[Account], object] | None = None  # what it can use instead

    @property
    def template(self) -> str:
        """The name of the template with its steps."""
        return f"autoconfig/steps/{self.id}.html"

    @property
    def is_on_phone(self) -> bool:
        """Whether the icon of its tile is a phone."""
        return bool({"ios", "android"} & set(self.devices))

    def mail_servers(self, account: Account) -> tuple[MailServer, MailServer] | None:
        """Return the incoming and the outgoing server that it can use, or None."""
        return account.mail_servers(self.methods, self.types)

    def is_usable(self, account: Account) -> bool:
        """Return whether it can use anything of the account."""
        if self.or_with is not None and self.or_with(account):
            return True
        return self.mail_servers(account) is not None


_IN = N_("In %(program)s")
_ANDROID = "Android"

PROGRAMS: tuple[Program, ...] = (
    Program(
        "iphone",
        "iPhone, iPad",
        N_("On your iPhone or iPad"),
        ("ios",),
        is_of_device=True,
        or_with=lambda account: account.profile,
    ),
    Program(
        "mac",
        "Mac (Mail)",
        N_("On your Mac"),
        ("mac",),
        is_of_device=True,
        or_with=lambda account: account.profile,
    ),
    Program("gmail", "Gmail", _IN, ("android",), _ANDROID),
    Program("samsung", "Samsung Email", _IN, ("android",), _ANDROID),
    Program(
        "thunderbird-mobile",
        "Thunderbird",
        N_("In Thunderbird for Android"),
        ("android",),
        _ANDROID,
    ),
    Program(
        "outlook-new",
        N_("Outlook (new)"),
        _IN,
        ("windows",),
        "Windows",
        types=("imap",),
    ),
    Program("outlook-classic", N_("Outlook (classic)"), _IN, ("windows",), "Windows"),
    Program(
        "outlook-mobile",
        "Outlook",
        N_("In Outlook on the phone"),
        ("ios", "android"),
        "iPhone, Android",
        types=("imap",),
    ),
    Program(
        "thunderbird",
        "Thunderbird",
        _IN,
        ("windows", "linux", "mac"),
        "Windows, Mac, Linux",
        methods=ALL_PASSWORDS | OAUTH2,
    ),
    Program("evolution", "Evolution", _IN, ("linux",), "Linux", methods=ALL_PASSWORDS),
    Program(
        "davx5",
        N_("Calendars: DAVx⁵"),
        N_("Calendars and contacts, by DAVx⁵"),
        ("android",),
        _ANDROID,
        types=(),
        or_with=lambda account: account.dav_services,
    ),
    Program(
        "other",
        N_("Another program"),
        N_("In your program"),
        (),
        methods=ALL_PASSWORDS,
        or_with=lambda _account: True,
    ),
)


def usable(account: Account, wanted: Iterable[ProgramName] | None) -> list[Program]:
    """Return the programs that can use the account: of *wanted*, in its order, or all."""
    by_id = {program.id: program for program in PROGRAMS}
    names = by_id if wanted is None else dict.fromkeys(wanted)
    return [by_id[name] for name in names if by_id[name].is_usable(account)]


def chosen(programs: list[Program], requested: str, device: Device) -> Program | None:
    """Return the requested program, else the one preinstalled on the device, or None."""
    for program in programs:
        if program.id == requested.lower():
            return program
    for program in programs:
        if program.is_of_device and device in program.devices:
            return program
    return programs[0] if len(programs) == 1 else None
