"""The codes of findings: each has its texts, and `check` lists and ignores them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from flask_autoconfig.tools import check
from flask_autoconfig.tools.check import texts, weigh
from flask_autoconfig.tools.check.findings import finding
from flask_autoconfig.tools.cli import cli

CODES = texts.codes()
SHARED = texts.shared()
DEAD = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")


def placeholders(code: str) -> set[str]:
    return set(re.findall(r"{(\w+)}", "".join(texts.template(code)))) - SHARED.keys()


def calls() -> Iterator[ast.Call]:
    """The calls that make a finding of a code that they name."""
    for file in Path(check.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                is_maker = node.func.id == "finding"
                if is_maker and isinstance(node.args[0], ast.Constant):
                    yield node


@pytest.mark.parametrize("code", CODES)
def test_a_code_has_a_meaning_a_status_and_texts(code: str) -> None:
    assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", code)
    assert texts.means(code).endswith(".")
    assert texts.status(code) in weigh.STATUSES
    values = dict.fromkeys(placeholders(code), "x")
    said = finding(code, "example.com", **values)
    assert said.seen
    assert said.why or said.status == weigh.OK or code.startswith("login.")
    assert "{" not in "".join(said.text)


def test_whoever_makes_a_finding_gives_its_texts_all_that_they_name() -> None:
    made = list(calls())
    assert len(made) > 60
    for call in made:
        code = ast.literal_eval(call.args[0])
        assert code in CODES, code
        given = {it.arg for it in call.keywords}
        assert placeholders(code) <= given, (code, placeholders(code) - given)


def test_check_lists_every_code_with_its_meaning() -> None:
    done = CliRunner().invoke(cli, ["check", "--list"])
    assert done.exit_code == 0
    listed = [line.split(maxsplit=2) for line in done.output.splitlines()]
    assert [it[0] for it in listed] == CODES
    assert all(means == texts.means(code) for code, _, means in listed)


def test_an_ignored_finding_is_left_out_and_fails_nothing() -> None:
    def codes(*options: str) -> list[str]:
        done = CliRunner().invoke(cli, ["check", "a.test", "--json", *DEAD, *options])
        return [it["code"] for it in json.loads(done.stdout)["findings"]]

    assert codes() == ["domain.lookup-failed"]
    assert "domain.lookup-failed" not in codes("--ignore", "domain.lookup-failed")


def test_an_unknown_code_is_wrong_usage_that_names_the_right_one() -> None:
    done = CliRunner().invoke(cli, ["check", "a.test", "--ignore", "tls.expird"])
    assert done.exit_code == 2
    assert "did you mean tls.expired?" in done.output


def test_a_redirect_to_a_host_of_that_name_keeps_its_cause() -> None:
    found = finding("http.status", "https://redirect.hoster.test/", status=500)
    led = found.within("redirect", target="https://redirect.hoster.test/")
    assert led.seen.startswith("it redirects to https://redirect.hoster.test/: ")
    assert led.code == "http.status"
