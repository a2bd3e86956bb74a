"""A damaged or hostile file gives one message and exit code 2: never a crash, a hang or gigabytes."""

from __future__ import annotations

import os
import random
import resource
import struct
import subprocess
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from support import native_engine
from support.bbm_files import (
    AVGPOOL,
    BCONV,
    BINARY,
    BINARY_FILTERS,
    BITS,
    CONCAT,
    CONV,
    DWCONV,
    EXPAND,
    FLOAT_FILTERS,
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
    binary_filters,
    float_filters,
    sealed,
)

MUTANTS = int(os.environ.get("BIBENCH_MUTANTS", "60"))


def everything() -> BbmFile:
    """A small model with every operator."""
    rng = np.random.default_rng(0)
    f = BbmFile()
    x = f.tensor((1, 6, 6, 20), name="x")
    s = f.tensor((1, 6, 6, 20), BITS, name="s")
    f.operator(MAP, {0: x, 9: f.channels(np.zeros(20)), 10: f.channels(np.ones(20))}, {1: s}, name="binarize")
    y, z, t = f.tensor((1, 6, 6, 20)), f.tensor((1, 6, 6, 20)), f.tensor((1, 6, 6, 20))
    signs = rng.choice([-1, 1], (20, 20, 3, 3))
    inputs = {0: s, 1: f.constant(binary_filters(signs), (20, 3, 3, 20), BINARY_FILTERS), 5: x}
    inputs |= {slot: f.channels(rng.normal(size=20)) for slot in (2, 3, 6, 7, 8)}
    one = {0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1}
    f.operator(BCONV, inputs, {0: y}, {**one, 9: 3}, {0: -1.0}, name="bconv")
    w = f.constant(float_filters(rng.normal(size=(20, 20, 3, 3))), (20, 3, 3, 20), FLOAT_FILTERS)
    f.operator(CONV, {0: y, 1: w}, {0: z}, one, name="conv")
    f.operator(DWCONV, {0: z, 1: f.constant(rng.normal(size=(3, 3, 20)), (1, 3, 3, 20))}, {0: t}, one)
    e, m, a, b = (f.tensor(d) for d in ((1, 6, 6, 20), (1, 3, 3, 20), (1, 3, 3, 20), (1, 3, 3, 20)))
    f.operator(EXPAND, {0: s}, {0: e})
    window = {0: 2, 1: 2, 2: 2, 3: 2, 4: 1, 5: 1}
    f.operator(MAXPOOL, {0: t}, {0: m}, window)
    f.operator(AVGPOOL, {0: e}, {0: a}, window)
    f.operator(BINARY, {0: m, 1: a}, {0: b}, {0: 2})
    u, c, p, sl = (f.tensor(d) for d in ((1, 3, 3, 20), (1, 3, 3, 40), (1, 5, 5, 40), (1, 2, 2, 40)))
    f.operator(UNARY, {0: b}, {0: u}, {0: 5})
    f.operator(CONCAT, {0: u, 1: a}, {0: c}, {0: 3, 1: 2})
    f.operator(PAD, {0: c}, {0: p}, {1: 1, 2: 1, 5: 1, 6: 1, 8: 2})
    f.operator(SLICE, {0: p}, {0: sl}, {1: 3, 4: 1, 5: -2, 6: 2, 7: 1})
    q, r, n, g = (f.tensor(d) for d in ((1, 1, 4, 40), (1, 1, 40, 4), (1, 1, 4, 4), (1, 1, 1, 4)))
    f.operator(RESHAPE, {0: sl}, {0: q})
    f.operator(TRANSPOSE, {0: q}, {0: r}, {0: 2, 1: 4, 2: 40, 7: 1, 8: 0})
    f.operator(MATMUL, {0: q, 1: r}, {0: n})
    f.operator(REDUCE, {0: n}, {0: g}, {0: 4})
    out = f.tensor((1, 1, 1, 4), name="out")
    f.operator(SOFTMAX, {0: g}, {0: out}, {0: 3})
    f.inputs, f.outputs = [x], [out]
    return f


@pytest.fixture(scope="session")
def engine() -> Path:
    return native_engine.build()


