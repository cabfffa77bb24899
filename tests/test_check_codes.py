"""The codes of findings: each has its texts, and `check` lists and ignores them."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from support import Patch

from flask_autoconfig.tools import check
from flask_autoconfig.tools.check import texts
from flask_autoconfig.tools.check.facts import Facts
from flask_autoconfig.tools.check.findings import OK, STATUSES, Case, finding
from flask_autoconfig.tools.check.rules.documents import is_unusable_username
from flask_autoconfig.tools.check.run import Report, failed
from flask_autoconfig.tools.cli import cli
from flask_autoconfig.tools.commands.check import _side_by_side
from flask_autoconfig.tools.naming import base_domain
from flask_autoconfig.tools.net import common
from flask_autoconfig.tools.net.resolver import Resolver
from flask_autoconfig.tools.net.tcp import Network

CODES = texts.codes()
DEAD = ("--resolver", "127.0.0.1:9", "--timeout", "0.2")


def placeholders(code: str) -> set[str]:
    found = set(re.findall(r"{(\w+)}", "".join(texts.row(code)[:3])))
    return found - texts.table("shared").keys()


def calls() -> Iterator[ast.Call]:
    """Yield the calls of `finding` with a literal code."""
    for file in Path(check.__file__).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                is_literal = node.args and isinstance(node.args[0], ast.Constant)
                if node.func.id == "finding" and is_literal:
                    yield node


def test_each_code_has_a_meaning_a_status_and_texts() -> None:
    for code in CODES:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9]+(-[a-z0-9]+)*", code), code
        assert texts.row(code).means.endswith("."), code
        assert texts.row(code).status in STATUSES, code
        found = finding(code, "example.com", **dict.fromkeys(placeholders(code), "x"))
        assert found.seen, code
        assert found.why or found.status == OK or code.startswith("login."), code
        assert "{" not in "".join(found.text[:3]), code


def test_a_cure_has_the_settings_of_the_software_or_of_the_usual_one() -> None:
    known = common.texts()
    folder = Path(common.__file__).parents[1]
    files = (*folder.glob("*/*.toml"), *folder.glob("check/rules/*.py"))
    data = "".join(file.read_text() for file in files)
    topics = set(re.findall(r"\[how: (\w+)\]", data))
    assert topics == known["settings"].keys()
    for rows in known["settings"].values():
        assert rows.keys() <= known["software"].keys()
    lines = ["220 mx ESMTP Postfix", "535 Incorrect authentication data"]
    assert common.software_of(lines) == "Exim"
    assert common.for_software("a[how: relay]b", "Exim", "smtp").startswith(
        "a (Exim: accept"
    )
    assert common.for_software("a[how: queue]b", "", "smtp").startswith(
        "a (Postfix: /var/"
    )
    assert common.for_software("a[how: queue]b", "qmail", "smtp") == "ab"


def test_every_finding_gets_the_values_of_its_texts() -> None:
    listed = list(calls())
    assert len(listed) > 60
    for call in listed:
        code = ast.literal_eval(call.args[0])
        assert code in CODES
        missing = placeholders(code) - {keyword.arg for keyword in call.keywords}
        assert not missing, code


def test_every_code_is_used() -> None:
    tools = Path(check.__file__).parents[1]
    files = [
        *tools.rglob("*.py"),
        tools / "net/failures.toml",
        tools.parent / "documents/shapes.toml",
    ]
    source = "".join(file.read_text() for file in files)
    entries = tomllib.loads(Path(texts.__file__).with_name("texts.toml").read_text())
    keys = {"on", "page", "refusal", "missing"}
    keys |= {"login", "sending", "sender", "inbox", "dav"}
    chosen_by_data = [code for code in CODES if entries[code].keys() & keys]
    computed = ("http.private-inside", "http.redirect-inside", "login.not-tried")
    prefixes = ("dns.", "mx.", "server.", "file.", "document.warning", "document.pacc")
    unused = {code for code in CODES if f'"{code}"' not in source} - {*chosen_by_data}
    assert not {code for code in unused if not code.startswith((*computed, *prefixes))}


def test_check_lists_every_code_with_its_meaning() -> None:
    result = CliRunner().invoke(cli, ["check", "--list"])
    assert result.exit_code == 0
    rows = [line.split(maxsplit=2) for line in result.output.splitlines()]
    listed = [(code, texts.row(code)) for code in CODES]
    expected = [[code, row.status, row.means] for code, row in listed]
    assert rows == expected


def test_an_ignored_finding_is_left_out_and_fails_nothing() -> None:
    def codes(*options: str) -> list[str]:
        result = CliRunner().invoke(cli, ["check", "a.test", "--json", *DEAD, *options])
        return [found["code"] for found in json.loads(result.stdout)["findings"]]

    assert codes() == ["domain.lookup-failed"]
    assert "domain.lookup-failed" not in codes("--ignore", "domain.lookup-failed")


def test_a_redirect_to_a_host_of_that_name_keeps_its_cause() -> None:
    found = finding("http.status", "https://redirect.hoster.test/", status=500, said="")
    led = found.within("redirect", target="https://redirect.hoster.test/")
    assert led.seen.startswith("it redirects to https://redirect.hoster.test/: ")
    assert led.code == "http.status"


def test_hosts_of_one_owner_share_the_domain_that_was_registered() -> None:
    hosts = [
        "mx.a.example.co.uk",
        "example.com.au",
        "mx.example.com",
        "mx.co.test",
        "mx",
    ]
    domains = ["example.co.uk", "example.com.au", "example.com", "co.test", "mx"]
    assert list(map(base_domain, hosts)) == domains


def test_a_user_name_of_an_example_is_right_at_the_domain_of_examples() -> None:
    for name in ("%EMAILLOCALPART%@example.com", "%EMAILLOCALPART%-mail@example.com"):
        assert not is_unusable_username(Case("example.com", ()), name)
        assert is_unusable_username(Case("example.test", ()), name)
    assert is_unusable_username(Case("example.com", ()), "yourname@example.com")


# --- Several domains --------------------------------------------------------------------


class Counting(Resolver):
    """A resolver that counts lookups, and finds nothing."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 9))
        self.queries: list[str] = []

    def _query(self, name: str, type_: str, flags: int = 0) -> list[Any]:
        self.queries.append(f"{name} {type_}")
        return []


def test_the_oldest_results_are_forgotten(monkeypatch: Patch) -> None:
    monkeypatch.setattr("flask_autoconfig.tools.check.facts._MAX_CACHED", 2)
    facts = Facts(Network(names := Counting()))
    for domain in ("one.test", "one.test", "two.test", "three.test", "one.test"):
        facts.mx(domain)
    assert [key[1] for key in facts._futures] == ["three.test", "one.test"]
    assert len(names.queries) == 3


def test_reports_are_in_the_order_of_the_file() -> None:
    def look(case: Case, *_: object) -> Report:
        return failed(case, finding("domain.unknown", case.domain))

    cases = [Case(f"d{number}.test", ()) for number in range(200)]
    reports = _side_by_side(cases, look, Network(Counting()), lambda _: None)
    assert [case.domain for case, _ in reports] == [case.domain for case in cases]
