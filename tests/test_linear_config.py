"""The time to read a configuration, and to say what is wrong in it, grows linearly.

Whoever may write one brand's file must not hold up the service for all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from linear import TOKENS, assert_linear
from support import TWO_DOMAINS, fetch, serving, until

from flask_autoconfig import ConfigError
from flask_autoconfig.config import reading
from flask_autoconfig.config.listing import read_listing
from flask_autoconfig.config.logo import MOST_BYTES as LARGEST_LOGO
from flask_autoconfig.config.logo import UnusableLogoError, read_logo
from flask_autoconfig.config.mapping import plain
from flask_autoconfig.documents.thunderbird_reader import NotAutoconfigError, Reader
from flask_autoconfig.tools import written
from flask_autoconfig.tools.cli import cli

# Characters that no basic string of TOML holds as they are.
_ESCAPES = {code: f"\\u{code:04X}" for code in (*range(0x20), 0x22, 0x5C, 0x7F)}

# Where a text may stand in a file: @ is the text as it is, $ the same as a string.
PLACES = {
    "whole file": "@",
    "line": TWO_DOMAINS + "@\n",
    "key": TWO_DOMAINS + '@ = "x"\n',
    "key in quotes": TWO_DOMAINS + '$ = "x"\n',
    "key of an unknown table": TWO_DOMAINS + 'x = {$ = "x"}\n',
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
# The keys of a provider whose values are texts, or should be something else.
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
    "URL with a host": "documentation = [{url = 'https://@/'}]",
    "URL with a path": "documentation = [{url = 'https://example.com/@'}]",
    "descriptions": "documentation = [{url = 'https://example.com', descr = {en = $}}]",
    "language": "page = {intro = {$ = 'x'}}",
    "words": "page = {intro = {en = $}, contact = {name = $, hours = $}}",
    "colour": "page = {colour = $}",
    "telephone number": "page = {contact = {phone = $}}",
    "address": "page = {contact = {email = $}}",
    "logo": "page = {logo = $}",
    "programs": "page = {programs = [$]}",
    "client's secret": "oauth2 = {client_secret = $, scope = $}",
}
TOP = {"include": "include = [$]", "clients": "clients = [$]"}

EVERYWHERE = (
    "x = 1\n$ = $\n[[provider]]\n"
    + "\n".join(VALUES[key] for key in ("text", "domain", "enum", "URL", "colour"))
    + "\n[[provider]]\nusername = @"
)


def filled(template: str, text: str) -> str:
    string = f'"{text.translate(_ESCAPES)}"'
    return template.replace("@", text).replace("$", string)


def explained(text: str) -> None:
    """Read a TOML text, and say all that is wrong with it."""
    try:
        reading.loads(text)
    except ConfigError as error:
        str(error)
        error.shown()


def raw_of(text: str) -> Iterator[dict[str, Any]]:
    """Mappings as an app's configuration has them, with a text in every place."""
    yield {text: text}
    yield {text: [{text: 1}] * 10, "provider": [{"domains": [text, 1], text: text}]}
    yield {"provider": [{"domains": ["example.com"], "incoming": [{"type": text}]}]}


# Each place with a few tokens, so that each token is in a few places; the product of all
# takes minutes.
@pytest.mark.parametrize(
    ("number", "template"),
    [*enumerate([*PLACES.values(), *VALUES.values(), *TOP.values()])],
    ids=[*PLACES, *VALUES, *TOP],
)
def test_a_few_texts_anywhere_in_a_file(number: int, template: str) -> None:
    if template in VALUES.values():
        template = f"[[provider]]\n{template}\n"
    for token in TOKENS[number % 16 :: 16]:
        assert_linear(lambda text: explained(filled(template, text)), token)


@pytest.mark.world
@pytest.mark.parametrize("template", PLACES.values(), ids=PLACES)
def test_a_text_anywhere_in_a_file(template: str) -> None:
    for token in TOKENS:
        assert_linear(lambda text: explained(filled(template, text)), token)


@pytest.mark.world
@pytest.mark.parametrize("template", VALUES.values(), ids=VALUES)
def test_a_text_as_a_value_of_a_provider(template: str) -> None:
    rest = '[[provider]]\ndomains = ["example.net"]\n'
    for token in TOKENS:
        assert_linear(
            lambda text: explained(f"[[provider]]\n{filled(template, text)}\n{rest}"),
            token,
        )


@pytest.mark.world
@pytest.mark.parametrize("template", TOP.values(), ids=TOP)
def test_a_text_as_a_value_for_all_providers(template: str) -> None:
    for token in TOKENS:
        assert_linear(lambda text: explained(filled(template, text)), token)


