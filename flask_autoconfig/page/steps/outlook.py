"""Outlook on Windows: the new one, which asks Microsoft, and the classic one."""

from __future__ import annotations

from markupsafe import Markup

from ..account import Account, Ready
from ..words import N_, Words
from . import (
    ADDRESS,
    PASSWORD,
    PORT,
    SECURITY,
    USER,
    Field,
    Group,
    Step,
    both_groups,
    kind,
    own_password,
    plain,
    server_fields,
    without_calendars,
)


def new(account: Account, words: Words) -> list[Step]:
    """The steps in the new Outlook."""
    box = account.box()
    assert box is not None  # noqa: S101 (programs.py asks it first)
    incoming, outgoing = box
    path = words.path(
        words.label("outlook-new.view", N_("view")),
        words.label("outlook-new.view-settings", N_("its settings")),
        words.label("outlook-new.accounts", N_("accounts")),
        words.label("outlook-new.add-account", N_("add an account")),
    )
    more = words.label("outlook-new.show-more", N_("the line that shows more fields"))
    go_on = words.label("outlook-new.continue", N_("the button to go on"))
    email = words.label("outlook-new.email", ADDRESS)
    return [
        Step(
            words.say("Add an account"),
            (words.say("Choose %(path)s.", path=path),),
            (Group(None, [plain(email, account.shown)]),),
            words.say("Type the address and go on."),
        ),
        Step(
            words.say("Choose %(kind)s", kind=kind(incoming)),
            note=words.say(
                "The new Outlook hands your password to Microsoft, which fetches your "
                "mail and keeps it as well. Outlook (classic) and Thunderbird do not."
            ),
        ),
        Step(
            words.say("Open %(more)s and enter", more=more),
            groups=(
                Group(None, _fields(words, incoming, "imap")),
                Group(None, _fields(words, outgoing, "smtp")),
            ),
        ),
        Step(
            words.say("Type your e-mail password in both password fields"),
            (words.say("Then click on %(next)s.", next=go_on),),
        ),
        *without_calendars(account, words),
    ]


def _fields(words: Words, server: Ready, which: str) -> list[Field]:
    is_imap = which == "imap"
    host = N_("Server for incoming mail") if is_imap else N_("Server for outgoing mail")
    is_seen = server.type != "pop3"  # the form for POP3 was not
    named = f"outlook-new.{which}-server" if is_seen else ""
    user = f"outlook-new.{which}-username" if is_seen else ""
    return server_fields(
        words,
        server,
        host=words.label(named, host),
        port=words.label("outlook-new.port", PORT),
        encryption=words.label("outlook-new.security", SECURITY),
        user=words.label(user, USER),
    )


def classic(account: Account, words: Words) -> list[Step]:
    """The steps in the classic Outlook, which looks for Autodiscover."""
    box = account.box()
    assert box is not None  # noqa: S101 (programs.py asks it first)
    path = words.path(
        words.label("outlook-classic.file", N_("file")),
        words.label("outlook-classic.add-account", N_("add an account")),
    )
    connect = words.label("outlook-classic.connect", N_("the button to connect"))
    steps = [
        Step(
            words.say("Open Outlook (classic)"),
            (words.say("Choose %(path)s.", path=path),),
            (Group(None, [plain(words.say(ADDRESS), account.shown)]),),
        )
    ]
    finds = "outlook" in account.families
    if finds:
        text = words.say("Outlook finds the servers by itself.")
        steps.append(Step(words.say("Click on %(button)s", button=connect), (text,)))
    else:
        steps.append(_by_hand(words, box, connect))
    steps.append(
        Step(
            words.say("Type your e-mail password"),
            groups=(Group(None, [own_password(words, words.say(PASSWORD))]),),
            then=words.say("Then click on %(next)s.", next=connect),
        )
    )
    if finds:
        title = words.say("Does it ask for more? Then enter these")
        steps.append(Step(title, groups=both_groups(words, box)))
    return [*steps, *without_calendars(account, words)]


def _by_hand(words: Words, box: tuple[Ready, Ready], connect: Markup) -> Step:
    options = words.label("outlook-classic.advanced-options", N_("advanced options"))
    tick = words.label("outlook-classic.by-hand", N_("the set-up by hand"))
    return Step(
        words.say("Choose %(kind)s and enter the servers", kind=kind(box[0])),
        (
            words.say(
                "Open %(options)s, and tick %(tick)s.", options=options, tick=tick
            ),
            words.say("Then click on %(next)s.", next=connect),
        ),
        both_groups(words, box),
    )
