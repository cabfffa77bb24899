"""Checks that the time of a function grows linearly with the size of its input."""

import signal
import string
import time
from collections.abc import Callable, Iterable

import pytest
from support import table

SIZES = (4, 16, 64)  # KiB
# Linear time grows four times from 16 to 64 KiB, quadratic time sixteen times.
MAX_GROWTH = 8
UNNOTICED = 0.05  # seconds of CPU time, below which growth does not matter
LONGEST = 5.0  # seconds of CPU time for one call
ATTEMPTS = 3  # since another process may disturb a measurement

# Characters and tokens that parsers, patterns and messages treat specially. An input is
# one of them repeated, with and without an end that does not match.
TOKENS = (*(*string.punctuation, "\ud800"), *table("repeated", "linear.toml")["tokens"])
ENDS = ("", "x", "\n", "@example.com")


def some_or_all(step: int) -> pytest.MarkDecorator:
    """Run a test with each *step*-th token, and in the tier `world` with all."""
    every = pytest.param(1, marks=pytest.mark.world)
    return pytest.mark.parametrize("step", [step, every], ids=["some", "all"])


def assert_linear(
    call: Callable[[str], object],
    token: str,
    ends: Iterable[str] = ENDS,
    unnoticed: float = UNNOTICED,
    *,
    most: float = 1.0,
) -> None:
    """Raise AssertionError if *call* takes more than linear time for *token* repeated.

    *call* takes a text and handles its errors itself. The text ends with each of *ends*
    in turn. Growth up to *unnoticed* seconds of CPU time does not matter; for 4 KiB it
    may take *most* seconds.
    """
    for end in ends:
        small, middle, large = (repeated(token, size) + end for size in SIZES)
        assert_quick(call, small, most, f"{token!r} at {SIZES[0]} KiB")
        for _ in range(ATTEMPTS):
            before = _seconds(call, middle)
            if before * (len(large) / len(middle)) ** 2 < unnoticed:
                break  # even if the time is quadratic
            after = _seconds(call, large)
            if after < max(unnoticed, MAX_GROWTH * before):
                break
        else:
            took = f"{before:.3f} s, and {after:.3f} s for 4 times as much"
            raise AssertionError(f"{token!r}: {took}")


def assert_quick(
    call: Callable[[str], object], text: str, most: float, name: str = ""
) -> None:
    """Raise AssertionError if *call* takes more than *most* seconds of CPU time."""
    for _ in range(ATTEMPTS):
        took = _seconds(call, text)
        if took < most:
            return
    raise AssertionError(f"{name or text[:20]!r}: {took:.3f} s")


def repeated(token: str, size: int) -> str:
    """*token* repeated to *size* KiB."""
    return token * (size * 1024 // len(token))


def _seconds(call: Callable[[str], object], text: str) -> float:
    def interrupt(*_: object) -> None:
        raise AssertionError(f"the call did not end within {LONGEST:.0f} s of CPU time")

    handler = signal.signal(signal.SIGPROF, interrupt)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        start = time.process_time()
        call(text)
        return time.process_time() - start
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
