"""A real BIND on loopback, with one zone that a key may change."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from namespace import Namespace
from support import ZONE_HEAD, free_port, open_folder, program, running, until

SECRET = "c2VjcmV0IG9mIG9uZSB0ZXN0LCBvZiAzMiBieXRlcyE="
_CONFIGURATION = """
options {{ directory "{folder}"; listen-on port {port} {{ 127.0.0.1; }};
    listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no;
    dnssec-validation no; }};
controls {{ }};
key "office" {{ algorithm hmac-sha256; secret "{secret}"; }};
zone "{domain}" {{ type primary; file "zone"; allow-update {{ key office; }}; }};
"""


class Bind(NamedTuple):
    """Where it listens, and the file of the key."""

    domain: str
    port: int
    key: Path

    @property
    def resolver(self) -> str:
        """As `--resolver` takes it."""
        return f"127.0.0.1:{self.port}"

    def update(self, script: str) -> subprocess.CompletedProcess[str]:
        """What nsupdate makes of a script, at this server."""
        return subprocess.run(
            [program("nsupdate"), "-k", self.key],
            input=f"server 127.0.0.1 {self.port}\n{script}",
            capture_output=True,
            text=True,
        )

    def ask(self, name: str, type_: str) -> list[str]:
        """The data of a name's records, as dig shows them."""
        options = ("+short", "@127.0.0.1", "-p", str(self.port))
        found = subprocess.run(
            [program("dig"), *options, name, type_],
            capture_output=True,
            text=True,
            check=True,
        )
        return sorted(found.stdout.split("\n")[:-1])


@contextmanager
def bind(
    domain: str, zone: str = "", inside: Namespace | None = None
) -> Iterator[Bind]:
    """A server with the domain's zone, an SOA, an NS and those lines in it.

    In a namespace it has its own port.
    """
    with open_folder() as folder:
        port, key = 53 if inside else free_port(), folder / "key"
        (folder / "zone").write_text(ZONE_HEAD + zone)
        key.write_text(
            f'key "office" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
        )
        configuration = _CONFIGURATION.format(
            folder=folder, port=port, secret=SECRET, domain=domain
        )
        (folder / "named.conf").write_text(configuration)
        named = (program("named"), "-f", "-c", folder / "named.conf")
        log = folder / "log"
        if inside:
            started = inside.running(*named, port=port, address="127.0.0.1", log=log)
        else:
            started = running(*named, port=port, log=log)
        with started:
            here = Bind(domain, port, key)
            call = inside.call if inside else lambda function, *rest: function(*rest)
            until(lambda: bool(call(here.ask, domain, "SOA")))
            yield here
