"""The one table of programs: the tiles of the page, and what each of them needs.

A new program is a row here, a template `autoconfig/steps/ID.html` of its steps, and its
id in `ProgramName` of `config/page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..config.page import ProgramName
from ..config.tables import Method
from .account import MANY, PASSWORD, Account, Ready
from .device import Device
from .words import N_


class Program(NamedTuple):
    """A tile: a program, where it runs and whom it can serve."""

    id: ProgramName
    name: str  # on its tile; a proper name stays as it is in any language
    title: str  # over its steps
    devices: tuple[Device, ...]
    where: str = ""  # the device, on the tile for those who hold another
    is_of_device: bool = False  # everybody with such a device has it
    methods: frozenset[Method] = PASSWORD  # the ways to log in that it knows
    types: tuple[str, ...] = ("imap", "pop3")  # of the servers that it reads mail from
    or_by: Callable[[Account], object] | None = None  # what serves it without them

    @property
    def template(self) -> str:
        """The name of the template with its steps."""
        return f"autoconfig/steps/{self.id}.html"

    @property
    def is_on_phone(self) -> bool:
        """Whether its picture is a telephone."""
        return bool({"ios", "android"} & set(self.devices))

    def box(self, account: Account) -> tuple[Ready, Ready] | None:
        """The servers that it can use, to read mail from and to send it through."""
        return account.box(self.methods, self.types)

    def is_usable(self, account: Account) -> bool:
        """Whether it can serve somebody."""
        if self.or_by is not None and self.or_by(account):
            return True
        return self.box(account) is not None


_IN = N_("In %(program)s")
_ANDROID = "Android"

PROGRAMS: tuple[Program, ...] = (
    Program(
        "iphone",
        "iPhone, iPad",
        N_("On your iPhone or iPad"),
        ("ios",),
        is_of_device=True,
        or_by=lambda account: account.profile,
    ),
    Program(
        "mac",
        "Mac (Mail)",
        N_("On your Mac"),
        ("mac",),
        is_of_device=True,
        or_by=lambda account: account.profile,
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
        methods=MANY,
    ),
    Program("evolution", "Evolution", _IN, ("linux",), "Linux", methods=MANY),
    Program(
        "davx5",
        N_("Calendars: DAVx⁵"),
        N_("Calendars and contacts, by DAVx⁵"),
        ("android",),
        _ANDROID,
        types=(),
        or_by=lambda account: account.davs,
    ),
    Program(
        "other",
        N_("Another program"),
        N_("In your program"),
        (),
        methods=MANY,
        or_by=lambda _account: True,
    ),
)


def usable(account: Account, wanted: Iterable[ProgramName] | None) -> list[Program]:
    """The programs that can serve somebody: those wanted, in that order, else all."""
    by_id = {it.id: it for it in PROGRAMS}
    programs = (
        PROGRAMS if wanted is None else [by_id[it] for it in dict.fromkeys(wanted)]
    )
    return [it for it in programs if it.is_usable(account)]


def chosen(programs: list[Program], asked: str, device: Device) -> Program | None:
    """The one that is asked for, else the one that every such device has."""
    for program in programs:
        if program.id == asked.lower():
            return program
    own = (it for it in programs if it.is_of_device and device in it.devices)
    return next(own, programs[0] if len(programs) == 1 else None)
