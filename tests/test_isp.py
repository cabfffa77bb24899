"""Importing files like those of the ISP database loses nothing that they contain."""

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

# The variety of the ISP database, and where the files of tests/isp have it.
FEATURES = {
    "several domains": f"{IN_PROVIDER}[domain[3]]",
    "a domain of MX hosts": f"{IN_PROVIDER}/domain[@purpose='mx']",
    "a name beyond ASCII": f"{IN_PROVIDER}/displayName[contains(., 'メール')]",
    "a misspelt displayShortName": f"{IN_PROVIDER}/displayNameShort",
    "several servers of a type": f"{INCOMING}[@type='imap'][2]",
    "several outgoing servers": f"{OUTGOING}[2]",
    "several authentication methods": f"{INCOMING}/authentication[2]",
    "the old names of methods": f"{INCOMING}/authentication[.='plain' or .='secure']",
    "direct TLS": f"{INCOMING}/socketType[.='SSL']",
    "STARTTLS": f"{INCOMING}/socketType[.='STARTTLS']",
    "no encryption": f"{INCOMING}/socketType[.='plain']",
    "sending without a login": f"{OUTGOING}[not(username)]/authentication[.='none']",
    "the domain in a host name": f"{INCOMING}/hostname[.='imap.%EMAILDOMAIN%']",
    "an unfinished placeholder": f"{INCOMING}/username[.='%EMAILADDRESS']",
    "the local part as login": f"{INCOMING}/username[.='%EMAILLOCALPART%']",
    "POP3: mail stays": f"{INCOMING}/pop3/leaveMessagesOnServer[.='true']",
    "POP3: mail is deleted": f"{INCOMING}/pop3/leaveMessagesOnServer[.='false']",
    "POP3: for some days": f"{INCOMING}/pop3/daysToLeaveMessagesOnServer",
    "POP3: fetched on arrival": f"{INCOMING}/pop3/downloadOnBiff",
    "POP3: an interval": f"{INCOMING}/pop3/checkInterval/@minutes",
    "a server to add": f"{OUTGOING}/addThisServer[.='true']",
    "a server not to add": f"{OUTGOING}/addThisServer[.='false']",
    "the preferred server first": f"{OUTGOING}/useGlobalPreferredServer[.='true']",
    "this server first": f"{OUTGOING}/useGlobalPreferredServer[.='false']",
    "a restriction as text": f"{OUTGOING}/restriction[.='client-IP-address']",
    "a restriction as an element": f"{OUTGOING}/restriction/clientIPAddress",
    "Exchange": f"{INCOMING}[@type='exchange'][owaURL][ewsURL]",
    "Exchange that is preferred": f"{INCOMING}/useGlobalPreferredServer",
    "Exchange Web Services": f"{INCOMING}[@type='ews']/url",
    "Outlook on the web": f"{INCOMING}[@type='owa']/url",
    "Microsoft Graph": f"{INCOMING}[@type='graph']/url",
    "a page in several languages": f"{IN_PROVIDER}/documentation[@url]/descr[@lang][3]",
    "a page without a language": f"{IN_PROVIDER}/documentation/descr[not(@lang)]",
    "a page without a description": f"{IN_PROVIDER}/documentation[@url][not(descr)]",
    "a page of instructions": f"{IN_PROVIDER}/instruction[@url]/descr[@lang][2]",
    "instructions without a page": f"{IN_PROVIDER}/instruction[not(@url)][text()]",
    "a step to enable access": f"{IN_PROVIDER}/enable[@visiturl]/instruction[@lang]",
    "a step without a language": f"{IN_PROVIDER}/enable/instruction[not(@lang)]",
    "a step one level too high": "/clientConfig/enable[@visiturl]/instruction",
    "webmail": "/clientConfig/webMail/loginPage[@url]",
    "webmail one level too deep": f"{IN_PROVIDER}/webMail/loginPage",
    "a login form: the name": f"{LOGIN_FORM}/username",
    "a login form: its name field": f"{LOGIN_FORM}/usernameField[@id][@name]",
    "a login form: its password field": f"{LOGIN_FORM}/passwordField[@id][@name]",
    "a login form: a button by id": f"{LOGIN_FORM}/loginButton[@id][not(@name)]",
    "a login form: a button by name": f"{LOGIN_FORM}/loginButton[@name][not(@id)]",
    "OAuth2: issuer and client": "/clientConfig/oAuth2[issuer][clientID][clientSecret]",
    "OAuth2: URLs": "/clientConfig/oAuth2[authURL][tokenURL]",
    "OAuth2: scope": "/clientConfig/oAuth2/scope",
    "OAuth2 for a server": f"{INCOMING}/authentication[.='OAuth2']",
    "the URL of updates": "/clientConfig/clientConfigUpdate/@url",
    "an address book of 1.1": "/clientConfig/addressBook[@type='carddav']/serverURL",
    "an address book of 1.2": "/clientConfig/addressbook[@type='carddav']/url",
    "a calendar of 1.1": "/clientConfig/calendar[@type='caldav']/serverURL",
    "a calendar of 1.2": "/clientConfig/calendar[@type='caldav']/url",
    "a file share": "/clientConfig/fileShare[@type='webdav']/serverURL",
    "an HTTP method of 1.1": "/clientConfig/*/authentication[not(@system)]",
    "an HTTP method of 1.2": "/clientConfig/*/authentication[@system='http']",
}

