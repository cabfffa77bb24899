"""The lines of problems, found in the text of a file after it was read."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import TWO_DOMAINS

from flask_autoconfig import ConfigError
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
   'c'],
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


def test_problems_of_a_mapping_have_no_line_but_the_providers_domain() -> None:
    raw = tomllib.loads(TWO_DOMAINS.replace('"imap"', '"imapp"'))
    with pytest.raises(ConfigError) as caught:
        reading.from_raw(raw)
    (problem,) = caught.value.problems
    assert (problem.line, problem.domain) == (None, "example.com")


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

_KINDS = ("[", "{", "'", '"', "'''", '"""')
_NAMES = ["a", "b-c", "D_1", "1", "é", "a b", "x.y", "[z]", "#", "'"]


class Writer:
    """Writes TOML in every style. Each place has a word that is on its line alone."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.words: list[tuple[str, str]] = []

    def document(self) -> str:
        text = self.body("")
        for name in self._names(["t", "u v", "w"], 2):
            is_list = self._draw(st.booleans())
            for number in range(self._draw(st.integers(1, 3)) if is_list else 1):
                at = f"{below('', name)}[{number}]" if is_list else below("", name)
                space = self._space()
                heading = f"[{space}{self.key(name)}{space}]"
                text += f"[{heading}]" if is_list else heading
                text += f" # {self.word(at)} ]]\n{self.body(at)}"
                for inner in range(self._draw(st.integers(0, 2))):
                    sub = f"{below(at, 'sub')}[{inner}]"
                    text += f" [[{self.key(name)} . sub]]# {self.word(sub)}\n"
                    text += self.body(sub)
        return text

    def body(self, place: str) -> str:
        text = ""
        for name in self._names(_NAMES, 3):
            at, dotted = below(place, name), ""
            if self._draw(st.integers(0, 3)) == 0:
                inner = self._pick(*_NAMES)
                at, dotted = below(at, inner), f"{self._space()}.{self.key(inner)}"
            text += f"{self._space()}{self.key(name)}{dotted}{self._space()}="
            text += self._space() + self.value(at)
            text += self._pick("\n", " # x = [\n", "\r\n\n")
        return text

    def value(self, place: str, kinds: Sequence[str] = _KINDS) -> str:
        """Return a value with the word of the place on its first line."""
        kind = self._pick(*kinds)
        if kind == "[":
            return self._list(place)
        if kind == "{":
            return self._table(place)
        word, sign = self.word(place), kind[0]
        if kind == sign:
            backslash = "\\" if sign == "'" else "\\\\"
            return f"{sign}{word} {self._pick('', '# no', '[a]', '{', backslash)}{sign}"
        escape = "" if sign == "'" else '\\"'
        tail = sign * self._draw(st.integers(0, 2))
        return f"{kind}{word}\n[a]\n {sign * 2} # b = 1 = {escape}\n{tail}{kind}"

    def _list(self, place: str) -> str:
        gaps = ["", "\n", " # a ] \" ''' comment\n", "\r\n\t"]
        items = [
            self._pick(*gaps) + self.value(f"{place}[{index}]", _KINDS[1:])
            for index in range(self._draw(st.integers(0, 3)))
        ]
        return f"[{f'{self._pick(*gaps)},'.join(items)}{self._pick(*gaps)}]"

    def _table(self, place: str) -> str:
        pairs = (
            f"{self._space()}{self.key(name)}{self._space()}="
            + self.value(below(place, name), ("'", '"'))
            for name in self._names(_NAMES, 3)
        )
        return f"{{{','.join(pairs)}{self._space()}}}"

    def word(self, place: str) -> str:
        self.words.append((place, f"w{len(self.words)}w"))
        return self.words[-1][1]

    def key(self, key: str) -> str:
        is_bare = key.isascii() and re.fullmatch(r"[\w-]+", key)
        styles = [json.dumps(key), json.dumps(key, ensure_ascii=False)]
        styles += [key] if is_bare else []
        styles += [f"'{key}'"] if "'" not in key else []
        return self._pick(*styles)

    def _names(self, names: Sequence[str], most: int) -> list[str]:
        some = st.lists(st.sampled_from(names), max_size=most, unique=True)
        return self._draw(some)

    def _space(self) -> str:
        return self._pick("", " ", "\t ")

    def _pick(self, *options: str) -> str:
        return self._draw(st.sampled_from(options))


@st.composite
def written(draw: st.DrawFn) -> tuple[str, list[tuple[str, str]]]:
    writer = Writer(draw)
    return writer.document(), writer.words


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
