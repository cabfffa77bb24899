"""HTTP: what is wrong with a response, or why there is none."""

import html
import http.client
import json
import re
import zlib
from contextlib import suppress

from ....address import is_ip
from ... import zone
from ...net.http import REDIRECTS, Response
from ...net.resolver import LookupFailed
from ...net.tcp import ProbeError
from ...net.untrusted import is_public, split_url
from .. import texts
from ..facts import Facts, Request
from ..findings import Case, Finding, finding, shown
from .connections import of_certificate

Answer = tuple[Response, Finding | None]  # and what is wrong with it
_MOST = 1024 * 1024  # bytes of a document after decompression
_MAX_PAGE = 64 * 1024  # bytes of a web page to search
# Up to the next tag only: so the time is linear in the length of the page.
_PASSWORD_FIELD = re.compile(rb"<input[^<>]+type=.?password", re.I)
_TITLE = re.compile(r"<(?:title|Message)\b[^<>]*>([^<]{1,80})", re.I)
# What begins the part of a page that only one response has: its number.
_NUMBER = re.compile(r"\b(?:request id:|\w{1,40}::)", re.I)
_SETTINGS = re.compile(rb"\A\{|<(?:clientconfig|autodiscover|plist)\b")
# What settings have for each server, and error messages in their formats have not.
_SERVER = re.compile(rb"<(?:incomingServer|Protocol|key>PayloadContent)\b")
_ERROR = re.compile(r'\{\s*"(?:error|errors|detail|message|status|code)"')  # in JSON
_TAG = re.compile(r"<[^<>]*>")
_MAX_NAMES = 8192  # characters of a response to search for a program's name
_MAX_WORDS = 80  # characters of a response that a finding quotes
ABSENT = "absent"  # the mark where nothing is published, and need not be
# Responses that some clients take for an answer, so that they stop searching.
ENDING = frozenset(("http.empty", "http.empty-404"))
# Findings where Outlook asks people for a password.
PASSWORD_PROMPTS = ("http.exchange", "autodiscover.asks-login")
_MAX_ALIASES, _MAX_HOPS = 8, 3
_CODINGS = ("gzip", "deflate")  # that `decompressed` supports
_LOGIN_WORDS = re.compile(
    r"(?<!b)log-?in|sign[-_]?in(?!g)|\bsso\b|oauth|/auth\b|authentication|\bcas/", re.I
)
EXCHANGE_TYPES = frozenset(("exchange", "ews", "activesync", "owa"))
_NAMING = ("www-authenticate", "server", "set-cookie")  # headers that name a program
_COMMENT = re.compile(rb"<!--.*?(?:-->|\Z)", re.DOTALL)
# Not percent-encoding, which has two hexadecimal digits.
_PLACEHOLDER = re.compile(
    rb"%(?:EMAIL|REALNAME|USER|LOCALPART|DOMAIN)[A-Z]*%?|%(?![\da-fA-F]{2})\w{3,20}%"
    rb"|\{\{[^{}<>]{1,40}\}\}|\$\{\w{1,30}\}|\$(?:EMAIL|USER)\w*"
)


# --- No response ----------------------------------------------------------------------


def _of_error(facts: Facts, case: Case, url: str, error: ProbeError) -> Finding:
    """Return why a request got no response."""
    parts = split_url(url)
    host = parts.hostname or ""
    is_inside = any(map(_is_inside, redirect_chain(facts, Request(url))[1:]))
    if error.kind == "dns":  # nothing is published, or the alias is wrong
        if found := unresolved("dns", facts, host, "http.lookup-failed"):
            return found
        if facts.exists(host):  # the target of a redirect has no address
            code = "http.redirect-inside" if is_inside else "http.redirect-nowhere"
            return finding(code, url, reason=error)
        return finding("http.absent", url, reason=f"{host} has no address in DNS")
    is_unanswered = error.kind in ("connect", "silent", "no-route")
    # A domain need not have a web site.
    if is_unanswered and (parts.scheme == "http" or host == case.domain):
        return finding("http.absent", url, reason=str(error))
    code, advice = texts.code_on("http", error.kind, "http.no-http"), error.cure
    if is_inside and error.kind in ("private", "redirect"):
        code, advice = f"http.{error.kind}-inside", ""
    return finding(code, url, advice=advice, reason=error)


def fetch(case: Case, facts: Facts, request: Request) -> Answer:
    """Return the response to a request, of status 0 without any, and its problem."""
    try:
        response = facts.fetch(request)
    except ProbeError as error:
        return Response(request.url), _of_error(facts, case, request.url, error)
    return response, response_problem(case, response, request.url)


def redirect_chain(facts: Facts, request: Request) -> list[str]:
    """Return the URL of a request and the first URLs that it is redirected to."""
    urls = [request.url]
    with suppress(ProbeError):
        while len(urls) <= _MAX_HOPS:
            target = facts.response(request._replace(url=urls[-1])).target
            if not target:
                break
            urls.append(target)
    return urls


