"""Faulty files, and what is reported about them: the place, the problem and the cure."""

import json
import tomllib
from pathlib import Path

import pytest
from documents import blocks
from hypothesis import given
from hypothesis import strategies as st
from mistakes import TABLE, VALID, changed, rows
from services import run
from support import TWO_DOMAINS, Write, loads, problems_of

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading
from flask_autoconfig.errors import Problem

# The file in which a mistake stands instead of the @.
AROUND = """[[provider]]
domains = ["example.com"]

[[provider.incoming]]
type = "imap"
@
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
"""


def problems_in(text: str) -> tuple[Problem, ...]:
    return problems_of(loads, text)


INVALID = [(AROUND.replace("@", x), 5, error) for x, error in TABLE["lines"].items()]
INVALID += [(text, 0, error) for text, error in TABLE["files"].items()]


@pytest.mark.parametrize(("text", "before", "expected"), INVALID)
def test_invalid_toml_has_place_and_cure(text: str, before: int, expected: str) -> None:
    (problem,) = problems_in(text)
    message = problem.message.removeprefix("not TOML: ")
    place = f"{(problem.line or 0) - before}:{problem.column}"
    assert f"{place}: {message}; {problem.cure}" == expected


@pytest.mark.parametrize(("text", "expected"), [*rows("problems"), *rows("cures")])
def test_a_faulty_value_is_reported_with_a_cure(text: str, expected: list[str]) -> None:
    for problem, report in zip(problems_in(text), expected, strict=True):
        whole = str(problem._replace(line=None, domain=""))
        assert whole == report or f"{problem.line}: {problem.cure}".startswith(report)


FINE = VALID.replace("example.com", '*", "*.example.com", "office.lan", "mail.test', 1)


@pytest.mark.parametrize(("text", "expected"), [*rows("warnings"), (FINE, [])])
def test_what_is_valid_but_useless_is_a_warning_with_a_cure(
    toml: Write, text: str, expected: list[str]
) -> None:
    result = run("--config", toml(text), "validate", "--json", code=0)
    warnings = json.loads(result.stdout)["warnings"]
    cures = [f"{w['line']}: {w['cure']}" for w in warnings]
    assert set(expected) <= set(cures)
    assert expected or not [w for w in warnings if ".domains" in w["place"]]


def test_a_faulty_line_of_domains_has_a_cure(toml: Write, tmp_path: Path) -> None:
    lines = "one.example\na.example, b.example\na.example;b.example\nbücher.test"
    (tmp_path / "names").write_text(lines, encoding="latin-1")
    file = toml(changed('domains_file = "names"', 'domains = ["example.com"]'))
    skipped = reading.read(file).skipped
    assert [line.line for line in skipped] == [2, 3, 4]
    assert all('write a name like "example.com"' in line.cure for line in skipped)


# --- The excerpt ------------------------------------------------------------------------


EXCERPTS = {  # the line as it is shown, and the character above the mark
    "\thostname = imap": ("hostname = imap", "i"),
    "display_name = “漢字": ("display_name = “漢字", "“"),
    "host\x07name = 1": ("host?name = 1", "?"),
    "x = \u202e1": ("x = ?1", "?"),
}


@pytest.mark.parametrize(("line", "expected"), EXCERPTS.items())
def test_the_mark_is_below_the_mistake(
    toml: Write, line: str, expected: tuple[str, str]
) -> None:
    file = toml(f"\n\n{line}\ny = 1")
    _, excerpt, mark, _ = run("--config", file, "validate").stdout.splitlines()
    assert (excerpt[6:], excerpt[mark.index("^")]) == expected


def test_a_long_line_with_a_mistake_is_cut_around_its_mark(toml: Write) -> None:
    for letters, start in ((1000, f'{"a" * 72}", b, "{"c" * 14}…'), (9999, "x = ")):
        file = toml(f'x = ["{"a" * letters}", b, "{"c" * 1000}"]')
        _, line, *mark, cure = run("--config", file, "validate").stdout.splitlines()
        assert line.startswith(f"  1 | {start}")
        assert [line[text.index("^")] for text in mark] == ["b"] * (letters == 1000)
        assert cure.startswith("  do: ")


