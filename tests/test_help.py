"""The help of the commands."""

from __future__ import annotations

import re

import click
import pytest
from documents import text_of
from services import captured, run

from flask_autoconfig.tools.cli import cli

COMMANDS = cli.list_commands(click.Context(cli))


def test_the_list_of_commands_is_not_cut_and_has_the_order_of_the_documents() -> None:
    for columns in (60, 80):
        page = run("--help", COLUMNS=str(columns)).stdout
        commands = page.partition("Commands:")[2]
        assert re.findall(r"^  ([a-z]+)  +\S", commands, re.M) == COMMANDS
        assert not re.search(r"\.\.\.|…", commands)
        assert max(map(len, page.splitlines())) <= columns
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


def test_python_runs_the_commands_too() -> None:
    done = captured("python", "-m", "flask_autoconfig", "--help")
    assert done.stdout == run("--help").stdout
