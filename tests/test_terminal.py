"""What a person sees at a terminal of some width, and what a pipe gets."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import BIN, TWO_DOMAINS, run

from flask_autoconfig.config.explain.hiding import hidden
from flask_autoconfig.tools.check import report
from flask_autoconfig.tools.check.findings import finding
from flask_autoconfig.tools.check.run import Fare, Report
from flask_autoconfig.tools.terminal import columns, wrapped

Write = Callable[..., Path]
WRONG = TWO_DOMAINS.replace('type = "imap"', 'type = "imap"\nserver = "a.test"')


def at_terminal(
    columns: int, *arguments: str | Path, **env: str
) -> tuple[int, list[str]]:
    """The exit code, and the lines on a real terminal that is so wide."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    without = {it: word for it, word in os.environ.items() if it != "COLUMNS"}
    with subprocess.Popen(
        [BIN / "flask-autoconfig", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**without, **env},
    ) as process:
        os.close(follower)
        seen = b""
        try:
            while piece := os.read(leader, 4096):
                seen += piece
        except OSError:  # the program has ended
            pass
    os.close(leader)
    return process.returncode, seen.decode().splitlines()


def too_wide(lines: Iterable[str], most: int) -> list[str]:
    """Those that do not fit, but for a word alone, which nobody can break."""
    plain = [click.unstyle(line) for line in lines]
    return [it for it in plain if len(it) > most and len(it.split()) > 1]


@pytest.mark.parametrize("columns", [30, 60])
@pytest.mark.parametrize("command", ["validate", "show"])
def test_problems_are_wrapped_at_words_with_a_hanging_indent(
    toml: Write, columns: int, command: str
) -> None:
    file = toml(WRONG)
    code, lines = at_terminal(columns, "--config", file.name, command, PWD=str(file))
    assert code == 1
    assert not too_wide(lines, columns)


@pytest.mark.parametrize("columns", [30, 60])
def test_validates_lines_at_a_terminal_say_what_a_pipe_gets(
    toml: Write, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = toml(WRONG)
    monkeypatch.chdir(file.parent)
    code, lines = at_terminal(columns, "validate")
    assert code == 1
    assert not too_wide(lines, columns)
    assert "\x1b[31m" in lines[0]
    plain = [click.unstyle(it) for it in lines]
    assert plain[0].startswith("autoconfig.toml:7: error:")
    assert plain[1].startswith("    ")
    piped = run("validate", cwd=file.parent)
    head, _, cure = piped.stdout.splitlines()
    assert " ".join(" ".join(plain).split()).startswith(head)
    assert cure.strip() in " ".join(" ".join(plain).split())


def test_columns_of_the_environment_count_before_the_terminals(toml: Write) -> None:
    _, wide = at_terminal(30, "--config", toml(WRONG), "validate", COLUMNS="500")
    assert len(wide) == 4


def test_a_pipe_gets_each_sentence_in_one_line_whatever_the_columns(
    toml: Write,
) -> None:
    done = run("--config", toml(WRONG), "validate", COLUMNS="30")
    assert len(done.stdout.splitlines()) == 3


_words = st.text("abé漢 ", max_size=12)


@given(st.lists(_words), st.integers(4, 40), st.integers(0, 12))
def test_what_is_wrapped_has_the_same_words_and_fits(
    words: list[str], width: int, hang: int
) -> None:
    text = " ".join(words)
    lines = wrapped(text, width, hang).split("\n")
    assert " ".join(lines).split() == text.split()
    for line in lines:
        assert columns(line) <= width or len(line.split()) < 2
    styled = wrapped(click.style(text, fg="red"), width, hang)
    assert click.unstyle(styled).split() == text.split()
    assert len(styled.split("\n")) == len(lines)


# --- check -------------------------------------------------------------------------------

URL = "https://autoconfig.example.com/mail/config-v1.1.xml?a=" + "b" * 40
LONG = finding(
    "http.bad-redirect",
    URL,
    reason=f"redirects without end, by way of {URL}",
    advice=f"let {URL} answer by itself, or redirect it straight to what answers",
).hurting("Thunderbird", "Evolution")
REPORT = Report(
    "example.com",
    (Fare("Thunderbird", False, None, f"{URL}: it redirects without end"),),
    (LONG,),
    None,
    False,
)


@pytest.mark.parametrize("width", [30, 60, 100])
def test_a_finding_is_wrapped_and_has_its_url_once_and_whole(width: int) -> None:
    lines = "\n".join(report.details(REPORT, verbose=False, width=width)).split("\n")
    assert not too_wide(lines, width)
    assert sum(URL in line for line in lines) == 1
    assert click.unstyle(lines[0]).startswith("failure  https")
    assert len({len(it) - len(it.lstrip()) for it in lines[1:]}) <= 3


@pytest.mark.parametrize("width", [30, 60, 100])
def test_the_verdict_is_wrapped(width: int) -> None:
    lines = "\n".join(report.verdict(REPORT, width)).split("\n")
    assert not too_wide(lines, width)
    assert lines[0].startswith("example.com")


def test_a_pipe_gets_a_line_for_each_part_of_a_finding() -> None:
    lines = list(report.details(REPORT, verbose=False))
    labels = [click.unstyle(it)[9:13].strip() for it in lines[1:]]
    assert labels == ["why:", "for:", "do:"]


@pytest.mark.parametrize("env", [{}, {"COLUMNS": "500"}])
def test_the_line_of_progress_is_no_wider_than_the_terminal(
    toml: Write, env: dict[str, str]
) -> None:
    """Else what is behind the terminal's edge stays when the line is taken away."""
    options = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")
    file = toml(TWO_DOMAINS)
    words = ("--config", file, "check", "example.com", *options)
    _, lines = at_terminal(40, *words, **env)
    said = [it for line in lines for it in line.split("\r") if "example.com: " in it]
    (told,) = [it for it in said if it.startswith("example.com: asking")]
    assert len(told) <= 39
    assert told.rstrip().endswith("…")


# --- Problems: what stands there, what is hidden, what is folded --------------------------


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ('client_secret = "abc"', 'client_secret = "…"'),
        ("client_secret = 'abc' # x", "client_secret = '…' # x"),
        ('client_secret = "ab\\"c" # x', 'client_secret = "…" # x'),
        ("client_secret = abc, x", "client_secret = …, x"),
        ('a = {"client_secret" = "x y", b = 1}', 'a = {"client_secret" = "…", b = 1}'),
        ('password: "abc', 'password: "…'),
        ("Password => abc", "Password => …"),
        ('client_secret = """abc', "client_secret = …"),
        ("client_secret = “abc”", "client_secret = …"),
        ('token_url = "https://a.test/"', 'token_url = "https://a.test/"'),
        ('authentication = "password-cleartext"',) * 2,
        ('authentication = ["OAuth2", "password-cleartext"]',) * 2,
        ("client_secret =",) * 2,
        ('client_secret = ""',) * 2,
    ],
)
def test_a_line_is_shown_without_its_secrets(line: str, shown: str) -> None:
    assert hidden(line) == shown


