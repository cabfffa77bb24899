"""How mistakes are made in a world: by its web server, its zone, or other servers."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
from paper import World
from strangers import Behaviour
from support import certificate_for, open_folder
from world import (
    ADDRESSES,
    DOMAIN,
    ELSEWHERE,
    HOSTER,
    IMAP,
    SITE,
    SMTP,
    WEB,
    Answer,
    Asked,
    Real,
    Respond,
    Zone,
    says_first,
    talks,
)

from flask_autoconfig.signing import Signer

CONFIG = "/mail/config-v1.1.xml"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
ANYWHERE = (CONFIG, WELL_KNOWN, "/.well-known/mail-v1.xml")
POX = "/autodiscover/autodiscover.xml"
PROFILE = "/mail/mobileconfig"
CALDAV = "/.well-known/caldav"
AT_CONFIG = f"https://autoconfig.{DOMAIN}{CONFIG}"
IMAP_NAME, SMTP_NAME = f"imap.{DOMAIN}", f"smtp.{DOMAIN}"
WEB_NAMES = (
    *(
        f"{label}.{DOMAIN}"
        for label in ("autoconfig", "autodiscover", "ua-auto-config")
    ),
    DOMAIN,
)
Seed = Callable[[Any], object]  # of a world
Response = Callable[[Asked], Answer]  # to a request


# --- Responses of the web server --------------------------------------------------------


def says(status: int, body: str = "no", **headers: str) -> Response:
    return reply(status, body, {k.replace("_", "-"): v for k, v in headers.items()})


def reply(status: int, body: str, headers: Mapping[str, str]) -> Response:
    named = {"Content-Type": "text/plain", **headers}
    return lambda asked: (status, named, body.encode())


def page(text: str) -> Response:
    body = f"<!DOCTYPE html><html><head><title>Home</title></head><body>{text}</body>"
    return says(200, body, Content_Type="text/html")


def moved(target: str) -> Response:
    return says(302, Location=target)


def edited(
    edits: Mapping[str, str],
    change: Callable[[bytes], bytes] | None = None,
    **headers: str,
) -> Response:
    """The response of the service, with replacements in its body or another body."""

    def answer(asked: Asked) -> Answer:
        status, named, body = asked.served(**headers)
        for old, new in edits.items():
            body = body.replace(old.encode(), new.encode())
        return status, named, change(body) if change else body

    return answer


def when(is_meant: Callable[[Asked], object], answer: Response) -> Seed:
    """Answer some of the requests; the service answers the others."""

    def seed(here: World) -> None:
        here.front.answer = lambda asked: answer(asked) if is_meant(asked) else None

    return seed


def at(path: str, answer: Response) -> Seed:
    return when(lambda asked: asked.path == path, answer)


# The requests that a mistake concerns, by its `when`.
WHEN: dict[str, Callable[[Asked], object]] = {
    "always": lambda asked: True,
    "without an address": lambda asked: not asked.query and "config-v1" in asked.path,
    "the first URL without an address": lambda asked: (
        not asked.query and asked.path == CONFIG
    ),
    "the first URL by http": lambda asked: asked.path == CONFIG and not asked.secure,
    "at autoconfig": lambda asked: asked.host.startswith("autoc"),
    "for a mailbox that does not exist": lambda asked: "EVOLUTIONUSER" in asked.query,
    "for a domain of nobody": lambda asked: "unknown.invalid" in asked.query,
    "a profile": lambda asked: "mobileconfig" in asked.path,
    "Autodiscover by https": lambda asked: asked.path == POX and asked.secure,
}
# Other bodies, by the `change` of a mistake.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "UTF-16": lambda xml: xml.decode().encode("utf-16"),
    "a warning before it": lambda xml: b"<br />Warning: x\n" + xml,
}


def web(answer: Callable[[Asked], Answer | None]) -> Seed:
    def seed(here: World) -> None:
        here.front.answer = answer

    return seed


def led(paths: Collection[str], target: str, there: Response) -> Seed:
    """Redirect requests for these paths, or for all; *there* is the response at the end."""

    def answer(asked: Asked) -> Answer | None:
        url = target.format(host=asked.host, path=asked.path)
        if f"https://{asked.url}" == url.partition("?")[0]:
            return there(asked)
        return moved(url)(asked) if asked.path in paths or not paths else None

    return web(answer)


def loop(asked: Asked) -> Answer:
    return moved(f"https://{asked.host}{asked.path}?x")(asked)


def to_http(asked: Asked) -> Answer:
    return moved(f"http://{asked.host}{CONFIG}?{asked.query}")(asked)


def relative(asked: Asked) -> Answer | None:
    if asked.path == CONFIG and asked.secure:
        return moved(f"/moved{CONFIG}?{asked.query}")(asked)
    if asked.path == f"/moved{CONFIG}":
        asked.path = CONFIG
        return asked.served()
    return None


def slow(asked: Asked) -> Answer:
    time.sleep(3.2)
    return asked.served()


def annas(asked: Asked) -> Answer:
    """An Autodiscover response that somebody wrote by hand, for herself."""
    name = b"<LoginName>anna@example.test<"
    return edited({}, lambda body: re.sub(b"<LoginName>[^<]*<", name, body))(asked)


def signed(name: str, *, days: int, is_broken: bool = False) -> Seed:
    """A profile whose signer's certificate is valid for some more days."""

    def seed(here: World) -> None:
        ends = datetime.now(UTC) + timedelta(days=days)
        with open_folder() as folder:
            files = certificate_for(name, folder=folder, not_after=ends)
            signer = Signer(*files, None)

        def sign(profile: bytes) -> bytes:
            body = signer.sign(profile)
            return body.replace(IMAP_NAME.encode(), b"imap.example.tesd", is_broken)

        at(PROFILE, edited({}, sign))(here)

    return seed


