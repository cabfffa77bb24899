"""The requests of each step of a client: the hosts, and the form of the address."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import quote

from ...address import NOBODY, Address
from ...documents import outlook
from ..clients import ISPDB, Client, Step, family_of, label_of
from ..net.resolver import LookupFailed
from .facts import Ask, Facts
from .findings import Case


def mx_domains(hosts: list[str], domain: str) -> list[str]:
    """Return the domains of MX hosts: without the first label, and the last two labels."""
    labels = [host.split(".") for host in hosts[:2]]
    names = [".".join(part) for each in labels for part in (each[1:], each[-2:])]
    return [name for name in dict.fromkeys(names) if "." in name and name != domain]


def steps_of(client: Client, case: Case) -> list[Step]:
    """Return the steps of a client, without those for families that the file leaves out."""
    served = {family.name for family in case.families}
    return [
        step
        for step in client.steps
        if case.provider is None or family_of(step) in served
    ]


def asks(step: Step, case: Case, facts: Facts) -> list[Ask]:
    """Return the requests of a step, one for each MX host where it goes by those."""
    names = [case.domain]
    if "mx" in step.place:
        names = []
        with suppress(LookupFailed):
            names = facts.mx(case.domain)
        if step.place != "mx host":
            names = mx_domains(names, case.domain)
    if step.place.startswith("ispdb"):
        return [Ask(f"{ISPDB}{name}") for name in names[:2]]
    label = "" if step.place == "domain" else f"{label_of(step)}."
    bases = [f"{label}{name}" for name in names[:2]]
    return [ask_of(step, case, f"{step.scheme}://{base}{step.path}") for base in bases]


def ask_of(step: Step, case: Case, url: str) -> Ask:
    """Return the request of a step to a URL, with the address in the step's form."""
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
        named = quote(who, safe="@")  # as it must be in a request line
    return Ask(f"{url}?emailaddress={named}" if named else url)
