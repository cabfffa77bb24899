"""What a terminal of some width shows, and what a pipe gets."""

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
from contextlib import suppress
from pathlib import Path

import click
import pytest
from hypothesis import example, given
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
    *arguments: str | Path, columns: int = 80, cwd: Path | None = None, **env: str
) -> tuple[int, str]:
    """Run the command on a real terminal of that width; return its code and output."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 40, columns, 0, 0))
    without = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen(
        [BIN / "flask-autoconfig", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=cwd,
        env={**without, **env},
    ) as process:
        os.close(follower)
        output = b""
        with suppress(OSError):  # the program has ended
            while piece := os.read(leader, 4096):
                output += piece
    os.close(leader)
    return process.returncode, output.decode()


def too_wide(lines: Iterable[str], most: int) -> list[str]:
    """Return the lines that do not fit, unless they are one word."""
    plain = [click.unstyle(line) for line in lines]
    return [line for line in plain if len(line) > most and len(line.split()) > 1]


# --- Wrapping ----------------------------------------------------------------------------


@pytest.mark.parametrize("columns", [30, 60])
def test_problems_on_a_terminal_are_those_of_a_pipe_wrapped_at_words(
    toml: Write, columns: int
) -> None:
    folder = toml(WRONG).parent
    code, output = at_terminal("validate", columns=columns, cwd=folder)
    assert code == 1
    lines = output.splitlines()
    assert not too_wide(lines, columns)
    assert "\x1b[31m" in lines[0]
    plain = [click.unstyle(line) for line in lines]
    assert plain[0].startswith("autoconfig.toml:7: error:")
    assert plain[1].startswith("    ")
    head, _, cure = run("validate", cwd=folder, COLUMNS="30").stdout.splitlines()
    joined = " ".join(" ".join(plain).split())
    assert joined.startswith(head)
    assert cure.strip() in joined

    code, output = at_terminal("show", columns=columns, cwd=folder)
    assert code == 1
    assert not too_wide(output.splitlines(), columns)


def test_columns_in_the_environment_override_the_terminal(toml: Write) -> None:
    words = ("--config", toml(WRONG), "validate")
    _, output = at_terminal(*words, columns=30, COLUMNS="500")
    assert len(output.splitlines()) == 4


def test_errors_are_red_on_a_terminal_and_plain_elsewhere() -> None:
    wrong = ("--config", "/nowhere.toml", "show")
    red = "\x1b[31m"
    assert red in at_terminal(*wrong)[1]
    assert red not in at_terminal(*wrong, NO_COLOR="1")[1]
    assert red not in at_terminal("--no-color", *wrong)[1]
    assert red in at_terminal("--color", *wrong, NO_COLOR="1")[1]
    assert red not in run(*wrong).stderr
    assert red in run("--color", *wrong).stderr


_words = st.text("abé漢 ", max_size=12)


@given(st.lists(_words), st.integers(4, 40), st.integers(0, 12))
@example(["", "abcdef"], 4, 2)
def test_wrapped_text_has_the_same_words_and_fits(
    words: list[str], width: int, hang: int
) -> None:
    text = " ".join(words)
    lines = wrapped(text, width, hang).split("\n")
    assert " ".join(lines).split() == text.split()
    assert lines[0].strip() or not text.strip()
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
def test_a_finding_and_the_verdict_are_wrapped_and_keep_urls_whole(width: int) -> None:
    lines = "\n".join(report.details(REPORT, verbose=False, width=width)).split("\n")
    assert not too_wide(lines, width)
    assert sum(URL in line for line in lines) == 2
    assert click.unstyle(lines[0]).startswith("failure  https")
    assert len({len(line) - len(line.lstrip()) for line in lines[1:]}) <= 3
    lines = "\n".join(report.verdict(REPORT, width)).split("\n")
    assert not too_wide(lines, width)
    assert lines[0].startswith("example.com")


def test_a_pipe_gets_a_line_for_each_part_of_a_finding() -> None:
    lines = list(report.details(REPORT, verbose=False))
    labels = [click.unstyle(line)[9:13].strip() for line in lines[1:]]
    assert labels == ["why:", "for:", "do:"]


@pytest.mark.parametrize("columns", ["", "500"])
def test_the_line_of_progress_is_no_wider_than_the_terminal(
    toml: Write, columns: str
) -> None:
    """Otherwise its end would remain when the line is cleared."""
    options = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")
    file = toml(TWO_DOMAINS)
    words = ("--config", file, "check", "example.com", *options)
    _, output = at_terminal(*words, columns=40, COLUMNS=columns)
    parts = re.split(r"[\r\n]+", output)
    (progress,) = [part for part in parts if part.startswith("example.com: asking")]
    assert len(progress) <= 39
    assert progress.rstrip().endswith("…")


# --- Problems: the line of the file, without secrets; many alike --------------------------


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


def test_a_long_line_is_cut_to_the_surroundings_of_the_value(toml: Write) -> None:
    names = [*(f'"a{number}.test"' for number in range(100)), '"a b"', '"z.test"']
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
    assert '  6 | type = "imp"\n' in run("--config", file, "validate").stdout
    (tmp_path / "brands/a.toml").write_text(text.replace('"imp"', '"imap"'))
    (tmp_path / "brands/names").write_text("# our own\none.test\na_b.test x\n")
    assert "  3 | a_b.test x\n" in run("--config", file, "validate").stdout


def test_similar_problems_are_counted_and_listed_only_in_json(
    toml: Write, tmp_path: Path
) -> None:
    names = ",\n".join(f'"a {number}.test"' for number in range(5_000))
    wrong = TWO_DOMAINS.replace('["example.com", "example2.com"]', f"[\n{names}]")
    file = toml(wrong.replace('"imap"', '"imp"'))
    done = run("--config", file, "validate")
    assert len(done.stdout.splitlines()) < 40
    assert "  and 4,990 more like it" in done.stdout
    assert '"imp"' in done.stdout
    assert "5001 problems" in done.stderr
    report = json.loads(run("--config", file, "validate", "--json").stdout)
    assert len(report["problems"]) == 5_001
    error = run("--config", file, "show").stderr
    assert len(error.splitlines()) < 110
    assert "5,001 problems" in error

    (tmp_path / "names").write_text("one.test\n" + "a_b.test\n" * 3000)
    toml(TWO_DOMAINS.replace("\n\n", '\ndomains_file = "names"\n\n', 1))
    report = json.loads(run("--config", file, "validate", "--json").stdout)
    assert [row["line"] for row in report["problems"]] == list(range(2, 3002))
    assert "and 2,990 more like it" in run("--config", file, "validate").stdout
