"""Which rows of a store are meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bibench_deploy.errors import InputError

_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


@dataclass(frozen=True)
class Selection:
    """Rows that fit every part of it; an empty part fits all.

    Attributes:
        since, before: by the time of measuring; ``since`` is included, ``before`` is not.
        ids: beginnings of row ids, as ``results list`` shows them.
        sessions: beginnings of session ids.
    """

    devices: tuple[str, ...] = ()
    engines: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    threads: tuple[int, ...] = ()
    sessions: tuple[str, ...] = ()
    since: datetime | None = None
    before: datetime | None = None
    ids: tuple[str, ...] = ()


ALL = Selection()


def parse_moment(text: str, where: str, now: datetime | None = None) -> datetime:
    """A date, a time or an age: ``2026-11-21``, ``2026-11-21T08:30+01:00``, ``36h``, ``7d``.

    What names no zone is this machine's local time.

    Raises:
        InputError: it is none of these.
    """
    value = text.strip()
    count, unit = value[:-1], value[-1:]
    try:
        if unit in _UNITS and count.isascii() and count.isdigit():
            return (now or datetime.now(UTC)) - int(count) * _UNITS[unit]
        return datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InputError(
            f"'{text}' is neither a date, a time nor an age",
            where=where,
            remedy="write it as 2026-11-21, 2026-11-21T08:30, 36h or 7d",
        ) from error


def words(values: Iterable[str]) -> tuple[str, ...]:
    """The words of options that may be repeated or hold commas."""
    return tuple(word for value in values for word in (part.strip() for part in value.split(",")) if word)


def numbers(values: Sequence[str], where: str) -> tuple[int, ...]:
    """As ``words``, of positive whole numbers.

    Raises:
        InputError: one is none.
    """
    found = words(values)
    for word in found:
        if not (word.isascii() and word.isdigit() and 0 < int(word) < 2**31):
            raise InputError(f"'{word}' is not a number of threads", where=where, remedy="write it as 1,2,4")
    return tuple(int(word) for word in found)
