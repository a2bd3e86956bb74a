"""Whether two runs of one sweep agree within the intervals that they state; markdown.

    python benchmarks/agreement.py [--quick] [--sweeps 10] [--noisy 4] [--engines native] [--output FILE]

The same sweep (a small network and ResNet18 on random weights, each with its fp32 twin, 1 and 2 threads) is
measured again and again by the command that users have: on the machine as it is, beside a process that keeps one
core busy, beside one that is pinned to a core, and beside one that works in bursts. The noises take turns. Pairs
of sweeps of one kind are compared, thing by thing. With --output the part of the file between its marks is
replaced, else the markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from bibench_deploy.errors import BibenchError
from bibench_deploy.files import check_output, write_atomically
from bibench_deploy.results import Row, Selection, Store
from bibench_deploy.runners.host import local_host
from suite import agreement
from suite.cases import FP32, YARDSTICK, Case, UnavailableError
from suite.machine import Watch
from suite.markdown import joined, replace_part
from suite.networks import Networks
from suite.rounds import say

SMALL, LARGE = "vgg-small", "resnet18"
QUIET = "as it is"
#: Kind of noise → (core that it is pinned to or None, seconds at work, seconds at rest). Bursts of this length
#: hit some turns of 0.2 s and spare others.
NOISES: dict[str, tuple[int | None, float, float] | None] = {
    QUIET: None,
    "a busy core": (None, 1.0, 0.0),
    "a neighbour on core 0": (0, 1.0, 0.0),
    "bursts of 0.4 s on core 0": (0, 0.4, 0.4),
}
_NOISE = """
import os, sys, time
core, work, rest = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
if core: os.sched_setaffinity(0, [int(core)])
parent = os.getppid()
while os.getppid() == parent:  # ends with the benchmark, however that ends
    until = time.monotonic() + work
    while time.monotonic() < until: pass
    if rest: time.sleep(rest)
