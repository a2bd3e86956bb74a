"""``bibench-deploy engines`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.command import bibench, is_clean
from support.programs import DABNN_MEASURES, LARQ, elf


def engines(tmp_path: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return bibench("engines", *map(str, arguments), cwd=tmp_path, XDG_DATA_HOME=str(tmp_path / "data"))


def test_a_program_is_added_listed_and_removed(tmp_path: Path) -> None:
    (tmp_path / "lce").write_bytes(elf(LARQ))
    added = engines(tmp_path, "add", "larq", "--target", "aarch64-linux", "lce")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("larq lce_benchmark_model for aarch64-linux (needs no C library)")
    listed = json.loads(engines(tmp_path, "list", "--json").stdout)["programs"]
    assert [(row["engine"], row["program"], row["target"]) for row in listed] == [
        ("larq", "lce_benchmark_model", "aarch64-linux")
    ]
    assert listed[0]["sha256"] in added.stdout
    assert Path(listed[0]["path"]).is_file()
    assert "lce_bench" in engines(tmp_path, "list").stdout
    removed = engines(tmp_path, "remove", "larq")
    assert removed.stdout == "removed larq lce_benchmark_model for aarch64-linux\n"
    assert json.loads(engines(tmp_path, "list", "--json").stdout)["programs"] == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("add", "larq", "program"), "it is not lce_benchmark_model of larq"),
        (
            ("add", "dabnn", "--target", "x86_64-linux", "program"),
            "built for aarch64-linux, not for x86_64-linux",
        ),
        (("add", "dabnn", "nothing"), "there is no such file"),
        (("add", "native", "program"), "programs of 'native' are not registered"),
        (("remove", "dabnn"), "no program of dabnn is registered"),
    ],
)
def test_bad_input_is_one_message(tmp_path: Path, arguments: tuple[str, ...], why: str) -> None:
    (tmp_path / "program").write_bytes(elf(DABNN_MEASURES))
    done = engines(tmp_path, *arguments)
    assert done.returncode == 2
    assert why in done.stderr
    assert is_clean(done.stderr)
    assert not (tmp_path / "data").exists()
