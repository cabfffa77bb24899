"""Families with one document, such as PACC, and the Apple profile with its signature."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from urllib.parse import quote

from ....documents import Recipient, setups
from ....documents.setups import Setup, UnusableDocumentError
from ....families import Family
from ...clients import OUTLOOK, POX, THUNDERBIRD, Client
from ...net.http import Response
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import split_url, unquoted
from ...reading import in_words as enumerated
from ..context import Context, Outcome, Play, request_of, requests_of
from ..facts import Facts, Request
from ..findings import FAILURE, OK, WARNING, Case, Finding, finding, has_failure
from . import causes, servers, sources, web

_CAPITALS = "/Autodiscover/Autodiscover.xml"
_TYPE = "application/x-apple-aspen-config"
_OF_PROFILES = ("http.shown", "http.pem-profile", "http.agent-refused")
_FEW_DAYS = 14  # before the expiry date
_SECONDS = 4  # for openssl
_OPENSSL = shutil.which("openssl")
# What has findings of its own at the host that an SRV record names.
_REPORTED = {"http.exchange", "http.limited", "http.out-of-reach"}
_REPORTED |= {"http.private", "http.private-inside"}


def document_requests(client: Client, case: Case) -> list[Request]:
    family = case.family(client.family)
    return [Request(f"https://{family.label}.{case.domain}{family.routes[0].path}")]


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return what a client sets up, and what is wrong with its one document."""
    (request,), expected = document_requests(client, case), None
    family, url = case.family(client.family), request.url
    played = Play(client, outcome=Outcome(url))
    if case.provider is not None:
        recipient = Recipient(case.domain, exact=case.exact)
        expected = family.formats[0].write(case.provider, recipient)
        if expected is None:
            return played
    response, problem = web.fetch(case, facts, request)
    if problem is not None and response.status:
        problem = causes.by_name(case, facts, problem, request)
    is_text = family.formats[0].content_type.startswith("text/plain")
    if problem is None or (is_text and problem.code == "http.plain-text"):
        played.setup = Setup(())
        try:
            if family.name == "pacc":
                played.setup = setups.read_pacc(response.body)
            played.findings = [_content(url, family, response, played.setup, expected)]
            if played.findings[0].code != "document.stale":
                played.findings += _digest(case, facts, family, response, expected)
        except UnusableDocumentError as error:
            code, values = "document.meaningless", {"askers": family.askers}
            found = finding(code, url, advice=error.cure, reason=error, **values)
            played.findings = [found]
    elif web.ABSENT not in problem.marks:
        is_chance = facts.is_from_wildcard(f"{family.label}.{case.domain}", case.domain)
        played.findings = [problem.marked("by chance" if is_chance else "")]
    return played


def _content(
    url: str, family: Family, response: Response, setup: Setup, expected: bytes | None
) -> Finding:
    """Compare a document with that of the file, and its media type with the family's."""
    wanted, differences = family.formats[0].content_type.partition(";")[0], ""
    content_type, askers = response.content_type or "missing", family.askers
    if content_type != wanted:
        code = "document.content-type"
        return finding(code, url, found=content_type, wanted=wanted, askers=askers)
    # White space is the concern of the digest.
    bodies = {b"".join(body.split()) for body in (response.body, expected or b"")}
    if expected is None or len(bodies) == 1:
        return finding("document.served", url)
    if family.name == "pacc":
        of_file, served = {*setups.read_pacc(expected).servers}, {*setup.servers}
        further, missing = Setup((*served - of_file,)), Setup((*of_file - served,))
        differences = f": clients set up {further}, the file says {missing}"
        if of_file == served:
            differences = ": its servers are the same"
    stale = finding("document.stale", url, differences=differences, askers=askers)
    return web.with_cache(stale, "cache", response)


