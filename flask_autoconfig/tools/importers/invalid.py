"""Leaves out of an imported provider what cannot be served, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from ...config.ports import standard_port
from ...config.reading import from_raw
from ...errors import ConfigError
from .imported import Raw

# One round removes values, the next one tables that need them, and so on.
_MOST_ROUNDS = 5
_REMOVED = object()  # an item of a list that is going to be removed
_STEP = re.compile(r'([\w-]+)|\[(\d+)\]|"((?:[^"\\]|\\.)*)"')


def leave_out_invalid(provider: Raw, where: Callable[[Any, Any], str]) -> Iterator[str]:
    """Remove each invalid value, and each table that is invalid without it.

    Yield a note for each. *where* says where the imported file has the value of a table.
    What is wrong with the provider as a whole stays.
    """
    for _ in range(_MOST_ROUNDS):
        try:
            from_raw({"provider": [provider]})
            return
        except ConfigError as error:
            problems = {
                problem.place.removeprefix("provider[0]").removeprefix("."): problem
                for problem in error.problems
            }
        shortened: list[tuple[Raw, str]] = []
        is_done = True
        for place, problem in problems.items():
            steps = _steps_to(provider, place)
            if not steps or _is_list_of_tables(steps[-1]):
                continue
            is_done = False
            container, key = steps[-1]
            shown = where(container[key], "") or where(container, key)
            if isinstance(container, list):
                container[key] = _REMOVED
                shortened.append(steps[-2])
            else:
                del container[key]
            served = _replacement(container, key)
            yield f"{place} is left out{shown}: {problem.message}{served}"
        for table, key in shortened:
            table[key] = [item for item in table[key] if item is not _REMOVED]
        if is_done:
            return


def _steps_to(provider: Raw, place: str) -> list[tuple[Any, Any]]:
    """Return the containers on the way to a place, each with the key or index there.

    A key that is missing is not among them: the problem is the table's.
    """
    steps: list[tuple[Any, Any]] = []
    value: Any = provider
    for name, index, quoted in _STEP.findall(place):
        key = int(index) if index else name or quoted
        try:
            below = value[key]
        except (KeyError, IndexError, TypeError):
            break
        steps.append((value, key))
        value = below
    return steps


def _is_list_of_tables(step: tuple[Any, Any]) -> bool:
    container, key = step
    value = container[key]
    return isinstance(value, list) and any(isinstance(item, dict) for item in value)


def _replacement(server: Any, key: Any) -> str:
    """Give a server without a valid `socket_type` the one that its port has."""
    if key != "socket_type":
        return ""
    type_, port = server.get("type", ""), server.get("port")
    is_starttls = port == 25 or (port and port == standard_port(type_, "STARTTLS"))
    server["socket_type"] = "STARTTLS" if is_starttls else "SSL"
    return f"; {server['socket_type']} is served"
