"""The words of documents for people, from the page's catalogs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .languages import best_match, languages, translations


class CatalogWords:
    """What documents say, in every language that the page speaks."""

    def __init__(self, own: Callable[[], Path | None]) -> None:
        """`own` gives the folder with a site's own catalogs, if it has one."""
        self._own = own

    def best(self, wanted: str) -> str:
        """The tag of the language for whoever wants that one; English for nobody's."""
        return best_match([wanted], self.languages()) or "en"

    def languages(self) -> list[str]:
        """The tags of all languages, English first."""
        return list(languages(self._own()))

    def say(self, text: str, language: str) -> str:
        """A text in the language of that tag; as it is where nobody translated it."""
        return translations(language, self._own()).gettext(text)
