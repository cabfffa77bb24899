"""Importing files like those of the ISP database loses nothing that they contain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree
from support import ISP, ISP_FILES, rows, run, shared

from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.documents import thunderbird
from flask_autoconfig.documents.thunderbird_reader import Reader


def _paths(element: etree._Element, above: str = "") -> Iterator[str]:
    """Yield the path of each element and attribute, with the types of servers."""
    path = f"{above}/{element.tag}"
    yield path
    yield from (f"{path}/@{name}" for name in element.attrib)
    if type_ := element.get("type"):
        path += f"[{type_}]"
    for child in element.iterchildren(etree.Element):
        yield from _paths(child, path)


@pytest.mark.world
def test_the_files_have_every_element_of_the_real_isp_database() -> None:
    real = shared("ispdb").glob("*.xml")
    expected = {path for file in real for path in _paths(etree.parse(file).getroot())}
    assert expected <= {
        path for file in ISP_FILES for path in _paths(etree.parse(file).getroot())
    }


def test_only_a_misspelt_element_is_lost() -> None:
    done = run("import", *ISP_FILES)
    assert done.returncode == 0
    assert done.stderr.rstrip().endswith(
        ": <displayNameShort> is left out: the format has no such element"
    )
    assert done.stderr.count("left out") == 1


def test_an_unfinished_placeholder_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(run("import", ISP / "slips.test.xml").stdout)
    done = run("--config", file, "validate")
    assert done.returncode == 0
    place = "incoming[1].username (slips.test): Every client: %EMAILADDRESS without"
    assert place in done.stdout


@pytest.mark.parametrize("file", ISP_FILES, ids=lambda file: file.stem)
def test_a_file_that_is_read_and_written_reads_the_same(file: Path) -> None:
    read = from_raw({"provider": [Reader().read(file.read_bytes())]})
    written = thunderbird.write(read.providers[0])
    assert from_raw({"provider": [Reader().read(written)]}) == read


@rows("invalid_urls", "element, before, lost", "imports.toml")
def test_only_an_invalid_url_is_left_out(
    tmp_path: Path, element: str, before: str, lost: list[str]
) -> None:
    usual = ISP / "diary.test.xml"
    file = tmp_path / "odd.xml"
    text = usual.read_text(encoding="utf-8")
    file.write_text(text.replace(before, element + before, 1), encoding="utf-8")
    done = run("import", file)
    assert done.returncode == 0, done.stderr
    lines = [line.partition("odd.xml: ")[2] for line in done.stderr.splitlines()]
    places = [line.partition(" is left out")[0] for line in lines if line[0] != "<"]
    assert places == lost
    assert loads(done.stdout)
    expected = run("import", usual).stdout.splitlines()
    assert set(expected) <= set(done.stdout.splitlines())