def _digest(
    case: Case,
    facts: Facts,
    family: Family,
    response: Response,
    expected: bytes | None,
) -> Iterator[Finding]:
    """Report whether the TXT record has the digest of a document."""
    if family.digest is None:
        return
    name = f"{family.digest.name}.{case.domain}"
    wanted = family.digest.value(response.body)
    try:
        values = facts.txt(name)
    except LookupFailed as error:
        yield web.failed(name, error)
        return
    code = "digest.differs" if values else "digest.missing"
    if wanted.replace(" ", "") in [value.replace(" ", "") for value in values]:
        code = "digest.found"
    elif wanted in map(unquoted, values):
        code = "digest.quoted"
    elif expected not in (None, response.body):
        code = "digest.altered"
    found = ", ".join(value[:100] for value in values[:3])
    yield finding(
        code, name, name=name, found=found, wanted=wanted, askers=family.askers
    )


# --- What is missing --------------------------------------------------------------------


def missing(context: Context) -> Iterator[Finding]:
    """Report the families of the file that are published at none of their places.

    Without a file, report Autodiscover if somebody has made a host for it.
    """
    case, provider = context.case, context.case.provider
    for family in case.families:
        # comparing.py reports that there is no config-v1.1.xml at all, dav.py its URLs.
        is_reported = family.name == "thunderbird" and not context.documents
        is_meant = family.name == "outlook"
        if provider is not None:
            is_meant = family.writes_document(provider, case.domain)
        if is_reported or family.name == "dav" or not is_meant:
            continue
        plays = [play for play in context.plays if play.client.family == family.name]
        lost = (play for play in plays if play.setup is None)
        clients = [play.client for play in lost if not _has_problem(play)]
        found = _missing(context, clients, family) if clients else None
        if found is not None:
            yield found.hurting(*(client.name for client in clients))


def _has_problem(play: Play) -> bool:
    return any(
        found.status in (WARNING, FAILURE) or found.code == "autodiscover.asks-login"
        for found in play.findings
    )


def _missing(context: Context, clients: list[Client], family: Family) -> Finding | None:
    """Return the finding for a family whose clients find nothing, or None."""
    case, facts, kind = context.case, context.facts, family.name
    askers = enumerated([client.name for client in clients])
    make_requests = profile_requests if kind == "apple" else document_requests
    request, *_ = make_requests(clients[0], case)
    if kind == "outlook":
        request, *_ = requests_of(OUTLOOK.steps[2], case, facts)
    url, name = request.url, split_url(request.url).hostname or ""
    played = {play.client.family for play in context.plays}
    has_document = context.documents or context.faulty
    is_without_xml = "thunderbird" in played and not has_document  # and so reported
    if not facts.exists(name):
        # Thunderbird's document is missing for the same reason, or another finding says
        # where the SRV record leads.
        is_reported = kind == "apple" and is_without_xml
        is_reported |= bool(family.srv and facts.targets(f"{family.srv}.{case.domain}"))
        if is_reported or case.provider is None:
            return None
        # No client of PACC ships yet.
        mark = "elsewhere" if kind == "pacc" or sources.is_hosted(context) else ""
        code, values = "document.no-name", {"askers": askers, "family": kind}
        return finding(code, name, name=name, **values).marked(mark)
    _, problem = web.fetch(case, facts, request)
    reason = "the response has no settings"
    if problem is not None:
        reason = causes.by_name(case, facts, problem, request).seen
    is_chance = facts.is_from_wildcard(name, case.domain)
    is_absent = problem is not None and web.ABSENT in problem.marks
    if spelt := _spelt(context, url) if kind == "outlook" and is_absent else "":
        found = finding("autodiscover.spelling", url, spelt=spelt, reason=reason)
    elif case.provider is None:
        if is_chance or not is_absent:
            return None
        code, status = "document.not-there", "" if is_without_xml else " (status 404)"
        values = {"domain": case.domain, "status": status, "askers": askers}
        found = finding(code, url, **values).marked("first place")
    else:
        code, values = "document.not-served", {"askers": askers, "family": kind}
        found = finding(code, url, reason=reason, **values)
    is_failure = clients[0].steps and not is_chance
    explained = "explained" if is_without_xml else ""
    return found.marked("only way" if is_failure else "", explained)


