"""Mistakes that people make, one at a time, in a world that is right but for it.

Each row: the mistake, what `check` must say of it, and where. What is said must be the
first thing that is said: a finding below others that follow from the same cause misleads.
"""

from __future__ import annotations

import gzip
import os
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest
import trustme
from real import (
    ADDRESSES,
    BIND,
    DOMAIN,
    HOSTER,
    IMAP,
    OTHER_NAMES,
    PROXY,
    SITE,
    SMTP,
    TOML,
    USER,
    WEB,
    WEB_HOSTS,
    Answer,
    Asked,
    Real,
    Web,
    front,
    real,
    real_nginx,
    stub,
)

pytestmark = pytest.mark.world
CONFIG = "/mail/config-v1.1.xml"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
ANYWHERE = (CONFIG, WELL_KNOWN, "/.well-known/mail-v1.xml")
POX = "/autodiscover/autodiscover.xml"
ELSEWHERE = "127.0.1.1"  # of servers that are wrong
DEAD = "127.0.1.9"  # where nothing listens


@pytest.fixture(scope="module")
def world() -> Iterator[Real]:
    with pytest.MonkeyPatch.context() as patch, real() as world:
        patch.setenv("SSL_CERT_FILE", str(world.folder / "ca.pem"))
        patch.delenv("AUTOCONFIG_FILE", raising=False)
        world.zone = world.records(world.folder / "true.toml")
        yield world


@pytest.fixture
def here(world: Real) -> Iterator[Real]:
    """The world as it should be, for one test."""
    world.names.load(world.zone)
    world.front.answer = lambda asked: None
    with ExitStack() as stack:
        world.stack = stack
        yield world


Seed = Callable[[Real], Any]


class Mistake(NamedTuple):
    """How it is made, and what must be said of it, where, to whose harm."""

    seed: Seed
    seen: str
    at: str
    clients: str = ""  # one that must be named, where not all are
    status: str = "failure"
    file: str | None = TOML  # None: checked without one
    options: tuple[str, ...] = ()


def told(here: Real, mistake: Mistake, tmp_path: Path) -> list[dict[str, Any]]:
    file = None
    if mistake.file is not None:
        file = tmp_path / "autoconfig.toml"
        file.write_text(mistake.file)
    options = mistake.options
    subject = USER if not options or not options[0].endswith(".test") else options[0]
    rest = [it for it in options if it != subject]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        if file is None:
            rest = ["--allow-private", *rest]
        report = here.check(subject, *rest, file=file)
    found: list[dict[str, Any]] = report["findings"]
    return found


# --- Answers of a web server --------------------------------------------------------------


def web(answer: Web) -> Callable[[Real], None]:
    def seed(here: Real) -> None:
        here.front.answer = answer

    return seed


def where(
    path: str, answer: Callable[[Asked], Answer], host: str = ""
) -> Callable[[Real], None]:
    """An answer for one path, at one host or all."""

    def decide(asked: Asked) -> Answer | None:
        if asked.path == path and asked.host.startswith(host):
            return answer(asked)
        return None

    return web(decide)


def says(status: int, body: str = "no", **headers: str) -> Callable[[Asked], Answer]:
    named = {"Content-Type": "text/plain"}
    named |= {key.replace("_", "-"): value for key, value in headers.items()}
    return lambda asked: (status, named, body.encode())


def to_front_page(asked: Asked) -> Answer | None:
    """As a site does that wants everybody at www."""
    if asked.host.startswith("www."):
        return page("welcome")(asked)
    return says(301, Location=f"https://www.{DOMAIN}/")(asked)


def annas(asked: Asked) -> Answer:
    """Autodiscover's answer as somebody wrote it by hand, for herself."""
    status, headers, body = asked.served()
    name = b"<LoginName>anna@example.test<"
    return status, headers, re.sub(b"<LoginName>[^<]*<", name, body)


def to_nothing(asked: Asked) -> Answer | None:
    """The settings' paths go to www, which has never heard of them."""
    if asked.path not in ANYWHERE and asked.path != POX:
        return None
    if asked.host.startswith("www."):
        return says(404)(asked)
    return says(301, Location=f"https://www.{DOMAIN}{asked.path}")(asked)


def _packed(pack: Callable[[bytes], bytes], asked: Asked) -> Answer:
    status, headers, body = asked.served()
    return status, headers, pack(body)


def page(text: str) -> Callable[[Asked], Answer]:
    body = f"<!DOCTYPE html><html><head><title>Home</title></head><body>{text}</body>"
    return says(200, body, Content_Type="text/html")


def edited(*pairs: tuple[str, str], **headers: str) -> Callable[[Asked], Answer]:
    """What the service says, with other words in it."""

    def answer(asked: Asked) -> Answer:
        status, named, body = asked.served(**headers)
        for old, new in pairs:
            body = body.replace(old.encode(), new.encode())
        return status, named, body

    return answer


def moved(target: str, status: int = 302) -> Callable[[Asked], Answer]:
    return says(status, Location=target)


def without_address(answer: Callable[[Asked], Answer]) -> Web:
    def decide(asked: Asked) -> Answer | None:
        is_it = asked.path == CONFIG and not asked.query
        return answer(asked) if is_it else None

    return decide


def only_for(form: str, answer: Callable[[Asked], Answer]) -> Web:
    def decide(asked: Asked) -> Answer | None:
        return answer(asked) if form in asked.query and asked.path == CONFIG else None

    return decide


def login_wall(asked: Asked) -> Answer | None:
    if asked.path in ANYWHERE:
        return moved(f"https://{asked.host}/login?next={asked.path}")(asked)
    return page("Sign in")(asked) if asked.path == "/login" else None


def loop(asked: Asked) -> Answer | None:
    is_it = asked.path in ANYWHERE and asked.secure
    return moved(f"https://{asked.host}{asked.path}?x")(asked) if is_it else None


def unencrypted(asked: Asked) -> Answer | None:
    if asked.path == CONFIG and asked.secure:
        return moved(f"http://{asked.host}{CONFIG}?{asked.query}")(asked)
    return None


def relative(asked: Asked) -> Answer | None:
    if asked.path == CONFIG and asked.secure:
        return moved(f"/moved{CONFIG}?{asked.query}")(asked)
    if asked.path == f"/moved{CONFIG}":
        asked.path = CONFIG
        return asked.served()
    return None


def everywhere(answer: Callable[[Asked], Answer]) -> Callable[[Real], None]:
    def decide(asked: Asked) -> Answer | None:
        return answer(asked) if asked.path in ANYWHERE else None

    return web(decide)


def packed(asked: Asked) -> Answer:
    status, headers, body = asked.served(Content_Encoding="gzip")
    return status, headers, gzip.compress(body)


def slowly(asked: Asked) -> Answer:
    time.sleep(3.2)
    return asked.served()


