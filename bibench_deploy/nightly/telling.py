"""A night in sentences: the morning line, and what is worth a line of its own. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from .document import NightReport, Told
from .finding import Status

#: So many devices are named in a line.
MOST_NAMES = 3


def headline(report: NightReport) -> str:
    """The one line that a maintainer reads in the morning."""
    worse, ill = report.of_kind("regression"), report.of_kind("infrastructure")
    judged = len(report.of_kind("unchanged")) + len(report.of_kind("faster"))
    first = sum(told.median_ms is not None for told in report.of_kind("none"))
    parts = []
    if worse:
        more = f", and {counted(len(worse) - 1, 'more regression')}" if len(worse) > 1 else ""
        parts.append(sentence(worse[0]) + more)
    elif judged:
        parts.append(f"nothing got worse: {judged} measured")
    elif first:
        parts.append(f"{first} measured, nothing to compare with yet")
    elif not report.measured:
        parts.append("nothing was measured")
    if first and (worse or judged):
        parts.append(f"{first} without a baseline yet")
    if ill:
        parts.append(f"{counted(len(ill), 'job')} not judged: {_of_devices(ill)}")
    return "; ".join(parts)


def sentence(told: Told) -> str:
    """One finding, without its figures' origin."""
    since = f" since {told.since}" if told.since else ""
    return f"{told.model} {told.variant} on {told.device} ({told.how}) {_verb(told)}{since}"


def _verb(told: Told) -> str:
    if told.status is Status.SLOWER and told.ratio:
        return f"{100 * (told.ratio - 1):.0f} % slower"
    if told.status is Status.FASTER and told.ratio:
        return f"{100 * (1 - told.ratio):.0f} % faster"
    if told.status is Status.LARGER and told.ratio:
        return f"{100 * (told.ratio - 1):.0f} % larger"
    if told.status is Status.DEVICE_SLOWER and told.ratio:
        return f"{100 * (told.ratio - 1):.0f} % slower, as the device is"
    verbs = {
        Status.FLOAT: "lost binary operators",
        Status.OTHERWISE: "computes otherwise",
        Status.UNCONVERTED: "can't be converted",
        Status.LOST: "can't be executed any more",
        Status.SUSPECT: "looks slower, unconfirmed",
        Status.INCOMPARABLE: "ran under other conditions",
        Status.UNUSABLE: "was no usable measurement",
        Status.MISSING: "was not measured",
    }
    return verbs.get(told.status, str(told.status))


def causes(ill: Iterable[Told]) -> list[tuple[str, str, int]]:
    """Infrastructure by device and words, since one broken board is one matter: device, words, number of jobs."""
    found = Counter((told.device, _cause(told)) for told in ill)
    return [(device, words, count) for (device, words), count in found.items()]


def _cause(told: Told) -> str:
    # Figures differ from job to job; that the device is slower does not.
    if told.status is Status.DEVICE_SLOWER:
        return "slower with the same artefacts and engines"
    return told.words if told.status in (Status.MISSING, Status.INCOMPARABLE) else str(told.status)


def _of_devices(ill: Sequence[Told]) -> str:
    names = list(dict.fromkeys(told.device for told in ill))
    more = f" and {counted(len(names) - MOST_NAMES, 'more device')}" if len(names) > MOST_NAMES else ""
    words = dict.fromkeys(cause for _, cause, _ in causes(ill))
    why = f" ({next(iter(words))})" if len(words) == 1 else ""
    return ", ".join(names[:MOST_NAMES]) + more + why


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
