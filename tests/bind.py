"""A real BIND on loopback or in a network namespace, whose zones a key can update."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from namespace import Namespace
from services import called, free_port, running, until
from support import ZONE_HEAD, open_folder, program

SECRET = "c2VjcmV0IG9mIG9uZSB0ZXN0LCBvZiAzMiBieXRlcyE="
_CONFIGURATION = """
options {{ directory "{folder}"; listen-on port {port} {{ {address}; }};
    listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; {options} }};
controls {{ }};
{more}
"""
_KEY = f'key "office" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
_ZONE = 'zone "{}" {{ type primary; file "{}"; {} }};\n'
_UPDATES = "allow-update { key office; };"


@dataclass
class Bind:
    """The domain, the server and its folder."""

    domain: str
    folder: Path
    port: int
    address: str = "127.0.0.1"
    inside: Namespace | None = None
    process: subprocess.Popen[bytes] | None = None
    _serial: int = 1

    @property
    def call(self) -> Callable[..., Any]:
        return self.inside.call if self.inside else called

    @property
    def key(self) -> Path:
        return self.folder / "key"

    @property
    def resolver(self) -> str:
        """The server in the form of `--resolver`."""
        return f"{self.address}:{self.port}"

    def run(self, *command: str | Path, **options: Any) -> Any:
        """Run a program where the server can be reached."""
        words = [str(word) for word in command]
        options = {"capture_output": True, "text": True, **options}
        return self.call(subprocess.run, words, **options)

    def update(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of nsupdate at this server."""
        script = f"server {self.address} {self.port}\n{script}"
        result: subprocess.CompletedProcess[str] = self.run(
            program("nsupdate"), "-k", self.key, input=script
        )
        return result

    def dig(self, name: str, type_: str) -> list[str]:
        """Return the data of a name's records, as dig shows them."""
        options = ("+short", f"@{self.address}", "-p", str(self.port))
        found = self.run(program("dig"), *options, name, type_, check=True)
        return sorted(found.stdout.split("\n")[:-1])

    def write(self, zones: Mapping[str, str]) -> None:
        head = ZONE_HEAD.replace("127.0.0.1", self.address)
        head = head.replace(" 1 ", f" {self._serial} ")
        for name, lines in zones.items():
            (self.folder / name).write_text(head + lines)

    def serve(self, zones: Mapping[str, str]) -> None:
        """Replace the lines of the zones, which the key cannot update."""
        self._serial += 1
        self.write(zones)
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self.wait()

    def wait(self) -> None:
        """Wait until the server has the zones as they were written last."""
        serial = f" {self._serial} "
        until(lambda: serial in "".join(self.dig(self.domain, "SOA")))


@contextmanager
def named(server: Bind, options: str, more: str) -> Iterator[None]:
    """Run BIND with further options and statements."""
    values = {"folder": server.folder, "port": server.port, "address": server.address}
    file, log = server.folder / "named.conf", server.folder / "log"
    file.write_text(_CONFIGURATION.format(**values, options=options, more=more))
    command = (program("named"), "-f", "-c", file)
    where: Any = {"port": server.port, "address": server.address, "log": log}
    with running(*command, **where, call=server.call) as server.process:
        yield


@contextmanager
def bind(
    domain: str,
    zone: str = "",
    inside: Namespace | None = None,
    address: str = "127.0.0.1",
    others: Mapping[str, str] = MappingProxyType({}),
    updates: str = _UPDATES,
) -> Iterator[Bind]:
    """Serve the domain's zone: an SOA, an NS and the lines of *zone*.

    *others* has the lines of further zones by their domains. In a namespace the server
    listens on port 53 of *address*. Without *updates* the zones can be replaced.
    """
    with open_folder() as folder:
        server = Bind(domain, folder, 53 if inside else free_port(), address, inside)
        server.key.write_text(_KEY)
        zones = {domain: zone, **others}
        server.write(zones)
        lines = [_ZONE.format(name, name, updates) for name in zones]
        options = "recursion no; dnssec-validation no;"
        with named(server, options, _KEY + "".join(lines)):
            server.wait()
            yield server
