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
from paper import Shown, World
from strangers import Behaviour, answering
from support import certificate_for, open_folder, replaced, tables
from world import (
    ADDRESSES,
    BIND,
    DOMAIN,
    ELSEWHERE,
    HOSTER,
    IMAP,
    SITE,
    SMTP,
    TOML,
    USER,
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
WHEN: dict[str, str] = tables("check_requests.toml")


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
    """A redirect; *target* may have {host}, {path} and {query} of the request."""

    def answer(asked: Asked) -> Answer:
        place = {"host": asked.host, "path": asked.path, "query": asked.query}
        return says(302, Location=target.format(**place))(asked)

    return answer


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
    """Answer some of the requests; the others are answered as before."""

    def seed(here: World) -> None:
        other = here.front.answer
        here.front.answer = lambda asked: (answer if is_meant(asked) else other)(asked)

    return seed


def requested(requests: str, answer: Response) -> Seed:
    """Answer the requests of a row of check_requests.toml."""
    return when(lambda asked: re.search(WHEN[requests], asked.line), answer)


def at(path: str, answer: Response) -> Seed:
    return when(lambda asked: asked.path == path, answer)


# Of a server for files, which knows no persons.
NO_PERSON = (
    '<multistatus xmlns="DAV:"><response><href>/</href></response></multistatus>'
)

# Other bodies, by the `change` of a mistake.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "servers after the provider's end": lambda xml: xml.replace(
        b"<incomingServer", b"</emailProvider><incomingServer", 1
    ).replace(b"</outgoingServer>\n  </emailProvider>", b"</outgoingServer>"),
    "one PayloadUUID": lambda profile: re.sub(
        rb"(?s)(PayloadUUID</key>\s*<string>)[^<]*", rb"\g<1>0776C229", profile
    ),
    "one PayloadIdentifier": lambda profile: re.sub(
        rb"(?s)(PayloadIdentifier</key>\s*<string>)[^<]*", rb"\g<1>test.mail", profile
    ),
    "no PayloadVersion": lambda profile: re.sub(
        rb"<key>PayloadVersion</key>\s*<integer>1</integer>", b"", profile
    ),
    "no EmailAccountType": lambda profile: re.sub(
        rb"<key>EmailAccountType</key>\s*<string>\w+</string>", b"", profile
    ),
    "another's calendar": lambda profile: re.sub(
        rb"(CalDAVUsername</key>\s*<string>)[^<]*", rb"\g<1>anna", profile
    ),
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
    "anna's": lambda body: re.sub(
        rb"[\w.+-]+@example\.test", b"anna@example.test", body
    ),
    "anna's login": lambda xml: re.sub(
        b"<LoginName>[^<]*<", b"<LoginName>anna@example.test<", xml
    ),
    "the first domain's": lambda body: re.sub(
        rb"<LoginName>[^<]*<", b"<LoginName>fred@first.test<", body
    ).replace(b"<domain>example.test<", b"<domain>first.test<"),
    "CRLF": lambda body: body.replace(b"\n", b"\r\n"),
    "no socketType": lambda xml: re.sub(rb"<socketType>\w+</socketType>", b"", xml),
    "its first payload in no array": lambda profile: re.sub(
        rb"(?s)<array>\s*(<dict>.*?</dict>).*</array>", rb"\1", profile
    ),
    "a warning before it": lambda xml: b"<br />Warning: x\n" + xml,
}


def web(answer: Callable[[Asked], Answer | None]) -> Seed:
    def seed(here: World) -> None:
        here.front.answer = answer

    return seed


def led(here: World, paths: Collection[str], target: str, there: Response) -> None:
    """Redirect requests for these paths, or for all; *there* is the response at the end."""

    def answer(asked: Asked) -> Answer | None:
        url = target.format(host=asked.host, path=asked.path)
        if f"https://{asked.url}" == url.partition("?")[0]:
            return there(asked)
        return moved(url)(asked) if asked.path in paths or not paths else None

    here.front.answer = answer


def relative(asked: Asked) -> Answer | None:
    if asked.path == CONFIG and asked.secure:
        return moved(f"/moved{CONFIG}?{asked.query}")(asked)
    if asked.path == f"/moved{CONFIG}":
        asked.path = CONFIG
        return asked.served()
    return None


def another_site(here: World) -> None:
    """A web site elsewhere that has no certificate for the domain."""
    here.web(ELSEWHERE, here.certificate(f"shop.{HOSTER}")).answer = says(404)


