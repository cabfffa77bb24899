"""Suggests the domain that was probably meant for one that is not served."""

from __future__ import annotations

from difflib import SequenceMatcher, get_close_matches
from heapq import nlargest
from itertools import islice

from ..config.reading import Loaded

# Bounds that keep the time of a request to a millisecond or two: only domains of such a
# length, so many of them by the letters that they contain, the best of these in full.
_LENGTHS = range(4, 41)
_MOST_COMPARED = 300
_MOST_MATCHED = 10
_MOST_WRONG = 2  # letters


def meant(domain: str, loaded: Loaded) -> str | None:
    """Return the most similar domain of a provider that lists its domains, or None.

    Two letters may differ. With more than 300 domains, none is suggested.
    """
    listing = (provider for provider in loaded.providers if provider.list_domains)
    listed = (name for provider in listing for name in provider.exact_domains)
    names = list(islice(listed, _MOST_COMPARED + 1))
    length = len(domain)
    if length not in _LENGTHS or len(names) > _MOST_COMPARED:
        return None
    matcher = SequenceMatcher(b=domain, autojunk=False)

    def similarity(name: str) -> float:
        matcher.set_seq1(name)
        return matcher.quick_ratio()

    similar = [name for name in names if abs(len(name) - length) <= _MOST_WRONG]
    best = nlargest(_MOST_MATCHED, similar, similarity)
    cutoff = (length - _MOST_WRONG) / length
    return next(iter(get_close_matches(domain, best, 1, cutoff)), None)
