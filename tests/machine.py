"""A copy of this machine, whose changes are discarded, with a network of its own.

Its processes see the whole file system, write to a layer above it (overlayfs), and end
with it (a PID namespace). There is no internet in its network namespace.
"""

import os
import shlex
import subprocess
from pathlib import Path

from namespace import Namespace
from support import BIN, lacking, program

OVERLAY = """
set -e
cd {folder}
mount -t tmpfs tmpfs layer
mkdir layer/changed layer/work layer/root
mount -t overlay overlay \\
  -o lowerdir=/,upperdir=layer/changed,workdir=layer/work layer/root
"""
_START = f"""{OVERLAY}
for name in dev sys tmp; do mount --rbind /$name layer/root/$name; done
mount -t proc proc layer/root/proc
echo nameserver 127.0.0.1 > layer/root/etc/resolv.conf
exec chroot layer/root bash -euxo pipefail {{folder}}/session
"""

# systemd does not run here: this checks the units and does what they say.
_SYSTEMCTL = """#!/bin/bash -eu
unit=/etc/systemd/system/autoconfig
case "$*" in
daemon-reload)
    ! systemd-analyze verify --man=no $unit.service $unit.socket 2>&1 | grep autoconfig ;;
"enable --now autoconfig.socket")
    grep -q '^WantedBy=sockets.target' $unit.socket
    listen=$(sed -n 's/^ListenStream=/-l /p' $unit.socket)
    command=$(sed -n 's/^ExecStart=//p' $unit.service)
    env --ignore-environment systemd-socket-activate $listen $command \\
        > /var/log/autoconfig 2>&1 &
    until (: < /dev/tcp/127.0.0.1/8000) 2> /dev/null; do sleep 0.05; done ;;
"reload nginx")
    nginx -s reload ;;
*)
    echo "unexpected: $*"; exit 1 ;;
esac
"""
# Everything is installed already; Debian starts a web server after installing it.
_APT_GET = """#!/bin/bash -eu
[[ $1 == install && " $* " == *" nginx "* ]]
[[ -e /run/nginx.pid ]] || nginx
"""


class Machine:
    """A machine with its files in a folder, in a network namespace."""

    def __init__(self, folder: Path, inside: Namespace) -> None:
        self.folder, self._inside = folder, inside
        (folder / "layer").mkdir()
        (folder / "programs").mkdir()
        for name, text in (("systemctl", _SYSTEMCTL), ("apt-get", _APT_GET)):
            (folder / "programs" / name).write_text(text)
            (folder / "programs" / name).chmod(0o755)

    def session(self, code: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a bash script as root in a new copy of the machine."""
        (self.folder / "session").write_text(code)
        own = (str(self.folder / "programs"), "/usr/local/bin", "/usr/sbin", "/sbin")
        outer = [name for name in os.environ["PATH"].split(":") if name != str(BIN)]
        base = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": ":".join([*own, *outer])}
        start = _START.format(folder=shlex.quote(str(self.folder)))
        result = self._inside.call(
            subprocess.run,
            [program("unshare"), "--mount", "--pid", "--fork", "--kill-child"]
            + [program("bash"), "-c", start],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            env={**base, **env},
        )
        if "mount:" in result.stderr and "+ " not in result.stderr:
            lacking("the right to mount an overlay file system")
        return result
