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
import time
from collections.abc import Callable
from contextlib import suppress
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
from paper import Paper
from said import said, snapshot, words
from strangers import Behaviour
from support import certificate_for, open_folder
from world import (
    ADDRESSES,
    BIND,
    DEAD,
    DOMAIN,
    ELSEWHERE,
    HOSTER,
    IMAP,
    PROXY,
    SITE,
    SMTP,
    TOML,
    USER,
    WEB,
    Answer,
    Asked,
    Checking,
    Real,
    Web,
    says_first,
    talks,
)

from flask_autoconfig.signing import Signer

CONFIG = "/mail/config-v1.1.xml"
WELL_KNOWN = "/.well-known/autoconfig/mail/config-v1.1.xml"
ANYWHERE = (CONFIG, WELL_KNOWN, "/.well-known/mail-v1.xml")
POX = "/autodiscover/autodiscover.xml"

Seed = Callable[[Any], object]  # of a world


class Mistake(NamedTuple):
    """How it is made, and what must be said of it, where, to whose harm."""

    seed: Seed
    code: str  # of the finding
    at: str
    clients: str = ""  # one that must be named, where not all are
    status: str = "failure"
    file: str | None = TOML  # None: checked without one
    options: tuple[str, ...] = ()


def told(here: Checking, mistake: Mistake, tmp_path: Path) -> list[dict[str, Any]]:
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


def web(answer: Web) -> Seed:
    def seed(here: Checking) -> None:
        here.front.answer = answer

    return seed


def where(path: str, answer: Callable[[Asked], Answer], host: str = "") -> Seed:
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


def everywhere(answer: Callable[[Asked], Answer]) -> Seed:
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
        "http.address-wanted",
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
        "http.address-wanted",
        AT_CONFIG,
        "Kontact",
    ),
    "without an address nothing is known": Mistake(
        web(
            lambda it: (
                says(404)(it) if not it.query and "config-v1" in it.path else None
            )
        ),
        "http.host-lost",
        AT_CONFIG,
        "K-9",
    ),
    "without an address an empty answer": Mistake(
        web(
            lambda it: (
                says(200, "")(it) if not it.query and "config-v1" in it.path else None
            )
        ),
        "http.address-wanted",
        AT_CONFIG,
        "K-9",
    ),
    "without an address another document": Mistake(
        web(without_address(edited(OTHER))), "document.differs", AT_CONFIG, "Kontact"
    ),
    "without an address another document, and no file": Mistake(
        web(without_address(edited(OTHER))),
        "document.contradicts",
        AT_CONFIG,
        file=None,
    ),
    "a template's domains": Mistake(
        everywhere(edited(("<domain>example.test<", "<domain>example.org<"))),
        "document.other-domain",
        AT_CONFIG,
        status="warning",
    ),
    "http has another document than https": Mistake(
        web(lambda it: None if it.secure or it.path != CONFIG else edited(OTHER)(it)),
        "document.contradicts",
        f"http://autoconfig.{DOMAIN}",
        file=None,
    ),
    "the domain itself has another document": Mistake(
        where(WELL_KNOWN, edited(OTHER)), "document.differs", AT_WELL_KNOWN
    ),
    "the domain itself has another document, and no file": Mistake(
        where(WELL_KNOWN, edited(OTHER)),
        "document.contradicts",
        AT_WELL_KNOWN,
        file=None,
    ),
    "a redirect from https to http": Mistake(
        web(unencrypted), "http.downgraded", AT_CONFIG, status="warning"
    ),
    "a login wall by 401": Mistake(
        everywhere(says(401, WWW_Authenticate="Basic")), "http.login-wanted", AT_CONFIG
    ),
    "a content type of web pages": Mistake(
        everywhere(edited(Content_Type="text/html")), "http.content-type", AT_CONFIG
    ),
    "nothing at the settings' paths": Mistake(
        web(lambda it: says(404)(it)), "document.not-there", "autoconfig"
    ),
    "a login wall by a redirect": Mistake(
        web(login_wall), "http.login-page", AT_CONFIG
    ),
    "a login form": Mistake(
        everywhere(page('<form><input type="password"></form>')),
        "http.login-page",
        AT_CONFIG,
    ),
    "a CSRF check": Mistake(
        where(POX, says(400, "The CSRF token is missing.")), "http.csrf", POX, "Outlook"
    ),
    "TRUSTED_HOSTS": Mistake(
        web(
            lambda it: (
                says(400, "Bad Request")(it) if it.host.startswith("autoc") else None
            )
        ),
        "http.name-refused",
        AT_CONFIG,
        status="warning",
    ),
    "a parked domain": Mistake(
        everywhere(page("This domain is parked. Buy this domain!")),
        "http.parked",
        AT_CONFIG,
    ),
    "a default page": Mistake(
        everywhere(page("<h1>Welcome to nginx!</h1>")), "http.default-page", AT_CONFIG
    ),
    "bot protection": Mistake(
        everywhere(page("Just a moment... checking your browser")),
        "http.challenge",
        AT_CONFIG,
    ),
    "a site that answers every path": Mistake(
        everywhere(page("<div id=app></div>")), "http.web-page", AT_CONFIG
    ),
    "an old answer from a cache": Mistake(
        everywhere(edited(OTHER, Age="86400", X_Cache="HIT")),
        "document.differs",
        AT_CONFIG,
    ),
    "a content type of plain text": Mistake(
        everywhere(edited(Content_Type="text/plain")),
        "http.content-type",
        AT_CONFIG,
        "Thunderbird",
    ),
    "compressed unasked": Mistake(
        everywhere(packed),
        "http.compressed",
        AT_CONFIG,
        "Delta Chat",
        "warning",  # it goes on to Autodiscover
    ),
    "status 204": Mistake(everywhere(says(204, "")), "http.empty", AT_CONFIG),
    "an empty answer": Mistake(everywhere(says(200, "")), "http.empty", AT_CONFIG),
    "an empty 404": Mistake(
        where(CONFIG, says(404, "")), "http.empty-404", AT_CONFIG, "Kontact"
    ),
    "a redirect loop": Mistake(web(loop), "http.bad-redirect", AT_CONFIG),
    "a redirect to the inside": Mistake(
        everywhere(moved("http://backend:8000/mail/")),
        "http.redirect-nowhere",
        AT_CONFIG,
    ),
    "a service that is not running": Mistake(
        everywhere(says(502, "Bad Gateway")), "http.no-upstream", AT_CONFIG
    ),
    "a faulty file of the service": Mistake(
        everywhere(says(503)), "http.unavailable", AT_CONFIG
    ),
    "a service that fails": Mistake(
        everywhere(says(500)), "http.server-error", AT_CONFIG
    ),
    "a rule that forbids dot files": Mistake(
        everywhere(says(403)), "http.forbidden", AT_CONFIG
    ),
    "a limit on requests": Mistake(
        everywhere(says(429)), "http.rate-limited", AT_CONFIG
    ),
    "static files refuse POST": Mistake(
        where(POX, says(405, Allow="GET")), "http.method-refused", POX, "Outlook"
    ),
    "a relative redirect": Mistake(
        web(relative), "http.relative-location", AT_CONFIG, "Delta Chat", "warning"
    ),
    "a slow answer": Mistake(
        where(CONFIG, slowly),
        "http.slow",
        "autoconfig",
        status="warning",
        options=("--timeout", "6"),
    ),
    "answers by mailbox": Mistake(
        web(lambda it: says(404)(it) if "EVOLUTIONUSER" in it.query else None),
        "http.local-part-counts",
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
    code: str, *pairs: tuple[str, str], clients: str = "", **more: Any
) -> Mistake:
    return Mistake(everywhere(edited(*pairs)), code, AT_CONFIG, clients, **more)


