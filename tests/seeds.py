"""How mistakes are made in a world: by its web server, its zone, or other servers."""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import threading
import time
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
from paper import Shown, World
from strangers import Behaviour, answering
from support import certificate_for, open_folder
from world import (
    ADDRESSES,
    DEAD,
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


def tables(file: str) -> dict[str, Any]:
    """Return what a TOML file beside the tests holds."""
    return tomllib.loads(Path(__file__).with_name(file).read_text(encoding="utf-8"))


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
    "below /mail": lambda asked: asked.path.startswith("/mail/"),
    "always": lambda asked: True,
    "without an address": lambda asked: not asked.query and "config-v1" in asked.path,
    "the first URL without an address": lambda asked: (
        not asked.query and asked.path == CONFIG
    ),
    "the first URL by http": lambda asked: asked.path == CONFIG and not asked.secure,
    "at autoconfig": lambda asked: asked.host.startswith("autoc"),
    "for a mailbox that does not exist": lambda asked: "EVOLUTIONUSER" in asked.query,
    "for a domain of nobody": lambda asked: "unknown.invalid" in asked.query,
    "any path of config-v1.1.xml": lambda asked: "config-v1" in asked.path,
    "any config-v1.1.xml": lambda asked: asked.path in ANYWHERE,
    "any but config-v1.1.xml": lambda asked: asked.path not in ANYWHERE,
    "a profile": lambda asked: "mobileconfig" in asked.path,
    "Autodiscover": lambda asked: "autodiscover" in asked.path.lower(),
    "POST": lambda asked: asked.method == "POST",
    "an @ in the query": lambda asked: "@" in asked.query,
    "Autodiscover by https": lambda asked: asked.path == POX and asked.secure,
}
# Other bodies, by the `change` of a mistake.
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
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


def at_two_addresses(answer: Response) -> Seed:
    """Let another address of the web host answer requests for settings otherwise."""

    def seed(here: World) -> None:
        other = here.web(ELSEWHERE, here.certificate(*WEB_NAMES))
        other.answer = lambda asked: answer(asked) if asked.path in ANYWHERE else None
        add = f"AUTOCONFIG IN A {WEB}\nAUTOCONFIG IN A {ELSEWHERE}\n"
        zone(drop="autoconfig", add=add)(here)

    return seed


_POP_NAME = {IMAP_NAME: f"pop.{DOMAIN}"}
AT_TWO_ADDRESSES: dict[str, Seed] = {
    f"{what} document at one of the web host's addresses{file}": at_two_addresses(
        answer
    )
    for what, answer in (("another", edited(_POP_NAME)), ("no", says(404)))
    for file in ("", ", and no file")
}


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


_BAD = ("REFUSED", "SERVFAIL", "dead")


def name_servers(
    resolver: str = "", first: str = "", second: str = "", by: str = ""
) -> Seed:
    """Two name servers of the zone; each has *by* for a text, or is one of _BAD."""

    def seed(here: World) -> None:
        head = f"$ORIGIN {DOMAIN}.\n"
        for number in (1, 2):
            head += f"@ IN NS ns{number}\nns{number} IN A 127.0.1.7{number}\n"
        text = ADDRESSES + here.zone + head
        here.names.serve(text.replace(resolver, "") if resolver else text)
        for number, wrong in ((1, first), (2, second)):
            assert wrong in (*_BAD, "") or wrong in text
            respond: Respond = Zone(text.replace(wrong, by) if wrong else text).respond
            if wrong in _BAD[:2]:
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


def shown(code: int, *chain: str, **more: Any) -> Certify:
    """The certificate of imap with an error of OpenSSL; *chain*: "subject < issuer"."""
    links = [[((("commonName", one),),) for one in link.split(" < ")] for link in chain]
    sent = [{"subject": subject, "issuer": issuer} for subject, issuer in links]
    sent[-1] |= more
    names = () if chain[0].startswith("imap.") else (IMAP_NAME,)
    ends = datetime.now(UTC) + timedelta(days=90)
    return lambda here: Shown(names, ends, code, tuple(sent))


def old_client(*messages: int, wants_staple: bool = False) -> Certify:
    """A good certificate, and what a client of TLS 1.2 gets."""
    ends = datetime.now(UTC) + timedelta(days=90)
    every = Shown((IMAP_NAME, *WEB_NAMES), ends)
    return lambda here: replace(
        every, messages=frozenset(messages), wants_staple=wants_staple
    )


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


SSH = instead_of_web(says_first("SSH-2.0-OpenSSH_9.2p1 Debian-2"))


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


def imap(capability: str, certificate: Certify | None = None) -> Seed:
    certificate = certificate or good(IMAP_NAME)
    return mail("imap", 993, offering(capability), certificate)


def another_imap(here: World) -> None:
    """An IMAP server that works, at another address under another name."""
    shown = here.certificate(f"new.{DOMAIN}")
    here.listen(ELSEWHERE, 993, offering("AUTH=PLAIN"), shown)


