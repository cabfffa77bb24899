"""Thunderbird and Evolution, whose labels are read from what they install."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from ..account import MANY, Account, Ready
from ..words import N_, Words
from . import (
    DAV,
    Field,
    Group,
    Step,
    chosen,
    incoming_title,
    kind,
    own_name,
    own_password,
    plain,
    server_fields,
)

_THUNDERBIRD_METHODS: Mapping[object, str] = {
    "password-cleartext": "thunderbird.normal-password",
    "password-encrypted": "thunderbird.encrypted-password",
}
_PLAIN_NAMES: Mapping[object, str] = {"NTLM": "NTLM", "GSSAPI": "Kerberos"}
_EVOLUTION_SECURITY = {
    "SSL": "evolution.tls",
    "STARTTLS": "evolution.starttls",
    "plain": "evolution.no-encryption",
}


def thunderbird_method(words: Words, server: Ready) -> Markup:
    """What Thunderbird calls the way to log in."""
    if not server.username:
        return words.label("thunderbird.no-authentication")
    if server.method in _PLAIN_NAMES:
        return Markup('<b class="label">%s</b>') % _PLAIN_NAMES[server.method]
    known = _THUNDERBIRD_METHODS.get(server.method, "thunderbird.normal-password")
    return words.label(known)


def thunderbird_fields(words: Words, server: Ready) -> list[Field]:
    """A server's fields as Thunderbird has them."""
    none = words.label("thunderbird.none") if server.socket_type == "plain" else None
    fields = server_fields(
        words,
        server,
        host=words.label("thunderbird.hostname"),
        port=words.label("thunderbird.port"),
        encryption=words.label("thunderbird.connection-security"),
        user=words.label("thunderbird.username"),
        encrypted=none,
    )
    label = words.label("thunderbird.authentication-method")
    fields.insert(3, chosen(label, thunderbird_method(words, server)))
    return fields


def thunderbird(account: Account, words: Words) -> list[Step]:
    """The steps in Thunderbird."""
    add = words.path(
        words.say("the menu ≡"),
        words.label("thunderbird.add-account"),
        words.label("thunderbird.email"),
    )
    go_on = words.label("thunderbird.continue")
    identity = [
        own_name(account, words, words.label("thunderbird.full-name")),
        plain(words.label("thunderbird.email-address"), account.shown),
    ]
    finds = "thunderbird" in account.families
    steps = [
        Step(
            words.say("Open Thunderbird"),
            (
                words.say("At its first start it asks for an account by itself."),
                words.say("Else choose %(path)s.", path=add),
            ),
        ),
        Step(
            words.say("Enter your name and address"),
            groups=(Group(None, identity),),
            then=words.say("Then click on %(next)s.", next=go_on) if finds else None,
        ),
        *_servers(account, words, go_on),
        Step(
            words.say("Type your e-mail password"),
            groups=(
                Group(
                    None,
                    [own_password(words, words.label("thunderbird.password"))],
                ),
            ),
            then=words.say("Then click on %(next)s.", next=go_on),
        ),
    ]
    if account.davs:
        sync = words.label("thunderbird.sync")
        tick = words.say("Tick those that you want to see.")
        steps.append(Step(sync, (tick,)))
    finish = words.label("thunderbird.finish")
    steps.append(Step(words.say("Choose %(finish)s: done", finish=finish)))
    return steps


def _servers(account: Account, words: Words, go_on: Markup) -> list[Step]:
    box = account.box(MANY)
    if "thunderbird" in account.families:
        recommended = words.label("thunderbird.recommended")
        title = words.say("Thunderbird finds the servers by itself")
        text = words.say(
            "Take what it marks as %(recommended)s, then %(next)s.",
            recommended=recommended,
            next=go_on,
        )
        return [Step(title, (text,))]
    if box is None:
        return []
    incoming, outgoing = box
    by_hand = words.label("thunderbird.manual-configuration")
    groups = (
        Group(words.label("thunderbird.incoming"), thunderbird_fields(words, incoming)),
        Group(words.label("thunderbird.outgoing"), thunderbird_fields(words, outgoing)),
    )
    title = words.say("Choose %(way)s and enter the servers", way=by_hand)
    then = words.say("Then click on %(next)s.", next=go_on)
    return [Step(title, groups=groups, then=then)]