DOCUMENTS = {
    "a byte order mark": document(
        "document.unusable",
        ("<?xml", "\ufeff<?xml"),
        clients="Evolution",
        status="warning",
    ),
    "an attribute at a server": document(
        "document.unusable",
        ('type="imap"', 'type="imap" prio="1"'),
        clients="Evolution",
        status="warning",
    ),
    "an id that is no host name": document(
        "document.unusable",
        ('emailProvider id="example.test"', 'emailProvider id="My Mail"'),
        clients="K-9",
    ),
    "ssl in lower case": document(
        "setup.differs", ("<socketType>SSL", "<socketType>ssl"), clients="Evolution"
    ),
    "white space in a host name": document(
        "document.unusable", ("<hostname>imap", "<hostname> imap"), clients="Kontact"
    ),
    "white space in a port": document(
        "document.unusable", ("<port>993<", "<port> 993 <"), clients="K-9"
    ),
    "no user name": document(
        "document.unusable", ("<username>%EMAILADDRESS%</username>", ""), clients="K-9"
    ),
    "a reference in a user name": document(
        "document.differs", ("%EMAILADDRESS%", "%EMAILADDRESS%&amp;x")
    ),
    "a placeholder in a host name": document(
        "document.unusable",
        ("<hostname>imap.example.test", "<hostname>imap.%EMAILDOMAIN%"),
        clients="GNOME",
    ),
    "somebody's own user name": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "anna@example.test"))),
        "document.one-username",
        AT_CONFIG,
        file=None,
    ),
    "a placeholder that nobody knows": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "%EMAIL%"))),
        "document.bad-username",
        AT_CONFIG,
        file=None,
    ),
    "somebody's own user name for Outlook": Mistake(
        where(POX, annas), "document.one-username", POX, "Outlook", file=None
    ),
    "somebody's own user name, where Outlook alone is served": Mistake(
        web(lambda it: annas(it) if it.path == POX else says(404)(it)),
        "document.one-username",
        POX,
        "Outlook",
        file=None,
    ),
    "a login method for Outlook that no server offers": Mistake(
        where(POX, edited(("<SPA>off", "<SPA>on"))),
        "autodiscover.spa-not-offered",
        f"imap imap.{DOMAIN}:993",
        "Outlook",
        file=None,
    ),
    "a template for Outlook that nobody filled in": Mistake(
        where(POX, edited(("<Server>imap.example.test", "<Server>{{ imap_host }}"))),
        "document.unusable",
        POX,
        "Outlook",
        file=None,
    ),
    "another program's placeholder": Mistake(
        everywhere(edited(("%EMAILADDRESS%", "$EMAILADDRESS$"))),
        "document.one-username",
        AT_CONFIG,
        file=None,
    ),
    "a document with a dead server, and no file": Mistake(
        everywhere(edited((">993<", ">143<"))),
        "server.wrong-encryption",
        f"imap imap.{DOMAIN}:143 SSL",
        clients="Thunderbird",
        file=None,
    ),
    "an old document from a cache": Mistake(
        where(CONFIG, edited((">993<", ">143<"), (">SSL<", ">STARTTLS<"), Age="99")),
        "document.differs",
        AT_CONFIG,
    ),
    "a redirect to where there is nothing": Mistake(
        web(to_nothing), "http.absent", AT_CONFIG, file=None
    ),
    "a redirect to a dead host": Mistake(
        where(CONFIG, says(301, Location=f"https://dead.{DOMAIN}/x.xml")),
        "http.redirect-nowhere",
        AT_CONFIG,
        status="warning",  # the domain itself answers
        file=None,
    ),
    "bot protection by 403": Mistake(
        everywhere(
            says(403, "<title>Just a moment...</title>", cf_mitigated="challenge")
        ),
        "http.bot-protection",
        AT_CONFIG,
    ),
    "a redirect of everything to the front page": Mistake(
        web(to_front_page), "http.path-lost", AT_CONFIG, options=("--allow-private",)
    ),
    "POP3 first": document(
        "document.unusable",
        ('<incomingServer type="imap">', POP3 + '<incomingServer type="imap">'),
        clients="FairEmail",
        status="warning",  # it goes on to Autodiscover
        file=None,
    ),
    "two servers of a type": document(
        "setup.differs", ("<outgoing", EXTRA), clients="Evolution"
    ),
    "two servers of a type, and no file": document(
        "document.warning",
        ("<outgoing", EXTRA),
        clients="Evolution",
        file=None,
        status="warning",  # both of them work
    ),
    "an encrypted password that is not offered": Mistake(
        everywhere(edited(("password-cleartext", "password-encrypted"))),
        "server.method-not-offered",
        f"imap imap.{DOMAIN}:993",
        file=None,
    ),
    "OAuth2 alone": Mistake(
        everywhere(edited((">password-cleartext<", ">OAuth2<"))),
        "document.unusable",
        AT_CONFIG,
        "Thunderbird",
        file=None,
    ),
    "a namespace": document(
        "document.unusable", ("<clientConfig", '<clientConfig xmlns="x:y"')
    ),
    "gzip that nothing says of": Mistake(
        everywhere(lambda it: _packed(gzip.compress, it)),
        "document.unusable",
        AT_CONFIG,
    ),
    "another coding than clients know": Mistake(
        everywhere(edited(Content_Encoding="br")), "http.unknown-coding", AT_CONFIG
    ),
    "UTF-16": Mistake(
        everywhere(lambda it: _packed(lambda xml: xml.decode().encode("utf-16"), it)),
        "document.unusable",
        AT_CONFIG,
    ),
    "a program's warning before the document": Mistake(
        everywhere(lambda it: _packed(lambda xml: b"<br />Warning: x\n" + xml, it)),
        "document.unusable",
        AT_CONFIG,
    ),
    "no XML": document("document.unusable", ("</clientConfig>", "")),
    "no outgoing server": document(
        "document.unusable", ('type="smtp"', 'type="none"'), clients="Thunderbird"
    ),
    "a port out of range": document(
        "document.unusable", ("<port>993<", "<port>99300<")
    ),
    "another document altogether": document(
        "document.unusable", ("clientConfig", "feed"), clients="Thunderbird"
    ),
    "STARTTLS for SSL": document(
        "document.differs", ("<socketType>SSL", "<socketType>STARTTLS")
    ),
    "a user name without the domain": document(
        "document.differs", ("%EMAILADDRESS%", "%EMAILLOCALPART%")
    ),
    "no encryption": document(
        "document.differs", ("<socketType>SSL", "<socketType>plain")
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


def signed(names: str, *, days: int, broken: bool = False) -> Seed:
    def seed(here: Checking) -> None:
        ends = datetime.now(UTC) + timedelta(days=days)
        with open_folder() as folder:
            files = certificate_for(names, folder=folder, not_after=ends)
            signer = Signer(*files, None)

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
        "autodiscover.v2-elsewhere",
        V2,
        "Outlook",
        status="warning",
    ),
    "a web page in the place of a profile": Mistake(
        web(lambda it: page("hello")(it) if "mobileconfig" in it.path else None),
        "http.web-page",
        PROFILE,
        "iPhone",
    ),
    "no profile": Mistake(
        web(lambda it: says(404)(it) if "mobileconfig" in it.path else None),
        "document.not-served",
        PROFILE,
        "iPhone",
        status="warning",
    ),
    "no document for PACC": Mistake(
        where(PACC, says(404)), "document.not-served", PACC, "PACC", status="warning"
    ),
    "Autodiscover's error": Mistake(
        where(POX, says(200, POX_ERROR, Content_Type="text/xml")),
        "document.unusable",
        POX,
        "Outlook",
    ),
    "SSL off beside TLS": Mistake(
        where(POX, edited(("<SSL>on</SSL>", "<SSL>off</SSL>"))),
        "setup.differs",
        POX,
        "Outlook",
    ),
    "another server for Outlook": Mistake(
        where(POX, edited(OTHER)), "setup.differs", POX, "Outlook"
    ),
    "Outlook's own login method": Mistake(
        where(POX, edited(("<SPA>off", "<SPA>on"))), "setup.differs", POX, "Outlook"
    ),
    "no 302 at Outlook's third step": Mistake(
        web(lambda it: says(404)(it) if it.path == POX and it.secure else None),
        "autodiscover.no-302",
        f"http://autodiscover.{DOMAIN}{POX}",
        "Outlook",
    ),
    "version 2 without a URL": Mistake(
        where(
            "/autodiscover/autodiscover.json",
            says(200, "{}", Content_Type="application/json"),
        ),
        "autodiscover.v2-without-url",
        "autodiscover.json",
        status="warning",
    ),
    "PACC's document is another": Mistake(
        where(PACC, edited(OTHER)), "document.stale", PACC, "PACC"
    ),
    "PACC's document has another type": Mistake(
        where(PACC, edited(Content_Type="text/plain")),
        "document.content-type",
        PACC,
        "PACC",
    ),
    "PACC's document is none": Mistake(
        where(PACC, says(200, "{", Content_Type="application/json")),
        "document.meaningless",
        PACC,
        "PACC",
        file=None,
    ),
    "a profile that was changed": Mistake(
        signed("sign.test", days=90, broken=True),
        "profile.signature-broken",
        PROFILE,
        "iPhone",
    ),
    "a profile whose signer has ended": Mistake(
        signed("old-sign.test", days=-3), "profile.signer-expired", PROFILE, "iPhone"
    ),
    "a profile whose signer ends soon": Mistake(
        signed("end-sign.test", days=5),
        "profile.signer-ends-soon",
        PROFILE,
        status="warning",
    ),
    "a profile as text": Mistake(
        where(PROFILE, edited(Content_Type="text/xml")),
        "profile.content-type",
        PROFILE,
        "iPhone",
    ),
    "a profile with another server": Mistake(
        where(PROFILE, edited(OTHER)), "setup.differs", PROFILE, "iPhone"
    ),
    "a profile that is none": Mistake(
        where(PROFILE, edited(("PayloadContent", "Content"))),
        "profile.unusable",
        PROFILE,
        "iPhone",
    ),
}

