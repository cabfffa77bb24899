"""The report on a domain, as text and as JSON."""

from collections.abc import Iterable, Iterator, Sequence

import click

from ...cleaning import clean
from ..clients import CALENDARS
from ..terminal import columns, wrapped
from .findings import FAILURE, NOTE, OK, WARNING, Finding, affected_by, has_failure
from .rules.web import PASSWORD_PROMPTS
from .run import Report

_COLOURS = {OK: "green", NOTE: "cyan", WARNING: "yellow", FAILURE: "red"}
_INDENT = 9  # columns for a status
_MAX_NAMED = 20  # domains in the closing line
_MAX_PLACES = 6  # of one finding
# Clients that people know are named before all others.
_FIRST = ("Outlook (classic)", "iPhone", "Thunderbird", "Thunderbird for Android (K-9)")
# Why nothing is known of clients, by the codes of findings that affect them.
_REASONS = {
    PASSWORD_PROMPTS: "not checked for {}: the settings require a login, "
    "which is not tried",
    ("http.limited",): "unknown for {}: the web server limits requests",
}
# The first domain with a finding, by its status, step and texts.
Earlier = dict[tuple[str, ...], str]


def as_json(report: Report) -> dict[str, object]:
    """Return the public form: `domain`, `clients`, `findings`."""
    clients = [
        {
            "client": result.client,
            "works": result.works,
            "sets_up": result.sets_up
            and [account.as_json() for account in result.sets_up.servers],
            "stopped_by": result.stopped_by or None,
        }
        for result in report.results
    ]
    keys = ("code", "status", "step", "subject", "seen", "why", "cure", "clients")
    findings = [{key: getattr(found, key) for key in keys} for found in report.findings]
    return {"domain": report.domain, "clients": clients, "findings": findings}


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
    """Yield the clients that work, that fail and that are unknown, with the causes."""
    works = _by_fame(result.client for result in report.results if result.works)
    stopped_by: dict[str, list[str]] = {}  # clients by the cause
    unknown: dict[str, list[str]] = {}
    for result in report.results:
        if not result.works and (result.works is False or result.sets_up):
            # A URL does not help those who read the verdict; the finding has it.
            place, _, seen = result.stopped_by.partition(": ")
            cause = seen if place.startswith("http") and seen else result.stopped_by
            by_cause = unknown if result.works is None else stopped_by
            by_cause.setdefault(cause, []).append(result.client)
    stopped = {client for clients in stopped_by.values() for client in clients}
    failures = [found for found in report.findings if found.status == FAILURE]
    logins = [found for found in failures if found.step == "login"]

    if works:
        yield f"{click.style('works in', fg='green')} {', '.join(works)}"
    elif not report.results and len(failures) > len(logins):
        number = _plural(len(failures) - len(logins), "failure")
        yield _red(f"{number} at the servers of the file")
    elif not report.results:
        yield click.style("the servers of the file work", fg="green")
    for found in logins:
        if not found.clients or not stopped.issuperset(found.clients):
            yield f"{_red('the login fails at')} {_labelled(found.subject, found.seen)}"
    for cause, clients in stopped_by.items():
        yield f"{_red('fails in')} {_labelled(', '.join(_by_fame(clients)), cause)}"
    for cause, clients in unknown.items():
        yield f"unknown for {_labelled(', '.join(_by_fame(clients)), cause)}"
    if works:  # failures that affect none of the listed clients
        places: dict[str, str] = {}  # the first of each cause
        for found in failures:
            if not found.clients and found not in logins:
                places.setdefault(found.why or found.seen, found.places[0])
        for cause, place in places.items():
            yield f"{_red('fails at')} {_labelled(place, cause)}"
    yield from _without_settings(report)


