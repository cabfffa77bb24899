"""Holds what is published against what is true, the way a client goes.

The file, DNS, HTTPS with every URL that clients try, the documents found there, and every
server that they name. Each step gives findings: what was seen, and for what is not well,
why it matters and what to change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote

from msgspec import Struct, structs

from . import clients, dns, probe
from .address import Address, fill_in
from .documents import outlook, pacc, thunderbird
from .errors import ConfigError, Problem
from .model import SERVER_KEYS, Config, Provider, Server, from_raw, standard_port
from .probe import Certificate, Network, Page, ProbeError

OK, WARNING, FAILURE = "ok", "warning", "failure"
_FEW_DAYS = 14  # before a certificate's end that deserve a warning
_WORKERS = 16


class Finding(Struct, frozen=True):
    """One thing that was looked at."""

    step: str  # file, dns, https, document, server, login
    subject: str  # the URL, name or server
    status: str  # ok, warning, failure
    seen: str
    why: str = ""
    cure: str = ""


def good(step: str, subject: str, seen: str) -> Finding:
    """Something that is as it should be."""
    return Finding(step, subject, OK, seen)


Task = Callable[[], list[Finding]]


def _run(tasks: Iterable[Task]) -> list[Finding]:
    """The tasks' findings, in the tasks' order, though they ran side by side."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = [pool.submit(task) for task in tasks]
        return [finding for result in results for finding in result.result()]