# --- DNS ----------------------------------------------------------------------------------


def zone(*pairs: tuple[str, str], more: str = "") -> Seed:
    """The true zone, with other words in it."""

    def seed(here: Checking) -> None:
        text = ADDRESSES + here.zone + more
        for old, new in pairs:
            assert old in text, old
            text = text.replace(old, new)
        here.names.serve(text)

    return seed


def without(name: str, more: str = "") -> Seed:
    def seed(here: Checking) -> None:
        lines = (ADDRESSES + here.zone + more).splitlines(True)
        here.names.serve("".join(it for it in lines if not it.startswith(f"{name} ")))

    return seed


def answering_names(address: str, rcode: Any, code: int = 0) -> Seed:
    """A name server that fails at everything, with an extended error."""

    def respond(query: dns.message.Message) -> dns.message.Message:
        reply = dns.message.make_response(query)
        reply.set_rcode(rcode)
        if code:
            option = dns.edns.EDEOption(dns.edns.EDECode(code), "says it")
            reply.use_edns(0, options=[option])
        return reply

    return lambda here: here.name_server(address, respond)


def cut(query: dns.message.Message) -> dns.message.Message:
    """All of it is too long."""
    reply = dns.message.make_response(query, recursion_available=True)
    reply.flags |= dns.flags.TC
    return reply


