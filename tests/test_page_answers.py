"""Requests for the page: its states, headers, hosts, and unusual input."""

import plistlib
import re
from html import unescape
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, quote

import pytest
import seen
from flask import Flask
from jinja2 import DictLoader
from seen import ADDRESS
from services import until
from support import (
    TWO_DOMAINS,
    Write,
    certificate_for,
    configured,
    rows,
    sender,
    site,
)
from werkzeug.test import Client, EnvironBuilder, TestResponse

from flask_autoconfig import AutoconfigMiddleware, create_app
from flask_autoconfig.answers import Request
from flask_autoconfig.config.tables import ProgramName
from flask_autoconfig.page.alone import TEMPLATES
from flask_autoconfig.page.programs import PROGRAMS
from flask_autoconfig.page.visit import Visit

Pages = dict[str, TestResponse]
FRED = "emailaddress=fred@example.com"
ANNA = f"emailaddress={ADDRESS}"
IDS = {program.id for program in PROGRAMS}
FINDING = {"fairemail", "em-client", "kmail", "gnome", "k9", "thunderbird-mobile"}


def fetch(
    app: Any, query: str = "", host: str = "localhost", path: str = "", **headers: str
) -> TestResponse:
    """Request the page, or a path below it, of an application or a file."""
    app = create_app(app, proxies=1) if isinstance(app, Path) else app
    return sender(app)(f"/mail/setup{path}?{query}", Host=host, **headers)


def offered(page: TestResponse) -> list[str]:
    return re.findall(r"program=([\w-]+)#steps", page.text)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    return create_app(seen.configuration(tmp_path_factory.mktemp("page")), proxies=1)


@pytest.fixture(scope="module")
def pages(app: Flask) -> Pages:
    return {program: fetch(app, f"{ANNA}&program={program}") for program in IDS}


def steps_of(page: TestResponse) -> str:
    return page.text.partition('id="steps"')[2].partition("</ol>")[0]


# --- States ----------------------------------------------------------------------------


def test_each_program_of_the_configuration_has_a_row_and_a_template() -> None:
    templates = (TEMPLATES / "autoconfig/steps").glob("*.html")
    assert {*get_args(ProgramName)} == IDS == {file.stem for file in templates}


def test_each_state_has_a_url(app: Flask) -> None:
    for program in IDS:
        for language in seen.LANGUAGES:
            state = f"program={program}&lang={language}"
            page = fetch(app, f"{ANNA}&{state}", Accept_Language="ja")
            assert page.status_code == 200
            assert f'<html lang="{language}">' in page.text
            assert 'id="steps"' in page.text
            tile = f'{state.replace("&", "&amp;")}#steps" aria-current="true"'
            assert tile in page.text


def test_the_program_and_language_of_a_url_are_used_if_known(app: Flask) -> None:
    for odd in ("telegram", "", '"><script>alert(1)</script>', "x" * 3000):
        state = f"program={quote(odd)}&lang={quote(odd)}"
        page = fetch(app, f"{ANNA}&{state}", Accept_Language="fr-CA").text
        assert '<html lang="fr">' in page
        assert 'id="steps"' not in page
        assert "<script>alert" not in page
        assert "x" * 41 not in page  # a tag has 35 (RFC 5646, section 4.4.1)
        page = fetch(app, f"{ANNA}&{state}", User_Agent=seen.AGENTS["ios"]).text
        assert "Get the profile" in page
    assert 'id="steps"' in fetch(app, f"{ANNA}&program=GMAIL").text
    page = fetch(app, "lang=de-AT", Accept_Language="fr").text
    assert '<html lang="de">' in page
    assert 'name="lang" value="de"' in page  # kept when an address is entered
    assert 'name="lang"' not in fetch(app, Accept_Language="fr").text


@rows("typed", "typed, address")
def test_an_address_is_found_in_a_text(app: Flask, typed: str, address: str) -> None:
    page = fetch(app, f"emailaddress={typed}&program=gmail")
    assert page.status_code == 200
    assert f'data-copy="{address}"' in page.text


def test_an_error_shows_no_more_of_a_text_than_an_address_has(app: Flask) -> None:
    page = fetch(app, f"emailaddress=a@{'x' * 3000}")
    assert (page.status_code, len(page.data) < 5000) == (400, True)


