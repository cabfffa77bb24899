"""contrib's Dockerfile, built by buildah and run by podman as its compose file says.

The base is made of Debian's packages, since a test needs no registry of images.
"""

import json
import os
import platform
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
import yaml
from namespace import Namespace, namespace
from services import CONFIG, Response, fetch, until
from support import ROOT, TWO_DOMAINS, lacking, program

pytestmark = pytest.mark.install
DOCKER = ROOT / "contrib/docker"
README = (ROOT / "contrib/README.md").read_text()
IMAGE = (DOCKER / "Dockerfile").read_text()
DEBIAN = (
    *("mmdebstrap", "--mode=root", "--variant=essential"),
    "--include=passwd,python3-pip,python-is-python3",
    # pip may install into the system, as in the image that the Dockerfile names.
    '--customize-hook=rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED',
)

# podman's own limits may be above those of this machine; crun needs cgroups version 2.
RUN = """podman --runtime=runc --cgroup-manager=cgroupfs run
    --ulimit=nofile=1024:1024 --ulimit=nproc=1024:1024"""


class Engine(NamedTuple):
    """buildah and podman with their images in a folder of the test."""

    folder: Path

    def is_healthy(self) -> bool:
        with suppress(AssertionError):
            self.run("podman healthcheck run autoconfig")
            return True
        return False

    def run(self, command: str, *more: str, code: int = 0, **options: Any) -> str:
        words = [*shlex.split(command), *more]
        store = f"--root={self.folder}/images", f"--runroot={self.folder}/run"
        # podman starts a healthcheck by a timer of systemd, which may not run here.
        env = {**os.environ, "TMPDIR": str(self.folder), "DISABLE_HC_SYSTEMD": "true"}
        result = subprocess.run(
            [program(words[0]), *store, *words[1:]],
            **{"cwd": ROOT, "env": env, "text": True, "timeout": 300, **options},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert result.returncode == code, result.stdout
        return str(result.stdout)


class Container(NamedTuple):
    engine: Engine
    inside: Namespace

    def fetch(self, target: str) -> Response:
        return self.inside.call(fetch, f"http://127.0.0.1:8000{target}")

    def responds_with(self, target: str, words: bytes) -> bool:
        try:
            return words in self.fetch(target).body
        except OSError:  # it does not listen yet
            return False

    def sh(self, script: str) -> str:
        return self.engine.run("podman exec autoconfig sh -c", script).strip()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """An engine with the image, built by the command of the Dockerfile's comment."""
    if os.getuid() != 0:
        lacking("root")
    for name in ("podman", "runc"):
        program(name)
    (base,) = re.findall(r"^FROM (\S+)$", IMAGE, re.MULTILINE)
    (build,) = re.findall(r"^#   (buildah build .*)$", IMAGE, re.MULTILINE)
    # Files in memory are written and removed in half the time.
    release = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    with TemporaryDirectory(dir="/dev/shm") as folder:
        engine = Engine(Path(folder))
        with subprocess.Popen(
            [program(DEBIAN[0]), *DEBIAN[1:], release, "-"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as debian:
            name = f"docker.io/library/{base}"
            engine.run("podman import -", name, stdin=debian.stdout)
        assert debian.returncode == 0
        try:
            engine.run(RUN, "--rm", "--network=none", name, "true")
        except AssertionError as error:
            lacking(f"what containers need: {error}")
        args = "--isolation=chroot --network=host --pull-never"
        certificates = "--volume=/etc/ssl/certs:/etc/ssl/certs:ro"
        bundle = "--env=PIP_CERT=/etc/ssl/certs/ca-certificates.crt"
        engine.run(build.replace(" build ", f" build {args} {certificates} {bundle} "))
        yield engine


@contextmanager
def started(engine: Engine, folder: Path) -> Iterator[Container]:
    """Run a container of the image with the options of the compose file."""
    compose = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    (service,) = compose["services"].values()
    assert service["read_only"]
    options = [f"--tmpfs={value}" for value in service["tmpfs"]]
    options += [f"--cap-drop={value}" for value in service["cap_drop"]]
    options += [f"--security-opt={value}" for value in service["security_opt"]]
    (mount,) = service["volumes"]
    options += [f"--volume={folder}:{mount['target']}:ro"]
    with namespace() as inside:
        options += [f"--network=ns:{inside.path}", "--name=autoconfig", "--read-only"]
        engine.run(RUN, "--detach", *options, "autoconfig")
        try:
            yield Container(engine, inside)
        finally:
            engine.run("podman rm --force autoconfig")


def test_the_image_serves_as_compose_says(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    file = tmp_path / "autoconfig.toml"
    file.write_text("faulty")
    with started(engine, tmp_path) as container:
        until(lambda: container.responds_with("/healthz", b"ok"))
        assert container.fetch("/readyz").status == 503
        engine.run("podman healthcheck run autoconfig", code=1)
        file.write_text(TWO_DOMAINS)
        until(lambda: container.responds_with("/readyz", b"ok"))
        until(engine.is_healthy)  # the other worker takes the file up at its own time
        assert (
            container.sh("id -u; id -g; cat /proc/1/comm").split()[:2]
            == [re.findall(r"--uid (\d+)", IMAGE)[0]] * 2
        )
        # What contrib's README lets Kubernetes run before it stops the container.
        (hook,) = re.findall(r"exec: \{command: (\[.*?\])\}", README)
        assert container.sh(f"command -v {json.loads(hook)[0]}")
        refused = "for it in / /usr /etc/autoconfig /home; do touch $it/x; done; :"
        assert container.sh(refused).count("Read-only file system") == 4
        assert container.sh("ls -A /etc/autoconfig /source; :").count("\n") < 3
        assert container.responds_with(CONFIG, b"imap.example.com")
        # Editors replace the file, which a mount of the file alone would not show.
        edited = tmp_path / "autoconfig.toml.new"
        edited.write_text(TWO_DOMAINS.replace("imap.", "new."))
        edited.rename(file)
        until(lambda: container.responds_with(CONFIG, b"new.example.com"))
        # A client that has not sent its whole request does not delay the end until the
        # engine kills the container (137), as Docker does after ten seconds.
        slow = container.inside.call(
            socket.create_connection, ("127.0.0.1", 8000), timeout=10
        )
        with slow:
            slow.sendall(b"POST /autodiscover/autodiscover.xml HTTP/1.1\r\n")
            engine.run("podman stop --time=10 autoconfig")
        state = engine.run("podman inspect --format {{.State.ExitCode}} autoconfig")
        assert state.strip() == "0"
        log = engine.run("podman logs autoconfig")
    assert "secret" not in log
    assert "Traceback" not in log