OTHER = ("imap.example.test", "pop.example.test")
AT_CONFIG = f"https://autoconfig.{DOMAIN}{CONFIG}"
AT_WELL_KNOWN = f"https://{DOMAIN}{WELL_KNOWN}"
ANSWERS = {
    "without an address the server fails": Mistake(
        web(without_address(says(500))),
        "without an address the server answers 500",
        AT_CONFIG,
        "Kontact",
        "warning",
    ),
    "without an address the server fails, everywhere": Mistake(
        web(
            lambda it: (
                says(500)(it) if not it.query and "config-v1" in it.path else None
            )
        ),
        "without an address the server answers 500",
        AT_CONFIG,
        "Kontact",
    ),
    "without an address nothing is known": Mistake(
        web(
            lambda it: (
                says(404)(it) if not it.query and "config-v1" in it.path else None
            )
        ),
        "without an address the server answers 404",
        AT_CONFIG,
        "K-9",
    ),
    "without an address an empty answer": Mistake(
        web(
            lambda it: (
                says(200, "")(it) if not it.query and "config-v1" in it.path else None
            )
        ),
        "without an address the server gives an empty answer",
        AT_CONFIG,
        "K-9",
    ),
    "without an address another document": Mistake(
        web(without_address(edited(OTHER))),
        "incoming[0].hostname is pop.example.test, the file says imap.example.test",
        AT_CONFIG,
        "Kontact",
    ),
    "without an address another document, and no file": Mistake(
        web(without_address(edited(OTHER))),
        "asked with another form of the address",
        AT_CONFIG,
        file=None,
    ),
    "a template's domains": Mistake(
        everywhere(edited(("<domain>example.test<", "<domain>example.org<"))),
        "it lists other domains than example.test: example.org",
        AT_CONFIG,
        status="warning",
    ),
    "http has another document than https": Mistake(
        web(lambda it: None if it.secure or it.path != CONFIG else edited(OTHER)(it)),
        "pop.example.test, but imap.example.test at https://autoconfig.example.test",
        f"http://autoconfig.{DOMAIN}",
        file=None,
    ),
    "the domain itself has another document": Mistake(
        where(WELL_KNOWN, edited(OTHER)),
        "incoming[0].hostname is pop.example.test",
        AT_WELL_KNOWN,
    ),
    "the domain itself has another document, and no file": Mistake(
        where(WELL_KNOWN, edited(OTHER)),
        "pop.example.test, but imap.example.test at https://autoconfig",
        AT_WELL_KNOWN,
        file=None,
    ),
    "a redirect from https to http": Mistake(
        web(unencrypted),
        "it redirects from https to http",
        AT_CONFIG,
        status="warning",
    ),
    "a login wall by 401": Mistake(
        everywhere(says(401, WWW_Authenticate="Basic")),
        "status 401: it wants a login",
        AT_CONFIG,
    ),
    "a login wall by a redirect": Mistake(web(login_wall), "a login page", AT_CONFIG),
    "a login form": Mistake(
        everywhere(page('<form><input type="password"></form>')),
        "a login page",
        AT_CONFIG,
    ),
    "a CSRF check": Mistake(
        where(POX, says(400, "The CSRF token is missing.")),
        "a CSRF check refuses it",
        POX,
        "Outlook",
    ),
    "TRUSTED_HOSTS": Mistake(
        web(
            lambda it: (
                says(400, "Bad Request")(it) if it.host.startswith("autoc") else None
            )
        ),
        "the server does not take the name that is asked",
        AT_CONFIG,
        status="warning",
    ),
    "a parked domain": Mistake(
        everywhere(page("This domain is parked. Buy this domain!")),
        "a parked domain's page",
        AT_CONFIG,
    ),
    "a default page": Mistake(
        everywhere(page("<h1>Welcome to nginx!</h1>")),
        "the web server's default page",
        AT_CONFIG,
    ),
    "bot protection": Mistake(
        everywhere(page("Just a moment... checking your browser")),
        "wants a browser (bot protection)",
        AT_CONFIG,
    ),
    "a site that answers every path": Mistake(
        everywhere(page("<div id=app></div>")), "a web page (“Home”)", AT_CONFIG
    ),
    "an old answer from a cache": Mistake(
        everywhere(edited(OTHER, Age="86400", X_Cache="HIT")),
        "it comes from a cache, 86400 seconds old",
        AT_CONFIG,
    ),
    "a content type of plain text": Mistake(
        everywhere(edited(Content_Type="text/plain")),
        "content type text/plain",
        AT_CONFIG,
        "Thunderbird",
    ),
    "compressed unasked": Mistake(
        everywhere(packed),
        "compressed unasked (gzip)",
        AT_CONFIG,
        "Delta Chat",
        "warning",  # it goes on to Autodiscover
    ),
    "status 204": Mistake(
        everywhere(says(204, "")), "an empty answer (status 204)", AT_CONFIG
    ),
    "an empty answer": Mistake(everywhere(says(200, "")), "an empty answer", AT_CONFIG),
    "an empty 404": Mistake(
        where(CONFIG, says(404, "")),
        "status 404 with an empty body",
        AT_CONFIG,
        "Kontact",
    ),
    "a redirect loop": Mistake(web(loop), "redirects without end", AT_CONFIG),
    "a redirect to the inside": Mistake(
        everywhere(moved("http://backend:8000/mail/")),
        "backend has no address",
        AT_CONFIG,
    ),
    "a service that is not running": Mistake(
        everywhere(says(502, "Bad Gateway")), "the proxy gets no answer", AT_CONFIG
    ),
    "a faulty file of the service": Mistake(
        everywhere(says(503)), "status 503", AT_CONFIG
    ),
    "a service that fails": Mistake(
        everywhere(says(500)), "status 500: it fails at the request", AT_CONFIG
    ),
    "a rule that forbids dot files": Mistake(
        everywhere(says(403)), "status 403: it is forbidden", AT_CONFIG
    ),
    "a limit on requests": Mistake(
        everywhere(says(429)), "too many requests", AT_CONFIG
    ),
    "static files refuse POST": Mistake(
        where(POX, says(405, Allow="GET")),
        "the method is refused (it takes GET)",
        POX,
        "Outlook",
    ),
    "a relative redirect": Mistake(
        web(relative), "which is no whole URL", AT_CONFIG, "Delta Chat", "warning"
    ),
    "a slow answer": Mistake(
        where(CONFIG, slowly),
        "3 seconds to answer",
        "autoconfig",
        status="warning",
        options=("--timeout", "6"),
    ),
    "answers by mailbox": Mistake(
        web(lambda it: says(404)(it) if "EVOLUTIONUSER" in it.query else None),
        "for another local part of the domain the server answers otherwise",
        AT_CONFIG,
        "Evolution",
        "warning",  # it goes on to SRV
    ),
}

# --- Documents ----------------------------------------------------------------------------

EXTRA = (
    '<incomingServer type="imap"><hostname>pop.example.test</hostname><port>993</port>'
)
EXTRA += (
    "<socketType>SSL</socketType><authentication>password-cleartext</authentication>"
)
EXTRA += "<username>%EMAILADDRESS%</username></incomingServer><outgoing"
POP3 = EXTRA.replace('"imap"', '"pop3"').replace("two.", "pop.").replace("993", "995")
POP3 = POP3.removesuffix("<outgoing")


def document(
    seen: str, *pairs: tuple[str, str], clients: str = "", **more: Any
) -> Mistake:
    return Mistake(everywhere(edited(*pairs)), seen, AT_CONFIG, clients, **more)


