"""The parts of the report: each measures what it is about, adds its bars and returns markdown."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from bibench_deploy.runners.host import local_host
from bibench_deploy.runners.native_build import build, program

from . import aarch64, bars, footprint, layers, scaling, tables
from .bars import Bar
from .cases import FP32, LARQ, NATIVE, ONNXRUNTIME, RELU, VARIANTS, YARDSTICK, Case, cases_of
from .ceilings import engine_info, has_kernels
from .machine import Watch
from .markdown import joined
from .networks import Networks
from .peers import open_peer
from .rounds import Measured, measure, say

SLOWER_KERNELS = ("avx2", "portable")
#: The architecture that the bars are for; slower kernels are measured with it alone.
BARS_MODEL = "resnet18"
MANY_THREADS = (1, 2, 3, 4, 8, 16)


@dataclass
class Run:
    """One run of this program: what was asked for, and what came of it."""

    options: argparse.Namespace
    networks: Networks
    watch: Watch
    judged: list[Bar] = field(default_factory=list)
    slower: list[Bar] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def take(self, cases: Sequence[Case]) -> Measured:
        """Measure cases together."""
        opener = partial(open_peer, networks=self.networks)
        return measure(cases, self.options.rounds, self.options.seconds, opener, self.watch, say)

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
        isas = run.isas if model == BARS_MODEL else ()
        cases = cases_of(model, variants, threads, isas)
        if run.options.quick:  # one network less to export
            cases = [case for case in cases if case.variant != RELU]
        found = run.take(cases)
        parts += [f"### {model}", tables.network_table(found, cases), tables.missing_lines(found)]
        if model == BARS_MODEL:
            parts += [
                "One core at best, for the multiply-accumulates alone:",
                tables.ceiling_table(found, cases),
            ]
            run.judged += network_bars(found, model, threads)
            for isa in isas:
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
    model = BARS_MODEL
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


def aarch64_section(run: Run) -> str:
    say("AArch64: llvm-mca, instructions under QEMU")
    predicted, judged = aarch64.mca_section()
    model = run.options.models[0]
    variants = (YARDSTICK,) if run.options.quick else (YARDSTICK, "bnn", "reactnet", "xnor", "xnorpp")
    artefacts = [run.networks.artefact(Case(NATIVE, model, variant)) for variant in variants]
    counted, more = aarch64.instructions_section(run.options.qemu, build(footprint.TARGET), artefacts)
    run.judged += [*judged, *more]
    note = (
        "No board was measured. llvm-mca predicts what a core's pipes allow in the inner loop; instructions are "
        "counted by QEMU's plugin interface, a whole image with everything around the binary layers. MAC/cycle "
        "are compared as whole numbers, as the bars are given."
    )
    return joined(["## AArch64", note, predicted, counted])


SECTIONS: dict[str, Callable[[Run], str]] = {
    "networks": networks_section,
    "layers": layers_section,
    "scaling": scaling_section,
    "footprint": footprint_section,
    "aarch64": aarch64_section,
}
