"""Suggests the domain that was probably meant, for one that nobody here serves."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher, get_close_matches
from heapq import nlargest
from itertools import islice
from string import ascii_lowercase, digits

from ..config.reading import Loaded

_LETTERS = ascii_lowercase + digits + "-."
# What is compared takes a millisecond or two: domains of as many characters, that many of
# them by the letters that they have, and of those the best few letter by letter.
_LENGTHS = range(4, 41)
_MOST_COMPARED = 300
_MOST_MATCHED = 10
_MOST_WRONG = 2  # letters


def meant(domain: str, loaded: Loaded) -> str | None:
    """Return the domain like *domain* of a provider that lists its domains, or None.

    Two letters may differ; where there are too many domains to compare, one letter.
    """
    if len(domain) not in _LENGTHS:
        return None
    named = list(islice(_listed(loaded), _MOST_COMPARED + 1))
    if len(named) <= _MOST_COMPARED:
        return _closest(domain, named)
    providers = loaded.providers
    for name in _one_off(domain):
        index = loaded.claims.get(name.encode())
        if index is not None and providers[index].list_domains:
            return name
    return None


def _listed(loaded: Loaded) -> Iterator[str]:
    for provider in loaded.providers:
        if provider.list_domains:
            yield from provider.exact_domains


def _closest(domain: str, names: list[str]) -> str | None:
    matcher = SequenceMatcher(b=domain, autojunk=False)

    def likeness(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.quick_ratio()

    length = len(domain)
    alike = [it for it in names if abs(len(it) - length) <= _MOST_WRONG]
    best = nlargest(_MOST_MATCHED, alike, likeness)
    cutoff = (length - _MOST_WRONG) / length
    return next(iter(get_close_matches(domain, best, 1, cutoff)), None)


def _one_off(word: str) -> Iterator[str]:
    """Yield every word that is one letter off."""
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        yield before + after[1:]
        yield before + after[1:2] + after[:1] + after[2:]
        for letter in _LETTERS:
            yield before + letter + after[1:]
            yield before + letter + after
