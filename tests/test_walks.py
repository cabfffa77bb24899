"""The walks of walks.md that the real programs were led through: Thunderbird's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import seen
from support import serving, until
from test_labels import thunderbird_says
from thunderbird import Thunderbird, thunderbird

from flask_autoconfig.page.words import labels

ADDRESS = "anna@harmony.test"


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thunderbird]:
    """A German Thunderbird at its first start, which the service can reach."""
    thunderbird_says(
        "de", labels()["thunderbird.continue"]["source"]
    )  # it is installed
    folder = tmp_path_factory.mktemp("walk")
    file = seen.configuration(folder)
    text = file.read_text(encoding="utf-8").replace("harmony.example", "harmony.test")
    file.write_text(text, encoding="utf-8")
    profile = folder / "profile"
    profile.mkdir()
    with serving(file) as url:
        port = int(url.rpartition(":")[2])
        with thunderbird(profile, service_port=port, language="de") as program:
            yield program


def label(name: str) -> str:
    return labels()[f"thunderbird.{name}"]["de"]


@pytest.mark.client
def test_thunderbird_goes_the_pages_way_to_the_password(german: Thunderbird) -> None:
    until(lambda: label("full-name") in german.seen(), 90)  # it asks by itself
    assert label("email-address") in german.seen()
    assert label("manual-configuration") in german.seen()
    typed = {"realName": "Anna Muster", "email": ADDRESS}
    assert german.act(label("continue"), **typed)
    until(lambda: label("recommended") in german.seen(), 90)
    assert german.act(label("continue"))
    until(lambda: label("password") in german.seen(), 90)
    assert label("continue") in german.seen()
