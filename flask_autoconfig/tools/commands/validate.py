"""`validate`: what is wrong with the file, and what single clients cannot take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ...config.reading import read
from ...errors import ConfigError, Problem
from .. import project, quirks


@click.command("validate")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """Tell every problem of the file, and what single clients cannot take."""
    file = project.file()
    problems: Sequence[Problem] = ()
    warnings: Sequence[Problem] = ()
    try:
        loaded = read(file)
        problems = loaded.skipped
        served = project.served_families(loaded)
        warnings = [
            *loaded.unmatched,
            *loaded.ended,
            *project.silent_families(),
            *quirks.warnings(loaded.providers, served, loaded.origins),
        ]
    except ConfigError as error:
        problems = error.problems

    if as_json:
        click.echo(json.dumps(_report(file, problems, warnings), indent=2))
    else:
        for problem in problems:
            click.echo(problem)
        _echo_warnings(warnings)
        counts = f"{_count(problems, 'problem')}, {_count(warnings, 'warning')}"
        click.echo(f"{file}: {counts}", err=True)
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


def _named(problem: Problem, file: Path) -> dict[str, str]:
    return problem._asdict() | {"file": problem.file or str(file)}


def _echo_warnings(warnings: Sequence[Problem]) -> None:
    by_client: dict[str, list[Problem]] = {}
    for it in warnings:
        by_client.setdefault(it.client, []).append(it._replace(client=""))
    for client, problems in by_client.items():
        if client:
            click.echo(f"{client}:")
        for it in problems:
            click.echo(f"{'  ' if client else ''}warning: {it}")
