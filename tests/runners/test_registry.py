"""What can be registered, where it is kept, and what becomes of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bibench_deploy.errors import InputError, OutputPathError, StorageError
from bibench_deploy.runners.registry import Registry
from support.programs import (
    BIONIC,
    DABNN_MEASURES,
    DABNN_VERIFIES,
    GLIBC,
    LARQ,
    X86_64,
    elf,
    macho,
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "data")


def file(tmp_path: Path, data: bytes, name: str = "renamed by its user") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("engine", "data", "target", "program", "libc"),
    [
        ("larq", elf(LARQ), "aarch64-linux", "lce_benchmark_model", "static"),
        ("larq", elf(LARQ, loader=GLIBC), None, "lce_benchmark_model", "glibc"),
        ("larq", elf(LARQ, loader=BIONIC), "aarch64-android", "lce_benchmark_model", "bionic"),
        ("larq", elf(LARQ, machine=X86_64), "x86_64-linux", "lce_benchmark_model", "static"),
        ("larq", macho() + LARQ, "aarch64-macos", "lce_benchmark_model", "macos"),
        ("dabnn", elf(DABNN_MEASURES), "aarch64-linux", "benchmark_single_model", "static"),
        ("dabnn", elf(DABNN_VERIFIES), "aarch64-linux", "run", "static"),
    ],
)
def test_a_program_is_known_by_what_it_holds(
    registry: Registry, tmp_path: Path, engine: str, data: bytes, target: str | None, program: str, libc: str
) -> None:
    entry = registry.add(engine, file(tmp_path, data), target)
    assert (entry.program, entry.libc, entry.sha256) == (program, libc, hashlib.sha256(data).hexdigest())
    assert entry.target == (target or "aarch64-linux")
    assert registry.entries() == [entry]
    kept = registry.verified(entry)
    assert kept.read_bytes() == data
    assert kept.name == program


@pytest.mark.parametrize(
    ("engine", "data", "target", "why"),
    [
        ("larq", elf(LARQ), "x86_64-linux", "built for aarch64-linux, not for x86_64-linux"),
        ("larq", elf(LARQ, loader=BIONIC), "aarch64-linux", "built for aarch64-android"),
        ("larq", elf(b"Inference timings in us: "), None, "not lce_benchmark_model of larq"),
        ("larq", elf(DABNN_MEASURES), None, "not lce_benchmark_model of larq"),
        ("dabnn", elf(LARQ), None, "not benchmark_single_model or run of dabnn"),
        ("dabnn", elf(DABNN_MEASURES + b"dabnn_bireal18_imagenet"), None, "not benchmark_single_model"),
        ("dabnn", b"#!/bin/sh\nexec dabnn\n", None, "a script"),
        ("dabnn", b"", None, "empty"),
        ("native", elf(LARQ), None, "'native' are not registered"),
        ("dabn", elf(LARQ), None, "'dabn' are not registered"),
        ("larq", elf(LARQ), "pi", "no target 'pi'"),
    ],
)
def test_wrong_files_are_refused_and_leave_nothing(
    registry: Registry, tmp_path: Path, engine: str, data: bytes, target: str | None, why: str
) -> None:
    with pytest.raises(InputError, match=why) as raised:
        registry.add(engine, file(tmp_path, data), target)
    assert raised.value.remedy
    assert not registry.folder.exists()


def test_a_file_that_is_not_there(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        registry.add("larq", tmp_path / "nothing")
    with pytest.raises(InputError, match="is a folder"):
        registry.add("larq", tmp_path)


def test_a_newer_program_takes_the_place_of_the_older(registry: Registry, tmp_path: Path) -> None:
    old = registry.add("larq", file(tmp_path, elf(LARQ + b"1")))
    new = registry.add("larq", file(tmp_path, elf(LARQ + b"2")))
    assert registry.entries() == [new]
    assert not registry.path(old).exists()
    assert registry.add("larq", file(tmp_path, elf(LARQ + b"2"))).sha256 == new.sha256
    assert registry.verified(new).is_file()


def test_programs_of_several_engines_and_targets_stand_beside_each_other(
    registry: Registry, tmp_path: Path
) -> None:
    for engine, data in (
        ("dabnn", elf(DABNN_MEASURES)),
        ("dabnn", elf(DABNN_VERIFIES)),
        ("dabnn", elf(DABNN_VERIFIES, loader=BIONIC)),
        ("larq", elf(LARQ)),
    ):
        registry.add(engine, file(tmp_path, data))
    assert [(entry.engine, entry.target, entry.program) for entry in registry.entries()] == [
        ("dabnn", "aarch64-android", "run"),
        ("dabnn", "aarch64-linux", "benchmark_single_model"),
        ("dabnn", "aarch64-linux", "run"),
        ("larq", "aarch64-linux", "lce_benchmark_model"),
    ]
    gone = registry.remove("dabnn", "aarch64-linux")
    assert len(gone) == 2
    assert not any(registry.path(entry).exists() for entry in gone)
    assert len(registry.remove("dabnn")) == 1
    assert [entry.engine for entry in registry.entries()] == ["larq"]
    with pytest.raises(InputError, match="no program of dabnn is registered"):
        registry.remove("dabnn")


def test_what_was_damaged_since_is_not_used(registry: Registry, tmp_path: Path) -> None:
    entry = registry.add("larq", file(tmp_path, elf(LARQ)))
    registry.path(entry).write_bytes(elf(LARQ)[:-1])
    with pytest.raises(StorageError, match="not the one that was registered"):
        registry.verified(entry)
    registry.path(entry).unlink()
    with pytest.raises(StorageError, match="can't be read"):
        registry.verified(entry)
    (registry.folder / "larq/aarch64-linux/lce_benchmark_model.json").write_text("{")
    with pytest.raises(StorageError, match="not an entry"):
        registry.entries()


def test_a_folder_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(OutputPathError):
        Registry(tmp_path / "data").add("larq", file(tmp_path, elf(LARQ)))