def _without_settings(report: Report) -> Iterator[str]:
    """Yield the clients without settings that no failure stops, with the reasons."""
    unset = (result for result in report.results if not result.sets_up)
    clients = _by_fame(result.client for result in unset if result.works is None)
    for codes, text in _REASONS.items():
        affected = affected_by(report.findings, *codes)
        if named := [client for client in clients if client in affected]:
            yield text.format(", ".join(named))
            clients = [client for client in clients if client not in affected]
    if not clients:
        return
    names = ", ".join(clients)
    ispdb_unknown = affected_by(report.findings, "ispdb.not-reached") & {*clients}
    more = "; Thunderbird's ISP database could not be asked" if ispdb_unknown else ""
    if report.has("check.no-time"):
        yield f"unknown for {names}: the check ran out of time"
    elif len(clients) < len(report.results):
        yield f"nothing is published for {names}{more}"
    elif has_failure(report.findings):
        prefix = "" if more else "works in no client: "
        yield _red(f"{prefix}nothing is published{more}")
    else:
        yield f"nothing is published{more}"


def _by_fame(clients: Iterable[str]) -> list[str]:
    return sorted(clients, key=lambda client: [*_FIRST, client].index(client))


def _red(text: str) -> str:
    return click.style(text, fg="red")


def _labelled(place: str, text: str) -> str:
    return f"{place}: {clean(text, 300)}"


def details(
    report: Report,
    *,
    verbose: bool,
    quiet: bool = False,
    width: int | None = None,
    earlier: Earlier | None = None,
) -> Iterator[str]:
    """Yield the lines about findings, wrapped to *width* columns, if given.

    Notes and good results are only counted, unless *verbose*. A finding that is in
    *earlier*, of another domain, takes one line; others are added to it.
    """
    counts = {NOTE: 0, OK: 0}
    clients = {result.client for result in report.results}
    for found in report.findings:
        # The result of a login is always shown: somebody entered a password for it.
        if found.status in counts and not verbose and found.step != "login":
            counts[found.status] += 1
            continue
        first = report.domain
        if earlier is not None and found.status != OK:
            key = (found.status, found.step, found.seen, found.why, found.cure)
            first = earlier.setdefault(key, first)
        is_repeated = first != report.domain
        reference = f"as for {first}: " if is_repeated else ""
        place = f" {found.subject}" if is_repeated or len(found.places) == 1 else ""
        status = f"{found.status:{_INDENT - 1}}"
        status = click.style(status, fg=_COLOURS[found.status], bold=True)
        text = f"{status} {reference}{found.step}{place}: {found.seen}"
        yield wrapped(text, width, _INDENT)
        for label, words in () if is_repeated else _parts(found, clients):
            yield wrapped(f"{' ' * _INDENT}{label:5}{words}", width, _INDENT + 5)
    omitted = [_plural(counts[NOTE], "note")] if counts[NOTE] else []
    omitted += [f"{counts[OK]} ok"] if counts[OK] else []
    if omitted and not quiet:
        yield f"{', '.join(omitted)} (--verbose shows them)"


def _parts(found: Finding, clients: set[str]) -> Iterator[tuple[str, str]]:
    """Yield the labels and texts below a finding; *clients* are all of the report."""
    if len(found.places) > 1:
        yield from (("at", place) for place in found.places[:_MAX_PLACES])
        if len(found.places) > _MAX_PLACES:
            yield "at", f"{len(found.places) - _MAX_PLACES} more"
    if found.status == OK:
        return
    if found.why:
        yield "why:", found.why
    is_named = len(found.clients) == 1 and found.clients[0].lower() in found.why.lower()
    if found.clients and not is_named:
        is_all = len(clients) > 1 and clients <= {*found.clients, CALENDARS.name}
        names = ", ".join(_by_fame(found.clients))
        yield "for:", "every mail client" if is_all else names
    if found.cure:
        yield "do:", found.cure


def closing(number: int, failed: Sequence[str]) -> str:
    """Return the last line about *number* domains, of which some failed."""
    good = number - len(failed)
    text = f"{_plural(number, 'domain')}: {good} {'works' if good == 1 else 'work'}"
    if failed:
        verb = "fails" if len(failed) == 1 else "fail"
        rest = len(failed) - _MAX_NAMED
        more = f" and {rest} more" if rest > 0 else ""
        text += f", {len(failed)} {verb}: {', '.join(failed[:_MAX_NAMED])}{more}"
    return text


def _plural(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
