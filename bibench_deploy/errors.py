"""Every error that the tool reports on purpose, and the exit code each one ends with.

::

    BibenchError                     one message: what, where, what to do
    ├── RefusedError                 exit 1: the answer is no
    │   ├── NotDeployableError           an engine can't compute this model
    │   ├── ConversionError              an engine's converter failed, or its artefact failed the audit
    │   └── VerificationError            an artefact computes something else
    │       └── DeviceComputesOtherwiseError     on a device, that is
    ├── InputError                   exit 2: wrong usage or input
    │   ├── ModelFileError               not a readable ONNX (or Keras, SavedModel) file
    │   ├── UnsupportedModelError        readable, but outside what the tool takes
    │   ├── DataError                    inputs or labels that don't fit the model
    │   ├── ArtefactError                an artefact or manifest that is missing, damaged or foreign
    │   ├── OutputPathError              a folder that can't be written
    │   └── MissingExtraError            an optional part is not installed
    └── InfrastructureError          exit 3: device or infrastructure; permanent unless marked transient
        ├── StorageError                 disk full, input/output error
        ├── StoreError                   the database of results: not reached, locked, damaged
        ├── EngineError                  an inference library crashed or refused an artefact
        └── DeviceError                  a device can't be reached or used; names device and step
            ├── TransientDeviceError         may pass: tried again with backoff, then reported
            │   ├── UnreachableError             refused, no route, no answer, name not found
            │   ├── ConnectionLostError          the link broke in the middle
            │   └── StepTimeoutError             a step took longer than its limit
            └── PermanentDeviceError         trying again changes nothing
                ├── HostKeyError                 host key unknown or changed
                ├── AuthenticationError          key refused, or the host takes passwords alone
                ├── DeviceBusyError              someone else measures there
                ├── DeviceStorageError           work folder full, read-only or noexec
                └── DeviceUnfitError             wrong architecture, no usable shell, illegal instruction

Anything else that escapes is a bug of the tool and is reported as one.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class BibenchError(Exception):
    """What went wrong, where, and what to do about it.

    Args:
        message: one sentence, without a final full stop being required.
        where: file, node, layer or device that it is about.
        remedy: what the user can do.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.message}" if self.where else self.message]
        if self.remedy:
            parts.append(self.remedy)
        return "\n".join(parts)


def in_a_line(error: BaseException) -> str:
    """What went wrong and what to do, as a cell of a table or a line of a log has room for it; with its notes."""
    text = str(error)
    if not isinstance(error, (BibenchError, OSError)):
        text = f"internal error ({type(error).__name__}: {error})"
    lines = [*text.splitlines(), *getattr(error, "__notes__", ())]
    return "; ".join(line.strip() for line in lines)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question after the name that was meant, to go before a remedy; empty where none is near."""
    meant = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return f"did you mean '{meant[0]}'? " if meant else ""


class RefusedError(BibenchError):
    """The question was understood and the answer is no."""

    exit_code = 1


class NotDeployableError(RefusedError):
    """An engine can't execute the model or would compute another function."""


class ConversionError(RefusedError):
    """An engine's converter failed, or what it produced did not pass the audit."""


class VerificationError(RefusedError):
    """The artefact computes something else than the ONNX model."""


class DeviceComputesOtherwiseError(VerificationError):
    """An artefact that was verified on this machine computes something else on a device."""


class InputError(BibenchError):
    """Wrong usage or wrong input."""

    exit_code = 2


class ModelFileError(InputError):
    """The model can't be read."""


class UnsupportedModelError(InputError):
    """The model can be read but is outside what the tool takes."""


class DataError(InputError):
    """Arrays that don't fit the model."""


class ArtefactError(InputError):
    """An artefact or its manifest is missing, damaged or not ours."""


class OutputPathError(InputError):
    """The output path can't be written."""


class MissingExtraError(InputError):
    """A command needs an optional part that is not installed.

    Args:
        extra: name of the extra, as in ``bibench-deploy[extra]``.
        what: what needs it.
    """

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} needs the extra '{extra}'", remedy=f"pip install 'bibench-deploy[{extra}]'")
        self.extra = extra


class InfrastructureError(BibenchError):
    """A device or this machine failed, not the model."""

    exit_code = 3
    transient: ClassVar[bool] = False


class StorageError(InfrastructureError):
    """Disk full or an input/output error."""


class StoreError(InfrastructureError):
    """The database of results can't be reached, is locked or failed."""


class EngineError(InfrastructureError):
    """An inference library crashed or refused an artefact that it should run."""


class DeviceError(InfrastructureError):
    """A device can't be reached or used.

    Args:
        message: what went wrong.
        device: name of the device, as the user knows it.
        step: what was being done there, as in "pushing bibench-run".
        where: what it is about; by default device and step.
        remedy: what the user can do.
    """

    def __init__(
        self,
        message: str,
        *,
        device: str | None = None,
        step: str | None = None,
        where: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(
            message, where=where or ", ".join(filter(None, (device, step))) or None, remedy=remedy
        )
        self.device = device
        self.step = step


class TransientDeviceError(DeviceError):
    """May pass: worth another try."""

    transient = True


class UnreachableError(TransientDeviceError):
    """No connection: refused, no route, no answer, or the name is not found."""


class ConnectionLostError(TransientDeviceError):
    """The connection broke in the middle of a step."""


class StepTimeoutError(TransientDeviceError):
    """A step took longer than its limit; the device has been told to stop it."""


class PermanentDeviceError(DeviceError):
    """Trying again changes nothing: the user has to."""


class HostKeyError(PermanentDeviceError):
    """The host key is unknown, or another one than last time."""


class AuthenticationError(PermanentDeviceError):
    """The host refused every key, or takes only a password."""


class DeviceBusyError(PermanentDeviceError):
    """Someone else measures on the device, and we were told not to wait."""


class DeviceStorageError(PermanentDeviceError):
    """The work folder is full, read-only, or may not hold programs."""


class DeviceUnfitError(PermanentDeviceError):
    """The device can't do it: wrong architecture, no usable shell, an instruction that its cores lack."""
