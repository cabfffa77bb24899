"""Which requests a step of a client is: hosts, and the form of the address."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from ...address import NOBODY, Address
from ...documents import outlook
from ..clients import Client, Step, family_of, label_of
from ..net.resolver import LookupFailed
from .facts import Ask, Facts
from .findings import Case


def mx_domains(hosts: list[str], domain: str) -> list[str]:
    """The domains that MX hosts belong to: one label off, and the last two labels."""
    found: dict[str, None] = {}
    for host in hosts[:2]:
        labels = host.split(".")
        for name in (".".join(labels[1:]), ".".join(labels[-2:])):
            if "." in name and name != domain:
                found[name] = None
    return list(found)


def steps_of(client: Client, case: Case) -> list[Step]:
    """Its steps, without those to families that a file does not serve."""
    served = {family.name for family in case.families}
    return [
        step
        for step in client.steps
        if case.provider is None or family_of(step) in served
    ]


def asks(step: Step, case: Case, facts: Facts) -> list[Ask]:
    """The requests of a step; of the MX host's there may be several, or none."""
    label = label_of(step)
    bases = [f"{label}.{case.domain}"]
    if step.place == "domain":
        bases = [case.domain]
    elif step.place.startswith("mx"):
        hosts: list[str] = []
        with suppress(LookupFailed):
            hosts = facts.mx(case.domain)
        if step.place == "mx domain":
            hosts = mx_domains(hosts, case.domain)
        bases = [f"{label}.{host}" for host in hosts[:2]]
    return [ask_of(step, case, f"{step.scheme}://{base}{step.path}") for base in bases]


def ask_of(step: Step, case: Case, url: str) -> Ask:
    """The request of a step at a URL, with its form of the address."""
    who = str(case.asker)
    if step.kind == "pox":
        headers = (("Content-Type", "text/xml"),)
        return Ask(url, "POST", outlook.request(who), headers)
    if step.kind == "v2":
        return Ask(f"{url}?Email={quote(who)}&Protocol=AutodiscoverV1&RedirectCount=1")
    named = {
        "address": quote(who),
        "raw": who,
        "evolution": quote(str(Address(NOBODY, case.domain))),
        "none": "",
    }[step.form]
    if step.form == "raw" and not (who.isascii() and {*who}.isdisjoint(' "<>\\')):
        named = quote(who, safe="@")  # no request line carries it otherwise
    return Ask(f"{url}?emailaddress={named}" if named else url)
