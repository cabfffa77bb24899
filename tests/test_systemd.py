"""contrib's units under systemd, which systemd-nspawn boots in a copy of this machine.

Only these units run in it. It has the interpreter of the tests at another place, since
`ProtectHome=` may hide the home folder that contains it.
"""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from fronts import CONTRIB, need
from machine import OVERLAY
from services import captured
from support import (
    BIN,
    ROOT,
    TWO_DOMAINS,
    certificate_for,
    lacking,
    open_folder,
    program,
)

pytestmark = pytest.mark.world
UNITS = CONTRIB / "systemd"
FOLDERS = {
    "python": Path(sys.base_prefix),
    "packages": next(BIN.parent.glob("lib/python*/site-packages")),
    "project": ROOT,
}
PROGRAM = f"""#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/project:/opt/packages
export PYTHONDONTWRITEBYTECODE=1
exec /opt/python/bin/python{sys.version_info[0]}.{sys.version_info[1]} \\
    -m flask_autoconfig "$@"
"""
BOOT = """
[Unit]
Requires=basic.target session.service
After=basic.target
"""
SESSION = """
[Unit]
DefaultDependencies=no
After=basic.target

[Service]
Type=oneshot
ExecStart=/bin/bash -ux /opt/session
StandardOutput=file:/opt/out
StandardError=file:/opt/log
ExecStopPost=/bin/systemctl --no-block poweroff
"""


def in_systemd(session: str, **files: str) -> str:
    """Boot a copy of the machine, run a script in it, and return its output."""
    if os.getuid() != 0:
        lacking("root")
    need("::1")
    nspawn = program("systemd-nspawn")
    files |= {
        "opt/autoconfig/bin/flask-autoconfig": PROGRAM,
        "opt/session": session,
        "etc/systemd/system/default.target": BOOT,
        "etc/systemd/system/session.service": SESSION,
    }
    for unit in ("autoconfig.service", "autoconfig.socket"):
        files[f"etc/systemd/system/{unit}"] = (UNITS / unit).read_text()
    with open_folder() as folder:
        (folder / "layer").mkdir()
        for name, text in files.items():
            file = folder / "files" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755 if text.startswith("#!") else 0o644)
        binds = "".join(
            f"mkdir -p layer/root/opt/{name}\n"
            f"mount --bind {shlex.quote(str(path))} layer/root/opt/{name}\n"
            for name, path in FOLDERS.items()
        )
        script = (
            f"{OVERLAY.format(folder=shlex.quote(str(folder)))}"
            "rm -rf layer/root/etc/systemd/system/* layer/root/etc/autoconfig\n"
            f"cp -a files/. layer/root\n{binds}"
            f"{nspawn} --directory=layer/root --register=no --keep-unit --boot"
            f" --console=pipe --private-network --machine=autoconfig{os.getpid()} || true\n"
            "cat layer/root/opt/log >&2\ncat layer/root/opt/out\n"
        )
        unshare = (program("unshare"), "--mount", "--pid", "--fork", "--kill-child")
        result = captured(*unshare, program("bash"), "-c", script, seconds=80)
    if result.returncode:
        lacking(f"what systemd-nspawn needs: {result.stderr[-2000:]}")
    print(result.stdout, result.stderr)
    return result.stdout


ASK = """
url=http://127.0.0.1:8000 query=emailaddress=fred@example.com
ask() {
    curl --silent --output /dev/null --write-out '%{http_code} ' \\
        "$url/mail/config-v1.1.xml?$query"
}
active() { # the states, once a start has ended
    for ((tries = 0; tries < 50; tries++)); do
        states=$(systemctl is-active autoconfig.socket autoconfig.service | xargs echo)
        [[ $states == *activating* ]] || break
        sleep 0.1
    done
    echo "$states"
}
"""


def test_neither_a_faulty_file_nor_a_missing_program_ends_the_units() -> None:
    output = in_systemd(
        f"""{ASK}
        systemctl enable --now autoconfig.socket
        ask; systemctl restart autoconfig; ask; active
        # As in an upgrade: more attempts than systemd makes by default.
        mv /opt/autoconfig/bin /opt/autoconfig/old
        for number in 1 2 3 4 5 6; do (ask > /opt/after$number) & done
        for number in 1 2 3 4 5 6; do systemctl restart autoconfig; done
        mv /opt/autoconfig/old /opt/autoconfig/bin
        wait; cat /opt/after?; active
        cp /opt/sound.toml /etc/autoconfig/autoconfig.toml
        # Each worker reads the file by itself, so one may still answer 503.
        for ((count = 0; count < 50; count++)); do
            answers="$(ask)$(curl --silent 'http://[::1]:8000/readyz')"
            [[ $answers == "200 ok" ]] && break; sleep 0.2
        done
        echo "$answers"
        """,
        **{"etc/autoconfig/autoconfig.toml": "faulty", "opt/sound.toml": TWO_DOMAINS},
    )
    assert output.splitlines() == [
        "503 503 active active",
        "503 " * 6 + "active active",
        "200 ok",
    ]


def test_it_signs_by_credentials_and_restarts_lose_no_request(tmp_path: Path) -> None:
    text = (UNITS / "sign.conf").read_text()
    sign = "\n".join(re.findall(r"^#   (\[sign\]|\w+ = .*)$", text, re.MULTILINE))
    (restart,) = re.findall(r"--deploy-hook '(.*)'", text)
    files = re.findall(r"^LoadCredential=\S+:/(\S+)$", text, re.MULTILINE)
    pair = certificate_for("autoconfig.example.com", folder=tmp_path)
    output = in_systemd(
        f"""{ASK}
        systemctl enable --now autoconfig.socket
        chmod 600 /{" /".join(files)}
        ask
        while [[ ! -e /opt/over ]]; do ask; done > /opt/load &
        {restart}; {restart}; {restart}
        touch /opt/over; wait
        tr ' ' '\\n' < /opt/load | sort --unique
        curl --silent $url/mail/mobileconfig?$query > /opt/profile
        openssl cms -verify -inform DER -in /opt/profile -CAfile /opt/ca.pem \\
            -purpose any | grep --only-matching fred@example.com | head -n 1
        """,
        **{
            "etc/autoconfig/autoconfig.toml": f"{sign}\n{TWO_DOMAINS}",
            "etc/systemd/system/autoconfig.service.d/sign.conf": text,
            "opt/ca.pem": (tmp_path / "ca.pem").read_text(),
            **{name: file.read_text() for name, file in zip(files, pair, strict=True)},
        },
    )
    assert output.split() == ["200", "200", "fred@example.com"]
