"""The README's five steps, from a bare Debian to a successful `check`.

Everything but the internet is real: BIND, certbot and a certificate authority, Debian's
nginx, Dovecot and Postfix, the commands of the units under systemd's socket activation.
"""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
from authority import authority
from bind import Bind, bind
from documents import cloned, section
from fronts import need
from machine import Machine
from namespace import Namespace, namespace
from support import BIN, ROOT, certificate_for, lacking, open_folder, program, replaced
from world import IMAP, PASSWORD, SMTP, postfix, real_dovecot

pytestmark = pytest.mark.install
DOMAIN = "example.test"  # "yours"
STEPS = re.split(r"(?m)^\d\. ", section("README.md", "Publish it"))[1:]
ZONE = f"""
@ IN MX 10 mx
@ IN A 127.0.0.1
www IN A 127.0.0.1
mx IN A {SMTP}
imap IN A {IMAP}
smtp IN A {SMTP}
"""


def code_of(step: str) -> str:
    """Return the commands of a step."""
    (code,) = re.findall(r"^   ```sh\n(.*?)^   ```$", step, re.DOTALL | re.MULTILINE)
    return dedent(code)


class Office(NamedTuple):
    """The host of a small office, with a name server and mail servers."""

    folder: Path
    inside: Namespace
    names: Bind
    machine: Machine


@pytest.fixture
def office() -> Iterator[Office]:
    if os.getuid() != 0:
        lacking("root")
    need("::1")
    for name in ("nginx", "certbot", "nsupdate", "systemd-socket-activate"):
        program(name)
    if not Path("/etc/nginx/sites-enabled/default").exists():
        lacking("Debian's default site of nginx")
    with ExitStack() as stack:
        enter = stack.enter_context
        inside, folder = enter(namespace()), enter(open_folder())
        mail = certificate_for(
            *(f"{name}.{DOMAIN}" for name in ("imap", "smtp", "mx")), folder=folder
        )
        sasl = enter(real_dovecot(inside, folder / "dovecot", mail, IMAP))
        enter(postfix(inside, folder / "postfix", SMTP, mail, sasl))
        names = enter(bind(DOMAIN, ZONE, inside))

        port = enter(authority(folder, 80, names.resolver, call=inside.call))
        (folder / "cli.ini").write_text(
            f"server = https://localhost:{port}/dir\nno-verify-ssl = true\n"
            "agree-tos = true\nregister-unsafely-without-email = true\n"
            "non-interactive = true\n"
        )
        roots = (folder / "ca.pem").read_text() + (folder / "root.pem").read_text()
        (folder / "roots.pem").write_text(roots)
        yield Office(folder, inside, names, Machine(folder, inside))


def wheels(folder: Path) -> Path:
    """Build wheels for pip, since the machine has no internet."""
    pip = (BIN / "python", "-m", "pip", "wheel", "--quiet", "--wheel-dir", folder)
    needed = ("hatchling", "babel", "setuptools", ROOT)
    subprocess.run([*pip, *needed], check=True, capture_output=True)
    for own in folder.glob("flask_autoconfig-*"):
        own.unlink()  # the machine builds it from the clone
    return folder


def found_by_init(office: Office, project: Path) -> None:
    """Run `init` as the quick start does."""
    command = [BIN / "flask-autoconfig", "init", DOMAIN, "--allow-private"]
    result = office.inside.call(
        subprocess.run,
        [*command, "--resolver", office.names.resolver],
        cwd=project,
        env={**os.environ, "SSL_CERT_FILE": str(office.folder / "roots.pem")},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.world
def test_the_five_steps_publish_a_domain_on_a_bare_debian(office: Office) -> None:
    service, names, certificate, web, check = map(code_of, STEPS)
    service = replaced(service, ("domain=example.com", f"domain={DOMAIN}"))
    project = cloned(office.folder / "project")
    found_by_init(office, project)
    # The manual parts: add the records to the zone, enter a password.
    target = 'dns --target "www.$domain"'
    key = office.names.key
    names = replaced(names, (target, f"{target} --format nsupdate | nsupdate -k {key}"))
    check = replaced(check, ("--login", f"--login --password-fd 3 3<<< {PASSWORD}"))
    before = f"mkdir -p /etc/letsencrypt; cp {office.folder}/cli.ini /etc/letsencrypt\n"
    lacks = f"flask-autoconfig {target} --diff > {office.folder}/lacks\n"
    result = office.machine.session(
        f"cd {project}\n{before}{service}{names}{certificate}{web}"
        f"{check.rstrip()} > {office.folder}/verdict\n{lacks}"
        # An upgrade repeats the first step, and keeps the edited file.
        f"echo '# edited' >> $AUTOCONFIG_FILE\n{service}grep -q edited $AUTOCONFIG_FILE",
        SSL_CERT_FILE=str(office.folder / "roots.pem"),
        PIP_NO_INDEX="1",
        PIP_FIND_LINKS=str(wheels(office.folder / "wheels")),
    )
    assert result.returncode == 0, result.stderr[-5000:]
    verdict = (office.folder / "verdict").read_text()
    assert f"{DOMAIN}  works in Outlook (classic), " in verdict
    assert "PACC" in verdict.splitlines()[0]
    assert "fails in" not in verdict
    assert (office.folder / "lacks").read_text() == ""


def test_the_certbot_command_is_that_of_nginx_conf_for_every_name() -> None:
    line = re.sub(r"\\\n *", "", code_of(STEPS[2])).strip()
    comments = re.sub(r"\\\n# *", "", (ROOT / "contrib/nginx.conf").read_text())
    (same,) = re.findall(r"^#   (certbot .*)$", comments, re.MULTILINE)
    assert line.replace('"', "").replace("$domain", "example.com") == same