"""


@contextmanager
def noise(kind: str) -> Iterator[None]:
    """Another process at work for as long as the block runs."""
    made = NOISES[kind]
    if made is None:
        yield
        return
    core, work, rest = made
    words = ["" if core is None else str(core), str(work), str(rest)]
    with subprocess.Popen([sys.executable, "-c", _NOISE, *words]) as process:
        try:
            yield
        finally:
            process.kill()


def sweep(artefacts: Sequence[Path], options: argparse.Namespace, workspace: Path) -> list[Row]:
    """One sweep, by the command."""
    program = Path(sys.executable).with_name("bibench-deploy")
    times = ("--min-time", str(options.min_time), "--max-time", str(options.max_time),
             "--precision", str(options.precision))  # fmt: skip
    done = subprocess.run(
        [program, "profile", *artefacts, "--workspace", workspace, "--threads", options.threads, *times, "--fresh",
         "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UnavailableError(f"bibench-deploy profile: {done.stderr.strip()}")
    (session,) = {row["session"] for row in json.loads(done.stdout)["rows"]}
    return list(Store.of_workspace(workspace).read(Selection(sessions=(session,))).rows)


def artefacts_of(networks: Networks, options: argparse.Namespace) -> list[Path]:
    """The files that are measured; those that an engine does not take are left out, and said."""
    found = []
    for engine in options.engines:
        for model in options.models:
            for variant in (FP32, YARDSTICK):
                try:
                    found.append(networks.artefact(Case(engine, model, variant)))
                except UnavailableError as reason:
                    say(f"{engine}, {model} {variant}: {reason}")
    return found


def measured(options: argparse.Namespace) -> str:
    """All sweeps, and what they say of each other."""
    began, watch = datetime.now(UTC), Watch()
    found: dict[str, list[list[Row]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        artefacts = artefacts_of(Networks(folder, say), options)
        for round_ in range(max(options.sweeps, options.noisy)):
            for kind in NOISES:
                if round_ >= (options.sweeps if kind == QUIET else options.noisy):
                    continue
                if kind == QUIET:
                    watch.before_round()
                start = time.monotonic()
                try:
                    with noise(kind):
                        rows = sweep(artefacts, options, folder / "results")
                except UnavailableError as error:  # the others took half an hour
                    say(f"round {round_ + 1}, {kind}: {error}")
                    continue
                found[kind].append(rows)
                stable = sum(row.verdict == "stable" for row in rows)
                took = time.monotonic() - start
                say(f"round {round_ + 1}, {kind}: {stable} of {len(rows)} rows stable, {took:.0f} s")
    return joined([header(options, began, watch), agreement.show(found)])


def header(options: argparse.Namespace, began: datetime, watch: Watch) -> str:
    """Machine, load and method."""
    host = local_host()
    said = [
        f"Measured on {began:%Y-%m-%d}, {began:%H:%M}–{datetime.now(UTC):%H:%M} UTC, by `benchmarks/agreement.py "
        f"--sweeps {options.sweeps} --noisy {options.noisy}`: {host.cpu}, {host.cores} cores, {host.system}; "
        f"{' and '.join(options.models)} ({YARDSTICK} and its fp32 twin), {' and '.join(options.engines)}, threads "
        f"{options.threads}, `--min-time {options.min_time:g} --max-time {options.max_time:g} "
        f"--precision {options.precision:g}`"
        f"{f', niceness {os.nice(0)}' if os.nice(0) else ''}.",
        watch.summary(),
        "A pair is one artefact and number of threads in two sweeps of one kind; *stable* ones are pairs that both "
        "sweeps call so; where the load of others is disregarded, pairs that have no other reason count, too. Two "
        "independent 95 % intervals of one width overlap in 99.4 % of pairs, and two medians lie within √(a² + b²) "
        "of each other in 95 %. *Flagged*: a verdict of either sweep says unstable. *95 % need* is the factor "
        "by which intervals would have to be wider for 95 % of the stable pairs to touch: below 1 they are wide "
        "enough. *Not compared*: pairs besides that `compare` does not compare either, since their cores were at "
        "another distance.",
    ]
    if watch.disturbed:
        said.insert(
            2, "**Other work ran on this machine meanwhile: what is called “as it is” was not quiet.**"
        )
    return joined(said)


def main() -> None:
    try:
        options = parse()
        text = measured(options)
        if options.output is None:
            sys.stdout.write(text + "\n")
        else:
            known = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
            write_atomically(options.output, replace_part(known, text).encode())
    except BibenchError as error:
        say(f"error: {error}")
        raise SystemExit(error.exit_code) from error


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="minutes: that it works, not how often they agree"
    )
    parser.add_argument("--sweeps", type=int, help="of the machine as it is (default 10; 3 with --quick)")
    parser.add_argument("--noisy", type=int, help="of each noise (default 4; 2 with --quick)")
    parser.add_argument("--models", type=lambda text: text.split(","), help=f"default: {SMALL},{LARGE}")
    parser.add_argument(
        "--engines", type=lambda text: text.split(","), default=["native"], help="native, larq"
    )
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default 1,2)")
    parser.add_argument("--min-time", type=float, help="as profile's (default 2; 0.5 with --quick)")
    parser.add_argument("--max-time", type=float, help="as profile's (default 10; 1.5 with --quick)")
    parser.add_argument(
        "--precision", type=float, default=1.0, metavar="PERCENT",
        help="as profile's: rows of wider intervals are not stable (default 1; shared machines reach 3 to 10)",
    )  # fmt: skip
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep the networks and all rows here")
    parser.add_argument("--output", type=Path, metavar="FILE", help="replace the measured part of this file")
    options = parser.parse_args()
    quick = options.quick
    options.sweeps = options.sweeps or (3 if quick else 10)
    options.noisy = (2 if quick else 4) if options.noisy is None else options.noisy
    options.models = options.models or ([SMALL] if quick else [SMALL, LARGE])
    options.min_time = options.min_time or (0.5 if quick else 2.0)
    options.max_time = options.max_time or (1.5 if quick else 10.0)
    if options.output:
        check_output(options.output)
        try:
            replace_part(options.output.read_text(encoding="utf-8") if options.output.exists() else "", "")
        except ValueError as error:
            parser.error(f"{options.output}: {error}")
    return options


if __name__ == "__main__":
    main()
