"""Checks the addresses to listen on, for which gunicorn would retry for seconds."""

from __future__ import annotations

import errno
import os
import socket
import stat
from typing import Any


class UnusableError(Exception):
    """`serve` cannot start; the message is one line with the remedy."""


_CURES = {
    errno.EADDRINUSE: "end what serves there, or choose another by --bind",
    errno.EACCES: "choose a port above 1023, or a folder that you may write in, by --bind",
    errno.EADDRNOTAVAIL: "name one of this machine's own by --bind",
}


def check(config: Any) -> None:
    """Raise UnusableError if an address of gunicorn's configuration cannot be used."""
    is_socket_activated = os.environ.get("LISTEN_PID") == str(os.getpid())
    if is_socket_activated or "GUNICORN_FD" in os.environ:  # the latter after USR2
        return
    for name, address in zip(config.bind, config.address, strict=True):
        if isinstance(address, int):  # an inherited descriptor
            continue
        try:
            _bind_once(address, reuse_port=config.reuse_port)
        except (OSError, OverflowError, ValueError) as error:
            cure = _CURES.get(getattr(error, "errno", 0), "choose another by --bind")
            reason = (getattr(error, "strerror", "") or str(error)).lower()
            message = f"cannot serve at {name}: {reason}; {cure}"
            raise UnusableError(message) from error


def _bind_once(address: Any, *, reuse_port: bool) -> None:
    """Bind and release an address; raises an exception if that is impossible.

    It never listens, so that a client that connects in this moment is refused instead
    of cut off.
    """
    is_unix = isinstance(address, str)
    if is_unix:
        family = socket.AF_UNIX
        _remove_stale_socket(address)
    else:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    if is_unix:
        os.unlink(address)


def _remove_stale_socket(path: str) -> None:
    """Remove the socket of a server that has ended; raises OSError if one still runs."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "there is a file of that name")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        if client.connect_ex(path) != errno.ECONNREFUSED:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
    os.unlink(path)
