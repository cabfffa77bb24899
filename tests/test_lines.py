"""The lines of problems, found in the text of a file after it was read."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import TWO_DOMAINS

from flask_autoconfig import ConfigError, load
from flask_autoconfig.config import reading
from flask_autoconfig.config.building import below
from flask_autoconfig.config.explain.lines import lines_of
from flask_autoconfig.tools.cli import cli

settings.register_profile(
    "lines", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("lines")


# --- One text with every kind of value --------------------------------------------------

# The place of a key is in the comment on its line.
TEXT = r'''
max_age = 1                     # @ max_age
"quoted" = "[provider] # not a comment" # @ quoted
"ü" = 1                         # @ "ü"
'pt-BR' = 1                     # @ pt-BR
a.b . "c d" = 1                 # @ a.b."c d"
text = """                      # @ text
[provider]
hostname = "in a string" \
""" # """
ends = """two quotes: """""     # @ ends
literal = QQQ # @ literal
[b]
QQQ
backslash = "a \" # [x]"        # @ backslash
after = 'a \'                   # @ after
longs = ["""a " ] [[x]]""", 1]  # @ longs
longer = [QQQa ' ] [[x]]QQQ, 1] # @ longer
list = [ # [ ] { }              # @ list
  "a, ]", # @ list[0]
  ["b", # @ list[1]
   'c'], # @ list[1][1]
  {x = 1, y = {z = [1,2]}}, # @ list[2].y.z[1]
  3 # @ list[3]
]
inline = {one = 1, "two" = [{three = 3}]}  # @ inline.two[0].three
date = 1979-05-27 07:32:00      # @ date
[[provider]] # a ] bracket      # @ provider[0]
domains = ["a.test",            # @ provider[0].domains
    "b.test"]                   # @ provider[0].domains[1]
  [[provider.incoming]]         # @ provider[0].incoming[0]
  type = "imap"                 # @ provider[0].incoming[0].type
  [provider.incoming.pop3]      # @ provider[0].incoming[0].pop3
  check_interval = 1            # @ provider[0].incoming[0].pop3.check_interval
  [[ provider . "incoming" ]]   # @ provider[0].incoming[1]
  type = "imap"                 # @ provider[0].incoming[1].type
[provider.webmail]              # @ provider[0].webmail
login_page = "x"                # @ provider[0].webmail.login_page
[[provider]]                    # @ provider[1]
[provider.oauth2.deep]          # @ provider[1].oauth2
[[provider.incoming]]           # @ provider[1].incoming[0]
descr.en = "x"                  # @ provider[1].incoming[0].descr.en
descr."pt.BR" = "x"             # @ provider[1].incoming[0].descr."pt.BR"
'''.replace("QQQ", "'''")


def marked(text: str) -> list[tuple[str, int]]:
    lines = text.splitlines()
    return [
        (found[1].strip(), number)
        for number, line in enumerate(lines, 1)
        if (found := re.search(r"# @ (.*)$", line))
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(("place", "line"), marked(TEXT))
def test_a_key_has_its_line_however_it_is_written(
    place: str, line: int, end: str
) -> None:
    tomllib.loads(TEXT)
    text = TEXT.replace("\n", end)
    assert lines_of(text, [place]) == {place: line}
    assert lines_of(text, [place for place, _ in marked(TEXT)])[place] == line


@pytest.mark.parametrize(
    ("place", "nearest"),
    [
        ("provider[0].incoming[1].hostname", "provider[0].incoming[1]"),
        ("provider[0].incoming[1].pop3.x", "provider[0].incoming[1]"),
        ("provider[1].webmail.login_page", "provider[1]"),
        ("provider[0].domains[2]", "provider[0].domains"),
        ("list[2].y.w", "list[2].y.z[1]"),
        ("", None),
        ("nowhere", None),
        ("provider[2].domains", None),
    ],
)
def test_a_missing_key_has_the_line_of_the_nearest_table(
    place: str, nearest: str | None
) -> None:
    lines = dict(marked(TEXT))
    assert lines_of(TEXT, [place]) == ({place: lines[nearest]} if nearest else {})


@pytest.mark.parametrize(
    "keys",
    [
        ('"a?b"', '"a\\u0001b"'),
        (f'"{"x " * 50}y"', f'"{"x " * 50}z"'),
        ("x" * 90 + "y", "x" * 90 + "z"),
        ('"a\\"b"', "'a\"c'"),
    ],
    ids=["a control character", "long in quotes", "long and bare", "a quote"],
)
def test_keys_that_look_alike_in_a_message_have_the_line_of_their_table(
    keys: Sequence[str],
) -> None:
    text = "[[provider]]\n" + "".join(f"{key} = 1\n" for key in keys)
    with pytest.raises(ConfigError) as caught:
        reading.loads(text)
    unknown = [it for it in caught.value.problems if "no key" in it.message]
    assert len(unknown) == 2
    for problem in unknown:
        assert problem.line in (1, 2 if '"a?b"' in keys else 1)
        assert len(problem.place) < 100


def test_problems_of_a_mapping_have_no_line_but_the_providers_domain() -> None:
    raw = tomllib.loads(TWO_DOMAINS.replace('"imap"', '"imapp"'))
    with pytest.raises(ConfigError) as caught:
        reading.from_raw(raw)
    (problem,) = caught.value.problems
    assert (problem.line, problem.domain) == (None, "example.com")


def test_a_faulty_item_of_a_list_does_not_shift_the_lines_of_others(
    tmp_path: Path,
) -> None:
    first = TWO_DOMAINS.replace('"example2.com"', '"a.test"')
    names = '[\n"a b",\n"b.test",\n"a.test",\n]'
    file = tmp_path / "autoconfig.toml"
    file.write_text(
        first + TWO_DOMAINS.replace('["example.com", "example2.com"]', names)
    )
    with pytest.raises(ConfigError) as caught:
        load(file)
    lines = file.read_text().splitlines()
    found = [(it.place, lines[(it.line or 0) - 1]) for it in caught.value.problems]
    assert found == [
        ("provider[1].domains[0]", '"a b",'),
        ("provider[1].domains[2]", '"a.test",'),
    ]


def test_a_problem_in_an_unchanged_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text('include = ["a.toml", "b.toml"]\n')
    one = TWO_DOMAINS.replace('["example.com", "example2.com"]', '["a.test"]')
    (tmp_path / "a.toml").write_text(one)
    (tmp_path / "b.toml").write_text("# b\n" + one.replace("a.test", "b.test"))
    before = reading.read(file)
    (tmp_path / "a.toml").write_text(one.replace("a.test", "b.test"))
    with pytest.raises(ConfigError) as caught:
        reading.read(file, before)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.domain) == ("b.toml", 4, "b.test")


def test_warnings_of_included_files_have_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text('include = ["*/a.toml", "none-*.toml"]\n')
    (tmp_path / "brands").mkdir()
    (tmp_path / "brands/a.toml").write_text(f"{TWO_DOMAINS}username = 'fred'\n")
    done = CliRunner().invoke(cli, ["--config", str(file), "validate", "--json"])
    warnings = json.loads(done.stdout)["warnings"]
    found = [(it["file"], it["line"], it["domain"]) for it in warnings]
    assert found[0] == ("brands/a.toml", 16, "example.com")
    assert found[-1] == (str(file), 1, "")


# --- Any text --------------------------------------------------------------------------

_words = st.sampled_from(["a", "b-c", "D_1", "1", "é", "a b", "x.y", "[z]", "#", "'"])
_texts = st.sampled_from(
    ["plain", "a # b", "[provider]", "]", "}", "\n[a]\nb = 1\n", '""', "\\"]
) | st.text("a\"'#[]{}=\n\\ü.,", max_size=12)
_scalars = st.one_of(
    _texts,
    st.integers(-9, 9),
    st.booleans(),
    st.floats(allow_nan=False),
    st.dates(),
    st.datetimes(),
)
_values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=3)
    ),
    max_leaves=6,
)
_documents = st.dictionaries(_words, _values, max_size=5)


