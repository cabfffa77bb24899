"""iPhone, iPad and Mac: by a profile, or by hand where there is none.

A downloaded profile waits for eight minutes, and at the top of the settings.
"""

from __future__ import annotations

from markupsafe import Markup

from ..account import Account
from ..words import N_, Words, name
from . import (
    ADDRESS,
    DAV,
    NAME,
    PASSWORD,
    Group,
    Step,
    both_groups,
    kind,
    own_name,
    own_password,
    plain,
)


def iphone(account: Account, words: Words) -> list[Step]:
    """The steps for iPhone and iPad."""
    steps = []
    is_elsewhere = account.device not in ("ios", "")
    if is_elsewhere:
        steps.append(
            Step(
                words.say("Open this page on the iPhone or iPad"),
                (words.say("Scan the code with its camera:"),),
                part="here",
            )
        )
    if account.profile is None:
        return [*steps, *_iphone_by_hand(account, words)]
    install = words.label("iphone.install", N_("the button to install"))
    if not is_elsewhere:
        title = words.say("Your name, as others see it")
        steps.append(Step(title, part="name"))
    return [
        *steps,
        _profile(words, is_elsewhere),
        _settings(words),
        Step(
            words.say("Tap %(install)s", install=install),
            (_unlock(words, install), *_not_signed(account, words)),
        ),
        password(account, words),
    ]


def _profile(words: Words, is_elsewhere: bool) -> Step:
    allow = words.label("iphone.allow", N_("the button to allow it"))
    close = words.label("iphone.close", N_("the button to close the message"))
    then = words.say("Tap %(allow)s, then %(close)s.", allow=allow, close=close)
    text = words.say("It must be Safari: other browsers cannot do this.")
    if not is_elsewhere:
        return Step(words.say("Get the profile"), (text, then), part="profile")
    tap = words.say("On the phone, type your name and tap the large button.")
    return Step(words.say("Get the profile there"), (tap, text, then))


def _settings(words: Words) -> Step:
    downloaded = words.label(
        "iphone.profile-downloaded", N_("the line about the downloaded profile")
    )
    general = words.label("iphone.general", N_("the general settings"))
    management = words.label(
        "iphone.device-management", N_("VPN and device management")
    )
    path = words.path(general, management)
    return Step(
        words.say("Open the Settings within eight minutes"),
        (
            words.say("Tap %(line)s at the very top.", line=downloaded),
            words.say("Is it not there? Look under %(path)s.", path=path),
        ),
    )


def _unlock(words: Words, install: Markup) -> Markup:
    return words.say(
        "Type the code that unlocks the device. Tap %(install)s twice more.",
        install=install,
    )


def _not_signed(account: Account, words: Words) -> tuple[Markup, ...]:
    """What an unsigned profile looks like, and what proves it nonetheless."""
    if account.is_signed:
        return ()
    not_signed = words.label("iphone.not-signed", N_("The note that it is not signed"))
    return (
        words.say(
            "%(not_signed)s is normal here; the profile must be called %(name)s.",
            not_signed=not_signed,
            # As documents/apple.py calls it.
            name=Markup("<strong>%s</strong>")
            % name(f"{account.display_name}: {account.address}"),
        ),
    )


def password(account: Account, words: Words) -> Step:
    """The password, once for each part of the profile."""
    parts = [words.say("mail")]
    if account.calendars:
        parts.append(words.say("calendar"))
    if account.address_books:
        parts.append(words.say("contacts"))
    once = words.say("You are asked for it once.")
    if len(parts) > 1:
        joined = Markup(", ").join(parts)
        once = words.say("You are asked for it once each for: %(what)s.", what=joined)
    done = words.say("Done: open Mail.")
    return Step(words.say("Type your e-mail password"), (once, done))


def _iphone_by_hand(account: Account, words: Words) -> list[Step]:
    path = words.path(
        words.label("iphone.settings", N_("the Settings")),
        words.label("iphone.apps", N_("apps")),
        words.label("iphone.mail", N_("Mail")),
        words.label("iphone.mail-accounts", N_("its accounts")),
        words.label("iphone.add-account", N_("add an account")),
        words.label("iphone.other", N_("another kind")),
    )
    where = words.say("Go to %(path)s, and add a mail account there.", path=path)
    before = words.say("Before iOS 18, Mail stands right in the Settings.")
    return [
        Step(words.say("Open the settings of Mail"), (where, before)),
        *_by_hand(account, words),
    ]


def _by_hand(account: Account, words: Words) -> list[Step]:
    """The same forms on the phone and on the Mac; what they say was not seen."""
    fields = [
        own_name(account, words, words.say(NAME)),
        plain(words.say(ADDRESS), account.shown),
        own_password(words, words.say(PASSWORD)),
    ]
    title = words.say("Enter your name, address and password")
    steps = [Step(title, groups=(Group(None, fields),))]
    box = account.box()
    if box:
        title = words.say("Choose %(kind)s and enter the servers", kind=kind(box[0]))
        both = words.say(
            "User name and password go into both parts, even where they may be left out."
        )
        port = words.say("Is no port asked for? Then it finds it by itself.")
        steps.append(Step(title, (both, port), both_groups(words, box)))
    if account.davs:
        steps.append(_calendars_by_hand(account, words))
    return steps


def _calendars_by_hand(account: Account, words: Words) -> Step:
    fields = []
    for dav in account.davs:
        fields.append(plain(DAV[dav.type], dav.url))
    fields.append(plain(words.say("User name"), account.davs[0].username))
    text = words.say(
        "Add an account of another kind once more, now of the kind CalDAV or CardDAV."
    )
    title = words.say("Calendars and contacts")
    return Step(title, (text,), (Group(None, [it for it in fields if it.copied]),))


def mac(account: Account, words: Words) -> list[Step]:
    """The steps for Mail on a Mac."""
    if account.profile is None:
        title = words.say("Open Mail")
        text = words.say(
            "In the menu named Mail, choose to add an account, and another mail account."
        )
        return [Step(title, (text,)), *_by_hand(account, words)]
    install = words.label("mac.install", N_("the button to install"))
    now = words.path(
        words.label("mac.system-settings", N_("the system settings")),
        words.label("mac.general", N_("general")),
        words.label("mac.device-management", N_("device management")),
    )
    before = words.path(
        words.label("mac.privacy", N_("privacy and security")),
        words.label("mac.profiles", N_("profiles")),
    )
    return [
        Step(words.say("Your name, as others see it"), part="name"),
        Step(
            words.say("Get the profile"),
            (
                words.say("The browser saves a file: open it from the downloads."),
                words.say("Nothing but a notice appears, which is right so."),
            ),
            part="profile",
        ),
        Step(
            words.say("Install it"),
            (
                words.say("Open %(path)s.", path=now),
                words.say("On macOS 13 and 14: %(path)s.", path=before),
                words.say(
                    "Click twice on the profile there, and then %(install)s.",
                    install=install,
                ),
                *_not_signed(account, words),
            ),
        ),
        password(account, words),
    ]