def _is_inside(url: str) -> bool:
    """Return whether the host of a URL is one that only the server itself knows."""
    host = split_url(url).hostname or ""
    is_address = ":" in host or {*host} <= {*"0123456789."}
    return not is_public(host) if is_address else "." not in host


def failed(name: str, error: LookupFailed, code: str = "dns.lookup-failed") -> Finding:
    """Return the finding for a lookup that failed."""
    found = finding(code, name, advice=error.cure, reason=error.reason)
    return found.marked(error.kind)


def unresolved(prefix: str, facts: Facts, host: str, code: str) -> Finding | None:
    """Return the finding for a lookup that fails (*code*), or a dead alias, or None."""
    try:
        if facts.addresses(host) or not facts.alias(host):
            return None
    except LookupFailed as error:
        if not leads_nowhere(facts, host):
            return failed(host, error, code)
    return broken_alias(prefix, facts, host)


def broken_alias(prefix: str, facts: Facts, name: str) -> Finding:
    """Return the finding for CNAME records that lead to nothing, or form a loop.

    *prefix* is the first part of the code: dns, server or mx.
    """
    *chain, target = alias_chain(facts, name)
    if target in chain:
        listed = " → ".join([*chain, target])
        return finding(f"{prefix}.alias-loop", name, way=listed, last=chain[-1])
    code, before = f"{prefix}.dead-alias", chain[-1] if chain else name
    advice = target_advice(target, before.partition(".")[2], facts)
    if is_ip(target):
        kind = "AAAA" if ":" in target else "A"
        advice = f"publish an {kind} record with {target} in place of the CNAME, whose "
        advice += "target must be a host name"
    return finding(code, name, advice=advice, target=target, before=before)


