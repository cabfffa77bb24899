"""The walks of walks.md, and the one through the real Thunderbird."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
import seen
from services import serving, until
from test_labels import thunderbird_label
from thunderbird import Thunderbird, thunderbird

from flask_autoconfig.config.tables import ProgramName
from flask_autoconfig.page.words import labels

WALKS = Path(__file__).parent / "walks.md"


def test_there_is_a_walk_for_each_program() -> None:
    text = WALKS.read_text(encoding="utf-8")
    walks = re.findall(r"^## `([\w-]+)`$", text, re.MULTILINE)
    assert sorted(walks) == sorted(get_args(ProgramName))
    for walk in text.split("\n## ")[1:]:
        assert re.search(r"\b(Tried|Not tried): ", walk), walk.partition("\n")[0]
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert (WALKS.parent / name).exists(), name


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Thunderbird]:
    """A German Thunderbird at its first start, which can reach the service."""
    # Skip the test if the language pack is missing.
    thunderbird_label("de", labels()["thunderbird.continue"]["source"])
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


@pytest.mark.world
@pytest.mark.client
def test_thunderbird_asks_for_what_the_steps_say(german: Thunderbird) -> None:
    until(lambda: label("full-name") in german.seen(), 90)  # asked at the first start
    assert label("email-address") in german.seen()
    assert label("manual-configuration") in german.seen()
    typed = {"realName": "Anna Muster", "email": "anna@harmony.test"}
    assert german.act(label("continue"), **typed)
    until(lambda: label("recommended") in german.seen(), 90)
    assert german.act(label("continue"))
    until(lambda: label("password") in german.seen(), 90)
    assert label("continue") in german.seen()
