"""When to try again what failed and may pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from bibench_deploy.errors import DeviceError

T = TypeVar("T")


@dataclass(frozen=True)
class Backoff:
    """How often and after which pauses.

    Attributes:
        attempts: in all; 1 never tries again.
        first_s: the first pause, s.
        factor: each pause by the one before.
        longest_s: no pause is longer, s.
    """

    attempts: int = 3
    first_s: float = 1.0
    factor: float = 3.0
    longest_s: float = 10.0


@dataclass(frozen=True)
class Retry:
    """An attempt that failed, and will be made again.

    Attributes:
        error: why it failed.
        attempt: which one it was, from 1.
        of: how many there will be at most.
        delay_s: until the next one, s.
    """

    error: DeviceError
    attempt: int
    of: int
    delay_s: float


Report = Callable[[Retry], None]


def silent(retry: Retry) -> None:
    """The report for who doesn't want any."""


def delay(backoff: Backoff, attempt: int, error: DeviceError) -> float | None:
    """The pause before the next attempt in s, None to give up. Pure.

    Args:
        attempt: the one that failed, from 1.
    """
    if not error.transient or attempt >= backoff.attempts:
        return None
    return float(min(backoff.longest_s, backoff.first_s * backoff.factor ** (attempt - 1)))


def retrying(
    work: Callable[[], T],
    backoff: Backoff,
    report: Report = silent,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Do some work that can be begun again, until it succeeds or trying again makes no sense.

    Raises:
        DeviceError: the last attempt's.
    """
    attempt = 1
    while True:
        try:
            return work()
        except DeviceError as error:
            pause = delay(backoff, attempt, error)
            if pause is None:
                raise
            report(Retry(error, attempt, backoff.attempts, pause))
        sleep(pause)
        attempt += 1