@rows("listed", "number, more, is_suggested")
def test_domains_are_suggested_if_they_are_listed_and_few(
    toml: Write, number: int, more: str, is_suggested: bool
) -> None:
    names = "".join(f', "customer{index}.test"' for index in range(number))
    text = TWO_DOMAINS.replace('"example2.com"]', f'"example2.com"{names}]{more}')
    page = fetch(toml(text), "emailaddress=fred@exampel.com").text
    assert "is not one of our domains" in page
    assert ("Did you mean" in page) == ("fred@example" in page) == is_suggested


# --- Content ---------------------------------------------------------------------------


def links(page: TestResponse) -> dict[str, str]:
    """Return the URL of each link by its text."""
    found = re.findall(r'<a (?:class="[\w-]+" )?href="([^"]+)">(.*?)</a>', page.text)
    return {re.sub("<.*?>", "", text): target for target, text in found}


def test_the_help_has_the_contact_and_the_providers_links(app: Flask) -> None:
    page = fetch(app, ANNA)
    site = "https://www.harmony.example"
    app_ = "Your normal password does not work in mail programs: make an app password."
    assert {
        "044 123 45 67": "tel:0441234567",
        "help@harmony.example": "mailto:help@harmony.example",
        "Help on the web": f"{site}/contact",
        "How your data is protected": f"{site}/privacy",
        "Read your mail in the browser (webmail)": "https://webmail.harmony.example/",
        "Our own pages about e-mail": f"{site}/help",
        app_: f"{site}/app-password",
    }.items() <= links(page).items()
    for text in ("<bdi>The office</bdi>", "<bdi>Mo–Fr 9–12</bdi>", "five minutes."):
        assert text in page.text


def test_the_table_has_every_server_and_folds_further_ones(app: Flask) -> None:
    begins = '<details class="autoconfig-card autoconfig-all"'
    _, _, table = fetch(app, ANNA).text.partition(begins)
    main, _, further = table.partition("<details>")
    text = " ".join(re.sub("<button.*?</button>|<.*?>", " ", main).split())
    assert (
        "Incoming mail (IMAP) recommended Server imap. harmony. example Port 993 "
        "Connection security SSL/TLS User name anna@ harmony. example "
        "Authentication method sign in at your provider’s own page (OAuth2), or: "
        "Normal password Outgoing mail (SMTP) Server smtp." in text
    )
    assert "pop.<wbr>harmony" not in main
    assert "role=" not in table.partition("</details>")[0]
    assert "pop.<wbr>harmony" in further
    page = fetch(app, f"{ANNA}&program=other").text  # has the servers once
    assert page.count('data-copy="imap.harmony.example"') == 1
    assert 'id="settings" open' in page


# --- Brand and programs ----------------------------------------------------------------


@rows("offered", "file, programs")
def test_only_programs_that_can_use_the_servers_are_offered(
    toml: Write, file: dict[str, Any], programs: str
) -> None:
    path = toml(configured(**file))
    names, shown = programs.strip("- ").split(), offered(fetch(path, FRED))
    assert {*shown} == ({*IDS} - {*names} if programs[0] == "-" else {*names})
    assert "programs =" not in path.read_text() or shown == names  # in its order
    profile = Client(create_app(path)).get(f"/mail/mobileconfig?{FRED}")
    has_profile = 'form id="profile"' in fetch(path, f"{FRED}&program=mac").text
    assert has_profile == (profile.status_code == 200)


@rows("typing", "file, programs")
def test_a_program_that_finds_servers_that_it_can_use_needs_none(
    toml: Write, file: dict[str, Any], programs: list[str]
) -> None:
    path, found = toml(configured(**file)), set[str]()
    for program in FINDING & {*offered(fetch(path, FRED))}:
        steps = steps_of(fetch(path, f"{FRED}&program={program}"))
        is_listed = "and enter the servers" in steps
        assert ("It finds the servers by itself" in steps) != is_listed
        found |= {program} if is_listed else set()
    assert found == {*programs}


def test_steps_say_app_password_where_the_file_does(toml: Write, pages: Pages) -> None:
    default, url = "your e-mail password", "https://example.com/app-passwords"
    calendar = '[[provider.calendar]]\ntype = "caldav"\nurl = "https://dav.test/"\n'
    page = f'[provider.page]\npassword = "app-password"\npassword_url = "{url}"\n'
    # In the others, the password is a field of a form, without a step of its own.
    has_step = {
        *("iphone", "mac", "gmail", "thunderbird-mobile", "k9", "outlook-new"),
        *("outlook-classic", "thunderbird", "evolution"),
    }
    file = toml(TWO_DOMAINS + calendar + page)
    for program in IDS:
        shown = fetch(file, f"{FRED}&program={program}")
        assert links(shown)["Make an app password"] == url
        assert "Type your app password" in shown.text or program not in has_step
        assert default not in shown.text
        assert default in pages[program].text


