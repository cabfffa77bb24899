"""One truth: what one client is told of a provider contradicts what no other is.

Hypothesis makes providers of all kinds. Of each, what a client would set up is read out of
every family's answer and of DNS by `readers`, and held against the TOML, read here by
rules of its own: the same best server, the same login, the same order; or nothing is
said, and `validate` says why.
"""

from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import readers
from client_requests import POX, outlook_request
from hypothesis import given
from hypothesis import strategies as st
from readers import Account, Setting
from support import table
from werkzeug.test import EnvironBuilder

from flask_autoconfig import families
from flask_autoconfig.answers import Answer, Request
from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.hooks import Functions, Hooks
from flask_autoconfig.service import Service
from flask_autoconfig.tools import zone
from flask_autoconfig.tools.warnings import find_warnings

DOMAIN = "example.test"
# --- Providers of all kinds ----------------------------------------------------------

_one = {
    name: st.sampled_from(values)
    for name, values in table("values", "one_truth.toml").items()
}
# What the programs can do that know nothing but a login and a password.
_TYPED = {"password-cleartext", "password-encrypted", "NTLM", "none"}
_PASSWORDS = ("password-cleartext", "password-encrypted")


def _mail(*types: str) -> st.SearchStrategy[dict[str, Any]]:
    needed = {"type": st.sampled_from(types), "hostname": _one["hostname"]}
    methods = {"authentication": st.sampled_from(["OAuth2", *_PASSWORDS])}
    keys = ("port", "socket_type", "username", "authentication")
    return st.one_of(
        st.fixed_dictionaries(needed),
        # What every family can say, so that the methods alone make a difference.
        st.fixed_dictionaries({**needed, "hostname": st.just("a.test"), **methods}),
        st.fixed_dictionaries(needed, optional={key: _one[key] for key in keys}),
    )


def _web(type_: str) -> st.SearchStrategy[dict[str, Any]]:
    kind = st.just(type_)
    login = {key: _one[key] for key in ("username", "authentication")}
    port = {"port": st.sampled_from([443, 8443]), **login}
    return st.one_of(
        st.fixed_dictionaries({"type": kind, "url": _one["url"]}, optional=login),
        st.fixed_dictionaries(
            {"type": kind, "hostname": _one["hostname"]}, optional=port
        ),
    )


