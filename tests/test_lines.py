"""The lines of problems, found in the text of a file after it was read."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT, TWO_DOMAINS, Patch, Write, problems_of

from flask_autoconfig.config import reading
from flask_autoconfig.config.explain.lines import lines_of

TEXT = (ROOT / "tests/lines.toml").read_text(encoding="utf-8")
MARKED = {
    found[1].strip(): number
    for number, line in enumerate(TEXT.splitlines(), 1)
    if (found := re.search(r"# @ (.*)$", line))
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_key_has_its_line_however_it_is_written(end: str) -> None:
    tomllib.loads(TEXT)
    assert lines_of(TEXT.replace("\n", end), MARKED) == MARKED


def test_a_missing_key_has_the_line_of_the_nearest_table() -> None:
    nearest = {
        "provider[0].incoming[1].hostname": "provider[0].incoming[1]",
        "provider[0].incoming[1].pop3.x": "provider[0].incoming[1]",
        "provider[1].webmail.login_page": "provider[1]",
        "provider[0].domains[2]": "provider[0].domains",
        "list[2].y.w": "list[2].y.z[1]",
    }
    unknown = ("", "nowhere", "provider[2].domains")
    expected = {place: MARKED[near] for place, near in nearest.items()}
    assert lines_of(TEXT, [*nearest, *unknown]) == expected


def test_problems_of_a_mapping_have_no_line_but_the_providers_domain(
    toml: Write, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(toml(TWO_DOMAINS).parent)  # whose lines are not the mapping's
    raw = tomllib.loads(TWO_DOMAINS.replace('"imap"', '"imapp"'))
    (problem,) = problems_of(reading.from_raw, raw)
    assert (problem.line, problem.domain) == (None, "example.com")


def test_a_problem_in_an_unchanged_file_has_its_line(tmp_path: Path) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text('include = ["a.toml", "b.toml"]\n')
    text = TWO_DOMAINS.replace('["example.com", "example2.com"]', '["a.test"]')
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_text("# b\n" + text.replace("a.test", "b.test"))
    before = reading.read(file)
    (tmp_path / "a.toml").write_text(text.replace("a.test", "b.test"))
    (problem,) = problems_of(reading.read, file, before)
    assert (problem.file, problem.line, problem.domain) == ("b.toml", 4, "b.test")


# --- Any text --------------------------------------------------------------------------

# Keys as they are written, and as places have them.
KEYS = {
    "k{}": "k{}",
    '"a.b {}"': '"a.b {}"',
    "'[c] # {}'": '"[c] # {}"',
    '"\\u0064 {}"': '"d {}"',
    "e . 'f' . g{}": "e.f.g{}",
}
VALUES = (
    *("1979-05-27 07:32:00", "-1.5", "true", '"a \\" # ]"', "'\\'", '""', "''"),
    *('"""\n[a]\n"" # b = 1 = \\"\n"""""', "'''\n[a]\n'' # b = [\n'''''"),
    *("[]", "[ # a ] \" ''' comment\n]", '[["]", []], {a = "}", b = [1]}]'),
    *("[1,\r\n2]", '{"a" = "}", b.c = [\n1, # }\n]}'),
)
ENDS = ("\n", " # x = [\n", "\r\n\n", "\n\t# ]\n", "# [[t]]\n")
HEADINGS = {"": "", "[[ t ]]": "t[{}]", "[s . 'u{}']": "s.u{}", "[v{}]": "v{}"}


@given(st.lists(st.tuples(*map(st.sampled_from, ([*HEADINGS], [*KEYS], VALUES, ENDS)))))
def test_a_key_has_its_line_after_any(parts: list[tuple[str, str, str, str]]) -> None:
    text = table = ""
    expected: dict[str, int] = {}
    for number, (heading, key, value, end) in enumerate(parts):
        if heading:
            count = text.count("\n[[ t ]]") if "t" in heading else number
            text += f"\n{heading.format(number)}{end}"
            table = HEADINGS[heading].format(count)
            expected[table] = text[: -len(end)].count("\n") + 1
        place = f"{table}.{KEYS[key]}" if table else KEYS[key]
        expected[place.format(number)] = text.count("\n") + 1
        text += f" {key.format(number)}\t= {value}{end}"
    tomllib.loads(text)
    assert lines_of(text, expected) == expected
