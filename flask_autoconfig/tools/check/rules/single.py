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

from ....documents import Recipient
from ....documents.setups import (
    MeaninglessError,
    Setup,
    read_outlook,
    read_pacc,
    read_profile,
)
from ....families import Family
from ...clients import OUTLOOK, POX, THUNDERBIRD, Client
from ...naming import base_domain
from ...net.http import Response
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import is_public, split_url, unquoted
from ...reading import in_words as enumerated
from ..context import Context, Outcome, Play, request_of, requests_of
from ..facts import Facts, Request
from ..findings import FAILURE, OK, WARNING, Case, Finding, finding, has_failure, shown
from ..playing import counts
from . import causes, servers, sources, web

_CAPITALS = "/Autodiscover/Autodiscover.xml"
_TYPE = "application/x-apple-aspen-config"
_FEW_DAYS = 14  # before the expiry date
_SECONDS = 4  # for openssl
_OPENSSL = shutil.which("openssl")
# What other findings tell of the host that an SRV record names.
_UNTOLD = {"http.exchange", "http.limited", "http.out-of-reach"}
_UNTOLD |= {"http.private", "http.private-inside"}
# Errors of this machine or of this moment, which clients need not have.
_UNSEEN = ("private", "port", "no-route", "late", "timeout")


def family_requests(client: Client, case: Case) -> list[Request]:
    family = case.family(client.family)
    return [Request(f"https://{family.label}.{case.domain}{family.routes[0].path}")]


def play(client: Client, case: Case, facts: Facts) -> Play:
    """Return what a client sets up, and what is wrong with its one document."""
    (request,), expected = family_requests(client, case), None
    family, url = case.family(client.family), request.url
    played = Play(client, found=Outcome(url))
    if case.provider is not None:
        recipient = Recipient(case.domain, exact=case.exact)
        expected = family.formats[0].write(case.provider, recipient)
        if expected is None:
            return played
    response, wrong = web.asked(case, facts, request)
    if wrong is not None and response.status:
        wrong = causes.by_name(case, facts, wrong, request)
    is_text = family.formats[0].content_type.startswith("text/plain")
    if wrong is None or (is_text and wrong.code == "http.plain-text"):
        played.setup = Setup(())
        try:
            if family.name == "pacc":
                played.setup = read_pacc(response.body)
            played.findings = [_content(url, family, response, played.setup, expected)]
            if played.findings[0].code != "document.stale":
                played.findings += _digest(case, facts, family, response, expected)
        except MeaninglessError as error:
            code, cure, who = "document.meaningless", error.cure, family.askers
            wrong = finding(code, url, advice=cure, reason=error, askers=who)
            played.findings = [wrong]
    elif web.ABSENT not in wrong.marks:
        is_wildcard = facts.is_by_wildcard(f"{family.label}.{case.domain}", case.domain)
        played.findings = [wrong.marked("by chance" if is_wildcard else "")]
    elif family.digest and case.provider is None:  # otherwise it has a finding below
        name = f"{family.digest.name}.{case.domain}"
        with suppress(LookupFailed):
            if facts.txt(name):
                told = finding("digest.alone", url, name=name, askers=family.askers)
                played.findings = [told]
    return played


def _content(
    url: str, family: Family, response: Response, setup: Setup, expected: bytes | None
) -> Finding:
    wanted, differing = family.formats[0].content_type.partition(";")[0], ""
    found, askers = response.content_type or "missing", family.askers
    if found != wanted:
        code = "document.content-type"
        return finding(code, url, found=found, wanted=wanted, askers=askers)
    # White space is the concern of the digest.
    if expected is None or response.body.split() == expected.split():
        return finding("document.served", url)
    if family.name == "pacc":
        ours, theirs = {*read_pacc(expected).servers}, {*setup.servers}
        alone, lacking = (Setup((*it,)) for it in (theirs - ours, ours - theirs))
        said = f"clients set up {alone}, the file says {lacking}"
        differing = f": {said if ours != theirs else 'its servers are the same'}"
    stale = finding("document.stale", url, differences=differing, askers=askers)
    return web.with_cache(stale, "cache", response)