@dataclass
class Check:
    """A domain, what a file says of it (if there is one), and how to reach servers."""

    domain: str
    network: Network
    provider: Provider | None = None
    exact: bool = True
    address: Address | None = None
    documents: list[Provider] = field(default_factory=list)  # found published
    pacc_body: bytes | None = None

    def everything(self) -> list[Finding]:
        """DNS, HTTPS and the servers; without a file those that are published."""
        published = self.published()
        return published + self.servers()

    def published(self) -> list[Finding]:
        """What DNS and the web servers say."""
        https = _run(self._https_tasks())
        tasks: list[Task] = [partial(self._names, bool(self.documents)), self._mx]
        tasks.append(self._digest)
        if self.provider:
            tasks += [partial(self._srv, name) for name in _expected(self._known())]
        found = _run(tasks)
        if not self.documents and not self.provider:
            found.append(self._nothing_published())
        return found + https

    def _nothing_published(self) -> Finding:
        return Finding(
            "document",
            self.domain,
            FAILURE,
            "no document with mail settings is published",
            "a mail client can only guess the servers",
            "make a file with `flask-autoconfig init`, serve it, publish the DNS records",
        )

    def _known(self) -> tuple[Provider, str]:
        provider = self.provider or self.documents[0]
        return provider, self.domain

    # --- DNS ---------------------------------------------------------------------------

    def _names(self, is_found: bool) -> list[Finding]:
        found = []
        for label in dns.HOST_LABELS:
            name = f"{label}.{self.domain}"
            needless = label == "ua-auto-config" and not self._has_pacc()
            if not needless:
                found.append(self._name(name, label, is_found))
        return found

    def _has_pacc(self) -> bool:
        return not self.provider or pacc.write(self.provider, self.domain) is not None

    def _name(self, name: str, label: str, is_found: bool) -> Finding:
        try:
            addresses = self.network.resolver.addresses(name)
        except dns.LookupFailed as error:
            cure = "look at the domain's name servers"
            return Finding("dns", name, FAILURE, str(error), "nobody finds it", cure)
        if addresses:
            return good("dns", name, ", ".join(addresses[:4]))
        essential = label == "autoconfig" and not is_found
        return Finding(
            "dns",
            name,
            FAILURE if essential else WARNING,
            "the name does not resolve",
            f"{_WHO[label]} ask there first",
            f"publish a CNAME {name} to the host that serves the settings",
        )

    def _mx(self) -> list[Finding]:
        subject = f"{self.domain} MX"
        try:
            hosts = self.network.resolver.mx(self.domain)
        except dns.LookupFailed as error:
            why = "mail cannot be delivered"
            return [
                Finding(
                    "dns", subject, FAILURE, str(error), why, "look at the name servers"
                )
            ]
        if not hosts:
            why = "nobody can send mail to the domain"
            cure = "publish an MX record that names its mail server"
            return [Finding("dns", subject, WARNING, "there is none", why, cure)]
        mx_domains = self.provider.mx_domains if self.provider else ()
        if mx_domains and not any(
            host == name or host.endswith(f".{name}")
            for host in hosts
            for name in mx_domains
        ):
            return [
                Finding(
                    "dns",
                    subject,
                    WARNING,
                    f"{', '.join(hosts)}: none is below mx_domains",
                    "clients that go by the MX host do not get here",
                    "list the MX host's domain in mx_domains",
                )
            ]
        return [good("dns", subject, ", ".join(hosts))]

    def _srv(self, name: str) -> list[Finding]:
        expected = _expected(self._known())[name]
        subject = f"{name}.{self.domain} SRV"
        try:
            places = self.network.resolver.srv(f"{name}.{self.domain}")
            paths = self.network.resolver.txt(f"{name}.{self.domain}")
        except dns.LookupFailed as error:
            cure = "look at the name servers"
            return [
                Finding("dns", subject, FAILURE, str(error), "nobody finds it", cure)
            ]
        offered = [place for place in places if place[0]]
        seen = ", ".join(f"{host}:{port}" for host, port in offered)
        wanted = ", ".join(f"{host}:{port}" for host, port in expected.places)
        if set(offered) == set(expected.places):
            if not places:
                return []
            if expected.path and paths and expected.path not in paths:
                return [_wrong(subject, f"TXT {paths[0]}", expected.path)]
            return [good("dns", subject, seen or "not offered, as the file says")]
        if not places:
            return [
                Finding(
                    "dns",
                    subject,
                    WARNING,
                    "there is none",
                    "Evolution, calendar programs and others look there",
                    f"publish it: {wanted} (see `flask-autoconfig dns`)",
                )
            ]
        return [_wrong(subject, seen or "“not offered”", wanted or "“not offered”")]

    def _digest(self) -> list[Finding]:
        name = f"_ua-auto-config.{self.domain}"
        if self.pacc_body is None:
            return []
        wanted = pacc.digest_record(self.pacc_body)
        try:
            values = self.network.resolver.txt(name)
        except dns.LookupFailed as error:
            cure = "look at the name servers"
            return [Finding("dns", name, FAILURE, str(error), "nobody finds it", cure)]
        why = "PACC clients believe only a document whose digest is in DNS"
        cure = f'publish {name} TXT "{wanted}"'
        if not values:
            return [Finding("dns", name, WARNING, "there is no digest", why, cure)]
        if wanted in values:
            return [good("dns", name, "the digest is that of the document served")]
        seen = "the digest is not that of the document served"
        return [Finding("dns", name, FAILURE, seen, why, cure)]

    # --- HTTPS -------------------------------------------------------------------------

    def _https_tasks(self) -> list[Task]:
        domain = self.domain
        local = self.address.local if self.address else "EVOLUTIONUSER"
        query = f"?emailaddress={quote(f'{local}@{domain}')}"
        config = "/mail/config-v1.1.xml"
        first = f"https://autoconfig.{domain}{config}{query}"
        second = f"https://{domain}/.well-known/autoconfig{config}{query}"
        tasks: list[Task] = [
            partial(self._autoconfig, first, second),
            partial(self._plain_http, f"http://autoconfig.{domain}{config}{query}"),
            self._autodiscover,
            self._pacc,
        ]
        if self.provider:
            types = {server.type for _, server in self.provider.servers if server.url}
            tasks += [
                partial(self._dav, kind)
                for kind in ("caldav", "carddav", "jmap")
                if kind in types
            ]
        return tasks

    def _resolves(self, name: str) -> bool:
        try:
            return bool(self.network.resolver.addresses(name))
        except dns.LookupFailed:
            return False

    def _autoconfig(self, first: str, second: str) -> list[Finding]:
        """Both URLs: one has to work, and neither may be wrong."""
        name = f"autoconfig.{self.domain}"
        findings = self._document(first) if self._resolves(name) else []
        works = bool(self.documents)
        others = self._document(second)
        if works and not any(it.step == "document" for it in others):
            # Nothing there is no harm: clients have the first one.
            others = [
                it if it.status == OK else structs.replace(it, status=WARNING)
                for it in others
            ]
        return findings + others

    def _document(self, url: str) -> list[Finding]:
        page, findings = self._fetch(url)
        if page is None:
            return findings
        trouble = _not_a_document(page)
        if trouble:
            return [*findings, trouble]
        reader = thunderbird.Reader()
        try:
            raw = reader.read(page.body)
            (provider,) = from_raw({"provider": [raw]}).provider
        except (thunderbird.NotAutoconfigError, ConfigError) as error:
            return [*findings, _unreadable(url, error)]
        self.documents.append(provider)
        return findings + self._judge(url, page, provider)

    def _judge(self, url: str, page: Page, provider: Provider) -> list[Finding]:
        """The document by each client's rules, and against the file."""
        findings = []
        problems = clients.document_warnings(page.body)
        if self.provider is None:  # a file's own warnings are the file's step
            problems += clients.warnings(Config(provider=(provider,)))
        for problem in problems:
            findings.append(from_problem("document", url, problem))
        if self.provider:
            findings += [
                Finding(
                    "document",
                    url,
                    FAILURE,
                    f"{place} is {seen}, the file says {wanted}",
                    "clients get other settings than you think",
                    "reload what serves it, or publish the file that is meant",
                )
                for place, seen, wanted in self._differences(provider)
            ]
        if not any(it.status == FAILURE for it in findings):
            agreed = " and agrees with the file" if self.provider else ""
            servers = ", ".join(
                f"{it.type} {it.hostname}:{it.port}"
                for _, it in provider.servers
                if it.hostname
            )
            findings.append(good("document", url, f"it is valid{agreed}: {servers}"))
        return findings

    def _differences(self, seen: Provider) -> Iterator[tuple[str, str, str]]:
        if self.provider is None:
            return
        document = thunderbird.write(self.provider, self.domain, self.exact)
        raw = thunderbird.Reader().read(document)
        (wanted,) = from_raw({"provider": [raw]}).provider
        for key in SERVER_KEYS:
            ours, theirs = getattr(wanted, key), getattr(seen, key)
            if len(ours) != len(theirs):
                yield key, f"{len(theirs)} servers", f"{len(ours)}"
                continue
            for index, (our, their) in enumerate(zip(ours, theirs, strict=True)):
                for item in structs.fields(our):
                    one, other = getattr(our, item.name), getattr(their, item.name)
                    if one != other:
                        yield f"{key}[{index}].{item.name}", str(other), str(one)

    def _fetch(self, url: str, **options: Any) -> tuple[Page | None, list[Finding]]:
        try:
            page = probe.fetch(self.network, url, **options)
        except ProbeError as error:
            why = "clients that ask there get nothing"
            cure = _HTTP_CURES.get(error.kind, "look at the web server")
            return None, [Finding("https", url, FAILURE, str(error), why, cure)]
        findings = []
        if page.certificate is not None:
            host = url.split("/")[2]
            findings = _certificate_findings("https", url, page.certificate, host)
            if any(it.status == FAILURE for it in findings):
                return None, findings
        if page.redirects:
            findings.append(good("https", url, f"it leads to {page.url}"))
        return page, findings

    def _plain_http(self, url: str) -> list[Finding]:
        """Kontact and Thunderbird ask so too; nothing there is well."""
        try:
            page = probe.fetch(self.network, url)
        except ProbeError:
            return []
        if page.status != 200:
            return []
        trouble = _not_a_document(page)
        if trouble:
            return [structs.replace(trouble, status=WARNING)]
        return [good("https", url, "it is answered over plain http too")]

    def _autodiscover(self) -> list[Finding]:
        name = f"autodiscover.{self.domain}"
        url = f"https://{name}/autodiscover/autodiscover.xml"
        if not self._resolves(name):
            return []  # the name's own finding says so
        address = self.address or Address("EVOLUTIONUSER", self.domain)
        page, findings = self._fetch(
            url,
            method="POST",
            body=outlook.request(str(address)),
            headers={"Content-Type": "text/xml"},
        )
        if page is None:
            return findings
        why = "Outlook finds no settings"
        cure = "let this service answer POST there"
        if page.status != 200:
            seen = f"status {page.status}"
            return [*findings, Finding("https", url, FAILURE, seen, why, cure)]
        try:
            servers = outlook.read_servers(page.body)
        except ValueError as error:
            return [*findings, Finding("https", url, FAILURE, str(error), why, cure)]
        wanted = (
            outlook.read_servers(outlook.write(self.provider, self.domain, address))
            if self.provider
            else servers
        )
        if servers != wanted:
            seen = f"it says {_listed(servers)}, the file says {_listed(wanted)}"
            return [*findings, Finding("document", url, FAILURE, seen, why, cure)]
        return [*findings, good("document", url, f"Outlook gets {_listed(servers)}")]

    def _pacc(self) -> list[Finding]:
        name = f"ua-auto-config.{self.domain}"
        url = f"https://{name}{pacc.PATH}"
        expected = pacc.write(self.provider, self.domain) if self.provider else None
        if not self._resolves(name) or (self.provider and expected is None):
            return []
        page, findings = self._fetch(url)
        if page is None:
            return findings
        why = "PACC clients find no settings"
        if page.status != 200 or page.content_type != pacc.CONTENT_TYPE:
            seen = f"status {page.status}, {page.content_type or 'no content type'}"
            cure = "let this service answer there, as application/json"
            return [*findings, Finding("https", url, FAILURE, seen, why, cure)]
        self.pacc_body = page.body
        if expected is not None and page.body != expected:
            seen = "the document is not the one that the file makes"
            cure = "reload what serves it"
            return [*findings, Finding("document", url, FAILURE, seen, why, cure)]
        return [*findings, good("document", url, "it is served")]

    def _dav(self, kind: str) -> list[Finding]:
        url = f"https://{self.domain}/.well-known/{kind}"
        page, findings = self._fetch(url, follow=False)
        if page is None or page.status not in (301, 302, 303, 307, 308, 401):
            seen = f"status {page.status}" if page else findings[-1].seen
            why = "calendar and address book programs look there when SRV fails"
            cure = f"redirect it to the {kind} server, or let this service answer"
            return [Finding("https", url, WARNING, seen, why, cure)]
        seen = page.headers.get("location", "it answers itself")
        return [*findings, good("https", url, f"leads to {seen}")]

    # --- Servers -----------------------------------------------------------------------

    def servers(self) -> list[Finding]:
        """Every server of the file, or of what is published without one."""
        return _run(
            partial(self._server, server)
            for server in self._servers()
            if server.hostname or server.url
        )

    def _servers(self) -> list[Server]:
        providers = [self.provider] if self.provider else self.documents[:1]
        servers = [it for provider in providers for _, it in provider.servers]
        return list(dict.fromkeys(servers))

    def _server(self, server: Server) -> list[Finding]:
        if server.type in ("imap", "pop3", "smtp"):
            return self._mail_server(server)
        if server.type in ("caldav", "carddav", "webdav", "jmap") and server.url:
            return self._url_server(server)
        return []

    def _place(self, server: Server) -> tuple[str, str, int, str]:
        host = (server.hostname or "").replace("%EMAILDOMAIN%", self.domain)
        return server.type, host, server.port or 0, server.socket_type or "SSL"

    def _mail_server(self, server: Server) -> list[Finding]:
        type_, host, port, socket_type = self._place(server)
        subject = f"{type_} {host}:{port} {socket_type}"
        try:
            seen = probe.mail_server(self.network, type_, host, port, socket_type)
        except ProbeError as error:
            return [self._unreachable(subject, server, error)]
        findings = []
        if seen.certificate is not None:
            findings = _certificate_findings("server", subject, seen.certificate, host)
        if socket_type == "plain":
            findings.append(
                Finding(
                    "server",
                    subject,
                    WARNING,
                    "unencrypted",
                    "mail and passwords can be read on the way",
                    'offer TLS and publish socket_type = "SSL"',
                )
            )
        elif socket_type == "STARTTLS" and seen.plain_before_tls:
            findings.append(
                Finding(
                    "server",
                    subject,
                    WARNING,
                    "it takes passwords before encryption too",
                    "a client that is told not to encrypt sends them in the clear",
                    "switch plain text off before TLS (Dovecot: "
                    "disable_plaintext_auth = yes, Postfix: smtpd_tls_auth_only = yes)",
                )
            )
        return findings + _method_findings(subject, server, seen)

    def _unreachable(self, subject: str, server: Server, error: ProbeError) -> Finding:
        type_, host, port, socket_type = self._place(server)
        cure = "start the server, open its port, or publish the one that works"
        if error.kind == "dns":
            cure = f"publish an address of {host}, or correct the hostname"
        elif error.kind == "connect":
            cure = self._other_ports(type_, host, port) or cure
        elif error.kind in ("tls", "starttls", "timeout", "protocol"):
            cure = self._other_encryption(type_, host, port, socket_type) or cure
        why = "no client can log in there"
        return Finding("server", subject, FAILURE, str(error), why, cure)

    def _other_ports(self, type_: str, host: str, port: int) -> str:
        for _, kind, socket_type in dns.MAIL_SERVICES:
            standard = standard_port(kind, socket_type)
            if kind == type_ and standard and standard != port:
                with _quiet():
                    probe.mail_server(self.network, type_, host, standard, socket_type)
                    return (
                        f"the server answers at port = {standard}, "
                        f'socket_type = "{socket_type}": publish that'
                    )
        return ""

    def _other_encryption(self, type_: str, host: str, port: int, tried: str) -> str:
        for socket_type in ("SSL", "STARTTLS", "plain"):
            if socket_type != tried:
                with _quiet():
                    probe.mail_server(self.network, type_, host, port, socket_type)
                    if socket_type == "plain":
                        return (
                            "the server has no encryption there: give it a certificate"
                        )
                    return f'the server speaks socket_type = "{socket_type}" there'
        return ""

    def _url_server(self, server: Server) -> list[Finding]:
        url = fill_in(server.url, self.domain, self.address)
        if not url:  # whose calendar is not known: ask for as much as is
            known = (server.url or "").replace("%EMAILDOMAIN%", self.domain)
            url = known.partition("%EMAIL")[0].rpartition("/")[0] + "/"
        method = "GET" if server.type == "jmap" else "OPTIONS"
        page, findings = self._fetch(url, method=method)
        findings = [structs.replace(it, step="server") for it in findings]
        if page is None:
            return findings
        speaks = "dav" in page.headers or server.type == "jmap"
        if page.status == 401 or (page.status in (200, 204) and speaks):
            return [*findings, good("server", url, f"{server.type}: it answers")]
        seen = f"status {page.status}" + ("" if speaks else ", no DAV header")
        why = f"no client finds {server.type} there"
        cure = "correct the url, or start the service"
        return [*findings, Finding("server", url, FAILURE, seen, why, cure)]

    # --- Login -------------------------------------------------------------------------

    def logins(self, password: str) -> list[Finding]:
        """A real login at each mail server, with the published name and method."""
        return _run(
            partial(self._login, server, password)
            for server in self._servers()
            if server.type in ("imap", "pop3", "smtp") and server.username
        )

    def _login(self, server: Server, password: str) -> list[Finding]:
        type_, host, port, socket_type = self._place(server)
        user = fill_in(server.username, self.domain, self.address)
        method = next((it for it in server.authentication if it in _LOGINS), None)
        subject = f"{type_} {host}:{port} {method or server.authentication[0]}"
        if method is None or socket_type == "plain":
            seen = "not tried: unencrypted"
            if method is None:
                seen = "not tried: only passwords can be"
            why = "a password must not travel in the clear" if method else ""
            return [Finding("login", subject, WARNING, seen, why)]
        place = (self.network, type_, host, port, socket_type)
        try:
            offered = probe.mail_server(*place).mechanisms
            mechanism = next(
                (it for it in _LOGINS[method] if it in offered), _LOGINS[method][0]
            )
            refusal = probe.log_in(
                *place, mechanism=mechanism, user=user, password=password
            )
        except ProbeError as error:
            refusal = str(error)
        if not refusal:
            return [good("login", subject, f"{user} is let in")]
        return [
            Finding(
                "login",
                subject,
                FAILURE,
                f"{user} is refused: {refusal}",
                "a person who types the same is refused too",
                "look at the user name that is published, the method and the password",
            )
        ]


