"""Derives legible colours from a provider's colour."""

# The backgrounds of links; style.css has the same values.
PAPER, DARK_PAPER = "#f5f6f8", "#1b212b"
ENOUGH = 4.5  # WCAG 2.2, success criterion 1.4.3
_STEP = 0.06

_Rgb = tuple[float, float, float]


def contrast(colour: str, background: str) -> float:
    """Return the contrast of two colours `#rrggbb`, from 1 to 21 (WCAG 2.2)."""
    dark, light = sorted(map(_luminance, (_rgb(colour), _rgb(background))))
    return (light + 0.05) / (dark + 0.05)


def legible(colour: str, background: str) -> str:
    """Darken or lighten a colour until text in it is legible on the background."""
    target = 0.0 if _luminance(_rgb(background)) > 0.18 else 1.0
    rgb, shade = _rgb(colour), colour
    while contrast(shade, background) < ENOUGH:
        red, green, blue = (value + (target - value) * _STEP for value in rgb)
        rgb = red, green, blue
        shade = "#" + "".join(f"{round(value * 255):02x}" for value in rgb)
    return shade


def colours(brand: str) -> dict[str, str]:
    """Return the variables of colours.css for a provider's colour."""
    inks = ("#ffffff", "#000000")
    return {
        "brand": brand,
        "on_brand": max(inks, key=lambda ink: contrast(ink, brand)),
        "accent": legible(brand, PAPER),
        "dark_accent": legible(brand, DARK_PAPER),
    }


def _rgb(colour: str) -> _Rgb:
    red, green, blue = (value / 255 for value in bytes.fromhex(colour[1:]))
    return red, green, blue


def _luminance(rgb: _Rgb) -> float:
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in rgb
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
