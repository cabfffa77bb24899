"""Many customers: domains files, and providers in included files."""

import codecs
import json
import logging
import time
from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services import run
from support import TWO_DOMAINS, Log, Write, has_domains, look, problems_of

from flask_autoconfig.config import listing, reading
from flask_autoconfig.config.values import domain_pattern
from flask_autoconfig.service import Service
from flask_autoconfig.tools.check import Case
from flask_autoconfig.tools.commands.check import _findings_of_file

LISTED = TWO_DOMAINS.replace("domains =", 'domains_file = "customers"\ndomains =')
BRANDS = f'include = ["brands/*.toml"]\n{TWO_DOMAINS}'


def brand(*domains: str, more: str = "") -> str:
    names = ", ".join(f'"{name}"' for name in domains)
    return TWO_DOMAINS.replace(
        'domains = ["example.com", "example2.com"]', f"domains = [{names}]\n{more}"
    )


@pytest.fixture
def brands(tmp_path: Path) -> Path:
    folder = tmp_path / "brands"
    folder.mkdir()
    return folder


def reports(file: Path) -> list[str]:
    return [str(problem) for problem in problems_of(reading.read, file)]


# --- Domains files ---------------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(
        [
            *("one.test", "a--b.test", "xn--bcher-kva.test", "localhost", "x1.test"),
            *("Three.TEST", "bücher.test", "dot.test.", ".below.test", "*.below.test"),
            *("*", "-a.test", "a-.test", "a..b", "a_b.test", "x@one.test", "one.test/"),
            *("1.2.3.4", "1.2.3", "2001:db8::1", f"{'a' * 63}.test", f"{'a' * 64}.b"),
            *("a." * 127, f"{'a.' * 126}b", "", "%EMAILDOMAIN%", "one.test;x"),
        ]
    ),
    st.text(max_size=12),
    st.from_regex(r"[a-z0-9.-]{1,8}", fullmatch=True),
)
LINES = st.lists(
    st.tuples(WORDS, st.sampled_from(["", " ", "\tOK", " # all", "#x", "\r"]))
    .map("".join)
    .map(lambda line: line.replace("\n", " ")),
    max_size=12,
)


@given(lines=LINES, ends=st.booleans(), mark=st.booleans(), size=st.integers(1, 64))
def test_a_domains_file_read_in_slices_is_the_same_as_line_by_line(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    ends: bool,
    mark: bool,
    size: int,
) -> None:
    file = tmp_path_factory.mktemp("lines") / "customers"
    data = ("\n".join(lines) + "\n" * ends).encode("utf-8", "replace")
    file.write_bytes(codecs.BOM_UTF8 * mark + data)
    names, invalid = [], []
    if not mark:
        data = data.removeprefix(codecs.BOM_UTF8)
    for number, line in enumerate(map(bytes.decode, data.splitlines()), 1):
        word, *more = line.partition("#")[0].split() or [""]
        if not word or line[0].isspace() or ("@" in word and more):
            continue
        try:
            names.append(domain_pattern(f"*{word}" if word[0] == "." else word))
        except ValueError:
            invalid.append(number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "_SLICE", size)
        patch.setattr(listing, "_MAX_SKIPPED", 4)
        found = listing.read_listing(file)
    assert [name.decode() for name in found.names] == names
    assert [line.line for line in found.skipped] == invalid[:4]


def test_a_line_that_is_no_domain_is_skipped_and_logged_once(
    toml: Write, tmp_path: Path, caplog: Log
) -> None:
    customers = tmp_path / "customers"
    invalid = [f"bad_{number}.test" for number in range(9)]
    lines = ["one.test", "sales@two.test", *invalid, "three.test"]
    customers.write_text("\n".join(lines))
    service = Service(toml(LISTED))
    assert has_domains(service.live, "one.test", "three.test")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    message = record.getMessage()
    assert message.startswith(f"{customers}: skipped:\n  line 2: ")
    assert 'expected a domain, got "sales@two.test"; write "two.test"' in message
    assert message.endswith("\n  and 5 more")
    # It does not block later edits, of that file or another one.
    for text in ("imap.", "mail."):
        customers.write_bytes(b"one.test\nM\xfcller\ntwo.test\n")
        toml(LISTED.replace("imap.", text))
        look(service.live)
        assert has_domains(service.live, "two.test")
        assert f"{text}example.com" in str(service.snapshot.loaded.tables)
        assert caplog.text.count('line 2: expected a domain, got "M\ufffdller"') == 1


