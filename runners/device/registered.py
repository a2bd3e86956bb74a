"""Which registered program a device can execute. Pure but for the registry's files."""

from __future__ import annotations

from pathlib import Path

from bibench_deploy.errors import DeviceUnfitError, InputError
from bibench_deploy.runners.registry import Registered, Registry

from .facts import DeviceFacts

_STEP = "choosing the program"


def registered_program(registry: Registry, engine: str, name: str, facts: DeviceFacts, device: str) -> Path:
    """The program for a device.

    Raises:
        InputError: none is registered for such a device.
        DeviceUnfitError: the device can't execute those that are.
        StorageError: it was damaged since.
    """
    fit = target(facts)
    if fit is None:
        raise DeviceUnfitError(
            f"no programs of {engine} are known for {facts.system or 'an unknown system'} on "
            f"{facts.machine or 'an unknown processor'}",
            device=device,
            step=_STEP,
        )
    found = [entry for entry in registry.entries(engine) if entry.program == name]
    able = [entry for entry in found if why_not(entry, facts) is None]
    if able:
        # Where both are there, the one that is made for the system comes first.
        return registry.verified(min(able, key=lambda entry: entry.target != fit))
    near = [entry for entry in found if _arch(entry.target) == _arch(fit)]
    if near:
        raise DeviceUnfitError(
            f"the registered {name} can't run there: {why_not(near[0], facts)}",
            device=device,
            step=_STEP,
            remedy=f"register one that can: bibench-deploy engines add {engine} --target {fit} PATH",
        )
    raise InputError(
        f"no {name} of {engine} is registered for {fit}",
        where=device,
        remedy=f"bibench-deploy engines add {engine} --target {fit} PATH",
    )


def target(facts: DeviceFacts) -> str | None:
    """The target that a device is; None if it is none. A 32-bit userland on a 64-bit kernel takes both."""
    if facts.system == "Darwin":
        return "aarch64-macos" if facts.machine == "aarch64" else None
    arch = {"aarch64": "aarch64", "x86_64": "x86_64", "armv7l": "armv7", "armv8l": "armv7"}.get(
        facts.machine or ""
    )
    if facts.system != "Linux" or arch is None:
        return None
    return f"{arch}-{'android' if facts.android or facts.termux else 'linux'}"


def why_not(entry: Registered, facts: DeviceFacts) -> str | None:
    """Why a device can't execute a program; None if nothing is known against it."""
    fit = target(facts)
    if fit is None or _arch(entry.target) != _arch(fit) or ("macos" in entry.target) != ("macos" in fit):
        return f"it is built for {entry.target}"
    if entry.libc in ("static", "macos"):
        return None
    if entry.target != fit:
        return f"it is built for {entry.target}, and the device is {fit}"
    if facts.userland_bits == 32 and not entry.target.startswith("armv7"):
        return "it needs a 64-bit C library, and the device's userland has 32 bits"
    own = (facts.libc or "").split()
    if own and own[0] in ("glibc", "musl") and own[0] != entry.libc:
        return f"it needs {entry.libc}, and the device has {own[0]}"
    return None


def _arch(name: str) -> str:
    return name.split("-")[0]
