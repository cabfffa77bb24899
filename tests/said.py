"""The words of findings, in one file: `UPDATE_WORDS=1 pytest …` writes them anew."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("said.json")
Words = dict[str, str]


def said() -> dict[str, Words]:
    """The words of each finding, by the names of mistakes."""
    known: dict[str, Words] = json.loads(_FILE.read_text()) if _FILE.exists() else {}
    return known


def words(found: Mapping[str, Any]) -> Words:
    """What is said in a finding, without what is another each day."""
    told = {name: str(found[name]) for name in ("seen", "why", "cure")}
    return {
        name: re.sub(r"\d{4}-\d\d-\d\d", "2030-12-31", text)
        for name, text in told.items()
    }


def snapshot(name: str, found: Mapping[str, Any]) -> Words:
    """The words as the file has them; with UPDATE_WORDS=1 in the environment, as found."""
    known = said()
    if os.environ.get("UPDATE_WORDS") == "1":
        known[name] = words(found)
        text = json.dumps(known, indent=1, ensure_ascii=False, sort_keys=True)
        _FILE.write_text(f"{text}\n")
    return known[name]