def test_commands_name_each_line_that_is_no_domain(toml: Write, tmp_path: Path) -> None:
    (tmp_path / "customers").write_text("one.test\n192.0.2.1 x\ntwo.test\na_b.test\n")
    file = toml(LISTED + "username = 'fred'\n")
    result = run("--config", file, "validate", code=1)
    assert result.stdout.splitlines()[:6] == [
        f'{tmp_path}/customers:2: error: "192.0.2.1" is an IP address',
        "  2 | 192.0.2.1 x",
        "  do: write the mail domain",
        f'{tmp_path}/customers:4: error: expected a domain, got "a_b.test"',
        "  4 | a_b.test",
        '  do: write a name like "example.com", without a scheme, port, space or _',
    ]
    assert "2 problems, " in result.stderr
    with click.Context(click.Command("check")) as context:
        context.meta["flask_autoconfig.file"] = file
        service = Service(file)
        case = Case("example.com", (), service.snapshot.loaded.providers[0])
        subjects = [found.subject for found in _findings_of_file(service, case)]
    line = file.read_text().splitlines().index("username = 'fred'") + 1
    files = [f"{tmp_path}/customers:2", f"{tmp_path}/customers:4", f"{file}:{line}"]
    assert subjects[:3] == files


def test_a_domains_file_without_domains_is_faulty(toml: Write, tmp_path: Path) -> None:
    (tmp_path / "customers").write_text("one.test\n", encoding="utf-16")
    (problem,) = reports(toml(LISTED))
    assert "domains_file (example.com): no line of " in problem
    assert problem.endswith("is a domain; give a text file with one domain per line")


def test_one_of_many_double_claims_is_named(toml: Write, tmp_path: Path) -> None:
    names = "".join(f"d{number:03}.test\n" for number in range(100))
    (tmp_path / "customers").write_text(f"# ours\n\n{names}")
    more = brand("other.test", more='domains_file = "customers"')
    assert reports(toml(LISTED + more)) == [
        "line 20: provider[1].domains_file (other.test): d000.test and 99 more are "
        "claimed by provider[0] too; remove it from one of them"
    ]


def test_files_are_read_again_only_if_they_may_have_changed(
    toml: Write, tmp_path: Path, brands: Path
) -> None:
    customers, a, b = tmp_path / "customers", brands / "a.toml", brands / "b.toml"
    customers.write_text("one.test\n")
    a.write_text(brand("a.test"))
    b.write_text(brand("b.test"))
    file = toml(f'include = ["brands/*.toml"]\n{LISTED}')
    tick = customers.stat().st_ctime_ns + 10_000_000  # the next of a coarse clock
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "time_ns", lambda: tick)
        fresh = reading.read(file)
    time.sleep(0.05)
    before = reading.read(file, fresh)
    assert before.listings[customers] is not fresh.listings[customers]
    b.write_text(brand("b.test", "c.test"))
    after = reading.read(file, before)
    assert after.listings[customers] is before.listings[customers]
    assert after.parts[a][1] is before.parts[a][1]
    assert after.parts[b][1][0].domains == ("b.test", "c.test")
    assert set(after.claims) >= {b"one.test", b"a.test", b"c.test"}


# --- Included files -------------------------------------------------------------------


def test_included_files_add_their_providers(toml: Write, brands: Path) -> None:
    (brands / "list").write_text("listed.test\n")
    (brands / "a.toml").write_text(brand("a.test", more='domains_file = "list"'))
    (brands / "b.toml").write_text(brand("b.test") + brand("c.test"))
    (brands / "notes.txt").write_text("no TOML")
    loaded = reading.read(toml(BRANDS))
    domains = [next(provider.all_domains) for provider in loaded.providers]
    assert domains == ["example.com", "a.test", "b.test", "c.test"]
    assert b"listed.test" in loaded.claims  # from the folder of its own file
    assert [p.domains[0] for p in loaded.tables.provider] == ["example.com"]


def test_added_and_removed_files_are_taken_up_and_invalid_ones_change_nothing(
    toml: Write, brands: Path, caplog: Log
) -> None:
    service = Service(toml(BRANDS))
    (brands / "a.toml").write_text(brand("a.test"))
    look(service.live)
    assert has_domains(service.live, "a.test")

    (brands / "b.toml").write_text(brand("a.test", "b.test"))
    look(service.live)
    assert not has_domains(service.live, "b.test")
    assert caplog.text.count("remains in use") == 1
    sentence = "brands/b.toml:3: provider[0].domains[0] (a.test): a.test is claimed by "
    assert f"{sentence}provider[0] of brands/a.toml too;" in caplog.text

    (brands / "a.toml").unlink()
    look(service.live)
    assert has_domains(service.live, "a.test", "b.test")
    (brands / "b.toml").unlink()
    look(service.live)
    assert not has_domains(service.live, "b.test")
    assert has_domains(service.live, "example.com")
    assert caplog.text.count("remains in use") == 1