def _spelt(context: Context, url: str) -> str:
    """Return the URL with capitals, if Autodiscover is answered there alone, or ""."""
    spelt = url.replace(POX, _CAPITALS)
    request = request_of(OUTLOOK.steps[2], context.case, spelt)
    with suppress(ProbeError, UnusableDocumentError):
        response = context.facts.fetch(request)
        setup = setups.read_outlook(web.decompressed(response))
        return spelt if response.status == 200 and setup.servers else ""
    return ""


def autodiscover(context: Context) -> Iterator[Finding]:
    """Report Autodiscover that fails by its SRV record or with capitals in its path."""
    case, facts = context.case, context.facts
    plays = [play for play in context.plays if play.client == OUTLOOK]
    for url in (play.outcome.url for play in plays if play.outcome):
        spelt = url.replace(POX, _CAPITALS)
        request = request_of(OUTLOOK.steps[2], case, spelt)
        response, problem = web.fetch(case, facts, request)
        if problem and response.status and not response.is_limited:
            code, reason = "autodiscover.spelling", problem.seen
            yield finding(code, spelt, spelt=url, reason=reason).marked("beside")
    # names.py reports port 80.
    name = f"_autodiscover._tcp.{case.domain}"
    targets = [target for target in facts.targets(name)[:1] if target[1] != 80]
    for play, (host, port) in product(plays, targets):
        url = f"https://{host}{f':{port}' if port != 443 else ''}{POX}"
        request = request_of(OUTLOOK.steps[1], case, url)
        response, problem = web.fetch(case, facts, request)
        # Nothing is known if the certificate is wrong, or there was no time.
        if problem is None or response.is_forged or "late" in problem.marks:
            continue
        # Another finding says what is wrong with a host that Outlook asks anyway.
        wrong = " ".join(found.subject for found in play.findings if found.status != OK)
        is_reported = f"//{host}/" in wrong
        is_silent = web.ABSENT in problem.marks and not case.has(host)
        if play.outcome is None and not is_silent:
            is_reported = facts.exists(host)
        if not is_reported and problem.code not in _REPORTED:
            code = "srv.autodiscover-dead"
            advice = web.target_advice(host, case.domain, facts)
            values = {"target": f"{host}:{port}", "reason": problem.seen}
            found = finding(code, f"{name} SRV", advice=advice, **values)
            # Without an address, a server may not know the one that is asked with.
            is_only = not (play.outcome or (is_silent and not case.address))
            yield found.marked("only way" if is_only else "").hurting(OUTLOOK.name)


def paths(context: Context) -> Iterator[Finding]:
    """Report a usual URL of config-v1.1.xml that lacks it, where another has it."""
    case, facts, documents = context.case, context.facts, context.documents
    urls = {request.url for document in documents for request in document.requests}
    for request in requests_of(THUNDERBIRD.steps[0], case, facts) if urls else ():
        host = split_url(request.url).hostname or ""
        is_chance = facts.is_from_wildcard(host, case.domain)
        if request.url in urls or is_chance or not facts.exists(host):
            continue
        with suppress(ProbeError):
            response = facts.fetch(request)
            problem = web.response_problem(case, response, request.url)
            is_absent = problem and web.ABSENT in problem.marks
            if is_absent and response.status in (404, 410):
                words = web.beyond_status(response)
                found = finding("document.path-lost", request.url, said=words)
                yield web.with_cache(found, "cache", response)


# --- The Apple profile ------------------------------------------------------------------


def profile_requests(client: Client, case: Case) -> list[Request]:
    first, *_, last = (route.path for route in case.family(client.family).routes)
    named = f"{first}?emailaddress={quote(str(case.asker))}"
    urls = (f"https://autoconfig.{case.domain}{named}", f"https://{case.domain}{last}")
    return [Request(url) for url in urls]


