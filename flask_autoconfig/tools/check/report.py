"""Says what was found: the verdict first, then what is wrong, the worst first."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from ..cleaning import clean
from .findings import FAILURE, NOTE, OK, STATUSES, WARNING, Finding
from .journeys import CALENDARS
from .run import Fare, Report

_COLOURS = {OK: "green", NOTE: "cyan", WARNING: "yellow", FAILURE: "red"}
_INDENT = " " * 9
_NO_MAIL = (CALENDARS.name,)
_MOST_PLACES = 6  # that people are shown of one cause


def as_json(report: Report) -> dict[str, object]:
    """The form that stays: `domain`, `clients`, `findings`."""
    return {
        "domain": report.domain,
        "clients": [_client(it) for it in report.fares],
        "findings": [_finding(it) for it in report.findings],
    }


def _client(fare: Fare) -> dict[str, object]:
    sets_up = fare.sets_up
    return {
        "client": fare.client,
        "works": fare.works,
        "sets_up": None
        if sets_up is None
        else [it.as_json() for it in sets_up.servers],
        "stopped_by": fare.stopped_by or None,
    }


def _finding(it: Finding) -> dict[str, object]:
    return {
        "status": it.status,
        "step": it.step,
        "subject": it.subject,
        "seen": it.seen,
        "why": it.why,
        "cure": it.cure,
        "clients": list(it.clients),
    }


def line(report: Report) -> str:
    """The report as one line of JSON."""
    return json.dumps(as_json(report), ensure_ascii=False)


# --- For people -------------------------------------------------------------------------


def verdict(report: Report) -> Iterator[str]:
    """What works and what fails, in a few lines that begin with the domain."""
    name = report.domain
    works = [it.client for it in report.fares if it.works]
    if not report.fares:
        yield _of_servers(report)
        return
    lines = []
    if works:
        green = click.style("works in", fg="green")
        lines.append(f"{green} {', '.join(works)}")
    for cause, clients in _causes(report).items():
        red = click.style("fails in", fg="red")
        lines.append(f"{red} {', '.join(clients)}: {clean(cause, 300)}")
    without = [it.client for it in report.fares if it.works is None]
    if not lines:
        lines.append(click.style("works in no client: nothing is published", fg="red"))
    elif without:
        lines.append(f"nothing is published for {', '.join(without)}")
    margin = " " * (len(name) + 2)
    for number, text in enumerate(lines):
        yield f"{margin if number else f'{name}  '}{text}"


def _causes(report: Report) -> dict[str, list[str]]:
    """What stops clients, each with these: without the place where it has several."""
    causes: dict[str, list[str]] = {}
    for fare in report.fares:
        if fare.works is False:
            place, _, seen = fare.stopped_by.partition(": ")
            is_web = place.startswith("http")
            cause = seen if is_web and seen else fare.stopped_by
            causes.setdefault(cause, []).append(fare.client)
    return causes


def _of_servers(report: Report) -> str:
    wrong = sum(it.status == FAILURE for it in report.findings)
    if wrong:
        said = f"{_counted(wrong, 'failure')} at the servers of the file"
        return f"{report.domain}  {click.style(said, fg='red')}"
    said = "the servers of the file are well"
    return f"{report.domain}  {click.style(said, fg='green')}"


def details(report: Report, *, verbose: bool, quiet: bool = False) -> Iterator[str]:
    """The findings; what is well and what is only to be known is folded to counts."""
    folded = {OK: 0, NOTE: 0}
    for it in report.findings:
        is_asked_for = it.step == "login"  # whoever types a password wants to know
        if it.status in folded and not (verbose or is_asked_for):
            folded[it.status] += 1
        else:
            yield from _told(it, {fare.client for fare in report.fares})
    parts = []
    if folded[NOTE]:
        parts.append(_counted(folded[NOTE], "note"))
    if folded[OK]:
        parts.append(f"{folded[OK]} ok")
    if parts and not quiet:
        yield f"{', '.join(parts)} (--verbose shows them)"


def _told(it: Finding, everybody: set[str]) -> Iterator[str]:
    status = click.style(f"{it.status:8}", fg=_COLOURS[it.status], bold=True)
    if len(it.places) > 1:
        yield f"{status} {it.step}: {it.seen}"
        shown = it.places[:_MOST_PLACES]
        yield from (f"{_INDENT}at   {place}" for place in shown)
        if len(it.places) > len(shown):
            yield f"{_INDENT}and at {len(it.places) - len(shown)} more"
    else:
        yield f"{status} {it.step} {it.subject}: {it.seen}"
    if it.status == OK:
        return
    if it.why:
        yield f"{_INDENT}why: {it.why}"
    if it.clients:
        is_all = len(everybody) > 1 and everybody <= {*it.clients, *_NO_MAIL}
        who = "every mail client" if is_all else ", ".join(it.clients)
        yield f"{_INDENT}for: {who}"
    if it.cure:
        yield f"{_INDENT}do:  {it.cure}"


def counts(findings: tuple[Finding, ...] | list[Finding]) -> str:
    """How many there are of each kind."""
    numbers = {
        status: sum(it.status == status for it in findings) for status in STATUSES
    }
    return ", ".join(
        (
            f"{numbers[OK]} ok",
            _counted(numbers[NOTE], "note"),
            _counted(numbers[WARNING], "warning"),
            _counted(numbers[FAILURE], "failure"),
        )
    )


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
