"""The native engine against Larq, onnxruntime, LiteRT, its own fp32 and what the core can do; markdown.

    python benchmarks/native.py [--quick] [--section NAME]... [--output docs/performance.md]

All peers are measured in the same run: every one has its turn in every round, in a process of its own. Figures are
medians over the rounds with the lowest and the highest round, and the lowest sample; ratios are taken within a
round. With --output the part of the file between its marks is replaced, else the markdown goes to stdout.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from bibench_deploy.files import write_atomically
from bibench_deploy.runners.host import local_host
from bibench_deploy.runners.native_build import program
from suite import bars, footprint, layers, scaling, tables
from suite.bars import Bar
from suite.cases import (
    ARCHITECTURES,
    FP32,
    LARQ,
    NATIVE,
    ONNXRUNTIME,
    RELU,
    VARIANTS,
    YARDSTICK,
    Case,
    cases_of,
)
from suite.ceilings import engine_info, has_kernels
from suite.machine import Watch
from suite.markdown import replace_part
from suite.networks import Networks
from suite.peers import open_peer
from suite.rounds import Measured, measure, say

SLOWER_KERNELS = ("avx2", "portable")
MANY_THREADS = (1, 2, 3, 4, 8, 16)


@dataclass
class Run:
    """One run of this program: what was asked for, and what came of it."""

    options: argparse.Namespace
    networks: Networks
    watch: Watch
    measured: Measured = field(default_factory=Measured)
    judged: list[Bar] = field(default_factory=list)
    slower: list[Bar] = field(default_factory=list)

    def take(self, cases: Sequence[Case]) -> Measured:
        """Measure cases together."""
        opener = partial(open_peer, networks=self.networks)
        found = measure(cases, self.options.rounds, self.options.seconds, opener, self.watch, say)
        self.measured.add(found)
        return found

    @property
    def isas(self) -> tuple[str, ...]:
        """Slower kernels that this machine has too."""
        if self.options.quick:
            return ()
        best = str(engine_info()["kernel"])
        return tuple(isa for isa in SLOWER_KERNELS if isa != best and has_kernels(isa))


def networks_section(run: Run) -> str:
    parts = ["## Networks"]
    variants = (YARDSTICK,) if run.options.quick else VARIANTS
    threads = (1,) if run.options.quick else (1, 2)
    for model in run.options.models:
        say(f"networks: {model}")
        cases = cases_of(model, variants, threads, run.isas)
        if run.options.quick:  # one network less to export
            cases = [case for case in cases if case.variant != RELU]
        found = run.take(cases)
        parts += [f"### {model}", tables.network_table(found, cases), tables.missing_lines(found)]
        if model == "resnet18":
            parts += [
                "One core at best, for the multiply-accumulates alone:",
                tables.ceiling_table(found, cases),
            ]
            run.judged += network_bars(found, model, threads)
            for isa in run.isas:
                run.slower += network_bars(found, model, threads, isa)
        elif "xnorpp" in variants:
            run.judged += bars.variant_bars(found, model, threads)
    return joined(parts)


def network_bars(found: Measured, model: str, threads: Sequence[int], isa: str = "") -> list[Bar]:
    """All bars that whole networks are held to."""
    return [
        *bars.larq_bars(found, model, threads, isa),
        *bars.float_bars(found, model, threads, isa),
        *bars.own_float_bars(found, model, threads, isa),
        *bars.ceiling_bars(found, model, isa),
        *bars.variant_bars(found, model, threads, isa),
    ]


def layers_section(run: Run) -> str:
    say("layers")
    best = str(engine_info()["kernel"])
    chosen = layers.RESNET[:3] if run.options.quick else [*layers.RESNET, *layers.VGG]
    threads = (1,) if run.options.quick else (1, 2)
    found = take_layers(run, chosen, (best, *run.isas), threads)
    run.judged += layers.bars(found, best)
    for isa in run.isas:
        run.slower += layers.bars(found, isa)
    note = "The ceiling of two threads is twice that of one."
    return joined(["## Binary layers against the popcount ceiling", note, layers.show(found)])


def take_layers(
    run: Run, chosen: Sequence[layers.Layer], isas: Sequence[str], threads: Sequence[int]
) -> dict[layers.Setting, list[layers.Figures]]:
    """Measure single layers."""
    options = run.options
    return layers.measure(
        program(), chosen, isas, threads, options.rounds, options.seconds, run.watch.before_round
    )


def scaling_section(run: Run) -> str:
    best = str(engine_info()["kernel"])
    say("scaling: channels, image size")
    channels = take_layers(run, layers.CHANNELS, (best,), (1,))
    sizes = take_layers(run, layers.SIZES, (best,), (1,))
    say("scaling: threads")
    model = "resnet18"
    kinds = ((NATIVE, YARDSTICK), (NATIVE, FP32), (LARQ, YARDSTICK), (ONNXRUNTIME, FP32))
    cases = [Case(library, model, variant, n) for library, variant in kinds for n in MANY_THREADS]
    found = run.take(cases)
    for variant in (YARDSTICK, FP32):
        own = [case for case in cases if (case.library, case.variant) == (NATIVE, variant)]
        run.judged += bars.oversubscription_bars(found, own)
    return joined(
        [
            "## Cost against size",
            "### Channels (28×28, as many in as out)",
            layers.show(channels),
            scaling.sentence("channels", scaling.points(channels, lambda layer: layer.channels)),
            "### Image size (128 channels)",
            layers.show(sizes),
            scaling.sentence("pixels a side", scaling.points(sizes, lambda layer: layer.size)),
            f"### Threads ({model}, {local_host().cores} cores)",
            tables.network_table(found, cases),
            tables.missing_lines(found),
        ]
    )


def footprint_section(run: Run) -> str:
    say("footprint")
    program_bytes = footprint.program_bytes(make=not run.options.quick)
    model = run.options.models[0]
    variants = (YARDSTICK,) if run.options.quick else (FP32, "bnn", *VARIANTS)
    artefacts = [run.networks.artefact(Case(NATIVE, model, variant)) for variant in variants]
    found = [footprint.memory(program(), artefact) for artefact in artefacts]
    bnn = next((memory for memory in found if memory.name == "resnet18-bnn"), None)
    run.judged += footprint.bars(program_bytes, bnn)
    size = "" if program_bytes is None else f"The program for {footprint.TARGET} has {program_bytes} bytes."
    return joined(["## Size and memory", size, footprint.show(found)])


SECTIONS: dict[str, Callable[[Run], str]] = {
    "networks": networks_section,
    "layers": layers_section,
    "scaling": scaling_section,
    "footprint": footprint_section,
}


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
    parts = [
        f"Measured on {began:%Y-%m-%d}, {began:%H:%M}–{datetime.now(UTC):%H:%M} UTC, by `{command}`: {host.cpu}, "
        f"{host.cores} cores, {host.system}; the native engine with its kernels `{engine_info()['kernel']}`; "
        f"{libraries}; Python {platform.python_version()}.",
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


def joined(parts: Sequence[str]) -> str:
    """Paragraphs; empty ones are left out."""
    return "\n\n".join(part for part in parts if part)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def main() -> None:
    options = parse()
    began = datetime.now(UTC)
    with ExitStack() as stack:
        folder = options.networks or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        run = Run(options, Networks(folder, say), Watch(options.patience))
        sections = [SECTIONS[name](run) for name in options.section or SECTIONS]
    text = report(run, sections, began)
    if options.output is None:
        sys.stdout.write(text + "\n")
        return
    before = options.output.read_text(encoding="utf-8") if options.output.exists() else ""
    write_atomically(options.output, replace_part(before, text).encode())


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
    parser.add_argument("--rounds", type=int, help="default: 15; 3 with --quick")
    parser.add_argument("--seconds", type=float, default=0.25, help="of a block (default 0.25)")
    parser.add_argument("--patience", type=float, default=0.0, metavar="S",
                        help="wait up to S seconds for a quiet machine before each round")  # fmt: skip
    parser.add_argument("--networks", type=Path, metavar="DIR",
                        help="keep the networks here, and take those that are here as they are")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE", help="replace the measured part of this file")
    options = parser.parse_args()
    options.models = options.models or (["vgg-small"] if options.quick else list(ARCHITECTURES))
    if unknown := [name for name in options.models if name not in ARCHITECTURES]:
        parser.error(f"no architecture '{unknown[0]}'; choose from {', '.join(ARCHITECTURES)}")
    options.rounds = options.rounds or (3 if options.quick else 15)
    options.section = options.section or (["networks", "layers", "footprint"] if options.quick else None)
    return options


if __name__ == "__main__":
    main()