def test_commands_show_the_line_and_a_log_has_one_for_each_problem(toml: Write) -> None:
    file = toml(AROUND.replace("@", "port == 993"))
    cure = "write text in quotes, true in lower case, and ] after the list before it"
    output = [
        f"{file}:6:7: error: not TOML: Invalid value",
        "  6 | port == 993",
        "    |       ^",
        f"  do: {cure}",
    ]
    result = run("--config", file, "validate")
    assert (result.returncode, result.stdout.splitlines()) == (1, output)
    result = run("--config", file, "show")
    assert result.stderr.splitlines() == [f"Error: {file}: 1 problem", *output]
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).splitlines() == [
        f"{file}: 1 problem",
        f"  line 6, column 7: not TOML: Invalid value; {cure}",
    ]


def test_contribs_readme_shows_the_output_of_validate(toml: Write) -> None:
    (block,) = blocks("text")
    _, *examples = block.code.split("$ ")
    mistakes = ("hostname = “imap.example.com”", 'server = "imap.example.com"')
    for mistake, example in zip(mistakes, examples, strict=True):
        file = toml(AROUND.replace("@", mistake))
        result = run("validate", cwd=file.parent)
        assert example == f"flask-autoconfig validate\n{result.stdout}"


def test_a_file_that_is_not_utf_8_is_reported_with_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS, encoding="utf-16")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 0; save it as UTF-8"):
        load(file)
    file.write_bytes(b"max_age = 1\r\n# \xc3\xbc B\xfccher\r\n")
    (problem,) = problems_of(load, file)
    assert "not UTF-8 at byte 19; save it" in str(problem)
    assert (problem.line, problem.column) == (2, 6)
    output = run("--config", file, "validate").stdout
    assert "  2 | # ü B\ufffdcher\n    |      ^\n" in output


@given(st.one_of(st.text(), st.text("a=[]{}\"'#\n\r\\ .,1tTé“:\ufeff\0-", max_size=40)))
def test_the_reported_place_is_in_any_text(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        (problem,) = problems_in(text)
        lines = text.replace("\r\n", "\n").split("\n")
        assert problem.line is not None
        assert problem.column is not None
        assert 0 < problem.column <= len(lines[problem.line - 1]) + 1


HOSTILE = {
    "deep lists": "[" * 300 + "]" * 300,
    "a number of thousands of digits": "0x" + "f" * 5000,
    "not a number": "nan",
    "null characters": r'"{0}\u00007\u0000"',
    "a long text of brackets": '"' + "{a" * 30_000 + '"',
    "a long text of underscores": '"' + "a_" * 30_000 + '"',
}
HOSTILE_KEYS = ["port", "hostname", "username", "domains", "ssl", "host", "user", "ttl"]
HOSTILE_KEYS += ["clients", "pop3", "socket_type"]


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_no_value_breaks_the_messages(value: str) -> None:
    for key in HOSTILE_KEYS:
        text = f"{key} = {value}\n[[provider]]\n{key} = {value}\n"
        problems = problems_in(f"{text}[[provider.incoming]]\n{key} = {value}\n")
        assert next(problem.line for problem in problems if key in problem.place) == 1
        assert all(len(str(problem)) < 700 for problem in problems)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("provider." * 3000 + "y = 1", 2, "a key of more than 32 parts"),
        (f"[{'a . ' * 50}b]", 2, "a key of more than 32 parts"),
        (f"max_age = {'9' * 5000}", None, "a number of too many digits"),
        *((f"x = {b * 100_000}", None, "nested too deep") for b in ("[", "[{a=")),
        (f'include = ["{"*/" * 999}a"]', 2, "more than 255"),
    ],
)
def test_too_much_is_reported(text: str, line: int | None, message: str) -> None:
    *_, problem = problems_in(f"x = 1\n{text}\n")
    assert problem.line == line
    assert message in problem.message
