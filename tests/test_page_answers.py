"""What a visitor of the page gets over HTTP: states, headers, hosts, odd questions."""

from __future__ import annotations

import plistlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import quote

import pytest
import seen
from msgspec import structs
from seen import ADDRESS
from support import TWO_DOMAINS, certificate_for, fetch, serving
from werkzeug.test import Client, TestResponse

from flask_autoconfig import AutoconfigMiddleware, ConfigError, create_app
from flask_autoconfig.config.page import ProgramName
from flask_autoconfig.config.reading import loads
from flask_autoconfig.page.alone import TEMPLATES
from flask_autoconfig.page.device import device_of
from flask_autoconfig.page.programs import PROGRAMS

Write = Callable[..., Path]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    file = seen.configuration(tmp_path_factory.mktemp("page"))
    with serving(file) as url:
        yield f"{url}/mail/setup"


def ask(file: Path, query: str = "", host: str = "localhost", **headers: str) -> str:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client = Client(create_app(file, proxies=1))
    target = f"/mail/setup?{query}"
    return client.get(target, headers={"Host": host, **named}).text


# --- States ----------------------------------------------------------------------------


def test_the_programs_are_those_that_a_file_may_name() -> None:
    names = get_args(ProgramName)
    assert sorted(it.id for it in PROGRAMS) == sorted(names)
    templates = (TEMPLATES / "autoconfig/steps").glob("*.html")
    assert sorted(it.stem for it in templates) == sorted(names)


@pytest.mark.parametrize("program", [it.id for it in PROGRAMS])
def test_each_state_is_an_address(url: str, program: str) -> None:
    for language in seen.LANGUAGES:
        query = f"emailaddress={ADDRESS}&program={program}&lang={language}"
        reply = fetch(f"{url}?{query}", Accept_Language="ja")
        assert reply.status == 200
        text = reply.body.decode()
        assert f'<html lang="{language}">' in text
        assert 'id="steps"' in text
        assert (
            f'program={program}&amp;lang={language}#steps" aria-current="true"' in text
        )


def test_a_program_that_is_none_is_no_fault(url: str) -> None:
    for program in ("telegram", "", '"><script>alert(1)</script>', "x" * 3000):
        reply = fetch(f"{url}?emailaddress={ADDRESS}&program={quote(program)}")
        assert reply.status == 200
        assert b'id="steps"' not in reply.body
        assert b"<script>alert" not in reply.body


def test_a_language_that_is_none_leaves_the_browsers(url: str) -> None:
    for lang in ("tlh", "", "x" * 3000, '"><script>'):
        reply = fetch(f"{url}?lang={quote(lang)}", Accept_Language="fr-CA")
        assert b'<html lang="fr">' in reply.body


def test_what_is_asked_for_beats_the_browser(url: str) -> None:
    reply = fetch(f"{url}?lang=de-AT", Accept_Language="fr")
    assert b'<html lang="de">' in reply.body
    assert b'name="lang" value="de"' in reply.body  # it stays, once an address is typed
    assert b'name="lang"' not in fetch(url, Accept_Language="fr").body


@pytest.mark.parametrize(
    "typed",
    [
        "%20anna@harmony.example%20",
        "+anna%40harmony.example+",
        "++anna%40harmony.example%09",
        "anna@harmony.example%20%20",
    ],
)
def test_spaces_around_a_pasted_address_are_forgiven(url: str, typed: str) -> None:
    reply = fetch(f"{url}?emailaddress={typed}&program=gmail")
    assert reply.status == 200
    assert b"anna@<wbr>harmony.<wbr>example" in reply.body


def test_a_plus_within_an_address_stays_one(url: str) -> None:
    for typed in ("anna+news@harmony.example", "anna%2Bnews%40harmony.example"):
        reply = fetch(f"{url}?emailaddress={typed}")
        assert b"anna+news@<wbr>harmony" in reply.body
    reply = fetch(f"{url}?emailaddress=%2Banna%40harmony.example")
    assert b"+anna@<wbr>harmony" in reply.body


