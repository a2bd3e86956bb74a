"""What a program file is built for, read from its own header: ELF (Linux, Android) and Mach-O (macOS). Pure.

Sources: System V ABI, chapter 4 (ELF header) and 5 (program header); Apple's ``mach-o/loader.h``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

#: What a program needs of the device's C library: nothing, or the loader of one.
Libc = Literal["static", "glibc", "musl", "bionic", "macos"]

_ELF = b"\x7fELF"
#: (class, e_machine) → architecture; of 64-bit and 32-bit little-endian files.
_MACHINES = {(2, 62): "x86_64", (2, 183): "aarch64", (1, 40): "armv7"}
_PROGRAMS = (2, 3)  # ET_EXEC, ET_DYN
_LOAD, _INTERPRETER = 1, 3
_MACHO_64 = b"\xcf\xfa\xed\xfe"
_MACHO_ARM64 = 0x0100000C
_MACHO_EXECUTE = 2
_MACHO_FAT = b"\xca\xfe\xba\xbe"


@dataclass(frozen=True)
class Executable:
    """A program.

    Attributes:
        target: as ``--target`` takes it: architecture and system.
        libc: whose loader it needs on the device.
    """

    target: str
    libc: Libc

    @property
    def abi(self) -> str:
        """Machine, system and C library, as in "aarch64-linux-static"."""
        return self.target if self.target.endswith(self.libc) else f"{self.target}-{self.libc}"


def executable(data: bytes) -> Executable:
    """What a program file is.

    Raises:
        ValueError: it is none, or is truncated; says what it is instead.
    """
    try:
        if data.startswith(_ELF):
            return _elf(data)
        if data.startswith(_MACHO_64):
            return _macho(data)
    except (struct.error, OverflowError):  # an offset may have 64 bits
        raise ValueError("it is truncated") from None
    if data.startswith(_MACHO_FAT):
        raise ValueError("it holds programs for several processors: take out one with 'lipo -thin arm64'")
    if data.startswith(b"#!"):
        raise ValueError("it is a script, not a program")
    raise ValueError("it is not a program" if data else "it is empty")


def _elf(data: bytes) -> Executable:
    bits, order = data[4], data[5]
    if bits not in (1, 2) or order != 1:
        raise ValueError("it is a program for a processor that is not supported")
    kind, machine = struct.unpack_from("<HH", data, 16)
    arch = _MACHINES.get((bits, machine))
    if arch is None:
        raise ValueError(f"it is a program for a processor that is not supported (ELF machine {machine})")
    if kind not in _PROGRAMS:
        raise ValueError("it is an object file, not a program: link it first")
    interpreter = ""
    for segment, offset, size in _segments(data, bits):
        if segment in (_LOAD, _INTERPRETER) and offset + size > len(data):
            raise ValueError("it is truncated")
        if segment == _INTERPRETER:
            interpreter = data[offset : offset + size].rstrip(b"\0").decode("ascii", "replace")
    libc = _libc(interpreter)
    return Executable(f"{arch}-{'android' if libc == 'bionic' else 'linux'}", libc)


def _segments(data: bytes, bits: int) -> list[tuple[int, int, int]]:
    """(type, offset in the file, size there) of each program header."""
    if bits == 2:
        (start,) = struct.unpack_from("<Q", data, 32)
        size, count = struct.unpack_from("<HH", data, 54)
        found = [struct.unpack_from("<IIQQQQ", data, start + i * size) for i in range(count)]
        return [(entry[0], entry[2], entry[5]) for entry in found]
    (start,) = struct.unpack_from("<I", data, 28)
    size, count = struct.unpack_from("<HH", data, 42)
    short = [struct.unpack_from("<IIIII", data, start + i * size) for i in range(count)]
    return [(entry[0], entry[1], entry[4]) for entry in short]


def _libc(interpreter: str) -> Libc:
    """The C library that a loader belongs to."""
    if not interpreter:
        return "static"
    if "/linker" in interpreter:
        return "bionic"
    return "musl" if "ld-musl" in interpreter else "glibc"


def _macho(data: bytes) -> Executable:
    cpu, _, kind = struct.unpack_from("<III", data, 4)
    if cpu != _MACHO_ARM64:
        raise ValueError("it is a program for an Intel Mac, and only Apple silicon is supported")
    if kind != _MACHO_EXECUTE:
        raise ValueError("it is a library or object file, not a program")
    return Executable("aarch64-macos", "macos")
