"""A real BIND on loopback or in a network namespace, whose zones a key can update."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from namespace import Namespace
from support import ZONE_HEAD, free_port, open_folder, program, running, until

SECRET = "c2VjcmV0IG9mIG9uZSB0ZXN0LCBvZiAzMiBieXRlcyE="
_CONFIGURATION = """
options {{ directory "{folder}"; listen-on port {port} {{ {address}; }};
    listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no;
    dnssec-validation no; }};
controls {{ }};
key "office" {{ algorithm hmac-sha256; secret "{secret}"; }};
"""
_ZONE = 'zone "{}" {{ type primary; file "{}"; allow-update {{ key office; }}; }};\n'


class Bind(NamedTuple):
    """The domain, the server and the file of its key."""

    domain: str
    port: int
    key: Path
    address: str = "127.0.0.1"
    inside: Namespace | None = None

    @property
    def resolver(self) -> str:
        """The server in the form of `--resolver`."""
        return f"{self.address}:{self.port}"

    def run(self, *command: str | Path, **options: Any) -> Any:
        """Run a program where the server can be reached."""
        words = [str(word) for word in command]
        options = {"capture_output": True, "text": True, **options}
        if self.inside is None:
            return subprocess.run(words, **options)
        return self.inside.call(subprocess.run, words, **options)

    def update(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of nsupdate at this server."""
        script = f"server {self.address} {self.port}\n{script}"
        done: subprocess.CompletedProcess[str] = self.run(
            program("nsupdate"), "-k", self.key, input=script
        )
        return done

    def ask(self, name: str, type_: str) -> list[str]:
        """Return the data of a name's records, as dig shows them."""
        options = ("+short", f"@{self.address}", "-p", str(self.port))
        found = self.run(program("dig"), *options, name, type_, check=True)
        return sorted(found.stdout.split("\n")[:-1])


@contextmanager
def bind(
    domain: str,
    zone: str = "",
    inside: Namespace | None = None,
    address: str = "",
    others: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Bind]:
    """Serve the domain's zone: an SOA, an NS and the lines of *zone*.

    *others* has the lines of further zones by their domains. In a namespace the server
    listens on port 53 of *address*.
    """
    with open_folder() as folder:
        port = 53 if inside else free_port()
        here = Bind(domain, port, folder / "key", address or "127.0.0.1", inside)
        here.key.write_text(
            f'key "office" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
        )
        configuration = _CONFIGURATION.format(
            folder=folder, port=port, address=here.address, secret=SECRET
        )
        for name, lines in {domain: zone, **others}.items():
            (folder / name).write_text(ZONE_HEAD + lines)
            configuration += _ZONE.format(name, name)
        (folder / "named.conf").write_text(configuration)
        named = (program("named"), "-f", "-c", folder / "named.conf")
        start = inside.running if inside else running
        with start(*named, port=port, address=here.address, log=folder / "log"):
            until(lambda: bool(here.ask(domain, "SOA")))
            yield here
