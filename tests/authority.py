"""Pebble, a certificate authority with the same challenges as Let's Encrypt."""

import json
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from services import called, free_port, running, wait_for
from support import certificate_for, program

_ENV = ("env", "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=0")


def _root(folder: Path, port: int) -> None:
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    url = f"https://localhost:{port}/roots/0"
    with urllib.request.urlopen(url, context=context, timeout=10) as response:
        (folder / "root.pem").write_bytes(response.read())


@contextmanager
def authority(
    folder: Path,
    http: int,
    names: str = "",
    tls: int = 0,
    seconds: int = 0,
    call: Callable[..., Any] = called,
) -> Iterator[int]:
    """Start Pebble; yield its port. Its root certificate is `root.pem` in the folder.

    *http* and *tls* are the ports of challenges, *names* the name server (HOST:PORT);
    without one every name has the address 127.0.0.1. Certificates are valid for *seconds*,
    or for years. *call* is that of a namespace.
    """
    certificate, key = certificate_for("localhost", folder=folder)
    port, management, dns_port, management_port = (free_port() for _ in range(4))
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http,
        "tlsPort": tls or free_port(),
        **({"certificateValidityPeriod": seconds} if seconds else {}),
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    resolver = [
        *(program("pebble-challtestsrv"), "-dns01", f"127.0.0.1:{dns_port}"),
        *("-management", f"127.0.0.1:{management_port}", "-defaultIPv6", ""),
        *("-http01", "", "-https01", "", "-tlsalpn01", ""),
    ]
    pebble = [program("pebble"), "-dnsserver", names or f"127.0.0.1:{dns_port}"]
    pebble += ["-config", str(folder / "pebble.json")]
    with ExitStack() as stack:
        if not names:
            stack.enter_context(running(*resolver, port=management_port, call=call))
        process = stack.enter_context(running(*_ENV, *pebble, port=port, call=call))
        call(wait_for, management, process)  # Pebble opens its two ports in no order
        call(_root, folder, management)
        yield port
