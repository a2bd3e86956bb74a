"""Program files with a header that says what they are built for, and the texts that a registered program holds."""

from __future__ import annotations

import struct

#: The texts of daBNN's and Larq's programs; see ``runners.registry``.
LARQ = b"LceBconv2d\0Inference timings in us: \0"
DABNN_MEASURES = b"Not supported op \0benchmark_min_time\0"
DABNN_VERIFIES = b"Not supported op \0Fetching blob: \0"
GLIBC = b"/lib/ld-linux-aarch64.so.1\0"
MUSL = b"/lib/ld-musl-aarch64.so.1\0"
BIONIC = b"/system/bin/linker64\0"

AARCH64, X86_64, ARM, RISCV = 183, 62, 40, 243


def elf(content: bytes = b"", *, machine: int = AARCH64, loader: bytes = b"", kind: int = 2) -> bytes:
    """A little-endian ELF file with one segment that holds everything, and one that names the loader.

    It has a header's fields and no code: nothing is executed of it.
    """
    wide = machine != ARM
    entry, header = ("<IIQQQQQQ", 64) if wide else ("<IIIIIIII", 52)
    size = struct.calcsize(entry)
    start = header + 2 * size
    whole = start + len(loader) + len(content)
    segments = [(1, 0, whole), (3 if loader else 0, start, len(loader))]
    body = b"".join(
        struct.pack(entry, type_, 5, offset, 0, 0, length, length, 1)
        if wide
        else struct.pack(entry, type_, offset, 0, 0, length, length, 5, 1)
        for type_, offset, length in segments
    )
    numbers = struct.pack("<HHI", kind, machine, 1)
    addresses = struct.pack("<QQQ" if wide else "<III", 0, header, 0)
    sizes = struct.pack("<IHHHHHH", 0, header, size, 2, 0, 0, 0)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + bytes(9)
    return ident + numbers + addresses + sizes + body + loader + content


def macho(cpu: int = 0x0100000C, kind: int = 2) -> bytes:
    """A 64-bit Mach-O header."""
    return b"\xcf\xfa\xed\xfe" + struct.pack("<IIIIIII", cpu, 0, kind, 0, 0, 0, 0)
