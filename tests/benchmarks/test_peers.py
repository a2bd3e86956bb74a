from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.runners.measure import Job, Worker
from bibench_deploy.runners.timing import StopRule
from suite.cases import FP32, LITERT, NATIVE, ONNXRUNTIME, Case, UnavailableError
from suite.peers import BLOCK_RUNS, worker_command
from support.onnx_models import make_model, save


def test_onnxruntime_times_a_model_in_a_process_of_its_own(tmp_path: Path) -> None:
    model = save(tmp_path / "m.onnx", make_model("y = Relu (x)"))
    with Worker(Job(model, 2), worker_command(Case(ONNXRUNTIME, "m", FP32, 2))) as worker:
        samples = worker.turn(StopRule(0.01, BLOCK_RUNS))
    assert len(samples) >= BLOCK_RUNS
    assert sum(samples) >= 0.01e9


def test_litert_is_a_peer_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match="pip install ai-edge-litert"):
        worker_command(Case(LITERT, "m", FP32))


def test_slower_kernels_are_chosen_by_the_environment_of_the_process() -> None:
    assert worker_command(Case(NATIVE, "m", FP32, isa="avx2"))[:2] == ("env", "BIBENCH_ISA=avx2")
    assert worker_command(Case(NATIVE, "m", FP32))[0] != "env"
