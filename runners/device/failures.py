"""What a program's end on a device means. Pure."""

from __future__ import annotations

from bibench_deploy.errors import BibenchError, DeviceStorageError, DeviceUnfitError, EngineError
from bibench_deploy.runners.transport.base import Completed

# Statuses as a shell reports them: 128 + the signal's number.
ILLEGAL_INSTRUCTION = 132
KILLED = 137
_SIGNALS = {134: "abort", 135: "bus error", 136: "arithmetic error", 139: "segmentation fault"}
NOT_EXECUTABLE = 126
NOT_FOUND = 127


def failure(done: Completed, device: str, step: str, artefact: str) -> BibenchError | None:
    """The error that a program's exit status and last words tell of; None where it succeeded.

    Args:
        artefact: what was executed, for messages.
    """
    status = done.status
    if status == 0:
        return None
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    said = words[-1].strip() if words else ""
    if status == ILLEGAL_INSTRUCTION:
        return DeviceUnfitError(
            "illegal instruction: the program uses one that this processor lacks",
            device=device,
            step=step,
            remedy="compare the profile with 'bibench-deploy devices probe'; if they agree, please report it",
        )
    if status == KILLED:
        return DeviceUnfitError(
            "the system killed the program (signal 9), most likely for want of memory",
            device=device,
            step=step,
            remedy="end other programs there, try fewer threads, or a smaller model",
        )
    if status == NOT_EXECUTABLE or _foreign(said):
        return _not_started(said, device, step)
    if status == NOT_FOUND:
        return DeviceStorageError(
            f"the program can't be started ({said or 'not found'})",
            device=device,
            step=step,
            remedy="something removes files from the work folder: choose another one (workdir)",
        )
    if "no space left" in said.lower() or "no room" in said:
        return DeviceStorageError(
            f"the work folder is full ({said})",
            device=device,
            step=step,
            remedy="free some space there: 'bibench-deploy devices clean'",
        )
    how = f"{_SIGNALS[status]} (signal {status - 128})" if status in _SIGNALS else f"exit code {status}"
    message = (
        said.removeprefix("bibench-run: ")
        if said.startswith("bibench-run: ")
        else f"{how}: {said or 'no word'}"
    )
    return EngineError(
        f"the engine failed: {message}",
        where=f"{device}, {step}, {artefact}",
        remedy="convert the model again; if it stays so, please report it with the artefact",
    )


def _foreign(said: str) -> bool:
    """Whether a shell says that it can't execute a file of this kind. Some run it as a script then."""
    lowered = said.lower()
    return any(
        saying in lowered
        for saying in ("exec format error", "cannot execute binary file", "syntax error", "not executable: ")
    )


def _not_started(said: str, device: str, step: str) -> BibenchError:
    if "permission denied" in said.lower():
        return DeviceStorageError(
            "nothing may be executed in the work folder (it is mounted noexec, or the system forbids it)",
            device=device,
            step=step,
            remedy="choose a work folder on another file system: workdir of the device in devices.toml",
        )
    return DeviceUnfitError(
        f"the program is not for this processor ({said or 'it can not be executed'})",
        device=device,
        step=step,
        remedy="compare the profile with 'bibench-deploy devices probe'; if they agree, please report it",
    )
