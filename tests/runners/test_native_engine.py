"""Sessions of the native engine: computing, timing, and files that are not what they should be."""

from __future__ import annotations

import json
import os
import resource
import time
from io import StringIO
from pathlib import Path

import numpy as np
import pytest

from bibench_deploy.conversion import convert
from bibench_deploy.converters import native
from bibench_deploy.converters.engine import Emitted, TensorView
from bibench_deploy.converters.fusion import fuse
from bibench_deploy.converters.reader import read
from bibench_deploy.errors import DataError, EngineError, OutputPathError, StorageError
from bibench_deploy.evaluation_data import random_rows
from bibench_deploy.runners.base import TimesItself
from bibench_deploy.runners.native_engine import NativeSession
from bibench_deploy.runners.timing import StopRule
from bibench_deploy.runners.worker import serve
from support.bbm_files import CONCAT, BbmFile
from support.extras import needs_bibench_run

MODEL = Path(__file__).parents[1] / "fixtures" / "models" / "vgg_one_pad__ts__latent.onnx"


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    needs_bibench_run()


@pytest.fixture(scope="module")
def emitted() -> Emitted:
    return native.emit(fuse(read(MODEL)))


def opened(emitted: Emitted, data: bytes | None = None, threads: int = 1) -> NativeSession:
    return NativeSession(data or emitted.data, emitted.inputs, emitted.outputs, threads)


def test_a_session_computes_the_same_as_often_as_it_is_asked(emitted: Emitted) -> None:
    session = opened(emitted)
    rows = random_rows(fuse(read(MODEL)))[:3]
    first = [session.run(row)["logits"] for row in rows]
    again = [session.run(row)["logits"] for row in reversed(rows)][::-1]
    assert first[0].shape == (1, 10)
    assert not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, again)


def test_it_times_itself(emitted: Emitted) -> None:
    session = opened(emitted)
    assert isinstance(session, TimesItself)
    samples = session.samples(StopRule(0.0, 7))
    assert len(samples) == 7
    assert all(sample > 0 for sample in samples)


def test_inputs_of_another_shape_are_refused(emitted: Emitted) -> None:
    with pytest.raises(DataError, match="its shape is"):
        opened(emitted).run({"input": np.zeros((1, 1, 27, 28), np.float32)})


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_file_that_was_cut_off_is_one_message(emitted: Emitted, share: float) -> None:
    with pytest.raises(EngineError, match=r"^bibench-run: .") as caught:
        opened(emitted, emitted.data[: int(len(emitted.data) * share)] or b"\n")
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("place", [0, 9, 40, 200, 3000, -1])
def test_a_file_with_a_flipped_byte_is_one_message(emitted: Emitted, place: int) -> None:
    damaged = bytearray(emitted.data)
    damaged[place] ^= 0x10
    with pytest.raises(EngineError, match=r"^bibench-run: .") as caught:
        opened(emitted, bytes(damaged))
    assert "\n" not in caught.value.message


def test_a_process_that_dies_is_an_error(emitted: Emitted) -> None:
    session = opened(emitted)
    (row,) = random_rows(fuse(read(MODEL)))[:1]
    session.run(row)
    assert session._process is not None
    session._process.kill()
    session._process.wait()
    with pytest.raises(EngineError, match="killed by signal 9"):
        session.run(row)


@pytest.mark.parametrize("room", [0, 100])
def test_a_full_disk_is_told_as_such(room: int) -> None:
    """Room for nothing; for the inputs (40 bytes) and not for the outputs."""
    model = BbmFile()
    x, y = model.tensor((1, 1, 1, 10)), model.tensor((1, 1, 1, 50))
    model.operator(CONCAT, dict.fromkeys(range(5), x), {0: y}, {0: 3, 1: 5})
    model.inputs, model.outputs = [x], [y]
    views = [[TensorView(name, (1, size), (1, size))] for name, size in (("x", 10), ("y", 50))]
    session = NativeSession(model.data(), *views)
    row = {"x": np.arange(10, dtype=np.float32)[None]}
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))  # for this process and those that it starts
    try:
        with pytest.raises(StorageError if room else OutputPathError, match=r"File too large") as caught:
            session.run(row)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert caught.value.remedy
    assert [file.name for file in Path(session._folder.name).glob("y.raw*")] == []


def test_nothing_is_left_behind(emitted: Emitted) -> None:
    session = opened(emitted)
    (row,) = random_rows(fuse(read(MODEL)))[:1]
    session.run(row)
    process, folder = session._process, Path(session._folder.name)
    assert process is not None
    assert folder.is_dir()
    del session
    assert process.returncode is not None
    assert not folder.exists()


def test_the_worker_measures_an_artefact(tmp_path: Path) -> None:
    (artefact,) = convert(MODEL, tmp_path, engines=["native"], twin=False).artefacts
    answers = StringIO()
    job = {"artefact": str(artefact.path), "threads": 1}
    serve(StringIO(f"{json.dumps(job)}\n" + json.dumps({"seconds": 0.0, "runs": 5}) + "\n"), answers)
    opening, turn = (json.loads(line) for line in answers.getvalue().splitlines())
    assert opening["kernel"] in ("portable", "avx2", "avx512", "neon")
    assert len(turn["samples_ns"]) == 5
    assert turn["usage"]["handovers_ns"] == []


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core hands nothing over")
def test_how_far_apart_the_cores_are_is_told_turn_by_turn(emitted: Emitted) -> None:
    session = opened(emitted, threads=2)
    assert session.handovers_ns == []
    until = time.monotonic() + 30
    while not session.handovers_ns and time.monotonic() < until:
        session.samples(StopRule(0.0, 3))
    if not session.handovers_ns:
        pytest.skip("others work on the cores: two threads were never at work at one time")
    # Less than any memory takes, and more than any cache of a core's own.
    assert all(1 < ns < 100_000 for ns in session.handovers_ns)
