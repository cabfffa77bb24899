"""A PostgreSQL server on loopback that a test can stop and start."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import end, free_port, lacking, open_folder, wait_for

# Debian keeps each release's programs in a folder of its own, outside of PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)


def _program(name: str) -> Path:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return folder / name
    return lacking(f"PostgreSQL's {name}")


def _identity() -> dict[str, int | str]:
    """Return the user to run as, since PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return {}
    user = pwd.getpwnam("postgres")
    return {"user": user.pw_uid, "group": user.pw_gid}


class Postgres:
    """A server whose only user, `mail`, needs no password."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "data"
        self.port = free_port()
        self.url = f"postgresql://mail@127.0.0.1:{self.port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        identity = _identity()
        if identity:
            os.chown(folder, int(identity["user"]), int(identity["group"]))
        subprocess.run(
            [_program("initdb"), "--username=mail", "--auth=trust", "--no-sync"],
            env={"PGDATA": str(self.folder), "LC_ALL": "C.UTF-8"},
            stdout=subprocess.DEVNULL,
            check=True,
            **identity,  # type: ignore[call-overload]
        )

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        command = [_program("postgres"), "-D", self.folder, "-p", str(self.port)]
        options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        options += ["-c", f"unix_socket_directories={self.folder}"]
        self._process = subprocess.Popen(
            [*command, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            **_identity(),  # type: ignore[call-overload]
        )
        wait_for(self.port, self._process)

    def stop(self) -> None:
        """Kill the server."""
        if self._process is not None:
            end(self._process, at_once=True)
            self._process = None
            (self.folder / "postmaster.pid").unlink(missing_ok=True)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run a server until the block ends."""
    with open_folder() as folder:
        server = Postgres(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
