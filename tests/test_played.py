"""`validate` warns of a client exactly where playing it gives less than the file says.

What the file says is read here by the rules of `test_one_truth`, and what a client sets
up is compared with that without its faults, which the warnings are made of.
"""

from typing import Any

import pytest
import readers
from hypothesis import example, given, settings
from support import TWO_DOMAINS, loads, provider_of, rows, tables
from test_one_truth import DOMAIN, Meant, services, truth

from flask_autoconfig.address import Address
from flask_autoconfig.config.tables import WITHOUT_LOGIN, Provider
from flask_autoconfig.documents import Recipient, thunderbird
from flask_autoconfig.documents.setups import Account, Setup
from flask_autoconfig.families import FAMILIES
from flask_autoconfig.tools.check import Case
from flask_autoconfig.tools.check.context import request_of
from flask_autoconfig.tools.clients import (
    CLIENTS,
    OUTLOOK,
    THUNDERBIRD,
    Client,
    readings_of,
)
from flask_autoconfig.tools.reading import Rules, read
from flask_autoconfig.tools.warnings import find_warnings

WHO = Address("postmaster", DOMAIN)
PLAYED = [client for client in CLIENTS if client.steps]
GOOD = {
    "incoming": {"type": "imap", "hostname": "imap.test"},
    "outgoing": {"type": "smtp", "hostname": "smtp.test"},
}
NO_LESS = {key: [server] for key, server in GOOD.items()}
BOTH = ["OAuth2", "password-cleartext"]
BEHIND = ["password-cleartext", "GSSAPI"]
OFFICE = {"type": "imap", "hostname": "outlook.office365.com"}
DOCUMENT = thunderbird.write(loads(TWO_DOMAINS).provider[0]).decode()
Raw = dict[str, Any]


def served(raw: Raw) -> Provider:
    return provider_of(**raw, domains=[DOMAIN])


def setup_of(client: Client, raw: Raw) -> Setup | None:
    ((_, seen),) = readings_of([client], served(raw), Recipient(DOMAIN, WHO))
    return seen.setup


def warned(client: Client, raw: Raw) -> set[str]:
    """The places in the provider where the client is warned of."""
    everybody = {family.askers: family.name for family in FAMILIES}
    places = set()
    for warning in find_warnings([served(raw)]):
        names = warning.client.replace(" and ", ", ").split(", ")
        is_all = everybody.get(warning.client) == client.family
        # Where it takes this literally, it sets up what the file says.
        is_advice = "password-encrypted is taken literally" in warning.message
        if (client.name in names or is_all) and not is_advice:
            places.add(warning.place.removeprefix("provider[0]").removeprefix("."))
    return places


def is_as_meant(client: Client, account: Account, meant: Meant) -> bool:
    login = account.username and readers.filled(account.username, str(WHO))
    methods = [m if isinstance(m, str) else m["name"] for m in meant.methods]
    passwords = {"password-encrypted", "SCRAM-SHA-256"}
    is_password = account.authentication == "password-cleartext"
    if client is OUTLOOK and is_password and passwords.intersection(methods):
        methods.append("password-cleartext")  # Autodiscover has one word for passwords
    is_offered = not account.authentication or account.authentication in methods
    if client is OUTLOOK and account.authentication == "none":
        is_offered = bool(WITHOUT_LOGIN.intersection(methods))
    return (*account[:4], login) == meant.setting and is_offered


def gets_less(client: Client, raw: Raw) -> bool:
    """Whether the client sets up less than the file says, or something else."""
    setup = setup_of(client, raw)
    if setup is None:
        return True
    meant = truth(raw, str(WHO), None)
    best = sorted(meant.reading, key=lambda s: s.setting.type)[:1]  # imap, then pop3
    listed = [*best, *meant.sending[:1]]
    if client is OUTLOOK:
        listed = [*meant.reading, *meant.sending] if meant.reading else []
    mail = [account for account in setup.servers if not account.url]
    pairs = zip(mail, listed, strict=False)
    is_whole = len(mail) == len(listed)
    return not is_whole or not all(is_as_meant(client, *pair) for pair in pairs)


def alone(raw: Raw, place: str) -> Raw:
    """The provider with one of its servers, and one for the other way that works."""
    key, _, index = place.rstrip("]").partition("[")
    return {**raw, **NO_LESS, key: [raw[key][int(index)]]}


def never_falls_back(client: Client, raw: Raw, place: str) -> bool:
    """Whether it takes another method of a server although a password comes first."""
    single = alone(raw, place)
    key, _, _ = place.partition("[")
    (server,) = single[key]
    methods = server.get("authentication")
    if not isinstance(methods, list):
        return False
    if "OAuth2" in methods:
        methods = methods[::-1]
    single[key] = [{**server, "authentication": methods}]
    setup = setup_of(client, single)
    return methods[0] == "password-cleartext" and any(
        method in methods[1:]
        for method in (s.authentication for s in (setup.servers if setup else ()))
    )