ROOTS = [etree.parse(str(file)).getroot() for file in ISP_FILES]


def test_the_files_have_every_feature_of_the_isp_database() -> None:
    for feature, path in FEATURES.items():
        assert any(root.xpath(path) for root in ROOTS), feature


def _paths(element: etree._Element, above: str = "") -> Iterator[str]:
    """Yield the path of each element and attribute, with the types of servers."""
    path = f"{above}/{element.tag}"
    yield path
    yield from (f"{path}/@{name}" for name in element.attrib)
    if type_ := element.get("type"):
        path += f"[{type_}]"
    for child in element.iterchildren(etree.Element):
        yield from _paths(child, path)


@pytest.mark.world
def test_the_files_have_every_element_of_the_real_isp_database() -> None:
    real = shared("ispdb").glob("*.xml")
    expected = {path for file in real for path in _paths(etree.parse(file).getroot())}
    assert expected <= {path for root in ROOTS for path in _paths(root)}


def test_only_a_misspelt_element_is_lost() -> None:
    done = run("import", *ISP_FILES)
    assert done.returncode == 0
    assert done.stderr.rstrip().endswith(
        ": <displayNameShort> is left out: the format has no such element"
    )
    assert done.stderr.count("left out") == 1


@pytest.mark.world
def test_the_whole_isp_database_is_imported() -> None:
    files = sorted(shared("ispdb").glob("*.xml"))
    done = run("import", *files)
    assert done.returncode == 0, done.stderr
    assert len(loads(done.stdout).provider) == len(files)


def test_an_unfinished_placeholder_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(run("import", ISP / "slips.test.xml").stdout)
    done = run("--config", file, "validate")
    assert done.returncode == 0
    place = "incoming[1].username (slips.test): Every client: %EMAILADDRESS without"
    assert place in done.stdout


@pytest.mark.parametrize("file", ISP_FILES, ids=lambda file: file.stem)
def test_a_file_that_is_read_and_written_reads_the_same(file: Path) -> None:
    read = from_raw({"provider": [Reader().read(file.read_bytes())]})
    written = thunderbird.write(read.providers[0])
    assert from_raw({"provider": [Reader().read(written)]}) == read


