"""The time to read a configuration and to report its problems grows linearly.

The author of one brand's file must not be able to block the service for all others.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from linear import TOKENS, assert_linear
from support import TWO_DOMAINS, fetch, serving, until

from flask_autoconfig import ConfigError
from flask_autoconfig.address import Address
from flask_autoconfig.config import reading
from flask_autoconfig.config.listing import read_listing
from flask_autoconfig.config.logo import MOST_BYTES as LARGEST_LOGO
from flask_autoconfig.config.logo import UnusableLogoError, read_logo
from flask_autoconfig.config.mapping import plain
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.tools.cli import cli
from flask_autoconfig.tools.clients import CLIENTS
from flask_autoconfig.tools.reading import read as read_by

# Characters that a basic string of TOML must escape.
_ESCAPES = {code: f"\\u{code:04X}" for code in (*range(0x20), 0x22, 0x5C, 0x7F)}

# Where a text may be in a file: @ is the text as it is, $ the text as a string.
PLACES = {
    "whole file": "@",
    "line": TWO_DOMAINS + "@\n",
    "key": TWO_DOMAINS + '@ = "x"\n',
    "key of an unknown table": TWO_DOMAINS + "x = {'@' = 'x'}\n",
    "heading": f"[@]\nx = 1\n{TWO_DOMAINS}",
    "heading of a list": f"[[@]]\nx = 1\n{TWO_DOMAINS}",
    "open heading": f"[provider @\n{TWO_DOMAINS}",
    "heading twice": f"x = '''\n[@\n'''\n[x]\n{TWO_DOMAINS}",
    "key twice": f"x = 1\n#@\nx = 2\n{TWO_DOMAINS}",
    "value": TWO_DOMAINS + "x = @\n",
    "value behind a key": TWO_DOMAINS + "hostname @\n",
    "secret": TWO_DOMAINS + "password = @\npassword @\n",
    "list": "x = [@\n" + TWO_DOMAINS,
    "list of texts": "x = ['@'\n" + TWO_DOMAINS,
    "inline table": "x = {@\n" + TWO_DOMAINS,
    "basic string": 'x = "@\n' + TWO_DOMAINS,
    "literal string": "x = '@\n" + TWO_DOMAINS,
    "long string": 'x = """@\n' + TWO_DOMAINS,
    "long literal string": "x = '''@\n" + TWO_DOMAINS,
    "comment": f"# @\n{TWO_DOMAINS}",
}
# The values of a provider that are texts, or ought to be something else.
VALUES = {
    "text": "display_name = $",
    "id": "id = $",
    "domain": "domains = [$]",
    "domains": "domains = $",
    "domain of an MX host": "mx_domains = [$]",
    "file of domains": "domains_file = $",
    "enum": "incoming = [{type = $, socket_type = $, authentication = $}]",
    "host": 'incoming = [{type = "imap", hostname = $}]',
    "number": 'incoming = [{type = "imap", port = $}]',
    "true or false": "list_domains = $",
    "user": 'incoming = [{type = "imap", username = $}]',
    "other names": "incoming = [{protocol = $, server = $, ssl = $, user = $, ttl = $}]",
    "URL": "documentation = [{url = $}]",
    "URL with a host": "documentation = [{url = 'https://$/'}]",
    "URL with a path": "documentation = [{url = 'https://example.com/$'}]",
    "descriptions": "documentation = [{url = 'https://example.com', descr = {en = $}}]",
    "language": "page = {intro = {$ = 'x'}}",
    "words": "page = {intro = {en = $}, contact = {name = $, hours = $}}",
    "colour": "page = {colour = $}",
    "telephone number": "page = {contact = {phone = $}}",
    "address": "page = {contact = {email = $}}",
    "logo": "page = {logo = $}",
    "programs": "page = {programs = [$]}",
    "include": "include = [$]",
    "clients": "clients = [$]",
    "client's secret": "oauth2 = {client_secret = $, scope = $}",
}

FAULTY = "x = 1\n'@' = '@'\n[[provider]]\ndomains = ['@']\nhost = '@'\n"


def filled(template: str, text: str) -> str:
    string = f'"{text.translate(_ESCAPES)}"'
    return re.sub("[@$]", lambda it: text if it[0] == "@" else string, template)


