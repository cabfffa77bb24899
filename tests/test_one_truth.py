"""One truth: what one client is told of a provider contradicts what no other is.

Hypothesis makes providers of all kinds. Of each, what a client would set up is read out of
every family's answer and of DNS by `readers`, and held against the TOML, read here by
rules of its own: the same best server, the same login, the same order; or nothing is
said, and `validate` says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import readers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import Account, Setting
from werkzeug.test import EnvironBuilder

from flask_autoconfig import families
from flask_autoconfig.address import parse_address
from flask_autoconfig.answers import Answer, Request
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.documents import Recipient
from flask_autoconfig.hooks import Functions, Hooks
from flask_autoconfig.service import Service
from flask_autoconfig.tools import zone
from flask_autoconfig.tools.warnings import find_warnings

DOMAIN = "example.test"
POX = "/autodiscover/autodiscover.xml"
BODY = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/'
    'requestschema/2006"><Request><EMailAddress>{}</EMailAddress></Request></Autodiscover>'
)

# --- Providers of all kinds ----------------------------------------------------------

_hosts = st.sampled_from(
    ["a.test", "b.test", "mail.%EMAILDOMAIN%", "%EMAILDOMAIN%", "Bücher.test"]
    + ["%EMAILLOCALPART%.box.test", "192.0.2.1", "2001:db8::1"]
)
_logins = st.sampled_from(
    ["%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILLOCALPART%@%EMAILDOMAIN%", "shared"]
)
_methods = st.sampled_from(
    ["password-cleartext", "password-encrypted", "OAuth2", "GSSAPI", "NTLM", "none"]
    + [["OAuth2", "password-cleartext"], {"system": "sasl", "name": "SCRAM-SHA-256"}]
)
_PASSWORDS = ("password-cleartext", "password-encrypted")
_usual = {"type": "imap", "hostname": "a.test"}
_more: dict[str, st.SearchStrategy[Any]] = {
    "port": st.sampled_from([993, 995, 465, 587, 12345]),
    "socket_type": st.sampled_from(["SSL", "STARTTLS", "plain"]),
    "username": _logins,
    "authentication": _methods,
}


def _mail(*types: str) -> st.SearchStrategy[dict[str, Any]]:
    needed = {"type": st.sampled_from(types), "hostname": _hosts}
    methods = {"authentication": st.sampled_from(["OAuth2", *_PASSWORDS])}
    return st.one_of(
        st.fixed_dictionaries(needed),
        # What every family can say, so that the methods alone make a difference.
        st.fixed_dictionaries({**needed, "hostname": st.just("a.test"), **methods}),
        st.fixed_dictionaries(needed, optional=_more),
    )


def _web(*types: str) -> st.SearchStrategy[dict[str, Any]]:
    kind = st.sampled_from(types)
    url = st.sampled_from(
        ["https://dav.test/", "https://dav.test:8443/a/", "http://dav.test/x"]
        + [
            "https://dav.test/%EMAILADDRESS%/",
            "https://%EMAILDOMAIN%/.well-known/caldav",
        ]
        + ["https://%EMAILLOCALPART%.test/", "https://192.0.2.1/", "https://a.test?q=1"]
        + ["https://j.test/.well-known/jmap"]
    )
    login = {"username": _logins, "authentication": _methods}
    by_url = st.fixed_dictionaries({"type": kind, "url": url}, optional=login)
    port = {"port": st.sampled_from([443, 8443]), **login}
    by_host = st.fixed_dictionaries({"type": kind, "hostname": _hosts}, optional=port)
    return st.one_of(by_url, by_host)


_exchange = st.sampled_from(
    [
        {"type": "ews", "url": "https://x.test/ews"},
        {"type": "activesync", "url": "https://x.test/eas"},
    ]
)
_incoming = st.lists(
    st.one_of(_mail("imap", "pop3"), _mail("imap", "pop3"), _web("jmap"), _exchange),
    max_size=3,
)
services = st.fixed_dictionaries(
    {
        "incoming": _incoming,
        "outgoing": st.lists(_mail("smtp"), min_size=1, max_size=2),
    },
    optional={
        "calendar": st.lists(_web("caldav"), max_size=2),
        "address_book": st.lists(_web("carddav"), max_size=1),
        "file_share": st.lists(_web("webdav"), max_size=1),
        "oauth2": st.just({"issuer": "login.test"}),
        "list_domains": st.just(False),
        "mx_domains": st.just(["mx.test"]),
    },
)
_domains = st.sampled_from([[DOMAIN], ["other.test", DOMAIN], ["*"], ["*.test"]])
_locals = st.sampled_from(["fred", "Fred", "a.b", "o'neill+x", "EVOLUTIONUSER"])

# --- The TOML by rules of our own -----------------------------------------------------

_PORTS = {
    ("imap", "SSL"): 993,
    ("imap", "STARTTLS"): 143,
    ("imap", "plain"): 143,
    ("pop3", "SSL"): 995,
    ("pop3", "STARTTLS"): 110,
    ("pop3", "plain"): 110,
    ("smtp", "SSL"): 465,
    ("smtp", "STARTTLS"): 587,
    ("smtp", "plain"): 25,
}


class Meant(NamedTuple):
    """A mail server as the file means it for somebody."""

    place: str
    setting: Setting
    methods: list[Any]
    host: str  # as the file has it, the domain in it


class Truth(NamedTuple):
    """What the file means."""

    reading: list[Meant]
    sending: list[Meant]
    urls: list[tuple[str, str, str]]  # place, type, URL with its port


def _methods_of(table: dict[str, Any]) -> list[Any]:
    said = table.get("authentication", "password-cleartext")
    return said if isinstance(said, list) else [said]


def _host(text: str, address: str) -> str:
    """The host, "" where the address does not fit into it."""
    local = address.rpartition("@")[0]
    if "LOCALPART" in text and not local.isalnum():
        return ""
    return readers.filled(text, address).lower().replace("bücher", "xn--bcher-kva")


def _login(table: dict[str, Any], address: str, hooked: str | None) -> str | None:
    methods = _methods_of(table)
    if methods == ["none"] and "username" not in table:
        return None
    login = table.get("username", "%EMAILADDRESS%")
    if hooked and "%" in login:
        return hooked
    return readers.filled(login, address)


def truth(raw: dict[str, Any], address: str, hooked: str | None) -> Truth:
    def meant(key: str) -> Iterator[Meant]:
        for index, table in enumerate(raw.get(key, [])):
            type_ = table["type"]
            if type_ not in ("imap", "pop3", "smtp"):
                continue
            security = table.get("socket_type", "SSL")
            port = table.get("port", _PORTS[type_, security])
            host = _host(table["hostname"], address)
            login = _login(table, address, hooked)
            of_domain = table["hostname"].replace("%EMAILDOMAIN%", DOMAIN)
            setting = Setting(type_, host, port, security, login)
            yield Meant(f"{key}[{index}]", setting, _methods_of(table), of_domain)

    def urls() -> Iterator[tuple[str, str, str]]:
        for key in ("incoming", "calendar", "address_book", "file_share"):
            for index, table in enumerate(raw.get(key, [])):
                type_ = table["type"]
                if type_ not in ("jmap", "caldav", "carddav", "webdav"):
                    continue
                url = table.get("url")
                if url is None:
                    host = table["hostname"].replace("Bücher", "xn--bcher-kva")
                    host = f"[{host}]" if ":" in host else host
                    path = "/" if type_ == "webdav" else f"/.well-known/{type_}"
                    url = f"https://{host}:{table.get('port', 443)}{path}"
                yield f"{key}[{index}]", type_, url

    return Truth(list(meant("incoming")), list(meant("outgoing")), list(urls()))


# --- What is told ----------------------------------------------------------------------


class World(NamedTuple):
    """A provider that is served, somebody who asks, and what the file means for them."""

    service: Service
    address: str
    meant: Truth
    warned: set[tuple[str, str]]  # client and place
    records: list[tuple[str, str, str]]

    def get(self, path: str, **query: str) -> Answer:
        host, text = f"autoconfig.{DOMAIN}", query.get("email", self.address)
        if path.startswith("/.well-known/") and path.count("/") == 2:
            host, text = f"ua-auto-config.{DOMAIN}", ""
        asked = f"emailaddress={quote(text)}" if text else ""
        answer = self.service.answer(Request(path, asked, host))
        assert answer is not None
        return answer

    def is_told(self, client: str, place: str) -> bool:
        """Whether `validate` says why a client is not told of what is at a place."""
        return any(it == client and at.startswith(place) for it, at in self.warned)


@st.composite
def worlds(draw: st.DrawFn, hooks: bool = True) -> World:
    raw: dict[str, Any] = {"domains": draw(_domains), **draw(services)}
    if not raw["incoming"]:
        del raw["outgoing"]
        raw.setdefault("calendar", [{"type": "caldav", "url": "https://dav.test/"}])
    if not [it for key in ("incoming", "calendar") for it in raw.get(key, [])]:
        raw["incoming"] = [dict(_usual)]
        raw["outgoing"] = [{"type": "smtp", "hostname": "b.test"}]
    address = f"{draw(_locals)}@{DOMAIN}"
    hooked = draw(st.sampled_from([None, "u1001"])) if hooks else None
    loaded = from_raw({"provider": [raw]})
    own = Hooks(Functions(find_username=(lambda _: hooked) if hooked else None))
    is_asked = "EVOLUTIONUSER" not in address  # nobody's
    (provider,) = loaded.providers
    told = zone.service_records(provider, DOMAIN)
    warnings = find_warnings(loaded.providers)
    return World(
        Service(loaded, hooks=own),
        address,
        truth(raw, address, hooked if is_asked else None),
        {(it.client, it.place.removeprefix("provider[0].")) for it in warnings},
        [(it.name, it.type, it.data) for it in told],
    )


def _of(servers: list[Meant]) -> tuple[Setting, ...]:
    return tuple(it.setting for it in servers)


_usual_settings = settings(
    max_examples=200, deadline=None, suppress_health_check=list(HealthCheck)
)


@given(worlds())
@_usual_settings
def test_thunderbird_and_its_kin_get_what_the_file_means(world: World) -> None:
    answer = world.get("/mail/config-v1.1.xml")
    found = readers.config_v1(answer.body, world.address)
    fits = [it for it in world.meant.reading if it.setting.host]
    if len(fits) == len(
        world.meant.reading
    ):  # else clients fill the host in themselves
        assert found.reading == _of(world.meant.reading)
    if all(it.setting.host for it in world.meant.sending):
        assert found.sending == _of(world.meant.sending)
    urls = {(type_, readers.with_port(url)) for type_, url in found.urls}
    assert urls == {
        (type_, readers.with_port(readers.filled(url, world.address)))
        for _, type_, url in world.meant.urls
        if type_ != "jmap"
    }


@given(worlds())
@_usual_settings
def test_outlook_gets_what_the_file_means(world: World) -> None:
    body = BODY.format(world.address)
    environ = EnvironBuilder(method="POST", data=body.encode()).get_environ()
    request = Request(POX, "", f"autodiscover.{DOMAIN}", "POST", environ)
    answer = world.service.answer(request)
    assert answer is not None
    found = readers.pox(answer.body)
    reading, sending = (
        [
            it
            for it in servers
            if it.setting.host and _OUTLOOKS & {*map(str, it.methods)}
        ]
        for servers in (world.meant.reading, world.meant.sending)
    )
    for it in (*world.meant.reading, *world.meant.sending):
        is_usable = it in reading or it in sending or not it.setting.host
        assert is_usable or world.is_told("Outlook (classic)", it.place)
    if found is None:
        assert not reading
        assert world.meant.reading or world.is_told("Outlook (classic)", "")
        return
    assert found.reading == tuple(map(_for_outlook, reading))
    assert reading or not found.sending  # Exchange alone
    if reading:
        assert found.sending == tuple(map(_for_outlook, sending))


def _for_outlook(server: Meant) -> Setting:
    """Return what Outlook sets up: no login where its best method requires none."""
    best = next(it for it in map(str, server.methods) if it in _OUTLOOKS)
    return server.setting._replace(login=None) if best == "none" else server.setting


_OUTLOOKS = {"password-cleartext", "password-encrypted", "NTLM", "none"}
_APPLES = {"password-cleartext", "password-encrypted", "NTLM", "none"}


@given(worlds())
@_usual_settings
def test_an_iphone_gets_the_best_server_that_it_can_use(world: World) -> None:
    answer = world.get("/mail/mobileconfig")
    found = Account()
    if answer.status.startswith("200"):
        found = readers.mobileconfig(answer.body)
    best = []
    for servers in (world.meant.reading, world.meant.sending):
        usable = [it for it in servers if _APPLES.intersection(map(str, it.methods))]
        best.append(next((it for it in usable if it.setting.host), None))
        for it in servers:
            assert it in usable or world.is_told("iPhone, iPad and Mac", it.place)
    reading, sending = best
    if reading is None or sending is None:
        assert not found.reading
        return
    for told, meant in ((found.reading[0], reading), (found.sending[0], sending)):
        security = "plain" if meant.setting.security == "plain" else "SSL"
        assert told == meant.setting._replace(security=security)


@given(worlds())
@_usual_settings
def test_pacc_tells_the_files_best_servers_or_nothing(world: World) -> None:
    answer = world.get("/.well-known/user-agent-configuration.json")
    if world.service.hooks.find_username.exists:
        assert answer.status.startswith("404")
        return
    account, methods = readers.Pacc(Account(), frozenset())
    if answer.status.startswith("200"):
        account, methods = readers.pacc(answer.body, world.address)
        assert methods
    meant = world.meant
    for told, servers in (
        (account.reading, meant.reading),
        (account.sending, meant.sending),
    ):
        firsts = list({it.setting.type: it for it in reversed(servers)}.values())
        firsts.sort(key=servers.index)
        for it in told:
            (one,) = (first for first in firsts if first.setting.type == it.type)
            assert it == one.setting
            for method in methods:
                assert _takes(one, method)
        if told and servers:  # whoever chooses chooses the best
            assert told[0] == servers[0].setting
        for it in firsts:
            is_said = it.setting in told
            assert is_said or world.is_told("PACC", it.place), it
    if account.sending:
        assert account.reading or "jmap" in dict(account.urls)
    for type_, url in account.urls:
        first = next(it for it in meant.urls if it[1] == type_)
        expected = first[2].replace("%EMAILDOMAIN%", DOMAIN)
        assert readers.with_port(url) == readers.with_port(expected)
    for place, type_, _ in {it[1]: it for it in reversed(meant.urls)}.values():
        assert type_ in dict(account.urls) or world.is_told("PACC", place)


def _both_ways(
    account: Account, meant: Truth
) -> list[tuple[tuple[Setting, ...], list[Meant]]]:
    return [(account.reading, meant.reading), (account.sending, meant.sending)]


def _takes(server: Meant, method: str) -> bool:
    if method == "OAuth2":
        return "OAuth2" in server.methods
    return any(it in _PASSWORDS or isinstance(it, dict) for it in server.methods)


@given(worlds(hooks=False))
@_usual_settings
def test_dns_tells_the_files_best_servers_in_its_order_or_nothing(world: World) -> None:
    account, denied = readers.srv(world.records)
    by_records = "Programs that go by SRV records"
    meant = world.meant
    for told, servers in (
        (account.reading, meant.reading),
        (account.sending, meant.sending),
    ):
        every = [it.setting._replace(login=None) for it in servers]
        order = [it for it in dict.fromkeys(every) if it in told]
        assert list(told) == order
        assert not told or told[0] == every[0]
        for it, setting in zip(servers, every, strict=True):
            assert setting in told or world.is_told(by_records, it.place)
            assert (setting.type, setting.security) not in denied
            if setting.security == "plain":
                assert (setting.type, "STARTTLS") not in denied
            if it.setting.login not in (
                world.address,
                world.address.split("@")[0],
                None,
            ):
                assert world.is_told(by_records, f"{it.place}.username")
    for type_, url in account.urls:
        _, _, expected = next(it for it in meant.urls if it[1] == type_)
        expected = _known(expected)
        assert readers.with_port(url) == readers.with_port(expected).partition("?")[0]
    for place, type_, _ in {it[1]: it for it in reversed(meant.urls)}.values():
        known = type_ == "webdav" or type_ in dict(account.urls)
        assert known or world.is_told(by_records, place)


def _known(url: str) -> str:
    """As much of a URL as is the same for everybody."""
    url = url.replace("%EMAILDOMAIN%", DOMAIN)
    url = url.partition("%")[0]
    return url if urlsplit(url).path else f"{url.partition('?')[0]}/"


@given(worlds())
@_usual_settings
def test_the_redirect_leads_where_the_other_documents_do(world: World) -> None:
    for type_ in ("caldav", "carddav", "jmap"):
        path = f"/.well-known/{type_}"
        itself = f"https://{DOMAIN}:443{path}"  # to lead there would be a circle
        answer = world.service.answer(Request(path, "", DOMAIN))
        assert answer is not None
        location = dict(answer.headers).get("Location")
        urls = [url for _, it, url in world.meant.urls if it == type_]
        if location is None:
            for url in urls[:1]:
                is_unknown = "LOCALPART%" in urlsplit(url).netloc
                assert is_unknown or readers.with_port(_known(url)) == itself
            continue
        assert readers.with_port(location) != itself
        wanted = urls[0].replace("%EMAILDOMAIN%", DOMAIN).partition("%EMAIL")[0]
        assert readers.with_port(location) == readers.with_port(wanted)


def test_every_family_with_a_document_is_compared() -> None:
    compared = {"thunderbird", "outlook", "apple", "pacc"}
    assert {it.name for it in families.FAMILIES if it.formats} == compared


@given(worlds(hooks=False))
@_usual_settings
def test_a_format_knows_without_writing_whether_there_is_a_document(
    world: World,
) -> None:
    (provider,) = world.service.snapshot.loaded.providers
    for format_ in families.formats(families.FAMILIES).values():
        for address in (None, parse_address(world.address)):
            recipient = Recipient(DOMAIN, address)
            is_written = format_.write(provider, recipient) is not None
            assert format_.is_there(provider, recipient) == is_written, format_.name
