"""config-v1.1.xml, written and read."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from lxml import etree
from msgspec import structs
from support import ISP_FILES, TWO_DOMAINS, shared

from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.config.tables import Config, Provider
from flask_autoconfig.documents import Recipient, thunderbird
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader

FULL = (Path(__file__).parent / "full.toml").read_text(encoding="utf-8")


def only(config: Config) -> Provider:
    (provider,) = config.provider
    return provider


def parsed(text: str, domain: str | None = None) -> ET.Element:
    return ET.fromstring(  # noqa: S314 (our own document)
        thunderbird.write(only(loads(text)), Recipient(domain))
    )


def read_back(document: bytes) -> Provider:
    reader = Reader()
    raw = reader.read(document)
    assert reader.lost == []
    return only(from_raw({"provider": [raw]}).tables)


def grammar(file: Path) -> etree.RelaxNG:
    return etree.RelaxNG(etree.parse(str(file)))


GRAMMAR = grammar(Path(__file__).parent / "config-v1.1.rng")


def full_and_imported() -> list[bytes]:
    """Documents with the whole format, with and without a domain."""
    providers = [only(loads(FULL))]
    for file in ISP_FILES:
        raw = Reader().read(file.read_bytes())
        providers.append(only(from_raw({"provider": [raw]}).tables))
    domains = (None, "example.com")
    return [
        thunderbird.write(it, Recipient(domain))
        for it in providers
        for domain in domains
    ]


def test_what_is_written_is_valid_by_the_grammar() -> None:
    for document in full_and_imported():
        GRAMMAR.assertValid(etree.fromstring(document))


@pytest.mark.world
def test_what_is_written_is_valid_by_the_drafts_grammar_too() -> None:
    drafts = grammar(shared("autoconfig-1.2.rng"))
    for document in full_and_imported():
        drafts.assertValid(etree.fromstring(document))


FAULTS = {
    "an element that nobody knows": ("</emailProvider>", "<future/></emailProvider>"),
    "an attribute that nobody knows": ('type="imap"', 'type="imap" version="2"'),
    "no domain": ("<domain>example.com</domain>", ""),
    "a second provider": (
        "</emailProvider>",
        '</emailProvider><emailProvider id="a"><domain>a.test</domain></emailProvider>',
    ),
    "a server without a port": ("<port>993</port>", ""),
    "a port that there is not": ("<port>993<", "<port>65536<"),
    "white space around a port": ("<port>993<", "<port> 993 <"),
    "white space around a host name": (">imap.example.com<", ">imap.example.com\n<"),
    "an encryption in small letters": (">SSL<", ">ssl<"),
    "a method that nobody knows": (">OAuth2<", ">XOAUTH2<"),
    "yes for true": (">true<", ">yes<"),
    "POP3 options of an IMAP server": ('type="pop3"', 'type="imap"'),
    "a URL that is none": (">https://jmap.example.com/<", ">jmap.example.com<"),
    "a text that is empty": (">Réglages<", "><"),
}


@pytest.mark.parametrize(("right", "wrong"), FAULTS.values(), ids=FAULTS.keys())
def test_the_grammar_finds_a_fault(right: str, wrong: str) -> None:
    document = thunderbird.write(only(loads(FULL)), Recipient("example.com")).decode()
    faulty = document.replace(right, wrong, 1)
    assert faulty != document
    assert not GRAMMAR.validate(etree.fromstring(faulty.encode()))


def test_the_whole_format_reads_back_as_it_was() -> None:
    provider = only(loads(FULL))
    back = read_back(thunderbird.write(provider))
    # What the format has no place for, and the pattern, which it cannot say.
    expected = structs.replace(
        provider,
        logo_url=None,
        list_domains=True,
        autodiscover_host=None,
        domains=("*",),
        page=None,
    )
    assert back == expected


def test_every_key_of_the_model_is_in_the_full_example() -> None:
    provider = only(loads(FULL))
    unset = [
        field.name
        for field in structs.fields(provider)
        if getattr(provider, field.name) in (None, ()) and field.name != "domains_file"
    ]
    assert unset == []


def test_a_document_is_one_declaration_and_indented_lines() -> None:
    document = thunderbird.write(only(loads(TWO_DOMAINS)))
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<clientConfig')
    assert b"\n      <hostname>imap.example.com</hostname>\n" in document
    assert document.endswith(b"</clientConfig>\n")
    assert document.count(b"<?xml") == 1


def test_there_is_exactly_one_email_provider() -> None:
    assert len(parsed(FULL).findall("emailProvider")) == 1


def test_a_server_has_no_attribute_but_its_type() -> None:
    for tag in ("incomingServer", "outgoingServer"):
        for server in parsed(FULL).iter(tag):
            assert set(server.attrib) == {"type"}


def test_every_tcp_server_says_its_encryption_and_port() -> None:
    for server in parsed(FULL).iter("incomingServer"):
        tcp = server.find("hostname") is not None
        assert (server.find("socketType") is not None) == tcp
        assert (server.find("port") is not None) == tcp


def test_no_value_has_white_space_around_it() -> None:
    for element in parsed(FULL).iter():
        if not len(element) and element.text:
            assert element.text == element.text.strip()


def test_the_domain_is_written_out_and_the_rest_stays_for_the_client() -> None:
    text = thunderbird.write(
        only(loads(FULL)), Recipient("sub.example.net", exact=False)
    ).decode()
    assert "<hostname>imap.sub.example.net</hostname>" in text
    assert "%EMAILDOMAIN%" not in text
    assert "<username>%EMAILADDRESS%</username>" in text
    assert "<username>%EMAILLOCALPART%</username>" in text


def test_methods_stand_in_their_order() -> None:
    server = parsed(FULL).find("emailProvider/incomingServer")
    assert server is not None
    methods = [(it.get("system"), it.text) for it in server.findall("authentication")]
    assert methods == [
        (None, "OAuth2"),
        ("sasl", "SCRAM-SHA-256"),
        (None, "password-cleartext"),
    ]


def test_an_address_book_is_there_in_the_words_of_both_versions() -> None:
    root = parsed(FULL)
    old, new = root.find("addressBook"), root.find("addressbook")
    assert old is not None
    assert new is not None
    url = "https://dav.example.com/contacts/"
    assert old.findtext("serverURL") == new.findtext("url") == url
    assert old.findtext("authentication") == "http-basic"
    # In the order of 1.1, 1.2 and Mustang, which drops a server of the first two alone.
    methods = [(it.get("system"), it.text) for it in new.findall("authentication")]
    assert methods == [
        (None, "http-basic"),
        ("http", "Basic"),
        (None, "password-cleartext"),
    ]


def test_instructions_without_a_page_are_words_alone() -> None:
    found = parsed(FULL).findall("emailProvider/instruction")
    assert [it.get("url") for it in found] == ["https://example.com/first", None, None]
    assert (found[1].text, found[1].get("lang")) == ("Call us", "en")


def test_a_server_without_login_has_no_user_name() -> None:
    relay = parsed(FULL).findall("emailProvider/outgoingServer")[1]
    assert relay.find("username") is None


def config(body: str, rest: str = "") -> bytes:
    return (
        '<clientConfig version="1.1"><emailProvider id="example.com">'
        "<domain>example.com</domain>"
        '<incomingServer type="imap"><hostname>imap.example.com</hostname>'
        "<port>993</port><socketType>SSL</socketType>"
        "<authentication>password-cleartext</authentication>"
        "<username>%EMAILADDRESS%</username></incomingServer>"
        '<outgoingServer type="smtp"><hostname>smtp.example.com</hostname>'
        "<port>465</port><socketType>SSL</socketType>"
        "<authentication>password-cleartext</authentication>"
        "<username>%EMAILADDRESS%</username></outgoingServer>"
        f"{body}</emailProvider>{rest}</clientConfig>"
    ).encode()


def read(document: bytes) -> tuple[Provider, list[str]]:
    reader = Reader()
    raw = reader.read(document)
    return only(from_raw({"provider": [raw]}).tables), reader.lost


def test_things_one_level_off_are_read_all_the_same() -> None:
    enable = '<enable visiturl="https://e.test/"><instruction>Do</instruction></enable>'
    mail = '<webMail><loginPage url="https://w.test/"/></webMail>'
    provider, lost = read(config(mail, enable))
    assert provider.enable is not None
    assert provider.enable.instruction == {"": "Do"}
    assert provider.webmail is not None
    assert lost == []


def test_the_draft_and_the_older_version_are_read_as_one() -> None:
    rest = (
        '<addressBook type="carddav"><serverURL>https://a.test/</serverURL>'
        "<authentication>http-basic</authentication></addressBook>"
        '<addressbook type="carddav"><url>https://b.test/</url>'
        '<authentication system="http">Basic</authentication></addressbook>'
    )
    provider, lost = read(config("", rest))
    assert [it.url for it in provider.address_book] == [
        "https://b.test/",
        "https://a.test/",
    ]
    # Over HTTP that is how a password is sent as it is.
    methods = {it.authentication for it in provider.address_book}
    assert methods == {("password-cleartext",)}
    assert lost == []


def test_the_words_of_old_files_are_understood() -> None:
    document = config("").replace(b"password-cleartext", b"plain", 1)
    provider, _ = read(document.replace(b"password-cleartext", b"secure"))
    assert provider.incoming[0].authentication == ("password-cleartext",)
    assert provider.outgoing[0].authentication == ("password-encrypted",)


def test_a_restriction_in_an_element_of_its_own_is_read() -> None:
    restriction = b"<restriction><clientIPAddress/></restriction></outgoingServer>"
    provider, _ = read(config("").replace(b"</outgoingServer>", restriction))
    assert provider.outgoing[0].restriction == "client-IP-address"


def test_what_the_format_does_not_know_is_named() -> None:
    body = "<displayNameShort>x</displayNameShort><inputField key='a'/>"
    _, lost = read(config(body, "<future/>"))
    assert [sentence.partition(" ")[0] for sentence in lost] == [
        "<displayNameShort>",
        "<inputField>",
        "<future>",
    ]


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('type="smtp">', 'type="smtp" weight="1">', "weight of <outgoingServer>"),
        ("<hostname>imap", '<hostname note="x">imap', "note of <hostname>"),
        ("<domain>", '<domain since="2020">', "since of <domain>"),
        ('version="1.1"', 'version="1.1" a="b"', "a of <clientConfig>"),
        ('id="example.com"', 'id="example.com" rev="2"', "rev of <emailProvider>"),
        ("<authentication>", '<authentication ssl="1">', "ssl of <authentication>"),
    ],
)
def test_an_attribute_that_the_format_does_not_know_is_named(
    old: str, new: str, named: str
) -> None:
    document = config("").replace(old.encode(), new.encode(), 1)
    _, lost = read(document)
    why = "is left out: the format has no such attribute there"
    assert lost == [f"the attribute {named} {why}"]


def test_the_attributes_that_the_format_knows_are_no_loss() -> None:
    body = (
        '<documentation url="https://e.test/"><descr lang="en">x</descr></documentation>'
        '<instruction lang="de">Tu es</instruction><domain purpose="mx">m.test</domain>'
        '<enable visiturl="https://e.test/"><instruction lang="en">y</instruction></enable>'
    )
    rest = '<clientConfigUpdate url="https://u.test/"/>'
    document = config(body, rest).replace(
        b"<authentication>password-cleartext",
        b'<authentication system="sasl">SCRAM-SHA-256',
        1,
    )
    assert read(document)[1] == []


def test_a_domain_of_mx_hosts_is_listed_both_ways_and_read_back_as_what_it_is() -> None:
    text = TWO_DOMAINS.replace(
        "domains =", 'display_name = "Example"\nmx_domains = {}\ndomains ='
    )
    for mx in (["mx.example"], ["example.com", "mx.example"]):
        config = loads(text.replace("{}", str(mx).replace("'", '"')))
        document = thunderbird.write(config.provider[0])
        for name in mx:
            plain = f"<domain>{name}</domain>".encode()
            assert document.count(plain) == 1
            assert f'<domain purpose="mx">{name}</domain>'.encode() in document
        provider, lost = read(document)
        assert lost == []
        assert provider == config.provider[0]


def test_what_is_lost_is_told_once() -> None:
    document = config("").replace(b"password-cleartext", b"carrier-pigeon", 1)
    _, lost = read(document)
    assert lost == [
        "<authentication> is left out: no client knows the method carrier-pigeon"
    ]


def test_a_server_of_a_type_that_nobody_knows_is_named_and_left_out() -> None:
    body = '<incomingServer type="nntp"><hostname>n.test</hostname></incomingServer>'
    provider, lost = read(config(body))
    assert len(provider.incoming) == 1
    assert lost == ['<incomingServer type="nntp"> is left out: its type is not known']


def test_what_a_server_does_not_say_is_named_with_what_is_served_for_it() -> None:
    document = config("").replace(b"<socketType>SSL</socketType>", b"", 1)
    provider, lost = read(document)
    assert provider.incoming[0].socket_type == "SSL"
    assert lost == ['<incomingServer type="imap"> has no <socketType>: SSL is served']


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "not XML"),
        (b"<html></html>", "no <clientConfig>"),
        (b"<clientConfig/>", "no <clientConfig> with an <emailProvider>"),
        (b"\xff\xfe\xff", "not XML"),
        (b'<!DOCTYPE a SYSTEM "x"><clientConfig/>', "DTD or entities"),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "DTD or entities"),
        (b'<?xml version="1.0" encoding="nowhere"?><a/>', "not XML"),
    ],
)
def test_what_is_no_such_document_is_refused(document: bytes, why: str) -> None:
    with pytest.raises(NotAutoconfigError, match=why):
        Reader().read(document)