def play_profile(client: Client, case: Case, facts: Facts) -> Play:
    """Return what an iPhone sets up with the first profile that it gets."""
    played = Play(client)
    first, last = profile_requests(client, case)
    for request in (first, last):
        response, problem = web.fetch(case, facts, request)
        plain = web.decompressed(response) if problem is None else b""
        is_profile = response.content_type == _TYPE or b"plist" in plain
        if problem is None and case.provider is None and not is_profile:
            continue  # a site answers: nobody else uses this URL
        problem = problem or causes.by_agent(case, facts, client, request)
        if problem is None:
            # A problem at the first URL only affects people who use that URL.
            earlier = [found.marked("first place") for found in played.findings]
            content, setup = _read_profile(case, request.url, response)
            played.setup = servers.with_starttls(facts, setup)
            played.outcome = Outcome(request.url, response=response)
            played.findings = [*earlier, *content]
            return played
        # Other clients report a host without any response.
        is_reported = request == first or problem.code == "http.agent-refused"
        if is_reported and response.status and web.ABSENT not in problem.marks:
            host = split_url(request.url).hostname or ""
            is_meant = case.provider is not None or problem.code in _OF_PROFILES
            is_chance = not is_meant or facts.is_from_wildcard(host, case.domain)
            problem = causes.by_name(case, facts, problem, request)
            played.findings.append(problem.marked("by chance" if is_chance else ""))
    return played


def _read_profile(
    case: Case, url: str, response: Response
) -> tuple[list[Finding], Setup | None]:
    """Return what is right and wrong with a profile, and its setup, if it has one."""
    profile = web.decompressed(response)
    if not profile.startswith(b"0"):  # DER
        code = "profile.signature-missing" if case.signs else "profile.unsigned"
        findings = [finding(code, url)]
    else:
        profile, signature = _verified(url, profile)
        findings = [signature]
    try:
        setup = setups.read_profile(profile)
    except UnusableDocumentError as error:
        code, cure = "profile.unusable", error.cure
        return [finding(code, url, advice=cure, reason=error)], None

    if placeholder := web.unfilled(url, replace(response, body=profile)):
        findings.append(placeholder)
    if response.content_type != _TYPE:
        kind = response.content_type or "missing"
        findings.append(finding("profile.content-type", url, found=kind, wanted=_TYPE))
    if not has_failure(findings):
        findings.append(finding("profile.good", url, setup=setup))
    return findings, setup


# --- The signature ----------------------------------------------------------------------


def _verified(url: str, signed: bytes) -> tuple[bytes, Finding]:
    """Return the signed content, and the finding about its signature."""
    if _OPENSSL is None:
        return _inside(signed), finding("profile.signature-untested", url)
    with tempfile.TemporaryDirectory() as name:
        source, plain, signer = (Path(name, part) for part in ("in", "out", "signer"))
        source.write_bytes(signed)
        verify = ["cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any"]
        verify += ["-in", str(source), "-out", str(plain), "-signer", str(signer)]
        _, untrusted = _openssl(*verify)
        is_broken = untrusted and _openssl(*verify, "-noverify")[1]
        inside = plain.read_bytes() if plain.is_file() else b""
        if is_broken or not inside:
            return _inside(signed), finding("profile.signature-broken", url)
        options = ("-noout", "-enddate", "-dateopt", "iso_8601")
        output, _ = _openssl("x509", "-in", str(signer), *options)
    with suppress(ValueError):
        text = output.strip().partition("=")[2].removesuffix("Z")
        ends = datetime.fromisoformat(text).replace(tzinfo=UTC)
        days = (ends - datetime.now(UTC)).days
        code = "profile.signer-expired" if days < 0 else "profile.signer-ends-soon"
        if days < _FEW_DAYS:
            return inside, finding(code, url, ends=f"{ends:%Y-%m-%d}")
    if untrusted:
        return inside, finding("profile.signer-unknown", url, reason=untrusted)
    return inside, finding("profile.signature-good", url)


def _openssl(*arguments: str) -> tuple[str, str]:
    """Return the output of openssl, and why it failed, or ""."""
    try:
        done = subprocess.run(
            [_OPENSSL or "", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", str(error)
    output = done.stdout.decode("utf-8", "replace")
    if done.returncode == 0:
        return output, ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it fails"]
    reasons = [line for line in lines if "Verify error" in line] or lines
    return output, reasons[-1].rpartition("Verify error:")[2].strip()[-200:]


def _inside(signed: bytes) -> bytes:
    """Return the XML of the profile, where it is in one piece inside the DER."""
    start, end = signed.find(b"<?xml"), signed.rfind(b"</plist>")
    return signed[start : end + 8] if 0 <= start < end else b""
