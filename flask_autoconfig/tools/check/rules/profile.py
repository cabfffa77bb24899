"""The Apple profile: where an iPhone gets it, its content and its signature."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from ....documents import Recipient, apple
from ....documents.setups import MeaninglessError, Setup, read_profile
from ....families import FAMILIES, Family
from ...net.http import Reply
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding
from ..plays import Play
from ..weigh import has_failure
from . import web
from .single import not_served

_TYPE = "application/x-apple-aspen-config"
_FEW_DAYS = 14  # before the expiry date
_SECONDS = 4  # for openssl
_OPENSSL = shutil.which("openssl")


def asks(case: Case) -> list[Ask]:
    """Return the requests for a profile: with the address, and without one."""
    first, *_, last = (route.path for route in _family().routes)
    who = quote(str(case.asker))
    return [
        Ask(f"https://autoconfig.{case.domain}{first}?emailaddress={who}"),
        Ask(f"https://{case.domain}{last}"),
    ]


def _family() -> Family:
    return next(family for family in FAMILIES if family.name == "apple")


def play(case: Case, facts: Facts, client: str) -> Play:
    """Return what an iPhone sets up with the first profile that it gets."""
    played, missing = Play(client, "apple"), None
    for ask in asks(case):
        try:
            reply = facts.answer(ask)
        except ProbeError:
            continue  # other clients report the host
        wrong = web.by_name(case, facts, web.of_reply(case, reply, ask.url), ask.url)
        if wrong is None:
            # A problem at the first URL only affects people who use that URL.
            earlier = [found.marked("first place") for found in played.findings]
            content, played.setup = _read(case, ask.url, reply)
            played.findings, played.url = [*earlier, *content], ask.url
            return played
        if ask == asks(case)[0] and web.ABSENT in wrong.marks:
            missing = not_served(_family(), "iPhones", ask.url, wrong)
        elif ask == asks(case)[0]:
            host = split_url(ask.url).hostname or ""
            is_meant = case.provider and not facts.is_by_wildcard(host, case.domain)
            played.findings.append(wrong.marked("" if is_meant else "by chance"))
    if missing is not None and expected(case) is not None:
        played.findings.append(missing)
    return played


def _read(case: Case, url: str, reply: Reply) -> tuple[list[Finding], Setup | None]:
    body = web.unpacked(reply)
    is_signed = not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"bplist"))
    if is_signed:
        plain, signature = _verified(url, body)
    else:
        plain = body
        code = "profile.signature-missing" if case.signs else "profile.unsigned"
        signature = finding(code, url)
    try:
        setup = read_profile(plain)
    except MeaninglessError as error:
        return [finding("profile.unusable", url, reason=error)], None

    findings = [signature]
    if reply.content_type != _TYPE:
        kind = reply.content_type or "missing"
        findings.append(finding("profile.content-type", url, found=kind, wanted=_TYPE))
    if not has_failure(findings):
        findings.append(finding("profile.good", url, setup=setup))
    return findings, setup


def expected(case: Case) -> Setup | None:
    """Return what the profile of the file sets up, or None."""
    recipient = Recipient(case.domain, case.asker)
    body = apple.write(case.provider, recipient) if case.provider else None
    with suppress(MeaninglessError):
        return read_profile(body) if body else None
    return None


# --- The signature ----------------------------------------------------------------------


def _verified(url: str, signed: bytes) -> tuple[bytes, Finding]:
    """Return the signed content, and whether its signature is valid."""
    if _OPENSSL is None:
        return _inside(signed), finding("profile.signature-untested", url)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source, plain, signer = folder / "signed", folder / "plain", folder / "signer"
        source.write_bytes(signed)
        verify = ["cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any"]
        verify += ["-in", str(source), "-out", str(plain), "-signer", str(signer)]
        untrusted = _fault(_openssl(*verify))
        is_broken = untrusted and _fault(_openssl(*verify, "-noverify"))
        inside = plain.read_bytes() if plain.is_file() else b""
        if is_broken or not inside:
            return _inside(signed), finding("profile.signature-broken", url)
        ending = _ending(url, signer)
    if ending:
        return inside, ending
    if untrusted:
        return inside, finding("profile.signer-unknown", url, reason=untrusted)
    return inside, finding("profile.signature-good", url)


def _openssl(*arguments: str) -> subprocess.CompletedProcess[bytes] | str:
    """Return the finished process, or the reason why there is none."""
    try:
        return subprocess.run(
            [_OPENSSL or "", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)


def _fault(done: subprocess.CompletedProcess[bytes] | str) -> str:
    """Return why openssl failed, or ""."""
    if isinstance(done, str):
        return done
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    reasons = (
        [line for line in lines if "Verify error" in line] or lines or ["it fails"]
    )
    return reasons[-1].rpartition("Verify error:")[2][-200:]


def _ending(url: str, signer: Path) -> Finding | None:
    """Return that the signer's certificate has expired, or expires soon."""
    options = ("-noout", "-enddate", "-dateopt", "iso_8601")
    done = _openssl("x509", "-in", str(signer), *options)
    if isinstance(done, str):
        return None
    text = done.stdout.decode().strip().partition("=")[2].removesuffix("Z")
    try:
        ends = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except ValueError:
        return None
    days = (ends - datetime.now(UTC)).days
    code = "profile.signer-expired" if days < 0 else "profile.signer-ends-soon"
    return finding(code, url, ends=f"{ends:%Y-%m-%d}") if days < _FEW_DAYS else None


def _inside(signed: bytes) -> bytes:
    """Return the XML of the profile, where it is in one piece inside the DER."""
    start, end = signed.find(b"<?xml"), signed.rfind(b"</plist>")
    return signed[start : end + 8] if 0 <= start < end else b""
