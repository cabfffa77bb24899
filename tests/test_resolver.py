"""What is said of name servers that answer oddly, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from support import TWO_DOMAINS, run
from world import NameServer, Respond

from flask_autoconfig.tools.net.resolver import LookupFailed, Resolver


@contextmanager
def name_server(answer: Respond) -> Iterator[tuple[str, int]]:
    """By UDP alone; None is no answer."""
    with NameServer(respond=answer) as server:
        yield "127.0.0.1", server.port


def reply(
    query: dns.message.Message, *lines: str, ra: bool = True
) -> dns.message.Message:
    """These records, whatever is asked."""
    made = dns.message.make_response(query, recursion_available=ra)
    for line in lines:
        name, ttl, *rest = line.split(maxsplit=4)
        made.answer.append(dns.rrset.from_text(name, int(ttl), *rest))
    return made


def kind(query: dns.message.Message) -> str:
    return dns.rdatatype.to_text(query.question[0].rdtype)


def why(answer: Respond, type_: str = "MX") -> LookupFailed:
    with name_server(answer) as server, pytest.raises(LookupFailed) as told:
        Resolver(server, 2).records("a.test", type_)
    assert "Do53" not in str(told.value)
    return told.value


def test_an_alias_that_is_a_loop_is_told_in_words() -> None:
    loop = ("a.test. 60 IN CNAME b.test.", "b.test. 60 IN CNAME a.test.")
    told = why(lambda query: reply(query, *loop))
    assert (told.kind, told.reason) == ("loop", "its alias (CNAME) is a loop")
    assert told.cure


def test_a_name_server_that_asks_no_other_is_told_by_what_it_leaves_open() -> None:
    alias = "a.test. 60 IN CNAME mail.b.test."
    told = why(lambda query: reply(query, alias, ra=False), "A")
    assert told.kind == "short"
    assert "an alias (CNAME) of mail.b.test, and the name server asked" in told.reason
    assert "recurses" in told.cure
    with name_server(lambda query: reply(query, alias)) as server:
        assert Resolver(server, 2).records("a.test", "A") == []  # which was looked for


def test_an_old_name_server_is_asked_again_without_edns() -> None:
    def old(query: dns.message.Message) -> dns.message.Message:
        if query.edns < 0:
            return reply(query, "a.test. 60 IN MX 10 mx.a.test.")
        made = dns.message.make_response(query)
        made.set_rcode(dns.rcode.FORMERR)
        return made

    with name_server(old) as server:
        assert Resolver(server, 2).mx("a.test") == ["mx.a.test"]


@pytest.mark.parametrize("dropped", ["A", "AAAA"])
def test_one_kind_of_address_is_enough_where_the_other_is_dropped(dropped: str) -> None:
    asked = []

    def half(query: dns.message.Message) -> dns.message.Message | None:
        asked.append(kind(query))
        if kind(query) == dropped:
            return None
        address = "2001:db8::1" if kind(query) == "AAAA" else "192.0.2.1"
        return reply(query, f"a.test. 60 IN {kind(query)} {address}")

    with name_server(half) as server:
        resolver = Resolver(server, 2)
        first = resolver.addresses("a.test")
        assert len(first) == 1
        assert resolver.unanswered == {"a.test": dropped}
        asked.clear()
        assert resolver.addresses("a.test") == first
        assert asked
        assert dropped not in asked  # it is waited for but once


def test_a_name_that_has_no_address_of_one_kind_and_no_answer_of_the_other() -> None:
    def half(query: dns.message.Message) -> dns.message.Message | None:
        return None if kind(query) == "AAAA" else reply(query)

    with name_server(half) as server, pytest.raises(LookupFailed) as told:
        Resolver(server, 1).addresses("a.test")
    assert (
        told.value.reason == "the name server does not answer for AAAA (it does for A)"
    )


@pytest.mark.parametrize("command", ["check", "init"])
def test_a_resolver_that_is_not_there_is_wrong_usage(command: str) -> None:
    done = run(command, "example.com", "--resolver", "no-such-host.invalid")
    assert done.returncode == 2, done.stderr
    assert "--resolver" in done.stderr
    assert "no-such-host.invalid" in done.stderr
    assert "(20)" not in done.stderr


def test_a_silent_name_server_is_told_of_each_server_that_it_hides(
    tmp_path: Path,
) -> None:
    file = tmp_path / "autoconfig.toml"
    file.write_text(TWO_DOMAINS)
    with name_server(lambda query: None) as server:
        options = ("--resolver", f"127.0.0.1:{server[1]}", "--timeout", "0.5")
        words = ("--config", file, "check", "example.com", "--unpublished", *options)
        done = run(*words)
    assert "no name server answers" in done.stdout
    assert "did not finish in time" not in done.stdout
