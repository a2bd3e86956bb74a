"""How often the gate of ``nightly`` cries wolf, and how often it sees one; markdown.

    python benchmarks/false_alarms.py [--nights 57] [--noisy-nights 57] [--draws 5000] [--folder DIR]
                                      [--output docs/lab/gate.md]

Real nights on this machine, with and without a noisy neighbour: the same artefact again (nothing changed at all),
one with other weights (another file, the same work), and such with one, two and four layers more than twenty.
Suspicions are measured again as ``nightly`` does it. Then many nights drawn from the real ones. A night takes about
12 s, a suspicion 6 s: half an hour. With --folder a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import numpy as np
from scipy.stats import binomtest

from bibench_deploy.errors import BibenchError
from bibench_deploy.files import check_output, make_folder, write_atomically
from bibench_deploy.nightly.finding import Status
from bibench_deploy.nightly.gate import BASELINE_NIGHTS
from bibench_deploy.runners.host import local_host
from suite.lab_nights import KINDS, THREADS, USUAL, Lab, Seen, bursts, walk
from suite.machine import Watch
from suite.markdown import joined, replace_part, table
from suite.resampled_nights import Pool, draw

PLANS = {"as it is": False, "a neighbour in bursts": True}
#: Suspicions of slower artefacts are the rule; every tenth night is judged, and its suspicions are measured again.
EVERY = {kind: 10 for kind in KINDS if "more" in kind}


def say(message: str) -> None:
    """Progress."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {message}\n")


def share(part: int, whole: int) -> str:
    """``part of whole: per cent (95 % interval)``, Wilson's."""
    if not whole:
        return "–"
    interval = binomtest(part, whole).proportion_ci(method="wilson")
    low, high = 100 * interval.low, 100 * interval.high
    return f"{part} of {whole}: {100 * part / whole:.3g} % ({_digits(low)}–{_digits(high)})"


def _digits(percent: float) -> str:
    return f"{percent:.2g}" if percent < 99.5 else "100"


def real(found: dict[str, Seen]) -> str:
    """Real nights as a table."""
    lines = []
    for kind, seen in found.items():
        counts = {status: sum(f.status is status for f in seen.confirmed) for status in Status}
        others = sum(counts.values()) - counts[Status.SLOWER] - counts[Status.DEVICE_SLOWER]
        lines.append(
            [
                kind,
                share(len(seen.suspicions), seen.judged),
                share(counts[Status.SLOWER], seen.judged),
                share(counts[Status.DEVICE_SLOWER], seen.judged),
                str(others),
            ]
        )
    heads = ("tonight", "looks slower", "regression, confirmed", "the device, confirmed", "dismissed")
    return table(heads, lines, left=1)


def drawn(lab: Lab, plan: str, count: int) -> str:
    """Drawn nights as a table."""
    nights = lab.nights(plan)
    lines = []
    for kind in KINDS:
        for order, consecutive in (("consecutive", True), ("any", False)):
            judged = suspicions = alarms = device = 0
            for place in range(len(THREADS)):
                pool = Pool(*([lab.rows(n, k)[place] for n in nights] for k in (USUAL, kind)))
                found = draw(pool, count, consecutive, np.random.default_rng(place))
                judged, suspicions = judged + found.judged, suspicions + found.suspicions
                alarms, device = alarms + found.alarms, device + found.device
            figures = (share(number, judged) for number in (suspicions, alarms, device))
            lines.append([kind, order, *figures])
            say(f"{plan}: drew {kind}, {order}")
    return table(("tonight", "nights", "looks slower", "regression", "the device"), lines, left=2)


def sizes(lab: Lab, plan: str) -> str:
    """How much slower each kind is, within nights."""
    nights = lab.nights(plan)
    parts = []
    for place, threads in enumerate(THREADS):
        usual = [median(lab.rows(night, USUAL)[place].samples_ns) for night in nights]
        ratios = {
            kind: median(
                median(lab.rows(night, kind)[place].samples_ns) / before
                for night, before in zip(nights, usual, strict=True)
            )
            for kind in KINDS
            if kind != USUAL
        }
        spread = np.std(usual, ddof=1) / np.mean(usual)
        told = ", ".join(f"{kind} {ratio:.3f}×" for kind, ratio in ratios.items())
        parts.append(
            f"{threads} thread{'s' if threads > 1 else ''}: {median(usual) / 1e6:.3f} ms, nights differ by "
            f"{100 * spread:.1f} % (standard deviation); {told}"
        )
    return "; ".join(parts) + "."


def report(options: argparse.Namespace, folder: Path) -> str:
    """All of it."""
    began, watch = datetime.now(UTC), Watch()
    lab = Lab.at(folder)
    parts = []
    for plan, noisy in PLANS.items():
        watch.before_round()
        nights = options.noisy_nights if noisy else options.nights
        with bursts(noisy):
            found = walk(lab, plan, nights, BASELINE_NIGHTS, EVERY, say)
        watch.before_round()
        parts += [
            f"**The machine {plan}**, {nights} real nights, the first {BASELINE_NIGHTS} as a baseline. "
            + sizes(lab, plan),
            real(found),
            f"Drawn from them, {options.draws} nights a line and number of threads, each turn's runs as they were:",
            drawn(lab, plan, options.draws),
        ]
        say(joined(parts))
    host = local_host()
    command = (
        f"benchmarks/false_alarms.py --nights {options.nights} --noisy-nights {options.noisy_nights} "
        f"--draws {options.draws}"
    )
    head = (
        f"Measured on {began:%Y-%m-%d}, {began:%H:%M}–{datetime.now(UTC):%H:%M} UTC, by `{command}`: {host.cpu}, "
        f"{host.cores} cores, {host.system}, niceness {os.nice(0)}. {watch.summary()} Shares with Wilson's 95 % "
        "interval; a judgement is one job in one night."
    )
    return joined([head, *parts])


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nights", type=int, default=50 + BASELINE_NIGHTS)
    parser.add_argument("--noisy-nights", type=int, default=50 + BASELINE_NIGHTS)
    parser.add_argument("--draws", type=int, default=5000)
    parser.add_argument("--folder", type=Path, help="keep artefacts and rows here")
    parser.add_argument("--output", type=Path, help="replace the measured part of this file")
    options = parser.parse_args(arguments)
    if min(options.nights, options.noisy_nights) <= BASELINE_NIGHTS or options.draws < 1:
        parser.error(f"nights must be more than {BASELINE_NIGHTS}, --draws at least 1")
    try:
        if options.output:
            check_output(options.output)
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.folder or Path(scratch)
            make_folder(folder)
            part = report(options, folder)
        if options.output:
            old = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
            write_atomically(options.output, replace_part(old, part).encode())
        else:
            sys.stdout.write(part + "\n")
    except BibenchError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
