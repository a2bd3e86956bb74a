"""daBNN on this machine, where only a model of it runs; what its own programs print."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bibench_deploy.converters.dabnn import emit
from bibench_deploy.errors import ArtefactError, DataError, EngineError
from bibench_deploy.runners.dabnn import DabnnSession
from bibench_deploy.runners.dabnn_output import Repetition, read_benchmark, read_blobs, refuses
from bibench_deploy.runners.session import executed_by, is_timed_here, opener
from support.dabnn_nets import random_net

F = np.float32


def session() -> tuple[DabnnSession, Any]:
    graph, x = random_net(0)
    emitted = emit(graph)
    return DabnnSession(emitted.data, emitted.inputs, emitted.outputs), x


def test_a_model_of_it_executes_and_says_so() -> None:
    opened, x = session()
    assert opened.kernel == "semantic model"
    assert executed_by("dabnn") == "semantic model"
    assert executed_by("native") == "engine"
    assert set(opened.run({"x": x})) == {"y"}
    assert np.array_equal(opened.run({"x": x})["y"], opened.run({"x": x})["y"])


def test_its_time_is_not_taken() -> None:
    opened, x = session()
    with pytest.raises(EngineError, match="runs on Arm devices alone"):
        opened.prepared({"x": x})
    assert not is_timed_here("dabnn")
    assert is_timed_here("larq")


def test_what_it_does_not_take() -> None:
    opened, x = session()
    with pytest.raises(DataError, match="shape"):
        opened.run({"x": x[:, :, :-1]})
    with pytest.raises(ArtefactError, match=r"not a \.dab file"):
        opener("dabnn")(b"TFL3" * 20, (), ())


def benchmark(*entries: dict[str, Any]) -> str:
    return json.dumps({"context": {"executable": "./benchmark_single_model"}, "benchmarks": entries})


def entry(name: str = "single_model", time: float = 2.5, unit: str = "ms", **more: Any) -> dict[str, Any]:
    return {"name": name, "iterations": 12, "real_time": time, "cpu_time": time, "time_unit": unit} | more


def test_repetitions_of_its_benchmark() -> None:
    text = benchmark(
        entry(run_type="iteration"),
        entry(name="single_model/repeats:2", time=2_600_000, unit="ns"),
        entry(name="single_model_mean", run_type="aggregate"),
    )
    assert read_benchmark(text) == [Repetition(2_500_000, 12), Repetition(2_600_000, 12)]


@pytest.mark.parametrize(
    "text",
    ["", "Segmentation fault", "[]", benchmark(), benchmark(entry(unit="h")), benchmark(entry(time=0))],
)
def test_something_else_is_no_benchmark(text: str) -> None:
    with pytest.raises(ValueError, match="benchmark_single_model"):
        read_benchmark(text)


def test_blobs_that_its_program_logs() -> None:
    text = (
        "I1122 02:11:11.123456  4711 run.cpp:38] ------\n"
        "I1122 02:11:11.423456  4711 run.cpp:45] Fetching blob: logits\n"
        "I1122 02:11:11.423457  4711 run.cpp:46] -0.5\n"
        "I1122 02:11:11.423458  4711 run.cpp:52] logits: -0.5\n"
        "I1122 02:11:11.423459  4711 run.cpp:52] logits: 1.25e-05\n"
        "/layer1/conv: 3\n"
    )
    assert read_blobs(text) == {"logits": [-0.5, 1.25e-05], "/layer1/conv": [3.0]}
    with pytest.raises(ValueError, match="no blob"):
        read_blobs("terminate called after throwing an instance of 'std::out_of_range'")


def test_one_thread_alone() -> None:
    assert refuses(1) is None
    assert refuses(2) == "daBNN runs on one thread"
