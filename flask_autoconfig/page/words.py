"""The texts of the page in the visitor's language, and the labels of programs."""

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


def N_(text: str) -> str:  # noqa: N802 (gettext's name for a text to be extracted)
    """Mark a text that is translated later."""
    return text


@cache
def labels() -> Mapping[str, Mapping[str, str]]:
    """Return the texts of each label by `PROGRAM.LABEL`, then by language."""
    import tomllib

    programs = tomllib.loads(LABELS.read_text(encoding="utf-8"))
    return {
        f"{program}.{name}": texts
        for program, names in programs.items()
        for name, texts in names.items()
    }


class Words:
    """Translates the package's texts, and quotes the labels of programs."""

    def __init__(self, language: str, translate: Callable[[str], str]) -> None:
        self.language = language
        self._translate = translate
        # Bounded: the keys are texts of the code, the templates and labels.toml.
        self._texts: dict[str, Markup] = {}
        self._labels: dict[tuple[str, str], Markup] = {}

    @property
    def direction(self) -> str:
        """The value of HTML's attribute `dir`."""
        is_right = self.language.partition("-")[0].lower() in _RIGHT_TO_LEFT
        return "rtl" if is_right else "ltr"

    def say(self, text: str, /, **values: object) -> Markup:
        """Translate a text, and fill in its `%(name)s`."""
        translated = self._texts.get(text)
        if translated is None:
            translated = self._texts[text] = escape(self._translate(text))
        return translated % values if values else translated

    def label(self, name: str, description: str = "") -> Markup:
        """Quote the label of a program, or describe it if nobody has seen it.

        *name* is its key in labels.toml; the description is translated. Raise
        LookupError if there is neither.
        """
        key = (name, description)
        if key not in self._labels:
            self._labels[key] = self._label(name, description)
        return self._labels[key]

    def _label(self, name: str, description: str) -> Markup:
        texts = labels().get(name, {})
        tag = best_match([self.language], [tag for tag in texts if tag != "source"])
        if tag is not None:
            return macro("quoted")(texts[tag])
        if description:
            return self.say(description)
        if "en" not in texts:
            raise LookupError(f"labels.toml has no {name}")
        return macro("quoted")(texts["en"], "en")


@cache
def words_in(language: str, catalog: NullTranslations) -> Words:
    """Return the words of a language, by its tag, from a catalog."""
    return Words(language, catalog.gettext)


def pieces(text: object) -> list[str]:
    """Split a long value where a line may break: after `/`, `.` and `@`."""
    return _BREAK_AFTER.split(str(text))
