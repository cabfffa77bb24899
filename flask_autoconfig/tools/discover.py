"""Discovery of a domain's servers, and the configuration that fits them.

The hosts that SRV records name, the customary names, the MX hosts and their domains are
tried on the standard ports. What the domain itself names comes first, in a document whose
servers answer, in SRV records, by Autodiscover or as a customary name of both IMAP and
SMTP; then the settings that its hoster publishes, then single customary names of the
domain, then those at the MX. Names that a web hoster may have made come last.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from ..address import fold
from ..config.ports import standard_port
from ..config.reading import from_raw
from ..config.tables import Config
from .check.facts import side_by_side
from .check.findings import finding
from .check.rules.connections import without_login
from .check.rules.sources import own_programs
from .check.rules.web import in_full, names_of
from .check.texts import hosters
from .importers.imported import DAV
from .naming import base_domain
from .net.common import for_software, texts
from .net.mail import MECHANISMS, Endpoint, MailServer
from .net.resolver import LookupFailed
from .net.tcp import Network, ProbeError
from .published import Entry, Hosted, Notify, Publications
from .zone import MAIL_SERVICES

_STEPS = 6  # timeouts that the whole discovery may take
_MOST_TARGETS = 20  # servers named by SRV records that are tried
_NEEDS_MORE = ("OAuth2", "TLS-client-cert")  # than the server's own table
_WORDS: dict[str, str] = texts()["init"]
_AD = "Autodiscover"
_NAMED = ("SRV", _AD, "document")  # the domain itself says so
_OTHERS = ("MX", "certificate")  # it may be another provider's


class Discovery(NamedTuple):
    """The configuration that fits a domain, and what was left out of it."""

    config: Config | None
    notes: list[str]
    reasons: dict[str, list[str]]  # for each server of a key of the provider
    warnings: list[str]  # what users lose by what was left out
    cure: str = ""  # where there is no configuration


def seconds(net: Network) -> float:
    """Return how long the discovery of one domain may take."""
    return _STEPS * net.timeout


def discover(domain: str, net: Network, notify: Notify) -> Discovery:
    """Discover the servers of a domain (A-labels); *notify* gets a line for each step."""
    return _Search(domain, net.step(seconds(net)), notify).result()


class _Search(Publications):
    def __init__(self, domain: str, net: Network, notify: Notify) -> None:
        super().__init__(domain, net, notify)
        self.mx_hosts: list[str] = []
        # The SRV names that say "not offered", by type and socket type.
        self.denied: dict[tuple[str, str], str] = {}
        self.sources: dict[Endpoint, str] = {}  # SRV, MX or name, of all candidates
        self.unknown: list[LookupFailed] = []  # lookups that failed
        self.failed: dict[Endpoint, ProbeError] = {}  # by SRV records or own names
        self.found: dict[Endpoint, MailServer] = {}  # in the order of the candidates
        self.elsewhere: dict[Endpoint, str] = {}  # why no mailboxes may be there
        self.hoster = ""  # the provider of the IMAP server, by its domain
        self.own: Hosted | None = None  # the domain's own document

    def result(self) -> Discovery:
        try:
            hosts = self.net.resolver.mx(self.domain)
            self.notify(f"MX {self.domain}: {', '.join(hosts[:3]) or 'none'}")
            # One of lower preference may be a friend's, who only keeps mail for a while.
            best = self.net.resolver.mx(self.domain, only_best=True)
            bases = {base_domain(it) for it in (self.domain, *best)}
            self.mx_hosts = [it for it in hosts if base_domain(it) in bases][:3]
        except LookupFailed as error:
            if error.kind == "timeout" and not self.net.connect_to:
                cure = f"no name server answers ({error}): {error.cure}"
                return Discovery(None, self.notes, {}, [], cure)
            self._unknown("MX", self.domain, error)
        self._collect()
        self._try_all(self.sources)
        self._try_all(self._by_certificates())
        self._leave_out_chance()
        urls = self.find_calendars()
        hosted, led = self.own if self._works() else None, list[str]()
        if not hosted and not self._has_own():
            # Behind a filter, the alias for Outlook says where the mailboxes are.
            alias = names_of(self.facts, f"autodiscover.{self.domain}")[-1:]
            led = self.mx_hosts[:1] + (alias if hosters("asked", alias) else [])
            hosted = self.find_hosted(led)
        if hosted:
            return self._as_hosted(hosted, led, urls)
        imap = self._best("imap")
        incoming, outgoing = [*imap, *self._best("pop3")], self._best("smtp")
        tables = {"incoming": incoming, "outgoing": outgoing, **urls}

        if not incoming or not outgoing:
            missing = "SMTP submission" if incoming else "IMAP or POP3"
            self.notes.append(f"no {missing} server was found for {self.domain}")
            cure = self._cure(("smtp",) if incoming else ("imap", "smtp"))
            return Discovery(None, self.notes, {}, [], cure)
        lost = [
            f"users get only POP3, although there is {it}: {_problem(it, server)}; "
            "fix that, and run init again"
            for it, server in self.found.items()
            if it.type == "imap" and not imap and self.sources[it] != "chance"
        ]
        warnings = lost[:1] or self._left_out(tables, "correct")
        return self._written({}, tables, [*warnings, *self._replaced(tables)])

    def _has_own(self) -> bool:
        """Return whether the domain itself names servers that people can use.

        The passwords of people with such servers must not go to whoever runs the MX host.
        """
        good = {it for it, server in self.found.items() if not _problem(it, server)}
        own = {it.type for it in good if self.sources[it] in ("name", "certificate")}
        is_named = any(self.sources[it] in _NAMED for it in self.found)
        return is_named or own >= {"imap", "smtp"}

    def _leave_out_chance(self) -> None:
        """Leave out own names that lead to the web site's address, or by a wildcard record.

        Web hosters make such names for all. They stay where no other own server is complete
        and the MX no known provider's: by a wildcard record only if SPF lists the address.
        """
        named = [it.host for it, source in self.sources.items() if source in _NAMED]
        sure = self._addresses(*named, *(self.mx_hosts or [self.domain]))
        anywhere = self._addresses(f"no-such-name-e3b0c442.{self.domain}") - sure
        site = self._addresses(self.domain, f"www.{self.domain}") - sure | anywhere
        own = {it for it in self.found if self.sources[it] != "MX"}
        weak = {it for it in own if site & self._addresses(it.host)}
        types = {it.type for it in own - weak if not _problem(it, self.found[it])}
        if not hosters("mx", self.mx_hosts) and not types >= {"imap", "smtp"}:
            with suppress(LookupFailed):
                spf = " ".join(self.facts.txt(self.domain))
                senders = re.findall(r" \+?(?:a|ip[46])\b:?(\S*)", spf)
                anywhere -= self._addresses(*(it or self.domain for it in senders))
            weak = {it for it in weak if anywhere & self._addresses(it.host)}
        self.sources |= dict.fromkeys(weak, "chance")
        self.elsewhere |= dict.fromkeys(sorted(weak), _WORDS["chance"])

    def _works(self) -> bool:
        if self.own is None:
            return False
        for at, methods in self.own.servers.items():
            it = self.found.get(at)
            if not it or _problem(at, it) or _authentication(it) not in methods:
                self.notes.append(f"{self.own.url} is left out: {at} {_WORDS['stale']}")
                tables = self.own.provider["incoming"] + self.own.provider["outgoing"]
                names = {it.get("username") for it in tables} - {None, "%EMAILADDRESS%"}
                self.notes += [_WORDS["own-name"].format(name=it) for it in names]
                return False
        return True

    def _replaced(self, tables: dict[str, list[Entry]]) -> Iterator[str]:
        """Yield servers that the domain names, and in whose place others are taken."""
        named = [it for it, source in self.sources.items() if source in _NAMED]
        for table, _ in (*tables["incoming"], *tables["outgoing"]):
            beside = [it for it in named if it.type == table["type"]]
            broken = [it for it in beside if it in self.failed]
            if broken and table["hostname"] not in (it.host for it in beside):
                source, reason = _WORDS[self.sources[broken[0]]], self.failed[broken[0]]
                yield (
                    f"{broken[0]} does not work ({source}): {reason}; the file has "
                    f"{table['hostname']} in its place: {_WORDS['repair']}"
                )

    def _left_out(self, tables: dict[str, list[Entry]], what: str) -> list[str]:
        """Return that IMAP servers answer elsewhere than those that were taken."""
        taken = [it["hostname"] for it, _ in tables["incoming"] if it["type"] == "imap"]
        there = self._addresses(*taken)
        good = [it for it, server in self.found.items() if not _problem(it, server)]
        listed = [it for it in good if it.type == "imap"]
        others = [it for it in listed if there.isdisjoint(self._addresses(it.host))]
        near = [*taken, *(it.host for it in listed if it not in others)]
        bases = {base_domain(it) for host in near for it in names_of(self.facts, host)}
        warnings: dict[str, str] = {}
        for it in others if taken else ():
            words = {"MX": "moved", "chance": "chance"}.get(self.sources[it], what)
            is_same = base_domain(it.host) in bases or what == "name-it"
            if words != "moved" or not is_same:
                warnings.setdefault(words, f"{it} {_WORDS['beside']}: {_WORDS[words]}")
        # Microsoft's may be a filter before other servers.
        for hoster in (
            hosters("mx", self.mx_hosts) - hosters("read", near) - {"Microsoft 365"}
        ):
            for server in taken[:1]:
                warnings[hoster] = _WORDS["hoster"].format(hoster=hoster, server=server)
        return [*warnings.values()]

    def _as_hosted(
        self, hosted: Hosted, led: list[str], urls: dict[str, list[Entry]]
    ) -> Discovery:
        """Return published settings, with URLs of kinds that they do not have.

        They are the domain's own, or for domains with one of the MX hosts or aliases *led*.
        """
        reason, what = f"{hosted.url} names it", "name-it" if led else "correct"
        for host in [it for it in led if base_domain(it) in hosted.url][:1]:
            kind = "MX" if host in self.mx_hosts else "autodiscover alias"
            reason += f", which is for domains with the {kind} {host}"
        self.notify(f"{hosted.url}: settings")
        self.notes += hosted.notes
        others = [it for it in self.found if it not in hosted.servers]
        why = f"is left out: {hosted.url} does not name it"
        self.notes += [f"{it} {why}" for it in others if self.sources[it] == "SRV"]
        tables = {
            key: self._one_of_each([(table, reason) for table in value])
            for key, value in hosted.provider.items()
            if key in ("incoming", "outgoing", *DAV.values())
        }
        warnings = self._left_out(tables, what)
        return self._written(hosted.provider, {**urls, **tables}, warnings)

    def _one_of_each(self, entries: list[Entry]) -> list[Entry]:
        """Return one mail server of each type, with implicit TLS if any is."""
        best: dict[Any, Entry] = {}
        for entry in sorted(entries, key=lambda it: it[0].get("socket_type") != "SSL"):
            type_, host, port = map(entry[0].get, ("type", "hostname", "port"))
            if best.setdefault((type_, entry[0].get("url")), entry) is not entry:
                self.notes.append(f"{type_} {host}:{port} is left out: {_WORDS['one']}")
        return [entry for entry in entries if entry in best.values()]

    def _written(
        self, raw: dict[str, Any], tables: dict[str, list[Entry]], warnings: list[str]
    ) -> Discovery:
        servers = {key: [table for table, _ in each] for key, each in tables.items()}
        reasons = {key: [reason for _, reason in each] for key, each in tables.items()}
        provider = {**raw, "domains": [self.domain], **servers}
        config = from_raw({"provider": [provider]}).tables
        return Discovery(config, self.notes, reasons, warnings)

    def _unknown(self, type_: str, name: str, error: LookupFailed) -> None:
        self.notify(f"{type_} {name}: {error}")
        self.unknown.append(error)

    def _collect(self) -> None:
        named = [each for service in MAIL_SERVICES for each in self._by_srv(*service)]
        self.sources = dict.fromkeys(named[:_MOST_TARGETS], "SRV")
        if named[_MOST_TARGETS:]:
            self.notes.append(_WORDS["more"])
        self.own = self.find_own()
        published = [(_AD, each) for each in self.find_autodiscover()]
        published += [("document", it) for it in (self.own.servers if self.own else ())]
        for source, endpoint in (published := published[:_MOST_TARGETS]):
            if _is_host_name(endpoint.host) and endpoint.socket_type != "plain":
                self.notify(f"{source}: {endpoint}")
                self.sources.setdefault(endpoint, source)
        # A document may have a wrong port or encryption.
        customary = ((each.type, each.host, source) for source, each in published)
        for type_, host, source in (*customary, *self._customary()):
            for socket_type in ("SSL", "STARTTLS"):
                port = standard_port(type_, socket_type)
                if port and _is_host_name(host):
                    endpoint = Endpoint(type_, host, port, socket_type)
                    self.sources.setdefault(endpoint, source)

    def _by_srv(self, service: str, type_: str, socket_type: str) -> Iterator[Endpoint]:
        name = f"{service}.{self.domain}"
        try:
            targets = self.net.resolver.srv(name)
        except LookupFailed as error:
            self._unknown("SRV", name, error)
            return
        for host, port in targets:
            self.notify(f"SRV {name}: {f'{host} {port}' if host else 'not offered'}")
            if not host:
                # POP3 is denied as a whole; of IMAP and submission, which a domain needs,
                # only the encryption that the record is about.
                all_ = ("SSL", "STARTTLS") if type_ == "pop3" else (socket_type,)
                self.denied |= {(type_, each): name for each in all_}
            elif port and _is_host_name(host):
                yield Endpoint(type_, host, port, socket_type)
            else:
                wrong = "not a host name" if port else "at port 0 in its SRV record"
                self.notes.append(f"{host} is left out: it is {wrong}")

    def _customary(self) -> Iterator[tuple[str, str, str]]:
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
        """Add servers by the names in their certificates, if these lead to them, too."""
        added = []
        for endpoint, server in self.found.items():
            shown, there = server.certificate, self._addresses(endpoint.host)
            is_own = self.sources[endpoint] != "MX"
            names = shown.names if shown and shown.kind == "name" and is_own else []
            for name in names[:5]:
                other = endpoint._replace(host=name)
                is_there = _is_host_name(name) and there & self._addresses(name)
                if is_there and other not in self.sources:
                    self.sources[other] = "certificate"
                    added.append(other)
        return added

    def _addresses(self, *hosts: str) -> set[str]:
        known = filter(self.facts.exists, hosts)
        return {each for host in known for each in self.facts.addresses(host)}

    def _try_all(self, endpoints: Collection[Endpoint]) -> None:
        """Try candidates; leave out what the domain says it does not offer."""
        results = side_by_side(partial(self._try, each) for each in endpoints)
        for endpoint, result in zip(endpoints, results, strict=True):
            source = self.sources[endpoint]
            if isinstance(result, MailServer):
                offered = ", ".join(sorted(result.mechanisms)) or "no login"
                self.notify(f"{endpoint}: offers {offered}")
                denial = self.denied.get((endpoint.type, endpoint.socket_type))
                if denial and source != "SRV":
                    told = f'{denial} in DNS says "not offered"'
                    self.notes.append(f"{endpoint} is left out: {told}")
                else:
                    self.found[endpoint] = result
                continue
            if result.kind in ("private", "port"):
                note = f"{result}: not asked, unless you say --allow-private"
                self.notes += [note] if note not in self.notes else []
                continue
            if source in _NAMED or result.kind not in ("connect", "silent", "dns"):
                self.notify(f"{endpoint}: {result}")
            is_own = source == "name" and endpoint.host != self.domain
            if source in _NAMED or (is_own and result.kind != "dns"):
                self.failed[endpoint] = result

    def _try(self, endpoint: Endpoint) -> MailServer | ProbeError:
        try:
            return self.facts.tried(endpoint)
        except Exception as error:
            kind = type(error).__name__
            return ProbeError("protocol", f"an unexpected answer ({kind})")

    def _best(self, type_: str) -> list[Entry]:
        usable = []
        for endpoint, server in self.found.items():
            if endpoint.type != type_ or self.sources[endpoint] == "chance":
                continue
            is_elsewhere = type_ != "imap" and self.sources[endpoint] in _OTHERS
            if problem := _problem(endpoint, server):
                self.notes.append(f"{endpoint} is left out: {problem}")
            elif is_elsewhere and base_domain(endpoint.host) != self.hoster:
                self.elsewhere[endpoint] = f"{_WORDS['elsewhere']}: {_WORDS['own']}"
                self.notes.append(f"{endpoint} is left out: {_WORDS['elsewhere']}")
            else:
                usable.append(endpoint)
        if not usable:
            return []
        usable.sort(key=lambda each: rank(each, self.found[each], self.sources[each]))
        best, *others = usable
        reason = f"{_WORDS['one']}, {best}"
        self.notes += [f"{each} is left out: {reason}" for each in others]
        if type_ == "imap":
            self.hoster = base_domain(best.host)
        server = self.found[best]
        keys = ("type", "hostname", "port", "socket_type")
        table = dict(zip(keys, best, strict=True))
        method = table["authentication"] = _authentication(server)
        words = _WORDS[self.sources[best]], _WORDS[best.socket_type]
        offered = f"it offers {', '.join(sorted(server.mechanisms))}"
        return [(table, "; ".join((*words, offered)) + _WORDS.get(method, ""))]

    def _cure(self, missing: tuple[str, ...]) -> str:
        """Return what to do where these types were not found: first fix what there is."""
        for endpoint, server in self.found.items():
            problem = _problem(endpoint, server)
            is_theirs = self.sources[endpoint] in ("MX", "chance")
            if problem and endpoint.type in missing and not is_theirs:
                return f"fix {endpoint}, and run init again: {problem}"
        if self.unknown:
            return f"{self.unknown[0]}: {self.unknown[0].cure}"
        out = {it.host for it in self.elsewhere}
        needed = [it for it in self.failed if it.type in missing and it.host not in out]
        # An answer that cannot be used says more than silence.
        needed.sort(key=lambda each: self.failed[each].kind in ("connect", "silent"))
        for endpoint in needed:
            error = self.failed[endpoint]
            usual = _WORDS[f"connect-{endpoint.type}"]
            cure = error.cure or _WORDS.get(error.kind, usual)
            cure = for_software(cure, error.software, endpoint.type)
            if error.kind in ("timeout", "silent") and "--timeout" not in cure:
                cure += "; or wait longer, with --timeout 30"
            return f"{endpoint}: {error}: {cure}; then run init again"
        for endpoint, why in self.elsewhere.items():
            return f"{endpoint} answers, but {why}"
        if not self.found and not self.net.resolver.is_known(self.domain):
            return _WORDS["nowhere"]
        if not self.mx_hosts and self.facts.network.resolver.records(self.domain, "MX"):
            null = finding("mx.null", self.domain)
            return f"{null.seen}: {null.cure}, and run init again"
        for host in self.mx_hosts:
            if not self._addresses(host):
                dot = in_full(host, self.domain, self.facts) or _WORDS["no-mx-host"]
                return f"the MX record names {host}, which has no address: {dot}"
        own = next(own_programs(self.facts, self.domain), None)
        return own.seen if own else _WORDS["nothing"]


def _is_host_name(host: str) -> bool:
    with suppress(ValueError):
        return fold(host) == host
    return False


def rank(endpoint: Endpoint, server: MailServer, source: str) -> tuple[bool, ...]:
    """Sort by whose it is, by what clients support, by security, and by what DNS says."""
    return (
        source == "MX",  # a filter for incoming mail must not get passwords
        _authentication(server) != "password-cleartext",
        endpoint.socket_type != "SSL",  # RFC 8314
        source not in _NAMED,
    )


def _problem(endpoint: Endpoint, server: MailServer) -> str:
    """Return why a server cannot be used, "" if it can."""
    if server.certificate is not None and server.certificate.problem:
        return f"its certificate is bad: {server.certificate.problem}"
    if _authentication(server):
        return ""
    code = without_login(endpoint, (), server)
    found = code and finding(code, str(endpoint), software=server.software)
    return f"{found.seen}: {found.cure}" if found else _WORDS["no-login"]


def _authentication(server: MailServer) -> str:
    """Return the first method of the file that the server offers, "" for none."""
    for method, names in MECHANISMS.items():
        if method not in _NEEDS_MORE and names & server.mechanisms:
            return str(method)
    return ""
