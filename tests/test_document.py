"""config-v1.1.xml, written and read, and files like those of the ISP database."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from lxml import etree
from msgspec import Struct, structs
from services import run
from support import FULL, ISP, ISP_FILES, MODEL, TWO_DOMAINS, Write, loads, rows, shared

from flask_autoconfig.config.reading import from_raw
from flask_autoconfig.config.tables import Config, Provider
from flask_autoconfig.documents import Recipient, thunderbird
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader


def only(config: Config) -> Provider:
    (provider,) = config.provider
    return provider


def parsed(text: str, domain: str | None = None) -> ET.Element:
    return ET.fromstring(  # noqa: S314 (our own document)
        thunderbird.write(only(loads(text)), Recipient(domain))
    )


def read(document: bytes) -> tuple[Provider, list[str]]:
    """Return the provider of a document, and what is lost of it."""
    reader = Reader()
    raw = reader.read(document)
    return only(from_raw({"provider": [raw]}).tables), reader.lost


IN_WORLD = pytest.param(True, marks=pytest.mark.world)
GRAMMAR = Path(__file__).parent / "config-v1.1.rng"


@pytest.mark.parametrize("of_the_draft", [False, IN_WORLD])
def test_what_is_written_is_valid_by_the_grammar(of_the_draft: bool) -> None:
    file = shared("autoconfig-1.2.rng") if of_the_draft else GRAMMAR
    grammar = etree.RelaxNG(etree.parse(file))
    imported = (read(file.read_bytes())[0] for file in ISP_FILES)
    for provider in (only(loads(FULL)), *imported):
        for domain in (None, "example.com"):
            document = thunderbird.write(provider, Recipient(domain))
            grammar.assertValid(etree.fromstring(document))


@rows("faults", "right, wrong", "tables.toml")
def test_the_grammar_finds_a_fault(right: str, wrong: str) -> None:
    document = thunderbird.write(only(loads(FULL)), Recipient("example.com")).decode()
    faulty = document.replace(right, wrong, 1)
    assert faulty != document
    grammar = etree.RelaxNG(etree.parse(GRAMMAR))
    assert not grammar.validate(etree.fromstring(faulty.encode()))


def test_the_whole_format_reads_back_as_it_was() -> None:
    provider = only(loads(FULL))
    back, left_out = read(thunderbird.write(provider))
    assert left_out == []
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


def _given(value: object) -> Iterator[tuple[str, str]]:
    """Yield each key of the tables in a value whose value is not the default."""
    if isinstance(value, Struct):
        for field in structs.fields(value):
            found = getattr(value, field.name)
            if found != field.default:
                yield type(value).__name__, field.name
            yield from _given(found)
    elif isinstance(value, tuple):
        for item in value:
            yield from _given(item)


def test_every_key_of_the_model_is_in_the_full_example() -> None:
    known = {(s.__name__, field.name) for s in MODEL for field in structs.fields(s)}
    missing = known - set(_given(loads(FULL)))
    assert {key for key in missing if key[0] not in ("Sign", "ProviderPage")} == {
        *(("Config", "clients"), ("Config", "sign"), ("Provider", "domains_file")),
        ("Outgoing", "url"),  # mail is sent by SMTP
    }


def test_a_document_is_one_declaration_and_indented_lines() -> None:
    document = thunderbird.write(only(loads(TWO_DOMAINS)))
    assert document.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<clientConfig')
    assert b"\n      <hostname>imap.example.com</hostname>\n" in document
    assert document.endswith(b"</clientConfig>\n")
    assert document.count(b"<?xml") == 1


def test_the_domain_is_written_out_and_the_rest_stays_for_the_client() -> None:
    recipient = Recipient("sub.example.net", exact=False)
    text = thunderbird.write(only(loads(FULL)), recipient).decode()
    assert "<hostname>imap.sub.example.net</hostname>" in text
    assert "%EMAILDOMAIN%" not in text
    assert "<username>%EMAILADDRESS%</username>" in text
    assert "<username>%EMAILLOCALPART%</username>" in text


def test_an_address_book_is_there_in_the_words_of_both_versions() -> None:
    root = parsed(FULL)
    old, new = root.find("addressBook"), root.find("addressbook")
    assert old is not None
    assert new is not None
    url = "https://dav.example.com/contacts/"
    assert old.findtext("serverURL") == new.findtext("url") == url
    assert old.findtext("authentication") == "http-basic"
    # In the order of 1.1, 1.2 and Mustang, which drops a server of the first two alone.
    methods = [(m.get("system"), m.text) for m in new.findall("authentication")]
    assert methods == [
        (None, "http-basic"),
        ("http", "Basic"),
        (None, "password-cleartext"),
    ]


def test_instructions_without_a_page_are_words_alone() -> None:
    found = parsed(FULL).findall("emailProvider/instruction")
    assert [e.get("url") for e in found] == ["https://example.com/first", None, None]
    assert (found[1].text, found[1].get("lang")) == ("Call us", "en")


_SERVER = (
    "<hostname>{0}.example.com</hostname><port>{1}</port>"
    "<socketType>SSL</socketType><username>%EMAILADDRESS%</username>"
    "<authentication>password-cleartext</authentication>"
)
USUAL = (
    '<clientConfig version="1.1"><emailProvider id="example.com">'
    "<domain>example.com</domain>"
    f'<incomingServer type="imap">{_SERVER.format("imap", 993)}</incomingServer>'
    f'<outgoingServer type="smtp">{_SERVER.format("smtp", 465)}</outgoingServer>'
    "</emailProvider></clientConfig>"
)


@rows("others", "old, new, place, meant", "tables.toml")
def test_other_versions_and_things_one_level_off_are_read(
    old: str, new: str, place: str, meant: object
) -> None:
    value: Any
    value, left_out = read(USUAL.replace(old, new).encode())
    for part in place.split("."):
        value = value[int(part)] if part.isdigit() else getattr(value, part)
    assert (list(value) if isinstance(value, tuple) else value) == meant
    assert left_out == []


@rows("lost", "old, new, named", "tables.toml")
def test_what_is_lost_is_named_once(old: str, new: str, named: str) -> None:
    _, (place,) = read(USUAL.replace(old, new, 1).encode())
    assert named in place


def test_a_domain_of_mx_hosts_is_listed_both_ways_and_read_back_as_what_it_is() -> None:
    keys = 'display_name = "Example"\nmx_domains = {}\ndomains ='
    text = TWO_DOMAINS.replace("domains =", keys)
    for mx in (["mx.example"], ["example.com", "mx.example"]):
        config = loads(text.replace("{}", str(mx).replace("'", '"')))
        document = thunderbird.write(config.provider[0])
        for name in mx:
            plain = f"<domain>{name}</domain>".encode()
            assert document.count(plain) == 1
            assert f'<domain purpose="mx">{name}</domain>'.encode() in document
        provider, left_out = read(document)
        assert left_out == []
        assert provider == config.provider[0]


@rows("refused", "text, why", "tables.toml")
def test_what_is_no_such_document_is_refused(text: str, why: str) -> None:
    with pytest.raises(NotAutoconfigError, match=why):
        Reader().read(text.encode("latin-1"))


# --- Files like those of the ISP database -------------------------------------------------


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
    assert expected <= {
        path for file in ISP_FILES for path in _paths(etree.parse(file).getroot())
    }


def test_import_loses_only_a_misspelt_element_and_leaves_defaults_out() -> None:
    result = run("import", *ISP_FILES, code=0)
    assert len(loads(result.stdout).provider) == len(ISP_FILES)
    assert "993" not in result.stdout
    assert 'password-cleartext"\nport' not in result.stdout
    assert result.stderr.rstrip().endswith(
        ": <displayNameShort> is left out: the format has no such element"
    )
    assert result.stderr.count("left out") == 1


def test_an_unfinished_placeholder_is_reported(toml: Write) -> None:
    file = toml(run("import", ISP / "slips.test.xml").stdout)
    result = run("--config", file, "validate", code=0)
    place = "incoming[1].username (slips.test): Every client: %EMAILADDRESS without"
    assert place in result.stdout


@pytest.mark.parametrize("file", ISP_FILES, ids=lambda file: file.stem)
def test_a_file_that_is_read_and_written_reads_the_same(file: Path) -> None:
    provider, _ = read(file.read_bytes())
    assert read(thunderbird.write(provider)) == (provider, [])


@rows("invalid_urls", "element, before, left_out", "imports.toml")
def test_only_an_invalid_url_is_left_out(
    tmp_path: Path, element: str, before: str, left_out: list[str]
) -> None:
    original = ISP / "diary.test.xml"
    file = tmp_path / "odd.xml"
    text = original.read_text(encoding="utf-8")
    file.write_text(text.replace(before, element + before, 1), encoding="utf-8")
    result = run("import", file, code=0)
    lines = [line.partition("odd.xml: ")[2] for line in result.stderr.splitlines()]
    places = [line.partition(" is left out")[0] for line in lines if line[0] != "<"]
    assert places == left_out
    assert loads(result.stdout)
    expected = run("import", original).stdout.splitlines()
    assert set(expected) <= set(result.stdout.splitlines())
