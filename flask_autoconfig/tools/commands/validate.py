"""`validate`: what is wrong with the file, and what single clients cannot take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...config.explain.lines import with_lines
from ...config.listing import every_skipped
from ...errors import ConfigError, Problem
from .. import project, quirks, terminal
from ..novices import unknown_listed
from ..problems import shown


@click.command("validate")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Tell every problem of the file, and what single clients cannot take."""
    file = project.file()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    try:
        loaded = project.loaded()
        problems = [it for of in loaded.listings.values() for it in every_skipped(of)]
        served = project.served_families(loaded)
        found = quirks.warnings(loaded.providers, served, loaded.origins)
        warnings = [
            *with_lines(found, file, loaded.providers, loaded.origins),
            *(it for of in loaded.listings.values() for it in unknown_listed(of)),
            *loaded.unmatched,
            *loaded.unsafe,
            *project.silent_families(),
        ]
        is_faulty = False
    except ConfigError as error:
        problems, is_faulty = error.problems, True

    if as_json:
        terminal.echo(json.dumps(_report(file, problems, warnings), indent=2))
    else:
        width = terminal.width()
        for kind, told in (("error", problems), ("warning", warnings)):
            for line in shown(told, file, kind, width):
                terminal.echo(line, styled=True)
        counts = f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"
        if is_faulty:  # what is wrong goes first
            counts = f"{_count(problems, 'problem')}; warnings come when it is mended"
        terminal.tell(f"{file}: {counts}", err=True)
    ctx.exit(1 if problems else 0)


def _count(things: Sequence[Problem], word: str) -> str:
    number = str(len(things) or "no")
    return f"{number} {word}{'' if len(things) == 1 else 's'}"


def _report(
    file: Path, problems: Sequence[Problem], warnings: Sequence[Problem]
) -> dict[str, Any]:
    return {
        "file": str(file),
        "problems": [_named(problem, file) for problem in problems],
        "warnings": [_named(warning, file) for warning in warnings],
    }


def _named(problem: Problem, file: Path) -> dict[str, str | int | None]:
    told = _in_file(problem, file)._asdict()
    del told["excerpt"]  # a program has the line and the column
    return told


def _in_file(problem: Problem, file: Path) -> Problem:
    return problem if problem.file else problem._replace(file=str(file))
