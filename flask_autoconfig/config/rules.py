"""What values must keep together: the rules that no configuration may break."""

from __future__ import annotations

from collections.abc import Sequence

from .building import Builder
from .tables import MAIL_TYPES, SERVER_KEYS, Config, Provider, Server

_EXCHANGE_URLS = ("owa_url", "ews_url", "eas_url")


def apply(
    config: Config, domains_of_files: Sequence[tuple[str, ...]], builder: Builder
) -> None:
    """Add every problem that lies between values to the builder.

    `domains_of_files` has for each provider what its `domains_file` lists.
    """
    if not config.provider and not builder.is_faulty("provider"):
        builder.add("", "it has no provider", "add one: [[provider]], then its domains")
    _each_domain_once(config, domains_of_files, builder)
    for index, provider in enumerate(config.provider):
        place = f"provider[{index}]"
        for where, server in provider.servers:
            if server.type:  # else the type is what is wrong
                _whole_server(server, f"{place}.{where}", builder)
        _reading_and_sending(provider, place, builder)


def _each_domain_once(
    config: Config, domains_of_files: Sequence[tuple[str, ...]], builder: Builder
) -> None:
    claimed: dict[str, int] = {}
    for index, provider in enumerate(config.provider):
        domains = (*provider.domains, *domains_of_files[index])
        count = len(claimed)
        for domain in domains:
            first = claimed.setdefault(domain, index)
            if first != index:
                builder.add(
                    _place_of(domain, provider, index),
                    f"{domain} is claimed by provider[{first}] too",
                    "remove it from one of them",
                )
                count -= 1

        nothing = count == len(claimed) and not domains
        if nothing and not _has_domain_problem(builder, index):
            builder.add(
                f"provider[{index}]",
                "it has no domains",
                'add domains = ["example.com"], or a domains_file',
            )


def _has_domain_problem(builder: Builder, index: int) -> bool:
    keys = ("domains", "domains_file")
    return any(builder.is_faulty(f"provider[{index}].{key}") for key in keys)


def _place_of(domain: str, provider: Provider, index: int) -> str:
    if domain in provider.domains:
        return f"provider[{index}].domains[{provider.domains.index(domain)}]"
    return f"provider[{index}].domains_file"


def _whole_server(server: Server, at: str, builder: Builder) -> None:
    def need(key: str, cure: str) -> None:
        if getattr(server, key) is None and not builder.is_faulty(f"{at}.{key}"):
            builder.add(at, f"this {server.type} server has no {key}", cure)

    has_url = server.url or any(getattr(server, key, None) for key in _EXCHANGE_URLS)
    if server.type in MAIL_TYPES:
        need("hostname", 'add hostname = "mail.example.com"')
    elif not (has_url or server.hostname or builder.is_faulty(f"{at}.hostname")):
        need("url", "add url, or hostname and port")
    if server.hostname is not None:
        need("port", f"add port: {server.type} has no standard one")
    if server.type == "imap" and getattr(server, "pop3", None) is not None:
        builder.add(f"{at}.pop3", "an imap server has no POP3 options", "remove it")


def _reading_and_sending(provider: Provider, place: str, builder: Builder) -> None:
    mail = [server for server in provider.incoming if server.type in MAIL_TYPES]
    if mail and not provider.outgoing and not builder.is_faulty(f"{place}.outgoing"):
        builder.add(
            place,
            f"it has {mail[0].type} and no smtp, and no client takes that",
            "add [[provider.outgoing]]",
        )

    if provider.outgoing and not provider.incoming:
        if not builder.is_faulty(f"{place}.incoming"):
            builder.add(
                place,
                "it has smtp and nothing to read mail from",
                "add [[provider.incoming]]",
            )
    elif not provider.servers and not any(
        builder.is_faulty(f"{place}.{key}") for key in SERVER_KEYS
    ):
        builder.add(place, "it has no servers", "add [[provider.incoming]]")
