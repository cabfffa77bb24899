"""Says what was found: the verdict first, then what is wrong, the worst first."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

import click

from ...cleaning import clean
from ..clients import CALENDARS
from ..terminal import columns, wrapped
from .findings import Finding
from .run import Fare, Report
from .weigh import FAILURE, NOTE, OK, WARNING

_COLOURS = {OK: "green", NOTE: "cyan", WARNING: "yellow", FAILURE: "red"}
_INDENT = 9  # columns that a status takes
_NARROW = 50  # columns: in fewer an indent takes too much of them
_URL = re.compile(r"https?://[^\s,;()\"]*[^\s,;:.()\"]")
_NO_MAIL = (CALENDARS.name,)
_MOST_NAMED = 20  # domains in the closing line
# What was told in full, and of which domain.
Known = dict[tuple[str, ...], str]
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
        "code": it.code,
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
    return json.dumps(as_json(report))


# --- For people -------------------------------------------------------------------------


def verdict(report: Report, width: int | None = None) -> Iterator[str]:
    """What works and what fails, in a few lines that begin with the domain.

    They are wrapped to the width in columns, if there is one.
    """
    lines = list(_outcomes(report))
    margin = columns(report.domain) + 2
    if width is not None and margin > width // 3:  # too much of each line
        yield report.domain
        margin = 2
        lines = [f"  {it}" for it in lines]
    else:
        lines = [
            f"{' ' * margin if number else f'{report.domain}  '}{text}"
            for number, text in enumerate(lines)
        ]
    yield from (wrapped(it, width, margin + 2) for it in lines)


def _outcomes(report: Report) -> Iterator[str]:
    """What works, what fails and why, and what nothing is published for."""
    if not report.fares:
        yield _of_servers(report)
        yield from _logins(report)
        return
    works = [it.client for it in report.fares if it.works]
    causes = _causes(report)
    if works:
        green = click.style("works in", fg="green")
        yield f"{green} {', '.join(works)}"
    yield from _logins(report)
    for cause, clients in causes.items():
        red = click.style("fails in", fg="red")
        yield f"{red} {', '.join(clients)}: {clean(cause, 300)}"
    without = [it.client for it in report.fares if it.works is None]
    if not (works or causes):
        yield click.style("works in no client: nothing is published", fg="red")
    elif without:
        yield f"nothing is published for {', '.join(without)}"


def _logins(report: Report) -> Iterator[str]:
    """Each login that failed, but for those that clients are told to fail by."""
    stopped = {fare.client for fare in report.fares if fare.works is False}
    for it in report.findings:
        is_told = bool(it.clients) and stopped.issuperset(it.clients)
        if it.step == "login" and it.status == FAILURE and not is_told:
            red = click.style("the login fails at", fg="red")
            yield f"{red} {it.subject}: {clean(it.seen, 300)}"


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
    failed = [it for it in report.findings if it.status == FAILURE]
    wrong = sum(it.step != "login" for it in failed)
    if wrong:
        said = f"{_counted(wrong, 'failure')} at the servers of the file"
        return click.style(said, fg="red")
    return click.style("the servers of the file are well", fg="green")


def details(
    report: Report,
    *,
    verbose: bool,
    quiet: bool = False,
    width: int | None = None,
    known: Known | None = None,
) -> Iterator[str]:
    """The findings; what is well and what is only to be known is folded to counts.

    They are wrapped to the width in columns, if there is one. What is in `known`, of
    another domain, takes a line; what is told is added to it.
    """
    folded = {OK: 0, NOTE: 0}
    everybody = {fare.client for fare in report.fares}
    for it in report.findings:
        is_asked_for = it.step == "login"  # whoever types a password wants to know
        if it.status in (OK, NOTE) and not (verbose or is_asked_for):
            folded[it.status] += 1
            continue
        key = (it.status, it.step, it.seen, it.why, it.cure)
        first = report.domain
        if known is not None and it.status != OK:
            first = known.setdefault(key, first)
        if first == report.domain:
            yield from _told(it, everybody, width)
        else:
            same = f"as for {first}: {it.step} {it.subject}: {it.seen}"
            yield wrapped(f"{_status(it)} {same}", width, _indent(width))
    parts = []
    if folded[NOTE]:
        parts.append(_counted(folded[NOTE], "note"))
    if folded[OK]:
        parts.append(f"{folded[OK]} ok")
    if parts and not quiet:
        yield f"{', '.join(parts)} (--verbose shows them)"


def _indent(width: int | None) -> int:
    return _INDENT if width is None or width >= _NARROW else 2


def _status(it: Finding) -> str:
    return click.style(f"{it.status:{_INDENT - 1}}", fg=_COLOURS[it.status], bold=True)


def _told(it: Finding, everybody: set[str], width: int | None) -> Iterator[str]:
    """What a person is shown of a finding: a line for each part, wrapped to the width."""
    indent = _indent(width)
    place = "" if len(it.places) > 1 else f" {it.subject}"
    known: set[str] = set()
    sentence = _once(f"{it.step}{place}: {it.seen}", known)
    yield wrapped(f"{_status(it)} {sentence}", width, indent)
    for label, text in _parts(it, everybody):
        line = f"{' ' * indent}{label:5}{_once(text, known)}"
        yield wrapped(line, width, indent + 5)


def _parts(it: Finding, everybody: set[str]) -> Iterator[tuple[str, str]]:
    """What is shown below the sentence about a finding, each with its label."""
    if len(it.places) > 1:
        shown = it.places[:_MOST_PLACES]
        yield from (("at", place) for place in shown)
        if len(it.places) > len(shown):
            yield "at", f"{len(it.places) - len(shown)} more"
    if it.status == OK:
        return
    if it.why:
        yield "why:", it.why
    is_told = len(it.clients) == 1 and it.clients[0].lower() in it.why.lower()
    if it.clients and not is_told:
        is_all = len(everybody) > 1 and everybody <= {*it.clients, *_NO_MAIL}
        yield "for:", "every mail client" if is_all else ", ".join(it.clients)
    if it.cure:
        yield "do:", it.cure


def _once(text: str, known: set[str]) -> str:
    """The text with no URL in it that was shown before; what it shows is added."""

    def shown(found: re.Match[str]) -> str:
        url = found[0]
        if url in known:
            return "this URL"
        known.add(url)
        return url

    return _URL.sub(shown, text)


def closing(number: int, failed: Sequence[str]) -> str:
    """What is said last, of so many domains of which these fail."""
    well = number - len(failed)
    said = f"{_counted(number, 'domain')}: {well} {'is' if well == 1 else 'are'} well"
    if failed:
        verb = "fails" if len(failed) == 1 else "fail"
        more = f" and {len(failed) - _MOST_NAMED} more" if failed[_MOST_NAMED:] else ""
        said += f", {len(failed)} {verb}: {', '.join(failed[:_MOST_NAMED])}{more}"
    return said


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
