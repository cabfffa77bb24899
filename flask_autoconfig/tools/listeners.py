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
    for address in config.address:
        if isinstance(address, int):  # an inherited descriptor
            continue
        try:
            bind_once(address, reuse_port=config.reuse_port)
        except (OSError, OverflowError) as error:  # the latter for a port number
            raise _unusable(address, error) from error


def bind_once(address: Any, *, reuse_port: bool) -> None:
    """Bind and release an address; raises OSError or OverflowError.

    It never listens, so that a client that connects in this moment is refused instead
    of cut off.
    """
    from gunicorn.util import is_ipv6

    is_unix = isinstance(address, str)
    if is_unix:
        family = socket.AF_UNIX
        _remove_stale_socket(address)
    else:
        family = socket.AF_INET6 if is_ipv6(address[0]) else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    if is_unix and not address.startswith("\0"):
        os.unlink(address)


def _remove_stale_socket(path: str) -> None:
    """Remove the socket of a server that has ended; raises OSError if one still runs."""
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except (FileNotFoundError, ValueError):  # the latter for an abstract socket
        return
    if not is_socket:
        raise OSError(errno.EEXIST, "there is a file of that name")
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        if client.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _unusable(address: Any, error: Exception) -> UnusableError:
    cure = _CURES.get(getattr(error, "errno", None) or 0, "choose another by --bind")
    reason = (getattr(error, "strerror", None) or str(error)).lower()
    return UnusableError(f"cannot serve at {_text(address)}: {reason}; {cure}")


def _text(address: Any) -> str:
    if isinstance(address, str):
        return "unix:" + address.replace("\0", "@")
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
