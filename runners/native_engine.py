"""Native artefacts on this machine: ``bibench-run`` as a process beside this one.

To compute, the program is started once with ``--serve`` and told to run file after file. To measure, it is started
for every turn by itself and takes its own times: a pipe and two files between the clock and the model would be
counted as the model's. ``BIBENCH_ISA`` chooses its kernels, as ever; without it the best for this CPU are taken.
"""

from __future__ import annotations

import json
import select
import subprocess
import tempfile
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bibench_deploy.converters.engine import TensorView
from bibench_deploy.errors import EngineError, StorageError
from bibench_deploy.files import storage_error

from .base import Array, Arrays, as_artefact
from .native_build import Progress, program
from .operators import Operator, options, read_operators
from .timing import StopRule

#: An answer that takes longer means that the engine hangs; an emulated board takes a minute for a large model.
TIMEOUT_S = 600.0
#: What the program says of a file that it could not write whole.
UNWRITABLE = "can't be written"
#: Untimed runs before each turn: the process is a new one.
WARMUP_RUNS = 3


class NativeSession:
    """A .bbm opened in ``bibench-run``.

    Args:
        data: the artefact, or its probe.
        inputs, outputs: how its tensors are seen, in its order.
        threads: number of threads.
        command: what starts ``bibench-run``; built where that is needed by default.
        progress: told if it has to be built.

    Raises:
        EngineError: the engine refuses the artefact, or can't be built.
        MissingExtraError: there is no compiler.
        StorageError, OutputPathError: no room for its files.
    """

    def __init__(
        self,
        data: bytes,
        inputs: Sequence[TensorView],
        outputs: Sequence[TensorView],
        threads: int = 1,
        command: Sequence[str] | None = None,
        progress: Progress = lambda message: None,
    ) -> None:
        self._inputs, self._outputs, self._threads = tuple(inputs), tuple(outputs), threads
        self._command = tuple(command or program(progress))
        self._folder = tempfile.TemporaryDirectory(prefix="bibench-run-")
        self._model = Path(self._folder.name) / "model.bbm"
        try:
            self._model.write_bytes(data)
        except OSError as error:
            raise storage_error(error, self._model) from error
        facts = _lines(self._call("--info"))[0]
        self._kernel = str(facts["kernel"])
        self._process: subprocess.Popen[bytes] | None = None
        self._peak: int | None = None
        self._handovers: list[float] = []

    @property
    def kernel(self) -> str | None:
        """The instruction set whose kernels run: portable, avx2, avx512 or neon."""
        return self._kernel

    def run(self, inputs: Arrays) -> dict[str, Array]:
        """Execute one batch; names and layout of the ONNX model.

        Raises:
            DataError: an input is missing or has another shape.
            EngineError: the engine failed.
            StorageError, OutputPathError: no room for its files.
        """
        results = self.prepared(inputs)()
        return {view.name: view.as_model(a) for view, a in zip(self._outputs, results, strict=True)}

    def prepared(self, inputs: Arrays) -> Callable[[], list[Array]]:
        """A call that executes the artefact on these inputs; arrays in the artefact's layout.

        Raises:
            DataError: an input is missing or has another shape.
        """
        content = b"".join(
            np.ascontiguousarray(a, "<f4").tobytes() for a in as_artefact(inputs, self._inputs)
        )
        return lambda: self._executed(content)

    def samples(self, rule: StopRule) -> list[int]:
        """Latencies in ns that the engine measures itself, on random inputs of its own.

        Raises:
            EngineError: the engine failed.
        """
        words = ["--min-time", str(rule.min_seconds), "--min-runs", str(rule.min_runs)]
        words += ["--warmup", str(WARMUP_RUNS), "--threads", str(self._threads)]
        answer = _lines(self._call(*words))[0]
        self._peak = int(answer["peak_rss_bytes"]) or None  # 0 where the system does not tell
        if "handover_ns" in answer:
            self._handovers.append(float(answer["handover_ns"]))
        result: list[int] = answer["samples_ns"]
        return result

    def operators(self, cpus: Sequence[int] = ()) -> list[Operator]:
        """Its layers, each timed by itself.

        Args:
            cpus: cores to pin to.

        Raises:
            EngineError: the engine failed.
        """
        return read_operators(self._call(*options(self._threads, cpus)))

    @property
    def peak_memory_bytes(self) -> int | None:
        """The largest resident set of ``bibench-run`` in the last turn; None before."""
        return self._peak

    @property
    def handovers_ns(self) -> Sequence[float]:
        """What a cache line took from one thread to another, a value for each turn with several threads."""
        return self._handovers

    # --- the process ---------------------------------------------------------------------------------

    def _executed(self, content: bytes) -> list[Array]:
        folder = Path(self._folder.name)
        given, got = folder / "x.raw", folder / "y.raw"
        try:
            given.write_bytes(content)
        except OSError as error:
            raise storage_error(error, given) from error
        answer = self._ask(f"run {given}\t{got}\n")
        if not answer.startswith("ok"):
            said = answer.removeprefix("error ").strip()
            if UNWRITABLE in said:
                raise StorageError(
                    said.partition(f"{UNWRITABLE}: ")[2],
                    where=str(got),
                    remedy="free some space, or set TMPDIR",
                )
            raise EngineError(f"bibench-run failed: {said}", remedy="please report it with the artefact")
        values = np.fromfile(got, "<f4")
        sizes = [int(np.prod(view.artefact_shape)) for view in self._outputs]
        if len(values) != sum(sizes):
            raise EngineError(
                f"bibench-run gave {len(values)} numbers where the artefact has {sum(sizes)}",
                remedy="please report it with the artefact",
            )
        ends = np.cumsum(sizes)[:-1]
        return list(np.split(values.astype(np.float32, copy=False), ends))

    def _ask(self, request: str) -> str:
        process = self._process or self._serve()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(request.encode())
            process.stdin.flush()
        except BrokenPipeError:
            raise self._crashed(process) from None
        # One answer a request: nothing can wait in the reader's buffer, so select() sees all there is.
        if not select.select([process.stdout], [], [], TIMEOUT_S)[0]:
            raise EngineError(
                f"bibench-run gave no answer within {TIMEOUT_S:.0f} s", remedy="try fewer threads"
            )
        answer = process.stdout.readline()
        if not answer:
            raise self._crashed(process)
        return answer.decode(errors="replace")

    def _serve(self) -> subprocess.Popen[bytes]:
        with (Path(self._folder.name) / "stderr").open("wb") as errors:
            process = subprocess.Popen(
                [*self._command, str(self._model), "--serve", "--threads", str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                process_group=0,
            )
        self._process = process
        # The folder goes after the process that has files in it open.
        weakref.finalize(self, _end, process, self._folder)
        return process

    def _crashed(self, process: subprocess.Popen[bytes]) -> EngineError:
        code = process.wait()
        said = (Path(self._folder.name) / "stderr").read_text(encoding="utf-8", errors="replace")
        return _failed(code, said)

    def _call(self, *options: str) -> str:
        """What the program prints for the model.

        Raises:
            EngineError: it refuses the artefact, crashed or hangs.
        """
        command = [*self._command, str(self._model), *options]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                encoding="utf-8",
                errors="replace",  # names are as a file has them
                check=False,
                timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            raise EngineError(
                f"bibench-run gave no answer within {TIMEOUT_S:.0f} s", remedy="try fewer threads"
            ) from error
        if done.returncode != 0:
            raise _failed(done.returncode, done.stderr)
        return done.stdout


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _failed(code: int, stderr: str) -> EngineError:
    """What the program's end means; its one message where it gave one."""
    said = stderr.strip().splitlines()
    if code < 0:
        return EngineError(
            f"bibench-run was killed by signal {-code}", remedy="please report it with the artefact"
        )
    message = said[-1].removeprefix("bibench-run: ") if said else f"it ended with exit code {code}"
    return EngineError(f"bibench-run: {message}", remedy="convert the model again")


def _end(process: subprocess.Popen[bytes], folder: tempfile.TemporaryDirectory[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except BrokenPipeError:
                continue  # a request that a killed process never read: nothing is lost
    folder.cleanup()