@pytest.mark.parametrize(
    ("typed", "status", "words"),
    [
        ("fred@nowhere.test", 404, "“nowhere.test” is not one of our domains."),
        ("fred", 400, "That is no e-mail address."),
        ('"><script>alert(1)</script>', 400, "That is no e-mail address."),
        ("a@" + "x" * 3000, 400, "That is no e-mail address."),
    ],
)
def test_what_cannot_be_shown_is_said_beside_what_was_typed(
    url: str, typed: str, status: int, words: str
) -> None:
    reply = fetch(f"{url}?emailaddress={quote(typed)}")
    assert reply.status == status
    assert words in reply.body.decode()
    assert b'role="alert"' in reply.body
    assert b"<script>alert" not in reply.body
    assert len(reply.body) < 5000


def test_a_language_and_a_program_are_cut_to_what_they_can_be(toml: Write) -> None:
    long = "x" * 1000  # RFC 5646, section 4.4.1, has tags of 35 characters
    asked = f"emailaddress=fred@example.com&lang={long}&program={long}"
    text = ask(toml(TWO_DOMAINS), asked)
    assert f"lang={long[:35]}" in text
    assert long[:41] not in text
    assert f"lang={long[:36]}" not in text


# --- The unknown domain ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("exampel.com", "example.com"),
        ("exmple.com", "example.com"),
        ("example.co", "example.com"),
        ("exxample2.com", "example2.com"),
        ("eaxmple.cmo", "example.com"),
        ("something.org", None),
        ("example.museum", None),
    ],
)
def test_a_domain_of_a_letter_or_two_less_is_meant(
    toml: Write, typed: str, meant: str | None
) -> None:
    text = ask(toml(TWO_DOMAINS), f"emailaddress=fred@{typed}&program=gmail")
    assert ("Did you mean" in text) == (meant is not None)
    if meant:
        assert f'?emailaddress=fred%40{meant}&amp;program=gmail">' in text


def test_no_customer_is_told_of_another(toml: Write) -> None:
    text = TWO_DOMAINS.replace("[[provider]]", "[[provider]]\nlist_domains = false", 1)
    told = ask(toml(text), "emailaddress=fred@exampel.com")
    assert "is not one of our domains" in told
    assert "Did you mean" not in told
    assert "example2.com" not in told


def test_among_more_than_300_domains_none_is_suggested(toml: Write) -> None:
    domains = [f"customer{number}.test" for number in range(299)]
    for more, is_told in ((0, True), (1, False)):
        names = ["example.com", *domains[: 298 + more], "example.net"]
        listed = TWO_DOMAINS.replace('["example.com", "example2.com"]', str(names))
        told = ask(toml(listed), "emailaddress=fred@exampel.com")
        assert ("Did you mean" in told) == is_told


def test_a_persons_slip_at_the_providers_own_host_is_no_domain_of_a_customer(
    toml: Write,
) -> None:
    host = "autoconfig.example.com"
    text = ask(toml(TWO_DOMAINS), "emailaddress=fred@exampel.com", host)
    assert "Did you mean" in text
    hoster = TWO_DOMAINS.replace(
        "[[provider]]", '[[provider]]\nmx_domains = ["mx.example.com"]', 1
    )
    text = ask(
        toml(hoster), "emailaddress=fred@customer.test", "autoconfig.mx.example.com"
    )
    assert "fred@<wbr>customer.<wbr>test" in text  # whom their MX record leads there


# --- The provider's clothes ------------------------------------------------------------

CLOTHES = """
[provider.page]
colour = "#123"
privacy_url = "https://www.%EMAILDOMAIN%/privacy"
programs = ["thunderbird", "iphone", "thunderbird"]
intro = { en = "Welcome, members of %EMAILDOMAIN%.", de = "Willkommen." }

[provider.page.contact]
phone = "+41 (0)44 123 45 67"
email = "help@example.com"
url = "https://help.%EMAILDOMAIN%/"
"""


