"""What a program's end on a device means to the user. The words are those of real shells."""

from __future__ import annotations

import pytest

from bibench_deploy.errors import DeviceStorageError, DeviceUnfitError, EngineError
from bibench_deploy.runners.device.failures import failure
from bibench_deploy.runners.transport.base import Completed

STEP = "measuring with 4 threads"


@pytest.mark.parametrize(
    ("status", "stderr", "kind", "message"),
    [
        (132, "Illegal instruction", DeviceUnfitError, "illegal instruction"),
        (
            132,
            "qemu: uncaught target signal 4 (Illegal instruction) - core dumped",
            DeviceUnfitError,
            "illegal",
        ),
        (137, "Killed", DeviceUnfitError, "want of memory"),
        (137, "", DeviceUnfitError, "want of memory"),
        (139, "Segmentation fault", EngineError, "segmentation fault (signal 11)"),
        (134, "terminate called", EngineError, "abort (signal 6): terminate called"),
        (126, "sh: 3: /w/bibench-run: Permission denied", DeviceStorageError, "mounted noexec"),
        (
            126,
            "sh: /w/bibench-run: cannot execute binary file: Exec format error",
            DeviceUnfitError,
            "not for this",
        ),
        (126, "sh: 3: /w/bibench-run: Exec format error", DeviceUnfitError, "not for this processor"),
        (
            2,
            '/w/bibench-run: line 1: syntax error: unexpected "("',
            DeviceUnfitError,
            "not for this processor",
        ),
        (127, "sh: 3: /w/bibench-run: not found", DeviceStorageError, "can't be started"),
        (
            2,
            "bibench-run: model.bbm: not a .bbm file",
            EngineError,
            "the engine failed: model.bbm: not a .bbm file",
        ),
        (1, "cat: write error: No space left on device", DeviceStorageError, "is full"),
        (1, "no room for the inputs", DeviceStorageError, "is full"),
        (3, "", EngineError, "exit code 3: no word"),
    ],
)
def test_each_end_has_its_error(status: int, stderr: str, kind: type[Exception], message: str) -> None:
    done = Completed(status, b"", f"some noise\n{stderr}\n".encode() if stderr else b"")
    error = failure(done, "pi", STEP, "net.native.bbm")
    assert type(error) is kind
    assert message in error.message
    assert error.where is not None
    assert "pi" in error.where
    assert STEP in error.where
    assert error.remedy


def test_success_is_none() -> None:
    assert failure(Completed(0, b"x", b"a warning"), "pi", STEP, "net") is None