def greets(text: str, host: str = "imap", port: int = 993) -> Seed:
    return mail(host, port, says_first(text), good(f"{host}.{DOMAIN}"))


def late(behave: Behaviour, seconds: float) -> Behaviour:
    """Return the server with a greeting that takes some seconds."""

    def later(*connection: Any) -> None:
        time.sleep(seconds)
        behave(*connection)

    return later


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


def web_proxy(here: World) -> None:
    here.web(ELSEWHERE, here.certificate(IMAP_NAME)).answer = says(
        403, Server="cloudflare"
    )
    lead("imap", ELSEWHERE)(here)


LMTP = "500 5.5.1 Command unrecognized, use LHLO"


def refuses(port: int, reply: str) -> Seed:
    """A submission server with this reply to EHLO, with TLS at once or by STARTTLS."""
    behave = talks("220 smtp", ("EHLO", reply))
    return mail("smtp", port, behave, good(SMTP_NAME), at_once=port == 465)


def ends(*lines: str) -> Behaviour:
    """Return a server that greets, says one line to each that it gets, and hangs up."""

    def behave(connection: socket.socket) -> None:
        for number, line in enumerate(lines):
            if number:
                connection.recv(4096)
            connection.sendall(f"{line}\r\n".encode())

    return behave


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


# Where the ISP database is, as options of `check`.
ISPDB = ("--connect-to", f"live.thunderbird.net:443:{ELSEWHERE}:443")


def in_ispdb(answer: Response) -> Seed:
    """The ISP database, which knows the domain; *answer* changes its document."""

    def known(asked: Asked) -> Answer:
        asked.host, asked.path = f"autoconfig.{DOMAIN}", CONFIG
        return answer(asked)

    def seed(here: World) -> None:
        shown = here.certificate("live.thunderbird.net")
        here.web(ELSEWHERE, shown).answer = known

    return seed


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
        return moved(f"{scheme}://{asked.url}?{asked.query}&hop")(asked)

    return answer


def shielded(agent: str, answer: Response) -> Seed:
    """A firewall that answers requests with this word in their User-Agent."""
    return when(lambda asked: agent in asked.agent, answer)


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


# --- Mistakes that are not data ---------------------------------------------------------

_SECONDS = {
    "the digest of before": ("d=", "d=x"),
    "no web host": ("autoconfig IN CNAME", "xautoconfig IN CNAME"),
    "the old, dead address of imap": (f"imap IN A {IMAP}", f"imap IN A {DEAD}"),
}