def test_the_host_names_the_provider_before_anything_is_typed(toml: Write) -> None:
    text = TWO_DOMAINS.replace("[[provider]]", '[[provider]]\ndisplay_name = "Club"', 1)
    two = TWO_DOMAINS.replace("example", "other").replace("[provider.page]", "")
    file = toml(text + CLOTHES + two)
    for host, name in (("autoconfig.example.com", "Club"), ("other.com", "other.com")):
        page = ask(file, host=host)
        assert f"<bdi>{name}</bdi>" in page
        assert f"<title>Set up your e-mail – {name}</title>" in page
    assert "Club" not in ask(file, host="www.nowhere.test")


def test_its_words_and_its_tiles_are_those_of_the_file(toml: Write) -> None:
    file = toml(TWO_DOMAINS + CLOTHES)
    empty = ask(file, "lang=de", host="example.com")
    assert "Willkommen." in empty
    assert 'href="tel:+41441234567"' in empty
    assert 'href="mailto:help@example.com"' in empty
    assert "colours.css?colour=112233" in empty
    assert 'href="https://www.example.com/privacy"' in empty
    assert 'href="https://help.example.com/"' in empty
    page = ask(file, "emailaddress=fred@example.com")
    assert "Welcome, members of example.com." in page
    assert re.findall(r"program=([\w-]+)#steps", page) == ["thunderbird", "iphone"]


def test_only_programs_that_can_work_with_the_servers_are_offered(toml: Write) -> None:
    def offered(text: str) -> set[str]:
        page = ask(toml(text), "emailaddress=fred@example.com")
        return set(re.findall(r"program=([\w-]+)#steps", page))

    everything = {it.id for it in PROGRAMS}
    assert offered(TWO_DOMAINS) == everything - {"davx5"}
    pop = TWO_DOMAINS.replace('"imap"', '"pop3"')
    assert offered(pop) == everything - {"davx5", "outlook-new", "outlook-mobile"}
    encrypted = TWO_DOMAINS.replace(
        "hostname", 'authentication = "password-encrypted"\nhostname'
    )
    profiles = {"iphone", "mac"}
    assert offered(encrypted) == {"thunderbird", "evolution", "other"} | profiles
    oauth = TWO_DOMAINS.replace("hostname", 'authentication = "OAuth2"\nhostname')
    assert offered(oauth) == {"other"}
    calendar = (
        '[[provider]]\ndomains = ["example.com"]\n[[provider.calendar]]\n'
        'type = "caldav"\nurl = "https://dav.example.com/"\n'
    )
    assert offered(calendar) == {"davx5", "other"} | profiles


def test_a_program_that_needs_no_family_is_told_by_hand(toml: Write) -> None:
    file = toml('clients = ["page"]\n' + TWO_DOMAINS)
    query = "emailaddress=fred@example.com&program="
    iphone = ask(file, query + "iphone")
    assert "/mail/mobileconfig" not in iphone
    assert "Mail Accounts" in iphone
    assert "imap.<wbr>example.<wbr>com" in iphone
    assert "Manual configuration" in ask(file, query + "thunderbird")
    assert "Receiving Email" in ask(file, query + "evolution")
    assert "Let me set up my account manually" in ask(file, query + "outlook-classic")
    assert "(XML)" not in iphone
    whole = toml(TWO_DOMAINS)
    assert "finds the servers by itself" in ask(whole, query + "thunderbird")


def test_an_unsigned_profile_is_explained_and_a_signed_one_needs_no_word(
    toml: Write, tmp_path: Path
) -> None:
    query = "emailaddress=fred@example.com&program=iphone"
    assert "Not Signed" in ask(toml(TWO_DOMAINS), query)
    certificate, key = certificate_for("www.example.com", folder=tmp_path)
    sign = f'[sign]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    assert "Not Signed" not in ask(toml(sign + TWO_DOMAINS), query)


