"""Phones with Android: Gmail, Samsung Email, Thunderbird, and DAVx⁵ for calendars."""

from __future__ import annotations

from markupsafe import Markup

from ..account import Account, Ready
from ..words import N_, Words
from . import (
    ADDRESS,
    NAME,
    PASSWORD,
    PORT,
    SECURITY,
    SERVER,
    USER,
    Field,
    Group,
    Step,
    both_groups,
    chosen,
    kind,
    own_name,
    own_password,
    plain,
    security,
    with_davx5,
)


def on_the_phone(account: Account, words: Words) -> list[Step]:
    """How to bring these steps to the phone, for whoever reads them on a computer."""
    if account.device not in ("windows", "mac", "linux"):
        return []
    title = words.say("Open this page on the phone")
    text = words.say("Scan the code with its camera:")
    return [Step(title, (text,), part="here")]


def gmail(account: Account, words: Words) -> list[Step]:
    """The steps in the Gmail app."""
    box = account.box()
    assert box is not None  # noqa: S101 (programs.py asks it first)
    incoming, outgoing = box
    add = words.label("gmail.add-another-account", N_("add another account"))
    other = words.label("gmail.other", N_("other"))
    next_ = words.label("gmail.next", N_("the button to go on"))
    is_pop = incoming.type == "pop3"
    type_ = (
        words.label("gmail.pop3", N_("a personal account with POP3"))
        if is_pop
        else words.label("gmail.imap", N_("a personal account with IMAP"))
    )
    email = words.label("gmail.enter-your-email", ADDRESS)
    require = words.label("gmail.require-sign-in", N_("Sign-in is required"))
    sign_in = words.say("on") if outgoing.username else words.say("off")
    return [
        *on_the_phone(account, words),
        Step(
            words.say("Open Gmail, and tap your picture at the top"),
            (words.say("Then tap %(path)s.", path=words.path(add, other)),),
        ),
        Step(
            words.say("Enter your address"),
            groups=(Group(None, [plain(email, account.shown)]),),
            then=words.say("Tap %(next)s, then %(kind)s.", next=next_, kind=type_),
        ),
        Step(
            words.say("Type your e-mail password"),
            (words.say("Tap %(next)s.", next=next_),),
        ),
        Step(
            words.label("gmail.incoming", N_("Enter the server for incoming mail")),
            groups=(Group(None, _gmail_fields(words, incoming, "gmail.server")),),
            then=words.say("Tap %(next)s.", next=next_),
        ),
        Step(
            words.label("gmail.outgoing", N_("Enter the server for outgoing mail")),
            groups=(
                Group(
                    None,
                    [
                        chosen(require, sign_in),
                        *_gmail_fields(words, outgoing, "gmail.smtp-server"),
                    ],
                ),
            ),
            then=words.say("Tap %(next)s.", next=next_),
        ),
        Step(
            words.say("Your name, as others see it"),
            (words.say("Type it and tap %(next)s: done.", next=next_),),
        ),
        *with_davx5(account, words),
    ]


def _gmail_fields(words: Words, server: Ready, host: str) -> list[Field]:
    user = [plain(words.label("gmail.username", USER), server.username)]
    return [
        *(user if server.username else []),
        plain(words.label(host, SERVER), server.host),
        plain(words.label("gmail.port", PORT), str(server.port)),
        chosen(words.label("gmail.security-type", SECURITY), security(words, server)),
    ]


def samsung(account: Account, words: Words) -> list[Step]:
    """The steps in Samsung's own mail program, whose labels were not seen."""
    box = account.box()
    assert box is not None  # noqa: S101 (programs.py asks it first)
    fields = [
        plain(words.say(ADDRESS), account.shown),
        own_password(words, words.say(PASSWORD)),
    ]
    return [
        *on_the_phone(account, words),
        Step(
            words.say("Open Samsung Email"),
            (
                words.say(
                    "Is there an account already? Open the menu, tap the gear wheel, and "
                    "add an account."
                ),
                words.say("Choose the kind for other providers."),
            ),
        ),
        Step(
            words.say("Enter your address and password"),
            groups=(Group(None, fields),),
            then=words.say("Do not sign in yet: choose the set-up by hand."),
        ),
        Step(
            words.say("Choose %(kind)s and enter the servers", kind=kind(box[0])),
            groups=both_groups(words, box),
        ),
        Step(
            words.say("Sign in"),
            (words.say("Allow what it asks for. Done: your mail comes in."),),
        ),
        *with_davx5(account, words),
    ]


