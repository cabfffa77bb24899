"""Lookups at name servers that answer oddly, or not at all."""

import time

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from dns.message import Message
from services import run
from support import TWO_DOMAINS, Write
from world import NameServer

from flask_autoconfig.tools.net.resolver import LookupFailed, Resolver


def resolver_of(server: NameServer, timeout: float = 2) -> Resolver:
    return Resolver(("127.0.0.1", server.port), timeout)


def made_of(query: Message, *lines: str, ra: bool = True) -> Message:
    """Return these records, whatever the query."""
    message = dns.message.make_response(query, recursion_available=ra)
    for line in lines:
        name, ttl, *rest = line.split(maxsplit=4)
        message.answer.append(dns.rrset.from_text(name, int(ttl), *rest))
    return message


def type_of(query: Message) -> str:
    return dns.rdatatype.to_text(query.question[0].rdtype)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (("a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test."), "loop"),
        ((), "unknown"),
    ],
    ids=["a loop of aliases", "a name server that is too old"],
)
def test_a_reason_has_its_kind_and_a_cure(answer: tuple[str, ...], kind: str) -> None:
    def respond(query: Message) -> Message:
        message = made_of(query, *answer)
        message.set_rcode(dns.rcode.NOERROR if answer else dns.rcode.FORMERR)
        return message

    with NameServer(respond=respond) as server, pytest.raises(LookupFailed) as raised:
        resolver_of(server).records("a.test", "MX")
    assert raised.value.kind == kind
    assert raised.value.cure
    assert "Do53" not in str(raised.value)


def test_aaaa_queries_that_a_firewall_drops_are_sent_once() -> None:
    queried = []

    def half(query: Message) -> Message | None:
        queried.append(type_of(query))
        if type_of(query) == "AAAA":
            return None
        return made_of(query, "a.test. 60 IN A 192.0.2.1")

    with NameServer(respond=half) as server:
        resolver = resolver_of(server, 1)
        assert resolver.addresses("a.test") == ["192.0.2.1"]
        queried.clear()
        assert resolver.addresses("a.test") == ["192.0.2.1"]
        assert queried == []


def test_a_host_that_does_not_exist_has_no_address_even_if_aaaa_is_dropped() -> None:
    def half(query: Message) -> Message | None:
        response = made_of(query)
        response.set_rcode(dns.rcode.NXDOMAIN)
        return None if type_of(query) == "AAAA" else response

    with NameServer(respond=half) as server:
        assert resolver_of(server, 0.5).addresses("a.test") == []


@pytest.mark.parametrize(
    "words", ["--config {} check --unpublished", "check", "init -o -"]
)
def test_a_silent_name_server_delays_no_command(toml: Write, words: str) -> None:
    file = toml(TWO_DOMAINS, "other.toml")
    command = [*words.format(file).split(), "example.com"]
    with NameServer(respond=lambda query: None) as server:
        options = ("--resolver", f"127.0.0.1:{server.port}", "--timeout", "1")
        start = time.monotonic()
        result = run(*command, *options, cwd=file.parent)
        took = time.monotonic() - start
    assert result.returncode == 1
    assert took < 15  # six times a second, and a slow machine
    assert "no name server answers" in result.stdout + result.stderr
    assert "did not finish in time" not in result.stdout


def test_a_lookup_after_the_deadline_does_not_blame_the_name_server() -> None:
    late = Resolver(("127.0.0.1", 9), 2).until(0)
    with pytest.raises(LookupFailed, match="no time is left") as raised:
        late.records("a.test", "MX")
    assert "--timeout" in raised.value.cure
    assert "port 53" not in raised.value.cure
