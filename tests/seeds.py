"""How mistakes are made in a world: by its web server, its zone, or other servers."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from client_requests import CONFIG, POX
from paper import PaperCert, World, calendars, own_url
from strangers import Behaviour
from support import certificate_for, listed, open_folder, replaced, tables
from world import (
    ADDRESSES,
    DOMAIN,
    ELSEWHERE,
    OTHER_NAMES,
    TOML,
    USER,
    WEB,
    Answer,
    Front,
    FrontRequest,
    Real,
    Respond,
    Zone,
    talks,
)

from flask_autoconfig.signing import Signer

WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
ANYWHERE = (CONFIG, WELL_KNOWN, "/.well-known/mail-v1.xml")
PROFILE = "/mail/mobileconfig"
AT_CONFIG = f"https://autoconfig.{DOMAIN}{CONFIG}"
IMAP_NAME, SMTP_NAME = f"imap.{DOMAIN}", f"smtp.{DOMAIN}"
WEB_NAMES = (
    *(
        f"{label}.{DOMAIN}"
        for label in ("autoconfig", "autodiscover", "ua-auto-config")
    ),
    DOMAIN,
)
WWW_NAMES = (*WEB_NAMES, f"www.{DOMAIN}")
Response = Callable[[FrontRequest], Answer]  # to a request
WHEN: dict[str, str] = tables("check_requests.toml")


# --- Responses of the web server --------------------------------------------------------


def responds(status: int, body: str = "no", **headers: str) -> Response:
    return fixed(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


def fixed(status: int, body: str, headers: Mapping[str, str]) -> Response:
    named = {"Content-Type": "text/plain", **headers}
    return lambda request: (status, named, body.encode())


def page(text: str) -> Response:
    body = f"<!DOCTYPE html><html><head><title>Home</title></head><body>{text}</body>"
    return responds(200, body, Content_Type="text/html")


def moved(target: str) -> Response:
    """A redirect; *target* may have {scheme}, {host}, {path} and {query}."""

    def answer(request: FrontRequest) -> Answer:
        names = ("scheme", "host", "path", "query")
        location = target.format(**{name: getattr(request, name) for name in names})
        return responds(302, Location=location)(request)

    return answer


def edited(
    edits: Mapping[str, str],
    change: Callable[[bytes], bytes] | None = None,
    patterns: Mapping[str, str] | None = None,
    **headers: str,
) -> Response:
    """The response of the service, with replacements in its body or another body."""

    def answer(request: FrontRequest) -> Answer:
        status, named, body = request.served(**headers)
        for old, new in edits.items():
            body = body.replace(old.encode(), new.encode())
        for old, new in (patterns or {}).items():
            body = re.sub(old.encode(), new.encode(), body)
        return status, named, change(body) if change else body

    return answer


def of_url(url: str, answer: Response) -> Response:
    """A response as if another URL were requested, with its query if it has one."""
    host, _, path = url.partition("/")
    path, has_query, query = path.partition("?")

    def moved(request: FrontRequest) -> Answer:
        request.host, request.path = host, f"/{path}"
        request.query = query if has_query else request.query
        return answer(request)

    return moved


def when(
    world: World, is_meant: Callable[[FrontRequest], object], answer: Response
) -> None:
    """Answer some of the requests; the others are answered as before."""
    other = world.front.answer

    def chosen(request: FrontRequest) -> Answer | None:
        return (answer if is_meant(request) else other)(request)

    world.front.answer = chosen


# Other bodies, by the `change` of a mistake.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "gzip twice": lambda body: gzip.compress(gzip.compress(body)),
    "UTF-16": lambda xml: xml.decode().encode("utf-16"),
    "Latin-1": lambda xml: xml.replace(b"UTF-8", b"ISO-8859-1").replace(
        b"<displayName>", b"<displayName>\xfc"
    ),
    "bytes that are not UTF-8": lambda xml: xml.replace(
        b"<displayName>", b"<displayName>\xfc"
    ),
    "its first half": lambda xml: xml[: len(xml) // 2],
}


def led(world: World, paths: Collection[str], target: str, there: Response) -> None:
    """Redirect requests for these paths, or for all; *there* is the response at the end."""

    def answer(request: FrontRequest) -> Answer | None:
        url = target.format(host=request.host, path=request.path)
        if f"https://{request.url}" == url.partition("?")[0]:
            return there(request)
        return moved(url)(request) if request.path in paths or not paths else None

    world.front.answer = answer


def signed(world: World, name: str, days: int, is_broken: bool = False) -> None:
    """Sign profiles with a certificate that is valid for some more days."""
    ends = datetime.now(UTC) + timedelta(days=days)
    with open_folder() as folder:
        files = certificate_for(name, folder=folder, not_after=ends)
        signer = Signer(*files, None)

    def sign(profile: bytes) -> bytes:
        body = signer.sign(profile)
        return body.replace(IMAP_NAME.encode(), b"imap.example.tesd", is_broken)

    when(world, lambda request: request.path == PROFILE, edited({}, sign))


# --- DNS --------------------------------------------------------------------------------


def records(
    world: World,
    replace: Mapping[str, str] | None = None,
    drop: str = "-",
    add: str = "",
    bare: bool = False,
) -> str:
    """The domain's records with replacements, without a name, with more; or addresses."""
    text = ADDRESSES if bare else ADDRESSES + world.zone
    text = replaced(text, *(replace or {}).items())
    lines = [line for line in text.splitlines(True) if not line.startswith(f"{drop} ")]
    return "".join(lines) + add