def test_the_last_step_is_a_test_message_where_there_is_mail(pages: Pages) -> None:
    for program, page in pages.items():
        last = re.findall(r"<h3.*?</h3>", steps_of(page))[-1]
        assert ("Send yourself a test message" in last) == (program != "davx5"), program


def test_rarer_programs_are_folded_unless_the_file_lists_them(toml: Write) -> None:
    page = fetch(toml(TWO_DOMAINS), FRED, User_Agent=seen.AGENTS["linux"])
    rare = page.text.partition("More programs")[2]
    assert re.findall(r"program=([\w-]+)#steps", rare)[:3] == ["kmail", "gnome", "k9"]
    listed = TWO_DOMAINS + '[provider.page]\nprograms = ["kmail", "gnome"]\n'
    page = fetch(toml(listed), FRED, User_Agent=seen.AGENTS["linux"])
    assert "More programs" not in page.text
    assert page.text.count('class="autoconfig-tile"') == 2


def test_the_steps_are_sent_with_the_address_of_the_page(app: Flask) -> None:
    for program in IDS:
        page = fetch(app, f"{ANNA}&program={program}&lang=fr", "www.harmony.example")
        target = unescape(links(page)["Envoyer ces étapes par e-mail"])
        to, _, query = target.partition("?")
        keys = dict(parse_qsl(query, strict_parsing=True))
        assert to == "mailto:"
        assert keys.keys() == {"subject", "body"}
        text, _, url = keys["body"].partition("\r\n\r\n")
        assert text == f"Les étapes pour {ADDRESS} :"
        assert url == (
            "http://www.harmony.example/mail/setup?"
            f"emailaddress={quote(ADDRESS)}&program={program}&lang=fr"
        )
    page = fetch(app, f"{ANNA}&program=gmail", "no host")
    assert "mailto:?" not in page.text


@pytest.mark.parametrize("type_", ["imap", "pop3"])
def test_the_page_says_how_to_change_and_to_remove(toml: Write, type_: str) -> None:
    url = "https://example.com/password"
    page = f'[provider.page]\npassword_url = "{url}"\n'
    file = toml(TWO_DOMAINS.replace('"imap"', f'"{type_}"') + page)
    for program in IDS - {"davx5"}:
        shown = fetch(file, f"{FRED}&program={program}")
        if program not in offered(shown):
            continue
        assert links(shown)["Change the password at your provider first"] == url
        has_profile = program in {"iphone", "mac"}
        assert ("Remove the profile" in shown.text) == has_profile
        is_kept = has_profile and type_ == "imap"
        assert ("Your mail stays on the server" in shown.text) == is_kept


def test_drawings_are_small_and_hidden_from_screen_readers(app: Flask) -> None:
    for program in ("iphone", "gmail", "gmail-ios"):
        query = f"{ANNA}&program={program}"
        page = fetch(app, query, User_Agent=seen.AGENTS["ios"]).text
        (drawing,) = re.findall(r'<div>(<svg aria-hidden="true".*?</svg>)</div>', page)
        assert len(drawing) < 1000


def test_each_program_says_how_to_get_the_calendars(pages: Pages) -> None:
    for program in PROGRAMS:
        steps = steps_of(pages[program.id])
        for other in program.calendars_by:
            assert f'program={other}">' in steps
        # Another program has the table of all settings instead of steps.
        words = ("alendar", "Synchronizer", "CalDAV")
        assert program.id == "other" or any(word in steps for word in words)


def test_lists_and_paragraphs_have_something_to_say(app: Flask, toml: Write) -> None:
    for page in fetch(toml(TWO_DOMAINS), FRED), fetch(app, f"{ANNA}&program=gmail"):
        text = re.sub("<svg.*?</svg>", "", page.text)
        assert re.findall(r"<(ul|p|dl)\b[^>]*>\s*</\1>", text) == []