def misplaced(url: str) -> Seed:
    """The document is at another URL than those that clients ask."""

    def answer(asked: Asked) -> Answer | None:
        if asked.url == url:
            asked.host, asked.path = f"autoconfig.{DOMAIN}", CONFIG
            return asked.served()
        return says(404)(asked) if asked.path in ANYWHERE else None

    return web(answer)


def old_office(here: World) -> None:
    """The Autodiscover host of a provider, which asks people for their password."""
    certificate = here.certificate("autodiscover.office.test")
    wanted = says(401, WWW_Authenticate="Basic realm=x")
    here.web(ELSEWHERE, certificate).answer = lambda asked: (
        wanted(asked)
        if asked.secure
        else says(302, Location=f"https://autodiscover.office.test{POX}")(asked)
    )


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
    bare: bool = False,
) -> str:
    """The domain's records with replacements, without a name, with more; or addresses."""
    text = ADDRESSES if bare else ADDRESSES + here.zone
    text = replaced(text, *(replace or {}).items())
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


def at_two_addresses(here: World, answer: Response) -> None:
    """Let another address of the web host answer requests for settings otherwise."""
    other = here.web(ELSEWHERE, here.certificate(*WEB_NAMES))
    other.answer = lambda asked: answer(asked) if asked.path in ANYWHERE else None
    add = f"AUTOCONFIG IN A {WEB}\nAUTOCONFIG IN A {ELSEWHERE}\n"
    zone(drop="autoconfig", add=add)(here)


def hang_up_at_one(here: World) -> None:
    """Let another address of the web host hang up when it is asked for settings."""

    def answer(asked: Asked) -> NoReturn:
        raise ConnectionResetError

    at_two_addresses(here, answer)


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


def refusing(here: World) -> None:
    """Let the resolver refuse what is not of the domain."""
    served, refuse = here.names.respond, failing("REFUSED")

    def respond(query: dns.message.Message) -> dns.message.Message:
        is_own = query.question[0].name.to_text().endswith(f"{DOMAIN}.")
        return served(query) if is_own else refuse(query) or query

    here.names.respond = respond  # type: ignore[method-assign]
    here.stack.callback(vars(here.names).pop, "respond")


def truncated(query: dns.message.Message) -> dns.message.Message:
    answer = dns.message.make_response(query, recursion_available=True)
    answer.flags |= dns.flags.TC
    return answer


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
    here: World,
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
    text = ADDRESSES + here.zone + head
    here.names.serve(text.replace(resolver, by) if resolver else text)
    for number, wrong in ((1, first), (2, second)):
        assert wrong in (*_BAD, "") or wrong in text
        own = head if wrong == "empty" else text.replace(wrong or by, by)
        respond: Respond = Zone(own).respond
        if serials:
            respond = with_soa(respond, serials[number - 1])
        if wrong in _BAD[:2]:
            respond = failing(wrong)
        if wrong != "dead":
            here.name_server(f"127.0.1.7{number}", respond)


def half_moved(here: World) -> None:
    """The zone above names the new name server, the zone the old one, of yesterday."""
    new, old = "ns.new.test. IN A 127.0.1.71\n", "ns.old.test. IN A 127.0.1.72\n"
    above = f"test. IN NS a.test.\na.test. IN A 127.0.1.73\n{new}{old}"
    zone = ADDRESSES + here.zone + "@ IN NS ns.old.test.\n"
    yesterday = zone.replace("993 imap", "993 old")
    here.names.serve(zone + above)
    for number, text in enumerate(
        (zone, yesterday, f"{DOMAIN}. IN NS ns.new.test."), 1
    ):
        here.name_server(f"127.0.1.7{number}", Zone(text).respond)


def lame(here: World) -> None:
    """A resolver that finds no server with the records of one name."""
    served, fail = here.names.respond, failing("SERVFAIL")

    def respond(query: dns.message.Message) -> dns.message.Message | None:
        is_lame = query.question[0].name.to_text().startswith("autodiscover.")
        return fail(query) if is_lame else served(query)

    here.name_server("127.0.0.55", respond)


def only_ipv6(here: Any, host: str) -> None:
    """Give a host an IPv6 address alone, where the server answers as usual."""
    here.names.serve(records(here, drop=host, add=f"{host} IN AAAA ::1\n"))
    own = {"autoconfig": WEB, "imap": IMAP, "smtp": SMTP}[host]
    here._hosts |= {
        ("::1", port): dial
        for (address, port), dial in here._hosts.items()
        if address == own
    }