def limited() -> None:
    """3 GB of address space and 20 s of CPU for the engine."""
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    resource.setrlimit(resource.RLIMIT_CPU, (20, 20))


def outcome(
    engine: Path, data: bytes, folder: Path, sanitized: bool = False
) -> subprocess.CompletedProcess[str]:
    model = folder / "m.bbm"
    model.write_bytes(data)
    return subprocess.run(
        [engine, model, "--min-runs", "1", "--min-time", "0", "--warmup", "0"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=120,
        preexec_fn=None if sanitized else limited,
    )


def refused(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 2, result
    assert result.stderr.startswith("bibench-run: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_model_of_all_operators_runs(engine: Path, tmp_path: Path) -> None:
    result = outcome(engine, everything().data(), tmp_path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("size", [0, 1, 127, 128, 1000, -1])
def test_truncated(engine: Path, tmp_path: Path, size: int) -> None:
    refused(outcome(engine, everything().data()[:size], tmp_path))


@pytest.mark.parametrize("at", [0, 8, 12, 200, 3000, -1])
def test_a_flipped_bit(engine: Path, tmp_path: Path, at: int) -> None:
    data = bytearray(everything().data())
    data[at] ^= 4
    refused(outcome(engine, bytes(data), tmp_path))


def test_missing_model_and_folder(engine: Path, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.bbm"):
        refused(subprocess.run([engine, path], capture_output=True, text=True, check=False))


def test_a_file_that_is_cut_off_while_it_is_in_use(engine: Path, tmp_path: Path) -> None:
    data = everything().data()
    model = tmp_path / "m.bbm"
    model.write_bytes(data)
    with subprocess.Popen([engine, model, "--serve"], stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as run:
        assert run.stdin is not None
        assert run.stdout is not None
        print("nonsense", file=run.stdin, flush=True)
        assert run.stdout.readline().startswith("error")  # it is loaded
        model.write_bytes(b"")
        (tmp_path / "x").write_bytes(bytes(4 * 720))
        said = run.communicate(f"run {tmp_path / 'x'} {tmp_path / 'y'}\n")[1]
    assert run.returncode == 2
    assert said == ("bibench-run: the model's file was cut off or became unreadable while it was in use\n")


def mutant(data: bytes, rng: random.Random) -> bytes:
    """A few fields of the tables changed, and the checksum put right so that the tables are reached."""
    out = bytearray(data)
    tables = 128 + 64 * struct.unpack_from("<I", data, 24)[0] + 256 * struct.unpack_from("<I", data, 28)[0]
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(24, tables) & ~3
        old = struct.unpack_from("<I", out, at)[0]
        values = (0, 1, 2, 3, old + 1, old - 1, old * 2, old ^ (1 << rng.randrange(32)), rng.randrange(64),
                  0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000)  # fmt: skip
        struct.pack_into("<I", out, at, rng.choice(values) & 0xFFFFFFFF)
    if rng.random() < 0.05:
        out = out[: rng.randrange(128, len(out))]
    return sealed(bytes(out))


@pytest.mark.parametrize("seed", range(MUTANTS))
def test_mutants_are_refused_or_run(engine: Path, tmp_path: Path, seed: int) -> None:
    result = outcome(engine, mutant(everything().data(), random.Random(seed)), tmp_path)
    if result.returncode != 0:
        refused(result)


CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.bbm"))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_what_the_fuzzer_found_worth_keeping(engine: Path, tmp_path: Path, path: Path) -> None:
    """runners/native/fuzz/fuzz_model.cc says how to look for more."""
    data = b"BBM\0\r\n\x1a\n" + path.read_bytes()[8:]
    result = outcome(engine, sealed(data), tmp_path)
    if result.returncode != 0:
        refused(result)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_mutants_under_sanitizers(tmp_path: Path, seed: int) -> None:
    engine = native_engine.build(("-O0", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"))
    data, rng = everything().data(), random.Random(1000 + seed)
    assert outcome(engine, data, tmp_path, sanitized=True).returncode == 0
    for _ in range(MUTANTS):
        result = outcome(engine, mutant(data, rng), tmp_path, sanitized=True)
        if result.returncode != 0:
            refused(result)