@rows("browsers", "agent, needs_safari")
def test_a_browser_that_hands_no_profile_over_leads_to_safari_before_the_button(
    app: Flask, agent: str, needs_safari: bool
) -> None:
    page = fetch(app, f"{ANNA}&program=iphone", User_Agent=f"(iPhone) {agent}").text
    before, button, _ = page.partition('<button type="submit" form="profile">')
    link = f'href="x-safari-http://localhost/mail/setup?{ANNA.replace("@", "%40")}'
    assert (link in before) == needs_safari
    assert button
    assert "It must be Safari" not in page
    assert "Stolen Device Protection" in page
    assert "takes an hour away from home" in page
    mac = fetch(app, f"{ANNA}&program=mac", User_Agent="Macintosh").text
    assert "x-safari-" not in mac
    assert "Stolen Device Protection" not in mac


@rows("profiles", "tables, sentences")
def test_steps_name_payloads(toml: Write, tables: str, sentences: list[str]) -> None:
    file = toml(f'[[provider]]\ndomains = ["example.com"]\n{tables}')
    page = fetch(file, f"{FRED}&program=iphone").text
    found = re.findall(r"You are asked for it [^<]*|Done: open [^<]*", page)
    assert found == sentences


@rows("steps", "program, sentences")
def test_the_steps_are_in_order(app: Flask, program: str, sentences: list[str]) -> None:
    page = fetch(app, f"{ANNA}&program={program}").text
    text = re.sub("<[^>]*>", "", page.partition('id="steps"')[2])
    places = [text.find(sentence) for sentence in sentences]
    assert -1 not in places
    assert places == sorted(places)


def test_steps_describe_the_profile(file: Path, toml: Write, tmp_path: Path) -> None:
    page = fetch(file, f"{FRED}&program=iphone").text
    response = Client(create_app(file)).get(f"/mail/mobileconfig?{FRED}")
    profile = plistlib.loads(response.data)
    assert f"<bdi>{profile['PayloadDisplayName']}</bdi>" in page
    assert "Not Signed" in page
    certificate, key = certificate_for("www.example.com", folder=tmp_path)
    sign = f'[sign]\ncertificate = "{certificate}"\nkey = "{key}"\n'
    signed = fetch(toml(sign + TWO_DOMAINS), f"{FRED}&program=iphone")
    assert "Not Signed" not in signed.text


# --- Devices ---------------------------------------------------------------------------


@rows("devices", "agent, platform, device")
def test_the_headers_tell_the_device(agent: str, platform: str, device: str) -> None:
    headers = [("User-Agent", agent), ("Sec-CH-UA-Platform", platform)]
    environ = EnvironBuilder(headers=headers).get_environ()
    assert Visit(Request("/mail/setup", environ=environ)).device == device


@rows("first", "device, first, is_chosen")
def test_the_programs_of_the_device_come_first(
    app: Flask, device: str, first: str, is_chosen: bool
) -> None:
    page = fetch(app, ANNA, User_Agent=seen.AGENTS[device])
    number = len(first.split())
    assert offered(page)[:number] == first.split()
    assert len(offered(page)) == len(PROGRAMS)
    shown = page.text.partition('<details class="autoconfig-others">')[0]
    assert shown.count("#steps") == number
    assert page.text.count("on this device") == is_chosen  # is preinstalled there
    assert page.text.count('aria-current="true"') == is_chosen
    unknown = fetch(app, ANNA, User_Agent="").text
    assert '<details class="autoconfig-others" open>' in unknown
    assert "on this device" not in unknown
    assert {*re.findall("<small>(.*?)</small>", unknown)} == {
        *("Android", "iPhone", "iPhone, Android", "Linux", "Mac", "Windows"),
        *("Windows, Mac, Linux", "Windows, Mac", "iPhone, Android, Windows, Mac"),
        "recommended",
    }


# --- Headers and paths -----------------------------------------------------------------


def test_the_policy_allows_only_the_pages_own_files(app: Flask) -> None:
    page = fetch(app, f"{ANNA}&program=iphone")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "private, no-store"
    assert page.headers["Vary"] == "Accept-Language, User-Agent, Sec-CH-UA-Platform"
    assert " style=" not in page.text
    assert " onclick=" not in page.text
    for file in ("/style.css", "/script.js"):
        assert f'"/mail/setup{file}"' in page.text
        response = fetch(app, path=file)
        assert response.status_code == 200
        assert "max-age=3600," in response.headers["Cache-Control"]
        again = fetch(app, path=file, If_None_Match=response.headers["ETag"])
        assert again.status_code == 304


