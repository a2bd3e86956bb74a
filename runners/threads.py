"""Thread counts as a user writes them: ``1,2,4`` or ``1-4`` or both."""

from __future__ import annotations

import re

from bibench_deploy.errors import InputError

# No board or phone has more cores; a larger number is a slip of the finger, and each thread is a real one.
MOST_THREADS = 1024

_PART = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", re.ASCII)


def parse_threads(text: str) -> tuple[int, ...]:
    """Thread counts in ascending order, each once.

    Raises:
        InputError: not of the form ``1,2,4`` or ``1-4``, or a count outside 1–1024.
    """
    return parse_ranges(text, 1, MOST_THREADS, "--threads", "a count", "write it like 1,2,4 or 1-4")


def parse_ranges(text: str, low: int, high: int, where: str, what: str, remedy: str) -> tuple[int, ...]:
    """Whole numbers of a list with ranges in ascending order, each once.

    Args:
        low, high: between which a number lies.
        where, what, remedy: for the message of the error.

    Raises:
        InputError: not of this form, or a number outside.
    """

    def refused(why: str) -> InputError:
        return InputError(f"{why} in '{text}'", where=where, remedy=remedy)

    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or len(part) > 32:
            raise refused(f"'{part.strip()}' is neither a number nor a range")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first < low or last > high:
            raise refused(f"{what} lies between {low} and {high}")
        if last < first:
            raise refused(f"the range '{part.strip()}' runs backwards")
        found.update(range(first, last + 1))
    return tuple(sorted(found))
