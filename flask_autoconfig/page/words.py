"""What the page says: sentences in the visitor's language, and programs' own labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from gettext import NullTranslations
from pathlib import Path

from markupsafe import Markup, escape

from .alone import macro
from .languages import best_match

LABELS = Path(__file__).parent / "labels.toml"
_BREAK_AFTER = re.compile(r"(?<=[/.@])(?=.)")
_RIGHT_TO_LEFT = frozenset(("ar", "arc", "dv", "fa", "he", "ku", "ps", "ur", "yi"))


def N_(text: str) -> str:  # noqa: N802 (gettext's own name for a text to collect)
    """Mark a text that is translated later."""
    return text


@cache
def labels() -> Mapping[str, Mapping[str, str]]:
    """Each label's words by language, and by `PROGRAM.LABEL`; see labels.toml."""
    import tomllib

    programs = tomllib.loads(LABELS.read_text(encoding="utf-8"))
    return {
        f"{program}.{name}": words
        for program, names in programs.items()
        for name, words in names.items()
        if isinstance(words, dict)
    }


class Words:
    """A language: our sentences in it, and the labels that programs show in it."""

    def __init__(self, language: str, translate: Callable[[str], str]) -> None:
        self.language = language
        self._translate = translate
        # What does not depend on who asks: texts of the code and of labels.toml.
        self._said: dict[str, Markup] = {}
        self._labels: dict[tuple[str, str], Markup] = {}

    @property
    def direction(self) -> str:
        """Which way it is written, as HTML says it."""
        is_right = self.language.partition("-")[0].lower() in _RIGHT_TO_LEFT
        return "rtl" if is_right else "ltr"

    def say(self, text: str, /, **parts: object) -> Markup:
        """A sentence of ours, with `%(name)s` in it filled in."""
        said = self._said.get(text)
        if said is None:
            said = self._said[text] = escape(self._translate(text))
        return said % parts if parts else said

    def label(self, name: str, description: str = "") -> Markup:
        """What a program writes on something, as it stands there.

        Where nobody saw it in the language, it is described, and not quoted.
        """
        key = (name, description)
        if key not in self._labels:
            self._labels[key] = self._label(name, description)
        return self._labels[key]

    def _label(self, name: str, description: str) -> Markup:
        words = labels().get(name, {})
        tag = best_match([self.language], (it for it in words if it != "source"))
        if tag is None and description:
            return self.say(description)
        if tag is None and "en" not in words:
            raise LookupError(f"labels.toml has no {name}")
        if tag is None:
            return macro("quoted")(words["en"], "en")
        return macro("quoted")(words[tag])


@cache
def words_in(language: str, catalog: NullTranslations) -> Words:
    """The words of a language, by its tag, in a catalog."""
    return Words(language, catalog.gettext)


def pieces(text: object) -> list[str]:
    """A long value in the pieces between which a line may break: after `/`, `.`, `@`."""
    return _BREAK_AFTER.split(str(text))