@pytest.mark.world
def test_a_text_in_a_mapping() -> None:
    def explain(text: str) -> None:
        for raw in raw_of(text):
            try:
                reading.from_raw(raw)
            except ConfigError as error:
                error.shown()

    for token in TOKENS:
        assert_linear(lambda text: [plain(raw) for raw in raw_of(text)], token)
        assert_linear(explain, token)


@pytest.mark.world
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["words", "JSON"])
def test_what_validate_says(arguments: list[str], tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    runner = CliRunner()

    def validate(text: str) -> None:
        file.write_text(filled(EVERYWHERE, text), "utf-8", "replace", newline="")
        result = runner.invoke(cli, ["--config", str(file), "validate", *arguments])
        assert result.exit_code in (0, 1), result.output

    for token in TOKENS:
        assert_linear(validate, token)


def test_a_domains_file(tmp_path: Path) -> None:
    file = tmp_path / "domains.txt"

    def read(text: str) -> None:
        file.write_text(text, "utf-8", "replace", newline="")
        read_listing(file)

    for token in TOKENS:
        assert_linear(read, token)


SVG = '<svg xmlns="http://www.w3.org/2000/svg" {0}>{1}</svg>'
STYLES = ("url(", "url( ", "expression ", "image-set ", "@import ", "\\")


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

    for token in (*TOKENS, *STYLES):
        assert_linear(read, token)


DOCUMENT = (
    '<clientConfig version="1.1"><emailProvider id="{0}"><domain>{0}</domain>'
    "<displayName>{0}</displayName><incomingServer type='imap'>"
    "<hostname>{0}</hostname><port>{0}</port><username>{0}</username>"
    '<authentication system="{0}">{0}</authentication></incomingServer>{1}'
    '<documentation url="{0}"><descr lang="{0}">{0}</descr></documentation>'
    "</emailProvider></clientConfig>"
)


@pytest.mark.parametrize(
    "template",
    ["@", DOCUMENT.format("a.test", "@"), DOCUMENT.format("$", "")],
    ids=["file", "element", "values"],
)
def test_a_document_to_import(template: str) -> None:
    def read(text: str) -> None:
        value = template.replace("$", escape(text, quote=True)).replace("@", text)
        data = value.encode("utf-8", "replace")
        with suppress(NotAutoconfigError, ConfigError):
            reading.from_raw({"provider": [Reader().read(data)]})
            written.document_warnings(data)

    for token in (*TOKENS, "<a/>", "<emailProvider/>", '<domain purpose="mx"/>'):
        assert_linear(read, token)


def server(number: int) -> str:
    return f'[[provider.incoming]]\ntype = "imap{number}"\nhost = "a{number}.test"\n'


# Many of something, by its number.
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

    assert_linear(explain, " ")


@pytest.mark.parametrize(
    "text",
    ["x = " + "[" * 100_000, "x = " + "{a=" * 100_000, "x = " + "[{a=" * 100_000],
    ids=["lists", "tables", "both"],
)
def test_what_is_nested_too_deeply_is_a_problem_with_words(text: str) -> None:
    with pytest.raises(ConfigError, match="nested too deep"):
        reading.loads(text)


@pytest.mark.parametrize("text", ["a." * 50 + "b = 1", "[" + "'a' . " * 50 + "b]"])
def test_a_key_of_too_many_parts_is_a_problem_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        reading.loads(f"{TWO_DOMAINS}{text}\n")
    (problem,) = caught.value.problems
    assert problem.line == TWO_DOMAINS.count("\n") + 1
    assert problem.message == "a key of more than 32 parts"


@pytest.mark.parametrize("text", [" " * 4000, "-", "a.", "[provider "])
def test_a_file_that_one_brand_made_unreadable_is_taken_up_once_mended(
    text: str, tmp_path: Path
) -> None:
    main, brand = tmp_path / "autoconfig.toml", tmp_path / "brand.toml"
    main.write_text(f'include = ["brand.toml"]\n{TWO_DOMAINS}')
    good = TWO_DOMAINS.replace("example", "brand")
    brand.write_text(good)
    question = "/mail/config-v1.1.xml?emailaddress=a@brand.com"
    log = tmp_path / "log"
    with serving(main, "--workers", "2", log=log) as url:
        assert b"imap.brand.com" in fetch(url + question).body
        brand.write_text(f"[{text * (256 * 1024 // len(text))}x")
        until(lambda: "1 problem" in log.read_text(), seconds=5)
        assert b"imap.brand.com" in fetch(url + question).body
        brand.write_text(good.replace("imap.", "mail."))
        until(lambda: b"mail.brand.com" in fetch(url + question).body, seconds=5)
