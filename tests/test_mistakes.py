"""What people write that is no TOML, and what they are told: the place and a guess."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from support import TWO_DOMAINS

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading
from flask_autoconfig.errors import Problem
from flask_autoconfig.tools.cli import cli

AROUND = """[[provider]]
domains = ["example.com"]

[[provider.incoming]]
type = "imap"
@
[[provider.outgoing]]
type = "smtp"
hostname = "smtp.example.com"
"""


def problem_of(text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        reading.loads(text)
    (problem,) = caught.value.problems
    return problem


def told_of(problem: Problem, above: int = 0) -> str:
    assert problem.line
    message = problem.message.removeprefix("not TOML: ")
    return f"{problem.line - above}:{problem.column}: {message}; {problem.cure}"


# A mistake in the place of a server's line; the line that is told, counted from there,
# and the column; what is wrong, and what to write.
# fmt: off
MISTAKES = [
    ("hostname = “imap.example.com”",
     '1:12: a curly quote (“); write a straight one: "'),
    ('hostname = "imap.example.com”',
     '1:29: a curly quote (”); write a straight one: "'),
    ("hostname = ‘imap.example.com’",
     "1:12: a curly quote (‘); write a straight one: '"),
    ("hostname = imap.example.com",
     '1:12: a quote is missing; write hostname = "imap.example.com"'),
    ('hostname = "imap.example.com',
     "1:29: a quote is missing at the end; write hostname = "
     '"imap.example.com"'),
    ("hostname = 'imap.example.com",
     "1:29: a quote is missing at the end; write hostname = "
     '"imap.example.com"'),
    ('hostname = \'imap.example.com"',
     '1:12: the text begins with \' and ends with "; write hostname = '
     '"imap.example.com"'),
    ('hostname = imap.example.com"',
     '1:12: a quote is missing; write hostname = "imap.example.com"'),
    ('hostname "imap.example.com"',
     '1:10: an = is missing; write hostname = "imap.example.com"'),
    ("hostname imap.example.com",
     '1:10: an = is missing; write hostname = "imap.example.com"'),
    ('hostname: "imap.example.com"',
     "1:9: a : stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ("hostname: imap.example.com # x",
     "1:9: a : stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname == "imap.example.com"',
     "1:10: a == stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname := "imap.example.com"',
     "1:10: a := stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ('hostname => "imap.example.com"',
     "1:10: a => stands where an = belongs; write hostname = "
     '"imap.example.com"'),
    ("hostname =",
     '1:11: the value is missing; write hostname = "…", or remove the line'),
    ("hostname",
     '1:9: a key without a value; write hostname = "…", or # before it'),
    ('hostname = ""imap.example.com""',
     '1:14: a quote too many; write hostname = "imap.example.com"'),
    ("hostname = 192.168.1.5",
     '1:12: a quote is missing; write hostname = "192.168.1.5"'),
    ('hostname = "a" "b"',
     "1:16: two texts where one belongs; write one of them, or a list where "
     "the key takes one"),
    ('hostname = "imap.example.com",',
     "1:30: a , at the end of the line; remove it"),
    ('hostname = "imap.example.com";',
     "1:30: a ; at the end of the line; remove it"),
    ('hostname = "imap.example.com" // the server',
     '1:31: a comment begins with #, not with "//"; write #'),
    ("// hostname",
     '1:1: a comment begins with #, not with "//"; write #'),
    ("; hostname",
     '1:1: a comment begins with #, not with ";"; write #'),
    ("/* hostname */",
     '1:1: a comment begins with #, not with "/*"; write #'),
    ("-- hostname",
     '1:1: a comment begins with #, not with "--"; write #'),
    ("<!-- hostname -->",
     '1:1: a comment begins with #, not with "<!--"; write #'),
    ("port = 0993",
     "1:9: a number that begins with 0; write port = 993"),
    ("port = 993 SSL",
     "1:12: a number, and then more; write the number alone: port = 993"),
    ("port = 993/tcp",
     "1:11: a number, and then more; write the number alone: port = 993"),
    ("port = 99 # ok\nport = 143",
     "2:1: port stands twice in this table, first on line 6; remove one of "
     "the two"),
    ("use_global_preferred_server = True",
     "1:31: true is written small; write use_global_preferred_server = true"),
    ("use_global_preferred_server = yes",
     "1:31: yes is no word of TOML; write use_global_preferred_server = true"),
    ("use_global_preferred_server = None",
     "1:31: TOML has no None; remove the line"),
    ("use_global_preferred_server = FALSE # x",
     "1:31: false is written small; write use_global_preferred_server = "
     "false"),
    ('hostname\xa0= "x"',
     "1:9: a no-break space (U+00A0); write an ordinary space"),
    ('hostname =\xa0"x"',
     "1:11: a no-break space (U+00A0); write an ordinary space"),
    ('\xa0hostname = "x"',
     "1:1: a no-break space (U+00A0); write an ordinary space"),
    ('host\u200bname = "x"',
     "1:5: a zero width space (U+200B); remove it: it cannot be seen"),
    ('\ufeffhostname = "x"',
     "1:1: a byte order mark (U+FEFF); remove it: it cannot be seen"),
    ('username = "DOMAIN\\user"',
     "1:19: a backslash begins an escape between double quotes; write it in "
     "single quotes: 'DOMAIN\\user'"),
    ('username = "C:\\users\\x"',
     "1:15: a backslash begins an escape between double quotes; write it in "
     "single quotes: 'C:\\users\\x'"),
    ('display_name = "1 \\"',
     '1:21: a quote is missing at the end; write display_name = "1"'),
    ('host name = "imap.example.com"',
     '1:6: "host name" is no key; write host_name = "imap.example.com"'),
    ('= "x"',
     '1:1: there is no key before the =; write key = "value"'),
    ("- imap.example.com",
     "1:1: a list as YAML writes it; write the whole list: domains = "
     '["example.com", "example.net"]'),
    ('authentication = ["OAuth2" "password-cleartext"]',
     "1:28: a comma is missing; write a comma between two values"),
    ('authentication = ["OAuth2", "password-cleartext"',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('authentication = ["OAuth2",\n "password-cleartext"\n',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('authentication = ["OAuth2",',
     "1:18: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("authentication = [OAuth2, plain]",
     '1:19: a quote is missing; write "OAuth2"'),
    ('authentication = [\n"OAuth2"\n"password-cleartext"\n]',
     "3:1: a comma is missing; write a comma between two values"),
    ('authentication = ["OAuth2"]]',
     "1:28: a ] too many; remove it"),
    ("authentication = [“OAuth2”]",
     '1:19: a curly quote (“); write a straight one: "'),
    ("pop3 = {check_interval = 3,}",
     "1:28: a comma before the }; remove the comma"),
    ("pop3 = {\n check_interval = 3\n}",
     "1:9: a table in { } goes over several lines; write it on one line"),
    ("pop3 = {check_interval = 3",
     "1:8: the table that begins here has no }; write } behind its last "
     "value"),
    ("pop3 = {check_interval: 3}",
     "1:23: a : stands where an = belongs; write check_interval = 3"),
    ('hostname = "a"\nhostname = "b"',
     "2:1: hostname stands twice in this table, first on line 6; remove one "
     "of the two"),
    ('type = "imap" hostname = "x"',
     "1:1: type stands twice in this table, first on line 5; remove one of "
     "the two"),
    ('type = "imap", hostname = "x"',
     "1:1: type stands twice in this table, first on line 5; remove one of "
     "the two"),
    ("[provider.incoming.pop3\ncheck_interval = 1",
     "1:24: the heading has not as many [ as ]; write "
     "[provider.incoming.pop3]"),
    ("[[provider.incoming]",
     "1:20: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("[provider.incoming]]",
     "1:19: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("[[provider incoming]]",
     "1:12: a heading's words have dots between them; write "
     "[[provider.incoming]]"),
    ("[[provider/incoming]]",
     "1:11: a heading's words have dots between them; write "
     "[[provider.incoming]]"),
    ("[[ ]]",
     "1:4: a heading without a name; write [[provider]]"),
    ("[provider.webmail]\n[provider.webmail]",
     "2:1: the heading of provider.webmail stands twice, first on line 6; "
     "keep one, or begin another [[provider]] before this one"),
    ('hostname = """imap.example.com',
     '1:12: the text that begins here with """ has no end; write """ behind '
     "it"),
    ('hostname = """imap.example.com"',
     '1:12: the text that begins here with """ has no end; write """ behind '
     "it"),
    ("hostname = '''x",
     "1:12: the text that begins here with ''' has no end; write ''' behind "
     "it"),
    ('hostname = "imap\x07"',
     "1:17: a control character (U+0007); remove it: it cannot be seen"),
    ('hostnäme = "x"',
     '1:6: "hostnäme" is no key; write hostname = "x"'),
    ('@host = "x"',
     '1:1: a key with @ in it; write "@host" in quotes'),
    ("hostname = <imap>",
     '1:12: a quote is missing; write hostname = "<imap>"'),
    ("<<<<<<< HEAD",
     "1:1: a merge left its marks here; keep one of the two versions"),
    ("=======",
     "1:1: a merge left its marks here; keep one of the two versions"),
    ("hostname = $HOST",
     '1:12: a quote is missing; write hostname = "$HOST"'),
    ("username = %EMAILADDRESS%",
     '1:12: a quote is missing; write username = "%EMAILADDRESS%"'),
    ('hostname = "x" [y]',
     "1:16: something stands behind the value; write # before it"),
    ("hostname = (x)",
     '1:12: a quote is missing; write hostname = "(x)"'),
    ('[[provider.incoming]] type = "imap"',
     "1:23: a heading stands on a line of its own; begin a new line behind "
     "it"),
    ('hostname = "say "hi" there"',
     '1:18: a " within the text; write hostname = \'say "hi" there\', or \\" '
     "for each"),
    ("hostname = imap.example.com:993",
     '1:12: a quote is missing; write hostname = "imap.example.com:993"'),
    ("pop3 = ",
     '1:8: the value is missing; write pop3 = "…", or remove the line'),
    ("type = IMAP",
     '1:8: a quote is missing; write type = "IMAP"'),
    ('domains = ["a" , , "b"]',
     "1:18: two commas, and no value between; remove one"),
    ('display_name = "Bücher 漢字" x',
     "1:28: something stands behind the value; write # before it"),
    ('username = "\\%EMAILADDRESS%"',
     "1:13: a backslash begins an escape between double quotes; write it in "
     "single quotes: '\\%EMAILADDRESS%'"),
    ("x = 2020-13-45",
     '1:5: a quote is missing; write x = "2020-13-45"'),
    ('"hostname = "x"',
     '1:14: "hostname" is no key; write hostname = "x"'),
    ('hostname" = "x"',
     '1:9: "hostname" is no key; write hostname = "x"'),
    ('`hostname` = "x"',
     "1:1: a curly quote (`); write a straight one: '"),
    ("hostname = `x`",
     "1:12: a curly quote (`); write a straight one: '"),
    ("port = ",
     '1:8: the value is missing; write port = "…", or remove the line'),
    ("[provider]\n",
     "1:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
]
# The same of a whole file.
FILES = [
    ('<?xml version="1.0"?>\n<clientConfig>',
     "1:1: this is XML; `flask-autoconfig import FILE` makes TOML of a "
     "config-v1.1.xml"),
    ('{"provider": []}',
     '1:1: this is JSON; write TOML: key = "value" a line'),
    ("---\nprovider:\n  - domains: x\n",
     '1:1: this is YAML; write TOML: key = "value" a line'),
    ("provider:\n  - domains:\n",
     "1:9: a : stands where an = belongs; write [[provider]], and its keys "
     "below it"),
    ('[provider]\ndomains=["a"]\n[provider]\n',
     "3:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("[provider]\nx=1\n[[provider]]\n",
     "3:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("[[provider]]\n[provider]\n",
     "2:1: the heading of provider stands twice, first on line 1; head each "
     "of them [[provider]], with two brackets"),
    ("d\x00o\x00m\x00",
     "1:2: it is UTF-16, not UTF-8; save it as UTF-8"),
    ('domains = ["a.test"\n[[provider.incoming]]\ntype="x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('domains = [\n  "a.test",\n  "b.test",\n\n[[provider.incoming]]\ntype="x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ('domains = [\n  "a.test",\ntype = "x"\n',
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("a = 1\rb = 2\r",
     "1:6: a line ends as on an old Mac (CR); save it with LF or CRLF"),
    ('domains = ["a.test, "b.test"]\n',
     '1:19: a quote is missing before the comma; write "a.test", "b.test"'),
    ("domains = [a.test, b.test]",
     '1:12: a quote is missing; write "a.test"'),
    ('domains = ["a.test]\n',
     '1:20: a quote is missing at the end; write "a.test"'),
    ("[[provider",
     "1:11: the heading has not as many [ as ]; write [[provider]]"),
    ('provider = [\n{domains = ["a"]}\n{domains=["b"]}]',
     "3:1: a comma is missing; write a comma between two values"),
    ('display_name = "x\ny = 1\n',
     '1:18: a quote is missing at the end; write display_name = "x"'),
    ('[provider]\ndomains = ["x"]\n\n[[provider.incoming]\ntype="imap"',
     "4:20: the heading has not as many [ as ]; write [[provider.incoming]]"),
    ("clients = ['a'\n",
     "1:11: the list that begins here has no ]; write ] behind its last "
     "value"),
    ("max_age = 3600s",
     "1:15: a number, and then more; write the number alone: max_age = 3600"),
    ("max_age = 1 hour",
     "1:13: a number, and then more; write the number alone: max_age = 1"),
    ('max_age = "3600',
     '1:16: a quote is missing at the end; write max_age = "3600"'),
]
# fmt: on


@pytest.mark.parametrize(("mistake", "told"), MISTAKES)
def test_a_mistake_in_a_file_is_shown_and_guessed(mistake: str, told: str) -> None:
    problem = problem_of(AROUND.replace("@", mistake))
    assert told_of(problem, above=5) == told


@pytest.mark.parametrize(("text", "told"), FILES)
def test_a_file_of_another_kind_is_shown_and_guessed(text: str, told: str) -> None:
    problem = problem_of(text)
    assert told_of(problem) == told


@pytest.mark.parametrize(
    ("line", "shown", "mark"),
    [
        ("\thostname = imap", " hostname = imap", 12),
        ("display_name = “漢字", "display_name = “漢字", 15),
        ('x = ["漢字é\u0301", y]', 'x = ["漢字é\u0301", y]', 14),
        ("host\x07name = 1", "host?name = 1", 4),
        ("x = \u202e1", "x = ?1", 4),
    ],
)
def test_the_mark_stands_below_the_place(line: str, shown: str, mark: int) -> None:
    first, second = problem_of(f"\n\n{line}\ny = 1").excerpt.split("\n")
    assert first == f"  3 | {shown}"
    assert second == f"    | {' ' * mark}^"


def test_of_a_line_without_end_the_part_around_the_place_is_shown() -> None:
    text = f'x = ["{"a" * 10_000_000}", b, "{"c" * 1000}"]'
    problem = problem_of(text)
    first, second = problem.excerpt.split("\n")
    assert len(first) < 120
    assert first[second.index("^")] == "b"
    assert len(str(problem)) < 300


def test_validate_shows_the_line_and_a_log_has_one_for_each_problem(
    tmp_path: Path,
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(AROUND.replace("@", "use_global_preferred_server = True"))
    told = "not TOML: true is written small; write use_global_preferred_server = true"
    done = CliRunner().invoke(cli, ["--config", str(file), "validate"])
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        f"{file}:6:31: {told}",
        "  6 | use_global_preferred_server = True",
        "    |                               ^",
    ]
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert str(caught.value).splitlines() == [
        f"{file}: 1 problem",
        f"  line 6, column 31: {told}",
    ]
    done = CliRunner().invoke(cli, ["--config", str(file), "show"])
    assert done.stderr.splitlines() == [
        f"Error: {file}: 1 problem",
        f"  line 6, column 31: {told}",
        "    6 | use_global_preferred_server = True",
        "      |                               ^",
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_of_windows_editor_is_told_to_be_utf_16(
    tmp_path: Path, encoding: str
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS, encoding=encoding)
    with pytest.raises(ConfigError, match="it is UTF-16, not UTF-8; save it as UTF-8"):
        load(file)


def test_a_letter_that_is_no_utf_8_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_bytes(b"max_age = 1\r\n# \xc3\xbc B\xfccher\r\n")
    with pytest.raises(ConfigError) as caught:
        load(file)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 6)
    assert problem.excerpt == "  2 | # ü B\ufffdcher\n    |      ^"


@given(st.text("a=[]{}\"'#\n\r\\ .,1tTé“:\ufeff\0-", max_size=40))
def test_whatever_stands_there_the_place_is_one_of_the_text(text: str) -> None:
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        problem = problem_of(text)
        lines = text.replace("\r\n", "\n").split("\n")
        assert problem.line is not None
        assert problem.column is not None
        assert 0 < problem.column <= len(lines[problem.line - 1]) + 1
        assert problem.excerpt.endswith("^")
