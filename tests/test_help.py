"""The help of the commands, and the completion of their words."""

from __future__ import annotations

import os
import re
import subprocess

import click
import pytest
from documents import text_of
from support import BIN, program, run

from flask_autoconfig.tools.cli import cli

COMMANDS = cli.list_commands(click.Context(cli))


@pytest.mark.parametrize("columns", ["60", "80"])
def test_no_line_of_the_list_of_commands_is_cut(columns: str) -> None:
    page = run("--help", COLUMNS=columns).stdout
    commands = page.partition("Commands:")[2]
    assert re.findall(r"^  ([a-z]+)  +\S", commands, re.M) == COMMANDS
    assert not re.search(r"\.\.\.|…", commands)
    assert max(map(len, page.splitlines())) <= int(columns)


def test_the_table_of_commands_in_contrib_has_the_same_order() -> None:
    text = text_of("contrib/README.md")
    table = text.partition("| command | what it does |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([a-z]+)", table, re.M) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_examples_that_it_accepts_and_explains_its_options(
    name: str,
) -> None:
    _, _, examples = run(name, "--help").stdout.partition("Example")
    lines = [line.split() for line in examples.splitlines()[1:] if line]
    assert lines
    context = cli.make_context("flask-autoconfig", [name])
    command = cli.get_command(context, name)
    assert command is not None
    for first, *words in lines:
        assert first == "flask-autoconfig"
        arguments = words[words.index(name) + 1 :]
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        command.make_context(name, arguments, parent=context)
    options = [it for it in command.params if isinstance(it, click.Option)]
    assert all(option.help for option in options)


def test_a_misspelt_command_gets_a_suggestion() -> None:
    done = run("chek")
    assert done.returncode == 2
    assert "did you mean 'check'?" in done.stderr
    assert "did you mean" not in run("nonsense").stderr


def test_an_empty_name_of_the_file_is_an_error() -> None:
    done = run("--config", "", "show")
    assert done.returncode == 2
    assert "the name of the file is empty" in done.stderr


def test_python_runs_the_commands_too() -> None:
    python = str(BIN / "python")
    done = subprocess.run(
        [python, "-m", "flask_autoconfig", "--help"], capture_output=True, text=True
    )
    assert done.stdout == run("--help").stdout


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