def put_in(raw: Any, text: str) -> Any:
    """Return a raw document with a text for each $ in it."""
    if isinstance(raw, dict):
        return {put_in(key, text): put_in(it, text) for key, it in raw.items()}
    if isinstance(raw, list):
        return [put_in(it, text) for it in raw]
    return raw.replace("$", text) if isinstance(raw, str) else raw


def assert_all_linear(call: Callable[[str], object], *more: str) -> None:
    for token in (*TOKENS, *more):
        assert_linear(call, token, ends=("", "x"), unnoticed=0.2)


def explained(text: str) -> None:
    """Read a TOML text, and report all its problems."""
    try:
        reading.loads(text)
    except ConfigError as error:
        str(error)
        error.shown()


def explained_raw(raw: dict[str, Any]) -> None:
    try:
        reading.from_raw(plain(raw))
    except ConfigError as error:
        error.shown()


# Each place with a few tokens. All of them take minutes, and are in the tier `world`.
@pytest.mark.parametrize(
    ("number", "template"),
    [*enumerate([*PLACES.values(), *VALUES.values()])],
    ids=[*PLACES, *VALUES],
)
def test_some_texts_anywhere_in_a_file(number: int, template: str) -> None:
    is_value = template in VALUES.values()
    if is_value and not template.startswith(("include", "clients")):
        template = f"[[provider]]\n{template}\n"
    for token in TOKENS[number % 16 :: 16]:
        assert_linear(lambda text: explained(filled(template, text)), token)


@pytest.mark.world
@pytest.mark.parametrize("template", PLACES.values(), ids=PLACES)
def test_a_text_anywhere_in_a_file(template: str) -> None:
    assert_all_linear(lambda text: explained(filled(template, text)))


@pytest.mark.world
@pytest.mark.parametrize("template", VALUES.values(), ids=VALUES)
def test_a_text_as_a_value(template: str) -> None:
    top = "" if template.startswith(("include", "clients")) else "[[provider]]\n"
    raw = tomllib.loads(top + re.sub(r"(?<![/'])\$", "'$'", template))
    assert_all_linear(lambda text: explained_raw(put_in(raw, text)))
    # White space at the start of a value may be removed before it is validated.
    assert_all_linear(lambda text: explained_raw(put_in(raw, f"x{text}")))


@pytest.mark.world
def test_a_text_in_a_mapping() -> None:
    raw: dict[str, Any] = {"$": "$", "$x": [{"$": 1}, "$"] * 2}
    assert_all_linear(lambda text: explained_raw(put_in(raw, text)))


