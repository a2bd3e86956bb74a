"""What a program file is built for."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bibench_deploy.runners.executables import Executable, executable
from bibench_deploy.runners.native_build import host_target
from support.native_engine import build
from support.programs import ARM, BIONIC, GLIBC, MUSL, RISCV, X86_64, elf, macho


@pytest.mark.parametrize(
    ("data", "target", "libc"),
    [
        (elf(), "aarch64-linux", "static"),
        (elf(loader=GLIBC, kind=3), "aarch64-linux", "glibc"),
        (elf(loader=MUSL), "aarch64-linux", "musl"),
        (elf(loader=BIONIC, kind=3), "aarch64-android", "bionic"),
        (elf(machine=ARM), "armv7-linux", "static"),
        (elf(machine=ARM, loader=b"/system/bin/linker\0"), "armv7-android", "bionic"),
        (elf(machine=X86_64), "x86_64-linux", "static"),
        (macho(), "aarch64-macos", "macos"),
    ],
)
def test_the_header_says_it(data: bytes, target: str, libc: str) -> None:
    assert executable(data) == Executable(target, libc)  # type: ignore[arg-type]


def test_a_program_that_a_compiler_made() -> None:
    found = executable(Path(build()).read_bytes())
    assert found.target == host_target()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"#!/bin/sh\n", "a script"),
        (b"# README\n", "not a program"),
        (elf(machine=RISCV), "ELF machine 243"),
        (elf(kind=1), "an object file"),
        (elf(b"x" * 100)[:-1], "truncated"),
        (elf(b"x" * 100)[:70], "truncated"),
        (macho(cpu=0x01000007), "an Intel Mac"),
        (macho(kind=6), "a library"),
        (b"\xca\xfe\xba\xbe" + bytes(8), "several processors"),
    ],
)
def test_what_is_none_is_named(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        executable(data)


@example(where=39, number=128)  # an offset beyond 63 bits
@given(st.integers(0, 400), st.integers(0, 2**64 - 1))
def test_a_damaged_header_is_an_answer_or_a_refusal(where: int, number: int) -> None:
    data = bytearray(elf(b"x" * 300, loader=GLIBC))
    struct.pack_into("<Q", data, min(where, len(data) - 8), number)
    with suppress(ValueError):  # any other exception fails
        assert executable(bytes(data)).target.startswith(("aarch64-", "x86_64-"))
