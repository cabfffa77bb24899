"""The Apple profile: fetched as an iPhone fetches it, its signature verified."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from ....documents import Recipient, apple, apple_reader
from ....documents.setups import MeaninglessError, Setup
from ....families import FAMILIES, Family
from ...net.http import Reply
from ...net.tcp import ProbeError
from ...net.untrusted import split_url
from ..facts import Ask, Facts
from ..findings import Case, Finding, finding, shown
from ..weigh import has_failure
from . import web
from .single import not_served

_TYPE = "application/x-apple-aspen-config"
_FEW_DAYS = 14
_SECONDS = 4  # for openssl


class Seen(NamedTuple):
    """What an iPhone got."""

    findings: list[Finding]
    setup: Setup | None = None
    url: str = ""


def asks(case: Case) -> list[Ask]:
    """Where people find a profile: with the address, and the one that asks for it."""
    first, *_, last = (route.path for route in _family().routes)
    who = quote(str(case.asker))
    return [
        Ask(f"https://autoconfig.{case.domain}{first}?emailaddress={who}"),
        Ask(f"https://{case.domain}{last}"),
    ]


def look(case: Case, facts: Facts) -> Seen:
    """The first profile that is there."""
    findings: list[Finding] = []
    missing: list[Finding] = []
    for ask in asks(case):
        try:
            reply = facts.answer(ask)
        except ProbeError:
            continue  # the host itself is told of by those who ask there for settings
        trouble = web.by_name(case, facts, web.of_reply(case, reply, ask.url), ask.url)
        if trouble is None:
            seen = _profile(case, ask, reply)
            # What is wrong at the first place hurts who goes there, and nobody else.
            less = [it.marked("first place") for it in findings]
            return seen._replace(findings=[*less, *seen.findings])
        is_first = ask == asks(case)[0]
        if web.ABSENT not in trouble.marks and is_first:
            host = split_url(ask.url).hostname or ""
            is_meant = case.provider and not facts.is_by_wildcard(host, case.domain)
            findings.append(trouble if is_meant else trouble.marked("by chance"))
        elif is_first and expected(case) is not None:
            missing.append(not_served(_family(), "iPhones", ask.url, trouble))
    return Seen([*findings, *missing])


def _family() -> Family:
    return next(it for it in FAMILIES if it.name == "apple")


def _profile(case: Case, ask: Ask, reply: Reply) -> Seen:
    url = shown(ask.url)
    body = web.unpacked(reply)
    is_signed = not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"<", b"bplist"))
    findings: list[Finding] = []
    if is_signed:
        plain, findings = _verified(url, body)
    else:
        plain = body
        code = "profile.signature-missing" if case.signs else "profile.unsigned"
        findings.append(finding(code, url))
    try:
        setup = apple_reader.read(plain)
    except MeaninglessError as error:
        return Seen([finding("profile.unusable", url, reason=error)], None, url)
    if reply.content_type != _TYPE:
        kind = reply.content_type or "missing"
        findings.append(finding("profile.content-type", url, found=kind, wanted=_TYPE))
    if not has_failure(findings):
        findings.append(finding("profile.good", url, setup=setup))
    return Seen(findings, setup, url)


def expected(case: Case) -> Setup | None:
    """What the file's own profile sets up."""
    if case.provider is None:
        return None
    body = apple.write(case.provider, Recipient(case.domain, case.asker))
    with suppress(MeaninglessError):
        return apple_reader.read(body) if body else None
    return None


# --- The signature ----------------------------------------------------------------------


def _verified(url: str, signed: bytes) -> tuple[bytes, list[Finding]]:
    """What is inside, and whether its signature is good."""
    openssl = shutil.which("openssl")
    if openssl is None:
        return _inside(signed), [finding("profile.signature-untested", url)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "signed").write_bytes(signed)
        plain, signer = folder / "plain", folder / "signer"
        command = [openssl, "cms", "-verify", "-inform", "DER", "-binary"]
        command += ["-in", str(folder / "signed"), "-out", str(plain)]
        command += ["-signer", str(signer), "-purpose", "any"]
        fault = _run(command)
        untrusted = ""
        if fault:
            untrusted, fault = fault, _run([*command, "-noverify"])
        inside = plain.read_bytes() if plain.is_file() else b""
        if fault or not inside:
            return _inside(signed), [finding("profile.signature-broken", url)]
        findings = _ending(url, signer, openssl)
        if untrusted and not findings:
            findings = [finding("profile.signer-unknown", url, reason=untrusted)]
    return inside, findings or [finding("profile.signature-good", url)]


def _run(command: list[str]) -> str:
    """The reason of a failure, "" for none."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    reasons = [
        it.rpartition("Verify error:")[2] for it in lines if "Verify error" in it
    ]
    return (reasons or lines or ["it fails"])[-1][-200:]


def _ending(url: str, signer: Path, openssl: str) -> list[Finding]:
    """The signer's end: past, or near."""
    try:
        told = subprocess.run(
            [
                openssl,
                "x509",
                "-in",
                str(signer),
                "-noout",
                "-enddate",
                "-dateopt",
                "iso_8601",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=True,
            text=True,
        ).stdout
        text = told.strip().partition("=")[2].removesuffix("Z")
        ends = datetime.fromisoformat(text).replace(tzinfo=UTC)
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    days = (ends - datetime.now(UTC)).days
    if days >= _FEW_DAYS:
        return []
    code = "profile.signer-expired" if days < 0 else "profile.signer-ends-soon"
    return [finding(code, url, ends=f"{ends:%Y-%m-%d}")]


def _inside(signed: bytes) -> bytes:
    """The property list inside of DER, as it stands there in one piece."""
    start, end = signed.find(b"<?xml"), signed.rfind(b"</plist>")
    return signed[start : end + 8] if 0 <= start < end else b""
