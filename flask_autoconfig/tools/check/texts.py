"""The texts of findings, read from `texts.toml`."""

import re
from collections.abc import Iterable
from functools import cache, lru_cache, partial
from typing import Any, NamedTuple

from ...files import table_beside
from ..net.common import for_software

Values = tuple[tuple[str, str], ...]
Around = tuple[tuple[str, Values], ...]  # names of [around] texts, the innermost first
_file = partial(table_beside, __file__, "texts.toml")


class Row(NamedTuple):
    """What texts.toml says of a code; the texts have placeholders, or are filled in."""

    seen: str = ""
    why: str = ""
    cure: str = ""
    step: str = ""
    means: str = ""
    status: str = "failure"
    marks: tuple[str, ...] = ()
    follows: str = ""
    follows_from: tuple[str, ...] = ()


@cache
def row(code: str) -> Row:
    """Return the row of a code, with the texts of the code that it is `like`."""
    table = _file()[code]
    like = row(table["like"])[:4] if "like" in table else ()
    inherited = dict(zip(Row._fields, like, strict=False))
    return Row(**inherited | {key: table[key] for key in Row._fields if key in table})


def table(name: str) -> dict[str, Any]:
    """Return a table of no code, such as `shared`, the texts that codes share."""
    return dict(_file()[name])


def codes() -> list[str]:
    return [key for key in _file() if "." in key]


def hosters(kind: str, hosts: Iterable[str]) -> set[str]:
    """Return the providers of hosts: of all for "mx", of any for "read" and "asked"."""
    names = [f".{host.lower()}" for host in hosts]
    need = all if names and kind == "mx" else any
    return {
        hoster
        for hoster, ends in table("hosters").items()
        if need(name.endswith(tuple(ends.get(kind, ()))) for name in names)
    }


def code_on(step: str, kind: str, default: str) -> str:
    """Return the code of a step, such as "tls", for a kind of error or a status."""
    for code, row in _file().items():
        if code.startswith(f"{step}.") and kind in row.get("on", ()):
            return code
    return default


@cache
def patterns(kind: str) -> dict[str, re.Pattern[str]]:
    """Return patterns of responses, by code: kind is page, refusal, login or sending."""
    rows = {code: row[kind] for code, row in _file().items() if kind in row}
    return {code: re.compile("|".join(parts), re.I) for code, parts in rows.items()}


def code_of(kind: str, response: str, default: str = "") -> str:
    """Return the first code whose pattern a response matches."""
    codes = (code for code, words in patterns(kind).items() if words.search(response))
    return next(codes, default)


@lru_cache(maxsize=4096)  # bounded: servers choose the values
def text_of(
    code: str, values: Values, around: Around = (), advice: str = "", protocol: str = ""
) -> Row:
    """Return the texts of a finding; *advice* replaces the cure of the code.

    The cure names settings of the software in the values, or of the protocol's usual one.
    """
    by_name = {**table("shared"), **dict(values)}
    software = by_name.get("software", "")
    by_name["maker"] = f" ({software})" if software else ""
    seen, why, cure = (text.format_map(by_name) for text in row(code)[:3])
    cure = advice or cure
    for name, outer_values in around:
        outer = _file()["around"][name]
        by_name = {**table("shared"), **dict(outer_values), "seen": seen}
        seen = outer.get("seen", "{seen}").format_map(by_name)
        why = outer.get("why", "").format_map(by_name) or why
        if "cure" in outer:
            rest_of_cure = f"{outer['then']}{cure}" if cure and "then" in outer else ""
            cure = outer["cure"].format_map(by_name) + rest_of_cure
    return Row(seen, why, for_software(cure, software, protocol))
