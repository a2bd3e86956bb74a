"""Whether a suspicion is true: how it is to be measured again, and what the new figures make of it. Pure.

Turns of the new and the old artefact alternate, so that whatever is the matter with the device tonight is the
matter with both. Each is opened several times, since one process may be slow by the luck of its memory layout alone
(Mytkowicz et al., *Producing wrong data without doing anything obviously wrong*, ASPLOS 2009; Kalibera and Jones,
*Rigorous benchmarking in reasonable time*, ISMM 2013: repeat on the level that varies).
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from statistics import median
from typing import TYPE_CHECKING

from bibench_deploy.runners.compare import FEWEST_TURNS, SIGNIFICANT_P, compare
from bibench_deploy.runners.statistics import Turns, turn_medians

from .finding import Finding, Status
from .levels import p_slower, row_turns

if TYPE_CHECKING:
    from bibench_deploy.results import Row

#: Fresh processes of each. By luck alone the new one is slow and the old one fast in all three of them once in 64
#: times, where both kinds of process are as frequent; once in 4 with one.
OPENINGS = 3


@dataclass(frozen=True)
class HowTo:
    """How a suspicion is measured again.

    Attributes:
        changed: what is not as it was in the baseline: "artefact", "engine"; empty: nothing but the device.
        artefact: sha256 of the old artefact, to be measured in turns with the new one; None to measure it alone.
        program: sha256 of the old engine's program, to execute the old artefact with; None for the one of tonight.
        openings: how often everything is opened afresh.
        turns: in each opening, at least, of each.
    """

    changed: tuple[str, ...]
    artefact: str | None = None
    program: str | None = None
    openings: int = OPENINGS
    turns: int = FEWEST_TURNS


@dataclass(frozen=True)
class Again:
    """What was measured again in one opening; latencies in ns.

    Attributes:
        old: None where the new one was measured alone.
        disturbed: what disturbed it (``runners.verdict.disturbances``).
    """

    new: Turns
    old: Turns | None = None
    disturbed: tuple[str, ...] = ()


def how_to_confirm(finding: Finding, artefacts: Container[str], programs: Container[str]) -> HowTo:
    """How a suspicion is measured again: beside what it was before, where all of that is at hand.

    Args:
        artefacts, programs: sha256 of the old ones that are at hand.

    Raises:
        ValueError: it is no suspicion.
    """
    if finding.status is not Status.SUSPECT or finding.row is None or not finding.baseline:
        raise ValueError(f"{finding.key}: not a suspicion")
    new, old = finding.row, finding.baseline[-1]
    changed = changes(old, new)
    if not changed or old.sha256 not in artefacts:
        return HowTo(changed)
    if "engine" not in changed:
        return HowTo(changed, old.sha256)
    if old.engine_sha256 is None or old.engine_sha256 not in programs:
        return HowTo(changed)
    return HowTo(changed, old.sha256, old.engine_sha256)


def changes(old: Row, new: Row) -> tuple[str, ...]:
    """What a developer changed between two rows; without anything, only the device is left."""
    found = ["artefact"] if old.sha256 != new.sha256 else []
    if old.engine_sha256 and new.engine_sha256:
        engine = old.engine_sha256 != new.engine_sha256
    else:  # a library in this process has no program of its own
        engine = old.versions != new.versions
    return tuple([*found, "engine"] if engine else found)


def confirmed(finding: Finding, how: HowTo, again: Sequence[Again], factor: float) -> Finding:
    """A suspicion after it was measured again.

    Slower means slower in all openings together, by significance and factor, and in each of them by half the
    factor's way. What is as slow with the old artefact is the device's matter.

    Args:
        again: one for each opening.
        factor: of the gate.

    Raises:
        ValueError: it is no suspicion, or nothing was measured.
    """
    if finding.status is not Status.SUSPECT or finding.row is None or finding.needed is None or not again:
        raise ValueError(f"{finding.key}: nothing to confirm")
    found = _alone(finding, how, again) if how.artefact is None else _beside(finding, again, factor)
    return _with_besides(found)


def unconfirmable(finding: Finding, words: str) -> Finding:
    """A suspicion that could not be measured again: neither an alarm nor a pass."""
    return _with_besides(_not_again(finding, words))


def _not_again(finding: Finding, words: str) -> Finding:
    return replace(finding, words=f"{finding.words}; could not be measured again: {words}")


def _with_besides(found: Finding) -> Finding:
    """What was true besides: told with what is worse, else in its place."""
    if found.besides is None:
        return found
    if found.status is Status.SLOWER:
        return replace(found, words=f"{found.words}; also larger: {found.besides.words}", besides=None)
    return replace(found.besides, words=f"{found.besides.words}; latency: {found.words}")


def _beside(finding: Finding, again: Sequence[Again], factor: float) -> Finding:
    pairs = [(each.new, each.old) for each in again if each.old is not None]
    new = [turn for pair in pairs for turn in pair[0]]
    old = [turn for pair in pairs for turn in pair[1]]
    found = compare(old, new, factor)
    if found.word == "unknown":
        return _not_again(finding, "; ".join(found.why))
    words = f"{finding.words}; measured again beside the old artefact: {found.ratio:.2f}×"
    openings = [_centre(each) / _centre(before) for each, before in pairs]
    if found.word == "slower" and min(openings) >= sqrt(factor):
        return replace(finding, status=Status.SLOWER, words=words)
    assert finding.needed is not None
    if _slower_than_before(finding, old, [old], finding.needed):
        words += ", and the old one is as slow tonight: the device, not the model"
        return replace(finding, status=Status.DEVICE_SLOWER, words=words)
    if found.ratio >= factor and len(openings) > 1:
        words += f", in {len(openings)} openings {min(openings):.2f}× to {max(openings):.2f}×"
    return replace(finding, status=Status.UNCONFIRMED, words=words)


def _alone(finding: Finding, how: HowTo, again: Sequence[Again]) -> Finding:
    new = [turn for each in again for turn in each.new]
    if len(new) < FEWEST_TURNS:
        return _not_again(finding, f"{len(new)} turns are too few")
    assert finding.needed is not None
    ratio = _centre(new) / _usual(finding)
    words = f"{finding.words}; measured again: {ratio:.2f}×"
    if not _slower_than_before(finding, new, [each.new for each in again], finding.needed):
        return replace(finding, status=Status.UNCONFIRMED, words=words)
    if not how.changed:
        words += " with the same artefact and engine: the device, not the model"
        return replace(finding, status=Status.DEVICE_SLOWER, words=words)
    disturbed = dict.fromkeys(reason for each in again for reason in each.disturbed)
    if disturbed:
        return replace(finding, words=f"{words}, disturbed ({'; '.join(disturbed)})")
    words += f" (another {' and '.join(how.changed)}; the old one is not at hand to be measured beside it)"
    return replace(finding, status=Status.SLOWER, words=words)


def _slower_than_before(finding: Finding, turns: Turns, openings: Sequence[Turns], needed: float) -> bool:
    pooled = [turn for row in finding.baseline for turn in row_turns(row)]
    usual = _usual(finding)
    return (
        _centre(turns) / usual >= needed
        and min(_centre(opening) / usual for opening in openings) >= sqrt(needed)
        and p_slower(pooled, turn_medians(turns)) < SIGNIFICANT_P / 2
    )


def _usual(finding: Finding) -> float:
    return median(median(row_turns(row)) for row in finding.baseline)


def _centre(turns: Turns) -> float:
    return median(turn_medians(turns))