DOCUMENTS = {
    "a byte order mark": document(
        "a byte order mark",
        ("<?xml", "\ufeff<?xml"),
        clients="Evolution",
        status="warning",
    ),
    "an attribute at a server": document(
        "has an attribute beside type",
        ('type="imap"', 'type="imap" prio="1"'),
        clients="Evolution",
        status="warning",
    ),
    "an id that is no host name": document(
        "the id of <emailProvider> is no host name",
        ('emailProvider id="example.test"', 'emailProvider id="My Mail"'),
        clients="K-9",
    ),
    "ssl in lower case": document(
        "imap imap.example.test:993 plain would be set up",
        ("<socketType>SSL", "<socketType>ssl"),
        clients="Evolution",
    ),
    "white space in a host name": document(
        "which is no host name",
        ("<hostname>imap", "<hostname> imap"),
        clients="Kontact",
    ),
    "white space in a port": document(
        "for a port, and it drops", ("<port>993<", "<port> 993 <"), clients="K-9"
    ),
    "no user name": document(
        "no username", ("<username>%EMAILADDRESS%</username>", ""), clients="K-9"
    ),
    "a reference in a user name": document(
        "username is %EMAILADDRESS%&x", ("%EMAILADDRESS%", "%EMAILADDRESS%&amp;x")
    ),
    "a placeholder in a host name": document(
        "it does not fill that in",
        ("<hostname>imap.example.test", "<hostname>imap.%EMAILDOMAIN%"),
        clients="GNOME",
    ),
    "somebody's own user name": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "anna@example.test"))),
        'the user name is "anna@example.test" for everybody',
        AT_CONFIG,
        file=None,
    ),
    "a placeholder that nobody knows": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "%EMAIL%"))),
        "%EMAIL%",
        AT_CONFIG,
        file=None,
    ),
    "somebody's own user name for Outlook": Mistake(
        where(POX, annas),
        'the user name is "anna@example.test" for everybody',
        POX,
        "Outlook",
        file=None,
    ),
    "somebody's own user name, where Outlook alone is served": Mistake(
        web(lambda it: annas(it) if it.path == POX else says(404)(it)),
        'the user name is "anna@example.test" for everybody',
        POX,
        "Outlook",
        file=None,
    ),
    "a login method for Outlook that no server offers": Mistake(
        where(POX, edited(("<SPA>off", "<SPA>on"))),
        "Outlook (classic) is told NTLM, the server offers LOGIN, PLAIN",
        f"imap imap.{DOMAIN}:993",
        "Outlook",
        file=None,
    ),
    "a template for Outlook that nobody filled in": Mistake(
        where(POX, edited(("<Server>imap.example.test", "<Server>{{ imap_host }}"))),
        "the server is called '{{ imap_host }}', which is no host name",
        POX,
        "Outlook",
        file=None,
    ),
    "another program's placeholder": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "$EMAILADDRESS$"))),
        'the user name is "$EMAILADDRESS$" for everybody',
        AT_CONFIG,
        file=None,
    ),
    "a document with a dead server, and no file": Mistake(
        everywhere(edited((">993<", ">143<"))),
        "what answers there does not speak TLS",
        f"imap imap.{DOMAIN}:143 SSL",
        clients="Thunderbird",
        file=None,
    ),
    "an old document from a cache": Mistake(
        where(CONFIG, edited((">993<", ">143<"), (">SSL<", ">STARTTLS<"), Age="99")),
        "incoming[0].socket_type is STARTTLS, the file says SSL; outgoing",
        AT_CONFIG,
    ),
    "a redirect to where there is nothing": Mistake(
        web(to_nothing),
        f"it redirects to https://www.{DOMAIN}{CONFIG}: status 404",
        AT_CONFIG,
        file=None,
    ),
    "a redirect to a dead host": Mistake(
        where(CONFIG, says(301, Location=f"https://dead.{DOMAIN}/x.xml")),
        f"it redirects to https://dead.{DOMAIN}/x.xml: ",
        AT_CONFIG,
        status="warning",  # the domain itself answers
        file=None,
    ),
    "bot protection by 403": Mistake(
        everywhere(
            says(403, "<title>Just a moment...</title>", cf_mitigated="challenge")
        ),
        "it wants a browser (bot protection)",
        AT_CONFIG,
    ),
    "a redirect of everything to the front page": Mistake(
        web(to_front_page),
        "the path is lost",
        AT_CONFIG,
        options=("--allow-private",),
    ),
    "POP3 first": document(
        "the first incomingServer is pop3",
        ('<incomingServer type="imap">', POP3 + '<incomingServer type="imap">'),
        clients="FairEmail",
        status="warning",  # it goes on to Autodiscover
        file=None,
    ),
    "two servers of a type": document(
        "imap pop.example.test:993 SSL would be set up, the file says imap imap",
        ("<outgoing", EXTRA),
        clients="Evolution",
    ),
    "two servers of a type, and no file": document(
        "of several imap servers it takes the last",
        ("<outgoing", EXTRA),
        clients="Evolution",
        file=None,
        status="warning",  # both of them work
    ),
    "an encrypted password that is not offered": Mistake(
        everywhere(edited(("password-cleartext", "password-encrypted"))),
        "password-encrypted is published, the server offers LOGIN, PLAIN",
        f"imap imap.{DOMAIN}:993",
        file=None,
    ),
    "OAuth2 alone": Mistake(
        everywhere(edited((">password-cleartext<", ">OAuth2<"))),
        "the imap server has no method that it knows (OAuth2)",
        AT_CONFIG,
        "Thunderbird",
        file=None,
    ),
    "a namespace": document(
        "namespace", ("<clientConfig", '<clientConfig xmlns="x:y"')
    ),
    "gzip that nothing says of": Mistake(
        everywhere(lambda it: _packed(gzip.compress, it)),
        "it is gzip, and no Content-Encoding says so",
        AT_CONFIG,
    ),
    "another coding than clients know": Mistake(
        everywhere(edited(Content_Encoding="br")),
        "it is compressed (br), which nobody asked for",
        AT_CONFIG,
    ),
    "UTF-16": Mistake(
        everywhere(lambda it: _packed(lambda xml: xml.decode().encode("utf-16"), it)),
        "it is UTF-16",
        AT_CONFIG,
    ),
    "a program's warning before the document": Mistake(
        everywhere(lambda it: _packed(lambda xml: b"<br />Warning: x\n" + xml, it)),
        "it begins with “<br />Warning: x",
        AT_CONFIG,
    ),
    "no XML": document("not XML: no element found", ("</clientConfig>", "")),
    "no outgoing server": document(
        "no outgoing server", ('type="smtp"', 'type="none"'), clients="Thunderbird"
    ),
    "a port out of range": document(
        "'99300' for a port", ("<port>993<", "<port>99300<")
    ),
    "another document altogether": document(
        "no <clientConfig>", ("clientConfig", "feed"), clients="Thunderbird"
    ),
    "STARTTLS for SSL": document(
        "socket_type is STARTTLS, the file says SSL",
        ("<socketType>SSL", "<socketType>STARTTLS"),
    ),
    "a user name without the domain": document(
        "username is %EMAILLOCALPART%", ("%EMAILADDRESS%", "%EMAILLOCALPART%")
    ),
    "no encryption": document(
        "socket_type is plain", ("<socketType>SSL", "<socketType>plain")
    ),
}

# --- Outlook, PACC, Apple -----------------------------------------------------------------

PACC = "/.well-known/user-agent-configuration.json"
PROFILE = "/mail/mobileconfig"
POX_ERROR = (
    '<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/'
    'responseschema/2006"><Response><Error><ErrorCode>600</ErrorCode></Error></Response>'
    "</Autodiscover>"
)


def signed(names: str, *, days: int, broken: bool = False) -> Callable[[Real], None]:
    def seed(here: Real) -> None:
        from flask_autoconfig.signing import Signer

        ends = datetime.now(UTC) + timedelta(days=days)
        certificate, key = here.certificate(names, not_after=ends)
        signer = Signer(certificate, key, None)

        def answer(asked: Asked) -> Answer:
            status, headers, body = asked.served()
            body = signer.sign(body)
            if broken:
                body = body.replace(b"imap.example.test", b"imap.example.tesd")
            return status, headers, body

        where(PROFILE, answer)(here)

    return seed