def dropping_aaaa(address: str) -> Seed:
    def seed(here: Checking) -> None:
        def respond(query: dns.message.Message) -> dns.message.Message | None:
            is_dropped = query.question[0].rdtype == dns.rdatatype.AAAA
            return None if is_dropped else here.names.respond(query)

        here.name_server(address, respond)

    return seed


def shop(here: Checking, *names: str) -> None:
    """A web host that has nothing to do with mail."""
    here.web(SITE, here.certificate(*names)).answer = page("shop")


def someone_elses(here: Checking) -> None:
    shop(here, f"autoconfig.{DOMAIN}", "shop.other.test")
    without(
        "autoconfig",
        f"AUTOCONFIG IN CNAME shop.other.test.\nshop.other.test. IN A {SITE}\n",
    )(here)


def wildcard(here: Checking) -> None:
    """What a wildcard record makes of the names: any other name has the same address."""
    shop(here, DOMAIN, f"*.{DOMAIN}")
    names = ("@", "autoconfig", "autodiscover", "no-such-name-e3b0c442")
    lines = "".join(f"{name} IN A {SITE}\n" for name in names)
    here.names.serve(f"$ORIGIN {DOMAIN}.\n$TTL 60\n@ IN MX 10 imap\n{lines}")


def in_bind(*pairs: tuple[str, str], without: str = "-", more: str = "") -> Seed:
    """A zone that a real name server has, with other words in it."""

    def seed(here: Checking) -> None:
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
        "dns.alias-loop",
        f"autoconfig.{DOMAIN}",
        status="warning",
    ),
    "a mail server's alias that leads back to itself": Mistake(
        without("imap", f"IMAP {LOOP}"), "server.alias-loop", f"imap imap.{DOMAIN}:993"
    ),
    "a loop that the name server itself follows": Mistake(
        in_bind(without="autoconfig", more=f"autoconfig {LOOP}"),
        "dns.alias-loop",
        f"autoconfig.{DOMAIN}",
        status="warning",
        options=AT_BIND,
    ),
    "an MX record without the last dot": Mistake(
        in_bind((f"MX 10 mx.{DOMAIN}.", f"MX 10 mx.{DOMAIN}")),
        "mx.no-address",
        f"{DOMAIN} MX",
        options=AT_BIND,
    ),
    "an SRV record without the last dot": Mistake(
        in_bind((f"993 imap.{DOMAIN}.", f"993 imap.{DOMAIN}")),
        "srv.differs",
        "_imaps._tcp",
        options=AT_BIND,
    ),
    "an alias without the last dot": Mistake(
        in_bind(without="autoconfig", more=f"autoconfig IN CNAME www.{DOMAIN}\n"),
        "dns.dead-alias",
        f"autoconfig.{DOMAIN}",
        status="warning",
        options=AT_BIND,
    ),
    "an MX record with an address in it": Mistake(
        zone((f"MX 10 mx.{DOMAIN}.", f"MX 10 {SMTP}.")), "mx.is-address", f"{DOMAIN} MX"
    ),
    "an alias of somebody else's web host": Mistake(
        someone_elses, "http.web-page", AT_CONFIG, status="warning"
    ),
    "a wildcard record that leads to the web site": Mistake(
        wildcard, "http.web-page", AT_CONFIG, file=None
    ),
    "a mail server at a private address": Mistake(
        lambda here: None,
        "server.address-private",
        f"imap imap.{DOMAIN}:993",
        status="note",
    ),
    "an alias of nothing": Mistake(
        without("autoconfig", f"autoconfig2 IN A {WEB}\nAUTOCONFIG IN CNAME gone\n"),
        "dns.dead-alias",
        f"autoconfig.{DOMAIN}",
        status="warning",
    ),
    "a mail server that is an alias of nothing": Mistake(
        without("imap", "IMAP IN CNAME gone\n"),
        "server.dead-alias",
        f"imap imap.{DOMAIN}:993",
    ),
    "an MX host that is an alias": Mistake(
        without("mx", "MX IN CNAME smtp\n"),
        "mx.is-alias",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "an MX host without an address": Mistake(
        without("mx"), "mx.no-address", f"{DOMAIN} MX"
    ),
    "no MX": Mistake(
        zone((f"@ IN MX 10 mx.{DOMAIN}.\n", "")),
        "mx.missing",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "a null MX": Mistake(
        zone((f"MX 10 mx.{DOMAIN}.", "MX 0 .")),
        "mx.null",
        f"{DOMAIN} MX",
        status="warning",
    ),
    "SRV to another server": Mistake(
        zone((f"0 1 993 imap.{DOMAIN}.", f"0 1 993 old.{DOMAIN}.")),
        "srv.differs",
        "_imaps._tcp",
    ),
    "SRV to another server, and no file": Mistake(
        zone((f"0 1 993 imap.{DOMAIN}.", f"0 1 993 old.{DOMAIN}.")),
        "srv.contradicts",
        "_imaps._tcp",
        file=None,
    ),
    "SRV to an alias": Mistake(
        zone((f"imap IN A {IMAP}\n", f"IMAP IN CNAME imap4\nimap4 IN A {IMAP}\n")),
        "srv.is-alias",
        "_imaps._tcp",
        status="note",
    ),
    "a mail server without an address": Mistake(
        without("smtp"), "server.unknown-host", f"smtp smtp.{DOMAIN}:465"
    ),
    "a digest that is old": Mistake(
        zone(("a=sha256; d=", "a=sha256; d=old")),
        "digest.differs",
        f"_ua-auto-config.{DOMAIN}",
        "PACC",
    ),
    "no digest": Mistake(
        without("_ua-auto-config"),
        "digest.missing",
        f"_ua-auto-config.{DOMAIN}",
        "PACC",
    ),
    "a domain that is misspelt": Mistake(
        lambda here: None,
        "domain.unknown",
        "exampel.test",
        options=("exampel.test",),
        file=None,
    ),
    "SERVFAIL with an extended error": Mistake(
        answering_names("127.0.1.53", dns.rcode.SERVFAIL, 22),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.53"),
    ),
    "SERVFAIL alone": Mistake(
        answering_names("127.0.1.54", dns.rcode.SERVFAIL),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.54"),
    ),
    "signatures that have expired": Mistake(
        answering_names("127.0.1.55", dns.rcode.SERVFAIL, 7),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.55"),
    ),
    "a name server that refuses": Mistake(
        answering_names("127.0.1.56", dns.rcode.REFUSED),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.56"),
    ),
    "a name server that is not reached": Mistake(
        lambda here: None,
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.57", "--timeout", "1"),
    ),
    "an address where no mail server listens": Mistake(
        zone(more="imap IN AAAA ::1\n"),
        "address.dead",
        f"imap imap.{DOMAIN}:993",
        status="warning",
    ),
    "an address where no web server listens": Mistake(
        zone(more="www IN AAAA ::1\n"),
        "address.dead",
        f"autoconfig.{DOMAIN}:443",
        status="warning",
    ),
    "an old address": Mistake(
        zone(more=f"smtp IN A {DEAD}\n"),
        "address.dead",
        f"smtp smtp.{DOMAIN}:465",
        status="warning",
    ),
    "a host in the file that is misspelt": Mistake(
        lambda here: None,
        "server.unknown-host",
        f"imap imaps.{DOMAIN}:993",
        file=TOML.replace(f"imap.{DOMAIN}", f"imaps.{DOMAIN}"),
    ),
    "a name server that knows no such question": Mistake(
        answering_names("127.0.1.58", dns.rcode.NOTIMP),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.58"),
    ),
    "a name server that does not understand": Mistake(
        answering_names("127.0.1.59", dns.rcode.FORMERR),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.59"),
    ),
    "port 53 shut by TCP": Mistake(
        lambda here: here.name_server("127.0.1.60", cut),
        "domain.lookup-failed",
        DOMAIN,
        options=("--resolver", "127.0.1.60"),
    ),
    "a name server that drops AAAA": Mistake(
        dropping_aaaa("127.0.1.61"),
        "dns.half-answered",
        f"imap.{DOMAIN}",
        status="warning",
        options=("--resolver", "127.0.1.61", "--timeout", "3"),
    ),
    "a name server that does not recurse": Mistake(
        in_bind(without="autoconfig", more="AUTOCONFIG IN CNAME www.elsewhere.test.\n"),
        "dns.lookup-failed",
        f"autoconfig.{DOMAIN}",
        options=AT_BIND,
    ),
    "an MX host whose alias is a loop": Mistake(
        in_bind(without="mx", more=f"MX {LOOP}"),
        "mx.alias-loop",
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
        "document.not-published",
        f"autoconfig.{DOMAIN}",
    ),
}


# --- TLS and mail servers -----------------------------------------------------------------


def lead(host: str, address: str) -> Seed:
    def seed(here: Checking) -> None:
        lines = (ADDRESSES + here.zone).splitlines(True)
        rest = [it for it in lines if not it.startswith(f"{host} ")]
        here.names.serve("".join(rest) + f"{host.upper()} IN A {address}\n")

    return seed


def unencrypted_web(here: Checking) -> None:
    here.listen(ELSEWHERE, 443, says_first("HTTP/1.1 400 Bad Request"))
    lead_web(here)


Certify = Callable[[Checking], Any]


def at_web(certificate: Certify) -> Seed:
    """All of the domain's web with that certificate."""

    def seed(here: Checking) -> None:
        served = here.front
        here.web(ELSEWHERE, certificate(here)).answer = served.answer
        lead_web(here)

    return seed


def by_nginx(tls: str) -> Seed:
    """All of the domain's web by a real nginx with these lines on TLS."""

    def seed(here: Real) -> None:
        locations = PROXY.format(service=f"http://{WEB}")
        here.nginx(ELSEWHERE, here.certificate(*WEB_NAMES), locations, tls)
        lead_web(here)

    return seed


def lead_web(here: Checking) -> None:
    """The domain's web is elsewhere."""
    text = ADDRESSES + here.zone
    for name in ("www", "@"):
        text = text.replace(f"{name} IN A {WEB}", f"{name} IN A {ELSEWHERE}")
    here.names.serve(text)


WEB_NAMES = (
    *(f"{it}.{DOMAIN}" for it in ("autoconfig", "autodiscover", "ua-auto-config")),
    DOMAIN,
)


def good(*names: str, days: int = 90) -> Certify:
    ends = timedelta(days=days, hours=12)
    return lambda here: here.certificate(*names, not_after=datetime.now(UTC) + ends)


def expired(*names: str) -> Certify:
    return good(*names, days=-3)


def leaf_alone(*names: str) -> Certify:
    """Of an intermediate authority that the server does not send."""
    return lambda here: here.unknown(*names, whole=False)


def self_signed(name: str) -> Certify:
    return lambda here: here.self_signed(name)


def mail(
    host: str, port: int, behave: Behaviour, certificate: Certify | None = None
) -> Seed:
    """A mail server elsewhere that behaves so."""

    def seed(here: Checking) -> None:
        shown = certificate(here) if certificate else None
        here.listen(ELSEWHERE, port, behave, shown)
        lead(host, ELSEWHERE)(here)

    return seed


def silent(connection: socket.socket) -> None:
    connection.recv(10)
    time.sleep(12)


def breaks_off(connection: socket.socket) -> None:
    """Submission that hangs up in the place of a TLS handshake."""
    connection.sendall(b"220 come in\r\n")
    for reply in (b"250-STARTTLS\r\n250 SIZE\r\n", b"220 go on\r\n"):
        connection.recv(4096)
        connection.sendall(reply)


def starts_tls(certificate: Certify, before: str, inside: Behaviour) -> Seed:
    """Submission whose EHLO says one thing before STARTTLS and another inside."""

    def seed(here: Checking) -> None:
        behave = talks("220 come in", ("EHLO", before), inside=inside)
        here.listen(ELSEWHERE, 587, behave, certificate(here), at_once=False)
        lead("smtp", ELSEWHERE)(here)

    return seed


SUBMISSION = TOML.replace('type = "smtp"', 'type = "smtp"\nsocket_type = "STARTTLS"')
AT_IMAP, AT_SMTP = f"imap imap.{DOMAIN}:993", f"smtp smtp.{DOMAIN}:465"
IMAP_NAME, SMTP_NAME = f"imap.{DOMAIN}", f"smtp.{DOMAIN}"
ONLY_STARTTLS = "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\na OK"
PLAIN = 'socket_type = "plain"\nport = 143\n\n'


SERVERS = {
    "no encryption published, and STARTTLS wanted": Mistake(
        mail("imap", 143, talks("* OK", ("CAPABILITY", ONLY_STARTTLS))),
        "server.starttls-first",
        f"imap imap.{DOMAIN}:143 plain",
        file=TOML.replace("[[provider.outgoing]]", PLAIN + "[[provider.outgoing]]"),
        options=("--unpublished",),
    ),
    "a certificate of the web that ends soon": Mistake(
        at_web(good(*WEB_NAMES, f"www.{DOMAIN}", days=2)),
        "tls.ends-soon",
        f"autoconfig.{DOMAIN}:443",
        status="warning",
    ),
    "an expired certificate of the web": Mistake(
        at_web(expired(*WEB_NAMES)), "tls.expired", AT_CONFIG
    ),
    "no intermediate certificate at the web": Mistake(
        at_web(leaf_alone(*WEB_NAMES)), "tls.incomplete-chain", AT_CONFIG
    ),
    "a certificate of another name": Mistake(
        at_web(good("other.test")), "tls.name-mismatch", AT_CONFIG
    ),
    "an authority that nobody knows": Mistake(
        at_web(lambda here: here.unknown(*WEB_NAMES)),
        "tls.unknown-authority",
        AT_CONFIG,
    ),
    "TLS 1.1": Mistake(
        by_nginx("ssl_protocols TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;"),
        "http.no-tls",
        AT_CONFIG,
    ),
    "a refused handshake": Mistake(
        by_nginx("ssl_reject_handshake on;"), "http.no-tls", AT_CONFIG
    ),
    "http at the port of https": Mistake(unencrypted_web, "http.no-tls", AT_CONFIG),
    "an expired certificate of the mail server": Mistake(
        mail("imap", 993, talks("* OK"), expired(IMAP_NAME)), "tls.expired", AT_IMAP
    ),
    "no intermediate certificate at the mail server": Mistake(
        mail("imap", 993, talks("* OK"), leaf_alone(IMAP_NAME)),
        "tls.incomplete-chain",
        AT_IMAP,
    ),
    "a self-signed certificate": Mistake(
        mail("imap", 993, talks("* OK"), self_signed(IMAP_NAME)),
        "tls.self-signed",
        AT_IMAP,
    ),
    "a mail server's certificate of another name": Mistake(
        mail("imap", 993, talks("* OK"), good("mail.other.test")),
        "tls.name-mismatch",
        AT_IMAP,
    ),
    "a certificate that ends soon": Mistake(
        mail(
            "imap",
            993,
            talks("* OK", ("CAPABILITY", "* CAPABILITY AUTH=PLAIN\r\na OK")),
            good(IMAP_NAME, days=2),
        ),
        "tls.ends-soon",
        AT_IMAP,
        status="warning",
    ),
    "no TLS at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("* OK hello")), "server.no-tls", AT_IMAP
    ),
    "a POP3 server at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("+OK hello"), good(IMAP_NAME)),
        "server.no-protocol",
        AT_IMAP,
    ),
    "an SMTP server at the port of IMAPS": Mistake(
        mail("imap", 993, says_first("220 hello"), good(IMAP_NAME)),
        "server.no-protocol",
        AT_IMAP,
    ),
    "a mail server that turns away": Mistake(
        mail("imap", 993, says_first("* BYE too many connections"), good(IMAP_NAME)),
        "server.no-protocol",
        AT_IMAP,
    ),
    "a submission server that turns away": Mistake(
        mail("smtp", 465, says_first("554 blocked"), good(SMTP_NAME)),
        "server.no-protocol",
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
        "server.logindisabled",
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
        "server.method-not-offered",
        AT_IMAP,
    ),
    "submission without logins": Mistake(
        mail("smtp", 465, talks("220 x", ("EHLO", "250 SIZE")), good(SMTP_NAME)),
        "server.no-login",
        AT_SMTP,
    ),
    "logins before STARTTLS only": Mistake(
        starts_tls(
            good(SMTP_NAME),
            "250-STARTTLS\r\n250 AUTH PLAIN",
            talks("", ("EHLO", "250 SIZE")),
        ),
        "server.auth-before-tls",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "a handshake that breaks off after STARTTLS": Mistake(
        mail("smtp", 587, breaks_off),
        "server.no-tls",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "no STARTTLS": Mistake(
        mail("smtp", 587, talks("220 x", ("EHLO", "250 AUTH PLAIN"))),
        "server.no-encryption",
        f"smtp smtp.{DOMAIN}:587",
        file=SUBMISSION,
        options=("--unpublished",),
    ),
    "a port where nothing listens": Mistake(
        lambda here: None,
        "server.wrong-port",
        f"imap imap.{DOMAIN}:994",
        file=TOML.replace('"imap"', '"imap"\nport = 994'),
        options=("--unpublished",),
    ),
    "submission at port 25": Mistake(
        lambda here: None,
        "server.port-25",
        f"smtp smtp.{DOMAIN}:25",
        status="warning",
        file=TOML.replace('"smtp"', '"smtp"\nport = 25\nsocket_type = "STARTTLS"'),
        options=("--unpublished",),
    ),
    "a mail server that is not running": Mistake(
        lead("imap", DEAD), "server.no-connection", AT_IMAP
    ),
    "a mail server that says nothing": Mistake(
        mail("imap", 993, silent), "server.timeout", AT_IMAP
    ),
    "a web server that is not running": Mistake(
        zone(
            (f"www IN A {WEB}", f"www IN A {DEAD}"), (f"@ IN A {WEB}", f"@ IN A {DEAD}")
        ),
        "http.no-connection",
        AT_CONFIG,
    ),
}

# --- Servers that ask clients for certificates -------------------------------------------


def asking_for_certificates(host: str, port: int) -> Seed:
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

        here.listen(ELSEWHERE, port, behave)
        lead(host, ELSEWHERE)(here)

    return seed


CERTIFICATES = {
    f"{host} asks clients for certificates": Mistake(
        asking_for_certificates(host, port), code, at, status=status
    )
    for host, port, at, code, status in (
        ("imap", 993, AT_IMAP, "server.no-tls", "failure"),
        ("smtp", 465, AT_SMTP, "server.no-tls", "failure"),
        ("autoconfig", 443, AT_CONFIG, "http.no-tls", "warning"),
    )
}


# --- Calendars ----------------------------------------------------------------------------

CALDAV = "/.well-known/caldav"


def dav(answer: Callable[[Asked], Answer]) -> Seed:
    """A calendar server that answers so, elsewhere."""

    def seed(here: Checking) -> None:
        lead("dav", ELSEWHERE)(here)
        here.web(ELSEWHERE, here.certificate(f"dav.{DOMAIN}")).answer = answer

    return seed


def astray(asked: Asked) -> Answer | None:
    if asked.path == "/login":
        return page('<input type="password">')(asked)
    if asked.path == CALDAV:
        return says(302, Location=f"https://{DOMAIN}/login")(asked)
    return None


def unled(here: Checking) -> None:
    """No SRV record, and 404 at the domain itself."""
    records = (ADDRESSES + here.zone).splitlines(keepends=True)
    here.names.serve("".join(it for it in records if not it.startswith("_caldav")))
    here.front.answer = lambda it: says(404)(it) if it.path == CALDAV else None


CALENDAR = {
    "a redirect of calendars to a login page": Mistake(
        web(astray), "dav.well-known", CALDAV, "Calendars", status="warning"
    ),
    "a redirect of calendars to http": Mistake(
        where(CALDAV, says(301, Location=f"http://dav.{DOMAIN}/")),
        "dav.well-known",
        CALDAV,
        "Calendars",
        status="warning",
    ),
    "a redirect loop of calendars": Mistake(
        where(CALDAV, says(301, Location=CALDAV)),
        "dav.well-known",
        CALDAV,
        "Calendars",
        status="warning",
    ),
    "a calendar that nothing leads to": Mistake(
        unled, "dav.not-published", CALDAV, "Calendars"
    ),
    "a login page for a calendar": Mistake(
        dav(page('<input type="password">')),
        "dav.server-wrong",
        f"dav.{DOMAIN}",
        "Calendars",
    ),
    "no calendar at its URL": Mistake(
        dav(says(404)), "dav.server-wrong", f"dav.{DOMAIN}", "Calendars"
    ),
    "a calendar that refuses PROPFIND": Mistake(
        dav(says(405)), "dav.server-wrong", f"dav.{DOMAIN}", "Calendars"
    ),
    "a calendar whose 401 asks for nothing": Mistake(
        dav(says(401)), "dav.server-no-authenticate", f"dav.{DOMAIN}", "Calendars"
    ),
}

# --- The MX host --------------------------------------------------------------------------


def hoster(answer: Callable[[Asked], Answer]) -> Seed:
    """A customer's domain whose MX host is a hoster's."""

    def seed(here: Checking) -> None:
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
        hoster(says(204, "")), "http.empty", AT_HOSTER, file=None
    ),
    "a hoster's nothing": Mistake(
        hoster(says(200, "")), "http.empty", AT_HOSTER, file=None
    ),
    "a hoster's web page": Mistake(
        hoster(page("Hosting")), "http.web-page", AT_HOSTER, file=None
    ),
    "a hoster's 204 for domains of nobody": Mistake(
        web(lambda it: says(204, "")(it) if "unknown.invalid" in it.query else None),
        "http.empty",
        AT_CONFIG,
        status="warning",
        file=TOML.replace("domains =", f'mx_domains = ["{DOMAIN}"]\ndomains ='),
    ),
    "a hoster's failure": Mistake(
        hoster(says(500)), "http.server-error", AT_HOSTER, file=None
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


# How facts are gathered, each way once: from OpenSSL, sockets, servers and time itself.
ONLY_REALLY = (
    "a name server that is not reached",
    "TLS 1.1",
    "a refused handshake",
    "a handshake that breaks off after STARTTLS",
    "a mail server that says nothing",
    *CERTIFICATES,
)
# The signature of a profile is verified by the program openssl.
BY_OPENSSL = (
    "a profile that was changed",
    "a profile whose signer has ended",
    "a profile whose signer ends soon",
)
REALLY = (
    *ONLY_REALLY,
    "a slow answer",
    "a name server that drops AAAA",
    "a redirect loop",
    "gzip that nothing says of",
    "a profile that was changed",
    "a loop that the name server itself follows",
    "a name server that does not recurse",
    "SERVFAIL with an extended error",
    "port 53 shut by TCP",
    "an address where no mail server listens",
    "an expired certificate of the web",
    "no intermediate certificate at the web",
    "a certificate of another name",
    "an authority that nobody knows",
    "a self-signed certificate",
    "http at the port of https",
    "a POP3 server at the port of IMAPS",
    "submission without logins",
    "logins before STARTTLS only",
    "a mail server that is not running",
    "no calendar at its URL",
)


def is_named_first(here: Checking, tmp_path: Path, name: str) -> dict[str, Any]:
    """Check that the mistake comes first of its status, and give what is said of it."""
    mistake = MISTAKES[name]
    mistake.seed(here)
    found = told(here, mistake, tmp_path)
    said = "\n".join(
        f"{it['status']} {it['code']} {it['subject']}: {it['seen']}" for it in found
    )
    same = [it for it in found if it["status"] == mistake.status]
    at = [it for it in same if mistake.at in it["subject"]]
    first = next((it for it in at if it["code"] == mistake.code), None)
    assert first, said
    assert mistake.status == "note" or first == same[0], said
    assert mistake.clients in " ".join(first["clients"]), said
    if mistake.status != "failure":
        assert not [it for it in found if it["status"] == "failure"], said
    everything = str(found)
    assert "EVOLUTIONUSER" not in everything
    assert "('" not in "".join(it["seen"] + it["cure"] for it in found)
    return first


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(it, marks=pytest.mark.world if it in BY_OPENSSL else ())
        for it in MISTAKES
        if it not in ONLY_REALLY
    ],
)
def test_a_mistake_is_named_first_and_at_its_place(
    on_paper: Paper, tmp_path: Path, name: str
) -> None:
    first = is_named_first(on_paper, tmp_path, name)
    assert words(first) == snapshot(name, first)


@pytest.mark.world
@pytest.mark.parametrize("name", REALLY)
def test_it_is_named_so_where_all_is_real(
    really: Real, tmp_path: Path, name: str
) -> None:
    first = is_named_first(really, tmp_path, name)
    if name in ONLY_REALLY:
        assert words(first) == snapshot(name, first)


def test_the_snapshot_has_no_words_of_mistakes_that_nobody_makes() -> None:
    assert set(said()) == set(MISTAKES)
