"""From `dns` by nsupdate into a real BIND, until `check` finds nothing wrong."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from bind import Bind, bind
from support import BIN, fetch, program, until
from test_check_right import ALL, problems, works
from world import ADDRESSES, DOMAIN, ELSEWHERE, TOML, USER, WEB, Real

pytestmark = pytest.mark.world
_NAMES = "127.0.0.55"
# The addresses of hosts, but none of the domain itself.
_HOSTS = ADDRESSES.replace(f"@ IN A {WEB}\n", "").replace(WEB, ELSEWHERE)
_NEW = TOML.replace(
    f'domains = ["{DOMAIN}"]', f'domains = ["{DOMAIN}"]\ndisplay_name = "Example"'
)


@pytest.fixture
def names(really: Real) -> Iterator[Bind]:
    """A name server that knows the hosts, and accepts the rest from a key."""
    with bind(DOMAIN, _HOSTS, really.inside, _NAMES) as names:
        yield names


def publish(names: Bind, file: Path, *options: str | Path) -> None:
    """Publish as README has it, but with the address of the server of the zone."""
    command = (BIN / "flask-autoconfig", "--config", file, "dns")
    options = ("--target", f"www.{DOMAIN}", "--format", "nsupdate", *options)
    dns = shlex.join(map(str, (*command, *options)))
    nsupdate = shlex.join([program("nsupdate"), "-k", str(names.key)])
    line = f"{{ echo server {names.address}; {dns}; }} | {nsupdate}"
    done = names.run("sh", "-c", line)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def is_green(world: Real, file: Path) -> bool:
    report = world.check(USER, file=file, names=_NAMES)
    return problems(report) == [] and works(report) == dict.fromkeys(ALL, True)


def digests(names: Bind) -> list[str]:
    return names.ask(f"_ua-auto-config.{DOMAIN}", "TXT")


def test_check_finds_nothing_wrong_after_dns_and_nsupdate(
    really: Real, names: Bind
) -> None:
    file = really.folder / "true.toml"
    with really.service(file):
        before = really.check(USER, file=file, names=_NAMES)
        assert True not in works(before).values()
        publish(names, file)
        assert is_green(really, file)


def test_check_finds_nothing_wrong_before_during_and_after_a_change_of_digests(
    really: Real, names: Bind
) -> None:
    old, new = really.folder / "old.toml", really.folder / "new.toml"
    served = really.folder / "served.toml"
    old.write_text(TOML)
    new.write_text(_NEW)
    served.write_text(TOML)
    with really.service(served):
        publish(names, old)
        assert is_green(really, served)
        (first,) = digests(names)

        publish(names, new, "--previous", old)
        both = digests(names)
        assert len(both) == 2
        assert first in both
        assert is_green(really, served)

        served.write_text(_NEW)
        until(lambda: b"<displayName>Example<" in really.inside.call(document))
        assert digests(names) == both
        assert is_green(really, served)

        publish(names, new)
        assert digests(names) == [it for it in both if it != first]
        assert is_green(really, served)


def document() -> bytes:
    url = "http://127.0.0.1:8000/mail/config-v1.1.xml"
    return fetch(url, Host=f"autoconfig.{DOMAIN}").body
