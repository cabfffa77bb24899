"""What to do in each program, step by step. One module a maker."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from markupsafe import Markup

from ..account import Account, Ready
from ..words import N_, Words, name, value


class Field(NamedTuple):
    """A field of a program, and what goes into it."""

    label: Markup
    text: Markup
    copied: str = ""  # what a button copies; "" for what is chosen or known by heart


class Group(NamedTuple):
    """Fields that stand together on a screen."""

    title: Markup | None
    fields: list[Field]


class Step(NamedTuple):
    """One thing to do."""

    title: Markup
    text: tuple[Markup, ...] = ()
    groups: tuple[Group, ...] = ()
    then: Markup | None = None  # what ends it
    note: Markup | None = None
    # What the template adds: the form of a name, a button or a QR code.
    part: str = ""


Steps = Callable[[Account, Words], list[Step]]

# The words that stand for a label which nobody saw; a program's own go before them.
SERVER, PORT, SECURITY = N_("Server"), N_("Port"), N_("Encryption")
USER, PASSWORD, ADDRESS = N_("User name"), N_("Password"), N_("E-mail address")
NAME = N_("Your name")
DAV = {"caldav": Markup("CalDAV"), "carddav": Markup("CardDAV")}


def plain(label: Markup, text: str) -> Field:
    """A value that is copied."""
    return Field(label, value(text), text)


def chosen(label: Markup, text: Markup) -> Field:
    """A value that is chosen from a list, or that only its owner knows."""
    return Field(label, text)


def own_name(account: Account, words: Words, label: Markup) -> Field:
    """The person's name, as far as she told it."""
    if account.name:
        return Field(label, name(account.name), account.name)
    return chosen(label, words.say("your name, as others see it"))


def own_password(words: Words, label: Markup) -> Field:
    """The password, which nobody but its owner knows."""
    return chosen(label, words.say("your e-mail password"))


_SECURITY: Mapping[str, str] = {
    "SSL": "SSL/TLS",
    "STARTTLS": "STARTTLS",
    "plain": N_("none"),
}


def security(words: Words, server: Ready) -> Markup:
    """The encryption, in the words of most programs."""
    return words.say(_SECURITY[server.socket_type])


def server_fields(
    words: Words,
    server: Ready,
    *,
    host: Markup | None = None,
    port: Markup | None = None,
    encryption: Markup | None = None,
    user: Markup | None = None,
    encrypted: Markup | None = None,
) -> list[Field]:
    """A server's fields in the usual order, under a program's labels or in our words."""
    fields = [
        plain(host or words.say(SERVER), server.host),
        plain(port or words.say(PORT), str(server.port)),
        chosen(encryption or words.say(SECURITY), encrypted or security(words, server)),
    ]
    if server.username:
        fields.append(plain(user or words.say(USER), server.username))
    return fields


def both_groups(words: Words, box: tuple[Ready, Ready]) -> tuple[Group, Group]:
    """The fields of both servers in our own words."""
    incoming, outgoing = box
    return (
        Group(incoming_title(words, incoming), server_fields(words, incoming)),
        Group(words.say("Outgoing mail (SMTP)"), server_fields(words, outgoing)),
    )


def incoming_title(words: Words, server: Ready) -> Markup:
    """What a server for reading is called."""
    if server.type == "pop3":
        return words.say("Incoming mail (POP3)")
    return words.say("Incoming mail (IMAP)")


def kind(server: Ready) -> Markup:
    """The kind of account to choose."""
    return Markup('<b class="label">%s</b>') % server.type.upper()


def with_davx5(account: Account, words: Words) -> list[Step]:
    """Where the calendars of an Android phone come from, if there are any."""
    if not (account.davs and account.davx5):
        return []
    title = words.say("Calendars and contacts")
    link = Markup('<a href="%s">DAVx⁵</a>') % account.davx5
    text = words.say("Android takes them by one more app, %(app)s.", app=link)
    return [Step(title, (text,))]


def without_calendars(account: Account, words: Words) -> list[Step]:
    """What to say where a program takes none of the provider's calendars."""
    if not account.davs:
        return []
    title = words.say("Calendars and contacts")
    text = words.say("This program cannot show them; Thunderbird can.")
    return [Step(title, (text,))]
