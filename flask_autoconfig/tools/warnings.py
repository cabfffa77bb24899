"""The warnings of `validate`: settings that clients cannot use.

Each client is simulated with the documents that it would get (:mod:`clients`). Rules find
the other faults: they yield codes with values, and `warnings.toml` has the client, the
texts and the order of the codes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count
from urllib.parse import urlsplit

from .. import documents
from ..address import Address, is_for_all, is_ip
from ..config.explain.hints import corrected_login, cure_for_type, foreign_placeholder
from ..config.ports import MAIL_TYPES, standard_port
from ..config.rules import Origin
from ..config.tables import URL_KEYS, WITHOUT_LOGIN, Provider, Server
from ..config.values import quote
from ..documents import Recipient, apple, outlook, pacc
from ..errors import Problem
from ..families import FAMILIES, Family
from ..files import table_beside
from ..page import look
from ..page.programs import has_oauth2
from . import zone
from .clients import CLIENTS, Client, readings_of
from .net.untrusted import is_public, kind_of
from .reading import Fault, Reading, in_words

# The code of a warning that `check` replaces by a test.
TESTED_BY_CHECK = "encrypted-password"
Findings = Iterator[tuple[str, Problem]]  # with the code of each
_texts = partial(table_beside, __file__, "warnings.toml")


def find_warnings(
    providers: Sequence[Provider],
    served: Iterable[Family] = FAMILIES,
    origins: Sequence[Origin] = (),
    *,
    ours: bool = True,
    without: str = "",
) -> list[Problem]:
    """Return what clients cannot use, the worst first, else in the file's order.

    Only clients of the families *served* count. *origins* are the places of the providers,
    by default all in one file. With ``ours=False`` somebody else publishes the settings:
    no client is simulated; rules about our documents, and the code *without*, are left out.
    """
    families = {family.name: family for family in served}
    rules = [*_OF_SETTINGS]
    if ours:
        rules += [_publication, partial(_simulated_clients, families)]
    problems: dict[str, list[Problem]] = {code: [] for code in _texts()}
    one_file = (Origin("", f"provider[{number}]", "") for number in count())
    for provider, origin in zip(providers, origins or one_file, strict=False):
        for code, problem in chain.from_iterable(rule(provider) for rule in rules):
            place = f"{origin.place}.{problem.place}" if problem.place else origin.place
            family = _texts()[code].get("family", "")
            if code != without and family in ("", *families):
                problems[code].append(problem._replace(place=place, file=origin.file))
    return list(chain.from_iterable(problems.values()))


def _simulated_clients(families: Mapping[str, Family], provider: Provider) -> Findings:
    domain = next(iter(provider.exact_domains), "")
    exact = bool(domain)
    if not exact:  # any domain that the pattern matches
        pattern = next(iter(provider.domains), "*")
        domain = pattern.replace("*", "example" if "." in pattern else "example.com")
    recipient = Recipient(domain, Address("postmaster", domain), exact=exact)
    clients = [row for row in CLIENTS if row.steps and row.family in families]
    all_names = [row.name for row in clients if row.family == "thunderbird"]
    for names, fault in by_fault(readings_of(clients, provider, recipient)):
        is_all = names == all_names
        client = (is_all and families["thunderbird"].askers) or in_words(names)
        yield fault.effect, Problem(fault.place, fault.message, fault.cure, client)


def by_fault(
    readings: Iterable[tuple[Client, Reading]],
) -> Iterable[tuple[list[str], Fault]]:
    """Return each fault with the names of its clients."""
    names: dict[Fault, list[str]] = {}
    for client, reading in readings:
        for fault in reading.faults:
            names.setdefault(fault, []).append(client.name)
    return [(names[fault], fault) for fault in names]


# --- Rules ----------------------------------------------------------------------------


def _warning(code: str, place: str, **values: object) -> tuple[str, Problem]:
    row: dict[str, str] = _texts()[code]
    message, cure = (row[key].format_map(values) for key in ("message", "cure"))
    return code, Problem(place, message, cure, row.get("client", "Every client"))


def _mail_servers(provider: Provider) -> Iterator[tuple[str, Server]]:
    return (pair for pair in provider.servers if pair[1].type in MAIL_TYPES)


_STANDARD = {
    standard_port(type_, socket_type): (type_, socket_type)
    for type_ in MAIL_TYPES
    for socket_type in ("SSL", "STARTTLS")
}
# A placeholder without its percent sign at the end.
_BROKEN = re.compile(r"%(?:EMAILADDRESS|EMAILLOCALPART|EMAILDOMAIN|REALNAME)(?!%)")


def _mail(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        if server.socket_type == "plain":
            yield _warning("unencrypted-mail", f"{place}.socket_type")

        methods = [name for name in server.authentication if name != "OAuth2"]
        if methods[:1] == ["password-encrypted"]:  # Evolution skips OAuth2
            yield _warning("encrypted-password", f"{place}.authentication")

        # Thunderbird 153.8 adds no outgoing server if it has a default one. It adds an
        # incoming server, but assigns no outgoing server to its account.
        if getattr(server, "use_global_preferred_server", False):
            kind = "replaced-outgoing" if server.type == "smtp" else "replaced"
            yield _warning(f"{kind}-server", f"{place}.use_global_preferred_server")

        port, given = f"{place}.port", (server.type, server.socket_type)
        type_, socket_type = _STANDARD.get(server.port, given)
        if type_ != server.type:
            code, standard = "port-of-another-type", type_
            yield _warning(code, port, server=server, standard=standard)
        elif server.socket_type not in ("plain", socket_type):
            code, standard = "port-of-another-socket", str(socket_type)
            yield _warning(code, port, server=server, standard=standard)


def _services(provider: Provider) -> Findings:
    for place, server in provider.servers:
        is_known = provider.oauth2 or has_oauth2(server.hostname)
        if "OAuth2" in server.authentication and not is_known:
            yield _warning("missing-oauth2", f"{place}.authentication")

        if broken := _BROKEN.search(server.username or ""):
            yield _warning("broken-placeholder", f"{place}.username", word=broken[0])

        is_dav, url = server.type in ("caldav", "carddav"), server.url
        if url and url.startswith("http://"):
            yield _warning("unencrypted-url", f"{place}.url")
        if is_dav and url and not urlsplit(url).path:
            yield _warning("url-without-path", f"{place}.url", server=server)

        table = place.partition("[")[0]
        if cure := cure_for_type(server.type, table) if table != "setup" else "":
            code, place = "misplaced-server", f"{place}.type"
            yield _warning(code, place, server=server, table=table, cure=cure)


# Domains that no public DNS has: RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, and
# those of routers and older guides.
_PRIVATE_DOMAINS = re.compile(
    r"\.(local|localdomain|localhost|lan|home|home\.arpa|internal|intranet|corp|private"
    r"|workgroup|fritz\.box|invalid)$"
)


def _unreachable(provider: Provider) -> Findings:
    urls: dict[str, str | None] = {}
    for place, server in provider.servers:
        host = server.hostname or ""
        reason = why_unreachable(host)
        if not reason and is_ip(host) and server.socket_type != "plain":
            reason = f"hardly any certificate has an address such as {host} in it, "
            reason += "and clients refuse the server"
        if reason:
            yield _warning("unreachable-host", f"{place}.hostname", reason=reason)
        urls |= {f"{place}.{key}": getattr(server, key, None) for key in URL_KEYS}
    if provider.webmail:
        urls["webmail.login_page"] = provider.webmail.login_page
    for place, url in urls.items():
        if reason := why_unreachable(urlsplit(url or "").hostname or ""):
            yield _warning("unreachable-url", place, reason=reason)


def why_unreachable(host: str) -> str:
    """Return why the host cannot be reached from outside, "" if it may be."""
    if not host or "%" in host or (is_ip(host) and is_public(host)):
        return ""
    if is_ip(host):
        kind = kind_of(host, "nowhere", "inside") or "a private or reserved address"
        return f"{host} is {kind}, and nobody outside reaches it"
    if host == "localhost":
        return "localhost is each computer's name for itself"
    if "." not in host:
        return f"{host} has no dot: only your own network may know it"
    ending = _PRIVATE_DOMAINS.search(host)
    return f"only your own network knows a name in {ending[0]}" if ending else ""


def _shared_usernames(provider: Provider) -> Findings:
    names = {
        f"{place}.username": server.username
        for place, server in provider.servers
        if server.username and not WITHOUT_LOGIN.issuperset(server.authentication)
    }
    if provider.webmail and (info := provider.webmail.login_page_info):
        names["webmail.login_page_info.username"] = info.username
    for place, name in names.items():
        foreign = foreign_placeholder(name)  # a placeholder of another program
        if not _BROKEN.search(name) and (foreign or is_for_all(name)):
            code = "unfilled-username" if foreign else "shared-username"
            login = quote(corrected_login(name))
            yield _warning(code, place, unknown=foreign, name=quote(name), login=login)


def _sizes_and_colours(provider: Provider) -> Findings:
    limits = (documents.LONGEST_NAME, documents.LONGEST_SHORT_NAME)
    for key, limit in zip(("display_name", "display_short_name"), limits, strict=True):
        length = len(getattr(provider, key) or "")
        if length > limit:
            yield _warning("long-name", key, limit=limit, length=length)

    colour = (provider.page and provider.page.colour) or "#000000"
    contrast = look.contrast(colour, look.PAPER)
    if contrast < look.ENOUGH:
        values = {"enough": look.ENOUGH, "shade": look.legible(colour, look.PAPER)}
        yield _warning("pale-colour", "page.colour", contrast=contrast, **values)


_LEFT_OUT = {"outlook": outlook.left_out, "apple": apple.left_out}
_LEFT_OUT |= {"srv": zone.left_out, "pacc": pacc.left_out}


def _publication(provider: Provider) -> Findings:
    # The user names that clients of SRV records assume.
    usual = ("%EMAILLOCALPART%", *provider.names_of_address)
    for place, server in _mail_servers(provider):
        if server.username and server.username not in usual:
            yield _warning("srv-username", f"{place}.username")

    for name, reasons in _LEFT_OUT.items():
        for place, reason in reasons(provider):
            yield _warning(f"not-in-{name}", place, reason=reason)


Rule = Callable[[Provider], Findings]
# Rules about anybody's settings.
_OF_SETTINGS: tuple[Rule, ...] = (
    *(_mail, _services, _unreachable, _shared_usernames),
    _sizes_and_colours,
)