class _quiet:  # noqa: N801 (a context manager like contextlib.suppress)
    """Pass over a probe that came to nothing."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, ProbeError)


_WHO = {
    "autoconfig": "Thunderbird, Evolution, Delta Chat and others",
    "autodiscover": "Outlook and Delta Chat",
    "ua-auto-config": "PACC clients",
}
_HTTP_CURES = {
    "dns": "publish an address for the name",
    "connect": "start the web server, and open the port",
    "tls": "give the web server a certificate for the name",
    "timeout": "make it answer faster: Thunderbird waits 5 seconds",
    "redirect": "redirect straight to a URL that answers",
}
_LOGINS: dict[Any, tuple[str, ...]] = {
    "password-cleartext": ("PLAIN", "LOGIN"),
    "password-encrypted": ("CRAM-MD5",),
}
# What a server must offer (SASL names) for each published method.
_OFFERED: dict[Any, frozenset[str]] = {
    "password-cleartext": frozenset(("PLAIN", "LOGIN")),
    "password-encrypted": frozenset(("CRAM-MD5", "DIGEST-MD5")),
    "OAuth2": frozenset(("XOAUTH2", "OAUTHBEARER")),
    "GSSAPI": frozenset(("GSSAPI",)),
    "NTLM": frozenset(("NTLM",)),
    "TLS-client-cert": frozenset(("EXTERNAL",)),
}


@dataclass
class _Expected:
    places: list[tuple[str, int]] = field(default_factory=list)
    path: str = ""


def _expected(known: tuple[Provider, str]) -> dict[str, _Expected]:
    expected: dict[str, _Expected] = {}
    for record in dns.service_records(*known):
        entry = expected.setdefault(record.name, _Expected())
        if record.type == "TXT":
            entry.path = record.data.strip('"')
            continue
        _, _, port, host = record.data.split()
        if host != ".":
            entry.places.append((host.removesuffix("."), int(port)))
    return expected


def _wrong(subject: str, seen: str, wanted: str) -> Finding:
    return Finding(
        "dns",
        subject,
        FAILURE,
        f"it says {seen}, the file says {wanted}",
        "clients that go by it set up something else",
        f"publish {wanted} (see `flask-autoconfig dns`)",
    )


def _not_a_document(page: Page) -> Finding | None:
    def failure(seen: str, why: str, cure: str) -> Finding:
        return Finding("https", page.url, FAILURE, seen, why, cure)

    if page.status != 200:
        return failure(
            f"status {page.status}",
            "clients that ask there get nothing",
            "serve the document there; for an unknown domain, add it to the file",
        )
    if not page.body.strip():
        return failure(
            "an empty answer",
            "Delta Chat and Kontact take it for an answer and guess",
            "serve the document, or 404 with words in it",
        )
    if "content-encoding" in page.headers:
        return failure(
            f"compressed unasked ({page.headers['content-encoding']})",
            "Delta Chat reads no compression",
            "switch it off for this path",
        )
    if page.content_type not in ("text/xml", "application/xml"):
        return failure(
            f"content type {page.content_type or 'missing'}",
            "Thunderbird reads only text/xml and application/xml",
            "send Content-Type: text/xml",
        )
    return None


def _unreadable(url: str, error: Exception) -> Finding:
    seen = str(error).replace("\n", ";")
    if isinstance(error, ConfigError):
        seen = "; ".join(f"{it.place}: {it.message}" for it in error.problems)
    why, cure = "no client can use it", "make it with this program's `show` or `export`"
    return Finding("document", url, FAILURE, seen[:500], why, cure)


def from_problem(step: str, subject: str, problem: Problem) -> Finding:
    """A warning of the clients' rules as a finding."""
    place = f"{problem.place}: " if problem.place else ""
    return Finding(
        step,
        subject,
        WARNING,
        f"{place}{problem.message}",
        problem.client,
        problem.cure,
    )