BAD_PAGES = {
    "a colour in words": ('colour = "red"', "expected a colour", "#1456b8"),
    "a colour too short": ('colour = "#12"', "expected a colour", "#1456b8"),
    "a program that is none": ('programs = ["iphon"]', "expected one of", '"iphone"'),
    "no program": ("programs = []", "the list is empty", "name a program"),
    "a telephone in words": ('contact.phone = "call us"', "telephone", "+41"),
    "no address": ('contact.email = "help"', "expected an e-mail address", "help@"),
    "a script's address": (
        'privacy_url = "javascript:x"',
        "expected a URL",
        "https://",
    ),
    "a key that is none": ('color = "#123456"', "there is no key", "colour"),
    "an intro in no language": ('intro = "Hello"', "expected a table", "{en ="),
}


@pytest.mark.parametrize(
    ("line", "message", "cure"), BAD_PAGES.values(), ids=BAD_PAGES.keys()
)
def test_a_fault_of_the_page_is_told_with_its_cure(
    line: str, message: str, cure: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loads(f"{TWO_DOMAINS}[provider.page]\n{line}\n")
    (problem,) = caught.value.problems
    assert problem.place.startswith("provider[0].page.")
    assert message in problem.message
    assert cure in problem.cure


# --- Hosts -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "scheme", "is_told"),
    [
        ("autoconfig.example.com", "https", True),
        ("example.com", "https", True),
        ("setup.example.com", "https", True),
        ("autoconfig.example.com", "http", False),
        ("examp1e.test", "https", False),
    ],
)
def test_the_pages_own_address_is_told_where_it_is_surely_the_providers(
    toml: Write, host: str, scheme: str, is_told: bool
) -> None:
    for query in ("", "emailaddress=fred@example.com"):
        text = ask(toml(TWO_DOMAINS), query, host, X_Forwarded_Proto=scheme)
        assert ("Its address begins with" in text) == is_told
        assert "never asks for your password" in text


@pytest.mark.parametrize(
    "host",
    ["xn--.test", "xn--a.example.com", "xn--\xe9.test", "a..b", "x" * 300, "[::1]:80"],
)
def test_no_host_that_a_client_sends_is_too_odd(url: str, host: str) -> None:
    for path in ("", "/qr.svg", "/logo", "/account.svg"):
        target = f"{url}{path}?emailaddress={ADDRESS}&name=A"
        assert fetch(target, Host=host).status in (200, 400, 404)


def test_a_scheme_that_a_proxy_passes_on_is_one_of_the_web(toml: Write) -> None:
    for scheme, shown in (("javascript", "http"), ("https", "https")):
        text = ask(
            toml(TWO_DOMAINS),
            "emailaddress=fred@example.com&program=gmail",
            "example.com",
            X_Forwarded_Proto=scheme,
            User_Agent="Windows",
        )
        assert f'<a href="{shown}://example.com/mail/setup?' in text


def test_a_host_that_is_no_host_is_not_repeated(url: str) -> None:
    target = f"{url}?emailaddress={ADDRESS}&program=gmail"
    reply = fetch(target, Host="evil.test/<script>", User_Agent="Windows")
    assert b"evil" not in reply.body
    assert (
        b'href="/mail/setup?emailaddress=anna%40harmony.example&amp;program=gmail"'
        in (reply.body)
    )
    assert b"qr.svg" not in reply.body


# --- Devices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "platform", "device"),
    [
        *((agent, "", device) for device, agent in seen.AGENTS.items()),
        ("Mozilla/5.0 (iPad; CPU OS 12_0 like Mac OS X)", "", "ios"),
        ("Mozilla/5.0 (X11; Linux x86_64) Chrome/126", '"Android"', "android"),
        ("anything", '"macOS"', "mac"),
        ("anything", '"Windows"', "windows"),
        ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0)", '"Chrome OS"', ""),
        ("curl/8", "", ""),
        ("", "nonsense", ""),
    ],
)
def test_the_device_is_what_the_browser_says(
    agent: str, platform: str, device: str
) -> None:
    assert device_of(agent, platform) == device


def test_a_browser_that_says_nothing_gets_every_tile(url: str) -> None:
    text = fetch(f"{url}?emailaddress={ADDRESS}", User_Agent="").body.decode()
    assert '<details class="others" open>' in text
    assert "on this device" not in text


# --- Headers and doors -----------------------------------------------------------------


