"""`validate`: reports what is wrong with the file, and what clients cannot take."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import families
from ...config.explain.lines import with_lines
from ...errors import ConfigError, Problem
from .. import options, project, terminal
from ..problems import shown
from ..warnings import find_warnings

# A family that a project's hooks exclude from answers.
_SILENT = "they get nothing ({}), since they log in with the address and find_username "
_SILENT += "returns other login names"
_SILENT_CURE = "leave that family out of `clients`, if you like"


@options.command("validate")
def command(asked: options.Asked) -> int:
    file = project.file()
    warnings: Sequence[Problem] = ()
    counted = "and warnings once it is mended"
    try:
        problems, warnings = _read(file)
        counted = _count(warnings, "warning")
    except ConfigError as error:
        problems = error.problems

    if asked.as_json:
        report: dict[str, Any] = {"file": str(file)}
        for kind, listed in (("problems", problems), ("warnings", warnings)):
            report[kind] = [
                it._asdict() | {"file": it.file or str(file)} for it in listed
            ]
            for each in report[kind]:
                del each["excerpt"]  # a program has line and column
        terminal.echo(json.dumps(report, indent=2))
    else:
        terminal.show(shown(problems, file, "error", terminal.width()))
        terminal.show(shown(warnings, file, "warning", terminal.width()))
        terminal.print_line(
            f"{file}: {_count(problems, 'problem')}, {counted}", err=True
        )
    return 1 if problems else 0


def _read(file: Path) -> tuple[Sequence[Problem], Sequence[Problem]]:
    loaded, service = project.loaded(), project.of_project()
    served = service.speaking if service else families.overriding()
    if served is None:
        served = families.chosen(loaded.tables.clients, "clients")
    chosen = service.families if service else ()
    found = find_warnings(loaded.providers, served, loaded.origins)
    warnings = [
        *with_lines(found, file, loaded.providers, loaded.origins),
        *loaded.warnings,
        *(
            Problem("", _SILENT.format(family.name), _SILENT_CURE, family.askers)
            for family in chosen
            if family not in served
        ),
    ]
    return loaded.skipped, warnings


def _count(found: Sequence[Problem], word: str) -> str:
    return f"{len(found) or 'no'} {word}{'' if len(found) == 1 else 's'}"
