"""Whether gunicorn can listen at the addresses that `serve` is told."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack
from typing import Any


class UnusableError(Exception):
    """What `serve` was told and cannot do: one line, with the cure."""


_CURES = {
    errno.EADDRINUSE: "end what serves there, or choose another by --bind",
    errno.EACCES: "choose a port above 1023, or a folder that you may write in, by --bind",
    errno.EADDRNOTAVAIL: "name one of this machine's own by --bind",
}


def check(config: Any) -> None:
    """Raise UnusableError where gunicorn would try an address again and again.

    `config` is gunicorn's configuration.
    """
    is_handed_over = os.environ.get("LISTEN_PID") == str(os.getpid())
    if is_handed_over or "GUNICORN_FD" in os.environ:  # by systemd, or at USR2
        return
    with ExitStack() as held:  # all at once: two of them may be the same
        for address in config.address:
            if isinstance(address, int):
                continue
            try:
                held.enter_context(_holder(address, config))
            except (OSError, OverflowError) as error:  # the second: of a port's number
                raise _taken(address, error) from error
            if isinstance(address, str) and not address.startswith("\0"):
                held.callback(os.unlink, address)


def _taken(address: Any, error: Exception) -> UnusableError:
    number = getattr(error, "errno", None) or 0
    cure = _CURES.get(number, "choose another by --bind")
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return UnusableError(f"cannot serve at {_written(address)}: {reason}; {cure}")


def _holder(address: Any, config: Any) -> socket.socket:
    """A socket that holds the address, as long as nobody else does."""
    from gunicorn.util import is_ipv6

    if isinstance(address, str):
        family = socket.AF_UNIX
        _clear(address)
    else:
        family = socket.AF_INET6 if is_ipv6(address[0]) else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if config.reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        # Only then are two that are the same told. Who connected would be cut off.
        if len(config.address) > 1:
            listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _clear(path: str) -> None:
    """Take away the socket that a server left when it died; raises OSError if it lives."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except (FileNotFoundError, ValueError):  # none, or no path: an abstract one
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "there is a file of that name")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        try:
            client.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:  # so many are waiting for it
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _written(address: Any) -> str:
    if isinstance(address, str):
        return "unix:" + address.replace("\0", "@")
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