def test_the_policy_allows_nothing_but_the_pages_own(url: str) -> None:
    reply = fetch(f"{url}?emailaddress={ADDRESS}&program=iphone")
    policy = reply.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for file in (b"style.css", b"script.js"):
        assert b'"/mail/setup/' + file + b'"' in reply.body
        own = fetch(f"{url}/{file.decode()}")
        assert own.status == 200
        again = fetch(f"{url}/{file.decode()}", If_None_Match=own.headers["ETag"])
        assert again.status == 304
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert reply.headers["Vary"] == "Accept-Language, User-Agent, Sec-CH-UA-Platform"
    assert b" style=" not in reply.body
    assert b" onclick=" not in reply.body


def test_the_picture_is_private_and_for_those_who_are_served(url: str) -> None:
    reply = fetch(f"{url}/qr.svg?emailaddress={ADDRESS}&program=iphone&lang=de")
    assert reply.headers["Content-Type"] == "image/svg+xml"
    assert reply.headers["Cache-Control"] == "private, no-store"
    assert reply.headers["Content-Security-Policy"] == "default-src 'none'"
    for query, status in (
        ("", 404),
        ("emailaddress=fred@nowhere.test", 404),
        ("emailaddress=fred", 400),
    ):
        assert fetch(f"{url}/qr.svg?{query}").status == status


def test_the_root_of_the_service_leads_to_the_page(toml: Write) -> None:
    def root(file: Path, **environ: str) -> TestResponse:
        client = Client(create_app(file))
        return client.get("/", environ_overrides=environ)

    reply = root(toml(TWO_DOMAINS))
    assert (reply.status_code, reply.headers["Location"]) == (302, "/mail/setup")
    assert root(toml(TWO_DOMAINS), SCRIPT_NAME="/at").headers["Location"] == (
        "/at/mail/setup"
    )
    without = toml('clients = ["thunderbird"]\n' + TWO_DOMAINS)
    assert root(without).status_code == 404


def test_the_root_of_an_application_stays_its_own(toml: Write) -> None:
    def own(_environ: object, start: Callable[..., object]) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"own"]

    door = AutoconfigMiddleware(own, toml(TWO_DOMAINS))
    assert Client(door).get("/").data == b"own"


def test_under_another_mount_every_address_is_there_too(toml: Write) -> None:
    client = Client(create_app(toml(TWO_DOMAINS + CLOTHES)))
    text = client.get(
        "/mail/setup?emailaddress=fred@example.com&program=iphone",
        environ_overrides={"SCRIPT_NAME": "/at"},
        headers={"User-Agent": seen.AGENTS["ios"]},
    ).text
    for part in (
        'href="/at/mail/setup/style.css"',
        'href="/at/mail/setup/colours.css',
        'action="/at/mail/mobileconfig"',
        'src="/at/mail/setup/script.js"',
    ):
        assert part in text


def test_a_hook_clothes_its_provider_but_names_no_file(toml: Write) -> None:
    look = {"colour": "#7a1f3d", "contact": {"phone": "044 123 45 67"}}
    row: dict[str, object] = {
        "display_name": "Customer Ltd.",
        "incoming": [{"type": "imap", "hostname": "imap.customer.test"}],
        "outgoing": [{"type": "smtp", "hostname": "smtp.customer.test"}],
        "page": look,
    }
    door = AutoconfigMiddleware(
        lambda *_: [], toml(TWO_DOMAINS), find_provider=lambda _: row
    )
    target = "/mail/setup?emailaddress=fred@customer.test"
    text = Client(door).get(target).text
    assert "Customer Ltd." in text
    assert "colours.css?colour=7a1f3d" in text
    row["page"] = look | {"logo": "/etc/passwd"}
    door = AutoconfigMiddleware(
        lambda *_: [], toml(TWO_DOMAINS), find_provider=lambda _: row
    )
    assert Client(door).get(target).status_code == 503


