"""The native engine against Larq, onnxruntime, LiteRT, its own fp32 and what the core can do; markdown.

    python benchmarks/native.py [--quick] [--section NAME]... [--output docs/performance.md]

All peers are measured in the same run: every one has its turn in every round, in a process of its own. Figures are
medians over the rounds with the lowest and the highest round, and the lowest sample; ratios are taken within a
round. With --output the part of the file between its marks is replaced, else the markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bibench_deploy.errors import BibenchError
from bibench_deploy.files import check_output, write_atomically
from bibench_deploy.runners.host import local_host
from suite import bars
from suite.cases import ARCHITECTURES
from suite.ceilings import engine_info
from suite.machine import Watch
from suite.markdown import joined, replace_part
from suite.networks import Networks
from suite.rounds import say
from suite.sections import SECTIONS, Run


def report(run: Run, sections: Sequence[str], began: datetime) -> str:
    """Everything that was measured, the bars first."""
    parts = [header(run, began), "## Bars", bars.show(run.judged)]
    if run.slower:
        parts += [
            "The same with slower kernels: for information, the bars were set for the fastest.",
            bars.show(run.slower),
        ]
    return joined([*parts, *sections])


def header(run: Run, began: datetime) -> str:
    """Machine, libraries, load and method."""
    host, options = local_host(), run.options
    names = ("larq-compute-engine", "onnxruntime", "ai-edge-litert")
    libraries = ", ".join(f"{name} {_version(name)}" for name in names)
    command = "benchmarks/native.py" + (" --quick" if options.quick else "")
    priority = f", niceness {os.nice(0)}" if os.nice(0) else ""
    parts = [
        f"Measured on {began:%Y-%m-%d}, {began:%H:%M}–{datetime.now(UTC):%H:%M} UTC, by `{command}`: {host.cpu}, "
        f"{host.cores} cores, {host.system}; the native engine with its kernels `{engine_info()['kernel']}`; "
        f"{libraries}; Python {platform.python_version()}{priority}.",
        run.watch.summary(),
        f"{options.rounds} rounds, blocks of {options.seconds:g} s or more. `a (b–c) d`: median over the rounds "
        "of a block's median, lowest and highest round, lowest sample. Ratios are taken within a round: median "
        "(its 95 % confidence interval), ratio of the lowest samples.",
    ]
    if run.watch.disturbed:
        parts.append(
            "**Warning: other work ran on this machine meanwhile. Times are upper bounds, ratios less sure.**"
        )
    return joined(parts)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def main() -> None:
    try:
        options = parse()
        text, failures = measured(options)
        if options.output is None:
            sys.stdout.write(text + "\n")
        else:
            write_atomically(options.output, replace_part(text_of(options.output), text).encode())
    except BibenchError as error:
        say(f"error: {error}")
        raise SystemExit(error.exit_code) from error
    if failures:
        raise SystemExit(3)


def measured(options: argparse.Namespace) -> tuple[str, list[str]]:
    """Everything that was asked for, measured now, and what failed."""
    began = datetime.now(UTC)
    with ExitStack() as stack:
        folder = options.networks or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(options, Networks(folder, say), Watch(options.patience))
        sections = [section(name, run) for name in options.section or SECTIONS]
    return report(run, sections, began), run.failures


def section(name: str, run: Run) -> str:
    """One part of the report; why there is none where it failed, since the others took half an hour."""
    try:
        return SECTIONS[name](run)
    except BibenchError as error:
        why = " ".join(str(error).split())
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else error.stderr
        why = f"{shlex.join(map(str, error.cmd))} ended with {error.returncode}: {(said or '').strip()}"
    say(f"{name}: {why}")
    run.failures.append(name)
    return f"## {name.capitalize()}\n\nNot measured: {why}"


def text_of(path: Path) -> str:
    """A file's text; none where there is no file."""
    return path.read_text(encoding="utf-8") if path.exists() else ""


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="under a minute: that it works, not how fast it is"
    )
    parser.add_argument("--section", action="append", choices=SECTIONS, help="only this (repeatable)")
    parser.add_argument(
        "--models", type=lambda text: text.split(","), help=f"default: {','.join(ARCHITECTURES)}"
    )
    parser.add_argument("--rounds", type=int, help="default: 11; 3 with --quick")
    parser.add_argument("--seconds", type=float, default=0.25, help="of a block (default 0.25)")
    parser.add_argument("--patience", type=float, default=0.0, metavar="S",
                        help="wait up to S seconds for a quiet machine before each round")  # fmt: skip
    parser.add_argument("--networks", type=Path, metavar="DIR",
                        help="keep the networks here, and take those that are here as they are")  # fmt: skip
    parser.add_argument("--qemu", default="qemu-aarch64", metavar="COMMAND",
                        help="a QEMU with plugins, to count AArch64 instructions")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="replace the measured part of this file")
    options = parser.parse_args()
    options.models = options.models or (["vgg-small"] if options.quick else list(ARCHITECTURES))
    if unknown := [name for name in options.models if name not in ARCHITECTURES]:
        parser.error(f"no architecture '{unknown[0]}'; choose from {', '.join(ARCHITECTURES)}")
    options.rounds = options.rounds or (3 if options.quick else 11)
    options.section = options.section or (["networks", "layers", "footprint"] if options.quick else None)
    if options.output:
        check_output(options.output)
        try:  # before half an hour of measuring, not behind it
            replace_part(text_of(options.output), "")
        except ValueError as error:
            parser.error(f"{options.output}: {error}")
    return options


if __name__ == "__main__":
    main()