def dropping_aaaa(here: World) -> None:
    def respond(query: dns.message.Message) -> dns.message.Message | None:
        is_dropped = query.question[0].rdtype == dns.rdatatype.AAAA
        return None if is_dropped else here.names.respond(query)

    here.name_server("127.0.1.61", respond)


def shop(here: World, *names: str) -> None:
    """A web server that has nothing to do with mail."""
    here.web(SITE, here.certificate(*names)).answer = page("shop")


def by_http_alone(scheme: str) -> Callable[[Any], None]:
    """Autodiscover's host with port 80 alone, and no other way for Outlook."""

    def seed(here: Any) -> None:
        here.web(ELSEWHERE, None).answer = moved(f"{scheme}//www.example.test{{path}}")
        del here._hosts[ELSEWHERE, 443]
        zone = records(
            here, drop="autodiscover", add=f"AUTODISCOVER IN A {ELSEWHERE}\n"
        )
        here.names.serve(zone.replace("_autodiscover._tcp", "_other._tcp"))
        when(lambda asked: asked.url == f"{DOMAIN}{POX}", says(404))(here)

    return seed


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
    *usual: str,
    names: Sequence[str] = (),
    days: int = 90,
    by: str = "",
    shows: Mapping[str, Any] | None = None,
    **of_openssl: Any,
) -> Certify:
    """A certificate: of which names, for how long, and by an authority or *by* whom.

    Without servers, also what it *shows* OpenSSL, and other fields of `Shown`.
    """
    named = tuple(names or usual)
    if by.startswith("an unknown"):
        return lambda here: here.unknown(*named, whole=by.endswith("authority"))
    if shows:
        return shown(**shows)
    if of_openssl:
        ends = datetime.now(UTC) + timedelta(days=days)
        return lambda here: Shown(named, ends, **of_openssl)
    others: dict[str, Certify] = {
        "nobody": lambda here: None,
        "itself": lambda here: here.self_signed(named[0]),
    }
    return others.get(by, good(*named, days=days))


def shown(code: int, chain: Sequence[str], **more: Any) -> Certify:
    """The certificate of imap with an error of OpenSSL; *chain*: "subject < issuer"."""
    links = [[((("commonName", one),),) for one in link.split(" < ")] for link in chain]
    sent = [{"subject": subject, "issuer": issuer} for subject, issuer in links]
    sent[-1] |= more
    names = () if chain[0].startswith("imap.") else (IMAP_NAME,)
    ends = datetime.now(UTC) + timedelta(days=90)
    return lambda here: Shown(names, ends, code, tuple(sent))


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


def instead_of_web(behave: Behaviour, certificate: Certify | None = None) -> Seed:
    """Another server at the port of the web, with TLS if it has a certificate."""

    def seed(here: World) -> None:
        shown = certificate(here) if certificate else None
        here.listen(ELSEWHERE, 443, behave, shown)
        lead_web(here)

    return seed


def slashed(asked: Asked) -> Answer | None:
    """A rule that appends a slash to every path, at which nothing is."""
    if asked.path.endswith("/"):
        return says(404)(asked)
    scheme = "https" if asked.secure else "http"
    return moved(f"{scheme}://{asked.url}/?{asked.query}")(asked)


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
    here: World,
    at: Sequence[Any] = ("imap", 993),
    says: str = "",
    greets: str | None = None,
    offers: str = "",
    replies: Mapping[str, str] | None = None,
    inside: Mapping[str, str] | None = None,
    hangs_up: Sequence[str] | None = None,
    late: float = 0,
    at_once: bool | None = None,
    address: str = ELSEWHERE,
    **more: Any,
) -> None:
    """A mail server that greets, or offers or replies; *more* of its certificate.

    With *hangs_up* it does so after these lines.
    """
    host, port = at
    greeting, *usual = {
        "imap": ("* OK", "CAPABILITY", f"* CAPABILITY {offers}\r\na OK"),
        "pop": ("+OK hello", "CAPA", "-ERR what"),
        "smtp": ("220 x", "EHLO", f"250 {offers}"),
    }[host]
    # There is no second greeting inside (RFC 3207, section 4.2).
    encrypted = talks("", *inside.items()) if inside else None
    said = (replies or dict([usual])).items()
    greeting = greeting if greets is None else greets
    behave = says_first(says) if says else talks(greeting, *said, inside=encrypted)
    if hangs_up is not None:
        behave = ends(*hangs_up)

    def later(*connection: Any) -> None:
        time.sleep(late)
        behave(*connection)

    certificate = certified(f"{host}.{DOMAIN}", **more)
    if at_once is None:
        at_once = port in (993, 995) or (port == 465 and not inside)
    here.listen(address, port, later, certificate(here), at_once=at_once)


