"""What the commands say of themselves, and in which colours."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from pathlib import Path

import pytest
from documents import text_of
from support import BIN, program, run

from flask_autoconfig.tools.cli import cli

WAY = [
    "init",
    "validate",
    "serve",
    "dns",
    "check",
    "import",
    "export",
    "show",
    "schema",
]


@pytest.mark.parametrize("columns", ["60", "80"])
def test_the_list_is_in_the_order_of_the_way_and_nothing_in_it_is_cut(
    columns: str,
) -> None:
    shown = run("--help", COLUMNS=columns).stdout
    listed = re.findall(r"^  ([a-z]+)  +\S", shown.partition("Commands:")[2], re.M)
    assert listed == WAY
    assert "..." not in shown.partition("Commands:")[2]
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= int(columns)


def test_the_table_of_commands_has_the_same_order() -> None:
    text = text_of("contrib/README.md")
    table = text.partition("| command | what it does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)", table, re.M) == WAY


@pytest.mark.parametrize("name", WAY)
def test_each_command_has_an_example_that_it_understands(name: str) -> None:
    shown = run(name, "--help").stdout
    assert "For programs" not in shown
    _, _, examples = shown.partition("Example")
    words = [line.split() for line in examples.splitlines()[1:] if line]
    assert words
    for first, *example in words:
        assert first == "flask-autoconfig"
        command = example[example.index(name) :]
        if ">" in command:
            command = command[: command.index(">")]
        context = cli.make_context("flask-autoconfig", command[:1])
        click_command = cli.get_command(context, name)
        assert click_command is not None
        click_command.make_context(name, command[1:], parent=context)


def test_what_is_misspelt_is_told_what_was_probably_meant() -> None:
    ended = run("chek")
    assert ended.returncode == 2
    assert "did you mean 'check'?" in ended.stderr
    assert "did you mean" not in run("nonsense").stderr


def test_an_empty_text_names_no_file() -> None:
    ended = run("--config", "", "show")
    assert ended.returncode == 2
    assert "names no file" in ended.stderr


def test_python_runs_the_commands_too() -> None:
    python = str(BIN / "python")
    done = subprocess.run(
        [python, "-m", "flask_autoconfig", "--help"], capture_output=True, text=True
    )
    assert done.stdout == run("--help").stdout


def at_a_terminal(*arguments: str, **env: str) -> str:
    """What a person sees there."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [BIN / "flask-autoconfig", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, **env},
    ) as process:
        os.close(follower)
        seen = b""
        while True:
            try:
                piece = os.read(leader, 4096)
            except OSError:  # the program has ended
                break
            if not piece:
                break
            seen += piece
        process.wait()
    os.close(leader)
    return seen.decode()


def test_errors_are_red_at_a_terminal_and_plain_elsewhere(tmp_path: Path) -> None:
    wrong = ("--config", str(tmp_path / "none.toml"), "show")
    red = "\x1b[31m"
    assert red in at_a_terminal(*wrong)
    assert red not in at_a_terminal(*wrong, NO_COLOR="1")
    assert red not in at_a_terminal("--no-color", *wrong)
    assert red in at_a_terminal("--color", *wrong, NO_COLOR="1")
    assert red not in run(*wrong).stderr
    assert red in run("--color", *wrong).stderr


COMPLETE = """
eval "$(_FLASK_AUTOCONFIG_COMPLETE=bash_source flask-autoconfig)"
complete_line() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
    _flask_autoconfig_completion "$1"
    printf '%s\\n' "${COMPREPLY[@]}"
}
complete -p flask-autoconfig
complete_line flask-autoconfig val
complete_line flask-autoconfig check --unp
complete_line flask-autoconfig show --format out
"""


@pytest.mark.world
def test_bash_completes_commands_options_and_choices() -> None:
    done = subprocess.run(
        [program("bash"), "--norc", "-c", COMPLETE],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        check=True,
    )
    registered, *completed = done.stdout.splitlines()
    assert registered.endswith("-F _flask_autoconfig_completion flask-autoconfig")
    assert completed == ["validate", "--unpublished", "outlook"]
    assert done.stderr == ""
