"""The warnings of `validate`: what clients cannot take of the settings.

Each client is played over the documents that it would be served (:mod:`clients`). Faults
that no client's rules explain come from rules: they yield codes with values, and
`warnings.toml` has the client, the texts and the order of the codes.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from urllib.parse import urlsplit

from msgspec import to_builtins

from .. import documents
from ..address import Address, is_for_all, is_ip
from ..config.building import below
from ..config.explain.hints import for_type, login_for, theirs_in
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

ASKED = "encrypted-password"  # the code of what `check` asks servers themselves
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
    """Return what clients cannot take, the worst first, else in the file's order.

    Only clients of the families *served* count. *origins* say where each provider stands,
    by default all in one file. With ``ours=False`` somebody else publishes the settings:
    no client is played; rules about what is ours, and the code *without*, are left out.
    """
    families = {family.name: family for family in served}
    rules = [*_OF_SETTINGS]
    if ours:
        rules += [_of_ours, partial(_played, families)]
    problems: dict[str, list[Problem]] = {code: [] for code in _texts()}
    one_file = (Origin("", f"provider[{number}]", "") for number in count())
    for provider, origin in zip(providers, origins or one_file, strict=False):
        for code, problem in (each for rule in rules for each in rule(provider)):
            place = f"{origin.place}.{problem.place}" if problem.place else origin.place
            family = _texts()[code].get("family", "")
            if code != without and family in ("", *families):
                problems[code].append(problem._replace(place=place, file=origin.file))
    return [problem for found in problems.values() for problem in found]


def _played(families: Mapping[str, Family], provider: Provider) -> Findings:
    domain = next(iter(provider.exact_domains), "")
    exact = bool(domain)
    if not exact:  # take any domain that the pattern matches
        pattern = next(iter(provider.domains), "*")
        domain = pattern.replace("*", "example" if "." in pattern else "example.com")
    recipient = Recipient(domain, Address("postmaster", domain), exact=exact)
    clients = [it for it in CLIENTS if it.steps and it.family in families]
    all_names = [it.name for it in clients if it.family == "thunderbird"]
    for names, fault in by_fault(readings_of(clients, provider, recipient)):
        everybody = families["thunderbird"].askers if names == all_names else ""
        client = everybody or in_words(names)
        yield fault.effect, Problem(fault.place, fault.message, fault.cure, client)


def by_fault(
    readings: Iterable[tuple[Client, Reading]],
) -> Iterable[tuple[list[str], Fault]]:
    found: dict[Fault, list[str]] = {}
    for client, reading in readings:
        for fault in reading.faults:
            found.setdefault(fault, []).append(client.name)
    return [(names, fault) for fault, names in found.items()]


# --- Rules ----------------------------------------------------------------------------


def _found(code: str, place: str, **values: object) -> tuple[str, Problem]:
    text: dict[str, str] = _texts()[code]
    message, cure = (text[key].format_map(values) for key in ("message", "cure"))
    return code, Problem(place, message, cure, text.get("client", "Every client"))


def _mail_servers(provider: Provider) -> Iterator[tuple[str, Server]]:
    return (found for found in provider.servers if found[1].type in MAIL_TYPES)


_STANDARD = {
    standard_port(type_, socket_type): (type_, socket_type)
    for type_ in MAIL_TYPES
    for socket_type in ("SSL", "STARTTLS")
}


_BROKEN = re.compile(r"%(?:EMAILADDRESS|EMAILLOCALPART|EMAILDOMAIN|REALNAME)(?!%)")


def _mail(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        if server.socket_type == "plain":
            yield _found("unencrypted-mail", f"{place}.socket_type")

        methods = [name for name in server.authentication if name != "OAuth2"]
        if methods[:1] == ["password-encrypted"]:  # Evolution skips OAuth2
            yield _found("encrypted-password", f"{place}.authentication")

        # Thunderbird 153.8 adds no outgoing server where there is a default one. It adds
        # an incoming server, but binds no outgoing server to its account.
        if getattr(server, "use_global_preferred_server", False):
            kind = "replaced-outgoing" if server.type == "smtp" else "replaced"
            yield _found(f"{kind}-server", f"{place}.use_global_preferred_server")

        own = (server.type, server.socket_type)
        type_, socket_type = _STANDARD.get(server.port, own)
        code, standard = "port-of-another-type", type_
        if type_ == server.type:
            code, standard = "port-of-another-socket", str(socket_type)
        if type_ != server.type or server.socket_type not in ("plain", socket_type):
            yield _found(code, f"{place}.port", server=server, standard=standard)


def _services(provider: Provider) -> Findings:
    for place, server in provider.servers:
        is_known = provider.oauth2 or has_oauth2(server.hostname)
        if "OAuth2" in server.authentication and not is_known:
            yield _found("missing-oauth2", f"{place}.authentication")

        if broken := _BROKEN.search(server.username or ""):
            yield _found("broken-placeholder", f"{place}.username", word=broken[0])

        is_dav, url = server.type in ("caldav", "carddav"), server.url
        if is_dav and url and not urlsplit(url).path:
            yield _found("url-without-path", f"{place}.url", server=server)

        table = place.partition("[")[0]
        if cure := for_type(server.type, table) if table != "setup" else "":
            code, place = "misplaced-server", f"{place}.type"
            yield _found(code, place, server=server, table=table, cure=cure)


# Names that no public DNS has: RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, and the
# choices of routers and older guides.
_PRIVATE_DOMAINS = re.compile(
    r"\.(local|localdomain|localhost|lan|home|home\.arpa|internal|intranet|corp|private"
    r"|workgroup|fritz\.box|invalid)$"
)


def _unencrypted_urls(provider: Provider) -> Findings:
    def look(value: object, place: str) -> Findings:
        if isinstance(value, str) and value.startswith("http://"):
            yield _found("unencrypted-url", place)
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from look(item, below(place, key))
        elif isinstance(value, list | tuple):
            for index, item in enumerate(value):
                yield from look(item, f"{place}[{index}]")

    # A domains file, which holds no URLs, is encoded as nothing.
    yield from look(to_builtins(provider, enc_hook=lambda _: None), "")


def _unreachable(provider: Provider) -> Findings:
    urls: dict[str, str | None] = {}
    for place, server in provider.servers:
        host = server.hostname or ""
        reason = why_unreachable(host)
        if not reason and is_ip(host) and server.socket_type != "plain":
            reason = f"hardly any certificate has an address such as {host} in it, "
            reason += "and clients refuse the server"
        if reason:
            yield _found("unreachable-host", f"{place}.hostname", reason=reason)
        urls |= {f"{place}.{key}": getattr(server, key, None) for key in URL_KEYS}
    if provider.webmail:
        urls["webmail.login_page"] = provider.webmail.login_page
    for place, url in urls.items():
        if reason := why_unreachable(urlsplit(url or "").hostname or ""):
            yield _found("unreachable-url", place, reason=reason)


def why_unreachable(host: str) -> str:
    """Return why nobody reaches the host from outside, "" if somebody may."""
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
        unknown = theirs_in(name)
        if not _BROKEN.search(name) and (unknown or is_for_all(name)):
            code = "unfilled-username" if unknown else "shared-username"
            login = quote(login_for(name))
            yield _found(code, place, unknown=unknown, name=quote(name), login=login)


def _sizes_and_colours(provider: Provider) -> Findings:
    limits = (documents.LONGEST_NAME, documents.LONGEST_SHORT_NAME)
    for key, limit in zip(("display_name", "display_short_name"), limits, strict=True):
        length = len(getattr(provider, key) or "")
        if length > limit:
            yield _found("long-name", key, limit=limit, length=length)

    number = sum(1 for _ in provider.exact_domains) if provider.list_domains else 0
    if number > 1000:
        yield _found("long-list", "list_domains", number=number)

    colour = (provider.page and provider.page.colour) or "#000000"
    contrast = look.contrast(colour, look.PAPER)
    if contrast < look.ENOUGH:
        known = {"enough": look.ENOUGH, "shade": look.legible(colour, look.PAPER)}
        yield _found("pale-colour", "page.colour", contrast=contrast, **known)


_LEFT_OUT = {"outlook": outlook.left_out, "apple": apple.left_out}
_LEFT_OUT |= {"srv": zone.left_out, "pacc": pacc.left_out}
_IN_SRV = ("%EMAILADDRESS%", "%EMAILLOCALPART%", "%EMAILLOCALPART%@%EMAILDOMAIN%")


def _of_ours(provider: Provider) -> Findings:
    for index, domain in enumerate(provider.domains):
        if "." not in domain.removeprefix("*.") and domain != "*":
            yield _found("undotted-domain", f"domains[{index}]", name=domain)

    for place, server in _mail_servers(provider):
        if server.username and server.username not in _IN_SRV:
            yield _found("srv-username", f"{place}.username")

    for name, reasons in _LEFT_OUT.items():
        for place, reason in reasons(provider):
            yield _found(f"not-in-{name}", place, reason=reason)


Rule = Callable[[Provider], Findings]
# Rules about anybody's settings.
_OF_SETTINGS: tuple[Rule, ...] = (
    *(_mail, _services, _unencrypted_urls, _unreachable, _shared_usernames),
    _sizes_and_colours,
)
