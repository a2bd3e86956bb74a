"""bibench-run built from this checkout with the machine's compiler, once per content of its sources."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bibench_deploy.errors import MissingExtraError
from bibench_deploy.runners import native_build

SOURCES = Path(__file__).parents[2] / "runners" / "native"
FLAGS = ("-std=c++17", "-ffp-contract=off", "-pthread")
Floats = npt.NDArray[np.float32]


def build(extra: Sequence[str] = (), compiler: Sequence[str] = (), libraries: Sequence[str] = ()) -> Path:
    """The executable; skips the test where there is no compiler. Without arguments it is what users get here.

    BIBENCH_TEST_ENGINE names another to be tested: a cross-built one behind a script that starts it under qemu.
    """
    if override := os.environ.get("BIBENCH_TEST_ENGINE"):
        return Path(override)
    if not (extra or compiler or libraries):
        try:
            return native_build.build(native_build.HOST)
        except MissingExtraError as reason:
            pytest.skip(str(reason))
    if not compiler:
        found = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
        if found is None:
            pytest.skip("no C++ compiler")
        compiler = (found,)
    files = sorted(SOURCES.glob("*.cc"))
    digest = hashlib.sha256("\0".join([*compiler, *extra, *libraries]).encode())
    for file in sorted([*files, *SOURCES.glob("*.h")]):
        digest.update(file.read_bytes())
    folder = Path(tempfile.gettempdir()) / f"bibench-native-tests-{os.getuid()}-{digest.hexdigest()[:16]}"
    executable = folder / "bibench-run"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock, tempfile.TemporaryDirectory(dir=folder) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test processes start at the same time
        if executable.exists():
            return executable
        objects = [Path(scratch) / f"{file.stem}.o" for file in files]

        def compile_one(pair: tuple[Path, Path]) -> None:
            subprocess.run([*compiler, *FLAGS, *extra, "-c", str(pair[0]), "-o", str(pair[1])], check=True)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(compile_one, zip(files, objects, strict=True)))
        linked = Path(scratch) / "bibench-run"
        subprocess.run(
            [*compiler, *FLAGS, *extra, *map(str, objects), *libraries, "-o", str(linked)], check=True
        )
        linked.replace(executable)
    return executable


@cache
def kernels(executable: Path) -> list[str]:
    """The kernels that this machine can execute."""
    names = []
    for name in ("portable", "avx2", "avx512", "neon"):
        result = subprocess.run(
            [executable, "--info"], env={**os.environ, "BIBENCH_ISA": name}, capture_output=True, check=False
        )
        if result.returncode == 0:
            names.append(name)
    return names


def _cores(threads: int) -> str:
    """As many as there are threads, or the pool starts fewer: this machine's, over and over."""
    mine = sorted(os.sched_getaffinity(0))
    return ",".join(str(mine[i % len(mine)]) for i in range(threads))


def execute(
    command: Sequence[str | Path],
    model: Path,
    inputs: Sequence[Floats],
    isa: str = "",
    threads: int = 1,
) -> Floats:
    """All outputs of a model as one flat array."""
    folder = model.parent
    (folder / "x.raw").write_bytes(b"".join(np.ascontiguousarray(x, "<f4").tobytes() for x in inputs))
    result = subprocess.run(
        [
            *command,
            model,
            "--threads",
            str(threads),
            "--cpus",
            _cores(threads),
            "--input",
            folder / "x.raw",
            "--output",
            folder / "y.raw",
        ],
        env={**os.environ, "BIBENCH_ISA": isa},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return np.frombuffer((folder / "y.raw").read_bytes(), "<f4")
