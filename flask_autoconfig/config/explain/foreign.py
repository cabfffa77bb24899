"""Translates the placeholders of other programs into ours.

For example Dovecot's %u and %{user | domain}, Exim's $local_part, automx's {0}, the
{{email}} of templates and the <email> of instructions.
"""

from __future__ import annotations

import re

from ...address import DOMAIN_PLACEHOLDER, PLACEHOLDERS
from .words import names_in

ADDRESS, LOCAL_PART, _, REAL_NAME = PLACEHOLDERS
_DOMAIN = DOMAIN_PLACEHOLDER
_OURS = re.compile("|".join(PLACEHOLDERS))
# A name in any kind of brackets, or one of Dovecot's letters after a %.
_THEIRS = re.compile(
    r"%\{(?P<a>[^{}]*)\}|%\((?P<b>\w+)\)s"
    r"|\$\{\s*(?P<c>\w+)[^{}]*\}|\$(?P<d>[A-Za-z_]\w*)\$?"
    r"|\{\{?\s*+(?P<e>[\w@.-]*+)[^{}]*+\}\}?"
    r"|<(?P<f>[\w@. -]+)>|\[(?P<g>[\w@. -]+)\]"
    r"|%(?P<h>[A-Za-z]\w*)%|%[LU]?(?P<i>[a-z])(?![A-Za-z])"
)
_NAMES = {
    name: ours for ours, names in names_in("placeholders").items() for name in names
}
_EITHER = names_in("others")["either"]  # alone, they may mean the whole address


def meaning_of(name: str) -> str:
    """Return our placeholder for another program's name, or ""."""
    plain = re.sub(r"[\s_.-]|^your(?=.)", "", name.lower())
    return _NAMES.get(name.lower()) or _NAMES.get(plain, "")


def theirs_in(text: str) -> str:
    """Return the first placeholder of another program in a text, or ""."""
    found = _THEIRS.search(_OURS.sub(lambda match: " " * len(match[0]), text))
    return found[0] if found else ""


def translated(text: str) -> str:
    """Return the text with our placeholders instead of other programs'."""
    kept: list[str] = []

    def keep(placeholder: str) -> str:
        kept.append(placeholder)
        return f"\0{len(kept) - 1}\0"

    def ours_for(match: re.Match[str]) -> str:
        name = next((group for group in match.groups() if group is not None), "")
        *filters, name = map(str.strip, name.split("|"))  # Dovecot's user | domain
        alone = match[0] == text and not filters
        ours = ADDRESS if alone and name.lower() in _EITHER else meaning_of(name)
        return keep(ours or ADDRESS)

    result = _OURS.sub(lambda match: keep(match[0]), text.replace("\0", ""))
    result = _THEIRS.sub(ours_for, result)
    result = re.sub("\0(\\d+)\0", lambda match: kept[int(match[1])], result)
    for whole in (f"{LOCAL_PART}@{_DOMAIN}", f"{ADDRESS}@{_DOMAIN}"):
        result = result.replace(whole, ADDRESS)
    return result


def login_for(text: str) -> str:
    """Return what to write for a user name that is the same for every address."""
    if theirs_in(text):
        return translated(text)
    meaning = meaning_of(text)
    if meaning in (ADDRESS, LOCAL_PART) and text.lower() not in _EITHER:
        return meaning
    domain, backslash, _ = text.rpartition("\\")
    return f"{domain}\\{LOCAL_PART}" if backslash else ADDRESS