def test_a_customer_whom_a_hook_names_is_no_slip(toml: Write) -> None:
    door = AutoconfigMiddleware(
        lambda *_: [],
        toml(TWO_DOMAINS),
        find_provider=lambda it: "example.com" if it == "exampel.com" else None,
    )
    client = Client(door)
    for domain, status in (("exampel.com", 200), ("exmple.com", 404)):
        target = f"/mail/setup?emailaddress=fred@{domain}"
        reply = client.get(target, headers={"Host": "autoconfig.example.com"})
        assert reply.status_code == status


def test_the_tables_hold_what_the_file_says() -> None:
    (provider,) = loads(TWO_DOMAINS + CLOTHES).provider
    assert provider.page is not None
    assert provider.page.colour == "#112233"
    assert provider.page.programs == ("thunderbird", "iphone", "thunderbird")
    assert structs.asdict(provider.page)["intro"]["de"] == "Willkommen."


@pytest.mark.parametrize(
    "typed",
    [
        "%E2%80%8Bfred@example.com",
        "fred@example.com%EF%BB%BF",
        "%E2%80%AEfred@example.com",
        "Fred+Miller+%3Cfred@example.com%3E",
    ],
    ids=["a width of none", "a byte order mark", "a direction", "a name before it"],
)
def test_what_is_pasted_around_an_address_is_forgiven(toml: Write, typed: str) -> None:
    page = ask(toml(TWO_DOMAINS), f"emailaddress={typed}")
    assert 'data-copy="fred@example.com"' in page


@pytest.mark.parametrize(
    ("login", "told"),
    [
        ("", "with the same user name and password"),
        ('username = "u-%EMAILLOCALPART%"', "with the user name"),
        ('authentication = "none"', "The program does not sign in there."),
    ],
)
def test_what_to_do_where_mail_cannot_be_sent_is_what_the_file_says(
    toml: Write, login: str, told: str
) -> None:
    query = "emailaddress=fred@example.com&program=thunderbird"
    page = ask(toml(f"{TWO_DOMAINS}{login}"), query)
    assert told in page
    others = {"with the same user name", "with the user name", "does not sign in there"}
    assert sum(it in page for it in others) == 1


def test_a_program_that_there_is_not_leads_to_the_devices_own(toml: Write) -> None:
    phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1"
    for asked in ("x", "IPHONE", ""):
        query = f"emailaddress=fred@example.com&program={asked}"
        page = ask(toml(TWO_DOMAINS), query, User_Agent=phone)
        assert "Get the profile" in page, asked


def test_the_profile_is_called_what_the_page_says_that_it_is_called(
    toml: Write,
) -> None:
    app = create_app(toml(TWO_DOMAINS))
    address = "emailaddress=fred@example.com"
    profile = plistlib.loads(
        app.test_client().get(f"/mail/mobileconfig?{address}").data
    )
    page = ask(toml(TWO_DOMAINS), f"{address}&program=iphone")
    assert f"<bdi>{profile['PayloadDisplayName']}</bdi>" in page


@pytest.mark.parametrize(
    ("method", "has_profile"), [("password-cleartext", True), ("OAuth2", False)]
)
def test_the_page_leads_to_a_profile_where_there_is_one(
    toml: Write, method: str, has_profile: bool
) -> None:
    text = TWO_DOMAINS.replace(
        "[[provider.incoming]]", f'[[provider.incoming]]\nauthentication = ["{method}"]'
    )
    client = Client(create_app(toml(text)))
    query = "emailaddress=fred@example.com"
    page = client.get(f"/mail/setup?{query}&program=mac").text
    assert ('form id="profile"' in page) == has_profile
    profile = client.get(f"/mail/mobileconfig?{query}")
    assert (profile.status_code == 200) == has_profile


def test_exchange_has_its_place_in_the_table(toml: Write) -> None:
    text = '[[provider]]\ndomains = ["example.com"]\n[[provider.incoming]]\n'
    text += 'type = "ews"\nurl = "https://mail.example.com/EWS/Exchange.asmx"\n'
    page = ask(toml(text), "emailaddress=fred@example.com")
    assert "Exchange (EWS)" in page
    assert "https://mail.example.com/EWS/Exchange.asmx" in page