def test_a_database_that_is_down_is_the_page_with_503(toml: Write) -> None:
    def down(key: str) -> None:
        raise ConnectionError(f"the database is down for {key}")

    page = '[provider.page]\ncontact.phone = "+41 44 123 45 67"\n'
    file = toml(f"{TWO_DOMAINS}{page}")
    app = AutoconfigMiddleware(Flask(__name__), file, find_provider=down)
    state = "emailaddress=anna%40customer.test&program=gmail&lang=de"
    for host in ("autoconfig.example.com", "autoconfig.customer.test"):
        response = fetch(app, state, host)
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "10"
        assert "Die Einstellungen sind im Moment nicht verfügbar." in response.text
        again = state.replace("&", "&amp;")
        assert f' href="/mail/setup?{again}">Erneut' in response.text
        assert 'value="anna@customer.test"' in response.text
        assert "aria-invalid" not in response.text
        assert "tel:+41441234567" in response.text
    assert fetch(app, "", "autoconfig.customer.test").status_code == 503
    assert fetch(app, FRED, "autoconfig.customer.test").status_code == 200


@pytest.mark.parametrize("has_layout", [False, True])
def test_the_page_is_503_until_a_file_is_right(toml: Write, has_layout: bool) -> None:
    app = site(file := toml("[[provider"))
    if has_layout:
        layout = 'Ours: {% include "autoconfig/content.html" %}'
        app.jinja_loader = DictLoader({"autoconfig/setup.html": layout})
    response = fetch(app, "emailaddress=anna&lang=fr")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "10"
    assert "Les réglages ne sont pas disponibles pour le moment." in response.text
    assert response.text.startswith("Ours:") == has_layout
    again = "/mail/setup?emailaddress=anna&amp;lang=fr"
    assert f'<a class="autoconfig-tall" href="{again}">' in response.text
    assert fetch(app, path="/style.css").status_code == 200
    assert fetch(app, FRED, path="/qr.svg").status_code == 503
    file.write_text(TWO_DOMAINS)
    until(lambda: fetch(app, FRED).status_code == 200)


# --- Hooks and templates of a site -----------------------------------------------------


OWN_PAGES = """
[[provider.documentation]]
url = "https://%EMAILLOCALPART%.example.com/"
descr = {en = "Our manual"}

[[provider.instruction]]
url = "https://first.example.com/"
descr = {en = "Read this page"}

[[provider.instruction]]
descr = {en = "Do this first"}
"""


def test_what_the_file_says_of_an_account_is_shown_at_its_place(toml: Write) -> None:
    sasl = 'authentication = [{system = "sasl", name = "PLAIN"}, "GSSAPI"]'
    text = TWO_DOMAINS.replace("[[provider.out", f"{sasl}\n[[provider.out")
    app = create_app(toml(text + OWN_PAGES))
    page = fetch(app, f"{FRED}&program=other").text
    first, _, help_ = page.partition('id="help"')
    assert "https://fred.example.com/" in help_
    assert "Our manual" in help_
    assert "Read this page" in help_
    assert "Read this page" not in first
    assert "Do this first" in first
    assert ", or: your organisation" in first
    unknown = fetch(app, "emailaddress=fred.b@example.com").text
    assert "Our manual" not in unknown


@rows("tablets", "device, program, there, first")
def test_a_tablet_that_claims_to_be_a_computer_finds_its_steps(
    app: Flask, device: str, program: str, there: str, first: str
) -> None:
    agent = {"User-Agent": seen.AGENTS[device]}
    page = fetch(app, f"{ANNA}&program={program}", User_Agent=agent["User-Agent"])
    (link,) = re.findall(r'href="([^"]+)#steps">Set up this device', page.text)
    found = Client(app).get(unescape(link), headers=agent)
    steps = steps_of(found)
    assert first in steps.partition("</h3>")[0]
    assert "<details" not in steps
    assert "autoconfig-qr" not in steps
    tiles = re.findall(r'href="([^"]+program=[^"]+#steps)"', found.text)
    assert tiles
    assert all(f"device={there}" in tile for tile in tiles)


@rows("templates", "template, parts", "tables.toml")
def test_a_site_has_a_template(tmp_path: Path, template: str, parts: list[str]) -> None:
    folder = tmp_path / "templates/autoconfig"
    folder.mkdir(parents=True)
    (folder / "setup.html").write_text(template)
    page = fetch(site(seen.configuration(tmp_path)), f"{ANNA}&program=iphone").text
    assert [part for part in parts if part not in page] == []
    assert "<header" not in page
