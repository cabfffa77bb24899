"""Which domain was meant: one or two letters off, among those that may be told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from string import ascii_lowercase, digits

from ..config.reading import Loaded

_LETTERS = ascii_lowercase + digits + "-."
_MOST_COMPARED = (
    300  # domains that are compared one by one: a fraction of a millisecond
)


def meant(domain: str, loaded: Loaded) -> str | None:
    """The domain that somebody may have meant, of providers that list theirs.

    Of many domains only those are found that are one letter off.
    """
    named = list(islice(_listed(loaded), _MOST_COMPARED + 1))
    if len(named) <= _MOST_COMPARED:
        near = ((_distance(domain, it), it) for it in named)
        best = min(near, default=(3, ""))
        return best[1] if 0 < best[0] <= 2 else None
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


def _one_off(word: str) -> Iterator[str]:
    """Every word that is one letter off."""
    for at in range(len(word) + 1):
        before, after = word[:at], word[at:]
        yield before + after[1:]
        yield before + after[1:2] + after[:1] + after[2:]
        for letter in _LETTERS:
            yield before + letter + after[1:]
            yield before + letter + after


def _distance(one: str, other: str) -> int:
    """How many letters are another, missing, too many or changed over; 3 for more.

    The optimal string alignment distance.
    """
    if abs(len(one) - len(other)) > 2 or len(set(one) ^ set(other)) > 4:
        return 3
    before: list[int] = []
    last = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, its in enumerate(other, 1):
            best = min(
                last[column] + 1, now[-1] + 1, last[column - 1] + (letter != its)
            )
            if (
                row > 1
                and column > 1
                and letter == other[column - 2]
                and one[row - 2] == its
            ):
                best = min(best, before[column - 2] + 1)
            now.append(best)
        if min(now) > 2:
            return 3
        before, last = last, now
    return min(last[-1], 3)
