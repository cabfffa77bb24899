"""The one table of programs: the tiles of the page, and what each of them needs.

A new program is a row here, a function in `steps/`, and a word in `config/page.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from ..config.page import ProgramName
from .account import MANY, Account
from .device import Device
from .steps import Steps, android, apple, desktop, outlook
from .words import N_


class Program(NamedTuple):
    """A tile: a program, where it runs and whom it can serve."""

    id: ProgramName
    name: str  # on its tile; a proper name stays as it is in any language
    title: str  # over its steps
    devices: tuple[Device, ...]
    is_usable: Callable[[Account], bool]
    steps: Steps
    where: str = ""  # the device, on the tile for those who hold another
    is_of_device: bool = False  # everybody with such a device has it

    @property
    def is_on_phone(self) -> bool:
        """Whether its picture is a telephone."""
        return bool({"ios", "android"} & set(self.devices))


def _by_profile_or_hand(account: Account) -> bool:
    return account.profile is not None or account.box() is not None


def _by_password(account: Account) -> bool:
    return account.box() is not None


def _by_imap(account: Account) -> bool:
    return account.box(types=["imap"]) is not None


def _by_many(account: Account) -> bool:
    return account.box(MANY) is not None


def _by_dav(account: Account) -> bool:
    return bool(account.davs)


def _always(_account: Account) -> bool:
    return True


_IN = N_("In %(program)s")
_ANDROID = "Android"

PROGRAMS: tuple[Program, ...] = (
    Program(
        "iphone",
        "iPhone, iPad",
        N_("On your iPhone or iPad"),
        ("ios",),
        _by_profile_or_hand,
        apple.iphone,
        is_of_device=True,
    ),
    Program(
        "mac",
        "Mac (Mail)",
        N_("On your Mac"),
        ("mac",),
        _by_profile_or_hand,
        apple.mac,
        is_of_device=True,
    ),
    Program("gmail", "Gmail", _IN, ("android",), _by_password, android.gmail, _ANDROID),
    Program(
        "samsung",
        "Samsung Email",
        _IN,
        ("android",),
        _by_password,
        android.samsung,
        _ANDROID,
    ),
    Program(
        "thunderbird-mobile",
        "Thunderbird",
        N_("In Thunderbird for Android"),
        ("android",),
        _by_password,
        android.thunderbird,
        _ANDROID,
    ),
    Program(
        "outlook-new",
        N_("Outlook (new)"),
        _IN,
        ("windows",),
        _by_imap,
        outlook.new,
        "Windows",
    ),
    Program(
        "outlook-classic",
        N_("Outlook (classic)"),
        _IN,
        ("windows",),
        _by_password,
        outlook.classic,
        "Windows",
    ),
    Program(
        "outlook-mobile",
        "Outlook",
        N_("In Outlook on the phone"),
        ("ios", "android"),
        _by_imap,
        android.outlook,
        "iPhone, Android",
    ),
    Program(
        "thunderbird",
        "Thunderbird",
        _IN,
        ("windows", "linux", "mac"),
        _by_many,
        desktop.thunderbird,
        "Windows, Mac, Linux",
    ),
    Program(
        "evolution",
        "Evolution",
        _IN,
        ("linux",),
        _by_many,
        desktop.evolution,
        "Linux",
    ),
    Program(
        "davx5",
        N_("Calendars: DAVx⁵"),
        N_("Calendars and contacts, by DAVx⁵"),
        ("android",),
        _by_dav,
        android.davx5,
        _ANDROID,
    ),
    Program(
        "other",
        N_("Another program"),
        N_("In your program"),
        (),
        _always,
        desktop.other,
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
