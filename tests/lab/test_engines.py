"""The real daBNN on a simulated board, where its programs are at hand.

They are not part of the project. ``BIBENCH_DABNN_PROGRAMS`` names a folder with ``benchmark_single_model`` and
``run`` of daBNN, built for AArch64; docs/engines/dabnn.md tells what was seen with them.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from lab.board import RPI4
from lab.lab import Lab
from lab.setup import Setup
from lab.user import QUICK, User

VARIABLE = "BIBENCH_DABNN_PROGRAMS"
MODEL = Path(__file__).parents[1] / "fixtures/models/vgg_one_pad__ts__latent.onnx"


@pytest.fixture
def programs_of_dabnn() -> Path:
    folder = os.environ.get(VARIABLE)
    if not folder:
        pytest.skip(f"{VARIABLE} names no folder with daBNN's programs, which are not part of this project")
    return Path(folder)


@pytest.mark.slow
def test_dabnn_is_verified_and_measured_by_its_own_programs(
    lab: Lab, user: User, programs_of_dabnn: Path
) -> None:
    lab.add("rpi4", Setup(board=RPI4), profile="rpi4")
    for program in ("benchmark_single_model", "run"):
        done = user.bibench(
            "engines", "add", "dabnn", "--target", "aarch64-linux", programs_of_dabnn / program
        )
        assert done.returncode == 0, done.stderr
    shutil.rmtree(user.home / "bibench-workspace")
    where = ("--inventory", user.lab.inventory)
    done = user.bibench("convert", MODEL, "--engine", "dabnn", "--verify-on", "rpi4", *where, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["verified_on"]
    assert [(entry["variant"] == "fp32", entry["verified"], entry["rows"]) for entry in found] == [
        (False, True, 1),
        (True, True, 1),
    ]
    done = user.bibench("profile", *where, "--device", "rpi4", "--threads", "1,2", *QUICK)
    assert done.returncode == 0, done.stderr
    assert "daBNN runs on one thread" in done.stdout
    assert "outputs verified on the device" in done.stdout
    rows = user.stored()
    assert {(row["threads"], row["state"]) for row in rows} == {(1, "measured"), (2, "not_applicable")}
    assert {row["statistic"] for row in rows if row["threads"] == 1} == {"aggregate"}