V2 = "/autodiscover/autodiscover.json"
V2_ELSEWHERE = says(
    200,
    '{"Protocol": "AutodiscoverV1", "Url": "https://elsewhere.example.test/a.xml"}',
    Content_Type="application/json",
)
FAMILIES = {
    "version 2 that leads elsewhere": Mistake(
        where(V2, V2_ELSEWHERE),
        "version 2 leads to https://elsewhere.example.test/a.xml",
        V2,
        "Outlook",
        status="warning",
    ),
    "a web page in the place of a profile": Mistake(
        web(lambda it: page("hello")(it) if "mobileconfig" in it.path else None),
        "a web page",
        PROFILE,
        "iPhone",
    ),
    "no profile": Mistake(
        web(lambda it: says(404)(it) if "mobileconfig" in it.path else None),
        "the file serves apple",
        PROFILE,
        "iPhone",
        status="warning",
    ),
    "no document for PACC": Mistake(
        where(PACC, says(404)), "the file serves pacc", PACC, "PACC", status="warning"
    ),
    "Autodiscover's error": Mistake(
        where(POX, says(200, POX_ERROR, Content_Type="text/xml")),
        "Autodiscover error 600",
        POX,
        "Outlook",
    ),
    "SSL off beside TLS": Mistake(
        where(POX, edited(("<SSL>on</SSL>", "<SSL>off</SSL>"))),
        "imap imap.example.test:993 plain",
        POX,
        "Outlook",
    ),
    "another server for Outlook": Mistake(
        where(POX, edited(OTHER)),
        "imap pop.example.test:993",
        POX,
        "Outlook",
    ),
    "Outlook's own login method": Mistake(
        where(POX, edited(("<SPA>off", "<SPA>on"))), "NTLM", POX, "Outlook"
    ),
    "no 302 at Outlook's third step": Mistake(
        web(lambda it: says(404)(it) if it.path == POX and it.secure else None),
        "status 200, not a 302 to https",
        f"http://autodiscover.{DOMAIN}{POX}",
        "Outlook",
    ),
    "version 2 without a URL": Mistake(
        where(
            "/autodiscover/autodiscover.json",
            says(200, "{}", Content_Type="application/json"),
        ),
        "version 2's answer names no https URL",
        "autodiscover.json",
        status="warning",
    ),
    "PACC's document is another": Mistake(
        where(PACC, edited(OTHER)),
        "the document is not the one that the file makes",
        PACC,
        "PACC",
    ),
    "PACC's document has another type": Mistake(
        where(PACC, edited(Content_Type="text/plain")),
        "content type text/plain",
        PACC,
        "PACC",
    ),
    "PACC's document is none": Mistake(
        where(PACC, says(200, "{", Content_Type="application/json")),
        "it is no JSON with protocols in it",
        PACC,
        "PACC",
        file=None,
    ),
    "a profile that was changed": Mistake(
        signed("sign.test", days=90, broken=True),
        "the profile's signature is broken",
        PROFILE,
        "iPhone",
    ),
    "a profile whose signer has ended": Mistake(
        signed("old-sign.test", days=-3),
        "the certificate that signed the profile has ended",
        PROFILE,
        "iPhone",
    ),
    "a profile whose signer ends soon": Mistake(
        signed("end-sign.test", days=5),
        "the certificate that signed the profile ends on",
        PROFILE,
        status="warning",
    ),
    "a profile as text": Mistake(
        where(PROFILE, edited(Content_Type="text/xml")),
        "content type text/xml",
        PROFILE,
        "iPhone",
    ),
    "a profile with another server": Mistake(
        where(PROFILE, edited(OTHER)),
        "imap pop.example.test:993",
        PROFILE,
        "iPhone",
    ),
    "a profile that is none": Mistake(
        where(PROFILE, edited(("PayloadContent", "Content"))),
        "it is no configuration profile",
        PROFILE,
        "iPhone",
    ),
}

# --- DNS ----------------------------------------------------------------------------------


def zone(*pairs: tuple[str, str], more: str = "") -> Callable[[Real], None]:
    """The true zone, with other words in it."""

    def seed(here: Real) -> None:
        text = ADDRESSES + here.zone + more
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        here.names.serve(text)

    return seed


def without(name: str, more: str = "") -> Callable[[Real], None]:
    def seed(here: Real) -> None:
        lines = (ADDRESSES + here.zone + more).splitlines(True)
        here.names.serve("".join(it for it in lines if not it.startswith(f"{name} ")))

    return seed


def answering_names(address: str, rcode: Any, code: int = 0) -> Callable[[Real], None]:
    """A name server that fails at everything, with an extended error."""

    def seed(here: Real) -> None:
        sock = here.inside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        here.inside.call(sock.bind, (address, 53))
        here.stack.callback(sock.close)

        def serve() -> None:
            while True:
                try:
                    data, peer = sock.recvfrom(4096)
                except OSError:
                    return
                reply = dns.message.make_response(dns.message.from_wire(data))
                reply.set_rcode(rcode)
                if code:
                    reply.use_edns(
                        0,
                        options=[dns.edns.EDEOption(dns.edns.EDECode(code), "says it")],
                    )
                sock.sendto(reply.to_wire(), peer)

        threading.Thread(target=serve, daemon=True).start()

    return seed


def names_that(
    address: str, answer: Callable[[dns.message.Message], bytes | None]
) -> Callable[[Real], None]:
    """A name server by UDP alone that asks the world's, and answers something else."""

    def seed(here: Real) -> None:
        sock = here.inside.call(socket.socket, socket.AF_INET, socket.SOCK_DGRAM)
        here.inside.call(sock.bind, (address, 53))
        here.stack.callback(sock.close)

        def serve() -> None:
            while True:
                try:
                    data, peer = sock.recvfrom(4096)
                except OSError:
                    return
                query = dns.message.from_wire(data)
                given = here.inside.call(answer, query)
                if given is not None:
                    sock.sendto(given, peer)

        threading.Thread(target=serve, daemon=True).start()

    return seed