def web_proxy(here: World) -> None:
    proxy = here.web(ELSEWHERE, here.certificate(IMAP_NAME))
    proxy.answer = says(403, Server="cloudflare")
    lead("imap", ELSEWHERE)(here)


def ends(*lines: str, late: float = 0) -> Behaviour:
    """Return a server that greets, says one line to each that it gets, and hangs up.

    The last line is *late* by so many seconds.
    """

    def behave(connection: socket.socket) -> None:
        for number, line in enumerate(lines):
            if number:
                connection.recv(4096)
            time.sleep(late if number == len(lines) - 1 else 0)
            connection.sendall(f"{line}\r\n".encode())

    return behave


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


def dav(here: World, answer: Response) -> None:
    """A calendar server at another address."""
    lead("dav", ELSEWHERE)(here)
    here.web(ELSEWHERE, here.certificate(f"dav.{DOMAIN}")).answer = answer


def with_slash_alone(asked: Asked) -> Answer:
    status = 401 if asked.path.endswith("/") and asked.path != "/two/" else 405
    return says(status, **{"WWW-Authenticate": "Basic"})(asked)


def at_the_root(asked: Asked) -> Answer:
    status = 401 if asked.path == "/" else 404
    return says(status, **{"WWW-Authenticate": "Basic"})(asked)


def without_way_to_calendar(here: World) -> None:
    lines = records(here).splitlines(True)
    kept = [line for line in lines if not line.startswith("_caldav")]
    here.names.serve("".join(kept))
    at(CALDAV, says(404))(here)


def hoster(here: World, answer: Response) -> None:
    """A customer's domain, whose MX host belongs to a hoster."""
    here.names.serve(
        f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 1 mx.{HOSTER}.\n"
        f"mx.{HOSTER}. IN A {SITE}\n"
        f"autoconfig.{HOSTER}. IN A {WEB}\n"
    )
    when(lambda asked: HOSTER in asked.host, answer)(here)


# Where the ISP database is, as options of `check`.
ISPDB = ("--connect-to", f"live.thunderbird.net:443:{ELSEWHERE}:443")


def in_ispdb(here: World, answer: Response) -> None:
    """The ISP database, which knows the domain; *answer* changes its document."""

    def known(asked: Asked) -> Answer:
        asked.host, asked.path = f"autoconfig.{DOMAIN}", CONFIG
        return answer(asked)

    here.web(ELSEWHERE, here.certificate("live.thunderbird.net")).answer = known


def at_old_ipv6(answer: Response) -> Seed:
    """Let the web hosts have an IPv6 address too, at which another site answers."""

    def seed(here: World) -> None:
        here.web("::1", here.certificate(*WEB_NAMES, f"www.{DOMAIN}")).answer = answer
        here.names.serve(records(here, add="www IN AAAA ::1\n@ IN AAAA ::1\n"))

    return seed


def forwarding(here: World) -> None:
    """A provider's service at autoconfig that shows another page in a frame."""
    answer = page("<frameset><frame src='https://www.hoster.test/'></frameset>")
    here.web(ELSEWHERE, here.certificate(f"forward.{HOSTER}")).answer = answer
    lead("autoconfig", ELSEWHERE)(here)
    at(WELL_KNOWN, says(404))(here)


def for_phones(asked: Asked) -> Answer | None:
    """An answer of Autodiscover to phones alone, with an ActiveSync server."""
    answer = tables("check_mistakes.toml")["ActiveSync where there is none"]["body"]
    is_theirs = asked.path == POX and b"mobilesync" in asked.body
    return says(200, answer, Content_Type="text/xml")(asked) if is_theirs else None


def by_script(asked: Asked) -> Answer | None:
    """A script that needs the query, which the redirect to it does not pass on."""
    if asked.path in ANYWHERE:
        return moved("https://autoconfig.example.test/settings.php")(asked)
    if asked.path != "/settings.php":
        return None
    asked.path = CONFIG
    return asked.served() if asked.query else says(400, "Missing: emailaddress")(asked)


