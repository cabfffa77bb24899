"""Mistakes, one at a time, in a world that is right otherwise: `check` names each first.

`check_mistakes.toml` says what each mistake is and what `check` must report; where a
mistake is not data, `seeds.py` has a function. A finding below others that follow from the
same cause would mislead: so it must be the first of its status.
"""

from __future__ import annotations

import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from paper import Paper, World
from said import said, snapshot, words
from seeds import (
    ANYWHERE,
    AT_CONFIG,
    CHANGES,
    ISPDB,
    SEEDS,
    WEB_NAMES,
    WHEN,
    at_web,
    certified,
    dav,
    edited,
    failing,
    hoster,
    in_ispdb,
    mail_server,
    page,
    records,
    reply,
    when,
)
from world import BIND, DOMAIN, TOML, USER, Real

Mistake = dict[str, Any]
MISTAKES: dict[str, Mistake] = tomllib.loads(
    Path(__file__).with_name("check_mistakes.toml").read_text(encoding="utf-8")
)


def make(here: World, name: str, mistake: Mistake) -> None:
    """Make the mistake in the world."""
    if name in SEEDS:
        SEEDS[name](here)
    if "zone" in mistake:
        text = records(here, **mistake["zone"])
        if BIND in mistake.get("options", ()):
            here.bind.load("", text)
        else:
            here.names.serve(text)
    if "name_server" in mistake:
        address = mistake["options"][1]
        here.name_server(address, failing(**mistake["name_server"]))
    if "web" in mistake:
        at_web(certified(*WEB_NAMES, f"www.{DOMAIN}", **mistake["web"]))(here)
    if "mail" in mistake:
        mail_server(**mistake["mail"])(here)
    answer = response(mistake)
    if answer is not None:
        paths = (mistake["path"],) if "path" in mistake else ANYWHERE
        at_paths = partial(when, lambda asked: asked.path in paths)
        others: dict[str, Any] = {
            "": at_paths,
            "at the hoster": hoster,
            "at another calendar": dav,
            "in the ISP database": in_ispdb,
        }
        how = mistake.get("when", "")
        seed = others.get(how) or partial(when, WHEN[how])
        seed(answer)(here)


def response(mistake: Mistake) -> Any:
    """Return the response that the mistake describes, or None."""
    headers = mistake.get("headers", {})
    if "page" in mistake:
        return page(mistake["page"])
    if "reply" in mistake:
        return reply(mistake["reply"], mistake.get("body", "no"), headers)
    if mistake.keys() & {"edit", "change", "headers"}:
        change = CHANGES.get(mistake.get("change", ""))
        return edited(mistake.get("edit", {}), change, **headers)
    return None


def findings(here: World, mistake: Mistake, tmp_path: Path) -> list[dict[str, Any]]:
    file = None
    options = list(mistake.get("options", ()))
    if mistake.get("when") == "in the ISP database":
        options += ISPDB
    if mistake.get("file") is False:
        options.append("--allow-private")
    else:
        text = TOML
        for old, new in mistake.get("file", {}).items():
            text = text.replace(old, new)
        file = tmp_path / "autoconfig.toml"
        file.write_text(text)
    if not options or not options[0].endswith(".test"):
        options.insert(0, USER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        found: list[dict[str, Any]] = here.check(*options, file=file)["findings"]
    return found


def named_first(here: World, tmp_path: Path, name: str) -> dict[str, Any]:
    """Return the finding of the mistake, which must be the first of its status."""
    mistake = MISTAKES[name]
    status = mistake.get("status", "failure")
    make(here, name, mistake)
    listed = findings(here, mistake, tmp_path)
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


def rows(*runs: str) -> list[Any]:
    """Return the names of mistakes that run in one of these ways, with their marks."""
    return [
        pytest.param(name, marks=pytest.mark.world if "openssl" in how else ())
        for name, mistake in MISTAKES.items()
        if any(run in (how := mistake.get("runs", "paper")) for run in runs)
    ]


@pytest.mark.parametrize("name", rows("paper", "both", "openssl"))
def test_a_mistake_is_named_first_and_at_its_place(
    on_paper: Paper, tmp_path: Path, name: str
) -> None:
    first = named_first(on_paper, tmp_path, name)
    assert words(first) == snapshot(name, first)


@pytest.mark.world
@pytest.mark.parametrize("name", rows("both", "real"))
def test_a_mistake_of_real_servers_is_named_first(
    really: Real, tmp_path: Path, name: str
) -> None:
    first = named_first(really, tmp_path, name)
    if MISTAKES[name]["runs"] == "real":
        assert words(first) == snapshot(name, first)


def test_every_mistake_is_made_and_has_words() -> None:
    assert set(said()) == set(MISTAKES)
    assert set(SEEDS) <= set(MISTAKES)