def zone(world: World, **changes: Any) -> None:
    world.names.serve(records(world, **changes))


def lead(world: World, host: str, address: str = ELSEWHERE) -> None:
    zone(world, drop=host, add=f"{host.upper()} IN A {address}\n")


def lead_web(world: World) -> None:
    """Move the domain's web elsewhere."""
    names = ("www", "@")
    replace = {f"{name} IN A {WEB}": f"{name} IN A {ELSEWHERE}" for name in names}
    zone(world, replace=replace)


def failing(rcode: str, extended: int | None = None) -> Respond:
    """A name server that fails at every query; without *rcode*, it does not answer."""

    def respond(query: dns.message.Message) -> dns.message.Message | None:
        answer = dns.message.make_response(query, recursion_available=True)
        if rcode == "TC":
            answer.flags |= dns.flags.TC
        else:
            answer.set_rcode(dns.rcode.from_text(rcode or "NOERROR"))
        if extended is not None:
            option = dns.edns.EDEOption(dns.edns.EDECode(extended), "says it")
            answer.use_edns(0, options=[option])
        return answer if rcode else None

    return respond


def name_server(
    world: World,
    rcode: str,
    extended: int | None = None,
    at: str = OTHER_NAMES,
    only: str = "",
) -> None:
    """A name server that fails at queries whose name and type have a pattern."""
    fail = failing(rcode, extended)

    def respond(query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0].to_text()
        return (fail if re.search(only, question) else world.names.respond)(query)

    world.name_server(at, respond)


def with_soa(respond: Respond, serial: int) -> Respond:
    """Add an SOA record, which a `Zone` cannot have."""

    def responded(query: dns.message.Message) -> dns.message.Message | None:
        answer = respond(query)
        if answer and query.question[0].rdtype == dns.rdatatype.SOA:
            soa = f"ns1. hostmaster. {serial} 1 1 1 1"
            answer.answer = [dns.rrset.from_text(f"{DOMAIN}.", 60, "IN", "SOA", soa)]
        return answer

    return responded


_BAD = ("REFUSED", "SERVFAIL", "dead", "empty")


def name_servers(
    world: World,
    resolver: str = "",
    first: str = "",
    second: str = "",
    by: str = "",
    serials: Sequence[int] = (),
) -> None:
    """Two name servers of the zone; each has *by* for a text, or is one of _BAD.

    So does the resolver. Without *serials* the zone has no SOA.
    """
    head = f"$ORIGIN {DOMAIN}.\n"
    for number in (1, 2):
        head += f"@ IN NS ns{number}\nns{number} IN A 127.0.1.7{number}\n"
    text = ADDRESSES + world.zone + head
    world.names.serve(text.replace(resolver, by) if resolver else text)
    for number, wrong in ((1, first), (2, second)):
        assert wrong in (*_BAD, "") or wrong in text
        own = head if wrong == "empty" else text.replace(wrong or by, by)
        respond: Respond = Zone(own).respond
        if serials:
            respond = with_soa(respond, serials[number - 1])
        if wrong in _BAD[:2]:
            respond = failing(wrong)
        if wrong != "dead":
            world.name_server(f"127.0.1.7{number}", respond)