def _certificate_findings(
    step: str, subject: str, certificate: Certificate, host: str
) -> list[Finding]:
    if certificate.problem:
        return [
            Finding(
                step,
                subject,
                FAILURE,
                f"the certificate is not good for {host}: {certificate.problem}",
                "clients refuse to connect",
                f"install a valid certificate for {host}, with its chain",
            )
        ]
    days = certificate.days_left
    if days is not None and days < _FEW_DAYS:
        seen = f"the certificate ends in {days} days"
        why = "clients will refuse to connect"
        return [Finding(step, subject, WARNING, seen, why, "renew it")]
    return [good(step, subject, f"the certificate is good for {days} days")]


def _method_findings(
    subject: str, server: Server, seen: probe.MailServer
) -> list[Finding]:
    """Whether what is published is really offered, once encrypted."""
    offered = ", ".join(sorted(seen.mechanisms)) or "no method"
    if seen.login_disabled and not seen.mechanisms - {"LOGIN"}:
        why, cure = "nobody can log in there", "allow logins once encrypted"
        return [Finding("server", subject, FAILURE, "LOGINDISABLED", why, cure)]
    findings = []
    for method in server.authentication:
        wanted = _OFFERED.get(method)
        if not isinstance(method, str) and method.system == "sasl":
            wanted = frozenset((method.name.upper(),))
        if wanted is None or wanted & seen.mechanisms:
            continue
        findings.append(
            Finding(
                "server",
                subject,
                FAILURE,
                f"{_word(method)} is published, the server offers {offered}",
                "Evolution and Kontact obey it to the letter: every login fails",
                _better(seen.mechanisms),
            )
        )
    return findings or [good("server", subject, f"it offers {offered}")]


def _word(method: Any) -> str:
    return method if isinstance(method, str) else str(method.name)


def _better(mechanisms: set[str]) -> str:
    for method, names in _OFFERED.items():
        if names & mechanisms:
            return f'publish authentication = "{method}"'
    return "switch the method on in the server"


def _listed(servers: list[tuple[str, str, str]]) -> str:
    return (
        ", ".join(f"{kind} {host}:{port}" for kind, host, port in servers) or "nothing"
    )
