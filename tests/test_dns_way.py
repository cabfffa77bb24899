"""From `dns` by nsupdate into a real BIND, until `check` finds nothing wrong."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from bind import Bind, bind
from services import fetch, until
from support import BIN, program
from test_check_right import ALL, IMAP_ACCOUNT, problems, works
from world import ADDRESSES, DOMAIN, ELSEWHERE, TOML, USER, WEB, Real

pytestmark = pytest.mark.world
_NAMES = "127.0.0.55"
# The addresses of hosts, but none of the domain itself.
_HOSTS = ADDRESSES.replace(f"@ IN A {WEB}\n", "").replace(WEB, ELSEWHERE)
_NEW = TOML.replace(
    f'domains = ["{DOMAIN}"]', f'domains = ["{DOMAIN}"]\ndisplay_name = "Example"'
)


@pytest.fixture
def names(real_world: Real) -> Iterator[Bind]:
    """A name server that knows the hosts, and accepts the rest from a key."""
    with bind(DOMAIN, _HOSTS, real_world.inside, _NAMES) as names:
        yield names


def publish(names: Bind, file: Path, *options: str | Path) -> None:
    """Publish as README has it, but with the address of the server of the zone."""
    command = (BIN / "flask-autoconfig", "--config", file, "dns")
    options = ("--target", f"www.{DOMAIN}", "--format", "nsupdate", *options)
    dns = shlex.join(map(str, (*command, *options)))
    nsupdate = shlex.join([program("nsupdate"), "-k", str(names.key)])
    line = f"{{ echo server {names.address}; {dns}; }} | {nsupdate}"
    result = names.run("sh", "-c", line)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_check_finds_nothing_wrong_before_during_and_after_a_change_of_digests(
    real_world: Real, names: Bind
) -> None:
    old, new = real_world.folder / "old.toml", real_world.folder / "new.toml"
    served = real_world.folder / "served.toml"
    old.write_text(TOML)
    new.write_text(_NEW)
    served.write_text(TOML)
    diff = ("--diff", "--resolver", _NAMES)

    def digests() -> list[str]:
        """Return the published digests, after `check` has found nothing wrong."""
        report = real_world.check(USER, file=served, names=_NAMES)
        assert problems(report) == []
        assert works(report) == dict.fromkeys(ALL, True)
        for row in report["clients"]:
            assert row["sets_up"]
            assert not row["stopped_by"]
        assert report["clients"][ALL.index("Kontact")]["sets_up"][0] == IMAP_ACCOUNT
        return names.dig(f"_ua-auto-config.{DOMAIN}", "TXT")

    with real_world.service(served):
        before = real_world.check(USER, file=served, names=_NAMES)
        assert True not in works(before).values()
        publish(names, old)
        (first,) = digests()

        publish(names, new, "--previous", old, *diff)
        both = digests()
        assert len(both) == 2
        assert first in both

        served.write_text(_NEW)
        until(lambda: b"<displayName>Example<" in real_world.inside.call(document))
        assert digests() == both

        publish(names, new, *diff)
        assert digests() == [digest for digest in both if digest != first]


def document() -> bytes:
    url = "http://127.0.0.1:8000/mail/config-v1.1.xml"
    return fetch(url, Host=f"autoconfig.{DOMAIN}").body