def places_of(raw: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield every place with the key that its line must hold, "" for an item."""
    if isinstance(raw, dict):
        for key, value in raw.items():
            yield (at := below(place, key)), key
            yield from places_of(value, at)
    elif isinstance(raw, list):
        for index, item in enumerate(raw):
            yield (at := f"{place}[{index}]"), ""
            yield from places_of(item, at)


def spellings(key: str) -> list[str]:
    return [key, json.dumps(key), tomli_w.dumps({key: 1}).partition(" = ")[0]]


@pytest.mark.parametrize("multiline", [False, True])
@given(_documents)
def test_the_line_of_a_key_in_what_tomli_w_writes_holds_the_key(
    multiline: bool, raw: dict[str, Any]
) -> None:
    text = tomli_w.dumps(raw, multiline_strings=multiline)
    lines = text.split("\n")
    keys = dict(places_of(tomllib.loads(text)))
    found = lines_of(text, keys)
    for place, key in keys.items():
        assert lines_of(text, [place]).get(place) == found.get(place)
        if place in found and key:
            assert any(it in lines[found[place] - 1] for it in spellings(key)), place
        if "?" not in key and '"' not in key and not key.endswith("…"):
            assert place in found or '"' in place.replace(below("", key), ""), place


_spaces = st.sampled_from(["", " ", "\t ", "  "])
_gaps = st.sampled_from(["", "\n", " # a ] \" ''' comment\n", "\r\n\t"])


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    """Draw a text in every style of TOML, and the places in it.

    Each place has a word that is on its line alone.
    """
    words: list[tuple[str, str]] = []

    def word(place: str) -> str:
        words.append((place, f"w{len(words)}w"))
        return words[-1][1]

    def key_text(key: str) -> str:
        bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
        styles = [json.dumps(key, ensure_ascii=draw(st.booleans()))]
        styles += [key] if bare else []
        styles += [f"'{key}'"] if "'" not in key else []
        return draw(st.sampled_from(styles))

    def value(place: str, depth: int, one_line: bool = False) -> str:
        """Draw a value with the word of the place on its first line."""
        gap = st.just("") if one_line else _gaps
        kinds = ["basic", "literal", "number", "list", "table", "long", "long literal"]
        if one_line:
            kinds = kinds[:5]
        kind = draw(st.sampled_from(kinds if depth else kinds[:3]))
        if kind in ("basic", "number", "literal"):
            quote = "'" if kind == "literal" else '"'
            ends = ["", "# no", "[a]", "{", "\\\\" if quote == '"' else "\\"]
            body = draw(st.sampled_from(ends))
            return f"{quote}{word(place)} {body}{quote}"
        if kind.startswith("long"):
            quote = "'" if kind == "long literal" else '"'
            tail = quote * draw(st.integers(0, 2))
            inner = f"[a]\n {quote}{quote} # b = 1 = " + ("" if quote == "'" else '\\"')
            return f"{quote * 3}{word(place)}\n{inner}\n{tail}{quote * 3}"
        if kind == "list":
            items = [
                draw(gap) + value(f"{place}[{index}]", depth - 1, one_line)
                for index in range(draw(st.integers(0, 3)))
            ]
            return "[" + (draw(gap) + ",").join(items) + draw(gap) + "]"
        keys = draw(st.lists(_words, max_size=3, unique=True))
        pairs = []
        for key in keys:
            at = below(place, key)
            pairs.append(
                f"{draw(_spaces)}{key_text(key)}{draw(_spaces)}="
                + value(at, depth - 1, True)
            )
        return "{" + ",".join(pairs) + draw(_spaces) + "}"

    def body(place: str, keys: list[str]) -> str:
        text = ""
        for key in keys:
            at = below(place, key)
            indent, space = draw(_spaces), draw(_spaces)
            if draw(st.booleans()) and draw(st.booleans()):
                inner = draw(_words)
                text += f"{indent}{key_text(key)}{space}.{space}{key_text(inner)} = "
                text += value(below(at, inner), 2)
            else:
                text += f"{indent}{key_text(key)}{space}={space}{value(at, 2)}"
            text += draw(st.sampled_from(["\n", " # x = [\n", "\r\n\n"]))
        return text

    text = body("", draw(st.lists(_words, max_size=3, unique=True)))
    for name in draw(
        st.lists(st.sampled_from(["t", "u v", "w"]), max_size=2, unique=True)
    ):
        many = draw(st.booleans())
        for number in range(draw(st.integers(1, 3)) if many else 1):
            at = f"{below('', name)}[{number}]" if many else below("", name)
            space = draw(_spaces)
            heading = f"{space}{key_text(name)}{space}"
            marks = ("[[", "]]") if many else ("[", "]")
            text += f"{marks[0]}{heading}{marks[1]} # {word(at)} ]]\n"
            text += body(at, draw(st.lists(_words, max_size=3, unique=True)))
            for inner in range(draw(st.integers(0, 2))):
                sub = f"{below(at, 'sub')}[{inner}]"
                text += f" [[{key_text(name)} . sub]]# {word(sub)}\n"
                text += body(sub, draw(st.lists(_words, max_size=2, unique=True)))
    return text, words


@given(written())
def test_a_key_has_its_own_line_in_every_style(
    made: tuple[str, list[tuple[str, str]]],
) -> None:
    text, words = made
    tomllib.loads(text)
    lines = text.split("\n")
    found = lines_of(text, [place for place, _ in words])
    for place, word in words:
        assert place in found, place
        assert word in lines[found[place] - 1], place