def evolution(account: Account, words: Words) -> list[Step]:
    """The steps in Evolution."""
    new = words.path(
        words.label("evolution.file"),
        words.label("evolution.new"),
        words.label("evolution.mail-account"),
    )
    identity = [
        own_name(account, words, words.label("evolution.full-name")),
        plain(words.label("evolution.email-address"), account.shown),
    ]
    look_up = words.label("evolution.look-up")
    remember = words.label("evolution.remember-password")
    steps = [
        Step(
            words.say("Open Evolution"),
            (
                words.say("At its first start it asks for an account by itself."),
                words.say("Else choose %(path)s.", path=new),
                words.say("Go on until it asks for your name."),
            ),
        ),
        Step(
            words.say("Enter your name and address"),
            groups=(Group(None, identity),),
            then=words.say("Leave %(tick)s ticked, and go on.", tick=look_up),
        ),
        *_evolution_servers(account, words),
        Step(
            words.say("Type your e-mail password"),
            (
                words.say("Evolution asks for it when it fetches mail."),
                words.say("Tick %(remember)s.", remember=remember),
            ),
        ),
    ]
    if account.davs:
        steps.append(_evolution_calendars(account, words))
    return steps


def _evolution_servers(account: Account, words: Words) -> list[Step]:
    summary = words.label("evolution.summary")
    apply = words.label("evolution.apply")
    if "thunderbird" in account.families:
        title = words.say("Evolution finds the servers by itself")
        text = words.say(
            "It shows %(summary)s: go on, and %(apply)s.", summary=summary, apply=apply
        )
        return [Step(title, (text,))]
    box = account.box(MANY)
    if box is None:
        return []
    steps = []
    titles = ("evolution.receiving", "evolution.sending")
    for server, heading in zip(box, titles, strict=True):
        encrypted = words.label(_EVOLUTION_SECURITY[server.socket_type])
        fields = server_fields(
            words,
            server,
            host=words.label("evolution.server"),
            port=words.label("evolution.port"),
            encryption=words.label("evolution.encryption-method"),
            user=words.label("evolution.username"),
            encrypted=encrypted,
        )
        fields.insert(0, chosen(words.label("evolution.server-type"), kind(server)))
        steps.append(Step(words.label(heading), groups=(Group(None, fields),)))
    steps.append(Step(apply))
    return steps


def _evolution_calendars(account: Account, words: Words) -> Step:
    groups = []
    for dav in account.davs:
        is_calendar = dav.type == "caldav"
        what = "evolution.calendar" if is_calendar else "evolution.address-book"
        type_ = DAV[dav.type]
        new = words.path(
            words.label("evolution.file"),
            words.label("evolution.new"),
            words.label(what),
        )
        fields = [
            chosen(words.say(N_("Kind")), type_),
            plain(words.label("evolution.url"), dav.url),
        ]
        if dav.username:
            fields.append(plain(words.label("evolution.user"), dav.username))
        groups.append(Group(new, fields))
    buttons = ("evolution.find-calendars", "evolution.find-books")
    find = Markup(" / ").join(words.label(it) for it in buttons)
    text = words.say("Make one of each:")
    then = words.say(
        "In each, click on %(button)s, and tick what is found.", button=find
    )
    title = words.say("Calendars and contacts")
    return Step(title, (text,), tuple(groups), then)


def other(account: Account, words: Words) -> list[Step]:
    """What to do in any program."""
    steps = [
        Step(
            words.say("Add an account in your program"),
            (
                words.say(
                    "Type your name, your address and your password first: many "
                    "programs find the rest by themselves."
                ),
            ),
        )
    ]
    box = account.box(MANY)
    if box:
        incoming, outgoing = box
        groups = (
            Group(
                incoming_title(words, incoming),
                [*server_fields(words, incoming)],
            ),
            Group(words.say("Outgoing mail (SMTP)"), server_fields(words, outgoing)),
        )
        steps.append(Step(words.say("If it asks for more, enter these"), groups=groups))
    if account.davs:
        fields = [plain(DAV[it.type], it.url) for it in account.davs]
        title = words.say("Calendars and contacts")
        steps.append(Step(title, groups=(Group(None, fields),)))
    return steps
