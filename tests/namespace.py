"""Network namespaces, with a loopback interface and ports of their own."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from services import end, running
from support import lacking, program

T = TypeVar("T")
_CLONE_NEWNET = 0x40000000


class Namespace:
    """A network namespace with loopback, which exists as long as a process."""

    def __init__(self, holder: subprocess.Popen[bytes]) -> None:
        self.path = f"/proc/{holder.pid}/ns/net"

    def call(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Call a function in the namespace, with its threads and processes."""
        with ThreadPoolExecutor(1, initializer=self._enter) as pool:
            return pool.submit(function, *arguments, **named).result()

    def _enter(self) -> None:
        """Move this thread into the namespace, for good."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(descriptor)

    def running(
        self, *command: str | Path, **options: Any
    ) -> AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a server in the namespace until the block ends."""
        return running(*command, call=self.call, **options)


@contextmanager
def namespace() -> Iterator[Namespace]:
    """Create a namespace; skip the test without the right to do so."""
    unshare, ip = program("unshare"), program("ip")
    # BIND listens only on addresses of the interface.
    more = f"{ip} addr add 127.0.0.53/8 dev lo && {ip} addr add 127.0.0.55/8 dev lo"
    script = f"{ip} link set lo up && {more} && echo up && exec sleep infinity"
    holder = subprocess.Popen(
        [unshare, "--net", "sh", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"up\n":
            lacking("the right to make a network namespace")
        yield Namespace(holder)
    finally:
        end(holder)
        with suppress(AttributeError):
            holder.stdout.close()  # type: ignore[union-attr]
