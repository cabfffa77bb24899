"""The time of `import` grows linearly with the size of a file, whatever it holds."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from linear import TOKENS, assert_linear
from support import table

from flask_autoconfig.documents import xml
from flask_autoconfig.errors import ConfigError
from flask_autoconfig.tools.importers import import_files

XML = """<clientConfig version="1.1"><emailProvider id="example.com">
{}<domain>example.com</domain><displayName>Example</displayName>
<incomingServer type="imap"><hostname>imap.example.com</hostname>{}</incomingServer>
<outgoingServer type="smtp"><hostname>smtp.example.com</hostname></outgoingServer>
</emailProvider></clientConfig>"""
AUTOMX = """[automx]
domains = {}
[DEFAULT]
account_name = {}
[example.com]
imap = yes
imap_server = imap.example.com
smtp = yes
smtp_server = smtp.example.com
"""
SERVERS = [
    {"type": "imap", "name": "imap.example.com"},
    {"type": "smtp", "name": "smtp.example.com"},
]


def _seed(text: str) -> str:
    seed = {"domains": ["example.com"], "servers": SERVERS, "provider": text}
    return json.dumps(seed, ensure_ascii=False)


# What is made of a text for a file of each format: as it is, and where values stand.
FORMATS: dict[str, Callable[[str], str]] = {
    "anything": str,
    "XML with elements of a provider": lambda it: XML.format(it, ""),
    "XML with elements of a server": lambda it: XML.format("", it),
    "XML with an attribute": lambda it: XML.format("", f"<a b={quoteattr(it)}/>"),
    "seed": _seed,
    "seed that goes on": lambda it: '{"domains": ' + it,
    "automx.conf": lambda it: AUTOMX.format("example.com", "Example") + it,
    "automx.conf with domains": lambda it: AUTOMX.format(it, "Example"),
    "automx.conf with a name": lambda it: AUTOMX.format("*", it),
}
WITH_EVERY_TOKEN = ("anything", "XML with an attribute", "automx.conf")
UNITS = table("repeated", "linear.toml")["import"]


def numbered(token: str, text: str) -> str:
    """The text with a number in each repetition of a token, for its `N` or `a`."""
    mark = "N" if "N" in token else "a"
    parts = text.split(token)
    return "".join(
        part + (token.replace(mark, f"{mark}{number}", 1) if number else "")
        for number, part in enumerate(parts)
    )


@pytest.mark.world
@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_any_content_takes_linear_time(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Larger ones are refused, which tells nothing of the time for smaller ones.
    monkeypatch.setattr(xml, "MOST_BYTES", 2**20)
    monkeypatch.setattr(xml, "_MOST_LEVELS", 2**20)
    monkeypatch.setattr(xml, "_MOST_NODES", 2**20)
    file = tmp_path / "file"

    def call(text: str) -> None:
        written = FORMATS[name](text)
        file.write_bytes(written.encode("utf-8", "surrogatepass"))
        with suppress(ConfigError):
            import_files([file], lambda _: None)

    for token in TOKENS if name in WITH_EVERY_TOKEN else UNITS:
        assert_linear(call, token)
        if "a" in token and token in UNITS:
            assert_linear(lambda it, token=token: call(numbered(token, it)), token)  # type: ignore[misc]
