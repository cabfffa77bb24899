"""The DNS records to publish: what is offered, and what is not said."""

from __future__ import annotations

from typing import Any

import pytest
from support import ROOT, TWO_DOMAINS, run

from flask_autoconfig.config.reading import from_raw, loads
from flask_autoconfig.tools import zone
from flask_autoconfig.tools.warnings import find_warnings

DOMAIN = "example.com"
IMAP = {"type": "imap", "hostname": "imap.example.com"}
POP3 = {"type": "pop3", "hostname": "pop.example.com"}
SMTP = {"type": "smtp", "hostname": "smtp.example.com"}


def records(**raw: Any) -> dict[str, list[str]]:
    """Each service's records, by name, of a provider with these tables."""
    (provider,) = from_raw({"provider": [{"domains": [DOMAIN], **raw}]}).providers
    found: dict[str, list[str]] = {}
    for it in zone.service_records(provider, DOMAIN):
        found.setdefault(it.name, []).append(it.data)
    return found


def told(**raw: Any) -> dict[str, str]:
    """What programs that go by records are warned of, by place."""
    (provider,) = from_raw({"provider": [{"domains": [DOMAIN], **raw}]}).providers
    found = find_warnings([provider])
    return {it.place[12:]: it.message for it in found if "SRV" in it.client}


def test_only_mail_is_said_not_to_be_offered() -> None:
    found = records(incoming=[IMAP], outgoing=[SMTP])
    assert found == {
        "_imaps._tcp": ["0 1 993 imap.example.com."],
        "_imap._tcp": ["0 0 0 ."],
        "_pop3s._tcp": ["0 0 0 ."],
        "_pop3._tcp": ["0 0 0 ."],
        "_submissions._tcp": ["0 1 465 smtp.example.com."],
        "_submission._tcp": ["0 0 0 ."],
    }


def test_priorities_count_across_imap_and_pop3_in_the_files_order() -> None:
    starttls = {
        "type": "imap",
        "hostname": "old.example.com",
        "socket_type": "STARTTLS",
    }
    found = records(incoming=[POP3, IMAP, starttls], outgoing=[SMTP])
    assert found["_pop3s._tcp"] == ["0 1 995 pop.example.com."]
    assert found["_imaps._tcp"] == ["1 1 993 imap.example.com."]
    assert found["_imap._tcp"] == ["2 1 143 old.example.com."]
    assert found["_submissions._tcp"] == ["0 1 465 smtp.example.com."]


@pytest.mark.parametrize(
    "host", ["%EMAILLOCALPART%.box.test", "192.0.2.1", "2001:db8::1"]
)
def test_a_target_that_is_no_host_for_everybody_is_left_out_and_not_denied(
    host: str,
) -> None:
    mail = {"incoming": [{**IMAP, "hostname": host}, POP3], "outgoing": [SMTP]}
    found = records(**mail)
    assert not {"_imaps._tcp", "_pop3s._tcp"} & set(found)
    assert found["_imap._tcp"] == ["0 0 0 ."]
    assert list(told(**mail)) == ["incoming[0]", "incoming[1]"]
    assert "incoming[0], which comes first, cannot" in told(**mail)["incoming[1]"]


def test_a_server_without_encryption_has_no_record_and_is_not_denied() -> None:
    mail = {
        "incoming": [IMAP, {**POP3, "socket_type": "plain"}],
        "outgoing": [{**SMTP, "socket_type": "plain"}],
    }
    found = records(**mail)
    assert found["_imaps._tcp"] == ["0 1 993 imap.example.com."]
    assert not {"_pop3._tcp", "_submission._tcp"} & set(found)
    assert list(told(**mail)) == ["incoming[1]", "outgoing[0]"]


URLS = {
    "a path": (
        "caldav",
        "https://dav.test:8443/calendars/",
        ["0 1 8443 dav.test.", '"path=/calendars/"'],
    ),
    "the standard's own path": (
        "carddav",
        "https://dav.test/.well-known/carddav",
        ["0 1 443 dav.test."],
    ),
    "a user's path": (
        "caldav",
        "https://dav.test/u/%EMAILADDRESS%/",
        ["0 1 443 dav.test.", '"path=/u/"'],
    ),
    "a path without end": ("caldav", f"https://dav.test/{'x' * 250}/", None),
    "no encryption": ("caldav", "http://dav.test/", None),
    "a user's host": ("caldav", "https://%EMAILLOCALPART%.test/", None),
    "an IP address": ("carddav", "https://[2001:db8::1]/", None),
    "JMAP at its path": (
        "jmap",
        "https://jmap.test/.well-known/jmap",
        ["0 1 443 jmap.test."],
    ),
    "JMAP elsewhere": ("jmap", "https://jmap.test/session", None),
}
KEYS = {"caldav": "calendar", "carddav": "address_book", "jmap": "incoming"}


@pytest.mark.parametrize(("type_", "url", "data"), URLS.values(), ids=URLS.keys())
def test_a_url_is_a_target_and_a_path_or_nothing_with_a_reason(
    type_: str, url: str, data: list[str] | None
) -> None:
    services = {KEYS[type_]: [{"type": type_, "url": url}]}
    (name,) = (name for name, it in zone.URL_SERVICES if it == type_)
    assert records(**services).get(name) == data
    assert list(told(**services)) == ([] if data else [f"{KEYS[type_]}[0]"])


def test_managesieve_is_found_with_starttls() -> None:
    sieve = {"type": "managesieve", "hostname": "sieve.test"}
    mail = {"incoming": [IMAP], "outgoing": [SMTP]}
    assert records(**mail, setup=[sieve])["_sieve._tcp"] == ["0 1 4190 sieve.test."]
    secure = {"setup": [{**sieve, "socket_type": "SSL"}]}
    assert "_sieve._tcp" not in records(**mail, **secure)
    assert list(told(**mail, **secure)) == ["setup[0]"]


def test_a_login_that_no_record_can_name_is_told() -> None:
    mail = {"incoming": [{**IMAP, "username": "fred"}], "outgoing": [SMTP]}
    assert list(told(**mail)) == ["incoming[0].username"]
    assert (
        told(incoming=[{**IMAP, "username": "%EMAILLOCALPART%"}], outgoing=[SMTP]) == {}
    )


def test_contribs_zone_is_that_of_the_example() -> None:
    file = ROOT / "examples/autoconfig.toml"
    told = run("--config", file, "dns", DOMAIN, "--target", "www.example.com").stdout
    written = (ROOT / "contrib/example.com.zone").read_text(encoding="utf-8")

    def lines(text: str) -> list[str]:
        return [it for it in text.splitlines() if it[:1] not in ";" and "SOA" not in it]

    assert lines(written) == lines(told)


def test_a_well_run_server_has_all_its_records() -> None:
    (provider,) = loads(TWO_DOMAINS).provider
    assert list(zone.left_out(provider)) == []