def cut(query: dns.message.Message) -> bytes:
    """All of it is too long."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def without_aaaa(query: dns.message.Message) -> bytes | None:
    if query.question[0].rdtype == dns.rdatatype.AAAA:
        return None
    return dns.query.udp(query, OTHER_NAMES, timeout=5).to_wire()


def shop(here: Real, *names: str) -> None:
    """A web host that has nothing to do with mail."""
    made = here.stack.enter_context(
        front(here.inside, here.folder / "true.toml", SITE, here.certificate(*names))
    )
    made.answer = page("shop")


def someone_elses(here: Real) -> None:
    shop(here, f"autoconfig.{DOMAIN}", "shop.other.test")
    without(
        "autoconfig",
        f"AUTOCONFIG IN CNAME shop.other.test.\nshop.other.test. IN A {SITE}\n",
    )(here)


def wildcard(here: Real) -> None:
    """What a wildcard record makes of the names: any other name has the same address."""
    shop(here, DOMAIN, f"*.{DOMAIN}")
    names = ("@", "autoconfig", "autodiscover", "no-such-name-e3b0c442")
    lines = "".join(f"{name} IN A {SITE}\n" for name in names)
    here.names.serve(f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 10 imap\n{lines}")


def in_bind(*pairs: tuple[str, str], without: str = "-", more: str = "") -> Seed:
    """A zone that a real name server has, with other words in it."""

    def seed(here: Real) -> None:
        text = ADDRESSES + here.zone
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        lines = text.splitlines(keepends=True)
        kept = [it for it in lines if not it.startswith(f"{without} ")]
        here.bind.load(more, "".join(kept))

    return seed


AT_BIND = ("--resolver", BIND, "--allow-private")
WITHOUT_DOT = f"{DOMAIN}.{DOMAIN}"
LOOP = "IN CNAME one\none IN CNAME two\ntwo IN CNAME one\n"
NAMES = {
    "an alias that leads back to itself": Mistake(
        without("autoconfig", f"AUTOCONFIG {LOOP}"),
        f"a loop: autoconfig.{DOMAIN} → one.{DOMAIN} → two.{DOMAIN} → one.{DOMAIN}",
        f"autoconfig.{DOMAIN}",
        status="warning",
    ),
    "a mail server's alias that leads back to itself": Mistake(
        without("imap", f"IMAP {LOOP}"),
        f"a loop: imap.{DOMAIN} → one.{DOMAIN}",
        f"imap imap.{DOMAIN}:993",
    ),
    "a loop that the name server itself follows": Mistake(
        in_bind(without="autoconfig", more=f"autoconfig {LOOP}"),
        f"a loop: autoconfig.{DOMAIN} → one.{DOMAIN}",
        f"autoconfig.{DOMAIN}",
        status="warning",
        options=AT_BIND,
    ),
    "an MX record without the last dot": Mistake(
        in_bind((f"MX 10 mx.{DOMAIN}.", f"MX 10 mx.{DOMAIN}")),
        f"mx.{WITHOUT_DOT} has no address",
        f"{DOMAIN} MX",
        options=AT_BIND,
    ),
    "an SRV record without the last dot": Mistake(
        in_bind((f"993 imap.{DOMAIN}.", f"993 imap.{DOMAIN}")),
        f"it says imap.{WITHOUT_DOT}:993, the file says imap.{DOMAIN}:993",
        "_imaps._tcp",
        options=AT_BIND,
    ),
    "an alias without the last dot": Mistake(
        in_bind(without="autoconfig", more=f"autoconfig IN CNAME www.{DOMAIN}\n"),
        f"it is an alias (CNAME) of www.{WITHOUT_DOT}",
        f"autoconfig.{DOMAIN}",
        status="warning",
        options=AT_BIND,
    ),
    "an MX record with an address in it": Mistake(
        zone((f"MX 10 mx.{DOMAIN}.", f"MX 10 {SMTP}.")),
        f"it names the address {SMTP}",
        f"{DOMAIN} MX",
    ),
    "an alias of somebody else's web host": Mistake(
        someone_elses,
        f"(autoconfig.{DOMAIN} is an alias of shop.other.test)",
        AT_CONFIG,
        status="warning",
    ),
    "a wildcard record that leads to the web site": Mistake(
        wildcard,
        f"(a wildcard record, *.{DOMAIN}, leads there)",
        AT_CONFIG,
        file=None,
    ),
    "a mail server at a private address": Mistake(
        lambda here: None,
        f"imap.{DOMAIN} leads to {IMAP}, which is not on the internet",
        f"imap imap.{DOMAIN}:993",
        status="note",
    ),
    "an alias of nothing": Mistake(
        without("autoconfig", f"autoconfig2 IN A {WEB}\nAUTOCONFIG IN CNAME gone\n"),
        f"it is an alias (CNAME) of gone.{DOMAIN}, which has no address",
        f"autoconfig.{DOMAIN}",
        status="warning",
    ),
    "a mail server that is an alias of nothing": Mistake(
        without("imap", "IMAP IN CNAME gone\n"),
        f"it is an alias (CNAME) of gone.{DOMAIN}, which has no address",
        f"imap imap.{DOMAIN}:993",
    ),
    "an MX host that is an alias": Mistake(
        without("mx", "MX IN CNAME smtp\n"),
        "is an alias (CNAME) of smtp.example.test, which RFC 2181, 10.3 forbids",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "an MX host without an address": Mistake(
        without("mx"), f"mx.{DOMAIN} has no address in DNS", f"{DOMAIN} MX"
    ),
    "no MX": Mistake(
        zone((f"@ IN MX 10 mx.{DOMAIN}.\n", "")),
        "there is none",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "a null MX": Mistake(
        zone((f"MX 10 mx.{DOMAIN}.", "MX 0 .")),
        "it says that the domain takes no mail",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "SRV to another server": Mistake(
        zone((f"0 1 993 imap.{DOMAIN}.", f"0 1 993 old.{DOMAIN}.")),
        f"it says old.{DOMAIN}:993, the file says imap.{DOMAIN}:993",
        "_imaps._tcp",
    ),
    "SRV to another server, and no file": Mistake(
        zone((f"0 1 993 imap.{DOMAIN}.", f"0 1 993 old.{DOMAIN}.")),
        f"it says old.{DOMAIN}:993, the documents say imap.{DOMAIN}:993",
        "_imaps._tcp",
        file=None,
    ),
    "SRV to an alias": Mistake(
        zone((f"imap IN A {IMAP}\n", f"IMAP IN CNAME imap4\nimap4 IN A {IMAP}\n")),
        "which RFC 2782 forbids",
        "_imaps._tcp",
        status="note",
    ),
    "a mail server without an address": Mistake(
        without("smtp"),
        f"smtp.{DOMAIN} has no address in DNS",
        f"smtp smtp.{DOMAIN}:465",
    ),
    "a digest that is old": Mistake(
        zone(("a=sha256; d=", "a=sha256; d=old")),
        "the digest is not that of the document served",
        f"_ua-auto-config.{DOMAIN}",
        "PACC",
    ),
    "no digest": Mistake(
        without("_ua-auto-config"),
        "there is no digest",
        f"_ua-auto-config.{DOMAIN}",
        "PACC",
    ),
    "a domain that is misspelt": Mistake(
        lambda here: None,
        "there is no such domain in DNS",
        "exampel.test",
        options=("exampel.test",),
        file=None,
    ),
    "SERVFAIL with an extended error": Mistake(
        answering_names("127.0.1.53", dns.rcode.SERVFAIL, 22),
        "none of the domain's name servers is reached: says it",
        DOMAIN,
        options=("--resolver", "127.0.1.53"),
    ),
    "SERVFAIL alone": Mistake(
        answering_names("127.0.1.54", dns.rcode.SERVFAIL),
        "the name server fails at it (SERVFAIL)",
        DOMAIN,
        options=("--resolver", "127.0.1.54"),
    ),
    "signatures that have expired": Mistake(
        answering_names("127.0.1.55", dns.rcode.SERVFAIL, 7),
        "DNSSEC: the signatures have expired",
        DOMAIN,
        options=("--resolver", "127.0.1.55"),
    ),
    "a name server that refuses": Mistake(
        answering_names("127.0.1.56", dns.rcode.REFUSED),
        "refuses to answer (REFUSED)",
        DOMAIN,
        options=("--resolver", "127.0.1.56"),
    ),
    "a name server that is not reached": Mistake(
        lambda here: None,
        "no name server answers (127.0.1.57 port 53)",
        DOMAIN,
        options=("--resolver", "127.0.1.57", "--timeout", "1"),
    ),
    "an address where no mail server listens": Mistake(
        zone(more="imap IN AAAA ::1\n"),
        f"imap.{DOMAIN} has 2 addresses; ::1 port 993: nothing listens there",
        f"imap imap.{DOMAIN}:993",
        status="warning",
    ),
    "an address where no web server listens": Mistake(
        zone(more="www IN AAAA ::1\n"),
        "has 2 addresses; ::1 port 443: nothing listens there",
        f"autoconfig.{DOMAIN}:443",
        status="warning",
    ),
    "an old address": Mistake(
        zone(more=f"smtp IN A {DEAD}\n"),
        f"smtp.{DOMAIN} has 2 addresses; {DEAD} port 465: nothing listens there",
        f"smtp smtp.{DOMAIN}:465",
        status="warning",
    ),
    "a host in the file that is misspelt": Mistake(
        lambda here: None,
        f"imaps.{DOMAIN} has no address in DNS",
        f"imap imaps.{DOMAIN}:993",
        file=TOML.replace(f"imap.{DOMAIN}", f"imaps.{DOMAIN}"),
    ),
    "a name server that knows no such question": Mistake(
        answering_names("127.0.1.58", dns.rcode.NOTIMP),
        "the name server 127.0.1.58 knows no such question (NOTIMP)",
        DOMAIN,
        options=("--resolver", "127.0.1.58"),
    ),
    "a name server that does not understand": Mistake(
        answering_names("127.0.1.59", dns.rcode.FORMERR),
        "the name server 127.0.1.59 does not understand the question (FORMERR)",
        DOMAIN,
        options=("--resolver", "127.0.1.59"),
    ),
    "port 53 shut by TCP": Mistake(
        names_that("127.0.1.60", cut),
        "the answer of the name server 127.0.1.60 is too long for UDP, and by TCP (port "
        "53) it does not answer",
        DOMAIN,
        options=("--resolver", "127.0.1.60"),
    ),
    "a name server that drops AAAA": Mistake(
        names_that("127.0.1.61", without_aaaa),
        "the name server does not answer for AAAA (it does for A)",
        f"imap.{DOMAIN}",
        status="warning",
        options=("--resolver", "127.0.1.61"),
    ),
    "a name server that does not recurse": Mistake(
        in_bind(without="autoconfig", more="AUTOCONFIG IN CNAME www.elsewhere.test.\n"),
        "it is an alias (CNAME) of www.elsewhere.test, and the name server asked answers "
        "for its own zones only",
        f"autoconfig.{DOMAIN}",
        options=AT_BIND,
    ),
    "an MX host whose alias is a loop": Mistake(
        in_bind(without="mx", more=f"MX {LOOP}"),
        f"its alias (CNAME) is a loop: mx.{DOMAIN} → one.{DOMAIN}",
        f"{DOMAIN} MX mx.{DOMAIN}",
        options=AT_BIND,
    ),
    "nothing published": Mistake(
        zone(
            (f"@ IN A {WEB}\n", f"@ IN A {DEAD}\n"),
            ("autoconfig IN", "autoconf IN"),
            ("autodiscover IN", "autodisc IN"),
            ("_autodiscover._tcp", "_x._tcp"),
        ),
        "no document with mail settings is published",
        f"autoconfig.{DOMAIN}",
    ),
}


# --- TLS and mail servers -----------------------------------------------------------------


def lead(host: str, address: str) -> Callable[[Real], None]:
    def seed(here: Real) -> None:
        lines = (ADDRESSES + here.zone).splitlines(True)
        rest = [it for it in lines if not it.startswith(f"{host} ")]
        here.names.serve("".join(rest) + f"{host.upper()} IN A {address}\n")

    return seed


def at_web(
    certificate: Callable[[Real], tuple[Path, Path]], tls: str = ""
) -> Callable[[Real], None]:
    """All of the domain's web by an nginx with that certificate."""

    def seed(here: Real) -> None:
        folder = here.folder / f"nginx-{time.monotonic_ns()}"
        locations = PROXY.format(service=f"http://{WEB}")
        here.stack.enter_context(
            real_nginx(
                here.inside, folder, ELSEWHERE, certificate(here), locations, tls
            )
        )
        lines = (ADDRESSES + here.zone).splitlines(True)
        here.names.serve(
            "".join(lines)
            .replace(f"www IN A {WEB}", f"www IN A {ELSEWHERE}")
            .replace(f"@ IN A {WEB}", f"@ IN A {ELSEWHERE}")
        )

    return seed


