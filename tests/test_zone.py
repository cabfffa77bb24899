"""The DNS records to publish: what they offer, and what they leave out."""

from typing import Any

from support import IMAP, SMTP, provider_of, rows

from flask_autoconfig import families
from flask_autoconfig.tools import zone
from flask_autoconfig.tools.warnings import find_warnings

DOMAIN = "example.com"
POP3 = {"type": "pop3", "hostname": "pop.example.com"}


def records(**raw: Any) -> dict[str, list[str]]:
    """Return the data of each service's records, for a provider with these tables."""
    found: dict[str, list[str]] = {}
    for record in zone.service_records(provider_of(**raw), DOMAIN):
        found.setdefault(record.name, []).append(record.data)
    return found


def warnings(**raw: Any) -> dict[str, str]:
    """Return the warnings about programs that use SRV records, by place."""
    found = find_warnings([provider_of(**raw)])
    return {row.place[12:]: row.message for row in found if "SRV" in row.client}


def test_only_mail_that_is_not_offered_is_denied() -> None:
    assert records(incoming=[IMAP], outgoing=[SMTP]) == {
        "_imaps._tcp": ["0 1 993 imap.example.com."],
        "_imap._tcp": ["0 0 0 ."],
        "_pop3s._tcp": ["0 0 0 ."],
        "_pop3._tcp": ["0 0 0 ."],
        "_submissions._tcp": ["0 1 465 smtp.example.com."],
        "_submission._tcp": ["0 0 0 ."],
    }


def test_a_server_behind_one_without_a_record_is_left_out_with_the_reason() -> None:
    """The rest of the rule is in test_one_truth."""
    first = {**IMAP, "hostname": "192.0.2.1"}
    reasons = warnings(incoming=[first, POP3], outgoing=[SMTP])
    assert list(reasons) == ["incoming[0]", "incoming[1]"]
    assert "incoming[0], which comes first" in reasons["incoming[1]"]


KEYS = {"caldav": "calendar", "carddav": "address_book", "jmap": "incoming"}


@rows("service_urls", "type_, url, expected", "tables.toml")
def test_a_url_is_a_record_or_told(type_: str, url: str, expected: list[str]) -> None:
    key = KEYS[type_]
    services = {key: [{"type": type_, "url": url}]}
    (name,) = (name for name, it in zone.URL_SERVICES if it == type_)
    assert records(**services).get(name, []) == expected
    assert list(warnings(**services)) == ([] if expected else [f"{key}[0]"])


def test_managesieve_is_found_with_starttls() -> None:
    sieve = {"type": "managesieve", "hostname": "sieve.test"}
    mail = {"incoming": [IMAP], "outgoing": [SMTP]}
    assert records(**mail, setup=[sieve])["_sieve._tcp"] == ["0 1 4190 sieve.test."]


def test_the_names_of_documents_are_those_of_the_target_or_a_common_host() -> None:
    raw = {"incoming": [IMAP], "outgoing": [SMTP]}
    chosen = families.chosen(["outlook", "thunderbird"], "clients")
    for more, host, name in (
        ({}, "www.example.com", f"autodiscover.{DOMAIN}"),
        ({"autodiscover_host": "Common.Test"}, "common.test", "common.test"),
    ):
        provider = provider_of(**raw, **more)
        found = zone.records(chosen, provider, DOMAIN, "www.example.com")
        named = {record.name: record.data for record in found}
        assert named["_autodiscover._tcp"] == f"0 1 443 {host}."
        assert named["autodiscover"] == named["autoconfig"] == "www.example.com."
        names = {f"autoconfig.{DOMAIN}", name, DOMAIN}
        assert set(zone.certificate_names(chosen, provider, DOMAIN)) == names

    target = f"autoconfig.{DOMAIN}"  # which gets no alias to itself
    found = zone.records(chosen, provider_of(**raw), DOMAIN, target)
    aliases = [record for record in found if record.type == "CNAME"]
    assert aliases == [("autodiscover", "CNAME", f"{target}.")]