def _digest(
    case: Case, facts: Facts, family: Family, response: Response, expected: bytes | None
) -> Iterator[Finding]:
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
    text = response.body.replace(b"\r\n", b"\n").removeprefix(b"\xef\xbb\xbf").strip()
    forms = (text, text + b"\n")  # before an editor or an upload changed it
    if wanted.replace(" ", "") in [value.replace(" ", "") for value in values]:
        code = "digest.found"
    elif wanted in map(unquoted, values):
        code = "digest.quoted"
    elif wanted.lower() in [value.lower() for value in values]:
        code = "digest.other-case"
    elif any(family.digest.value(it) in values for it in (*forms, expected or b"")):
        code = "digest.white-space"
    yield finding(code, name, name=name, wanted=wanted, askers=family.askers)


# --- What is missing --------------------------------------------------------------------


def missing(context: Context) -> Iterator[Finding]:
    """Yield the families of the file that are published at none of their places.

    Without a file, Autodiscover where somebody has made a host for it.
    """
    case, provider = context.case, context.case.provider
    for family in case.families:
        # comparing.py tells that there is no config-v1.1.xml at all, dav.py of its URLs.
        is_left = family.name == "thunderbird" and not context.documents
        is_meant = family.name == "outlook"
        if provider is not None:
            is_meant = family.writes(provider, case.domain)
        if is_left or family.name == "dav" or not is_meant:
            continue
        plays = [it for it in context.plays if it.client.family == family.name]
        lost = [it.client for it in plays if it.setup is None and not _is_told(it)]
        found = _missing(context, lost, family) if lost else None
        if found is not None:
            yield found.hurting(*(client.name for client in lost))


def _is_told(play: Play) -> bool:
    told = [it for it in play.findings if it.status in (WARNING, FAILURE)]
    return bool(told) or "autodiscover.asks-login" in {it.code for it in play.findings}


def _missing(context: Context, clients: list[Client], family: Family) -> Finding | None:
    case, facts, told = context.case, context.facts, family.name
    of = enumerated([client.name for client in clients])
    make_requests = profile_requests if told == "apple" else family_requests
    request, *_ = make_requests(clients[0], case)
    if told == "outlook":
        request, *_ = requests_of(OUTLOOK.steps[2], case, facts)
    url, name = request.url, split_url(request.url).hostname or ""
    families = {play.client.family for play in context.plays}
    is_xml_told = "thunderbird" in families and not (
        context.documents or context.faulty
    )
    if not facts.exists(name):
        # Thunderbird's document is missing for the same reason, or no client ships yet,
        # or another finding tells where the SRV record leads.
        is_later = told == "pacc" or (told == "apple" and is_xml_told)
        is_led = family.srv and facts.targets(f"{family.srv}.{case.domain}")
        if is_later or is_led or case.provider is None:
            return None
        found = finding("document.no-name", name, name=name, askers=of, family=told)
        return found.marked("elsewhere" if sources.is_hosted(context) else "")
    _, wrong = web.asked(case, facts, request)
    reason = "the response has no settings"
    if wrong is not None:
        reason = causes.by_name(case, facts, wrong, request).seen
    found = finding("document.not-served", url, reason=reason, askers=of, family=told)
    is_chance = facts.is_by_wildcard(name, case.domain)
    is_absent = wrong is not None and web.ABSENT in wrong.marks
    if spelt := _spelt(context, url) if told == "outlook" and is_absent else "":
        found = finding("autodiscover.spelling", url, spelt=spelt, reason=reason)
    elif case.provider is None:
        status = "" if is_xml_told else " (status 404)"
        code, said = "document.not-there", {"domain": case.domain, "status": status}
        found = finding(code, url, askers=of, **said).marked("first place")
        if is_chance or not is_absent:
            return None
    is_meant = clients[0].steps and not is_chance
    is_told = "explained" if is_xml_told else ""
    return found.marked("only way" if is_meant else "", is_told)