# An element, the element to insert it before, and what the import leaves out.
SERVER, CALENDAR = "<incomingServer ", "<calendar "
INVALID_URLS = {
    "a page": (
        '<documentation url="javascript:alert(1)"><descr>x</descr></documentation>',
        SERVER,
        ["documentation[0].url", "documentation[0]"],
    ),
    "instructions with a page": (
        '<instruction url="ftp://a.test/"><descr>Call us</descr></instruction>',
        SERVER,
        ["instruction[0].url"],
    ),
    "a page to enable access": (
        '<enable visiturl="data:text/html,x"><instruction>x</instruction></enable>',
        SERVER,
        ["enable.visit_url", "enable"],
    ),
    "a server that has only a URL": (
        '<incomingServer type="ews"><url>file:///x</url></incomingServer>',
        SERVER,
        ["incoming[0].url", "incoming[0]"],
    ),
    "a calendar": (
        '<calendar type="caldav"><serverURL>file:///x</serverURL></calendar>',
        CALENDAR,
        ["calendar[0].url", "calendar[0]"],
    ),
    "a calendar with a host name": (
        '<calendar type="caldav"><serverURL>file:///x</serverURL>'
        "<hostname>dav.diary.test</hostname></calendar>",
        CALENDAR,
        ["calendar[0].url"],
    ),
    "webmail": (
        '<webMail><loginPage url="vbscript:x"/></webMail>',
        CALENDAR,
        ["webmail.login_page", "webmail"],
    ),
    "a login form": (
        '<webMail><loginPage url="https://a.test/"/><loginPageInfo url="a b"/></webMail>',
        CALENDAR,
        ["webmail.login_page_info.url", "webmail.login_page_info"],
    ),
    "an authorization server": (
        "<oAuth2><issuer>a.test</issuer><authURL>javascript://a.test/</authURL></oAuth2>",
        CALENDAR,
        ["oauth2.auth_url"],
    ),
    "an unknown placeholder": (
        '<clientConfigUpdate url="https://a.test/%USER%"/>',
        CALENDAR,
        ["oauth2.config_update_url"],
    ),
}


@pytest.mark.parametrize(
    ("element", "before", "lost"), INVALID_URLS.values(), ids=INVALID_URLS.keys()
)
def test_only_an_invalid_url_is_left_out(
    tmp_path: Path, element: str, before: str, lost: list[str]
) -> None:
    usual = ISP / "diary.test.xml"
    file = tmp_path / "odd.xml"
    text = usual.read_text(encoding="utf-8")
    file.write_text(text.replace(before, element + before, 1), encoding="utf-8")
    done = run("import", file)
    assert done.returncode == 0, done.stderr
    lines = [line.partition("odd.xml: ")[2] for line in done.stderr.splitlines()]
    places = [line.partition(" is left out")[0] for line in lines if line[0] != "<"]
    assert places == lost
    assert loads(done.stdout)
    expected = run("import", usual).stdout.splitlines()
    assert set(expected) <= set(done.stdout.splitlines())


def test_a_file_whose_only_server_is_invalid_is_refused(
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
    """The service as an ISP database with the imported files."""
    file = tmp_path_factory.mktemp("isp") / "autoconfig.toml"
    file.write_text(run("import", *ISP_FILES).stdout, encoding="utf-8")
    config = {"AUTOCONFIG_FILE": file, "AUTOCONFIG_CLIENTS": {"ispdb", "thunderbird"}}
    return Client(create_app(config))


@pytest.mark.parametrize("root", ROOTS, ids=[file.stem for file in ISP_FILES])
def test_the_isp_database_answers_for_every_domain_of_a_file(
    database: Client, root: etree._Element
) -> None:
    for domain in root.xpath("emailProvider/domain[not(@purpose)]"):
        reply = database.get(f"/v1.1/{domain.text}")
        assert reply.status_code == 200
        served = etree.fromstring(reply.data)
        assert domain.text in served.xpath("emailProvider/domain/text()")
        types = "emailProvider/*[hostname or url]/@type"
        assert served.xpath(types) == root.xpath(types)


def test_the_isp_database_answers_for_a_customer_by_the_hosters_mx_host(
    database: Client,
) -> None:
    path = "/mail/config-v1.1.xml?emailaddress=fred@customer.test"
    reply = database.get(path, headers={"Host": "autoconfig.mx.example.org"})
    assert "<hostname>imap.customer.test</hostname>" in reply.text
    assert "<domain>customer.test</domain>" in reply.text
    assert "<domain>mail.example.org</domain>" in reply.text
