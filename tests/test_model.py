"""What the TOML may say, and what is said back when it is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from msgspec import structs
from support import ROOT, TWO_DOMAINS

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading, writing
from flask_autoconfig.config.tables import AuthenticationMethod, Config
from flask_autoconfig.tools.warnings import find_warnings


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        reading.loads(text)
    problems = caught.value.problems
    return [str(it._replace(line=None, column=None, domain="")) for it in problems]


def provider(more: str = "", *, incoming: str = "", outgoing: str = "") -> str:
    return f"""
[[provider]]
domains = ["example.com"]
{more}
[[provider.incoming]]
type = "imap"
hostname = "imap.example.com"
{incoming}
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
{outgoing}
"""


@pytest.mark.parametrize(
    ("type_", "socket_type", "port"),
    [
        ("imap", "", 993),
        ("imap", "STARTTLS", 143),
        ("imap", "plain", 143),
        ("pop3", "", 995),
        ("pop3", "STARTTLS", 110),
        ("smtp", "", 465),
        ("smtp", "STARTTLS", 587),
        ("smtp", "plain", 25),
    ],
)
def test_a_server_gets_the_standard_port_of_its_type_and_encryption(
    type_: str, socket_type: str, port: int
) -> None:
    line = f'type = "{type_}"\nsocket_type = "{socket_type}"' if socket_type else ""
    line = line or f'type = "{type_}"'
    text = provider().replace(f'type = "{type_}"', line)
    if type_ == "pop3":
        text = provider().replace('type = "imap"', line)
    (found,) = reading.loads(text).provider
    servers = [*found.incoming, *found.outgoing]
    assert [it.port for it in servers if it.type == type_] == [port]


def test_what_is_not_said_has_the_defaults_of_a_well_run_server() -> None:
    (found,) = reading.loads(provider()).provider
    assert found.identity == "example.com"
    assert found.incoming[0].socket_type == "SSL"
    assert found.incoming[0].username == "%EMAILADDRESS%"
    assert found.incoming[0].authentication == ("password-cleartext",)


def test_one_method_of_authentication_needs_no_list() -> None:
    one = reading.loads(provider(incoming='authentication = "OAuth2"'))
    listed = reading.loads(provider(incoming='authentication = ["OAuth2"]'))
    assert one == listed
    assert one.provider[0].incoming[0].authentication == ("OAuth2",)


def test_a_sasl_mechanism_can_be_named() -> None:
    line = 'authentication = {system = "sasl", name = "SCRAM-SHA-256"}'
    (found,) = reading.loads(provider(incoming=line)).provider
    method = AuthenticationMethod(system="sasl", name="SCRAM-SHA-256")
    assert found.incoming[0].authentication == (method,)


def test_international_names_become_a_labels() -> None:
    text = provider(incoming="").replace("example.com", "bücher.example")
    (found,) = reading.loads(text).provider
    assert found.domains == ("xn--bcher-kva.example",)
    assert found.incoming[0].hostname == "imap.xn--bcher-kva.example"


def test_a_domains_file_serves_as_postfix_writes_it(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text(
        "# our customers\nExample.net  anything\n\n*.example.org\tOK # all\nb.test\n"
    )
    file = tmp_path / "autoconfig.toml"
    file.write_text(provider('domains_file = "virtual"'))
    loaded = reading.read(file)
    domains = ("example.com", "example.net", "*.example.org", "b.test")
    assert tuple(loaded.providers[0].all_domains) == domains
    assert loaded.tables.provider[0].domains == ("example.com",)


FAULTY = {
    "a misspelt key": (
        provider("display_nam = 'x'"),
        'provider[0].display_nam: there is no key "display_nam" here; '
        "did you mean display_name?",
    ),
    "a misspelt key of a server": (
        provider(incoming='socketType = "SSL"'),
        'provider[0].incoming[0].socketType: there is no key "socketType" here; '
        "did you mean socket_type?",
    ),
    "a port in quotes": (
        provider(incoming='port = "993"'),
        "provider[0].incoming[0].port: expected an integer from 1 to 65535, "
        'got "993"; write port = 993',
    ),
    "a port out of range": (
        provider(incoming="port = 65536"),
        "provider[0].incoming[0].port: expected an integer from 1 to 65535, "
        "got 65536; write an integer from 1 to 65535",
    ),
    "a port that is true": (
        provider(incoming="port = true"),
        "provider[0].incoming[0].port: expected an integer from 1 to 65535, "
        "got true; write an integer from 1 to 65535",
    ),
    "an encryption in lower case": (
        provider(incoming='socket_type = "ssl"'),
        'provider[0].incoming[0].socket_type: expected one of "SSL", "STARTTLS", '
        '"plain", got "ssl"; write "SSL"',
    ),
    "an encryption by its other name": (
        provider(incoming='socket_type = "TLS"'),
        'provider[0].incoming[0].socket_type: expected one of "SSL", "STARTTLS", '
        '"plain", got "TLS"; write "SSL"',
    ),
    "a host with a scheme": (
        provider().replace('"imap.example.com"', '"https://imap.example.com"'),
        "provider[0].incoming[0].hostname: expected a host name, "
        'got "https://imap.example.com"; write "imap.example.com"',
    ),
    "white space around a value": (
        provider(incoming='username = " %EMAILADDRESS%"'),
        'provider[0].incoming[0].username: white space around " %EMAILADDRESS%"; '
        'write "%EMAILADDRESS%"',
    ),
    "a control character": (
        provider(r'display_name = "a\u0007b"'),
        "provider[0].display_name: a control character (U+0007) in it; remove it",
    ),
    "an empty value": (
        provider('display_name = ""'),
        "provider[0].display_name: it is empty; give it a value or remove the key",
    ),
    "an unknown placeholder": (
        provider(incoming='username = "%USER%"'),
        "provider[0].incoming[0].username: no client knows the placeholder %USER%; "
        "write %EMAILADDRESS%, or %EMAILLOCALPART% for what stands before the @",
    ),
    "a placeholder in lower case": (
        provider(incoming='username = "%emailaddress%"'),
        "provider[0].incoming[0].username: %emailaddress% is not in capitals; "
        "write %EMAILADDRESS%",
    ),
    "an address for a domain": (
        provider().replace('["example.com"]', '["fred@example.com"]'),
        'provider[0].domains[0]: "fred@example.com" is an address; write "example.com"',
    ),
    "an IP address for a domain": (
        provider().replace('["example.com"]', '["192.0.2.1"]'),
        'provider[0].domains[0]: "192.0.2.1" is an IP address; write the mail domain',
    ),
    "a key in the wrong table": (
        provider("max_age = 60"),
        'provider[0].max_age: there is no key "max_age" here; '
        "max_age belongs into the top of the file, before the first table",
    ),
    "a number without end": (
        "max_age = " + "9" * 5000,
        "not TOML: Exceeds the limit (4300 digits); mend that line",
    ),
    "a pattern in the middle": (
        provider().replace('["example.com"]', '["a.*.com"]'),
        'provider[0].domains[0]: expected a domain, got "a.*.com"; write '
        '"example.com", "*.example.com" for all below it, or "*" for any',
    ),
    "no domains": (
        provider().replace('domains = ["example.com"]', ""),
        'provider[0]: it has no domains; add domains = ["example.com"], '
        "or a domains_file",
    ),
    "one domain for a list": (
        provider().replace('["example.com"]', '"example.com"'),
        'provider[0].domains: expected a list, got "example.com"; '
        'write domains = ["example.com"]',
    ),
    "a domain of two providers": (
        provider() + provider(),
        "provider[1].domains[0]: example.com is claimed by provider[0] too; "
        "remove it from one of them",
    ),
    "no smtp": (
        provider().partition("[[provider.outgoing]]")[0],
        "provider[0]: it has imap and no smtp, and no client takes that; "
        "add [[provider.outgoing]]",
    ),
    "no servers": (
        '[[provider]]\ndomains = ["example.com"]',
        "provider[0]: it has no servers; add [[provider.incoming]]",
    ),
    "no provider": ("max_age = 60", "it has no provider; add one: [[provider]], "),
    "an empty file": ("", "it has no provider; add one: [[provider]], "),
    "single brackets": (
        '[provider]\ndomains = ["example.com"]',
        "provider: expected a list, got a table; "
        "head it [[provider]], with two brackets",
    ),
    "an unknown type": (
        provider().replace('type = "smtp"', 'type = "smpt"'),
        'provider[0].outgoing[0].type: expected "smtp", got "smpt"; '
        'did you mean "smtp"?',
    ),
    "no type": (
        provider().replace('type = "imap"', ""),
        'provider[0].incoming[0]: type is missing; add type = "imap"',
    ),
    "no hostname": (
        provider().replace('hostname = "imap.example.com"', ""),
        "provider[0].incoming[0]: this imap server has no hostname; "
        'add hostname = "mail.example.com"',
    ),
    "jmap without its URL": (
        provider(incoming='[[provider.incoming]]\ntype = "jmap"'),
        "provider[0].incoming[1]: this jmap server has no url; "
        "add url, or hostname and port",
    ),
    "a chat without a port": (
        provider() + '[[provider.chat]]\ntype = "irc"\nhostname = "irc.example.com"',
        "provider[0].chat[0]: this irc server has no port; "
        "add port: irc has no standard one",
    ),
    "POP3 options of IMAP": (
        provider(incoming="pop3 = {download_on_biff = true}"),
        "provider[0].incoming[0].pop3: an imap server has no POP3 options; remove it",
    ),
    "a method by its SASL name": (
        provider(incoming='authentication = "plain"'),
        'write "password-cleartext"',
    ),
    "no method": (
        provider(incoming="authentication = []"),
        "provider[0].incoming[0].authentication: the list is empty; "
        "name a method, or remove the key",
    ),
    "a text without its language": (
        provider() + '[[provider.documentation]]\nurl = "https://example.com/"\n'
        'descr = "Help"',
        'provider[0].documentation[0].descr: expected a table, got "Help"; '
        'name the language: {en = "Help"}',
    ),
    "a URL without a scheme": (
        provider('logo_url = "www.example.com/logo.png"'),
        'provider[0].logo_url: expected a URL, got "www.example.com/logo.png"; '
        'write "https://www.example.com/logo.png"',
    ),
    "a URL that runs a script": (
        provider('logo_url = "javascript://example.com/%0aalert(1)"'),
        "provider[0].logo_url: expected a URL of the web, got "
        '"javascript://example.com/%0aalert(1)"; '
        "write one that begins with https://, not with javascript://",
    ),
    "a URL of a file transfer": (
        provider() + '[[provider.documentation]]\nurl = "FTP://example.com/"',
        "provider[0].documentation[0].url: expected a URL of the web, got "
        '"FTP://example.com/"; write one that begins with https://, not with FTP://',
    ),
    "an id that is no host name": (
        provider('id = "Our mail!"'),
        'provider[0].id: expected a host name, got "Our mail!"; ',
    ),
    "a domains_file that is not there": (
        provider('domains_file = "nowhere"'),
        'provider[0].domains_file: cannot read "nowhere": '
        "No such file or directory; give a text file",
    ),
    "a boolean in quotes": (
        provider('list_domains = "no"'),
        'provider[0].list_domains: expected true or false, got "no"; '
        "write list_domains = false",
    ),
    "no TOML": (
        "domains: [example.com]",
        'not TOML: a : stands where an = belongs; write domains = ["example.com"]',
    ),
}


@pytest.mark.parametrize(("text", "expected"), FAULTY.values(), ids=FAULTY.keys())
def test_a_faulty_file_is_told_what_is_wrong_and_what_would_be_right(
    text: str, expected: str
) -> None:
    (found,) = problems_of(text)
    assert expected in found


def test_all_problems_come_at_once_and_in_the_order_of_the_file() -> None:
    found = problems_of(
        """
        max_age = -1
        [[provider]]
        domain = ["example.com"]
        [[provider.incoming]]
        typ = "imap"
        port = "993"
        [[provider.outgoing]]
        type = "smtp"
        hostname = "smtp example com"
        [[provider]]
        domains = ["*x"]
        """
    )
    assert [line.partition(": ")[0] for line in found] == [
        "max_age",
        "provider[0].domain",
        "provider[0].incoming[0].typ",
        "provider[0].incoming[0].port",
        "provider[0].outgoing[0].hostname",
        "provider[1]",
        "provider[1].domains[0]",
    ]


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.toml; let"):
        load(tmp_path / "nowhere.toml")


def test_a_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    file = tmp_path / "latin.toml"
    file.write_bytes('# Bücher\n[[provider]]\ndomains = ["x.test"]'.encode("latin-1"))
    with pytest.raises(ConfigError, match="not UTF-8 at byte 3; save it as UTF-8"):
        load(file)


def test_a_byte_order_mark_is_no_problem(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(provider(), encoding="utf-8-sig")
    assert load(file) == reading.loads(provider())


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "vbscript://x.test/",
        "data:text/html,hello",
        "data://text/html",
        "ftp://x.test/",
        "file:///etc/passwd",
        "file://x.test/etc",
        "mailto:fred@example.com",
        "https:example.com",
        "//example.com/",
        "https://",
        "https:///path",
    ],
)
def test_only_the_webs_urls_are_urls(url: str) -> None:
    (found,) = problems_of(provider(f'logo_url = "{url}"'))
    assert "provider[0].logo_url: expected a URL" in found
    assert "https://" in found.partition("; ")[2]


IN_ASCII = {
    "a path": (
        "https://a.test/für/%EMAILADDRESS%/é",
        "/f%C3%BCr/%EMAILADDRESS%/%C3%A9",
    ),
    "a query": ("https://a.test/?ü=%20ü", "/?%C3%BC=%20%C3%BC"),
    "a fragment": ("https://a.test/#日本", "/#%E6%97%A5%E6%9C%AC"),
    "what looks like a placeholder then": ("https://a.test/%éMAIL%", "/%%C3%A9MAIL%"),
    "a scheme in capitals": ("HTTPS://a.test/A", "/A"),
}


@pytest.mark.parametrize(("written", "end"), IN_ASCII.values(), ids=IN_ASCII.keys())
def test_a_url_is_served_in_ascii(written: str, end: str) -> None:
    (found,) = reading.loads(provider(f'logo_url = "{written}"')).provider
    assert found.logo_url == f"https://a.test{end}"
    (again,) = reading.loads(provider(f'logo_url = "{found.logo_url}"')).provider
    assert again.logo_url == found.logo_url


BY_RECORDS = "Programs that go by SRV records"
KIN = "Thunderbird, Evolution, Delta Chat and others"
APPLE = "iPhone, iPad and Mac"
WARNED = {
    "a page without encryption": (
        provider('logo_url = "http://www.example.com/logo.png"'),
        ["Every client"],
        "logo_url",
    ),
    "a calendar without encryption": (
        provider() + '[[provider.calendar]]\ntype = "caldav"\nurl = "http://a.test/"',
        ["Every client", "PACC", BY_RECORDS],
        "calendar[0]",
    ),
    "a login form without encryption": (
        provider() + '[provider.webmail]\nlogin_page = "https://a.test/"\n'
        '[provider.webmail.login_page_info]\nurl = "http://a.test/"',
        ["Every client"],
        "webmail.login_page_info.url",
    ),
    "an unencrypted server": (
        provider(outgoing='socket_type = "plain"'),
        ["Every client", "Thunderbird for Android (K-9)", "PACC", BY_RECORDS],
        "outgoing[0]",
    ),
    "password-encrypted": (
        provider(incoming='authentication = "password-encrypted"'),
        ["Kontact and Evolution"],
        "incoming[0].authentication",
    ),
    "two servers of a type": (
        provider(
            incoming='[[provider.incoming]]\ntype = "imap"\nhostname = "b.example"'
        ),
        ["Evolution"],
        "incoming[1]",
    ),
    "OAuth2 before a password": (
        provider(incoming='authentication = ["OAuth2", "password-cleartext"]'),
        ["Every client", "Kontact"],
        "incoming[0].authentication",
    ),
    "OAuth2 alone": (
        provider(incoming='authentication = "OAuth2"'),
        ["Every client", "Thunderbird", "Evolution", "Outlook (classic)"],
        "incoming[0].authentication",
    ),
    "a client certificate alone": (
        provider(incoming='authentication = "TLS-client-cert"'),
        ["Thunderbird", "Thunderbird for Android (K-9)", "Outlook (classic)"],
        "incoming[0].authentication",
    ),
    "GSSAPI alone": (
        provider(incoming='authentication = "GSSAPI"'),
        ["Thunderbird for Android (K-9)", "Outlook (classic)"],
        "incoming[0].authentication",
    ),
    "a long short name": (
        provider('display_short_name = "The Example Mail Company"'),
        ["Every client"],
        "display_short_name",
    ),
    "a user name with an ampersand": (
        provider(incoming='username = "%EMAILLOCALPART%&b"'),
        ["Delta Chat", BY_RECORDS],
        "incoming[0].username",
    ),
    "a placeholder without its end": (
        provider(incoming='username = "%EMAILADDRESS"'),
        ["Every client", BY_RECORDS],
        "incoming[0].username",
    ),
    "STARTTLS's port with SSL": (
        provider(outgoing="port = 587"),
        ["Every client", "PACC"],
        "outgoing[0]",
    ),
    "POP3 before IMAP": (
        provider(
            incoming='[[provider.incoming]]\ntype = "pop3"\nhostname = "b.example"'
        )
        .replace('"imap"', '"x"')
        .replace('"pop3"', '"imap"')
        .replace('"x"', '"pop3"'),
        ["FairEmail"],
        "incoming[0]",
    ),
    "a calendar of which only the host is known": (
        provider() + '[[provider.calendar]]\ntype = "caldav"\nhostname = "a.test"',
        ["Every client"],
        "calendar[0]",
    ),
    "a host that is an IP address": (
        provider(outgoing="").replace("smtp.example.com", "192.0.2.1"),
        ["Every client", "PACC", BY_RECORDS],
        "outgoing[0]",
    ),
    "a long name": (
        provider(f'display_name = "{"long" * 16}"'),
        ["Every client"],
        "display_name",
    ),
    "ManageSieve": (
        provider() + '[[provider.setup]]\ntype = "managesieve"\nhostname = "a.test"',
        ["PACC"],
        "setup[0]",
    ),
    "only JMAP": (
        provider()
        .partition("[[provider.incoming]]")[0]
        .__add__('[[provider.incoming]]\ntype="jmap"\nurl="https://jmap.example.com/"'),
        [KIN, "Outlook (classic)", BY_RECORDS],
        "",
    ),
}


@pytest.mark.parametrize(("text", "names", "place"), WARNED.values(), ids=WARNED.keys())
def test_what_a_client_cannot_take_is_a_warning_that_names_it(
    text: str, names: list[str], place: str
) -> None:
    found = find_warnings(reading.loads(text).provider)
    expected = f"provider[0].{place}" if place else "provider[0]"
    here = [it for it in found if it.place.startswith(expected)]
    assert sorted(warning.client for warning in here) == sorted(names)
    # What else there is follows from it: families whose documents have no word for it.
    others = {warning.client for warning in found if warning not in here}
    assert others <= {"PACC", APPLE, BY_RECORDS}


def warnings_of(text: str) -> list[tuple[str, str]]:
    return [
        (it.place.removeprefix("provider[0]."), f"{it.message}; {it.cure}")
        for it in find_warnings(reading.loads(text).provider)
        if it.client == "Every client"
    ]


ADDRESS = 'write username = "%EMAILADDRESS%"'
OR_LOCAL_PART = ', or "%EMAILLOCALPART%" for the part before the @'
NAMES = {
    "fred": f'everybody gets the same name, "fred"; {ADDRESS}{OR_LOCAL_PART}',
    "fred@example.com": f"everybody gets the same name, {ADDRESS}",
    "email": f"everybody gets the same name, {ADDRESS}",
    "localpart": 'write username = "%EMAILLOCALPART%"',
    r"OFFICE\\fred": r'write username = "OFFICE\%EMAILLOCALPART%"',
    "%EMAILDOMAIN%": "everybody gets the same name",
    "%u": f"takes %u as it stands, and everybody gets the same name; {ADDRESS}",
    "%n": 'write username = "%EMAILLOCALPART%"',
    "%n@%d": ADDRESS,
    "%Lu": ADDRESS,
    "%{user | username}@%{user | domain}": ADDRESS,
    "%{user | username | lower}": ADDRESS,
    "%{user | username}": 'write username = "%EMAILLOCALPART%"',
    "{localpart}": 'write username = "%EMAILLOCALPART%"',
    "{0}": ADDRESS,
    "{{ email }}": ADDRESS,
    "$local_part": 'write username = "%EMAILLOCALPART%"',
    "${local_part}@${domain}": ADDRESS,
    "$user": ADDRESS,
    "$EMAILADDRESS$": ADDRESS,
    "<email>": ADDRESS,
    "[username]": ADDRESS,
    "%(user)s@%(domain)s": ADDRESS,
    "%EMAILLOCALPART%@%d": f"takes %d as it stands; {ADDRESS}",
}


@pytest.mark.parametrize(("name", "told"), NAMES.items(), ids=NAMES.keys())
def test_a_name_that_everybody_gets_is_warned_of(name: str, told: str) -> None:
    ((place, words),) = warnings_of(provider(incoming=f'username = "{name}"'))
    assert place == "incoming[0].username"
    head, _, cure = told.partition(", write")
    assert head in words
    assert cure in words


@pytest.mark.parametrize(
    "name",
    [
        "%EMAILADDRESS%",
        "%EMAILLOCALPART%",
        "%REALNAME%",
        "x-%EMAILLOCALPART%-y",
        r"OFFICE\\%EMAILLOCALPART%",
        "%EMAILLOCALPART%%%EMAILDOMAIN%",
    ],
)
def test_a_name_of_ones_own_is_not_warned_of(name: str) -> None:
    assert warnings_of(provider(incoming=f'username = "{name}"')) == []


def test_a_name_that_nobody_logs_in_with_is_not_warned_of() -> None:
    line = 'username = "relay"\nauthentication = "client-IP-address"'
    assert warnings_of(provider(outgoing=line)) == []


OWN = "only your own network"
HOSTS = {
    "localhost": "localhost is each reader's own device",
    "mail.localhost": "each reader's own device",
    "127.0.0.1": "127.0.0.1 is each reader's own device",
    "::1": "::1 is each reader's own device",
    "::ffff:127.0.0.1": "each reader's own device",
    "0.0.0.0": "0.0.0.0 is no server's address",
    "224.0.0.1": "no server's address",
    "10.1.2.3": f"10.1.2.3 is a private address: {OWN} reaches it",
    "192.168.1.5": f"a private address: {OWN} reaches it",
    "172.16.0.1": "a private address",
    "100.64.0.1": "a private address",
    "fd00::1": "a private address",
    "169.254.1.1": f"a link-local address: {OWN} reaches it",
    "fe80::1": "a link-local address",
    "192.0.2.1": "192.0.2.1 is a reserved address: no server has it",
    "240.0.0.1": "a reserved address",
    "2001:db8::1": "a reserved address",
    "9.9.9.9": "hardly any certificate has an address",
    "mail": f"mail has no dot: {OWN} may know it",
    "server.local": f"{OWN} knows a name in .local",
    "server.lan": f"{OWN} knows a name in .lan",
    "mail.home.arpa": f"{OWN} knows a name in .home.arpa",
    "mail.fritz.box": f"{OWN} knows a name in .fritz.box",
}


@pytest.mark.parametrize(("host", "told"), HOSTS.items(), ids=HOSTS.keys())
def test_a_server_that_nobody_outside_reaches_is_warned_of(
    host: str, told: str
) -> None:
    text = provider().replace('"imap.example.com"', f'"{host}"')
    ((place, words),) = warnings_of(text)
    assert place == "incoming[0].hostname"
    assert told in words
    assert "write the server's public name" in words


def test_a_page_that_nobody_outside_reaches_is_warned_of() -> None:
    text = provider() + (
        '[[provider.calendar]]\ntype = "caldav"\nurl = "https://nas.local/dav/"\n'
        '[provider.webmail]\nlogin_page = "https://192.168.1.5/mail/"\n'
    )
    assert [place for place, _ in warnings_of(text)] == [
        "calendar[0].url",
        "webmail.login_page",
    ]


@pytest.mark.parametrize(
    "host", ["mail.example.com", "mail.%EMAILDOMAIN%", "%EMAILDOMAIN%", "local.example"]
)
def test_a_server_of_the_internet_is_not_warned_of(host: str) -> None:
    assert warnings_of(provider().replace('"imap.example.com"', f'"{host}"')) == []


def test_warnings_come_in_the_order_of_harm() -> None:
    text = provider(
        'display_short_name = "The Example Mail Company"',
        incoming='username = "fred"\nauthentication = "GSSAPI"',
    ) + provider(outgoing='socket_type = "plain"\nauthentication = "OAuth2"').replace(
        '["example.com"]', '["example.net"]'
    )
    found = find_warnings(reading.loads(text).provider)
    assert "mail and passwords travel unencrypted" in found[0].message
    assert found[0].place == "provider[1].outgoing[0].socket_type"
    clients = list(dict.fromkeys(it.client for it in found))
    assert clients == [
        "Every client",
        "Thunderbird for Android (K-9)",
        "Thunderbird",
        "Outlook (classic)",
        "Evolution",
        APPLE,
        BY_RECORDS,
        "PACC",
    ]


def test_a_well_run_server_has_no_warnings() -> None:
    assert find_warnings(reading.loads(TWO_DOMAINS).provider) == []


def test_two_providers_of_one_id_are_warned_of() -> None:
    text = provider() + provider('id = "example.com"').replace(
        '["example.com"]', '["example.net"]'
    )
    (found,) = find_warnings(reading.loads(text).provider)
    assert found.place == "provider[1].id"


def test_written_out_it_reads_back_the_same_and_defaults_are_left_out() -> None:
    config = reading.loads(TWO_DOMAINS)
    text = writing.dumps(config)
    assert reading.loads(text) == config
    assert "port" not in text
    assert "username" not in text


def test_what_nobody_would_see_in_the_file_is_written_as_an_escape() -> None:
    config = reading.loads(TWO_DOMAINS)
    name = "Ü \u202egnp.exe\u2028\U000e0041"
    provider = structs.replace(config.provider[0], display_name=name)
    config = structs.replace(config, provider=(provider,))
    text = writing.dumps(config)
    assert '"Ü \\U0000202egnp.exe\\U00002028\\U000e0041"' in text
    assert reading.loads(text) == config


def test_the_json_schema_describes_every_key() -> None:
    schema = writing.schema()
    for table in schema["$defs"].values():
        for key, value in table["properties"].items():
            described = [value, *value.get("anyOf", [])]
            assert any("description" in it for it in described), key


def test_the_json_schema_takes_the_example_and_refuses_a_misspelt_key() -> None:
    import tomllib

    schema = json.loads(json.dumps(writing.schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    example = (ROOT / "examples/autoconfig.toml").read_text()
    assert validator.is_valid(tomllib.loads(example))
    assert not validator.is_valid(tomllib.loads(example + "\ntyp = 1"))
    assert not validator.is_valid({"provider": [{"display_nam": "x"}]})


def test_the_configuration_is_frozen() -> None:
    config: Config = reading.loads(TWO_DOMAINS)
    with pytest.raises(AttributeError):
        config.max_age = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("written", "served"),
    [
        ("%EMAILDOMAIN%.bücher.example", "%EMAILDOMAIN%.xn--bcher-kva.example"),
        (
            "x-%EMAILLOCALPART%.Bücher.example",
            "x-%EMAILLOCALPART%.xn--bcher-kva.example",
        ),
        ("%EMAILDOMAIN%", "%EMAILDOMAIN%"),
        ("IMAP.%EMAILDOMAIN%", "imap.%EMAILDOMAIN%"),
    ],
)
def test_placeholders_survive_beside_letters_beyond_ascii(
    written: str, served: str
) -> None:
    text = provider(f'logo_url = "https://{written}:8443/ü"')
    text = text.replace('"imap.example.com"', f'"{written}"')
    (found,) = reading.loads(text).provider
    assert found.incoming[0].hostname == served
    if not served.isascii() or "xn--" in served:
        assert found.logo_url == f"https://{served}:8443/%C3%BC"


def test_a_postfix_map_with_its_continuations_and_parents(tmp_path: Path) -> None:
    (tmp_path / "virtual").write_text("one.test  a,\n   b c\n.two.test x\n")
    (tmp_path / "a.toml").write_text(provider('domains_file = "virtual"'))
    (found,) = reading.read(tmp_path / "a.toml").providers
    assert tuple(found.all_domains) == ("example.com", "one.test", "*.two.test")


def test_an_id_is_folded_like_the_domains() -> None:
    text = provider('id = "Example.COM"\nlist_domains = false')
    assert reading.loads(text).provider[0].identity == "example.com"


@pytest.mark.parametrize("name", ["/dev/zero", "/dev"])
def test_what_is_no_ordinary_file_is_not_read(name: str) -> None:
    with pytest.raises(ConfigError, match="it is no ordinary file"):
        load(name)


@pytest.mark.parametrize(
    ("type_", "socket_type", "port"),
    [
        ("xmpptcp", "SSL", 5223),
        ("xmpptcp", "STARTTLS", 5222),
        ("managesieve", None, 4190),
        ("managesieve", "SSL", 4190),
    ],
)
def test_chat_and_managesieve_have_their_standard_ports(
    type_: str, socket_type: str | None, port: int
) -> None:
    line = f'\nsocket_type = "{socket_type}"' if socket_type else ""
    text = f'[[provider.setup]]\ntype = "{type_}"\nhostname = "a.test"{line}'
    config = reading.loads(provider() + text)
    (found,) = config.provider[0].setup
    assert found.port == port
    assert found.socket_type == (socket_type or "STARTTLS")  # RFC 5804
    assert reading.loads(writing.dumps(config)) == config


BY_HOST = {
    "caldav": ('hostname = "a.test"', "https://a.test/.well-known/caldav"),
    "carddav": (
        'hostname = "a.test"\nport = 8443',
        "https://a.test:8443/.well-known/carddav",
    ),
    "webdav": ('hostname = "%EMAILDOMAIN%"', "https://%EMAILDOMAIN%/"),
    "activesync": (
        'hostname = "a.test"',
        "https://a.test/Microsoft-Server-ActiveSync",
    ),
    "ews": ('hostname = "a.test"', "https://a.test/EWS/Exchange.asmx"),
    "jmap": ('hostname = "2001:db8::1"', "https://[2001:db8::1]/.well-known/jmap"),
}


@pytest.mark.parametrize(("type_", "said"), BY_HOST.items(), ids=BY_HOST.keys())
def test_a_service_of_the_web_has_the_url_that_its_host_and_standard_say(
    type_: str, said: tuple[str, str]
) -> None:
    of_mail = type_ in ("jmap", "activesync", "ews")
    key = "incoming" if of_mail else "calendar"
    text = f'[[provider.{key}]]\ntype = "{type_}"\n{said[0]}'
    config = reading.loads(provider() + text)
    found = getattr(config.provider[0], key)[-1]
    assert found.url == said[1]
    assert found.is_url_usual
    assert "url" not in writing.dumps(config)
    assert reading.loads(writing.dumps(config)) == config


def test_without_encryption_its_url_is_one_too() -> None:
    text = '[[provider.calendar]]\ntype = "caldav"\nhostname = "a.test"\n'
    (found,) = reading.loads(f'{provider()}{text}socket_type = "plain"').provider
    assert found.calendar[0].url == "http://a.test/.well-known/caldav"