def _spelt(context: Context, url: str) -> str:
    """Return the URL with capitals, if Autodiscover is answered there alone, or ""."""
    spelt = url.replace(POX, _CAPITALS)
    with suppress(ProbeError, MeaninglessError):
        response = context.facts.fetch(
            request_of(OUTLOOK.steps[2], context.case, spelt)
        )
        is_good = (
            response.status == 200 and read_outlook(web.unpacked(response)).servers
        )
        return spelt if is_good else ""
    return ""


def consent(context: Context) -> Iterator[Finding]:
    """Yield that Thunderbird asks people before it follows Autodiscover elsewhere.

    It does so unless one of the usual URLs answers (ExchangeAutoDiscover in 153.8).
    """
    case, facts = context.case, context.facts
    steps = (step for step in THUNDERBIRD.steps if step.kind == "pox")
    usual = [request for step in steps for request in requests_of(step, case, facts)]
    responses = [web.asked(case, facts, request)[0] for request in usual]
    name = f"_autodiscover._tcp.{case.domain}"
    led = {f"{name} SRV": f"https://{host}" for host, _ in facts.targets(name)[:1]}
    led[usual[-1].url] = responses[-1].url  # by http
    known = [base_domain(case.domain), "office365.com", "outlook.com"]
    for at, url in led.items() if not any(map(counts, responses)) else ():
        host = split_url(url).hostname or ""
        if url.startswith("https:") and base_domain(host) not in known:
            found = finding("autodiscover.consent", at, host=host, domain=case.domain)
            yield found.hurting(THUNDERBIRD.name)


def autodiscover(context: Context) -> Iterator[Finding]:
    """Yield where Autodiscover fails by its SRV record or with capitals in its path."""
    case, facts = context.case, context.facts
    name = f"_autodiscover._tcp.{case.domain}"
    plays = [it for it in context.plays if it.client == OUTLOOK]
    for url in (play.found.url for play in plays if play.found):
        spelt = url.replace(POX, _CAPITALS)
        response, wrong = web.asked(
            case, facts, request_of(OUTLOOK.steps[2], case, spelt)
        )
        if wrong and response.status and not response.is_limited:
            code, reason = "autodiscover.spelling", wrong.seen
            yield finding(code, spelt, spelt=url, reason=reason).marked("beside")
    steps = [it for it in OUTLOOK.steps if it.place == "domain" and it.kind == "pox"]
    is_asked = any(it.found for it in plays) and facts.exists(case.domain)
    addresses = facts.addresses(case.domain) if is_asked else []
    for request in (
        requests_of(steps[0], case, facts) if any(map(is_public, addresses)) else ()
    ):
        try:
            facts.fetch(request)
        except ProbeError as error:
            if error.kind == "silent":
                waits = finding("autodiscover.waits", request.url, reason=error)
                yield waits.hurting(OUTLOOK.name)
    # names.py tells of port 80.
    led = [target for target in facts.targets(name)[:1] if target[1] != 80]
    for play, (host, port) in product(plays, led):
        url = f"https://{host}{f':{port}' if port != 443 else ''}{POX}"
        response, wrong = web.asked(
            case, facts, request_of(OUTLOOK.steps[1], case, url)
        )
        # With another certificate than the host's own, nobody has asked there.
        is_told = response.is_forged or (wrong and wrong.code in _UNTOLD)
        is_told = is_told or (wrong and "late" in wrong.marks)
        reason = wrong.seen if wrong and not is_told else ""
        # Another finding says what is wrong with a host that Outlook asks anyway.
        told = " ".join(it.subject for it in play.findings if it.status != OK)
        is_news = f"//{host}/" not in told if play.found else not facts.exists(host)
        if reason and is_news:
            code, at = "srv.autodiscover-dead", f"{name} SRV"
            said = {"target": f"{host}:{port}", "reason": reason}
            found = finding(
                code, at, advice=web.in_full(host, case.domain, facts), **said
            )
            yield found.marked("" if play.found else "only way").hurting(OUTLOOK.name)