_incoming = st.one_of(
    *(_mail("imap", "pop3"), _mail("imap", "pop3"), _web("jmap"), _one["exchange"])
)
services = st.fixed_dictionaries(
    {
        "incoming": st.lists(_incoming, max_size=3),
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

# --- The TOML by rules of our own -----------------------------------------------------

_PORTS = {  # direct TLS, STARTTLS, unencrypted
    "imap": (993, 143, 143),
    "pop3": (995, 110, 110),
    "smtp": (465, 587, 25),
}
_SECURITIES = ("SSL", "STARTTLS", "plain")


class Meant(NamedTuple):
    """A mail server as the file means it for somebody."""

    place: str
    setting: Setting
    methods: list[Any]


class Truth(NamedTuple):
    reading: list[Meant]
    sending: list[Meant]
    urls: list[tuple[str, str, str]]  # place, type, URL with its port

    def both_ways(
        self, account: Account
    ) -> tuple[tuple[tuple[Setting, ...], list[Meant]], ...]:
        """Return the servers that a client chooses, with those that are meant."""
        return (account.reading, self.reading), (account.sending, self.sending)

    def first_urls(self) -> dict[str, tuple[str, str]]:
        """Return the place and URL of the first server of each type."""
        return {type_: (place, url) for place, type_, url in reversed(self.urls)}


def _host(text: str, address: str) -> str:
    """The host, "" where the address does not fit into it."""
    local = address.rpartition("@")[0]
    if "LOCALPART" in text and not local.isalnum():
        return ""
    return readers.filled(text, address).lower().replace("bücher", "xn--bcher-kva")


def _server(raw: dict[str, Any], place: str, address: str, hooked: str | None) -> Meant:
    type_, security = raw["type"], raw.get("socket_type", "SSL")
    port = raw.get("port", _PORTS[type_][_SECURITIES.index(security)])
    methods = raw.get("authentication", "password-cleartext")
    methods = methods if isinstance(methods, list) else [methods]
    login: str | None = raw.get("username", "%EMAILADDRESS%")
    if methods == ["none"] and "username" not in raw:
        login = None
    elif hooked and "%" in str(login):
        login = hooked
    else:
        login = readers.filled(str(login), address)
    host = _host(raw["hostname"], address)
    return Meant(place, Setting(type_, host, port, security, login), methods)


def _url(raw: dict[str, Any]) -> str:
    if "url" in raw:
        return str(raw["url"])
    host = raw["hostname"].replace("Bücher", "xn--bcher-kva")
    host = f"[{host}]" if ":" in host else host
    path = "/" if raw["type"] == "webdav" else f"/.well-known/{raw['type']}"
    return f"https://{host}:{raw.get('port', 443)}{path}"


def truth(raw: dict[str, Any], address: str, hooked: str | None) -> Truth:
    found = Truth([], [], [])
    for key in ("incoming", "outgoing", "calendar", "address_book", "file_share"):
        for index, server in enumerate(raw.get(key, [])):
            place = f"{key}[{index}]"
            if server["type"] in _PORTS:
                servers = found.sending if key == "outgoing" else found.reading
                servers.append(_server(server, place, address, hooked))
            elif server["type"] in ("jmap", "caldav", "carddav", "webdav"):
                found.urls.append((place, server["type"], _url(server)))
    return found


class World(NamedTuple):
    """A provider that is served, somebody who asks, and what the file means for them."""

    service: Service
    address: str
    meant: Truth
    warned: set[tuple[str, str]]  # client and place
    records: list[tuple[str, str, str]]

    def get(self, path: str, label: str = "autoconfig", **more: Any) -> Answer:
        """Return the answer to a request, which by default has the address."""
        query = more.pop("query", f"emailaddress={quote(self.address)}")
        answer = self.service.answer(Request(path, query, f"{label}.{DOMAIN}", **more))
        assert answer is not None
        return answer

    def is_warned(self, client: str, place: str) -> bool:
        """Whether `validate` says why a client is not told of what is at a place."""
        return any(name == client and at.startswith(place) for name, at in self.warned)


@st.composite
def worlds(draw: st.DrawFn, hooks: bool = True) -> World:
    raw: dict[str, Any] = {"domains": draw(_one["domains"]), **draw(services)}
    if not raw["incoming"]:
        del raw["outgoing"]
        raw.setdefault("calendar", [{"type": "caldav", "url": "https://dav.test/"}])
    if not [server for key in ("incoming", "calendar") for server in raw.get(key, [])]:
        raw["incoming"] = [{"type": "imap", "hostname": "a.test"}]
        raw["outgoing"] = [{"type": "smtp", "hostname": "b.test"}]
    address = f"{draw(_one['local_part'])}@{DOMAIN}"
    hooked = draw(st.sampled_from([None, "u1001"])) if hooks else None
    loaded = from_raw({"provider": [raw]})
    own = Hooks(Functions(find_username=(lambda _: hooked) if hooked else None))
    is_asked = "EVOLUTIONUSER" not in address  # nobody's
    (provider,) = loaded.providers
    records = zone.service_records(provider, DOMAIN)
    warnings = find_warnings(loaded.providers)
    return World(
        Service(loaded, hooks=own),
        address,
        truth(raw, address, hooked if is_asked else None),
        {(w.client, w.place.removeprefix("provider[0].")) for w in warnings},
        [(record.name, record.type, record.data) for record in records],
    )


@given(worlds())
def test_thunderbird_and_its_kin_get_what_the_file_means(world: World) -> None:
    answer = world.get("/mail/config-v1.1.xml")
    found = readers.config_v1(answer.body, world.address)
    for chosen, servers in world.meant.both_ways(found):
        # Else clients fill the host in themselves.
        if all(server.setting.host for server in servers):
            assert chosen == tuple(server.setting for server in servers)
    urls = {(type_, readers.with_port(url)) for type_, url in found.urls}
    assert urls == {
        (type_, readers.with_port(readers.filled(url, world.address)))
        for _, type_, url in world.meant.urls
        if type_ != "jmap"
    }


@given(worlds())
def test_outlook_gets_what_the_file_means(world: World) -> None:
    body = outlook_request(world.address).encode()
    environ = EnvironBuilder(method="POST", data=body).get_environ()
    more = {"query": "", "method": "POST", "environ": environ}
    found = readers.pox(world.get(POX, "autodiscover", **more).body)

    def usable(servers: list[Meant]) -> list[Meant]:
        fits = [server for server in servers if _TYPED & {*map(str, server.methods)}]
        for server in servers:
            is_warned = world.is_warned("Outlook (classic)", server.place)
            assert server in fits or not server.setting.host or is_warned
        return [server for server in fits if server.setting.host]

    reading, sending = usable(world.meant.reading), usable(world.meant.sending)
    if found is None:
        assert not reading
        assert world.meant.reading or world.is_warned("Outlook (classic)", "")
        return
    assert found.reading == tuple(map(_for_outlook, reading))
    assert reading or not found.sending  # Exchange alone
    if reading:
        assert found.sending == tuple(map(_for_outlook, sending))


def _for_outlook(server: Meant) -> Setting:
    """Return what Outlook sets up: no login where its best method requires none."""
    best = next(method for method in map(str, server.methods) if method in _TYPED)
    return server.setting._replace(login=None) if best == "none" else server.setting


@given(worlds())
def test_an_iphone_gets_the_best_server_that_it_can_use(world: World) -> None:
    answer = world.get("/mail/mobileconfig")
    found = Account()
    if answer.status.startswith("200"):
        found = readers.mobileconfig(answer.body)
    best = []
    for chosen, servers in world.meant.both_ways(found):
        usable = [
            server
            for server in servers
            if _TYPED.intersection(map(str, server.methods))
        ]
        best.append(
            (chosen, next((server for server in usable if server.setting.host), None))
        )
        for server in servers:
            assert server in usable or world.is_warned(
                "iPhone, iPad and Mac", server.place
            )
    for chosen, meant in best:
        if any(server is None for _, server in best):
            assert not chosen
        elif meant is not None:
            security = "plain" if meant.setting.security == "plain" else "SSL"
            assert chosen[0] == meant.setting._replace(security=security)


@given(worlds())
def test_pacc_tells_the_files_best_servers_or_nothing(world: World) -> None:
    path = "/.well-known/user-agent-configuration.json"
    answer = world.get(path, "ua-auto-config", query="")
    if world.service.hooks.has("find_username"):
        assert answer.status.startswith("404")
        return
    account, methods = Account(), set[str]()
    if answer.status.startswith("200"):
        account, methods = readers.pacc(answer.body, world.address)
        assert methods
    meant = world.meant
    for chosen, servers in meant.both_ways(account):
        firsts = list({s.setting.type: s for s in reversed(servers)}.values())
        firsts.sort(key=servers.index)
        for setting in chosen:
            (top,) = (first for first in firsts if first.setting.type == setting.type)
            assert setting == top.setting
            has_words = any(m in _PASSWORDS or isinstance(m, dict) for m in top.methods)
            for method in methods:
                is_oauth2 = method == "OAuth2"
                assert "OAuth2" in top.methods if is_oauth2 else has_words
        if chosen and servers:  # whoever chooses chooses the best
            assert chosen[0] == servers[0].setting
        for server in firsts:
            is_published = server.setting in chosen
            assert is_published or world.is_warned("PACC", server.place), server
    if account.sending:
        assert account.reading or "jmap" in dict(account.urls)
    for type_, url in account.urls:
        expected = meant.first_urls()[type_][1].replace("%EMAILDOMAIN%", DOMAIN)
        assert readers.with_port(url) == readers.with_port(expected)
    for type_, (place, _) in meant.first_urls().items():
        assert type_ in dict(account.urls) or world.is_warned("PACC", place)


@given(worlds(hooks=False))
def test_dns_tells_the_files_best_servers_in_its_order_or_nothing(world: World) -> None:
    account, denied = readers.srv(world.records)
    by_records = "programs that use SRV records"
    meant = world.meant
    for chosen, servers in meant.both_ways(account):
        every = [server.setting._replace(login=None) for server in servers]
        order = [server for server in dict.fromkeys(every) if server in chosen]
        assert list(chosen) == order
        assert not chosen or chosen[0] == every[0]
        for server, setting in zip(servers, every, strict=True):
            assert setting in chosen or world.is_warned(by_records, server.place)
            assert (setting.type, setting.security) not in denied
            if setting.security == "plain":
                assert (setting.type, "STARTTLS") not in denied
            supported = (world.address, world.address.split("@")[0], None)
            if server.setting.login not in supported:
                assert world.is_warned(by_records, f"{server.place}.username")
    for type_, url in account.urls:
        expected = _known(meant.first_urls()[type_][1])
        assert readers.with_port(url) == readers.with_port(expected).partition("?")[0]
    for type_, (place, _) in meant.first_urls().items():
        known = type_ == "webdav" or type_ in dict(account.urls)
        assert known or world.is_warned(by_records, place)


def _known(url: str) -> str:
    """As much of a URL as is the same for everybody."""
    url = url.replace("%EMAILDOMAIN%", DOMAIN)
    url = url.partition("%")[0]
    return url if urlsplit(url).path else f"{url.partition('?')[0]}/"


@given(worlds())
def test_the_redirect_leads_where_the_other_documents_do(world: World) -> None:
    for type_ in ("caldav", "carddav", "jmap"):
        path = f"/.well-known/{type_}"
        itself = f"https://{DOMAIN}:443{path}"  # to lead there would be a circle
        answer = world.service.answer(Request(path, "", DOMAIN))
        assert answer is not None
        location = dict(answer.headers).get("Location")
        _, url = world.meant.first_urls().get(type_, ("", ""))
        if location is not None:
            assert readers.with_port(location) != itself
            expected = url.replace("%EMAILDOMAIN%", DOMAIN).partition("%EMAIL")[0]
            assert readers.with_port(location) == readers.with_port(expected)
        elif url:
            is_unknown = "LOCALPART%" in urlsplit(url).netloc
            assert is_unknown or readers.with_port(_known(url)) == itself


def test_every_family_with_a_document_is_compared() -> None:
    compared = {"thunderbird", "outlook", "apple", "pacc"}
    assert {family.name for family in families.FAMILIES if family.formats} == compared
