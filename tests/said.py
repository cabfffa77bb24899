"""The snapshot of the texts of findings; `UPDATE_WORDS=1 pytest …` updates it."""

import json
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("said.json")
Words = dict[str, str]


@cache
def said() -> dict[str, Words]:
    """Return the texts of each finding, by the name of the mistake."""
    known: dict[str, Words] = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return known


def words(found: Mapping[str, Any]) -> Words:
    """Return the texts of a finding, with a fixed date."""
    texts = {name: str(found[name]) for name in ("seen", "why", "cure")}
    return {
        name: re.sub(r"\d{4}-\d\d-\d\d", "2030-12-31", text)
        for name, text in texts.items()
    }


def snapshot(name: str, found: Mapping[str, Any]) -> Words:
    """Return the texts in the file; with UPDATE_WORDS=1, update them first."""
    known = said()
    if os.environ.get("UPDATE_WORDS") == "1":
        known[name] = words(found)
        text = json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True)
        _FILE.write_text(f"{text}\n")
    return known[name]
