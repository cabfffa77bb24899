"""How bad a finding is: the one place that sets a status, merges and drops findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from . import texts

if TYPE_CHECKING:
    from .findings import Finding

OK, NOTE, WARNING, FAILURE = "ok", "note", "warning", "failure"
STATUSES = (FAILURE, WARNING, NOTE, OK)  # the worst first

# What the circumstances of a finding make of it, at most.
_AT_MOST = {
    "absent": NOTE,  # nothing was published there, and need not be
    "by chance": NOTE,  # a wildcard record or a web site's own answer
    "exchange": NOTE,  # an Exchange server, which shows nothing without a login
    "elsewhere": NOTE,  # the client went on and found its settings
    "unlisted": NOTE,  # a server that the file does not name
    "same server": NOTE,  # another name of the same server
    "explained": NOTE,  # another finding names the cause
    "first place": WARNING,  # the client asks there first, and went on
    "for others": WARNING,  # clients of other domains meet it
}
_ONLY_WAY = "only way"  # nothing else leads the client there: a warning is a failure

# The order of steps, causes before what follows from them.
_STEPS = ("file", "https", "document", "server", "dns", "login")


def status_of(code: str, marks: Collection[str]) -> str:
    """The status of a code in these circumstances."""
    status = texts.status(code)
    if _ONLY_WAY in marks and status == WARNING:
        status = FAILURE
    limits = (_AT_MOST[it] for it in marks if it in _AT_MOST)
    return max((status, *limits), key=STATUSES.index)


def has_failure(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings is a failure."""
    return any(it.status == FAILURE for it in findings)


def weighed(findings: Iterable[Finding]) -> list[Finding]:
    """The findings without what follows from others, equal causes merged, worst first."""
    return merged(_once(_without_followers(list(findings))))


def _without_followers(findings: list[Finding]) -> Iterator[Finding]:
    """Drop what another finding explains.

    Where a document is faulty, what its clients set up differs because of that.
    """
    faulty = {
        client
        for it in findings
        if it.status == FAILURE and it.step == "document" and not _compares_setups(it)
        for client in it.clients
    }
    for it in findings:
        if not (_compares_setups(it) and faulty.issuperset(it.clients)):
            yield it


def _compares_setups(it: Finding) -> bool:
    return it.code.startswith("setup.")


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One thing at one place once, as the worst that it is to a client."""
    worst: dict[tuple[str, str], Finding] = {}
    for it in findings:
        for place in it.places:
            one = it._replace(subject=place, places=(place,))
            other = worst.setdefault((place, it.seen), one)
            if other is one:
                continue
            keep, drop = sorted((other, one), key=_badness)
            hurt = drop.clients if keep.status == drop.status else ()
            worst[place, it.seen] = keep.hurting(*hurt)
    yield from worst.values()


def _badness(it: Finding) -> int:
    return STATUSES.index(it.status)


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Each cause once, with all its places and clients; the worst first.

    Findings of one status go by their step, as a client does: the file, the web, the
    documents, the servers, DNS, then logins. Where a server fails, what differs from the
    file comes behind it: whoever makes the rest agree with a server that does not answer
    breaks what was right. What only compares two things comes last.
    """
    causes: dict[tuple[str, ...], Finding] = {}
    for it in findings:
        place = it.subject if it.status == OK else ""  # what is well stays by itself
        key = (it.status, it.seen, it.why, it.cure, place)
        same = causes.get(key)
        if same is None:
            causes[key] = it
            continue
        places = tuple(dict.fromkeys((*same.places, *it.places)))
        causes[key] = same.hurting(*it.clients)._replace(
            places=places, subject=", ".join(places)
        )
    found = list(causes.values())
    is_dead = any(it.status == FAILURE and it.step == "server" for it in found)
    return sorted(found, key=partial(_weight, is_dead))


def _weight(is_dead: bool, it: Finding) -> tuple[int, bool, int]:
    step, behind = _STEPS.index(it.step), texts.follows(it.code)
    if is_dead and behind:
        step = max(step, _STEPS.index("dns"))
    return _badness(it), behind == "anything", step
