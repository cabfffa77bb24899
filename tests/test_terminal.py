"""What a terminal of some width shows, and what a pipe gets."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import click
from hypothesis import example, given
from hypothesis import strategies as st
from services import run
from strangers import at_terminal
from support import TWO_DOMAINS, Write, rows

from flask_autoconfig.config.explain.hiding import may_have_secret
from flask_autoconfig.tools.terminal import columns, wrapped

WRONG = TWO_DOMAINS.replace('type = "imap"', 'type = "imap"\nserver = "a.test"')


def too_wide(lines: Iterable[str], most: int) -> list[str]:
    """Return the lines that do not fit, unless they are one word."""
    plain = [click.unstyle(line) for line in lines]
    return [line for line in plain if len(line) > most and len(line.split()) > 1]


# --- Wrapping ----------------------------------------------------------------------------


def test_problems_at_a_terminal_are_a_pipes_wrapped_at_words(toml: Write) -> None:
    folder = toml(WRONG).parent
    head, _, cure = run("validate", cwd=folder, COLUMNS="30").stdout.splitlines()
    for width in (30, 60):
        code, output = at_terminal("validate", columns=width, cwd=folder)
        lines = output.splitlines()
        assert code == 1
        assert not too_wide(lines, width)
        assert "\x1b[31m" in lines[0]
        plain = [click.unstyle(line) for line in lines]
        assert plain[0].startswith("autoconfig.toml:7: error:")
        assert plain[1].startswith("    ")
        joined = " ".join(" ".join(plain).split())
        assert joined.startswith(head)
        assert cure.strip() in joined

    _, output = at_terminal("validate", columns=30, cwd=folder, COLUMNS="500")
    assert len(output.splitlines()) == 4
    code, output = at_terminal("show", columns=30, cwd=folder)
    assert code == 1
    assert not too_wide(output.splitlines(), 30)


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
def test_wrapping_keeps_words_and_fits(words: list[str], width: int, hang: int) -> None:
    text = " ".join(words)
    lines = wrapped(text, width, hang).split("\n")
    assert " ".join(lines).split() == text.split()
    assert lines[0].strip() or not text.strip()
    for line in lines:
        assert columns(line) <= width or len(line.split()) < 2
    styled = wrapped(click.style(text, fg="red"), width, hang)
    assert click.unstyle(styled).split() == text.split()
    assert len(styled.split("\n")) == len(lines)


def test_the_findings_of_check_fit_the_terminal(file: Path) -> None:
    options = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")
    words = ("--config", file, "check", "example.com", *options)
    for width in ("", "500"):
        _, output = at_terminal(*words, columns=40, COLUMNS=width)
        progress, *report = click.unstyle(output).splitlines()
        assert progress == "checking example.com"
        assert bool(too_wide(report, 40)) == (width == "500")
        labels = re.findall(r"^ +(why|for|do):", "\n".join(report), re.M)
        assert labels == ["why", "for", "do"]


# --- Problems: the line of the file, without secrets; many alike --------------------------


@rows("secret_lines", "line, is_secret", "commands.toml")
def test_a_line_with_a_secret_is_not_shown(line: str, is_secret: bool) -> None:
    assert may_have_secret(line) is is_secret


OAUTH2 = """
[provider.oauth2]
issuer = "auth.example.com"
auth_url = "https://auth.example.com/a"
token_url = "https://auth.example.com/t"
client_id = "mail"
"""


@rows("secrets", "mistake", "commands.toml")
def test_no_problem_shows_a_secret(toml: Write, mistake: str) -> None:
    file = toml(f"{TWO_DOMAINS}{OAUTH2}{mistake}\n")
    for command in (["validate"], ["validate", "--json"], ["show"]):
        result = run("--config", file, *command)
        assert result.returncode == 1, mistake
        assert "geheim" not in result.stdout + result.stderr


def test_a_long_line_is_cut(toml: Write) -> None:
    names = [*(f'"a{number}.test"' for number in range(100)), '"a b"']
    listed = f"[{', '.join(names)}]"
    text = TWO_DOMAINS.replace('["example.com", "example2.com"]', listed)
    _, line, _ = run("--config", toml(text), "validate").stdout.splitlines()
    assert line.startswith('  3 | domains = ["a0.test"')
    assert len(line) == 100


def test_only_json_lists_similar_problems(toml: Write, tmp_path: Path) -> None:
    names = ",\n".join(f'"a {number}.test"' for number in range(1_100))
    wrong = TWO_DOMAINS.replace('["example.com", "example2.com"]', f"[\n{names}]")
    file = toml(wrong.replace('"imap"', '"imp"'))
    result = run("--config", file, "validate")
    assert len(result.stdout.splitlines()) < 40
    assert "  and 1,090 more like it" in result.stdout
    assert '"imp"' in result.stdout
    assert "1101 problems" in result.stderr
    report = json.loads(run("--config", file, "validate", "--json").stdout)
    assert len(report["problems"]) == 1_101
    error = run("--config", file, "show").stderr
    assert len(error.splitlines()) < 110
    assert "1,101 problems" in error

    (tmp_path / "names").write_text("one.test\n" + "a_b.test\n" * 1100)
    toml(TWO_DOMAINS.replace("\n\n", '\ndomains_file = "names"\n\n', 1))
    report = json.loads(run("--config", file, "validate", "--json").stdout)
    assert [row["line"] for row in report["problems"]] == list(range(2, 1102))
    assert "and 1,090 more like it" in run("--config", file, "validate").stdout