def paths(context: Context) -> Iterator[Finding]:
    """Yield that the usual URL of config-v1.1.xml lacks it, or leads away by http."""
    case, facts = context.case, context.facts
    urls = [
        request.url for document in context.documents for request in document.requests
    ]
    usual, by_http = (requests_of(THUNDERBIRD.steps[at], case, facts) for at in (0, 2))
    for request in (*usual, *by_http) if urls else ():
        host = split_url(request.url).hostname or ""
        is_chance = facts.is_by_wildcard(host, case.domain)
        if request.url in urls or is_chance or not facts.exists(host):
            continue
        try:
            response = facts.fetch(request)
            wrong, said = (
                web.of_response(case, response, request.url),
                web.beyond_status(response),
            )
            # What else is wrong has a finding of its own.
            is_absent = wrong and web.ABSENT in wrong.marks
            reason = f"status {response.status}" if is_absent else ""
        except ProbeError as error:
            reason, said = "" if error.kind in _UNSEEN else str(error), ""
        if request in usual and reason in ("status 404", "status 410"):
            lost = finding("document.path-lost", request.url, said=said)
            yield web.with_cache(lost, "cache", facts.fetch(request))
        elif reason and request.url.replace("http:", "https:", 1) in urls:
            with suppress(ProbeError):
                if led := shown(facts.response(request).target):
                    yield finding(
                        "http.leads-away", request.url, target=led, reason=reason
                    )


# --- The Apple profile ------------------------------------------------------------------


def profile_requests(client: Client, case: Case) -> list[Request]:
    first, *_, last = (route.path for route in case.family(client.family).routes)
    named = f"{first}?emailaddress={quote(str(case.asker))}"
    urls = (f"https://autoconfig.{case.domain}{named}", f"https://{case.domain}{last}")
    return [Request(url) for url in urls]


def play_profile(client: Client, case: Case, facts: Facts) -> Play:
    """Return what an iPhone sets up with the first profile that it gets."""
    played = Play(client)
    first, _ = listed = profile_requests(client, case)
    for request in listed:
        response, wrong = web.asked(case, facts, request)
        if wrong is None:
            # A problem at the first URL only affects people who use that URL.
            earlier = [found.marked("first place") for found in played.findings]
            plain = web.unpacked(response)
            is_profile = response.content_type == _TYPE or b"plist" in plain
            if case.provider is None and not is_profile:
                continue  # a site answers: nobody else uses this URL
            content, setup = _read_profile(case, request.url, response)
            played.setup = servers.settled(facts, setup)
            played.found = Outcome(request.url, response=response)
            played.findings = [*earlier, *content]
            return played
        # Other clients report a host without any response.
        if request == first and response.status and web.ABSENT not in wrong.marks:
            host = split_url(request.url).hostname or ""
            is_meant = case.provider or wrong.code in ("http.shown", "http.pem-profile")
            is_chance = not is_meant or facts.is_by_wildcard(host, case.domain)
            wrong = causes.by_name(case, facts, wrong, request)
            played.findings.append(wrong.marked("by chance" if is_chance else ""))
    return played


def _read_profile(
    case: Case, url: str, response: Response
) -> tuple[list[Finding], Setup | None]:
    plain = web.unpacked(response)
    if not plain.startswith(b"0"):  # DER
        code = "profile.signature-missing" if case.signs else "profile.unsigned"
        findings = [finding(code, url)]
    else:
        plain, signature = _verified(url, plain)
        findings = [signature]
    try:
        setup = read_profile(plain)
    except MeaninglessError as error:
        code, cure = "profile.unusable", error.cure
        return [finding(code, url, advice=cure, reason=error)], None

    placeholder = web.unfilled(url, replace(response, body=plain))
    if placeholder:
        findings.append(placeholder)
    if response.content_type != _TYPE:
        kind = response.content_type or "missing"
        findings.append(finding("profile.content-type", url, found=kind, wanted=_TYPE))
    if not has_failure(findings):
        findings.append(finding("profile.good", url, setup=setup))
    return findings, setup


# --- The signature ----------------------------------------------------------------------


def _verified(url: str, signed: bytes) -> tuple[bytes, Finding]:
    """Return the signed content, and whether its signature is valid."""
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
