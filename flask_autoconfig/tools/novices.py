"""What somebody new to this writes, and no client anywhere can use: rows of the quirks.

A server that only the own network reaches, a name that everybody would log in with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_address, ip_network
from itertools import islice
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..address import PLACEHOLDERS, USER_PLACEHOLDERS, is_for_all, is_ip, unfold
from ..config.explain import hints
from ..config.explain.foreign import login_for, theirs_in
from ..config.listing import Listing, lines_of
from ..config.tables import WITHOUT_LOGIN
from ..config.values import quote
from ..errors import Problem

if TYPE_CHECKING:
    from .quirks import Complaints, Subject

_NAME_IT = "write the name that the internet knows the server by, as mail.example.com"
# Endings that no public DNS has: RFC 6761, RFC 6762, RFC 8375, ICANN's .internal, and
# what routers and old guides take.
_OWN_NETWORKS = [
    ".local",
    ".localdomain",
    ".lan",
    ".home",
    ".home.arpa",
    ".internal",
    ".intranet",
    ".corp",
    ".private",
    ".workgroup",
    ".fritz.box",
    ".invalid",
]
_DOCUMENTATION = tuple(  # RFC 5737, RFC 3849
    map(
        ip_network,
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32"),
    )
)
_URL_KEYS = ("url", "owa_url", "ews_url", "eas_url")


def unreachable_hosts(of: Subject) -> Complaints:
    """Servers that are in no public DNS, or at no public address."""
    for at, server in of.provider.servers:
        trouble = _trouble_with(server.hostname or "")
        if trouble:
            yield f"{at}.hostname", trouble, _NAME_IT
        elif is_ip(server.hostname or "") and server.socket_type != "plain":
            yield (
                f"{at}.hostname",
                f"hardly any certificate has an address, as {server.hostname}, in it, "
                "and clients refuse the server",
                _NAME_IT,
            )


def unreachable_pages(of: Subject) -> Complaints:
    """The same of the services that have a URL, and of the webmail."""
    pages = [
        (f"{at}.{key}", getattr(server, key, None))
        for at, server in of.provider.servers
        for key in _URL_KEYS
    ]
    if of.provider.webmail:
        pages.append(("webmail.login_page", of.provider.webmail.login_page))
    for at, url in pages:
        trouble = _trouble_with(urlsplit(url).hostname or "") if url else ""
        if trouble:
            yield at, trouble, "write the URL that the internet knows it by"


def _trouble_with(host: str) -> str:
    """Why nobody outside reaches a host, "" for one that may be reached."""
    if not host or "%" in host:
        return ""
    if host == "localhost" or host.endswith((".localhost", "localhost.localdomain")):
        return f"{host} is each reader's own device"
    if is_ip(host):
        return _trouble_with_address(host)
    if "." not in host:
        return f"{host} has no dot: only your own network may know it"
    ending = next((it for it in _OWN_NETWORKS if host.endswith(it)), "")
    return f"only your own network knows a name in {ending}" if ending else ""


def _trouble_with_address(host: str) -> str:
    address = ip_address(host)
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return f"{host} is each reader's own device"
    if address.is_unspecified or address.is_multicast:
        return f"{host} is no server's address"
    if address.is_global:
        return ""
    if address.is_link_local:
        return f"{host} is a link-local address: only your own network reaches it"
    if address.is_reserved or any(address in it for it in _DOCUMENTATION):
        return f"{host} is a reserved address: no server has it"
    return f"{host} is a private address: only your own network reaches it"


def unknown_domains(of: Subject) -> Complaints:
    """Domains that nobody's address can have, and those that would be everybody's."""
    for index, domain in enumerate(of.provider.domains):
        message, cure = _trouble_with_domain(domain)
        if message:
            yield f"domains[{index}]", message, cure


def unknown_listed(listing: Listing) -> Iterator[Problem]:
    """The same of a domains file's lines, of a thousand at most."""
    odd = (it for it in listing.names if b"." not in it.removeprefix(b"*."))
    own = (it for it in listing.names if it.endswith(_NAMES_OF_ONES_OWN))
    names = list(islice(dict.fromkeys((*odd, *own)), _MOST_LISTED))
    lines: dict[bytes, int] = {}
    with suppress(OSError):  # it is gone since it was read
        lines = lines_of(listing.path, names) if names else {}
    for name in sorted(names, key=lambda it: lines.get(it, 0)):
        message, cure = _trouble_with_domain(name.decode())
        if message:
            problem = Problem("", message, cure, "Every client")
            yield problem._replace(file=str(listing.path), line=lines.get(name))


_MOST_LISTED = 1000
_NAMES_OF_ONES_OWN = (b".localhost", b".localdomain")


def _trouble_with_domain(domain: str) -> tuple[str, str]:
    """Why nobody's address is in a domain, and the cure; "" twice where it may be."""
    cure = "write the domain of your addresses, as example.com"
    name = domain.removeprefix("*.")
    if "." in name or name in ("*", ""):
        if name.endswith((".localhost", ".localdomain")):
            return f"only your own network has addresses in {name}", cure
        return "", ""
    if name != domain:
        message = f"{domain} is every domain in .{name}, whosever it is"
        return message, f"{cure}, or *.example.com"
    words = f"{quote(name)} has no dot"  # in quotes, so that many are told as alike
    return f"{words}: no address on the internet has such a domain", cure


def same_domains(of: Subject) -> Complaints:
    """Domains that a provider names more than once, in whatever spelling."""
    seen: set[str] = set()
    for index, domain in enumerate(of.provider.domains):
        if domain in seen:
            message = f"{unfold(domain)} stands there twice: case and spelling are one"
            yield f"domains[{index}]", message, "remove one of the two"
        seen.add(domain)


def misplaced(of: Subject) -> Complaints:
    """Servers in the table of another service, where no client looks for them."""
    for at, server in of.provider.servers:
        key = at.partition("[")[0]
        cure = "" if key == "setup" else hints.for_type(server.type, key)
        if cure:
            message = f"nobody looks for {server.type} among {key} servers"
            yield f"{at}.type", message, cure


def same_names(of: Subject) -> Complaints:
    """Login names that are the same for everybody, or hold what clients do not fill in."""
    for at, name in _names(of):
        theirs = theirs_in(name)
        same = is_for_all(name)
        if not (theirs or same) or _is_unfinished(name):
            continue
        message = f"every client takes {theirs} as it stands"
        if not theirs:
            message = f"everybody gets the same name, {quote(name)}"
        elif same:
            message += ", and everybody gets the same name"
        cure = f"write username = {quote(login_for(name))}"
        if not theirs:
            cure += f', or "{USER_PLACEHOLDERS[1]}" for what stands before the @'
        yield at, message, cure


def _names(of: Subject) -> Iterator[tuple[str, str]]:
    for at, server in of.provider.servers:
        if server.username and not WITHOUT_LOGIN.issuperset(server.authentication):
            yield f"{at}.username", server.username
    webmail = of.provider.webmail
    if webmail and webmail.login_page_info:
        yield "webmail.login_page_info.username", webmail.login_page_info.username


def _is_unfinished(name: str) -> bool:
    """Whether a placeholder lacks its last %, which is a complaint of its own."""
    return any(it[:-1] in name.replace(it, "") for it in PLACEHOLDERS)
