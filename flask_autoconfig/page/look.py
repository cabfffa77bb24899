"""The page's colours: a provider's own, so that everybody can still read it."""

from __future__ import annotations

PAPER, DARK_PAPER = "#f5f6f8", "#1b212b"  # what links stand on: style.css has them too
ENOUGH = 4.5  # WCAG 2.2, success criterion 1.4.3
_STEP = 0.06

_Rgb = tuple[float, float, float]


def contrast(one: str, other: str) -> float:
    """The contrast of two colours `#rrggbb`, from 1 to 21 (WCAG 2.2)."""
    light, dark = sorted(map(_luminance, (_rgb(one), _rgb(other))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(colour: str) -> str:
    """Black or white, whichever is read better on a colour."""
    return max("#ffffff", "#000000", key=lambda ink: contrast(ink, colour))


def legible(colour: str, ground: str) -> str:
    """The colour, darker or lighter until a text in it is read on the ground."""
    towards = 0.0 if _luminance(_rgb(ground)) > 0.18 else 1.0
    rgb, shade = _rgb(colour), colour
    while contrast(shade, ground) < ENOUGH:
        rgb = tuple(it + (towards - it) * _STEP for it in rgb)  # type: ignore[assignment]
        shade = _hex(rgb)
    return shade


def colours(brand: str) -> dict[str, str]:
    """The colours of the style sheet colours.css, for a provider's own."""
    return {
        "brand": brand,
        "on_brand": ink_on(brand),
        "accent": legible(brand, PAPER),
        "dark_accent": legible(brand, DARK_PAPER),
    }


def _rgb(colour: str) -> _Rgb:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _hex(rgb: _Rgb) -> str:
    return "#" + "".join(f"{round(it * 255):02x}" for it in rgb)


def _luminance(rgb: _Rgb) -> float:
    red, green, blue = (
        it / 12.92 if it <= 0.04045 else ((it + 0.055) / 1.055) ** 2.4 for it in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