WEB_NAMES = (
    *(f"{it}.{DOMAIN}" for it in ("autoconfig", "autodiscover", "ua-auto-config")),
    DOMAIN,
)


def expired(*names: str) -> Callable[[Real], tuple[Path, Path]]:
    ends = datetime.now(UTC) - timedelta(days=2)
    return lambda here: here.certificate(*names, not_after=ends)


def leaf_alone(*names: str) -> Callable[[Real], tuple[Path, Path]]:
    """Of an intermediate authority that the server does not send."""

    def make(here: Real) -> tuple[Path, Path]:
        certificate, key = _below(here, *names)
        leaf = certificate.read_text().partition("-----END CERTIFICATE-----")
        certificate.write_text(f"{leaf[0]}{leaf[1]}\n")
        return certificate, key

    return make


def _below(here: Real, *names: str) -> tuple[Path, Path]:
    made = trustme.CA().create_child_ca().issue_cert(*names)
    folder = here.folder / f"chain-{time.monotonic_ns()}"
    folder.mkdir()
    folder.chmod(0o755)
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(b"".join(it.bytes() for it in made.cert_chain_pems))
    made.private_key_pem.write_to_path(files[1])
    return files


def self_signed(name: str) -> Callable[[Real], tuple[Path, Path]]:
    def make(here: Real) -> tuple[Path, Path]:
        folder = here.folder / f"self-{time.monotonic_ns()}"
        folder.mkdir()
        files = folder / "certificate.pem", folder / "key.pem"
        command = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "9",
        ]
        command += [
            "-keyout",
            str(files[1]),
            "-out",
            str(files[0]),
            "-subj",
            f"/CN={name}",
        ]
        command += ["-addext", f"subjectAltName=DNS:{name}"]
        subprocess.run(command, check=True, capture_output=True)
        return files

    return make


def mail(
    host: str,
    port: int,
    behave: Callable[[socket.socket], None],
    certificate: Callable[[Real], tuple[Path, Path]] | None = None,
) -> Callable[[Real], None]:
    """A mail server elsewhere that behaves so."""

    def seed(here: Real) -> None:
        files = certificate(here) if certificate else None
        here.stack.enter_context(stub(here.inside, ELSEWHERE, port, behave, files))
        lead(host, ELSEWHERE)(here)

    return seed


def good(*names: str) -> Callable[[Real], tuple[Path, Path]]:
    return lambda here: here.certificate(*names)


def says_first(text: str) -> Callable[[socket.socket], None]:
    def behave(connection: socket.socket) -> None:
        connection.sendall(text.encode() + b"\r\n")
        connection.recv(100)

    return behave


def talks(greeting: str, *replies: tuple[str, str]) -> Callable[[socket.socket], None]:
    """A server that answers commands by what they begin with."""

    def behave(connection: socket.socket) -> None:
        connection.sendall(f"{greeting}\r\n".encode())
        while line := connection.recv(4096).decode(errors="replace"):
            word = line.upper().removeprefix("A ")
            for start, reply in replies:
                if word.startswith(start):
                    connection.sendall(f"{reply}\r\n".encode())
                    break
            else:
                if word.startswith(("QUIT", "LOGOUT")):
                    return
                connection.sendall(
                    b"a BAD what\r\n" if "a " in line else b"500 what\r\n"
                )

    return behave


def silent(connection: socket.socket) -> None:
    connection.recv(10)
    time.sleep(12)


