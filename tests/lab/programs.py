"""Programs small enough to be written down."""

from __future__ import annotations

import struct


def aarch64_program(*instructions: int) -> bytes:
    """A static ELF executable for AArch64 Linux of these instructions (ELF-64 Object File Format)."""
    header, segment = 64, 56
    code = struct.pack(f"<{len(instructions)}I", *instructions)
    base, size = 0x400000, header + segment + len(code)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)  # 64 bits, little-endian, version 1
    start = base + header + segment
    elf = identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, 183, 1, start, header, 0, 0, header, segment, 1, 0, 0, 0
    )
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)  # PT_LOAD, read and execute
    return elf + load + code


_EXIT_0 = (0xD2800BA8, 0xD2800000, 0xD4000001)  # mov x8, #93; mov x0, #0; svc #0

# sdot v0.4s, v1.16b, v2.16b: a Cortex-A76 has it (ARMv8.2 with FEAT_DotProd), a Cortex-A53 and A72 have not.
DOT_PRODUCT = aarch64_program(0x4E829420, *_EXIT_0)

#: A program of this machine's architecture that takes memory until it is killed: 200 MB of it.
HUNGRY = b"#!/usr/bin/perl\n$x = chr(1) x 2e8;\n"
