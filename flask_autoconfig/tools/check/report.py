"""The report on a domain, as text and as JSON, and the line that says what is done."""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import click

from ...cleaning import clean
from ..clients import CALENDARS
from ..terminal import columns, replace_line, wrapped
from ..terminal import width as terminal_width
from .findings import FAILURE, NOTE, OK, WARNING, Finding, has_failure
from .run import Report

_COLOURS = {OK: "green", NOTE: "cyan", WARNING: "yellow", FAILURE: "red"}
_INDENT = 9  # columns for a status
_NARROW = 50  # columns: narrower terminals get a smaller indent
_MOST_NAMED = 20  # domains in the closing line
_MOST_PLACES = 6  # of one finding
# The first domain with a finding, by its status, step and texts.
Known = dict[tuple[str, ...], str]


# --- JSON -------------------------------------------------------------------------------


def as_json(report: Report) -> dict[str, object]:
    """Return the public form: `domain`, `clients`, `findings`."""
    clients = [
        {
            "client": fare.client,
            "works": fare.works,
            "sets_up": fare.sets_up and [one.as_json() for one in fare.sets_up.servers],
            "stopped_by": fare.stopped_by or None,
        }
        for fare in report.fares
    ]
    keys = ("code", "status", "step", "subject", "seen", "why", "cure", "clients")
    findings = [{key: getattr(found, key) for key in keys} for found in report.findings]
    return {"domain": report.domain, "clients": clients, "findings": findings}


def line(report: Report) -> str:
    """Return the report as one line of JSON."""
    return json.dumps(as_json(report))


# --- The verdict ------------------------------------------------------------------------


def verdict(report: Report, width: int | None = None) -> Iterator[str]:
    """Yield lines that say what works and what fails; the first begins with the domain.

    They are wrapped to *width* columns, if given.
    """
    margin = columns(report.domain) + 2
    first = f"{report.domain}  "
    if width is not None and margin > width // 3:
        yield report.domain
        margin, first = 2, "  "
    for text in _outcomes(report):
        yield wrapped(first + text, width, margin + 2)
        first = " " * margin


def _outcomes(report: Report) -> Iterator[str]:
    works = _by_fame(fare.client for fare in report.fares if fare.works)
    if not report.fares:
        failures = [one for one in report.findings if one.status == FAILURE]
        wrong = [found for found in failures if found.step != "login"]
        number = _counted(len(wrong), "failure")
        failing = click.style(f"{number} at the servers of the file", fg="red")
        right = click.style("the servers of the file work", fg="green")
        yield failing if wrong else right
    elif works:
        yield f"{click.style('works in', fg='green')} {', '.join(works)}"

    stops: dict[str, list[str]] = {}
    for fare in report.fares:
        if fare.works is False:
            # A URL does not help those who read the verdict; the finding has it.
            place, _, seen = fare.stopped_by.partition(": ")
            cause = seen if place.startswith("http") and seen else fare.stopped_by
            stops.setdefault(cause, []).append(fare.client)
    stopped = {client for clients in stops.values() for client in clients}
    for found in report.findings:
        is_cause = bool(found.clients) and stopped.issuperset(found.clients)
        if found.step == "login" and found.status == FAILURE and not is_cause:
            red = click.style("the login fails at", fg="red")
            yield f"{red} {found.subject}: {clean(found.seen, 300)}"
    for cause, clients in stops.items():
        red = click.style("fails in", fg="red")
        yield f"{red} {', '.join(_by_fame(clients))}: {clean(cause, 300)}"
    yield from _beyond_clients(report)

    without = _by_fame(fare.client for fare in report.fares if fare.works is None)
    unasked = next(
        (one.clients for one in report.findings if one.code == "ispdb.not-reached"), ()
    )
    more = "; Thunderbird's ISP database could not be asked"
    more = "" if {*unasked}.isdisjoint(without) else more
    if without and report.has("check.no-time"):
        yield f"unknown for {', '.join(without)}: the check ran out of time"
    elif report.fares and not (works or stops):
        is_failure = has_failure(report.findings)
        text = "works in no client: nothing is published" if is_failure else _NOTHING
        text = f"nothing is published{more}" if more else text
        yield click.style(text, fg="red") if is_failure else text
    elif without:
        yield f"nothing is published for {', '.join(without)}{more}"


_NOTHING = "nothing is published that clients can read without a login"