def starts_tls(
    certificate: Callable[[Real], tuple[Path, Path]], before: str, after: str
) -> Callable[[Real], None]:
    """Submission whose EHLO says one thing before STARTTLS and another inside."""

    def seed(here: Real) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate(here))

        def behave(connection: socket.socket) -> None:
            connection.sendall(b"220 come in\r\n")
            said = before
            while line := connection.recv(4096):
                if line.upper().startswith(b"STARTTLS"):
                    connection.sendall(b"220 go on\r\n")
                    if not after:
                        return  # it hangs up
                    connection = context.wrap_socket(connection, server_side=True)
                    here.stack.callback(connection.close)
                    said = after
                elif line.upper().startswith(b"QUIT"):
                    return
                else:
                    connection.sendall(said.encode())

        here.stack.enter_context(stub(here.inside, ELSEWHERE, 587, behave))
        lead("smtp", ELSEWHERE)(here)

    return seed


SUBMISSION = TOML.replace('type = "smtp"', 'type = "smtp"\nsocket_type = "STARTTLS"')
AT_IMAP, AT_SMTP = f"imap imap.{DOMAIN}:993", f"smtp smtp.{DOMAIN}:465"
IMAP_NAME, SMTP_NAME = f"imap.{DOMAIN}", f"smtp.{DOMAIN}"
ONLY_STARTTLS = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK"
PLAIN = 'socket_type = "plain"\nport = 143\n\n'


def ending_web(here: Real) -> None:
    ends = datetime.now(UTC) + timedelta(days=2, hours=12)
    names = (DOMAIN, *(f"{it}.{DOMAIN}" for it in WEB_HOSTS))
    certificate = here.certificate(*names, not_after=ends)
    here.stack.enter_context(
        front(here.inside, here.folder / "true.toml", ELSEWHERE, certificate)
    )
    zone = (ADDRESSES + here.zone).replace(f"IN A {WEB}", f"IN A {ELSEWHERE}")
    here.names.serve(zone)


