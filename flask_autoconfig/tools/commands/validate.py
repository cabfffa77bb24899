"""`validate`: reports errors in the file, and settings that clients cannot use."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ... import families
from ...config.explain.lines import with_lines
from ...errors import ConfigError, Problem
from .. import options, project, terminal
from ..problems import as_lines
from ..warnings import find_warnings


@options.command("validate")
def command(args: options.Asked) -> int:
    file = project.file()
    warnings: Sequence[Problem] = ()
    count = "and warnings once it is corrected"
    try:
        problems, warnings = _read(file)
        count = _count(warnings, "warning")
    except ConfigError as error:
        problems = error.problems

    if args.as_json:
        report: dict[str, Any] = {"file": str(file)}
        for key, rows in (("problems", problems), ("warnings", warnings)):
            report[key] = [p._asdict() | {"file": p.file or str(file)} for p in rows]
        terminal.echo(json.dumps(report, indent=2))
    else:
        count = f"{_count(problems, 'problem')}, {count}"
        terminal.show(as_lines(problems, file, "error", terminal.width()))
        terminal.show(as_lines(warnings, file, "warning", terminal.width()))
        terminal.print_line(f"{file}: {count}", err=True)
    return 1 if problems else 0


def _read(file: Path) -> tuple[Sequence[Problem], Sequence[Problem]]:
    loaded, service = project.loaded(), project.of_project()
    served = service.published_families if service else families.explicit_families()
    if served is None:
        served = families.chosen(loaded.tables.clients, "clients")
    warnings = find_warnings(loaded.providers, served, loaded.origins)
    warnings = with_lines(warnings, file, loaded.providers, loaded.origins)
    return loaded.skipped, [*warnings, *loaded.warnings]


def _count(problems: Sequence[Problem], word: str) -> str:
    return f"{len(problems) or 'no'} {word}{'' if len(problems) == 1 else 's'}"
