"""A night for GitHub: the step summary (Markdown) and annotations. Short when nothing changed. Pure.

Limits and escapes are GitHub's: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions,
and packages/core/src/command.ts of actions/toolkit.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from .document import NightReport, Told
from .telling import causes, counted, headline, sentence

#: GitHub refuses a summary of more than 1 MiB; some of it is left for what else the step writes.
MOST_BYTES = 900_000
#: GitHub shows ten annotations of a kind in a step.
MOST_ANNOTATIONS = 10
_MARKUP = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$@-])")


def summary(report: NightReport, most_bytes: int = MOST_BYTES) -> str:
    """Markdown; at most so many bytes of UTF-8, with as many findings as fit."""
    worse, ill = report.of_kind("regression"), report.of_kind("infrastructure")
    mark = "❌" if worse else "⚠️" if report.exit_code else "✅"
    head = [f"### {mark} {_text(headline(report))}", "", _origin(report), ""]
    parts = [
        _findings("Regressions", worse),
        _infrastructure(report, ill),
        _findings("Faster", report.of_kind("faster")),
    ]
    return _fitting(head, [part for part in parts if part], most_bytes)


def commands(report: NightReport) -> list[str]:
    """Annotations: an error for each regression, a warning for each broken device; the last one counts the rest."""
    worse = [("regression", sentence(told), told.words) for told in report.of_kind("regression")]
    ill = [
        ("infrastructure", f"{device}: {counted(count, 'job')} not judged", words)
        for device, words, count in causes(report.of_kind("infrastructure"))
    ]
    return [*_commands("error", worse), *_commands("warning", ill)]


def _commands(command: str, found: Sequence[tuple[str, str, str]]) -> list[str]:
    shown, rest = list(found), 0
    if len(found) > MOST_ANNOTATIONS:
        shown, rest = shown[: MOST_ANNOTATIONS - 1], len(found) - MOST_ANNOTATIONS + 1
    lines = [
        f"::{command} title={_property(kind)}::{_data(f'{said}: {words}')}" for kind, said, words in shown
    ]
    return [*lines, f"::{command}::{_data(f'and {rest} more: see the summary')}"] if rest else lines


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _origin(report: NightReport) -> str:
    counts = Counter(str(told.status) for told in report.findings)
    told = ", ".join(f"{number} {status}" for status, number in counts.most_common())
    commit = f", commit {_text(report.commit[:12])}" if report.commit else ""
    words = (
        f"Plan {_text(report.plan)}, night {_text(report.night)}{commit}; against {_text(report.baseline)}."
    )
    return f"{words} {counted(len(report.findings), 'job')}: {_text(told)}." if told else words


def _findings(title: str, found: Sequence[Told]) -> list[str]:
    if not found:
        return []
    head = ("device", "model", "variant", "how", "now", "before", "ratio", "since", "what")
    lines = [f"#### {title}", "", _line(head), _line(["---"] * 4 + ["---:"] * 3 + ["---"] * 2)]
    for told in found:
        names = [_text(text) for text in (told.device, told.model, told.variant, told.how)]
        figures = [_ms(told.median_ms), _ms(told.baseline_ms), f"{told.ratio:.2f}" if told.ratio else "–"]
        lines.append(_line([*names, *figures, _text(str(told.since or "–")), _text(told.words)]))
    return lines


def _infrastructure(report: NightReport, ill: Sequence[Told]) -> list[str]:
    if not ill and not report.devices:
        return []
    lines = ["#### Infrastructure (no regression)", ""]
    lines += [
        f"- **{_text(device)}**: {counted(count, 'job')}: {_text(words)}"
        for device, words, count in causes(ill)
    ]
    for device in report.devices:
        fate = "given up for the night" if device.quarantined else "recovered"
        lines.append(
            f"- **{_text(device.device)}** failed {counted(device.failures, 'time')}, {fate}: {_text(device.words)}"
        )
    return lines


def _fitting(head: list[str], parts: list[list[str]], most_bytes: int) -> str:
    """The parts in their order, cut where the room ends, and what was cut is said."""
    kept, cut = list(head), 0
    room = most_bytes - len(
        "\n_…and 1,000,000,000 more lines, for which there is no room here: see the JSON document._\n"
    )
    used = sum(len(line.encode()) + 1 for line in head)
    for part in parts:
        for line in [*part, ""]:
            size = len(line.encode()) + 1
            if cut or used + size > room:
                cut += bool(line)
                continue
            kept.append(line)
            used += size
    if cut:
        kept += ["", f"_…and {cut:,} more lines, for which there is no room here: see the JSON document._"]
    return "\n".join(kept).rstrip("\n") + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _ms(value: float | None) -> str:
    return f"{value:.4g} ms" if value is not None else "–"


def _text(text: str) -> str:
    """Text that Markdown takes for text: one line, nothing in it has a meaning."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
