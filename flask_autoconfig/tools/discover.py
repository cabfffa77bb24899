"""Discovery of a domain's servers, and the configuration that fits them.

Connections are made to the hosts of SRV records, to customary names, to the MX hosts and
to customary names in their domains. Servers that the domain itself names have precedence:
in its document (if that is right), in SRV records, by Autodiscover, or by customary names
for both IMAP and SMTP. Then come the settings that its hoster publishes, single customary
names of the domain, and the names at the MX; last, names that a web hoster may have made.
"""

from collections.abc import Collection, Iterator
from functools import partial
from itertools import chain
from typing import Any, NamedTuple

from ..config.ports import standard_port
from ..config.reading import from_raw
from ..config.tables import Config
from .check.facts import run_concurrently
from .check.findings import finding
from .check.rules.connections import without_login
from .check.rules.web import alias_chain
from .check.texts import hosters
from .importers.imported import DAV, Raw
from .naming import base_domain
from .net.common import for_software, texts
from .net.mail import MECHANISMS, Endpoint, MailServer
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .published import Entry, Hosted, Notify, Publications, is_host_name

_STEPS = 6  # timeouts that the whole discovery may take
_MAX_TARGETS = 20  # servers of SRV records, or of documents
_NEEDS_MORE = ("OAuth2", "TLS-client-cert")  # settings, outside the server's table
_TEXTS: dict[str, str] = texts()["init"]
# Sources of candidates: keys of _TEXTS, which says how a server was found.
_AUTODISCOVER = "Autodiscover"
_BY_DOMAIN = ("SRV", _AUTODISCOVER, "document")  # the domain itself names it
_UNCERTAIN = ("MX", "certificate")  # another provider may run it
_Tables = dict[str, list[Entry]]  # the servers of each key of the provider


class Discovery(NamedTuple):
    """The configuration that fits a domain, with notes on what it does not have."""

    config: Config | None
    notes: list[str]
    reasons: dict[str, list[str]]  # for the servers of each key of the provider
    warnings: list[str]  # where the configuration may be wrong for users
    cure: str = ""  # if there is no configuration


def seconds(net: Network) -> float:
    """Return the seconds that the discovery of one domain may take."""
    return _STEPS * net.timeout


def discover(domain: str, net: Network, notify: Notify) -> Discovery:
    """Discover the servers of a domain (A-labels); *notify* gets a line for each step."""
    return _Search(domain, net.step(seconds(net)), notify).result()