def _beyond_clients(report: Report) -> Iterator[str]:
    """Yield whom failures hurt that no client of the list meets."""
    hurt: dict[str, str] = {}
    works = any(fare.works for fare in report.fares)
    for found in report.findings if works else ():
        if found.status == FAILURE and not found.clients and found.step != "login":
            hurt.setdefault(found.why or found.seen, found.places[0])
    for why, place in hurt.items():
        yield f"{click.style('fails at', fg='red')} {place}: {clean(why, 300)}"


# Programs that people know; all others are named after them.
_KNOWN = ("Outlook (classic)", "iPhone", "Thunderbird", "Thunderbird for Android (K-9)")


def _by_fame(clients: Iterable[str]) -> list[str]:
    return sorted(clients, key=lambda one: [*_KNOWN, one].index(one))


# --- Findings ---------------------------------------------------------------------------


def details(
    report: Report,
    *,
    verbose: bool,
    quiet: bool = False,
    width: int | None = None,
    known: Known | None = None,
) -> Iterator[str]:
    """Yield the lines about findings, wrapped to *width* columns, if given.

    Notes and good results are only counted, unless *verbose*. A finding that is in
    *known*, from another domain, takes one line; others are added to it.
    """
    indent = _INDENT if width is None or width >= _NARROW else 2
    folded = {NOTE: 0, OK: 0}
    everybody = {fare.client for fare in report.fares}
    for found in report.findings:
        # The result of a login is always shown: somebody entered a password for it.
        if found.status in folded and not verbose and found.step != "login":
            folded[found.status] += 1
            continue
        first = report.domain
        if known is not None and found.status != OK:
            key = (found.status, found.step, found.seen, found.why, found.cure)
            first = known.setdefault(key, first)
        if first == report.domain:
            place = "" if len(found.places) > 1 else f" {found.subject}"
            sentence = f"{found.step}{place}: {found.seen}"
            yield wrapped(f"{_status(found)} {sentence}", width, indent)
            for label, text in _parts(found, everybody):
                yield wrapped(f"{' ' * indent}{label:5}{text}", width, indent + 5)
        else:
            same = f"as for {first}: {found.step} {found.subject}: {found.seen}"
            yield wrapped(f"{_status(found)} {same}", width, indent)
    notes = [_counted(folded[NOTE], "note")] if folded[NOTE] else []
    good = [f"{folded[OK]} ok"] if folded[OK] else []
    if (notes or good) and not quiet:
        yield f"{', '.join(notes + good)} (--verbose shows them)"


def _status(found: Finding) -> str:
    text = f"{found.status:{_INDENT - 1}}"
    return click.style(text, fg=_COLOURS[found.status], bold=True)


def _parts(found: Finding, everybody: set[str]) -> Iterator[tuple[str, str]]:
    if len(found.places) > 1:
        yield from (("at", place) for place in found.places[:_MOST_PLACES])
        if len(found.places) > _MOST_PLACES:
            yield "at", f"{len(found.places) - _MOST_PLACES} more"
    if found.status == OK:
        return
    if found.why:
        yield "why:", found.why
    is_named = len(found.clients) == 1 and found.clients[0].lower() in found.why.lower()
    if found.clients and not is_named:
        is_all = len(everybody) > 1 and everybody <= {*found.clients, CALENDARS.name}
        names = ", ".join(_by_fame(found.clients))
        yield "for:", "every mail client" if is_all else names
    if found.cure:
        yield "do:", found.cure


def closing(number: int, failed: Sequence[str]) -> str:
    """Return the last line of a check of several domains."""
    good = number - len(failed)
    text = f"{_counted(number, 'domain')}: {good} {'works' if good == 1 else 'work'}"
    if failed:
        verb = "fails" if len(failed) == 1 else "fail"
        rest = len(failed) - _MOST_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        text += f", {len(failed)} {verb}: {', '.join(failed[:_MOST_NAMED])}{more}"
    return text


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


# --- Progress ---------------------------------------------------------------------------


class Progress:
    """A line on stderr that says what is being done; nothing without a terminal."""

    def __init__(self) -> None:
        self._length = 0

    def __call__(self, text: str) -> None:
        most = _columns()
        if most > 0:
            text = clean(text, min(most, 78))
            replace_line(text.ljust(self._length))
            self._length = len(text)

    def end(self) -> None:
        if self._length:
            replace_line(" " * self._length)
            replace_line("")
            self._length = 0


def _columns() -> int:
    """Return how long a line on stderr may be, 0 if it is not a terminal.

    In the last column some terminals begin a new line. COLUMNS may say that there are
    more, but a wrapped line could not be removed.
    """
    width = terminal_width(err=True)
    if width is None:
        return 0
    with suppress(OSError, ValueError):
        width = min(width, os.get_terminal_size(sys.stderr.fileno()).columns or width)
    return width - 1