SERVERS = {
    "no encryption published, and STARTTLS wanted": Mistake(
        mail("imap", 143, talks("* OK", ("CAPABILITY", ONLY_STARTTLS))),
        "it lets people in after STARTTLS only, and no encryption is published",
        f"imap imap.{DOMAIN}:143 plain",
        file=TOML.replace("[[provider.outgoing]]", PLAIN + "[[provider.outgoing]]"),
        options=("--unpublished",),
    ),
    "a certificate of the web that ends soon": Mistake(
        ending_web,
        "the certificate ends in 2 days",
        f"autoconfig.{DOMAIN}:443",
        status="warning",
    ),
    "an expired certificate of the web": Mistake(
        at_web(expired(*WEB_NAMES)), "certificate has expired: it ended on", AT_CONFIG
    ),
    "no intermediate certificate at the web": Mistake(
        at_web(leaf_alone(*WEB_NAMES)), "no intermediate certificate", AT_CONFIG
    ),
    "a certificate of another name": Mistake(
        at_web(good("other.test")),
        "it is for other.test, not for the name",
        AT_CONFIG,
    ),
    "an authority that nobody knows": Mistake(
        at_web(lambda here: _below(here, *WEB_NAMES)),
        "one that nobody knows",
        AT_CONFIG,
    ),
    "TLS 1.1": Mistake(
        at_web(good(*WEB_NAMES), "ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;"),
        "it speaks TLSv1.1 at most, which clients refuse",
        AT_CONFIG,
    ),
    "a refused handshake": Mistake(
        at_web(good(*WEB_NAMES), "ssl_reject_handshake on;"),
        "the server refuses the name: it has no certificate for it",
        AT_CONFIG,
    ),
    "http at the port of https": Mistake(
        lambda here: (
            here.stack.enter_context(
                stub(
                    here.inside, ELSEWHERE, 443, says_first("HTTP/1.1 400 Bad Request")
                )
            ),
            zone(
                (f"www IN A {WEB}", f"www IN A {ELSEWHERE}"),
                (f"@ IN A {WEB}", f"@ IN A {ELSEWHERE}"),
            )(here),
        ),
        "what answers there does not speak TLS",
        AT_CONFIG,
    ),
    "an expired certificate of the mail server": Mistake(
        mail("imap", 993, talks("* OK"), expired(IMAP_NAME)),
        "certificate has expired",
        AT_IMAP,
    ),
    "no intermediate certificate at the mail server": Mistake(
        mail("imap", 993, talks("* OK"), leaf_alone(IMAP_NAME)),
        "no intermediate certificate",
        AT_IMAP,
    ),
    "a self-signed certificate": Mistake(
        mail("imap", 993, talks("* OK"), self_signed(IMAP_NAME)),
        "it is self-signed",
        AT_IMAP,
    ),
    "a mail server's certificate of another name": Mistake(
        mail("imap", 993, talks("* OK"), good("mail.other.test")),
        "it is for mail.other.test, not for imap.example.test",
        AT_IMAP,
    ),
    "a certificate that ends soon": Mistake(
        mail(
            "imap",
            993,
            talks("* OK", ("CAPABILITY", "* CAPABILITY AUTH=PLAIN\r\na OK")),
            lambda here: here.certificate(
                IMAP_NAME, not_after=datetime.now(UTC) + timedelta(days=3)
            ),
        ),
        "the certificate ends in 2 days",
        AT_IMAP,
        status="warning",
    ),
    "no TLS at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("* OK hello")), "does not speak TLS", AT_IMAP
    ),
    "a POP3 server at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("+OK hello"), good(IMAP_NAME)),
        "a POP3 server answers there",
        AT_IMAP,
    ),
    "an SMTP server at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("220 hello"), good(IMAP_NAME)),
        "an SMTP server answers there",
        AT_IMAP,
    ),
    "a mail server that turns away": Mistake(
        mail("imap", 993, says_first("* BYE too many connections"), good(IMAP_NAME)),
        "it turns clients away",
        AT_IMAP,
    ),
    "a submission server that turns away": Mistake(
        mail("smtp", 465, says_first("554 blocked"), good(SMTP_NAME)),
        "it turns clients away",
        AT_SMTP,
    ),
    "logins that are disabled": Mistake(
        mail(
            "imap",
            993,
            talks(
                "* OK", ("CAPABILITY", "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\na OK")
            ),
            good(IMAP_NAME),
        ),
        "LOGINDISABLED",
        AT_IMAP,
    ),
    "CRAM-MD5 alone": Mistake(
        mail(
            "imap",
            993,
            talks(
                "* OK",
                ("CAPABILITY", "* CAPABILITY LOGINDISABLED AUTH=CRAM-MD5\r\na OK"),
            ),
            good(IMAP_NAME),
        ),
        "password-cleartext is published, the server offers CRAM-MD5",
        AT_IMAP,
    ),
    "submission without logins": Mistake(
        mail("smtp", 465, talks("220 x", ("EHLO", "250 SIZE")), good(SMTP_NAME)),
        "it offers no login at all",
        AT_SMTP,
    ),
    "logins before STARTTLS only": Mistake(
        starts_tls(
            good(SMTP_NAME), "250-STARTTLS\r\n250 AUTH PLAIN\r\n", "250 SIZE\r\n"
        ),
        "before STARTTLS only, and none once encrypted",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "a handshake that breaks off after STARTTLS": Mistake(
        starts_tls(good(SMTP_NAME), "250-STARTTLS\r\n250 SIZE\r\n", ""),
        "after STARTTLS: the TLS handshake breaks off",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "no STARTTLS": Mistake(
        mail("smtp", 587, talks("220 x", ("EHLO", "250 AUTH PLAIN"))),
        "does not offer STARTTLS",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "a port where nothing listens": Mistake(
        lambda here: None,
        "port 994: nothing listens there",
        f"imap imap.{DOMAIN}:994",
        file=TOML.replace('"imap"', '"imap"\nport = 994'),
        options=("--unpublished",),
    ),
    "submission at port 25": Mistake(
        lambda here: None,
        "port 25 for sending",
        f"smtp smtp.{DOMAIN}:25",
        status="warning",
        file=TOML.replace('"smtp"', '"smtp"\nport = 25\nsocket_type = "STARTTLS"'),
        options=("--unpublished",),
    ),
    "a mail server that is not running": Mistake(
        lead("imap", DEAD), f"{DEAD} port 993: nothing listens there", AT_IMAP
    ),
    "a mail server that says nothing": Mistake(
        mail("imap", 993, silent), "did not finish in time", AT_IMAP
    ),
    "a web server that is not running": Mistake(
        zone(
            (f"www IN A {WEB}", f"www IN A {DEAD}"), (f"@ IN A {WEB}", f"@ IN A {DEAD}")
        ),
        f"{DEAD} port 443: nothing listens there",
        AT_CONFIG,
    ),
}

# --- Servers that ask clients for certificates -------------------------------------------


def asking_for_certificates(host: str, port: int) -> Callable[[Real], None]:
    """TLS 1.3, whose server says so after the client's part of the handshake."""

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
                while os.read(secure.fileno(), 4096):  # the client's words, unread
                    pass

        here.stack.enter_context(stub(here.inside, ELSEWHERE, port, behave))
        lead(host, ELSEWHERE)(here)

    return seed


CERTIFICATES = {
    f"{host} asks clients for certificates": Mistake(
        asking_for_certificates(host, port),
        "the server wants a certificate of the client",
        at,
        status=status,
    )
    for host, port, at, status in (
        ("imap", 993, AT_IMAP, "failure"),
        ("smtp", 465, AT_SMTP, "failure"),
        ("autoconfig", 443, AT_CONFIG, "warning"),
    )
}


# --- Calendars ----------------------------------------------------------------------------

CALDAV = "/.well-known/caldav"


def dav(answer: Callable[[Asked], Answer]) -> Callable[[Real], None]:
    """A calendar server that answers so, at the front's address."""

    def seed(here: Real) -> None:
        lead("dav", ELSEWHERE)(here)
        here.stack.enter_context(
            _dav_server(here, answer, here.certificate(f"dav.{DOMAIN}"))
        )

    return seed


@contextmanager
def _dav_server(
    here: Real, answer: Callable[[Asked], Answer], certificate: tuple[Path, Path]
) -> Iterator[None]:
    with front(here.inside, here.folder / "true.toml", ELSEWHERE, certificate) as made:
        made.answer = answer
        yield


def astray(asked: Asked) -> Answer | None:
    if asked.path == "/login":
        return page('<input type="password">')(asked)
    if asked.path == CALDAV:
        return says(302, Location=f"https://{DOMAIN}/login")(asked)
    return None


def unled(here: Real) -> None:
    """No SRV record, and 404 at the domain itself."""
    records = (ADDRESSES + here.zone).splitlines(keepends=True)
    here.names.serve("".join(it for it in records if not it.startswith("_caldav")))
    here.front.answer = lambda it: says(404)(it) if it.path == CALDAV else None


CALENDAR = {
    "a redirect of calendars to a login page": Mistake(
        web(astray), "a login page perhaps", CALDAV, "Calendars", status="warning"
    ),
    "a redirect of calendars to http": Mistake(
        where(CALDAV, says(301, Location=f"http://dav.{DOMAIN}/")),
        "it redirects from https to http",
        CALDAV,
        "Calendars",
        status="warning",
    ),
    "a redirect loop of calendars": Mistake(
        where(CALDAV, says(301, Location=CALDAV)),
        "redirects without end",
        CALDAV,
        "Calendars",
        status="warning",
    ),
    "a calendar that nothing leads to": Mistake(
        unled, "nothing leads to caldav there", CALDAV, "Calendars"
    ),
    "a login page for a calendar": Mistake(
        dav(page('<input type="password">')),
        "a web page, a login page perhaps",
        f"dav.{DOMAIN}",
        "Calendars",
    ),
    "no calendar at its URL": Mistake(
        dav(says(404)), "status 404", f"dav.{DOMAIN}", "Calendars"
    ),
    "a calendar that refuses PROPFIND": Mistake(
        dav(says(405)), "PROPFIND is refused", f"dav.{DOMAIN}", "Calendars"
    ),
    "a calendar whose 401 asks for nothing": Mistake(
        dav(says(401)),
        "status 401 without WWW-Authenticate",
        f"dav.{DOMAIN}",
        "Calendars",
    ),
}

# --- The MX host --------------------------------------------------------------------------


def hoster(answer: Callable[[Asked], Answer]) -> Callable[[Real], None]:
    """A customer's domain whose MX host is a hoster's."""

    def seed(here: Real) -> None:
        here.names.serve(
            f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 1 mx.{HOSTER}.\n"
            f"mx.{HOSTER}. IN A {SITE}\n"
            f"autoconfig.{HOSTER}. IN A {WEB}\n"
        )
        here.front.answer = lambda it: answer(it) if HOSTER in it.host else None

    return seed


AT_HOSTER = f"https://autoconfig.{HOSTER}{CONFIG}"
HOSTERS = {
    "a hoster's 204": Mistake(
        hoster(says(204, "")), "an empty answer (status 204)", AT_HOSTER, file=None
    ),
    "a hoster's nothing": Mistake(
        hoster(says(200, "")), "an empty answer", AT_HOSTER, file=None
    ),
    "a hoster's web page": Mistake(
        hoster(page("Hosting")), "a web page", AT_HOSTER, file=None
    ),
    "a hoster's 204 for domains of nobody": Mistake(
        web(lambda it: says(204, "")(it) if "unknown.invalid" in it.query else None),
        "an empty answer (status 204)",
        AT_CONFIG,
        status="warning",
        file=TOML.replace("domains =", f'mx_domains = ["{DOMAIN}"]\ndomains ='),
    ),
    "a hoster's failure": Mistake(
        hoster(says(500)), "status 500", AT_HOSTER, file=None
    ),
}

MISTAKES = {
    **ANSWERS,
    **DOCUMENTS,
    **FAMILIES,
    **NAMES,
    **SERVERS,
    **CERTIFICATES,
    **CALENDAR,
    **HOSTERS,
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_first_and_at_its_place(
    here: Real, tmp_path: Path, name: str
) -> None:
    mistake = MISTAKES[name]
    mistake.seed(here)
    found = told(here, mistake, tmp_path)
    rows = [
        it for it in found if mistake.seen in it["seen"] and mistake.at in it["subject"]
    ]
    said = "\n".join(f"{it['status']} {it['subject']}: {it['seen']}" for it in found)
    assert rows, said
    first = rows[0]
    assert first["status"] == mistake.status, said
    assert first["why"]
    if mistake.clients:
        assert mistake.clients in " ".join(first["clients"])
    same = [it for it in found if it["status"] == mistake.status]
    assert mistake.status == "note" or first == same[0], said
    if mistake.status != "failure":
        assert not [it for it in found if it["status"] == "failure"], said
    if mistake.status in ("warning", "failure"):
        assert first["cure"]
    if WITHOUT_DOT in mistake.seen:
        assert "with the dot at its end" in first["cure"]
    everything = str(found)
    assert "EVOLUTIONUSER" not in everything
    assert "('" not in "".join(it["seen"] + it["cure"] for it in found)