def tls_in_tls(connection: socket.socket) -> None:
    """A server that waits for TLS, within TLS: it answers text by an alert."""
    connection.recv(4096)
    connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")


def delayed(seconds: float) -> Response:
    def answer(asked: Asked) -> Answer:
        time.sleep(seconds)
        return asked.served()

    return answer


def by_hops(number: int) -> Response:
    """The response of the service at the end of so many redirects."""

    def answer(asked: Asked) -> Answer:
        hop = asked.query.count("hop")
        if hop >= number:
            asked.query = asked.query.partition("&hop")[0].partition("hop")[0]
            return asked.served()
        scheme = "https" if asked.secure else "http"
        return moved(scheme + "://{host}{path}?{query}&hop")(asked)

    return answer


def limited(requests: int, seconds: float) -> Seed:
    """A web server that answers so many requests at most in so many seconds."""
    answered: list[float] = []

    def answer(asked: Asked) -> Answer | None:
        now = time.monotonic()
        if sum(now - at < seconds for at in answered) >= requests:
            return says(503, "<html>503 Service Temporarily Unavailable")(asked)
        answered.append(now)
        return None

    return web(answer)


def delaying(seconds: float) -> Seed:
    """A web server that lets one request pass in so many seconds, and others wait."""
    lock, free = threading.Lock(), [0.0]

    def answer(_: Asked) -> Answer | None:
        with lock:
            free[0] = now = max(free[0] + seconds, time.monotonic())
        time.sleep(max(now - time.monotonic(), 0))
        return None

    return web(answer)


# --- Worlds of tables -------------------------------------------------------------------

# What is not data: of the mistake with this name, with a file and without.
SEEDS: dict[str, Seed] = {
    "Autodiscover by port 80 alone, which redirects to http": by_http_alone("http:"),
    **dict.fromkeys(
        (
            "a misspelt server that the name server refuses to tell of",
            "a leftover MX record that the name server refuses to tell of",
        ),
        refusing,
    ),
    **dict.fromkeys(
        (
            "a zone of yesterday, whose server the zone's own NS records still name",
            "a delegation to other name servers than the zone names",
        ),
        half_moved,
    ),
    **dict.fromkeys(
        (
            "a web site with another site's certificate, which Outlook asks first",
            "a wildcard record that leads Outlook to a bad certificate, and no file",
        ),
        another_site,
    ),
    "a document at a path that no client asks for": misplaced(
        f"{DOMAIN}/.well-known/mail/config-v1.1.xml"
    ),
    "a document whose name an editor has given another ending, and no file": misplaced(
        f"autoconfig.{DOMAIN}{CONFIG}.txt"
    ),
    "a document at a host that no client asks, and no file": misplaced(
        f"mail.{DOMAIN}{WELL_KNOWN}"
    ),
    "Autodiscover's host is an alias at a provider that mail has left, and no file": (
        old_office
    ),
    "a forwarding service without a certificate for the name": forwarding,
    "phones alone are led to an ActiveSync that is gone": (
        lambda here: setattr(here.front, "answer", for_phones)
    ),
    **dict.fromkeys(
        (
            "a calendar's URL without the slash at its end",
            "a calendar's URL that is answered with two slashes alone",
        ),
        lambda here: dav(here, with_slash_alone),
    ),
    "a profile that leads to a calendar's former path, and no file": (
        lambda here: dav(here, at_the_root)
    ),
    "a server for files in place of a calendar that no document lists, and no file": (
        lambda here: dav(here, says(207, NO_PERSON, Content_Type="text/xml"))
    ),
    "a redirect to a script that loses the query": web(by_script),
    "a parking page at the old IPv6 address of the web host": at_old_ipv6(page("soon")),
    "another site at the old IPv6 address, which knows no such path, and no file": (
        at_old_ipv6(says(404, "Not Found"))
    ),
    "TLS within TLS": mail("imap", 993, tls_in_tls, good(IMAP_NAME)),
    "a server behind a proxy for TLS that says nothing": mail(
        "smtp", 465, lambda connection: connection.recv(10), good(SMTP_NAME)
    ),
    "a name that is delegated to a server without it": lame,
    "a server that limits requests too much": limited(4, 4),
    "a relative redirect": web(relative),
    "a connection that is closed without a response": instead_of_web(
        lambda connection: connection.recv(4096), certified(*WEB_NAMES, f"www.{DOMAIN}")
    ),
    "a slash appended to every path": web(slashed),
    "an SSH server at the port of the web": instead_of_web(
        says_first("SSH-2.0-OpenSSH_9.2p1 Debian-2")
    ),
    "somebody's own user name, where Outlook alone is served": web(says(404)),
    "a profile that was changed": signed("sign.test", days=90, is_broken=True),
    "a profile whose signer has ended": signed("old-sign.test", days=-3),
    "a profile whose signer ends soon": signed("end-sign.test", days=5),
    "an alias of somebody else's web host": someone_elses,
    "a wildcard record that leads to the web site": wildcard,
    "port 53 shut by TCP": lambda here: here.name_server("127.0.1.60", truncated),
    "a name server that drops AAAA": dropping_aaaa,
    "a web host of which one address hangs up": hang_up_at_one,
    "TLS 1.1": by_nginx("ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;"),
    "a refused handshake": by_nginx("ssl_reject_handshake on;"),
    "http at the port of https": instead_of_web(says_first("HTTP/1.1 400 Bad Request")),
    "a web server behind TLS at the port of IMAPS": mail(
        "imap", 993, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), good(IMAP_NAME)
    ),
    "a web proxy before imap": web_proxy,
    "imap asks clients for certificates": wants_client_certificate("imap", 993),
    "smtp asks clients for certificates": wants_client_certificate("smtp", 465),
    "autoconfig asks clients for certificates": wants_client_certificate(
        "autoconfig", 443
    ),
    "a calendar that nothing leads to": without_way_to_calendar,
}


