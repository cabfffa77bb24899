"""Moving in from files like those of the ISP database: nothing that they say is lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from support import ISP, ISP_FILES, run, shared
from werkzeug.test import Client

from flask_autoconfig import create_app
from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.documents import thunderbird
from flask_autoconfig.documents.thunderbird_reader import Reader

IN_PROVIDER = "/clientConfig/emailProvider"
INCOMING = f"{IN_PROVIDER}/incomingServer"
OUTGOING = f"{IN_PROVIDER}/outgoingServer"
LOGIN_FORM = "//webMail/loginPageInfo[@url]"

# What files of the ISP database have beside plain servers, and where it stands in ours.
WHAT_THEY_HAVE = {
    "several domains": f"{IN_PROVIDER}[domain[3]]",
    "a domain of MX hosts": f"{IN_PROVIDER}/domain[@purpose='mx']",
    "a name in letters beyond ASCII": f"{IN_PROVIDER}/displayName[contains(., 'メール')]",
    "a misspelt displayShortName": f"{IN_PROVIDER}/displayNameShort",
    "several servers of a type": f"{INCOMING}[@type='imap'][2]",
    "several ways to send": f"{OUTGOING}[2]",
    "several methods": f"{INCOMING}/authentication[2]",
    "the old words for methods": f"{INCOMING}/authentication[.='plain' or .='secure']",
    "direct TLS": f"{INCOMING}/socketType[.='SSL']",
    "STARTTLS": f"{INCOMING}/socketType[.='STARTTLS']",
    "no encryption": f"{INCOMING}/socketType[.='plain']",
    "sending without login": f"{OUTGOING}[not(username)]/authentication[.='none']",
    "the domain in host names": f"{INCOMING}/hostname[.='imap.%EMAILDOMAIN%']",
    "a placeholder without its end": f"{INCOMING}/username[.='%EMAILADDRESS']",
    "the local part for a login": f"{INCOMING}/username[.='%EMAILLOCALPART%']",
    "POP3: mail that stays": f"{INCOMING}/pop3/leaveMessagesOnServer[.='true']",
    "POP3: mail that goes": f"{INCOMING}/pop3/leaveMessagesOnServer[.='false']",
    "POP3: for some days": f"{INCOMING}/pop3/daysToLeaveMessagesOnServer",
    "POP3: fetched at once": f"{INCOMING}/pop3/downloadOnBiff",
    "POP3: looked for every so often": f"{INCOMING}/pop3/checkInterval/@minutes",
    "a server to add": f"{OUTGOING}/addThisServer[.='true']",
    "a server not to add": f"{OUTGOING}/addThisServer[.='false']",
    "a server to prefer to": f"{OUTGOING}/useGlobalPreferredServer[.='true']",
    "a server of its own right": f"{OUTGOING}/useGlobalPreferredServer[.='false']",
    "a restriction in words": f"{OUTGOING}/restriction[.='client-IP-address']",
    "a restriction as an element": f"{OUTGOING}/restriction/clientIPAddress",
    "Exchange": f"{INCOMING}[@type='exchange'][owaURL][ewsURL]",
    "Exchange that is preferred": f"{INCOMING}/useGlobalPreferredServer",
    "Exchange Web Services": f"{INCOMING}[@type='ews']/url",
    "Outlook on the web": f"{INCOMING}[@type='owa']/url",
    "Microsoft Graph": f"{INCOMING}[@type='graph']/url",
    "a page in several languages": f"{IN_PROVIDER}/documentation[@url]/descr[@lang][3]",
    "a page in no language": f"{IN_PROVIDER}/documentation/descr[not(@lang)]",
    "a page without a word": f"{IN_PROVIDER}/documentation[@url][not(descr)]",
    "a page of instructions": f"{IN_PROVIDER}/instruction[@url]/descr[@lang][2]",
    "instructions without a page": f"{IN_PROVIDER}/instruction[not(@url)][text()]",
    "a thing to enable": f"{IN_PROVIDER}/enable[@visiturl]/instruction[@lang]",
    "a thing to enable in no language": f"{IN_PROVIDER}/enable/instruction[not(@lang)]",
    "a thing to enable a level too high": "/clientConfig/enable[@visiturl]/instruction",
    "the mail in a browser": "/clientConfig/webMail/loginPage[@url]",
    "the mail in a browser a level too deep": f"{IN_PROVIDER}/webMail/loginPage",
    "a login form: the name": f"{LOGIN_FORM}/username",
    "a login form: its name field": f"{LOGIN_FORM}/usernameField[@id][@name]",
    "a login form: its password field": f"{LOGIN_FORM}/passwordField[@id][@name]",
    "a login form: a button by id": f"{LOGIN_FORM}/loginButton[@id][not(@name)]",
    "a login form: a button by name": f"{LOGIN_FORM}/loginButton[@name][not(@id)]",
    "OAuth2: who": "/clientConfig/oAuth2[issuer][clientID][clientSecret]",
    "OAuth2: where": "/clientConfig/oAuth2[authURL][tokenURL]",
    "OAuth2: what for": "/clientConfig/oAuth2/scope",
    "OAuth2 for a server": f"{INCOMING}/authentication[.='OAuth2']",
    "where a newer file is": "/clientConfig/clientConfigUpdate/@url",
    "an address book of 1.1": "/clientConfig/addressBook[@type='carddav']/serverURL",
    "an address book of 1.2": "/clientConfig/addressbook[@type='carddav']/url",
    "a calendar of 1.1": "/clientConfig/calendar[@type='caldav']/serverURL",
    "a calendar of 1.2": "/clientConfig/calendar[@type='caldav']/url",
    "files": "/clientConfig/fileShare[@type='webdav']/serverURL",
    "a method of HTTP in words of 1.1": "/clientConfig/*/authentication[not(@system)]",
    "a method of HTTP in words of 1.2": "/clientConfig/*/authentication[@system='http']",
}

ROOTS = [etree.parse(str(file)).getroot() for file in ISP_FILES]


@pytest.mark.parametrize("path", WHAT_THEY_HAVE.values(), ids=WHAT_THEY_HAVE.keys())
def test_the_files_have_what_those_of_the_isp_database_have(path: str) -> None:
    assert any(root.xpath(path) for root in ROOTS)


def _paths(element: etree._Element, above: str = "") -> Iterator[str]:
    """Each element and attribute as a path, servers with their type."""
    path = f"{above}/{element.tag}"
    yield path
    yield from (f"{path}/@{name}" for name in element.attrib)
    if type_ := element.get("type"):
        path += f"[{type_}]"
    for child in element.iterchildren(etree.Element):
        yield from _paths(child, path)


@pytest.mark.world
def test_the_real_isp_database_has_no_element_that_the_files_lack() -> None:
    real = shared("ispdb").glob("*.xml")
    theirs = {path for file in real for path in _paths(etree.parse(file).getroot())}
    ours = {path for root in ROOTS for path in _paths(root)}
    assert theirs - ours == set()


def test_only_what_is_misspelt_is_lost() -> None:
    done = run("import", *ISP_FILES)
    assert done.returncode == 0
    *orders, lost = done.stderr.splitlines()  # that of servers stays, and is told of
    assert len(orders) == 3
    assert all("stays before imap, as it is there" in line for line in orders)
    assert lost.endswith(
        ": <displayNameShort> is left out: the format has no such element"
    )


@pytest.mark.world
def test_the_whole_isp_database_is_imported() -> None:
    files = sorted(shared("ispdb").glob("*.xml"))
    done = run("import", *files)
    assert done.returncode == 0, done.stderr
    assert len(loads(done.stdout).provider) == len(files)


def test_an_unfinished_placeholder_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(run("import", ISP / "slips.test.xml").stdout)
    done = run("--config", file, "validate")
    assert done.returncode == 0
    told = "incoming[1].username (slips.test): Every client: %EMAILADDRESS without its"
    assert told in done.stdout


@pytest.mark.parametrize("file", ISP_FILES, ids=lambda file: file.stem)
def test_what_was_read_is_read_again_from_what_is_written(file: Path) -> None:
    read = from_raw({"provider": [Reader().read(file.read_bytes())]})
    written = thunderbird.write(read.providers[0])
    assert from_raw({"provider": [Reader().read(written)]}) == read


# Of each: what is put before what, and what of it is left out.
IN_SERVERS, BESIDE = "<incomingServer ", "<calendar "
ODD_URLS = {
    "a page": (
        '<documentation url="javascript:alert(1)"><descr>x</descr></documentation>',
        IN_SERVERS,
        ["documentation[0].url", "documentation[0]"],
    ),
    "instructions with a page": (
        '<instruction url="ftp://a.test/"><descr>Call us</descr></instruction>',
        IN_SERVERS,
        ["instruction[0].url"],
    ),
    "a page to enable something": (
        '<enable visiturl="data:text/html,x"><instruction>x</instruction></enable>',
        IN_SERVERS,
        ["enable.visit_url", "enable"],
    ),
    "a server that is nothing but its URL": (
        '<incomingServer type="ews"><url>file:///x</url></incomingServer>',
        IN_SERVERS,
        ["incoming[0].url", "incoming[0]"],
    ),
    "a calendar": (
        '<calendar type="caldav"><serverURL>file:///x</serverURL></calendar>',
        BESIDE,
        ["calendar[0].url", "calendar[0]"],
    ),
    "a calendar that has a host too": (
        '<calendar type="caldav"><serverURL>file:///x</serverURL>'
        "<hostname>dav.diary.test</hostname></calendar>",
        BESIDE,
        ["calendar[0].url"],
    ),
    "webmail": (
        '<webMail><loginPage url="vbscript:x"/></webMail>',
        BESIDE,
        ["webmail.login_page", "webmail"],
    ),
    "a login form": (
        '<webMail><loginPage url="https://a.test/"/><loginPageInfo url="a b"/></webMail>',
        BESIDE,
        ["webmail.login_page_info.url", "webmail.login_page_info"],
    ),
    "an authorization server": (
        "<oAuth2><issuer>a.test</issuer><authURL>javascript://a.test/</authURL></oAuth2>",
        BESIDE,
        ["oauth2.auth_url"],
    ),
    "an unknown placeholder": (
        '<clientConfigUpdate url="https://a.test/%USER%"/>',
        BESIDE,
        ["oauth2.config_update_url"],
    ),
}


@pytest.mark.parametrize(
    ("odd", "before", "lost"), ODD_URLS.values(), ids=ODD_URLS.keys()
)
def test_an_odd_url_is_left_out_and_nothing_else(
    tmp_path: Path, odd: str, before: str, lost: list[str]
) -> None:
    usual = ISP / "diary.test.xml"
    file = tmp_path / "odd.xml"
    text = usual.read_text(encoding="utf-8")
    file.write_text(text.replace(before, odd + before, 1), encoding="utf-8")
    done = run("import", file)
    assert done.returncode == 0, done.stderr
    said = [line.partition("odd.xml: ")[2] for line in done.stderr.splitlines()]
    places = [
        line.partition(" is left out")[0] for line in said if "<" not in line[:20]
    ]
    assert places == lost
    assert loads(done.stdout)
    expected = run("import", usual).stdout.splitlines()
    assert set(expected) <= set(done.stdout.splitlines())


def test_a_file_with_no_server_but_an_odd_one_is_refused_in_words(
    tmp_path: Path,
) -> None:
    file = tmp_path / "odd.xml"
    server = '<incomingServer type="ews"><url>javascript:x</url></incomingServer>'
    file.write_text(
        '<clientConfig><emailProvider id="a.test"><domain>a.test</domain>'
        f"{server}</emailProvider></clientConfig>"
    )
    done = run("import", file)
    assert (done.returncode, done.stdout) == (1, "")
    assert "it has no servers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Client:
    """The service as an ISP database of these files."""
    file = tmp_path_factory.mktemp("isp") / "autoconfig.toml"
    file.write_text(run("import", *ISP_FILES).stdout, encoding="utf-8")
    config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": {"ispdb", "thunderbird"}}
    return Client(create_app(config))


@pytest.mark.parametrize("root", ROOTS, ids=[file.stem for file in ISP_FILES])
def test_every_domain_of_a_file_is_found_in_the_isp_database(
    database: Client, root: etree._Element
) -> None:
    for domain in root.xpath("emailProvider/domain[not(@purpose)]"):
        reply = database.get(f"/v1.1/{domain.text}")
        assert reply.status_code == 200
        served = etree.fromstring(reply.data)
        assert domain.text in served.xpath("emailProvider/domain/text()")
        of_servers = "emailProvider/*[hostname or url]/@type"
        assert served.xpath(of_servers) == root.xpath(of_servers)


def test_a_customer_is_found_by_the_mx_host_of_the_hoster(database: Client) -> None:
    path = "/mail/config-v1.1.xml?emailaddress=fred@customer.test"
    reply = database.get(path, headers={"Host": "autoconfig.mx.example.org"})
    assert "<hostname>imap.customer.test</hostname>" in reply.text
    assert "<domain>customer.test</domain>" in reply.text
    assert "<domain>mail.example.org</domain>" in reply.text