@pytest.mark.parametrize("client", PLAYED, ids=[client.name for client in PLAYED])
def test_a_client_is_warned_of_exactly_where_it_gets_less(client: Client) -> None:
    @example({**NO_LESS, "incoming": [{**GOOD["incoming"], "authentication": BOTH}]})
    @example({**NO_LESS, "incoming": [{**GOOD["incoming"], "type": "pop3"}]})
    @example({**NO_LESS, "incoming": [{**OFFICE, "authentication": "OAuth2"}]})
    @example({**NO_LESS, "incoming": [{**OFFICE, "authentication": BOTH}]})
    @example({**NO_LESS, "incoming": [{**GOOD["incoming"], "authentication": BEHIND}]})
    @given(services)
    @settings(max_examples=50)
    def holds(raw: Raw) -> None:
        if not raw["incoming"]:
            return  # a file with sending alone is no file
        places = warned(client, raw)
        listed = [f"{key}[{n}]" for key in GOOD for n in range(len(raw[key]))]
        if gets_less(client, raw) or any(
            never_falls_back(client, raw, raw_server) for raw_server in listed
        ):
            assert places
        for place in places:
            server = place.partition(".")[0]
            if server.startswith(("calendar", "address_book")):
                continue  # only mail is compared here
            if not server:
                assert setup_of(client, raw) is None
                continue
            assert (
                gets_less(client, alone(raw, server))
                or never_falls_back(client, raw, server)
                or gets_less(client, raw)
            ), place

    holds()


@rows("oauth2_hosts", "host, expected", "tables.toml")
def test_thunderbird_takes_oauth2_at_hosts_it_knows(host: str, expected: str) -> None:
    server = {"type": "imap", "hostname": host, "authentication": BOTH}
    setup = setup_of(THUNDERBIRD, {**NO_LESS, "incoming": [server]})
    assert setup is not None
    assert setup.servers[0].authentication == expected


@rows("incoming", "server, expected", "tables.toml")
def test_what_thunderbird_refuses_is_reported(server: Raw, expected: str) -> None:
    raw = {**NO_LESS, "incoming": [server]}
    found = find_warnings([served(raw)])
    assert setup_of(THUNDERBIRD, raw) is None
    assert any("Thunderbird" in w.client and expected in w.message for w in found)


def test_oauth2_stays_at_a_host_where_thunderbird_can_use_it() -> None:
    for methods in ("OAuth2", BOTH, ["OAuth2", "password-encrypted"]):
        gmail = {"type": "smtp", "hostname": "smtp.gmail.com"}
        servers = {
            "incoming": [{**OFFICE, "authentication": methods}],
            "outgoing": [{**gmail, "authentication": methods}],
        }
        found = find_warnings([served(servers)])
        assert not [warning for warning in found if warning.client == "Thunderbird"]
        cures = " ".join(str(warning.cure) for warning in found)
        for wrong in ("remove OAuth2", "let password-cleartext follow", "only if"):
            assert wrong not in cures
        assert "recommend Thunderbird" in cures


# --- What the rules mean ----------------------------------------------------------------

FAULTS = tables("client_faults.toml")["faults"]


@pytest.mark.parametrize(("ruled", "old", "new", "place"), FAULTS)
def test_a_fault_has_its_place(ruled: Raw, old: str, new: str, place: str) -> None:
    values: Any = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in ruled.items()
    }
    rules = Rules(**values)
    assert old in DOCUMENT
    count = -1 if old in ("clientConfig", "<domain>") else 1
    seen = read(DOCUMENT.replace(old, new, count).encode(), rules, WHO)
    assert [f.place for f in seen.faults][:1] == ([] if place == "none" else [place])
    assert seen.setup is not None or (seen.reason and seen.cure)
    assert all(f.message and f.cure for f in seen.faults)


@rows("version_153", "old, new, code", "tables.toml")
def test_thunderbird_reads_as_version_153_does(old: str, new: str, code: str) -> None:
    assert old in DOCUMENT
    seen = read(DOCUMENT.replace(old, new).encode(), THUNDERBIRD.rules, WHO)
    assert {fault.code for fault in seen.faults} == ({code} if code else set())
    assert (seen.setup is None) == (code == "id")


def test_every_fault_is_told_and_not_the_first_alone() -> None:
    document = DOCUMENT.replace(">993<", ">0<").replace(">465<", "><")
    seen = read(document.replace(">SSL<", ">none<").encode(), Rules(), WHO)
    assert seen.setup is None
    assert [fault.place for fault in seen.faults] == [
        *("incoming[0].socket_type", "incoming[0].port", "incoming[1].socket_type"),
        *("outgoing[0].socket_type", "outgoing[0].port"),
    ]


def test_gnome_online_accounts_leaves_an_address_unencoded_where_it_can() -> None:
    step = next(s for client in CLIENTS for s in client.steps if s.form == "raw")
    for local, query in (("a+b", "a+b@"), ("a b", "a%20b@")):
        case = Case(DOMAIN, (), address=Address(local, DOMAIN))
        url = request_of(step, case, f"https://{DOMAIN}/").url
        assert url == f"https://{DOMAIN}/?emailaddress={query}{DOMAIN}"