def target_advice(host: str, domain: str, facts: Facts | None = None) -> str:
    """Return advice on a target in *domain* that is a URL, or not in full, or ""."""
    if re.fullmatch(r"[\w-]+", host) and host != "localhost":
        why = f"{host} with a dot at its end is a complete name, which lacks the domain"
        return f"write {host}.{domain}. in full: {why}"
    is_url = "/" in host
    url = host if "://" in host else f"https://{host}"
    name = (split_url(url).hostname or "") if is_url else host
    labels, meant = name.split("."), name
    for length in range(len(labels) // 2, 1, -1):  # the same domain twice
        if labels[-length:] == labels[-2 * length : -length]:
            meant = ".".join(labels[:-length])
            break
    bare = name.removesuffix(f".{domain}")  # perhaps a complete name of its own
    if facts and meant == name != bare and "." in bare and facts.exists(bare):
        meant = bare
    if is_url:
        advice = f"a record takes a host name, not a URL: write only {meant}."
        return advice if meant else ""
    why = "without the dot, the name of the zone is appended"
    advice = f"write {meant}. with a dot at its end in the zone: {why}"
    return advice if meant != name else ""


def renaming_advice(facts: Facts, host: str) -> str:
    """Return advice on records for a host whose name has the domain twice, or ""."""
    label, _, domain = host.partition(".")
    why = "forms for records often add the domain themselves"
    for name in (host, *zone.below(label)):
        other = f"{name}.{domain}"
        sibling = other.removeprefix(f"{label}.")
        if facts.exists(other) and not facts.is_from_wildcard(other, sibling):
            return f"rename {other} to {host}: {why}"
    return ""


def leads_nowhere(facts: Facts, name: str) -> bool:
    """Return whether the name's CNAME records form a loop, or one has a URL."""
    *chain, target = alias_chain(facts, name)
    return target in chain or "/" in target


def alias_chain(facts: Facts, name: str) -> list[str]:
    """Return the name and its chain of aliases; a loop ends with a repeated name."""
    chain = [name]
    with suppress(LookupFailed):
        while len(chain) <= _MAX_ALIASES and chain[-1] not in chain[:-1]:
            target = facts.alias(chain[-1])
            if not target:
                break
            chain.append(target)
    return chain


def is_same_host(facts: Facts, host: str, other: str) -> bool:
    """Return whether two names are of one host, as far as DNS says."""
    with suppress(LookupFailed):
        addresses = set(facts.addresses(host)) if host != other else set()
        return host == other or bool(addresses & set(facts.addresses(other)))
    return False


# --- A response that is no document -----------------------------------------------------


def response_problem(case: Case, response: Response, requested: str) -> Finding | None:
    """Return why a response to a request for *requested* can be no document, or None."""
    url = response.url
    if response.is_forged and response.certificate is not None:
        host = split_url(url).hostname or ""
        return of_certificate("https", url, response.certificate, host)
    if path_lost := _lost_path(response, requested):
        return path_lost
    if response.status >= 400 and _SERVER.search(decompressed(response)):
        return finding("http.settings-with-status", url, status=response.status)
    if response.status in (404, 410):
        if not response.body.strip():
            return finding("http.empty-404", url, status=response.status)
        by_text = _by_text(response, requested)
        is_site = split_url(url).hostname == case.domain  # which need not have settings
        if by_text.code in texts.patterns("missing") and not is_site:
            return by_text
        return finding("http.absent", url, reason=f"status {response.status}")
    if response.status == 204 or (response.status == 200 and not response.body.strip()):
        status = " (status 204)" if response.status == 204 else ""
        return finding("http.empty", url, status=status)
    is_text = is_web_page(response) or _is_plain_text(response)
    problem = _login_wall(case, response, requested)
    if problem is None and (is_text or response.status != 200):
        problem = _by_text(response, requested)
    if problem:
        return _by_program(problem, response)
    if response.damage:
        return finding("http.cut-off", url, damage=response.damage)
    coding, plain = response.headers.get("content-encoding", ""), decompressed(response)
    is_kept = plain is response.body or plain.startswith(b"\x1f\x8b")  # of gzip
    if coding.lower() not in ("", "identity") and is_kept:
        return finding("http.not-compressed", url, coding=coding[:20])
    return None


def _lost_path(response: Response, requested: str) -> Finding | None:
    """Return the finding for a site that redirects all paths to its front page, or None."""
    path, target = split_url(requested).path, split_url(response.url).path
    is_front = response.redirects and target in ("", "/") and path not in ("", "/")
    if not is_front or not (is_web_page(response) or response.status in (404, 410)):
        return None
    if _is_login(response) or _PASSWORD_FIELD.search(response.body[:_MAX_PAGE]):
        return None  # a login page is another finding
    return finding("http.path-lost", requested, target=shown(response.url))


def _login_wall(case: Case, response: Response, requested: str) -> Finding | None:
    url = shown(response.url)
    if response.status == 401:
        host, schemes = split_url(url).hostname or "", response.schemes
        windows = sorted(schemes & {"NTLM", "Negotiate"})
        servers = case.provider.servers if case.provider else ()
        has_exchange = any(server.type in EXCHANGE_TYPES for _, server in servers)
        is_others = schemes and case.provider is None and not case.has(host)
        how = f" ({', '.join(windows)})" if windows else ""
        is_pox = "autodiscover" in split_url(requested).path.lower()
        if windows and not (is_others or is_pox):
            return finding("http.windows-login", url, how=how)
        if is_others or (windows and (has_exchange or case.provider is None)):
            return finding("http.exchange", requested, host=host, how=how)
        if windows:
            return finding("http.exchange-login", url, host=host, how=how)
    if response.status in (401, 407):
        wanted = response.headers.get("www-authenticate", "")
        realm = re.search('realm="?([^"]{1,60})', wanted)
        named = f" (“{realm[1]}”)" if realm else ""
        return finding("http.login-wanted", url, status=response.status, named=named)
    has_field = _PASSWORD_FIELD.search(response.body[:_MAX_PAGE])
    is_wall = _is_login(response) or has_field  # 405: it refuses POST
    if response.status in (200, 405) and is_wall and is_web_page(response):
        where = _redirected(response, requested)
        return finding("http.login-page", requested, where=where)
    return None


def _is_login(response: Response) -> bool:
    """Return whether a redirect led to the URL of a login."""
    url = response.url.partition("?")[0]
    return bool(response.redirects and _LOGIN_WORDS.search(url))


def _by_program(found: Finding, response: Response) -> Finding:
    """Return the finding with the program that answers, as far as it says its name."""
    if found.code.startswith("http.exchange"):
        return found
    headers = [value for name, value in response.every if name in _NAMING]
    path = split_url(response.url).path if response.redirects else ""
    text = "\n".join([title_and_text(response)[0], path, *headers])[:_MAX_NAMES]
    for program, words in texts.table("programs").items():
        if re.search(words, text, re.I):
            return found.within("program", program=program)
    return found


# --- Web pages --------------------------------------------------------------------------


def is_web_page(response: Response) -> bool:
    """Return whether the body is HTML, whatever its media type."""
    start = response.body[:1000].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or (
        response.content_type == "text/html" and not _SETTINGS.search(start)
    )


def _is_plain_text(response: Response) -> bool:
    """Return whether the body is text, in no format of settings."""
    with suppress(UnicodeDecodeError):
        text = response.body[:_MAX_PAGE].decode().strip()
        is_bare = {*"<{[&"}.isdisjoint(text) or bool(_ERROR.match(text))
        return is_bare and " ".join(text.split()).isprintable()
    return False


def _redirected(response: Response, requested: str) -> str:
    """Return a clause on where a redirect led, or ""; no host, so that hosts are merged."""
    target, host = split_url(response.url), split_url(requested).netloc
    url = target.path if target.netloc == host else shown(response.url)
    return f" (after a redirect to {url})" if response.redirects else ""


def _by_text(response: Response, requested: str) -> Finding:
    """Return the finding for a response that a person would read, by its words."""
    status, text = response.status, response.body[:20_000].decode("utf-8", "replace")
    title, words = title_and_text(response)
    if status == 200:
        said = title or words[:_MAX_WORDS]
        quoted = (f" (“{said}”)" if said else "") + _redirected(response, requested)
        other = "http.plain-text" if _is_plain_text(response) else "http.web-page"
        return finding(texts.code_of("page", text, other), requested, title=quoted)

    said = beyond_status(response)
    other = "http.server-error" if status >= 500 else "http.status"
    by_status = texts.code_on("http", str(status), other)
    if response.is_limited or status in REDIRECTS:
        by_status = "http.limited" if response.is_limited else "http.no-location"
    by_status = texts.code_of("missing", words) or by_status
    code = texts.code_of("refusal", words) or texts.code_of("page", text, by_status)
    if code == "http.challenge" or "cf-mitigated" in response.headers:
        code = "http.bot-protection"
    allow = response.headers.get("allow", "")
    allowed = f" (it allows {allow})" if allow else ""
    values = {"allowed": allowed, "title": f" with status {status}{said}"}
    return finding(code, response.url, status=status, said=said, **values)


def title_and_text(response: Response) -> list[str]:
    """Return the title of a web page, or "", and its text without tags."""
    text = response.body[:20_000].decode("utf-8", "replace")
    parts = "".join(_TITLE.findall(text)[:1]), _TAG.sub(" ", text)
    return [" ".join(html.unescape(part).split()) for part in parts]


def beyond_status(response: Response) -> str:
    """Return, in brackets, what a page says beside its status and the standard phrase."""
    status = str(response.status)
    phrases = (status, http.client.responses.get(response.status, status))
    alone = rf"\A(?:[\W_]*(?:{'|'.join(phrases)})\b)+[\W_]*"
    rest = (re.sub(alone, "", text, flags=re.I) for text in title_and_text(response))
    words = _NUMBER.split(next(filter(None, rest), ""), 1)[0].rstrip(" -")
    parts = split_url(response.url)
    # The path and the host differ between URLs.
    words = words.replace(parts.path.rstrip("/") or "\n", "…")
    host = rf"(?<![\w.@-]){re.escape(parts.hostname or chr(10))}(?![\w-])"
    words = re.sub(host, "…", words)[:_MAX_WORDS]
    return f" (“{words}”)" if words else ""


def unfilled(url: str, response: Response) -> Finding | None:
    """Return the finding if a document for clients without placeholders has one."""
    match = _PLACEHOLDER.search(_COMMENT.sub(b"", decompressed(response)))
    if match is None:
        return None
    return finding("document.unfilled", url, name=match[0].decode("ascii", "replace"))


def decompressed(response: Response) -> bytes:
    """Return the decompressed body, or the body itself where that fails."""
    if response.headers.get("content-encoding", "").lower() not in _CODINGS:
        return response.body
    try:
        return zlib.decompressobj(47).decompress(response.body, _MOST)
    except zlib.error:
        return response.body


def is_in_charset(response: Response) -> bool:
    """Return whether the body is in the charset of its header, where that is Unicode."""
    # Browsers decode other charsets without errors, and go by a byte order mark first.
    body = decompressed(response)
    is_unicode = response.charset in ("utf-8", "utf8", "utf-16", "utf-16le", "utf-16be")
    if not is_unicode or body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return True
    with suppress(UnicodeDecodeError):
        return "<" in body.decode(response.charset)
    return False


def autodiscover_v2_url(response: Response) -> str:
    """Return the https URL in a response of version 2, or ""."""
    try:
        target = str(json.loads(response.body)["Url"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return ""
    parts = split_url(target)
    is_url = parts.scheme == "https" and parts.hostname and target.isprintable()
    return target if is_url else ""


def with_cache(found: Finding, around: str, *responses: Response) -> Finding:
    """Return the finding, within the text *around* if a response is from a cache."""
    cached = next(filter(None, map(from_cache, responses)), "")
    return found.within(around, cached=cached) if cached else found


def from_cache(response: Response) -> str:
    """Return a clause that says that the response is from a cache, or ""."""
    age, headers = response.headers.get("age", ""), response.headers
    if age.isdecimal() and int(age[:9]) > 0:
        return f"the response is from a cache, {age[:9]} seconds old"
    text = headers.get("x-cache", "") or headers.get("cf-cache-status", "")
    is_hit = "hit" in text.lower()
    return f"the response is from a cache ({text[:60]})" if is_hit else ""
