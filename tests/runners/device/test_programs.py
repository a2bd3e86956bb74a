"""The scripts that run the engines' own programs, in a real shell.

The programs are shell scripts that print what the real ones were recorded to print: what is looked at is how they
are called, what is made of their streams and of their ends, not what they compute. The real daBNN is run by
tests/lab/test_engines.py.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.converters.manifest import Manifest, SourceModel, Tensor
from bibench_deploy.runners.device.dabnn import BENCHMARK_INPUT, DabnnOnDevice
from bibench_deploy.runners.device.engine import Executes, HasOwnCheck, Script
from bibench_deploy.runners.device.failures import failure
from bibench_deploy.runners.device.larq import LarqOnDevice
from bibench_deploy.runners.registry import Registry
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.transport.base import Completed
from bibench_deploy.runners.transport.local import LocalTransport
from support.programs import DABNN_MEASURES, DABNN_VERIFIES, elf

# A Raspberry Pi 4B, larq/docs, "Getting started".
LARQ_SAYS = """\
Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 seconds.
count=12 first=156677 curr=33205 min=32578 max=156677 avg=43268.1 std=34197

Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 seconds.
count=50 first=33228 curr=33130 min=32687 max=33239 avg=33071.8 std=129

Inference timings in us: Init: 3501, First inference: 156677, Warmup (avg): 43268.1, Inference (avg): 33071.8
"""
# run of daBNN d93aa95 under qemu-user, glog 0.8; the zoo's ResNet18 Bi-Real at 224×224
RUN_SAYS = """\
I20261122 03:01:25.031602 146984960 run.cpp:32] ------
I20261122 03:01:31.143639 146984960 run.cpp:39] Fetching blob: logits
I20261122 03:01:31.143782 146984960 run.cpp:41] 0.109503
I20261122 03:01:31.150361 146984960 run.cpp:47] logits: 0.109503
I20261122 03:01:31.150454 146984960 run.cpp:47] logits: 0.245661
I20261122 03:01:31.150509 146984960 run.cpp:47] logits: 0.127112
"""


def manifest(outputs: int = 3, side: int = 8, binary_ops: int = 2) -> Manifest:
    return Manifest(
        engine="any",
        model="net",
        variant="bnn",
        file="net",
        sha256="0" * 64,
        size_bytes=1,
        source=SourceModel(file="net.onnx", sha256="0" * 64),
        inputs=[Tensor(name="x", shape=[1, 3, side, side], artefact_shape=[1, side, side, 3])],
        outputs=[Tensor(name="logits", shape=[1, outputs], artefact_shape=[1, outputs])],
        binary_ops=binary_ops,
        binary_layers=binary_ops,
        versions={},
    )


def execute(tmp_path: Path, script: Script, program: str) -> tuple[Completed, str]:
    """What a script gives with a program of this text, and the arguments that the program got."""
    folder = tmp_path / 'it\'s "a" $folder'
    folder.mkdir()
    path = folder / "program"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(folder / "called"))}\n{program}')
    path.chmod(0o755)
    variables = {
        **script.variables,
        "program": str(path),
        "verifier": str(path),
        "model": str(folder / "net"),
    }
    text = "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in variables.items()) + script.text
    done = LocalTransport("box", folder=folder).run(text, timeout_s=60, step="measuring")
    return done, (folder / "called").read_text().replace(str(folder), "FOLDER")


@pytest.mark.parametrize("stream", [1, 2])
def test_larqs_mean_is_read_from_either_stream(tmp_path: Path, stream: int) -> None:
    engine = LarqOnDevice(Registry(tmp_path))
    script = engine.timing(manifest(), 4, StopRule(0.2, 3))
    done, called = execute(tmp_path, script, f"cat >&{stream} <<'END'\n{LARQ_SAYS}END\n")
    assert called.splitlines() == [
        "--graph=FOLDER/net",
        "--num_threads=4",
        "--num_runs=3",
        "--min_secs=0.200000",
        "--max_secs=86400",
        "--warmup_runs=3",
        "--warmup_min_secs=0",
    ]
    assert done.status == 0
    timing = engine.read_timing(manifest(), done.stdout)
    assert (timing.samples_ns, timing.kernel) == ([33_071_800], "default")
    assert engine.read_timing(manifest(binary_ops=0), done.stdout).kernel is None
    assert engine.statistic == "aggregate"


def test_larqs_failure_is_told_in_its_words(tmp_path: Path) -> None:
    script = LarqOnDevice(Registry(tmp_path)).timing(manifest(), 1, StopRule(0.2, 3))
    says = "echo 'Failed to mmap model /x'; echo 'Benchmarking failed.' >&2; exit 1"
    done, _ = execute(tmp_path, script, says)
    error = failure(done, "pi", "measuring", "net.tflite")
    assert error is not None
    assert error.message == "the engine failed: exit code 1: Failed to mmap model /x"
    assert done.stdout == b""


@pytest.fixture
def dabnn(tmp_path: Path) -> DabnnOnDevice:
    registry = Registry(tmp_path / "data")
    for content in (DABNN_MEASURES, DABNN_VERIFIES):
        (tmp_path / "file").write_bytes(elf(content))
        registry.add("dabnn", tmp_path / "file")
    return DabnnOnDevice(registry)


def test_dabnns_benchmark_is_asked_for_repetitions(tmp_path: Path, dabnn: DabnnOnDevice) -> None:
    document = (
        '{"benchmarks": [{"name": "single_model", "run_type": "iteration", "iterations": 1, '
        '"real_time": 5.9220030180003958e+09, "time_unit": "ns"}, {"name": "single_model_mean", '
        '"run_type": "aggregate", "iterations": 1, "real_time": 1.0, "time_unit": "ns"}]}'
    )
    script = dabnn.timing(manifest(), 1, StopRule(0.3, 3))
    done, called = execute(tmp_path, script, f"cat <<'END'\n{document}\nEND\necho a warning >&2")
    assert called.splitlines() == [
        "FOLDER/net",
        "--benchmark_format=json",
        "--benchmark_repetitions=3",
        "--benchmark_min_time=0.100000",
        "--benchmark_min_warmup_time=0.05",
    ]
    assert dabnn.read_timing(manifest(), done.stdout).samples_ns == [5_922_003_018]
    assert dabnn.statistic == "aggregate"


def test_dabnns_program_is_asked_for_the_outputs(tmp_path: Path, dabnn: DabnnOnDevice) -> None:
    own = dabnn.own_check(manifest())
    assert own is not None
    done, called = execute(tmp_path, own.script, f"cat >&2 <<'END'\n{RUN_SAYS}END\n")
    assert called.splitlines() == ["FOLDER/net", "logits"]
    (batch,) = own.read(done.stdout)
    np.testing.assert_array_equal(batch["logits"], np.float32([[0.109503, 0.245661, 0.127112]]))
    few = dabnn.own_check(manifest(outputs=4))
    assert few is not None
    with pytest.raises(ValueError, match="3 of 4 numbers of logits"):
        few.read(done.stdout)


def test_dabnns_limits_are_not_applicable(dabnn: DabnnOnDevice) -> None:
    assert dabnn.refuses(manifest(), 1) is None
    assert dabnn.refuses(manifest(), 2) == "daBNN runs on one thread"
    assert "the picture has 1,002,252" in (dabnn.refuses(manifest(side=578), 1) or "")
    assert dabnn.refuses(manifest(side=577), 1) is None
    assert 3 * 577 * 577 <= BENCHMARK_INPUT < 3 * 578 * 578


def test_engines_that_tell_no_outputs_execute_nothing(tmp_path: Path) -> None:
    larq = LarqOnDevice(Registry(tmp_path))
    assert not isinstance(larq, Executes | HasOwnCheck)