def half_moved(world: World) -> None:
    """The zone above names the new name server, the zone the old one, of yesterday."""
    new, old = "ns.new.test. IN A 127.0.1.71\n", "ns.old.test. IN A 127.0.1.72\n"
    above = f"test. IN NS a.test.\na.test. IN A 127.0.1.73\n{new}{old}"
    zone = ADDRESSES + world.zone + "@ IN NS ns.old.test.\n"
    yesterday = zone.replace("993 imap", "993 old")
    world.names.serve(zone + above)
    for number, text in enumerate(
        (zone, yesterday, f"{DOMAIN}. IN NS ns.new.test."), 1
    ):
        world.name_server(f"127.0.1.7{number}", Zone(text).respond)


def by_http_alone(world: Any, scheme: str) -> None:
    """Autodiscover's host with port 80 alone, and no other way for Outlook."""
    world.web(ELSEWHERE, None).answer = moved(f"{scheme}//www.example.test{{path}}")
    del world._hosts[ELSEWHERE, 443]
    zone = records(world, drop="autodiscover", add=f"AUTODISCOVER IN A {ELSEWHERE}\n")
    world.names.serve(zone.replace("_autodiscover._tcp", "_other._tcp"))
    when(world, lambda request: request.url == f"{DOMAIN}{POX}", responds(404))


# --- TLS and mail servers ---------------------------------------------------------------


def certificate(
    world: World,
    *default: str,
    names: Sequence[str] = (),
    days: int = 90,
    by: str = "",
    shows: Mapping[str, Any] | None = None,
    **of_openssl: Any,
) -> Any:
    """A certificate: of which names, for how long, and by an authority or *by* whom.

    Without servers, also what it *shows* OpenSSL, and other fields of `PaperCert`.
    """
    named = tuple(names or default)
    ends = datetime.now(UTC) + timedelta(days=days, hours=12)
    if by.startswith("an unknown"):
        return world.unknown(*named, whole=by.endswith("authority"))
    if by:
        return world.self_signed(named[0]) if by == "itself" else None
    if shows:
        return chained(**shows)
    if of_openssl:
        return PaperCert(named, ends, **of_openssl)
    return world.certificate(*named, not_after=ends)


def chained(code: int, chain: Sequence[str], **more: Any) -> PaperCert:
    """The certificate of imap with an error of OpenSSL; *chain*: "subject < issuer"."""
    links = [[((("commonName", cn),),) for cn in link.split(" < ")] for link in chain]
    sent = [{"subject": subject, "issuer": issuer} for subject, issuer in links]
    sent[-1] |= more
    names = () if chain[0].startswith("imap.") else (IMAP_NAME,)
    return PaperCert(names, datetime.now(UTC) + timedelta(days=90), code, tuple(sent))


def at_web(world: World, values: Mapping[str, Any]) -> None:
    """Serve all of the domain's web with another certificate."""
    elsewhere(world, {"certificate": values}).answer = world.front.answer
    lead_web(world)


def by_nginx(world: Real, tls: str) -> None:
    """Serve all of the domain's web by nginx with these directives."""
    world.nginx(ELSEWHERE, world.certificate(*WEB_NAMES), f"http://{WEB}", tls)
    lead_web(world)


def mail_server(
    world: World,
    at: Sequence[Any] = ("imap", 993),
    banner: str | None = None,
    greets: str | None = None,
    offers: str = "",
    responses: Mapping[str, str] | None = None,
    inside: Mapping[str, str] | None = None,
    hangs_up: Sequence[str] | None = None,
    late: float = 0,
    at_once: bool | None = None,
    address: str = ELSEWHERE,
    behave: Behaviour | None = None,
    **more: Any,
) -> None:
    """A mail server that greets, or offers or responds; *more* of its certificate.

    With *hangs_up* it does so after these lines, of which the last may be *late*.
    """
    host, port = at
    greeting, *default = {
        "imap": ("* OK", "CAPABILITY", f"* CAPABILITY {offers}\r\na OK"),
        "pop": ("+OK hello", "CAPA", "-ERR what"),
        "smtp": ("220 x", "EHLO", f"250 {offers}"),
        "web": ("", "GET", ""),
    }[host]
    # There is no second greeting inside (RFC 3207, section 4.2).
    encrypted = talks("", *inside.items()) if inside else None
    script = (responses or dict([default])).items()
    greeting = greeting if greets is None else greets
    scripted = behave or talks(greeting, *script, inside=encrypted)
    if banner is not None:
        scripted = ends(banner, "")
    if hangs_up is not None:
        scripted = ends(*hangs_up, late=late)

    def later(*connection: Any) -> None:
        world.connections.append(host)
        time.sleep(late if hangs_up is None else 0)
        scripted(*connection)

    names = WWW_NAMES if host == "web" else (f"{host}.{DOMAIN}",)
    if at_once is None:
        at_once = port in (443, 993, 995) or (port == 465 and not inside)
    shows = certificate(world, *names, **more)
    world.listen(address, port, later, shows, at_once=at_once)


