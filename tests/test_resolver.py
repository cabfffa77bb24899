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


def asking(server: NameServer, timeout: float = 2) -> Resolver:
    return Resolver(("127.0.0.1", server.port), timeout)


def reply(query: Message, *lines: str, ra: bool = True) -> Message:
    """Return these records, whatever the query."""
    response = dns.message.make_response(query, recursion_available=ra)
    for line in lines:
        name, ttl, *rest = line.split(maxsplit=4)
        response.answer.append(dns.rrset.from_text(name, int(ttl), *rest))
    return response


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
        response = reply(query, *answer)
        response.set_rcode(dns.rcode.NOERROR if answer else dns.rcode.FORMERR)
        return response

    with NameServer(respond=respond) as server, pytest.raises(LookupFailed) as raised:
        asking(server).records("a.test", "MX")
    assert raised.value.kind == kind
    assert raised.value.cure
    assert "Do53" not in str(raised.value)


@pytest.mark.parametrize("dropped", ["A", "AAAA"])
def test_one_kind_of_address_is_enough_and_the_other_awaited_once(dropped: str) -> None:
    asked = []

    def half(query: Message) -> Message | None:
        asked.append(type_of(query))
        if type_of(query) == dropped:
            return None
        address = "2001:db8::1" if type_of(query) == "AAAA" else "192.0.2.1"
        return reply(query, f"a.test. 60 IN {type_of(query)} {address}")

    with NameServer(respond=half) as server:
        resolver = asking(server, 1)
        first = resolver.addresses("a.test")
        assert len(first) == 1
        assert resolver.unanswered == {"a.test": dropped}
        asked.clear()
        assert resolver.addresses("a.test") == first
        assert dropped not in asked


@pytest.mark.parametrize("code", [dns.rcode.NOERROR, dns.rcode.NXDOMAIN])
def test_without_an_answer_for_the_other_kind_only_a_host_that_does_not_exist_has_none(
    code: dns.rcode.Rcode,
) -> None:
    def half(query: Message) -> Message | None:
        response = reply(query)
        response.set_rcode(code)
        return None if type_of(query) == "AAAA" else response

    with NameServer(respond=half) as server:
        if code == dns.rcode.NXDOMAIN:
            assert asking(server, 0.5).addresses("a.test") == []
            return
        with pytest.raises(LookupFailed) as raised:
            asking(server, 0.5).addresses("a.test")
    assert raised.value.kind == "kind"


@pytest.mark.parametrize(
    "words", ["--config {} check --unpublished", "check", "init -o -"]
)
def test_a_silent_name_server_delays_no_command(toml: Write, words: str) -> None:
    file = toml(TWO_DOMAINS, "other.toml")
    command = [*words.format(file).split(), "example.com"]
    with NameServer(respond=lambda query: None) as server:
        options = ("--resolver", f"127.0.0.1:{server.port}", "--timeout", "1")
        start = time.monotonic()
        done = run(*command, *options, cwd=file.parent)
        took = time.monotonic() - start
    assert done.returncode == 1
    assert took < 15  # six times a second, and a slow machine
    assert "no name server answers" in done.stdout + done.stderr
    assert "did not finish in time" not in done.stdout


def test_a_lookup_after_the_deadline_does_not_blame_the_name_server() -> None:
    late = Resolver(("127.0.0.1", 9), 2).until(0)
    with pytest.raises(LookupFailed, match="no time is left") as raised:
        late.records("a.test", "MX")
    assert "--timeout" in raised.value.cure
    assert "port 53" not in raised.value.cure