def test_a_corrected_included_file_is_read_again(toml: Write, brands: Path) -> None:
    service = Service(toml(TWO_DOMAINS))
    (problem,) = reports(toml(BRANDS.replace("*", "a")))
    assert problem.startswith('line 1: include[0]: there is no file "brands/a.toml"; ')
    toml(BRANDS.replace("brands/*", "./brands/a"))
    look(service.live)
    for text, is_valid in (("[[provider]]", False), (brand("a.test"), True)):
        (brands / "a.toml").write_text(text)
        look(service.live)
        assert has_domains(service.live, "a.test") == is_valid
    assert service.live._signature() == service.live._known  # no change remains


def test_problems_of_all_files_are_reported_together(toml: Write, brands: Path) -> None:
    (brands / "a.toml").write_text('max_age = 5\ninclude = ["x"]\n' + brand("a.test"))
    (brands / "b.toml").write_text("[[provider")
    (brands / "c.toml").write_text("")
    (brands / "d.toml").mkdir()
    (brands / "e.toml").write_bytes(b"\xff")
    (brands / "f.toml").write_text(brand("example2.com", more="colour = 1"))
    text = BRANDS.replace("imap.example.com", "a b").replace('["', '["**", "', 1)
    first, *problems = reports(toml(text))
    assert first.startswith('line 1: include[0]: "**" contains **, which')
    heads = [problem.partition("; ")[0].split(": ") for problem in problems]
    places = [": ".join(head[:2]) for head in heads]
    assert places == [
        "line 8: provider[0].incoming[0].hostname (example.com)",
        *("brands/a.toml:1: max_age", "brands/a.toml:2: include"),
        "brands/b.toml:1:11: not TOML",
        "brands/c.toml: it has no provider",
        "brands/d.toml: cannot read it",
        "brands/e.toml:1:1: not UTF-8 at byte 0",
        "brands/f.toml:3: provider[0].domains[0] (example2.com)",
        "brands/f.toml:4: provider[0].colour (example2.com)",
    ]
    home = "to the file that includes this one"
    assert problems[1].endswith(f"; move max_age {home}")
    assert problems[2].endswith(f"; move include {home}")


def test_a_pattern_without_file_is_told(toml: Write, brands: Path, caplog: Log) -> None:
    file = toml('include = ["brands/*.toml"]\n')
    service = Service(file)
    message = 'include[0]: no file matches "brands/*.toml"'
    assert message in caplog.text
    result = run("--config", file, "validate", code=0)
    assert result.stdout.startswith(f"{file}:1: warning: {message}\n")
    (brands / "a.toml").write_text(brand("a.test"))
    look(service.live)
    assert has_domains(service.live, "a.test")


def test_patterns_match_files_of_one_folder(toml: Write, brands: Path) -> None:
    (problem,) = reports(toml(BRANDS.replace("brands/*", "**/*")))
    assert problem.startswith('line 1: include[0]: "**/*.toml" contains **, which')
    (brands / ".hidden.toml").write_text("[")
    (brands / "a.toml").write_text(brand("a.test"))
    file = toml(BRANDS.replace('"brands/*.toml"', '"*.toml", "*/a.toml", "b*/*"'))
    assert list(reading.read(file).parts) == [brands / "a.toml"]  # itself left out


def test_the_commands_know_the_providers_of_included_files(
    toml: Write, tmp_path: Path, brands: Path
) -> None:
    host = '"mail.example.com"'
    server = brand("b.test").replace("imap.", "mail.")
    (brands / "b.toml").write_text(server.replace(host, f"{host}\nport = 143"))

    def output(*arguments: str | Path) -> str:
        return run("--config", file, *arguments).stdout

    file = toml(BRANDS)
    assert "mail.example.com" in output("show", "x@b.test")
    assert "$ORIGIN b.test." in output("dns", "--target", "a.test")
    output("export", tmp_path / "out")
    assert (tmp_path / "out/b.test/mail/config-v1.1.xml").exists()
    warning, *_ = json.loads(output("validate", "--json"))["warnings"]
    place = "provider[0].incoming[0].port"
    assert (warning["file"], warning["place"]) == ("brands/b.toml", place)
    text = output("validate")
    assert f"brands/b.toml:9: warning: {place} (b.test): " in text
    assert "\n  9 | port = 143\n" in text