def ends(*lines: str, late: float = 0) -> Behaviour:
    """Return a server that greets, says one line to each that it gets, and hangs up.

    The last line is *late* by so many seconds.
    """

    def behave(connection: socket.socket) -> None:
        for number, line in enumerate(lines):
            if number:
                connection.recv(4096)
            time.sleep(late if number == len(lines) - 1 else 0)
            is_text = line[:1] not in ("", "\x15")  # nothing, or an alert of TLS
            connection.sendall(f"{line}\r\n".encode() if is_text else line.encode())

    return behave


def wants_client_certificate(world: Real, place: tuple[str, int]) -> None:
    """TLS 1.3, whose server refuses after the client's part of the handshake."""
    host, port = place
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*world.certificate(f"{host}.{DOMAIN}"))
    context.load_verify_locations(world.folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = ssl.TLSVersion.TLSv1_3

    def behave(connection: socket.socket) -> None:
        secure = context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        with secure, suppress(OSError):
            with suppress(ssl.SSLError):
                secure.do_handshake()
            while os.read(secure.fileno(), 4096):  # what the client sends
                pass

    world.listen(ELSEWHERE, port, behave)
    lead(world, host)


def dav(world: World, answer: Response) -> None:
    """A calendar server at another address."""
    lead(world, "dav")
    world.web(ELSEWHERE, world.certificate(f"dav.{DOMAIN}")).answer = answer


# Where the ISP database is, as options of `check`.
ISPDB = ("--connect-to", f"live.thunderbird.net:443:{ELSEWHERE}:443")


def in_ispdb(world: World, answer: Response) -> None:
    """The ISP database, which knows the domain; *answer* changes its document."""
    front = world.web(ELSEWHERE, world.certificate("live.thunderbird.net"))
    front.answer = of_url(f"autoconfig.{DOMAIN}{CONFIG}", answer)


def hang_up(request: FrontRequest) -> NoReturn:
    raise ConnectionResetError


def delayed(seconds: float) -> Response:
    def answer(request: FrontRequest) -> Answer:
        time.sleep(seconds)
        return request.served()

    return answer


def limited(world: World, limits: Sequence[Any]) -> None:
    """Answer so many requests at most in so many seconds.

    With a third value, a limit holds for each host, and for URLs with this pattern. With
    a fourth, the status of a refusal, further requests make it last longer.
    """
    requests, seconds, *only = limits
    by_host: dict[str, list[float]] = {}

    def answer(request: FrontRequest) -> Answer | None:
        if only and not re.search(only[0], request.url):
            return None
        now, host = time.monotonic(), request.url.partition("/")[0] if only else ""
        answered = by_host.setdefault(host, [])
        is_refused = sum(now - at < seconds for at in answered) >= requests
        if only[1:] or not is_refused:
            answered.append(now)
        if is_refused:
            status = only[1] if only[1:] else 503
            return responds(status, f"<html>{status} Refused")(request)
        return None

    world.front.answer = answer


def delaying(world: World, seconds: float) -> None:
    """Let one request pass in so many seconds, and others wait."""
    lock, free = threading.Lock(), [0.0]

    def answer(_: FrontRequest) -> Answer | None:
        with lock:
            free[0] = now = max(free[0] + seconds, time.monotonic())
        time.sleep(max(now - time.monotonic(), 0))
        return None

    world.front.answer = answer


# --- Worlds of tables -------------------------------------------------------------------


def elsewhere(world: World, values: Mapping[str, Any]) -> Front:
    """Another web server, which answers as the domain's without a response."""
    names = values.get("names", WWW_NAMES)
    shows = certificate(world, *names, **values.get("certificate", {}))
    front = world.web(values.get("address", ELSEWHERE), shows, world.front.file)
    front.answer = response(values) or front.answer
    return front


def mail_servers(world: World, values: Any) -> None:
    for server in listed(values):
        mail_server(world, **server)
        host, _ = server.get("at", ("imap", 993))
        lead_web(world) if host == "web" else lead(world, host)


# What makes a world, by the keys of a row.
MAKERS: dict[str, Callable[[Any, Any], object]] = {
    "mail": mail_servers,
    "elsewhere": elsewhere,
    "limited": limited,
    "delaying": delaying,
    "by_http_alone": by_http_alone,
    "half_moved": lambda world, _: half_moved(world),
    "nginx": by_nginx,
    "signed": lambda world, values: signed(world, **values),
    "client_certificate": wants_client_certificate,
    "zone": lambda world, values: zone(world, **values),
    "bind": lambda world, values: world.load_bind("", records(world, **values)),
    "name_server": lambda world, values: name_server(world, **values),
    "name_servers": lambda world, values: name_servers(world, **values),
    "web": at_web,
}


def make(world: World, row: Mapping[str, Any]) -> None:
    """Make the world of a row of a table (see check_mistakes.toml)."""
    for key, maker in MAKERS.items():
        if key in row:
            maker(world, row[key])
    if answer := response(row):
        let_answer(world, row, answer)


# Where another server answers, by the `when` of a row.
SERVERS: dict[str, Callable[[World, Response], None]] = {
    "at another calendar": dav,
    "in the ISP database": in_ispdb,
}


def let_answer(world: World, row: Mapping[str, Any], answer: Response) -> None:
    """Let the requests of the row get a response."""
    place = row.get("when", "always" if "answers" in row else "")
    paths = (row["path"],) if "path" in row else row.get("paths", ANYWHERE)
    if "led_to" in row:
        led(world, paths, row["led_to"], answer)
    elif place in SERVERS:
        SERVERS[place](world, answer)
    elif place:
        when(world, lambda request: re.search(WHEN[place], request.line), answer)
    elif "header" in row:
        when(world, lambda request: re.search(row["header"], request.headers), answer)
    else:
        when(world, lambda request: request.path in paths, answer)


ANSWERS: dict[str, Callable[[Any], Response]] = {
    "page": page,
    "to": moved,
    "hangs_up": lambda _: hang_up,
    "calendars": lambda _: calendars,
    "delay": delayed,
    "person": lambda url: lambda request: own_url(url),
}


def response(row: Mapping[str, Any]) -> Any:
    """Return the response that the row describes, or None."""
    headers = row.get("headers", {})
    if "answers" in row:
        return first_of([(inner, response(inner)) for inner in row["answers"]])
    if "serves" in row:
        more = {"edit": {}, **row}
        return of_url(more.pop("serves"), response(more))
    if "response" in row:
        return fixed(row["response"], row.get("body", "no"), headers)
    if "sent_as" in row:
        return lambda request: (row["sent_as"], *request.served()[1:])
    for key, answer in ANSWERS.items():
        if key in row:
            return answer(row[key])
    if row.keys() & {"edit", "change", "patterns", "headers"}:
        change = CHANGES.get(row.get("change", ""))
        return edited(row.get("edit", {}), change, row.get("patterns"), **headers)
    return None


def first_of(answers: Sequence[tuple[Mapping[str, Any], Response]]) -> Any:
    """Return the response of the first row that is meant; there may be none."""

    def answer(request: FrontRequest) -> Answer | None:
        for row, response in answers:
            is_sent = row.get("sends", "").encode() in request.body
            is_sent &= row.get("login", bool(request.login)) == bool(request.login)
            if is_sent and re.search(row.get("at", ""), request.line):
                return response(request)
        return None

    return answer


def checked(
    world: World, row: Mapping[str, Any], folder: Path, *, with_file: bool
) -> dict[str, Any]:
    """Return the report of `check` with the options of a row, and its file or none."""
    file = None
    options = list(row.get("options", ()))
    if row.get("when") == "in the ISP database":
        options += ISPDB
    if with_file:
        file = folder / "autoconfig.toml"
        file.write_text(replaced(TOML, *row.get("file", {}).items()))
    else:
        options.append("--allow-private")
    if not options or not options[0].endswith(".test"):
        options.insert(0, USER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return world.check(*options, file=file)