class _Search(Publications):
    def __init__(self, domain: str, net: Network, notify: Notify) -> None:
        super().__init__(domain, net, notify)
        self.mx_hosts: list[str] = []
        self.sources: dict[Endpoint, str] = {}  # of all candidates
        self.errors: dict[Endpoint, ProbeError] = {}  # of those that the domain names
        self.servers: dict[Endpoint, MailServer] = {}  # in the order of the candidates
        self.elsewhere: dict[Endpoint, str] = {}  # why mailboxes may not be there
        self.hoster = ""  # the base domain of the IMAP server
        self.own_document: Hosted | None = None

    def result(self) -> Discovery:
        try:
            hosts = self.net.resolver.mx(self.domain)
            self.notify(f"MX {self.domain}: {', '.join(hosts[:3]) or 'none'}")
            # A backup MX host may be a friend's, who only keeps mail for a while.
            best = self.net.resolver.mx(self.domain, only_best=True)
            bases = set(map(base_domain, (self.domain, *best)))
            self.mx_hosts = [host for host in hosts if base_domain(host) in bases][:3]
        except LookupFailed as error:
            if error.kind == "timeout" and not self.net.connect_to:
                cure = f"no name server answers ({error}): {error.cure}"
                return Discovery(None, self.notes, {}, [], cure)
            self.note_lookup_error("MX", self.domain, error)
        self._collect_candidates()
        self._probe_all(self.sources)
        self._probe_all(self._by_certificates())
        self._leave_out_accidental()
        calendars = self.find_calendars()
        if self.own_document and self._is_document_right(self.own_document):
            return self._from_hosted(self.own_document, [], calendars)
        if not self._has_own_servers():
            # Behind a filter for incoming mail, Outlook's alias leads to the mailboxes.
            alias = alias_chain(self.facts, f"autodiscover.{self.domain}")[-1:]
            hosts = self.mx_hosts[:1] + (alias if hosters("asked", alias) else [])
            if hosted := self.find_hosted(hosts):
                return self._from_hosted(hosted, hosts, calendars)
        imap, pop3, smtp = map(self._best_server, ("imap", "pop3", "smtp"))
        incoming = [*imap, *pop3]
        tables = {"incoming": incoming, "outgoing": smtp, **calendars}

        if not incoming or not smtp:
            missing = "SMTP submission" if incoming else "IMAP or POP3"
            self.notes.append(f"no {missing} server was found for {self.domain}")
            cure = self._cure(("smtp",) if incoming else ("imap", "smtp"))
            return Discovery(None, self.notes, {}, [], cure)
        return self._discovery({}, tables, self._warnings_of_others(tables, "correct"))

    def _has_own_servers(self) -> bool:
        """Return whether the domain itself names servers that people can use.

        The passwords of people with such servers must not go to whoever runs the MX host.
        """
        sources = ("name", "certificate")
        types = {ep.type for ep in self._usable() if self.sources[ep] in sources}
        is_named = any(self.sources[ep] in _BY_DOMAIN for ep in self.servers)
        return is_named or types >= {"imap", "smtp"}

    def _usable(self) -> list[Endpoint]:
        return [ep for ep, server in self.servers.items() if not _problem(ep, server)]

    def _leave_out_accidental(self) -> None:
        """Leave out own names at the web site's address, or by a wildcard record.

        Web hosters create them for every customer. Those at the web site's address stay if
        the other own servers are not complete and the MX is no known hoster's.
        """
        named = [ep.host for ep, source in self.sources.items() if source in _BY_DOMAIN]
        certain = self._addresses(*named, *(self.mx_hosts or [self.domain]))
        wildcard = self._addresses(f"no-such-name-e3b0c442.{self.domain}") - certain
        site = self._addresses(self.domain, f"www.{self.domain}") - certain | wildcard
        own = {ep for ep in self.servers if self.sources[ep] != "MX"}
        doubtful = {ep for ep in own if site & self._addresses(ep.host)}
        types = {ep.type for ep in self._usable() if ep in own - doubtful}
        if not hosters("mx", self.mx_hosts) and not types >= {"imap", "smtp"}:
            doubtful = {ep for ep in doubtful if wildcard & self._addresses(ep.host)}
        self.sources |= dict.fromkeys(doubtful, "chance")
        self.elsewhere |= dict.fromkeys(sorted(doubtful), _TEXTS["chance"])

    def _is_document_right(self, document: Hosted) -> bool:
        """Return whether its servers work as it says; add notes if they do not."""
        for endpoint, methods in document.servers.items():
            server = self.servers.get(endpoint)
            is_usable = server and not _problem(endpoint, server)
            if not server or not is_usable or _method_of(server) not in methods:
                problem = f"{endpoint} {_TEXTS['stale']}"
                self.notes.append(f"{document.url} is left out: {problem}")
                return False
        return True

    def _warnings_of_others(self, tables: _Tables, advice: str) -> list[str]:
        """Return warnings of IMAP servers elsewhere; *advice* is the key of a text."""
        incoming = [table for table, _ in tables["incoming"]]
        chosen = [table["hostname"] for table in incoming if table["type"] == "imap"]
        addresses = self._addresses(*chosen)
        imap = [ep for ep in self._usable() if ep.type == "imap"]
        others = [ep for ep in imap if not addresses & self._addresses(ep.host)]
        hosts = [*chosen, *(ep.host for ep in imap if ep not in others)]
        aliases = (alias for host in hosts for alias in alias_chain(self.facts, host))
        bases = set(map(base_domain, aliases))
        warnings: dict[str, str] = {}
        keys = {"MX": "moved", "chance": "chance"}
        for endpoint in others if chosen else ():
            key = keys.get(self.sources[endpoint], advice)
            is_same = base_domain(endpoint.host) in bases or advice == "name-it"
            if not (key == "moved" and is_same):
                text = f"{endpoint} {_TEXTS['beside']}: {_TEXTS[key]}"
                warnings.setdefault(key, text)
        # Microsoft 365 may be a filter in front of other servers.
        unread = hosters("mx", self.mx_hosts) - hosters("read", hosts)
        for hoster in unread - {"Microsoft 365"}:
            for server in chosen[:1]:
                warnings[hoster] = _TEXTS["hoster"].format(hoster=hoster, server=server)
        return [*warnings.values()]

    def _from_hosted(self, hosted: Hosted, hosts: list[str], dav: _Tables) -> Discovery:
        """Return published settings, with calendars and address books if they have none.

        *hosts* are the MX hosts or aliases that led to them; none for the domain's own.
        """
        reason = f"{hosted.url} names it"
        for host in [host for host in hosts if base_domain(host) in hosted.url][:1]:
            kind = "MX" if host in self.mx_hosts else "autodiscover alias"
            reason += f", which is for domains with the {kind} {host}"
        self.notify(f"{hosted.url}: settings")
        self.notes += hosted.notes
        tables = {
            key: self._best_of_each_type([(table, reason) for table in value])
            for key, value in hosted.provider.items()
            if key in ("incoming", "outgoing", *DAV.values())
        }
        warnings = self._warnings_of_others(tables, "name-it" if hosts else "correct")
        return self._discovery(hosted.provider, {**dav, **tables}, warnings)

    def _best_of_each_type(self, entries: list[Entry]) -> list[Entry]:
        """Return one mail server of each type, with implicit TLS if there is one."""
        best: dict[Any, Entry] = {}
        for entry in sorted(entries, key=lambda e: e[0].get("socket_type") != "SSL"):
            type_, host, port = map(entry[0].get, ("type", "hostname", "port"))
            if best.setdefault((type_, entry[0].get("url")), entry) is not entry:
                self.notes.append(f"{type_} {host}:{port} is left out: {_TEXTS['one']}")
        return [entry for entry in entries if entry in best.values()]

    def _discovery(self, raw: Raw, tables: _Tables, warnings: list[str]) -> Discovery:
        servers = {key: [table for table, _ in tables[key]] for key in tables}
        reasons = {key: [reason for _, reason in tables[key]] for key in tables}
        provider = {**raw, "domains": [self.domain], **servers}
        config = from_raw({"provider": [provider]}).tables
        return Discovery(config, self.notes, reasons, warnings)

    def _collect_candidates(self) -> None:
        named = list(self.find_by_srv())
        self.sources = dict.fromkeys(named[:_MAX_TARGETS], "SRV")
        if named[_MAX_TARGETS:]:
            self.notes.append(_TEXTS["more"])
        self.own_document = self.find_own()
        published = [(_AUTODISCOVER, ep) for ep in self.find_autodiscover()]
        if self.own_document:
            published += [("document", ep) for ep in self.own_document.servers]
        for source, endpoint in (published := published[:_MAX_TARGETS]):
            if is_host_name(endpoint.host) and endpoint.socket_type != "plain":
                self.notify(f"{source}: {endpoint}")
                self.sources.setdefault(endpoint, source)
        # A document may have a wrong port or encryption.
        hosts = [(ep.type, ep.host, source) for source, ep in published]
        for type_, host, source in (*hosts, *self._customary_hosts()):
            for socket_type in ("SSL", "STARTTLS"):
                port = standard_port(type_, socket_type)
                if port and is_host_name(host):
                    endpoint = Endpoint(type_, host, port, socket_type)
                    self.sources.setdefault(endpoint, source)

    def _customary_hosts(self) -> Iterator[tuple[str, str, str]]:
        """Yield the type, host and source of servers with customary names."""
        parents = [host.partition(".")[2] for host in self.mx_hosts]
        bases = dict.fromkeys([self.domain, *(name for name in parents if "." in name)])
        for type_, labels in texts()["customary"].items():
            for base in bases:
                source = "name" if base == self.domain else "MX"
                for label in labels:
                    yield type_, f"{label}.{base}" if label else base, source
            for host in self.mx_hosts:
                is_own = host.endswith(f".{self.domain}")
                yield type_, host, "name" if is_own else "MX"

    def _by_certificates(self) -> list[Endpoint]:
        """Add servers by the names in their certificates that have the same address."""
        added = []
        for endpoint, server in self.servers.items():
            certificate, addresses = server.certificate, self._addresses(endpoint.host)
            if not certificate or certificate.kind != "name":
                continue
            for name in certificate.names[:5] if self.sources[endpoint] != "MX" else ():
                other = endpoint._replace(host=name)
                is_same = is_host_name(name) and addresses & self._addresses(name)
                if is_same and other not in self.sources:
                    self.sources[other] = "certificate"
                    added.append(other)
        return added

    def _addresses(self, *hosts: str) -> set[str]:
        known = filter(self.facts.exists, hosts)
        return set(chain.from_iterable(map(self.facts.addresses, known)))

    def _probe_all(self, endpoints: Collection[Endpoint]) -> None:
        """Connect to candidates; leave out what the domain says it does not offer."""
        results = run_concurrently(
            partial(self._probe, endpoint) for endpoint in endpoints
        )
        for endpoint, result in zip(endpoints, results, strict=True):
            source = self.sources[endpoint]
            if isinstance(result, MailServer):
                offered = ", ".join(sorted(result.mechanisms)) or "no login"
                self.notify(f"{endpoint}: offers {offered}")
                denial = self.denied.get((endpoint.type, endpoint.socket_type))
                if denial and source != "SRV":
                    reason = f'{denial} in DNS says "not offered"'
                    self.notes.append(f"{endpoint} is left out: {reason}")
                else:
                    self.servers[endpoint] = result
                continue
            if result.kind in ("private", "port"):
                note = f"{result}: not asked, unless you say --allow-private"
                self.notes += [note] if note not in self.notes else []
                continue
            if source in _BY_DOMAIN or result.kind not in ("connect", "silent", "dns"):
                self.notify(f"{endpoint}: {result}")
            is_own = source == "name" and endpoint.host != self.domain
            if source in _BY_DOMAIN or (is_own and result.kind != "dns"):
                self.errors[endpoint] = result

    def _probe(self, endpoint: Endpoint) -> MailServer | ProbeError:
        try:
            return self.facts.mail_server(endpoint)
        except Exception as error:
            name = type(error).__name__
            return ProbeError("protocol", f"an unexpected answer ({name})")

    def _best_server(self, type_: str) -> list[Entry]:
        """Return the best server of a type, if there is one; add notes on the others."""
        usable = []
        for endpoint, server in self.servers.items():
            if endpoint.type != type_ or self.sources[endpoint] == "chance":
                continue
            is_uncertain = type_ != "imap" and self.sources[endpoint] in _UNCERTAIN
            if problem := _problem(endpoint, server):
                self.notes.append(f"{endpoint} is left out: {problem}")
            elif is_uncertain and base_domain(endpoint.host) != self.hoster:
                self.elsewhere[endpoint] = f"{_TEXTS['elsewhere']}: {_TEXTS['own']}"
                self.notes.append(f"{endpoint} is left out: {_TEXTS['elsewhere']}")
            else:
                usable.append(endpoint)
        if not usable:
            return []
        usable.sort(key=lambda key: rank(key, self.servers[key], self.sources[key]))
        best, *others = usable
        reason = f"{_TEXTS['one']}, {best}"
        self.notes += [f"{other} is left out: {reason}" for other in others]
        if type_ == "imap":
            self.hoster = base_domain(best.host)
        server = self.servers[best]
        keys = ("type", "hostname", "port", "socket_type")
        table = dict(zip(keys, best, strict=True))
        method = table["authentication"] = _method_of(server)
        offered = f"it offers {', '.join(sorted(server.mechanisms))}"
        reasons = (_TEXTS[self.sources[best]], _TEXTS[best.socket_type], offered)
        return [(table, "; ".join(reasons) + _TEXTS.get(method, ""))]

    def _cure(self, missing: tuple[str, ...]) -> str:
        """Return the cure for the lack of these types, about the most usable server."""
        for endpoint, server in self.servers.items():
            problem = _problem(endpoint, server)
            is_foreign = self.sources[endpoint] in ("MX", "chance")
            if problem and endpoint.type in missing and not is_foreign:
                return f"fix {endpoint}, and run init again: {problem}"
        if self.lookup_errors:
            return f"{self.lookup_errors[0]}: {self.lookup_errors[0].cure}"
        for endpoint, error in sorted(
            self.errors.items(), key=lambda item: item[1].kind in ("connect", "silent")
        ):
            is_elsewhere = endpoint.host in {other.host for other in self.elsewhere}
            if is_elsewhere or endpoint.type not in missing:
                continue
            default = _TEXTS[f"connect-{endpoint.type}"]
            cure = error.cure or _TEXTS.get(error.kind, default)
            cure = for_software(cure, error.software, endpoint.type)
            if error.kind in ("timeout", "silent") and "--timeout" not in cure:
                cure += "; or wait longer, with --timeout 30"
            return f"{endpoint}: {error}: {cure}; then run init again"
        for endpoint, reason in self.elsewhere.items():
            return f"{endpoint} answers, but {reason}"
        if not self.servers and not self.net.resolver.is_known(self.domain):
            return _TEXTS["nowhere"]
        if not self.mx_hosts and self.facts.network.resolver.records(self.domain, "MX"):
            null = finding("mx.null", self.domain)
            return f"{null.seen}: {null.cure}, and run init again"
        return _TEXTS["nothing"]


def rank(endpoint: Endpoint, server: MailServer, source: str) -> tuple[bool, ...]:
    """Return a sort key: by the operator, clients' support, security, and the source."""
    return (
        source == "MX",  # a filter for incoming mail must not get passwords
        _method_of(server) != "password-cleartext",
        endpoint.socket_type != "SSL",  # RFC 8314
        source not in _BY_DOMAIN,
    )


def _problem(endpoint: Endpoint, server: MailServer) -> str:
    """Return why a server cannot be used, "" if it can."""
    if server.certificate is not None and server.certificate.problem:
        return f"its certificate is bad: {server.certificate.problem}"
    if _method_of(server):
        return ""
    code = without_login(endpoint, (), server)
    found = code and finding(code, str(endpoint), software=server.software)
    return f"{found.seen}: {found.cure}" if found else _TEXTS["no-login"]


def _method_of(server: MailServer) -> str:
    """Return the first method for the file that the server offers, "" for none."""
    for method, names in MECHANISMS.items():
        if method not in _NEEDS_MORE and names & server.mechanisms:
            return str(method)
    return ""
