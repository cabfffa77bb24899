"""The time to read a configuration and to report its problems grows linearly.

The author of one brand's file must not be able to block the service for all others.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner
from linear import TOKENS, UNNOTICED, assert_linear, some_or_all
from support import TWO_DOMAINS, loads, table

from flask_autoconfig import ConfigError
from flask_autoconfig.config.listing import read_listing
from flask_autoconfig.config.logo import MAX_BYTES as LARGEST_LOGO
from flask_autoconfig.config.logo import read_logo
from flask_autoconfig.tools.cli import cli

# Characters that a basic string of TOML must escape.
_ESCAPES = {code: f"\\u{code:04X}" for code in (*range(0x20), 0x22, 0x5C, 0x7F)}

PLACES = {
    name: place.replace("DOMAINS", TWO_DOMAINS)
    for name, place in table("places", "linear.toml").items()
}
VALUES, MANY = table("values", "linear.toml"), table("many", "linear.toml")
FAULTY = "x = 1\n'@' = '@'\n[[provider]]\ndomains = ['@']\nhost = '@'\n"


ANYWHERE = PLACES | {
    name: line if name in ("include", "clients") else f"[[provider]]\n{line}\n"
    for name, line in VALUES.items()
}


def filled(template: str, text: str) -> str:
    string = f'"{text.translate(_ESCAPES)}"'
    return re.sub("[@$]", lambda match: text if match[0] == "@" else string, template)


def explained(text: str) -> None:
    """Read a TOML text, and report all its problems."""
    try:
        loads(text)
    except ConfigError as error:
        str(error)


@some_or_all(24)
@pytest.mark.parametrize("number", range(len(ANYWHERE)), ids=ANYWHERE)
def test_a_text_anywhere_in_a_file(number: int, step: int) -> None:
    template = [*ANYWHERE.values()][number]
    unnoticed = UNNOTICED if step > 1 else 0.2

    def explain(text: str) -> None:
        explained(filled(template, text))

    for token in TOKENS[number % step :: step]:
        assert_linear(explain, token, ("", "x"), unnoticed)


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


SVG = '<svg xmlns="http://www.w3.org/2000/svg" {0}>{1}</svg>'
STYLES = ("url(", "url( ", "expression ", "image-set ", "@import ", "\\")
# What reads a file, and where the text is in it.
FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "domains": (read_listing, "@"),
    "a logo": (read_logo, "@"),
    "an element of a logo": (read_logo, SVG.format("", "@")),
    "the style of a logo": (
        read_logo,
        SVG.format('style="url(@"', "<style>url(@</style>"),
    ),
}


@pytest.mark.world
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_named(name: str, tmp_path: Path) -> None:
    read, template = FILES[name]
    file = tmp_path / "file.svg"

    def call(text: str) -> None:
        data = template.replace("@", text).encode("utf-8", "replace")
        file.write_bytes(data[:LARGEST_LOGO])
        with suppress(ConfigError):
            read(file)

    for token in (*TOKENS, *STYLES):
        assert_linear(call, token, ends=("", "x"), unnoticed=0.2)


@pytest.mark.parametrize(("before", "element"), MANY.values(), ids=MANY)
def test_many_of_one_kind(before: str, element: str) -> None:
    def explain(text: str) -> None:
        numbers = range(len(text) // len(element))
        explained(before + "".join(map(element.format, numbers)))

    assert_linear(explain, " ", ends=[""], unnoticed=0.2)