OAUTH2 = """
[provider.oauth2]
issuer = "auth.example.com"
auth_url = "https://auth.example.com/a"
token_url = "https://auth.example.com/t"
client_id = "mail"
"""


@pytest.mark.parametrize(
    "mistake",
    [
        'client_secret = " geheimgeheim"',
        "client_secret = geheimgeheim",
        'client_secret = "geheimgeheim',
        "client_secret = 'geheimgeheim\"",
        'client_secret = "geheim\\geheim"',
        'client_secret = "geheimgeheim" "geheimgeheim"',
        'client_secret "geheimgeheim"',
        "client_secret: geheimgeheim",
        "client_secret = “geheimgeheim”",
        'client_secret = ["geheimgeheim"]',
        'client_secret = """\ngeheimgeheim\n\\q"""',
        'password = "geheimgeheim"',
        'scope = 5\nclient_secret = "geheimgeheim"',
    ],
)
def test_no_problem_shows_a_secret(toml: Write, mistake: str) -> None:
    file = toml(f"{TWO_DOMAINS}{OAUTH2}{mistake}\n")
    for command in (["validate"], ["validate", "--json"], ["show"]):
        done = run("--config", file, *command)
        assert done.returncode == 1, mistake
        assert "geheim" not in done.stdout + done.stderr


def test_a_long_line_is_shown_around_the_value(toml: Write) -> None:
    names = [*(f'"a{it}.test"' for it in range(100)), '"a b"', '"z.test"']
    listed = f"[{', '.join(names)}]"
    text = TWO_DOMAINS.replace('["example.com", "example2.com"]', listed)
    done = run("--config", toml(text), "validate")
    _, line, _ = done.stdout.splitlines()
    assert '"a b", "z.test"' in line
    assert len(line) <= 100


def test_the_lines_of_included_and_of_domains_files_are_shown(
    toml: Write, tmp_path: Path
) -> None:
    (tmp_path / "brands").mkdir()
    text = TWO_DOMAINS.replace('"imap"', '"imp"').replace("domains =", "id =")
    text = re.sub(r"id = \[.*\]", 'domains_file = "names"', text)
    (tmp_path / "brands/a.toml").write_text(text)
    (tmp_path / "brands/names").write_text("# our own\none.test\n")
    file = toml('include = ["brands/a.toml"]\n')
    told = run("--config", file, "validate").stdout
    assert '  6 | type = "imp"\n' in told
    (tmp_path / "brands/a.toml").write_text(text.replace('"imp"', '"imap"'))
    (tmp_path / "brands/names").write_text("# our own\none.test\na_b.test x\n")
    told = run("--config", file, "validate").stdout
    assert "  3 | a_b.test x\n" in told


def test_problems_that_are_alike_are_folded_but_not_in_json(toml: Write) -> None:
    names = ",\n".join(f'"a {it}.test"' for it in range(20_000))
    wrong = TWO_DOMAINS.replace('["example.com", "example2.com"]', f"[\n{names}]")
    file = toml(wrong.replace('"imap"', '"imp"'))
    done = run("--config", file, "validate")
    assert len(done.stdout.splitlines()) < 40
    assert "  and 19,990 more like it" in done.stdout
    assert '"imp"' in done.stdout
    assert "20001 problems" in done.stderr
    told = json.loads(run("--config", file, "validate", "--json").stdout)
    assert len(told["problems"]) == 20_001
    error = run("--config", file, "show").stderr
    assert len(error.splitlines()) < 110
    assert "20,001 problems" in error


def test_every_faulty_line_of_a_domains_file_is_in_json(
    toml: Write, tmp_path: Path
) -> None:
    (tmp_path / "names").write_text("one.test\n" + "a_b.test\n" * 3000)
    text = TWO_DOMAINS.replace("\n\n", '\ndomains_file = "names"\n\n', 1)
    file = toml(text)
    told = json.loads(run("--config", file, "validate", "--json").stdout)
    assert [it["line"] for it in told["problems"]] == list(range(2, 3002))
    done = run("--config", file, "validate")
    assert "and 2,990 more like it" in done.stdout