def thunderbird(account: Account, words: Words) -> list[Step]:
    """The steps in Thunderbird for Android: by a QR code, or by the address."""
    if account.device in ("windows", "mac", "linux"):
        return [*_by_code(words), *with_davx5(account, words)]
    box = account.box()
    fields = [plain(words.say(ADDRESS), account.shown)]
    steps = [
        Step(
            words.say("Open Thunderbird and add an account"),
            (words.say("At its first start it asks for one by itself."),),
            (Group(None, fields),),
        ),
        Step(
            words.say("Type your e-mail password"),
            (words.say("Go on through what it shows."),),
        ),
    ]
    if "thunderbird" in account.families:
        found = words.say("It finds the servers by itself.")
        steps[0] = steps[0]._replace(text=(*steps[0].text, found))
    elif box:
        title = words.say("Choose %(kind)s and enter the servers", kind=kind(box[0]))
        steps.append(Step(title, groups=both_groups(words, box)))
    title = words.say("Your name, as others see it")
    steps.append(Step(title, (words.say("Type it. Done: your mail comes in."),)))
    return [*steps, *with_davx5(account, words)]


def _by_code(words: Words) -> list[Step]:
    path = words.path(
        words.label("thunderbird-mobile.import-settings"),
        words.label("thunderbird-mobile.scan-qr-code", N_("scan the QR code")),
    )
    return [
        Step(words.say("Your name, as others see it"), part="name-here"),
        Step(
            words.say("Open Thunderbird on the phone"),
            (words.say("Tap %(path)s.", path=path),),
        ),
        Step(
            words.say("Scan this code"),
            part="account",
            note=words.say("It holds servers and your address, never a password."),
        ),
        Step(words.say("Type your e-mail password"), (words.say("Done."),)),
    ]


def davx5(account: Account, words: Words) -> list[Step]:
    """The steps in DAVx⁵, which hands calendars and contacts to Android's own apps."""
    password = words.label("davx5.password", PASSWORD)
    groups = []
    for url, username in dict.fromkeys((it.url, it.username) for it in account.davs):
        fields = [plain(words.label("davx5.base-url", N_("Address (URL)")), url)]
        if username:
            fields.append(plain(words.label("davx5.user-name", USER), username))
        groups.append(Group(None, [*fields, own_password(words, password)]))
    login = words.label("davx5.login", N_("the button to log in"))
    create = words.label("davx5.create-account", N_("the button to create the account"))
    by_url = words.label("davx5.by-url", N_("to log in with URL and user name"))
    text: tuple[Markup, ...] = (words.say("Choose %(way)s.", way=by_url),)
    if len(groups) > 1:
        text += (words.say("Do this once for each of these:"),)
    return [
        *on_the_phone(account, words),
        Step(
            words.say("Get the app DAVx⁵"),
            (words.say("It is in F-Droid, and in the Play Store."),),
        ),
        Step(words.say("Add an account in it"), text, tuple(groups)),
        Step(
            words.say("Let it log in"),
            (words.say("Tap %(login)s, then %(create)s.", login=login, create=create),),
        ),
        Step(
            words.say("Tick what you want to see"),
            (
                words.say(
                    "Calendars and address books then appear in the phone’s own apps."
                ),
            ),
        ),
    ]


def outlook(account: Account, words: Words) -> list[Step]:
    """The steps in Outlook on a phone, whose labels were not seen."""
    box = account.box()
    assert box is not None  # noqa: S101 (programs.py asks it first)
    fields = [
        own_name(account, words, words.say(NAME)),
        own_password(words, words.say(PASSWORD)),
    ]
    return [
        *on_the_phone(account, words),
        Step(
            words.say("Open Outlook and add an account"),
            (
                words.say(
                    "Is there one already? Tap your picture, then the gear wheel, and "
                    "add a mail account."
                ),
            ),
            (Group(None, [plain(words.say(ADDRESS), account.shown)]),),
        ),
        Step(
            words.say("Choose %(kind)s", kind=kind(box[0])),
            (words.say("Switch the advanced settings on, and enter:"),),
            (Group(None, fields), *both_groups(words, box)),
        ),
        Step(words.say("Sign in"), (words.say("Done: your mail comes in."),)),
    ]
