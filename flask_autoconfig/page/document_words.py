"""The words of documents for people, from the page's catalogs."""

from __future__ import annotations

from ..snapshot import Stage
from .languages import best_match, languages, translations


class CatalogWords:
    """What documents say, in every language that the page speaks on this stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def best(self, wanted: str) -> str:
        """The tag of the language for whoever wants that one; English for nobody's."""
        return best_match([wanted], self.languages()) or "en"

    def languages(self) -> list[str]:
        """The tags of all languages, English first."""
        return list(languages(self._stage.catalogs()))

    def say(self, text: str, language: str) -> str:
        """A text in the language of that tag; as it is where nobody translated it."""
        return translations(language, self._stage.catalogs()).gettext(text)
