"""Networks to measure: exported, converted and verified with the commands that a user has."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.converters.twin import fp32_twin
from bibench_deploy.files import write_atomically

from .cases import (
    ARCHITECTURES,
    FP32,
    LARQ,
    LITERT,
    NATIVE,
    ONNXRUNTIME,
    RELU,
    YARDSTICK,
    Case,
    UnavailableError,
)

_SUFFIXES = {NATIVE: ".native.bbm", LARQ: ".larq.tflite", LITERT: ".larq.tflite"}
#: Of the random weights. With 0 and 1 ResNet34 amplifies rounding from layer to layer until half of the random rows
#: end elsewhere, and ``convert`` refuses it for Larq though every layer agrees.
SEED = "2"
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Networks:
    """The files of the networks; made when they are first asked for.

    Attributes:
        folder: where they lie; what is there already is taken as it is.
    """

    folder: Path
    progress: Progress = lambda message: None

    def artefact(self, case: Case) -> Path:
        """The file that a case executes.

        Raises:
            UnavailableError: the tool refuses the network; says why.
        """
        if case.variant == RELU:
            return self.source(case.model, FP32)
        if case.library == ONNXRUNTIME:
            return self.twin(case.model) if case.variant == FP32 else self.source(case.model, case.variant)
        algorithm = YARDSTICK if case.variant == FP32 else case.variant
        twin = "-fp32" if case.variant == FP32 else ""
        library = LARQ if case.library == LITERT else case.library
        path = self.folder / f"{case.model}-{algorithm}{twin}{_SUFFIXES[library]}"
        if not path.exists():
            self._convert(case.model, algorithm, library)
        return path

    def source(self, model: str, algorithm: str) -> Path:
        """The ONNX file of a network with seeded random weights."""
        path = self.folder / f"{model}-{algorithm}.onnx"
        if not path.exists():
            self.progress(f"exporting {model} {algorithm}")
            options = ("-a", algorithm, "-d", ARCHITECTURES[model], "--seed", SEED)
            _command("zoo", "export", model, *options, "-o", str(path))
        return path

    def twin(self, model: str) -> Path:
        """The fp32 twin as ONNX: what the artefacts called fp32 were made from."""
        path = self.folder / f"{model}-{YARDSTICK}-fp32.onnx"
        if not path.exists():
            twin = fp32_twin(fuse(read(self.source(model, YARDSTICK))))
            write_atomically(path, twin.source.proto.SerializeToString())
        return path

    def _convert(self, model: str, algorithm: str, engine: str) -> None:
        source = self.source(model, algorithm)
        self.progress(f"converting and verifying {source.name} for {engine}")
        twin = "--twin" if algorithm == YARDSTICK else "--no-twin"
        _command("convert", str(source), "-e", engine, twin, "-o", str(self.folder))


def _command(*words: str) -> None:
    # The command beside this interpreter, so that what is measured is what is installed here.
    program = Path(sys.executable).with_name("bibench-deploy")
    done = subprocess.run([str(program), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        said = [
            line for line in done.stderr.splitlines() if line.startswith("error")
        ] or done.stderr.splitlines()[-1:]
        raise UnavailableError(f"bibench-deploy {words[0]} refuses it ({' '.join(said)})")