@pytest.mark.world
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["words", "JSON"])
def test_the_output_of_validate(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    runner = CliRunner()

    def validate(text: str) -> None:
        file.write_text(filled(FAULTY, text), "utf-8", "replace", newline="")
        result = runner.invoke(cli, ["--config", str(file), "validate", *arguments])
        assert result.exit_code in (0, 1), result.output

    for token in TOKENS:
        assert_linear(validate, token, ends=["x"], unnoticed=0.2)


@pytest.mark.world
def test_a_domains_file(tmp_path: Path) -> None:
    file = tmp_path / "domains.txt"

    def read(text: str) -> None:
        file.write_text(text, "utf-8", "replace", newline="")
        read_listing(file)

    assert_all_linear(read)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" {0}>{1}</svg>'
STYLES = ("url(", "url( ", "expression ", "image-set ", "@import ", "\\")


@pytest.mark.world
@pytest.mark.parametrize(
    "template",
    ["@", SVG.format("", "@"), SVG.format('style="url(@"', "<style>url(@</style>")],
    ids=["file", "element", "style"],
)
def test_a_logo(template: str, tmp_path: Path) -> None:
    file = tmp_path / "logo.svg"

    def read(text: str) -> None:
        data = template.replace("@", text).encode("utf-8", "replace")
        file.write_bytes(data[:LARGEST_LOGO])
        with suppress(UnusableLogoError):
            read_logo(file)

    assert_all_linear(read, *STYLES)


DOCUMENT = (
    '<clientConfig version="1.1"><emailProvider id="{0}"><domain>{0}</domain>'
    "<displayName>{0}</displayName><incomingServer type='imap'>"
    "<hostname>{0}</hostname><port>{0}</port><username>{0}</username>"
    '<authentication system="{0}">{0}</authentication></incomingServer>{1}'
    '<documentation url="{0}"><descr lang="{0}">{0}</descr></documentation>'
    "</emailProvider></clientConfig>"
)


@pytest.mark.world
@pytest.mark.parametrize(
    "template",
    ["@", DOCUMENT.format("a.test", "@"), DOCUMENT.format("$", "")],
    ids=["file", "element", "values"],
)
def test_a_document_to_import(template: str) -> None:
    def read(text: str) -> None:
        places = {"@": text, "$": escape(text)}
        value = re.sub("[@$]", lambda it: places[it[0]], template)
        data = value.encode("utf-8", "replace")
        with suppress(NotAutoconfigError, ConfigError):
            reading.from_raw({"provider": [Reader().read(data)]})
            for client in CLIENTS:
                read_by(data, client.rules, Address("fred", "a.test"))

    assert_all_linear(read, "<a/>", "<emailProvider/>", '<domain purpose="mx"/>')


def server(number: int) -> str:
    return f'[[provider.incoming]]\ntype = "imap{number}"\nhost = "a{number}.test"\n'


# Many items of one kind, by number.
MANY: dict[str, Callable[[int], str]] = {
    "unknown keys": "hostnam{0} = 1\n".format,
    "unknown tables": "[hostnam{0}]\n".format,
    "unknown keys of a provider": "[[provider]]\ndomain{0} = 1\n".format,
    "faulty servers": lambda number: (
        ("" if number else "[[provider]]\n") + server(number)
    ),
    "providers without anything": lambda _: "[[provider]]\n",
    "providers of one domain": lambda _: '[[provider]]\ndomains = ["a.test"]\n',
    "patterns without a file": lambda number: (
        "include = [\n" * (not number) + f'"{number}.toml",\n'
    ),
    "faulty domains": lambda number: (
        '[[provider]]\ndomains = ["b",\n' * (not number) + f'"a@{number}",\n'
    ),
    "lists in tables": lambda number: "x = [" + "{y=[" * number,
    "keys below a deep heading": lambda number: (
        f"k{number} = 1\n" if number else "[" + "a." * 31 + "a]\n"
    ),
    "deep keys": lambda number: "a." * 31 + f"k{number} = 1\n",
    "inline tables of deep keys": lambda number: (
        "x = {" * (not number) + "a." * 31 + f"k{number} = 1,"
    ),
}


@pytest.mark.parametrize("one", MANY.values(), ids=MANY)
def test_many_of_one_kind(one: Callable[[int], str]) -> None:
    def explain(text: str) -> None:
        parts: list[str] = []
        size = 0
        while size < len(text):
            parts.append(one(len(parts)))
            size += len(parts[-1])
        explained("".join(parts))

    assert_linear(explain, " ", ends=[""], unnoticed=0.2)


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 100_000, "x = " + "{a=" * 100_000, "x = " + "[{a=" * 100_000],
    ids=["lists", "tables", "both"],
)
def test_deep_nesting_is_reported(text: str) -> None:
    with pytest.raises(ConfigError, match="nested too deep"):
        reading.loads(text)


def test_a_pattern_with_very_many_folders_is_reported() -> None:
    with pytest.raises(ConfigError, match="more than 255"):
        reading.loads(f'include = ["{"*/" * 999}a"]')


def test_a_user_name_with_null_characters_is_reported() -> None:
    with pytest.raises(ConfigError, match="there is no key"):
        reading.from_raw({"provider": [{"incoming": [{"user": "{0}\x007\0"}]}]})


def test_a_hostile_file_of_one_brand_leaves_the_service_up(tmp_path: Path) -> None:
    main, brand = tmp_path / "autoconfig.toml", tmp_path / "brand.toml"
    main.write_text(f'include = ["brand.toml"]\n{TWO_DOMAINS}')
    valid = TWO_DOMAINS.replace("example", "brand")
    brand.write_text(valid)
    log = tmp_path / "log"
    with serving(main, "--workers", "2", log=log) as url:

        def serves(host: str) -> bool:
            path = "/mail/config-v1.1.xml?emailaddress=a@brand.com"
            return host.encode() in fetch(url + path).body

        assert serves("imap.brand.com")
        for text in (" " * 4000, "-", "a.", "[provider "):
            reported = log.read_text().count("1 problem")
            brand.write_text(f"[{text * (256 * 1024 // len(text))}x")
            until(partial(_has_more, log, "1 problem", reported), seconds=5)
            assert serves("brand.com")
        brand.write_text(valid.replace("imap.", "mail."))
        until(lambda: serves("mail.brand.com"), seconds=5)


def _has_more(log: Path, words: str, count: int) -> bool:
    return log.read_text().count(words) > count
