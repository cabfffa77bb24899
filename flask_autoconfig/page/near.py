"""Suggests or completes a domain: the one that was probably meant."""

from __future__ import annotations

import re
from difflib import get_close_matches
from itertools import islice

from ..address import parse_address
from ..config.reading import Loaded
from ..hooks import HOOK_NAMES
from ..lookup import Lookup

# Bounds for the time of a request.
_LENGTHS = range(4, 41)
_MOST_COMPARED = 300
_MOST_WRONG = 2  # letters
_NAME = re.compile(r"[\w.+-]+")  # a local part that a person types for an address


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
    similar = [name for name in names if abs(len(name) - length) <= _MOST_WRONG]
    cutoff = (length - _MOST_WRONG) / length
    return next(iter(get_close_matches(domain, similar, 1, cutoff)), None)


def completed(typed: str, lookup: Lookup) -> str:
    """Return a name with the domain after it, if only one is served and listed."""
    loaded, hooks = lookup.snapshot.loaded, lookup.hooks
    has_hook = any(map(hooks.has, HOOK_NAMES[:2]))
    if not _NAME.fullmatch(typed) or has_hook or len(loaded.claims) != 1:
        return typed
    domain = next(iter(loaded.claims)).decode()
    providers = loaded.providers
    is_listed = all(row.list_domains and not row.mx_domains for row in providers)
    if "*" in domain or not is_listed or typed.lower().endswith(domain):
        return typed
    try:
        return str(parse_address(f"{typed}@{domain}"))
    except ValueError:
        return typed