SEEDS: dict[str, Seed] = {
    **{
        f"a secondary with {what}{file}": name_servers(second=old, by=new)
        for what, (old, new) in _SECONDS.items()
        for file in ("", ", and no file")
    },
    **AT_TWO_ADDRESSES,
    **{
        f"{what} that the name server refuses to tell of{file}": refusing
        for what in ("a misspelt server", "a leftover MX record")
        for file in ("", ", and no file")
    },
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
    **dict.fromkeys(
        (
            "two servers that both work, and no file",
            "two servers that both work, where the MX host agrees with one, and no file",
            "an old server in SRV that works, and the rest agrees, and no file",
            "an old server that works in all documents, which the MX host contradicts, "
            "and no file",
        ),
        another_imap,
    ),
    "a redirect from https to http": when(
        lambda asked: asked.path == CONFIG and asked.secure, to_http
    ),
    "a server that limits requests too much": limited(4, 4),
    "a server that limits requests too much, and no file": limited(4, 4),
    "a login wall by a redirect": led(
        ANYWHERE, "https://{host}/login?next={path}", page("Sign in")
    ),
    "a redirect loop": when(
        lambda asked: asked.path in ANYWHERE and asked.secure, loop
    ),
    "a relative redirect": web(relative),
    "a slow answer": at(CONFIG, delayed(3.2)),
    "a connection that is closed without a response": instead_of_web(
        lambda connection: connection.recv(4096), certified(*WEB_NAMES, f"www.{DOMAIN}")
    ),
    "a slash appended to every path": web(slashed),
    "a slash appended to every path, and no file": web(slashed),
    "an SSH server at the port of the web": SSH,
    "an SSH server at the port of the web, and no file": SSH,
    "LMTP at the port of submission": refuses(465, LMTP),
    "LMTP at the port of submission, and no file": refuses(465, LMTP),
    "a firewall that refuses okhttp": shielded("okhttp", says(403)),
    "a firewall that refuses okhttp, and no file": shielded("okhttp", says(403)),
    "a firewall that refuses several programs": when(
        lambda asked: re.search("okhttp|Microsoft|gnome", asked.agent), says(403)
    ),
    "a firewall that refuses Thunderbird": shielded("Thunderbird", says(403)),
    "a firewall that refuses Thunderbird, and no file": shielded(
        "Thunderbird", says(403)
    ),
    "a firewall that refuses Outlook": shielded("Microsoft", says(406)),
    "a firewall that shows Evolution a page": shielded(
        "Evolution", page("Just a moment... checking your browser")
    ),
    "an answer after Thunderbird has given up": when(
        lambda asked: asked.path in ANYWHERE, delayed(5.2)
    ),
    "an answer after Thunderbird has given up, and no file": when(
        lambda asked: asked.path in ANYWHERE, delayed(5.2)
    ),
    "more redirects than Thunderbird follows": when(
        lambda asked: asked.path in ANYWHERE, by_hops(9)
    ),
    "more redirects than Thunderbird follows, and no file": when(
        lambda asked: asked.path in ANYWHERE, by_hops(9)
    ),
    "more redirects than okhttp follows": when(
        lambda asked: asked.path in ANYWHERE, by_hops(21)
    ),
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
    "an intermediate certificate that has ended": imap(
        "", shown(10, "x < R3", "R3 < X1", notAfter="Jan  1 00:00:00 2020 GMT")
    ),
    "the intermediate certificate of another authority": imap(
        "", shown(20, "x < R12", "R3 < X1")
    ),
    "an authority that has ended": imap("", shown(10, "x < R3", "R3 < X1")),
    "the root in place of the intermediate certificate": imap(
        "", shown(21, "x < R3", "X1 < X1")
    ),
    "no intermediate certificate, which has a URL": imap(
        "", shown(20, "x < R3", caIssuers=("http://r3.i.example.org/",))
    ),
    "a certificate with a common name only": imap("", shown(0, f"{IMAP_NAME} < X1")),
    "a certificate for clients": imap("", shown(26, "x < X1")),
    "a key of 1024 bits": imap("", shown(66, "x < X1")),
    "a certificate that is not valid yet": imap(
        "", shown(9, "x < X1", notBefore="Jan  1 00:00:00 2040 GMT")
    ),
    "TLS 1.3 alone at imap": imap("AUTH=PLAIN", old_client(-70)),
    "TLS 1.3 alone at the web": at_web(old_client(-70)),
    "no staple at imap": imap("AUTH=PLAIN", old_client(2, 11, 14, wants_staple=True)),
    "no staple at the web": at_web(old_client(2, 11, 14, wants_staple=True)),
    "EHLO is refused for the client's name": refuses(
        465, "504 5.5.2 <[127.0.0.1]>: Helo command rejected: need fully-qualified"
    ),
    "EHLO is refused by a block list": refuses(
        465, "550 5.7.1 Service unavailable; client blocked using zen.spamhaus.org"
    ),
    "EHLO is answered by 421": refuses(587, "421 4.3.2 Server shutting down"),
    "a firewall masks STARTTLS": refuses(587, "250-here\r\n250-XXXXXXXA\r\n250 SIZE"),
    "IMAP says BYE to CAPABILITY": mail(
        "imap", 993, ends("* OK hello", "* BYE Internal error"), good(IMAP_NAME)
    ),
    "a mail server that hangs up at once": mail(
        "imap", 993, lambda connection: None, good(IMAP_NAME)
    ),
    "a web server at the port of IMAPS": greets("HTTP/1.1 400 Bad Request"),
    "a greeting that comes late": mail(
        "imap", 993, late(offering("AUTH=PLAIN"), 0.9), good(IMAP_NAME)
    ),
    "a greeting that comes late, and no file": mail(
        "smtp",
        465,
        late(talks("220 smtp", ("EHLO", "250 AUTH PLAIN")), 0.9),
        good(SMTP_NAME),
    ),
    "a web server behind TLS at the port of IMAPS": mail(
        "imap", 993, answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), good(IMAP_NAME)
    ),
    "a web proxy before imap": web_proxy,
    "a web proxy before imap, and no file": web_proxy,
    "a wildcard certificate for a name below another": imap("", good(f"*.{IMAP_NAME}")),
    "STARTTLS is refused for want of a key": mail(
        "smtp",
        587,
        talks(
            "220 smtp",
            ("EHLO", "250 STARTTLS"),
            ("STARTTLS", "454 4.7.0 TLS not available due to local problem"),
        ),
    ),
    "an SMTP server that turns away for the reverse name": greets(
        "450 4.7.25 Client host rejected: cannot find your hostname", "smtp", 465
    ),
    "STARTTLS at the port of SMTP over TLS": mail(
        "smtp",
        465,
        talks(
            "220 smtp",
            ("EHLO", "250 STARTTLS"),
            inside=talks("", ("EHLO", "250 AUTH PLAIN")),
        ),
        good(SMTP_NAME),
        at_once=False,
    ),
    "a POP3 server that turns away": mail(
        "imap",
        995,
        says_first("-ERR [SYS/TEMP] Try again later"),
        good(IMAP_NAME),
    ),
    "a greeting before STARTTLS that comes late": mail(
        "smtp",
        587,
        late(
            talks(
                "220 smtp",
                ("EHLO", "250 STARTTLS"),
                inside=talks("", ("EHLO", "250 AUTH PLAIN")),
            ),
            0.9,
        ),
        good(SMTP_NAME),
        at_once=False,
    ),
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
