"""Which registered program a device can execute."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.errors import DeviceUnfitError, InputError
from bibench_deploy.runners.device.facts import DeviceFacts
from bibench_deploy.runners.device.registered import registered_program
from bibench_deploy.runners.registry import Registry
from support.programs import BIONIC, GLIBC, LARQ, MUSL, elf, macho

PI = DeviceFacts(system="Linux", machine="aarch64", userland_bits=64, libc="glibc 2.36")
OLD_PI = PI.model_copy(update={"userland_bits": 32})
ALPINE = PI.model_copy(update={"libc": "musl"})
PHONE = DeviceFacts(system="Linux", machine="aarch64", android="14", libc="bionic")
MAC = DeviceFacts(system="Darwin", machine="aarch64")
BOX = DeviceFacts(system="Linux", machine="x86_64")

STATIC, DYNAMIC, SMALL, ANDROID = (
    elf(LARQ),
    elf(LARQ, loader=GLIBC),
    elf(LARQ, loader=MUSL),
    elf(LARQ, loader=BIONIC),
)
APPLE = macho() + LARQ


def chosen(tmp_path: Path, files: tuple[bytes, ...], facts: DeviceFacts) -> bytes:
    registry = Registry(tmp_path / "data")
    for data in files:
        (tmp_path / "file").write_bytes(data)
        registry.add("larq", tmp_path / "file")
    return registered_program(registry, "larq", "lce_benchmark_model", facts, "pi").read_bytes()


@pytest.mark.parametrize(
    ("files", "facts", "program"),
    [
        ((STATIC,), PI, STATIC),
        ((STATIC,), OLD_PI, STATIC),  # it needs the kernel alone
        ((STATIC,), ALPINE, STATIC),
        ((STATIC,), PHONE, STATIC),
        ((STATIC, ANDROID), PHONE, ANDROID),  # made for it
        ((STATIC, ANDROID), PI, STATIC),
        ((DYNAMIC,), PI, DYNAMIC),
        ((SMALL,), ALPINE, SMALL),
        ((STATIC, APPLE), MAC, APPLE),
    ],
)
def test_the_program_that_runs_there(
    tmp_path: Path, files: tuple[bytes, ...], facts: DeviceFacts, program: bytes
) -> None:
    assert chosen(tmp_path, files, facts) == program


@pytest.mark.parametrize(
    ("files", "facts", "kind", "why"),
    [
        ((), PI, InputError, "no lce_benchmark_model of larq is registered for aarch64-linux"),
        ((STATIC,), BOX, InputError, "is registered for x86_64-linux"),
        ((DYNAMIC,), OLD_PI, DeviceUnfitError, "userland has 32 bits"),
        ((DYNAMIC,), ALPINE, DeviceUnfitError, "it needs glibc, and the device has musl"),
        ((DYNAMIC,), PHONE, DeviceUnfitError, "built for aarch64-linux, and the device is aarch64-android"),
        ((ANDROID,), PI, DeviceUnfitError, "built for aarch64-android"),
        ((STATIC,), MAC, DeviceUnfitError, "built for aarch64-linux"),
        ((STATIC,), DeviceFacts(system="Linux", machine="riscv64"), DeviceUnfitError, "Linux on riscv64"),
    ],
)
def test_without_one_it_says_why(
    tmp_path: Path, files: tuple[bytes, ...], facts: DeviceFacts, kind: type[Exception], why: str
) -> None:
    with pytest.raises(kind, match=why):
        chosen(tmp_path, files, facts)
