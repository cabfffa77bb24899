"""examples/reference.toml is valid and has every key of the model with its default."""

import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import NODEFAULT, Struct, structs
from services import run
from support import MODEL, ROOT, certificate_for

from flask_autoconfig.config import tables

REFERENCE = (ROOT / "examples/reference.toml").read_text(encoding="utf-8")
# With the keys that are commented out.
WHOLE = re.sub(r"(?m)^#:", "", REFERENCE)


def _inside(kind: Any) -> Iterator[Any]:
    """Yield a type, the types in it, and the words of literal ones."""
    yield kind
    for inner in get_args(kind):
        yield from _inside(inner)


def _add_keys(value: Any, table: type[Struct], found: dict[type, set[str]]) -> None:
    """Add the keys of a table and of the tables in it."""
    found.setdefault(table, set()).update(value)
    for field in structs.fields(table):
        held = value.get(field.name, ())
        items = held if isinstance(held, list) else [held]
        for inner in MODEL.intersection(_inside(field.type)):
            for item in items:
                if isinstance(item, dict):
                    _add_keys(item, inner, found)


def test_it_has_every_key_of_the_model_and_no_other() -> None:
    found: dict[type, set[str]] = {}
    _add_keys(tomllib.loads(WHOLE), tables.Config, found)
    assert found.keys() == MODEL
    for table, keys in found.items():
        assert keys == {field.name for field in structs.fields(table)}, table


def test_it_is_valid_without_warnings() -> None:
    result = run("--config", ROOT / "examples/reference.toml", "validate")
    assert (result.returncode, result.stdout) == (0, "")
    assert "no problems, no warnings" in result.stderr


def test_it_is_valid_with_the_keys_that_are_commented_out(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path, dirs_exist_ok=True)
    certificate, key = certificate_for("example.com", folder=tmp_path)
    shutil.copy(certificate, tmp_path / "sign.pem")
    shutil.copy(key, tmp_path / "sign.key")
    shutil.copy(tmp_path / "ca.pem", tmp_path / "chain.pem")
    file = tmp_path / "whole.toml"
    file.write_text(WHOLE, encoding="utf-8")
    result = run("--config", file, "validate", code=0)
    assert "no problems" in result.stderr


DEFAULTS = {
    field.name: str(field.default).lower()
    for table in (tables.Config, tables.Provider)
    for field in structs.fields(table)
    if isinstance(field.default, (bool, int))
} | {
    "socket_type": "SSL",
    "username": "%EMAILADDRESS%",
    "authentication": "password-cleartext",
    "port": "993",
}


@pytest.mark.parametrize(("key", "default"), DEFAULTS.items())
def test_the_comment_of_a_key_names_its_default(key: str, default: str) -> None:
    line = rf"^(?:#:)?(?:\[+\S*?\b)?{key}(?:\]+| =)"
    found = re.search(rf"((?:^# .*\n)*){line}", REFERENCE, re.MULTILINE)
    assert found
    assert re.search(r"\bdefault\b", found[1])
    assert default in found[1]


def test_required_keys_are_marked() -> None:
    for table in MODEL - {tables.AuthenticationMethod}:
        for field in structs.fields(table):
            if field.default is NODEFAULT and field.default_factory is NODEFAULT:
                pattern = rf"# REQUIRED[^\n]*\n(?:# [^\n]*\n)*(?:#:)?{field.name} ="
                assert re.search(pattern, REFERENCE), (table, field.name)


def test_every_allowed_word_is_mentioned() -> None:
    words = [
        word
        for table in MODEL
        for field in structs.fields(table)
        for word in _inside(field.type)
        if isinstance(word, str)
    ]
    assert {"thunderbird", "imap", "smtp", "SSL", "OAuth2", "gmail"} <= {*words}
    for word in words:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", REFERENCE), word