def make(here: World, name: str, row: Mapping[str, Any]) -> None:
    """Make the world of a row of a table (see check_mistakes.toml)."""
    seed = SEEDS.get(name) or SEEDS.get(name.removesuffix(", and no file"))
    if seed:
        seed(here)
    servers = row.get("mail", [])
    for server in servers if isinstance(servers, list) else [servers]:
        mail_server(here, **server)
        host, _ = server.get("at", ("imap", 993))
        lead(host, ELSEWHERE)(here)
    if "zone" in row:
        text = records(here, **row["zone"])
        if BIND in row.get("options", ()):
            here.bind.load("", text)
        else:
            here.names.serve(text)
    if "name_server" in row:
        here.name_server(row["options"][1], failing(**row["name_server"]))
    if "name_servers" in row:
        name_servers(here, **row["name_servers"])
    if "only_ipv6" in row:
        only_ipv6(here, row["only_ipv6"])
    if "web" in row:
        at_web(certified(*WEB_NAMES, f"www.{DOMAIN}", **row["web"]))(here)
    if answer := response(row):
        let_answer(here, row, answer)


# Where another server answers, by the `when` of a row.
SERVERS: dict[str, Callable[[World, Response], None]] = {
    "at the hoster": hoster,
    "at another calendar": dav,
    "in the ISP database": in_ispdb,
    "at one of two addresses": at_two_addresses,
}


def let_answer(here: World, row: Mapping[str, Any], answer: Response) -> None:
    """Let the requests of the row get a response."""
    place = row.get("when", "")
    paths = (row["path"],) if "path" in row else row.get("paths", ANYWHERE)
    if "led_to" in row:
        led(here, paths, row["led_to"], answer)
    elif place in SERVERS:
        SERVERS[place](here, answer)
    elif place:
        requested(place, answer)(here)
    elif "agent" in row:
        when(lambda asked: re.search(row["agent"], asked.agent), answer)(here)
    else:
        when(lambda asked: asked.path in paths, answer)(here)


def response(row: Mapping[str, Any]) -> Response | None:
    """Return the response that the row describes, or None."""
    headers = row.get("headers", {})
    if "page" in row:
        return page(row["page"])
    if "reply" in row:
        return reply(row["reply"], row.get("body", "no"), headers)
    if "sent_as" in row:
        return lambda asked: (row["sent_as"], *asked.served()[1:])
    if "to" in row:
        return moved(row["to"])
    if "delay" in row:
        return delayed(row["delay"])
    if "redirects" in row:
        return by_hops(row["redirects"])
    if row.keys() & {"edit", "change", "headers"}:
        change = CHANGES.get(row.get("change", ""))
        return edited(row.get("edit", {}), change, **headers)
    return None


def checked(
    here: World, row: Mapping[str, Any], folder: Path, *, with_file: bool
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
        return here.check(*options, file=file)