# --- DNS --------------------------------------------------------------------------------


def records(
    here: World,
    replace: Mapping[str, str] | None = None,
    drop: str = "-",
    add: str = "",
) -> str:
    """The records of the domain: with replacements, without a name, with more lines."""
    text = ADDRESSES + here.zone
    for old, new in (replace or {}).items():
        assert old in text, old
        text = text.replace(old, new)
    kept = [line for line in text.splitlines(True) if not line.startswith(f"{drop} ")]
    return "".join(kept) + add


def zone(**changes: Any) -> Seed:
    return lambda here: here.names.serve(records(here, **changes))


def lead(host: str, address: str) -> Seed:
    return zone(drop=host, add=f"{host.upper()} IN A {address}\n")


def lead_web(here: World) -> None:
    """Move the domain's web elsewhere."""
    names = ("www", "@")
    replace = {f"{name} IN A {WEB}": f"{name} IN A {ELSEWHERE}" for name in names}
    zone(replace=replace)(here)


def failing(rcode: str, extended: int | None = None) -> Respond:
    """A name server that fails at every query."""

    def respond(query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.set_rcode(dns.rcode.from_text(rcode))
        if extended is not None:
            option = dns.edns.EDEOption(dns.edns.EDECode(extended), "says it")
            answer.use_edns(0, options=[option])
        return answer

    return respond


def truncated(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.TC
    return answer


def name_servers(resolver: str = "", first: str = "", second: str = "") -> Seed:
    """Two name servers of the zone; each lacks a line, or is one of _BAD."""

    def seed(here: World) -> None:
        head = f"$ORIGIN {DOMAIN}.\n"
        for number in (1, 2):
            head += f"@ IN NS ns{number}\nns{number} IN A 127.0.1.7{number}\n"
        text = ADDRESSES + here.zone + head
        here.names.serve(text.replace(resolver, "") if resolver else text)
        for number, wrong in ((1, first), (2, second)):
            respond: Respond = Zone(text.replace(wrong, "") if wrong else text).respond
            if wrong in ("REFUSED", "SERVFAIL"):
                respond = failing(wrong)
            if wrong != "dead":
                here.name_server(f"127.0.1.7{number}", respond)

    return seed


def on_ipv6(host: str) -> Seed:
    """Give a host an IPv6 address alone, where the server answers as usual."""

    def seed(here: Any) -> None:
        here.names.serve(records(here, drop=host, add=f"{host} IN AAAA ::1\n"))
        for at, dial in list(here._hosts.items()):
            own = {"autoconfig": WEB, "imap": IMAP, "smtp": SMTP}[host]
            if at[0] == own:
                here._hosts["::1", at[1]] = dial

    return seed


def dropping_aaaa(here: World) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message | None:
        is_dropped = query.question[0].rdtype == dns.rdatatype.AAAA
        return None if is_dropped else here.names.respond(query)

    here.name_server("127.0.1.61", respond)


def shop(here: World, *names: str) -> None:
    """A web server that has nothing to do with mail."""
    here.web(SITE, here.certificate(*names)).answer = page("shop")


def someone_elses(here: World) -> None:
    shop(here, f"autoconfig.{DOMAIN}", "shop.other.test")
    add = f"AUTOCONFIG IN CNAME shop.other.test.\nshop.other.test. IN A {SITE}\n"
    zone(drop="autoconfig", add=add)(here)


def wildcard(here: World) -> None:
    """The names as a wildcard record makes them: a random one has the same address."""
    shop(here, DOMAIN, f"*.{DOMAIN}")
    names = ("@", "autoconfig", "autodiscover", "no-such-name-e3b0c442")
    lines = "".join(f"{name} IN A {SITE}\n" for name in names)
    here.names.serve(f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 10 imap\n{lines}")


# --- TLS and mail servers ---------------------------------------------------------------

Certify = Callable[[World], Any]


def good(*names: str, days: int = 90) -> Certify:
    ends = timedelta(days=days, hours=12)
    return lambda here: here.certificate(*names, not_after=datetime.now(UTC) + ends)


def certified(
    *usual: str, names: Sequence[str] = (), days: int = 90, by: str = ""
) -> Certify:
    """A certificate: of which names, for how long, and by an authority or *by* whom."""
    named = names or usual
    if by.startswith("an unknown"):
        return lambda here: here.unknown(*named, whole=by.endswith("authority"))
    others: dict[str, Certify] = {
        "nobody": lambda here: None,
        "itself": lambda here: here.self_signed(named[0]),
    }
    return others.get(by, good(*named, days=days))


def at_web(certificate: Certify) -> Seed:
    """Serve all of the domain's web with a certificate."""

    def seed(here: World) -> None:
        served = here.front
        here.web(ELSEWHERE, certificate(here)).answer = served.answer
        lead_web(here)

    return seed


def by_nginx(tls: str) -> Seed:
    """Serve all of the domain's web by nginx with these directives."""

    def seed(here: Real) -> None:
        here.nginx(ELSEWHERE, here.certificate(*WEB_NAMES), f"http://{WEB}", tls)
        lead_web(here)

    return seed


def unencrypted_web(here: World) -> None:
    here.listen(ELSEWHERE, 443, says_first("HTTP/1.1 400 Bad Request"))
    lead_web(here)


def mail(
    host: str,
    port: int,
    behave: Behaviour,
    certificate: Certify | None = None,
    *,
    at_once: bool = True,
) -> Seed:
    """A mail server at another address: with TLS at once, or by STARTTLS."""

    def seed(here: World) -> None:
        shown = certificate(here) if certificate else None
        here.listen(ELSEWHERE, port, behave, shown, at_once=at_once)
        lead(host, ELSEWHERE)(here)

    return seed


def offering(capabilities: str) -> Behaviour:
    """An IMAP server."""
    return talks("* OK", ("CAPABILITY", f"* CAPABILITY {capabilities}\r\na OK"))


def mail_server(
    at: Sequence[Any] = ("imap", 993), says: str = "", offers: str = "", **more: Any
) -> Seed:
    """A mail server that greets, or offers capabilities; *more* of its certificate."""
    host, port = at
    behave = offering(offers)
    if host == "smtp":
        behave = talks("220 x", ("EHLO", f"250 {offers}"))
    certificate = certified(f"{host}.{DOMAIN}", **more)
    return mail(host, port, says_first(says) if says else behave, certificate)


def silent(connection: socket.socket) -> None:
    connection.recv(10)
    time.sleep(12)


def breaks_off(connection: socket.socket) -> None:
    """Close the connection in place of a TLS handshake."""
    connection.sendall(b"220 come in\r\n")
    for text in (b"250-STARTTLS\r\n250 SIZE\r\n", b"220 go on\r\n"):
        connection.recv(4096)
        connection.sendall(text)


def wants_client_certificate(host: str, port: int) -> Seed:
    """TLS 1.3, whose server refuses after the client's part of the handshake."""

    def seed(here: Real) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*here.certificate(f"{host}.{DOMAIN}"))
        context.load_verify_locations(here.folder / "ca.pem")
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

        here.listen(ELSEWHERE, port, behave)
        lead(host, ELSEWHERE)(here)

    return seed


def dav(answer: Response) -> Seed:
    """A calendar server at another address."""

    def seed(here: World) -> None:
        lead("dav", ELSEWHERE)(here)
        here.web(ELSEWHERE, here.certificate(f"dav.{DOMAIN}")).answer = answer

    return seed


def without_way_to_calendar(here: World) -> None:
    lines = records(here).splitlines(True)
    kept = [line for line in lines if not line.startswith("_caldav")]
    here.names.serve("".join(kept))
    at(CALDAV, says(404))(here)


def hoster(answer: Response) -> Seed:
    """A customer's domain, whose MX host belongs to a hoster."""

    def seed(here: World) -> None:
        here.names.serve(
            f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 1 mx.{HOSTER}.\n"
            f"mx.{HOSTER}. IN A {SITE}\n"
            f"autoconfig.{HOSTER}. IN A {WEB}\n"
        )
        when(lambda asked: HOSTER in asked.host, answer)(here)

    return seed


# --- Mistakes that are not data ---------------------------------------------------------

SEEDS: dict[str, Seed] = {
    "a web host with an IPv6 address only": on_ipv6("autoconfig"),
    "a web host with an IPv6 address only, and no file": on_ipv6("autoconfig"),
    "a mail server with an IPv6 address only": on_ipv6("imap"),
    "an outgoing server with an IPv6 address only": on_ipv6("smtp"),
    "a secondary without the MX record": name_servers(
        second=f"@ IN MX 10 mx.{DOMAIN}.\n"
    ),
    "a secondary without the MX record, and no file": name_servers(
        second=f"@ IN MX 10 mx.{DOMAIN}.\n"
    ),
    "a name server that refuses the zone": name_servers(second="REFUSED"),
    "a name server that refuses the zone, and no file": name_servers(second="REFUSED"),
    "a name server that cannot load the zone": name_servers(first="SERVFAIL"),
    "a name server of two is dead": name_servers(second="dead"),
    "the resolver does not know the new MX record": name_servers(
        resolver=f"@ IN MX 10 mx.{DOMAIN}.\n"
    ),
    "the resolver does not know the new MX record, and no file": name_servers(
        resolver=f"@ IN MX 10 mx.{DOMAIN}.\n"
    ),
    "a redirect from https to http": when(
        lambda asked: asked.path == CONFIG and asked.secure, to_http
    ),
    "a login wall by a redirect": led(
        ANYWHERE, "https://{host}/login?next={path}", page("Sign in")
    ),
    "a redirect loop": when(
        lambda asked: asked.path in ANYWHERE and asked.secure, loop
    ),
    "a relative redirect": web(relative),
    "a slow answer": at(CONFIG, slow),
    "somebody's own user name for Outlook": at(POX, annas),
    "somebody's own user name, where Outlook alone is served": web(
        lambda asked: annas(asked) if asked.path == POX else says(404)(asked)
    ),
    "a redirect to where there is nothing": led(
        (*ANYWHERE, POX), f"https://www.{DOMAIN}{{path}}", says(404)
    ),
    "a redirect of everything to the front page": led(
        (), f"https://www.{DOMAIN}/", page("welcome")
    ),
    "a profile that was changed": signed("sign.test", days=90, is_broken=True),
    "a profile whose signer has ended": signed("old-sign.test", days=-3),
    "a profile whose signer ends soon": signed("end-sign.test", days=5),
    "an alias of somebody else's web host": someone_elses,
    "a wildcard record that leads to the web site": wildcard,
    "port 53 shut by TCP": lambda here: here.name_server("127.0.1.60", truncated),
    "a name server that drops AAAA": dropping_aaaa,
    "TLS 1.1": by_nginx("ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;"),
    "a refused handshake": by_nginx("ssl_reject_handshake on;"),
    "http at the port of https": unencrypted_web,
    "logins before STARTTLS only": mail(
        "smtp",
        587,
        talks(
            "220 come in",
            ("EHLO", "250-STARTTLS\r\n250 AUTH PLAIN"),
            inside=talks("", ("EHLO", "250 SIZE")),
        ),
        good(SMTP_NAME),
        at_once=False,
    ),
    "a handshake that breaks off after STARTTLS": mail("smtp", 587, breaks_off),
    "a mail server that says nothing": mail("imap", 993, silent),
    "imap asks clients for certificates": wants_client_certificate("imap", 993),
    "smtp asks clients for certificates": wants_client_certificate("smtp", 465),
    "autoconfig asks clients for certificates": wants_client_certificate(
        "autoconfig", 443
    ),
    "a redirect of calendars to a login page": led(
        [CALDAV], f"https://{DOMAIN}/login", page('<input type="password">')
    ),
    "a calendar that nothing leads to": without_way_to_calendar,
}
