"""Rules that judge a provider's settings apart from what any one client does with them.

Each rule takes a provider and yields findings. Module :mod:`warnings` says which client
each rule is about, and in which order `validate` reports them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import NamedTuple
from urllib.parse import urlsplit

from msgspec import json, to_builtins

from .. import oauth_hosts
from ..address import PLACEHOLDERS, USER_PLACEHOLDERS, is_for_all, is_ip, unfold
from ..config import values
from ..config.explain import hints
from ..config.explain.foreign import login_for, theirs_in
from ..config.listing import Listing, lines_of
from ..config.ports import MAIL_TYPES, standard_port
from ..config.tables import WITHOUT_LOGIN, Provider, Server
from ..config.values import quote
from ..config.writing import strings_read_by
from ..documents import LONGEST_NAME, LONGEST_SHORT_NAME
from ..errors import Problem
from ..page import look


class Finding(NamedTuple):
    """One thing to change in a provider."""

    place: str  # in the provider, with the TOML's keys; "" for the provider itself
    message: str
    cure: str


Findings = Iterator[Finding]


def _mail_servers(provider: Provider) -> Iterator[tuple[str, Server]]:
    """Yield the IMAP, POP3 and SMTP servers, each with its place."""
    return (found for found in provider.servers if found[1].type in MAIL_TYPES)


# --- Encryption and authentication ----------------------------------------------------


def unencrypted_mail(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        if server.socket_type == "plain":
            message = "mail and passwords travel unencrypted"
            cure = 'offer "SSL" or "STARTTLS"'
            yield Finding(f"{place}.socket_type", message, cure)


def unencrypted_urls(provider: Provider) -> Findings:
    def omit(_: object) -> None:
        """Encode a domains file, which holds no URLs, as nothing."""

    if b"http://" not in json.encode(provider, enc_hook=omit):
        return
    raw = to_builtins(provider, enc_hook=omit)
    urls = (values.url, values.service_url)
    for found in strings_read_by(urls, Provider, raw, ""):
        if found.table[found.key].startswith("http://"):
            message = "requests travel unencrypted, and anyone on the path can answer"
            cure = "write https://, once the server supports it"
            yield Finding(found.place, message, cure)


def encrypted_passwords(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        methods = [name for name in server.authentication if name != "OAuth2"]
        if methods[:1] == ["password-encrypted"]:  # Evolution skips OAuth2
            yield Finding(
                f"{place}.authentication",
                "it takes password-encrypted literally (CRAM-MD5), even over TLS, and "
                "every login fails where the server offers only PLAIN",
                'write "password-cleartext" unless the server offers CRAM-MD5',
            )


def missing_oauth2(provider: Provider) -> Findings:
    for place, server in provider.servers:
        if "OAuth2" not in server.authentication or oauth_hosts.is_known(
            server.hostname
        ):
            continue
        if provider.oauth2 is None:
            message = "a client that does not know the provider cannot find its "
            message += "authorization server"
            cure = "add [provider.oauth2], or remove OAuth2"
            yield Finding(f"{place}.authentication", message, cure)


def replaced_servers(provider: Provider) -> Findings:
    """Yield the servers that give way to those of another account (Thunderbird 153.8).

    An outgoing server is not added where there is a default one. An incoming server is
    added, but no outgoing server is bound to its account.
    """
    for place, server in _mail_servers(provider):
        if getattr(server, "use_global_preferred_server", False):
            message = "where there is another account, mail goes out through that "
            message += "account's server"
            if server.type == "smtp":
                message += ", and this one is not added at all"
            cure = "remove the key, or write false"
            yield Finding(f"{place}.use_global_preferred_server", message, cure)


# --- Ports, types and URLs ------------------------------------------------------------

_STANDARD = {
    standard_port(type_, socket_type): (type_, socket_type)
    for type_ in MAIL_TYPES
    for socket_type in ("SSL", "STARTTLS")
}


def unexpected_ports(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        type_, socket_type = _STANDARD.get(server.port, (server.type, "plain"))
        if type_ != server.type:
            message = f"port {server.port} is the port of {type_}, and this server is "
            message += f"of type {server.type}"
            yield Finding(f"{place}.port", message, "write the server's real port")
        elif "plain" not in (socket_type, server.socket_type) and (
            socket_type != server.socket_type
        ):
            message = f"port {server.port} is the port for {socket_type}, and this "
            message += f"server has {server.socket_type} there"
            cure = f'write socket_type = "{socket_type}", unless it really does'
            yield Finding(f"{place}.port", message, cure)


def urls_without_path(provider: Provider) -> Findings:
    for place, server in provider.servers:
        is_dav = server.type in ("caldav", "carddav")
        if is_dav and server.url and not urlsplit(server.url).path:
            message = (
                f"{server.url} names a web site and no {server.type} service in it"
            )
            cure = "write the URL of the service, or replace url by hostname, so that "
            cure += f"clients are sent to /.well-known/{server.type}"
            yield Finding(f"{place}.url", message, cure)


def assumed_urls(provider: Provider) -> Findings:
    for place, server in provider.servers:
        if server.is_url_usual:
            message = f"clients get {server.url}, the standard URL of such a service"
            cure = "give the real url instead of hostname"
            yield Finding(f"{place}.hostname", message, cure)


def misplaced_servers(provider: Provider) -> Findings:
    for place, server in provider.servers:
        table = place.partition("[")[0]
        cure = "" if table == "setup" else hints.for_type(server.type, table)
        if cure:
            message = f"no client looks for {server.type} among the {table} servers"
            yield Finding(f"{place}.type", message, cure)


# --- Hosts ----------------------------------------------------------------------------

_PUBLIC_NAME = "write the server's public name, for example mail.example.com"
# Names that no public DNS has: RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, and the
# choices of routers and older guides.
_PRIVATE_DOMAINS = (
    *(".local", ".localdomain", ".lan", ".home", ".home.arpa", ".internal"),
    *(".intranet", ".corp", ".private", ".workgroup", ".fritz.box", ".invalid"),
)
_DOCUMENTATION = [  # RFC 5737, RFC 3849
    ip_network(network)
    for network in (
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "2001:db8::/32",
    )
]
_URL_KEYS = ("url", "owa_url", "ews_url", "eas_url")


def unreachable_hosts(provider: Provider) -> Findings:
    for place, server in provider.servers:
        host = server.hostname or ""
        reason = _why_unreachable(host)
        if not reason and is_ip(host) and server.socket_type != "plain":
            reason = f"hardly any certificate has an address such as {host} in it, "
            reason += "and clients refuse the server"
        if reason:
            yield Finding(f"{place}.hostname", reason, _PUBLIC_NAME)


def unreachable_urls(provider: Provider) -> Findings:
    urls = [
        (f"{place}.{key}", getattr(server, key, None))
        for place, server in provider.servers
        for key in _URL_KEYS
    ]
    if provider.webmail:
        urls.append(("webmail.login_page", provider.webmail.login_page))
    for place, url in urls:
        reason = _why_unreachable(urlsplit(url).hostname or "") if url else ""
        if reason:
            yield Finding(place, reason, "write the public URL")


def _why_unreachable(host: str) -> str:
    """Return why nobody reaches the host from outside, "" if somebody may."""
    if not host or "%" in host:
        return ""
    if host == "localhost" or host.endswith((".localhost", "localhost.localdomain")):
        return f"{host} is each reader's own device"
    if is_ip(host):
        return _why_not_public(host)
    if "." not in host:
        return f"{host} has no dot: only your own network may know it"
    ending = next((name for name in _PRIVATE_DOMAINS if host.endswith(name)), "")
    return f"only your own network knows a name in {ending}" if ending else ""


def _why_not_public(host: str) -> str:
    address = ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return f"{host} is each reader's own device"
    if address.is_unspecified or address.is_multicast:
        return f"{host} is no server's address"
    if address.is_global:
        return ""
    if address.is_reserved or any(address in network for network in _DOCUMENTATION):
        return f"{host} is a reserved address: no server has it"
    kind = "link-local" if address.is_link_local else "private"
    return f"{host} is a {kind} address: only your own network reaches it"


# --- Domains --------------------------------------------------------------------------


def unknown_domains(provider: Provider) -> Findings:
    for index, domain in enumerate(provider.domains):
        message, cure = _why_unknown(domain)
        if message:
            yield Finding(f"domains[{index}]", message, cure)


_MOST_LISTED = 1000
_LOCAL_NAMES = (".localhost", ".localdomain")


def unknown_listed(listing: Listing) -> Iterator[Problem]:
    """Yield the same for a domains file, up to a thousand names."""
    endings = tuple(name.encode() for name in _LOCAL_NAMES)
    undotted = (name for name in listing.names if b"." not in name.removeprefix(b"*."))
    local = (name for name in listing.names if name.endswith(endings))
    names = list(islice(dict.fromkeys((*undotted, *local)), _MOST_LISTED))
    lines: dict[bytes, int] = {}
    with suppress(OSError):  # the file was removed since it was read
        lines = lines_of(listing.path, names) if names else {}
    for name in sorted(names, key=lambda name: lines.get(name, 0)):
        message, cure = _why_unknown(name.decode())
        if message:
            problem = Problem("", message, cure, "Every client")
            yield problem._replace(file=str(listing.path), line=lines.get(name))


def _why_unknown(domain: str) -> tuple[str, str]:
    """Return why no address is in the domain, and the cure; "" twice if one may be."""
    cure = "write the domain of your addresses, such as example.com"
    name = domain.removeprefix("*.")
    if "." in name or name in ("*", ""):
        if name.endswith(_LOCAL_NAMES):
            return f"only your own network has addresses in {name}", cure
        return "", ""
    if name != domain:
        message = f"{domain} is every domain in .{name}, whoever owns it"
        return message, f"{cure}, or *.example.com"
    # The quotes let similar problems be counted together.
    return f"{quote(name)} has no dot: no internet address has such a domain", cure


def repeated_domains(provider: Provider) -> Findings:
    seen: set[str] = set()
    for index, domain in enumerate(provider.domains):
        if domain in seen:
            message = f"{unfold(domain)} is listed twice (case makes no difference)"
            yield Finding(f"domains[{index}]", message, "remove one of the two")
        seen.add(domain)


def long_lists(provider: Provider) -> Findings:
    if not provider.list_domains:
        return
    number = sum(1 for _ in provider.exact_domains)
    if number > 1000:
        message = f"every answer lists all {number} domains, for anyone to read"
        yield Finding("list_domains", message, "set list_domains = false")


# --- User names -----------------------------------------------------------------------

_BROKEN_PLACEHOLDER = re.compile(
    r"%(?:EMAILADDRESS|EMAILLOCALPART|EMAILDOMAIN|REALNAME)(?!%)"
)


def broken_placeholders(provider: Provider) -> Findings:
    for place, server in provider.servers:
        broken = _BROKEN_PLACEHOLDER.search(server.username or "")
        if broken:
            message = f"{broken[0]} without its last % is not a placeholder"
            yield Finding(f"{place}.username", message, f"write {broken[0]}%")


def shared_usernames(provider: Provider) -> Findings:
    """Yield user names without a placeholder, or with one that no client fills in."""
    for place, name in _usernames(provider):
        unknown, is_shared = theirs_in(name), is_for_all(name)
        is_broken = any(word[:-1] in name.replace(word, "") for word in PLACEHOLDERS)
        if not (unknown or is_shared) or is_broken:
            continue
        message = f"every client takes {unknown} as it stands"
        if not unknown:
            message = f"everybody gets the same name, {quote(name)}"
        elif is_shared:
            message += ", and everybody gets the same name"
        cure = f"write username = {quote(login_for(name))}"
        if not unknown:
            cure += f', or "{USER_PLACEHOLDERS[1]}" for the part before the @'
        yield Finding(place, message, cure)


def _usernames(provider: Provider) -> Iterator[tuple[str, str]]:
    for place, server in provider.servers:
        if server.username and not WITHOUT_LOGIN.issuperset(server.authentication):
            yield f"{place}.username", server.username
    webmail = provider.webmail
    if webmail and webmail.login_page_info:
        yield "webmail.login_page_info.username", webmail.login_page_info.username


_SRV_USERNAMES = {
    "%EMAILADDRESS%",
    "%EMAILLOCALPART%",
    "%EMAILLOCALPART%@%EMAILDOMAIN%",
}


def usernames_without_srv(provider: Provider) -> Findings:
    for place, server in _mail_servers(provider):
        if server.username and server.username not in _SRV_USERNAMES:
            message = "SRV records hold no user name: they try the address, then the "
            message += "part before the @ (RFC 6186, section 4)"
            cure = "let people log in with one of these, too"
            yield Finding(f"{place}.username", message, cure)


# --- What people read -----------------------------------------------------------------


def long_names(provider: Provider) -> Findings:
    limits = {"display_name": LONGEST_NAME, "display_short_name": LONGEST_SHORT_NAME}
    for key, limit in limits.items():
        name = getattr(provider, key)
        if name and len(name) > limit:
            message = f"the documents hold at most {limit} characters, and this has "
            yield Finding(key, f"{message}{len(name)}", "shorten it, or it is cut")


def pale_colours(provider: Provider) -> Findings:
    colour = provider.page.colour if provider.page else None
    contrast = look.contrast(colour, look.PAPER) if colour else look.ENOUGH
    if colour and contrast < look.ENOUGH:
        shade = look.legible(colour, look.PAPER)
        message = (
            f"its contrast on the page is {contrast:.1f}:1, below {look.ENOUGH}:1, "
        )
        message += f"so links are written in {shade} instead"
        yield Finding("page.colour", message, f"write a darker one, such as {shade}")


def left_out(
    reasons: Callable[[Provider], Iterable[tuple[str, str]]], message: str, who: str
) -> Callable[[Provider], Findings]:
    """Return a rule for servers that a format cannot express.

    *reasons* yields the place of each such server and the reason.
    """

    def rule(provider: Provider) -> Findings:
        for place, reason in reasons(provider):
            cure = f"offer such a server too, or accept that {who} do without it"
            yield Finding(place, f"{message}: {reason}", cure)

    return rule
