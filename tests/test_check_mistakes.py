"""Mistakes, one at a time, in a world that is right otherwise: `check` names each first.

`check_mistakes.toml` says what each mistake is and what `check` must report. A finding
below others that follow from the same cause would mislead: so it must be the first of its
status.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paper import Paper, World
from said import said, snapshot, words
from seeds import AT_CONFIG, checked, make
from support import tables
from world import Real

Mistake = dict[str, Any]
# The keys of a row that do not make its world.
REPORT = {"code", "at", "client", "status", "alone", "most"}
REPORT |= {"file", "options", "slow", "runs"}


def completed(rows: dict[str, Mistake]) -> Iterator[tuple[str, Mistake]]:
    """Yield the rows; "X, and no file" may leave out what makes the world of X."""
    for name, row in rows.items():
        base = rows.get(name.removesuffix(", and no file"), {})
        base = {} if row.keys() - REPORT else base
        makes = {key: value for key, value in base.items() if key not in REPORT}
        yield name, {**makes, **row}


MISTAKES = dict(completed(tables("check_mistakes.toml")))


def named_first(world: World, tmp_path: Path, name: str) -> dict[str, Any]:
    """Return the finding of the mistake, which must be the first of its status."""
    mistake = MISTAKES[name]
    status = mistake.get("status", "failure")
    make(world, mistake)
    with_file = mistake.get("file") is not False
    report = checked(world, mistake, tmp_path, with_file=with_file)
    listed: list[dict[str, Any]] = report["findings"]
    text = "\n".join(
        f"{found['status']} {found['code']} {found['subject']}: {found['seen']}"
        for found in listed
    )
    same = [found for found in listed if found["status"] == status]
    first = next(
        (
            found
            for found in same
            if found["code"] == mistake["code"]
            and mistake.get("at", AT_CONFIG) in found["subject"]
        ),
        None,
    )
    assert first, text
    assert status == "note" or first == same[0], text
    assert len(same) == 1 or not mistake.get("alone"), text
    assert len(same) <= mistake.get("most", len(same)), text
    assert mistake.get("client", "") in " ".join(first["clients"]), text
    if status != "failure":
        assert "failure" not in {found["status"] for found in listed}, text
    cures = [found["cure"] for found in listed]
    if any(cure.startswith("correct the file") for cure in cures):
        assert "reload the service" not in str(cures), text
    assert "EVOLUTIONUSER" not in str(listed)
    assert "('" not in "".join(found["seen"] + found["cure"] for found in listed)
    return first


def fast_rows() -> set[str]:
    """Return the first row of each code that needs no OpenSSL and little time.

    Rows without a file are of the tier `world`, as are further rows of a code.
    """
    first: dict[str, str] = {}
    for name, mistake in MISTAKES.items():
        is_in_memory = mistake.get("runs", "paper") in ("paper", "both")
        is_small = mistake.get("file") is not False and not mistake.get("slow")
        if is_in_memory and is_small:
            first.setdefault(mistake["code"], name)
    return {*first.values()}


def rows(*runs: str) -> list[Any]:
    """Return the names of mistakes that run in one of these ways, with their marks."""
    fast = fast_rows()
    return [
        pytest.param(name, marks=() if name in fast else pytest.mark.world)
        for name, mistake in MISTAKES.items()
        if any(run in mistake.get("runs", "paper") for run in runs)
    ]


@pytest.mark.parametrize("name", rows("paper", "both", "openssl"))
def test_a_mistake_is_named_first_and_at_its_place(
    world: Paper, tmp_path: Path, name: str
) -> None:
    first = named_first(world, tmp_path, name)
    assert words(first) == snapshot(name, first)


@pytest.mark.world
@pytest.mark.parametrize("name", rows("both", "real"))
def test_a_mistake_of_real_servers_is_named_first(
    real_world: Real, tmp_path: Path, name: str
) -> None:
    first = named_first(real_world, tmp_path, name)
    if MISTAKES[name]["runs"] == "real":
        assert words(first) == snapshot(name, first)


def test_every_mistake_is_made_and_has_words() -> None:
    assert set(said()) == set(MISTAKES)
