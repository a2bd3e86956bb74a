"""The operators that are no convolutions, against numpy; and the command line around them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from support import native_engine
from support.bbm_files import (
    AVGPOOL,
    BINARY,
    BITS,
    CONCAT,
    EXPAND,
    MAP,
    MATMUL,
    MAXPOOL,
    PAD,
    REDUCE,
    RESHAPE,
    SLICE,
    SOFTMAX,
    TRANSPOSE,
    UNARY,
    BbmFile,
)


@pytest.fixture(scope="session")
def engine() -> Path:
    return native_engine.build()


def one(
    tmp_path: Path,
    engine: Path,
    opcode: int,
    inputs: list[np.ndarray],
    shape: tuple[int, ...],
    ints: dict[int, int] | None = None,
    floats: dict[int, float] | None = None,
    threads: int = 2,
) -> np.ndarray:
    """The output of a model of one operator."""
    f = BbmFile()
    f.inputs = [f.tensor(x.shape) for x in inputs]
    y = f.tensor(shape)
    f.operator(opcode, dict(enumerate(f.inputs)), {0: y}, ints, floats)
    f.outputs = [y]
    got = native_engine.execute([engine], f.write(tmp_path / "m.bbm"), inputs, threads=threads)
    return got.reshape(shape)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("counts_padding", [0, 1])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "pads"),
    [(2, 2, 1, (0, 0, 0, 0)), (3, 2, 1, (1, 1, 1, 1)), (3, 1, 2, (2, 1, 2, 1)), (2, 2, 1, (1, 0, 0, 1))],
)
def test_pools(
    tmp_path: Path, engine: Path, mean: bool, counts_padding: int, kernel: int, stride: int, dilation: int,
    pads: tuple[int, int, int, int],
) -> None:  # fmt: skip
    x = random(2, 9, 8, 19)
    top, left, bottom, right = pads
    spans = [n + a + b - dilation * (kernel - 1) - 1 for n, a, b in ((9, top, bottom), (8, left, right))]
    oh, ow = (span // stride + 1 for span in spans)
    expected = np.zeros((2, oh, ow, 19), np.float32)
    for y in range(oh):
        for z in range(ow):
            rows = [y * stride - top + k * dilation for k in range(kernel)]
            columns = [z * stride - left + k * dilation for k in range(kernel)]
            taps = [x[:, r, c] for r in rows for c in columns if 0 <= r < 9 and 0 <= c < 8]
            if mean:
                expected[:, y, z] = sum(taps) / (kernel * kernel if counts_padding else len(taps))
            else:
                expected[:, y, z] = np.max(taps, axis=0)
    ints = {0: kernel, 1: kernel, 2: stride, 3: stride, 4: dilation, 5: dilation, 10: counts_padding}
    ints |= {6: top, 7: left, 8: bottom, 9: right}
    got = one(tmp_path, engine, AVGPOOL if mean else MAXPOOL, [x], expected.shape, ints)
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mask", range(1, 16))
@pytest.mark.parametrize("kind", range(4))
def test_reductions(tmp_path: Path, engine: Path, mask: int, kind: int) -> None:
    x = random(2, 3, 5, 21)
    axes = tuple(axis for axis in range(4) if mask >> axis & 1)
    expected = (np.mean, np.sum, np.max, np.min)[kind](x, axis=axes, keepdims=True)
    got = one(tmp_path, engine, REDUCE, [x], expected.shape, {0: mask, 1: kind})
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", range(7))
@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((2, 3, 5, 7), (2, 3, 5, 7)),
        ((2, 3, 5, 7), (1, 1, 1, 7)),
        ((1, 1, 1, 1), (2, 3, 5, 7)),
        ((2, 3, 5, 7), (2, 3, 5, 1)),
        ((2, 1, 5, 1), (1, 3, 1, 7)),
        ((2, 1, 1, 1), (1, 3, 5, 7)),
        ((1, 1, 1, 1), (1, 1, 1, 1)),
        ((1, 1, 1, 20000), (1, 1, 1, 1)),
    ],
)
def test_broadcasting(
    tmp_path: Path, engine: Path, kind: int, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    x, y = np.abs(random(*a)) + 0.1, random(*b)[..., ::-1].copy()
    functions = (np.add, np.subtract, np.multiply, np.divide, np.minimum, np.maximum, np.power)
    expected = functions[kind](x, y)
    got = one(tmp_path, engine, BINARY, [x, y], expected.shape, {0: kind})
    np.testing.assert_allclose(got, expected, rtol=1e-5 if kind == 6 else 0)


def test_unary(tmp_path: Path, engine: Path) -> None:
    x = random(1, 4, 5, 6)
    sigmoid = 1 / (1 + np.exp(-x))
    cases = {
        0: np.maximum(x, 0), 1: np.clip(x, -0.5, 0.5), 2: np.abs(x), 3: -x, 4: sigmoid, 5: np.tanh(x), 6: np.exp(x),
        9: 1 / x, 10: np.where(x < 0, -0.5 * x, x), 17: np.floor(x), 18: np.ceil(x), 19: np.round(x),
        20: np.sign(x), 21: np.sin(x), 22: np.cos(x), 16: np.log1p(np.exp(x)),
        15: x * np.clip(x / 6 + 0.5, 0, 1), 14: np.clip(-0.5 * x + 0.5, 0, 1),
    }  # fmt: skip
    for kind, expected in cases.items():
        got = one(tmp_path, engine, UNARY, [x], x.shape, {0: kind}, {0: -0.5, 1: 0.5})
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6, err_msg=str(kind))


@pytest.mark.parametrize("axis", range(4))
def test_concat_softmax_slice_pad(tmp_path: Path, engine: Path, axis: int) -> None:
    x, y = random(2, 3, 4, 5), random(2, 3, 4, 5) + 1
    both = np.concatenate([x, y], axis)
    got = one(tmp_path, engine, CONCAT, [x, y], both.shape, {0: axis, 1: 2})
    np.testing.assert_array_equal(got, both)
    e = np.exp(x - x.max(axis, keepdims=True))
    got = one(tmp_path, engine, SOFTMAX, [x], x.shape, {0: axis})
    np.testing.assert_allclose(got, e / e.sum(axis, keepdims=True), rtol=1e-6)
    index = [slice(None)] * 4
    index[axis] = slice(x.shape[axis] - 1, None, -1)
    ints = (
        dict.fromkeys(range(4), 0) | dict.fromkeys(range(4, 8), 1) | {axis: x.shape[axis] - 1, 4 + axis: -1}
    )
    np.testing.assert_array_equal(one(tmp_path, engine, SLICE, [x], x.shape, ints), x[tuple(index)])
    for mode, name in enumerate(("constant", "edge", "reflect")):
        width = [(1, 1) if k == axis else (0, 0) for k in range(4)]
        padded = np.pad(x, width, name, **({"constant_values": 7} if mode == 0 else {}))
        ints = {axis: 1, 4 + axis: 1, 8: mode}
        got = one(tmp_path, engine, PAD, [x], padded.shape, ints, {0: 7.0})
        np.testing.assert_array_equal(got, padded)


def test_transpose_reshape_matmul(tmp_path: Path, engine: Path) -> None:
    x = random(2, 3, 4, 6)
    shuffled = x.reshape(2, 3, 4, 2, 3).transpose(0, 1, 2, 4, 3).reshape(x.shape)
    ints = dict(zip(range(13), (5, 2, 3, 4, 2, 3, 0, 0, 1, 2, 4, 3, 0), strict=True))
    np.testing.assert_array_equal(one(tmp_path, engine, TRANSPOSE, [x], x.shape, ints), shuffled)
    np.testing.assert_array_equal(one(tmp_path, engine, RESHAPE, [x], (1, 1, 1, 144)).ravel(), x.ravel())
    b = random(1, 3, 6, 5)
    np.testing.assert_allclose(
        one(tmp_path, engine, MATMUL, [x, b], (2, 3, 4, 5)), x @ b, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_bits_and_back(tmp_path: Path, engine: Path, groups: int) -> None:
    x = random(2, 3, 4, 66)
    x[0, 0, 0, :3] = np.nan, 0.0, np.inf
    f = BbmFile()
    xi, s, y = f.tensor(x.shape), f.tensor(x.shape, BITS, groups), f.tensor(x.shape)
    f.operator(MAP, {0: xi, 9: f.channels(np.zeros(66))}, {1: s})
    f.operator(EXPAND, {0: s}, {0: y})
    f.inputs, f.outputs = [xi], [y]
    got = native_engine.execute([engine], f.write(tmp_path / "m.bbm"), [x], threads=2)
    np.testing.assert_array_equal(got.reshape(x.shape), np.where(x >= 0, 1, -1))


def doubled() -> BbmFile:
    f = BbmFile()
    x, y = f.tensor((1, 1, 1, 4), name="in"), f.tensor((1, 1, 1, 4), name="layer/out")
    f.operator(BINARY, {0: x, 1: x}, {0: y}, {0: 0}, name="double")
    f.inputs, f.outputs = [x], [y]
    return f


def test_measuring_prints_raw_samples(tmp_path: Path, engine: Path) -> None:
    model = doubled().write(tmp_path / "m.bbm")
    run = subprocess.run(
        [engine, model, "--threads", "1,2,8", "--min-runs", "5", "--min-time", "0"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [json.loads(line) for line in run.stdout.splitlines()]
    assert [row["threads"] for row in rows] == [1, 2, 8]
    cores = len(os.sched_getaffinity(0))
    assert [row["workers"] for row in rows] == [min(count, cores) for count in (1, 2, 8)]
    assert all(len(row["samples_ns"]) == 5 and row["kernel"] for row in rows)
    # One thread hands nothing over; others may find a core taken by another program.
    assert all("handover_ns" not in row for row in rows if row["workers"] == 1)
    assert all(row["handover_ns"] > 0 for row in rows if "handover_ns" in row)
    narrow = subprocess.run(
        [engine, model, "--threads", "8", "--min-time", "0"],
        capture_output=True,
        check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}),
    )
    assert json.loads(narrow.stdout)["workers"] == 1  # what it may use counts, not what the machine has
    per_op = subprocess.run(
        [engine, model, "--per-op", "--min-time", "0"], capture_output=True, text=True, check=True
    )
    assert json.loads(per_op.stdout)["name"] == "double"
    info = subprocess.run([engine, model, "--info"], capture_output=True, text=True, check=True)
    assert json.loads(info.stdout)["inputs"] == [{"name": "in", "dims": [1, 1, 1, 4]}]


def test_dump_and_serve(tmp_path: Path, engine: Path) -> None:
    model = doubled().write(tmp_path / "m.bbm")
    x = np.arange(4, dtype="<f4")
    (tmp_path / "x.raw").write_bytes(x.tobytes())
    run = subprocess.run(
        [engine, model, "--input", tmp_path / "x.raw", "--dump", "layer/out", "--dump-dir", tmp_path],
        capture_output=True,
        text=True,
        check=True,
    )
    file = tmp_path / json.loads(run.stdout)["file"]
    np.testing.assert_array_equal(np.frombuffer(file.read_bytes(), "<f4"), 2 * x)
    requests = f"run {tmp_path / 'x.raw'} {tmp_path / 'y.raw'}\nnonsense\nrun absent y\nquit\n"
    served = subprocess.run(
        [engine, model, "--serve"], input=requests, capture_output=True, text=True, check=True
    )
    answers = served.stdout.splitlines()
    assert answers[0].startswith("ok ")
    assert [answer.split()[0] for answer in answers[1:]] == ["error", "error"]
    np.testing.assert_array_equal(np.frombuffer((tmp_path / "y.raw").read_bytes(), "<f4"), 2 * x)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--threads", "0"], ["--threads", "1,,2"], ["--nonsense"], ["m.bbm", "--min-time"], ["a", "b"],
     ["m.bbm", "--dump", "x"], ["m.bbm", "--output", "y"], ["--threads"], ["m.bbm", "--min-runs", "2.5"]],
)  # fmt: skip
def test_wrong_usage(engine: Path, arguments: list[str]) -> None:
    run = subprocess.run([engine, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("bibench-run: ")
    assert run.stderr.count("\n") == 1


def test_a_cpu_that_is_not_there_is_an_error(engine: Path, tmp_path: Path) -> None:
    """Times of threads that run anywhere are not those of the cores that were asked for."""
    model = doubled().write(tmp_path / "m.bbm")
    command = [engine, model, "--threads", "2", "--cpus", f"{min(os.sched_getaffinity(0))},1023"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert "pinned to CPU 1023" in run.stderr


def test_unknown_kernel(engine: Path) -> None:
    run = subprocess.run(
        [engine, "--info"],
        env={**os.environ, "BIBENCH_ISA": "mmx"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2
    assert "no such kernel" in run.stderr
