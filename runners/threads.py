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
    counts: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None or len(part) > 32:
            raise _refused(text, f"'{part.strip()}' is neither a number nor a range")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first < 1 or last > MOST_THREADS:
            raise _refused(text, f"a count lies between 1 and {MOST_THREADS}")
        if last < first:
            raise _refused(text, f"the range '{part.strip()}' runs backwards")
        counts.update(range(first, last + 1))
    return tuple(sorted(counts))


def _refused(text: str, why: str) -> InputError:
    return InputError(f"{why} in '{text}'", where="--threads", remedy="write it like 1,2,4 or 1-4")
