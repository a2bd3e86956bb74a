"""What the extra ``labgrid`` brings, loaded when a lab is asked for, and what gRPC's failures mean to a user."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from bibench_deploy.errors import (
    ConnectionLostError,
    InputError,
    MissingExtraError,
    PermanentDeviceError,
    UnreachableError,
)

# Of what gRPC says where something else listens: a web server, a crossbar of labgrid before 25.0.
_NO_GRPC = ("http1", "parsing http/2")
_NO_SESSION = "does not have a valid session"
#: What to do about a coordinator that does not answer.
CHECK = "see that labgrid-coordinator runs there, and that no firewall is in between"


class RefusedByCoordinator(Exception):  # noqa: N818 - an answer, which its caller understands or translates
    """The coordinator understood and said no; its words are the argument."""


@dataclass(frozen=True)
class Libraries:
    """What the extra ``labgrid`` brings."""

    grpc: Any
    common: Any
    messages: Any
    services: Any


def libraries() -> Libraries:
    """gRPC, and labgrid's messages.

    Raises:
        MissingExtraError: they are not installed.
        InputError: a labgrid before 25.0, which spoke another protocol.
    """
    # Programs are only ever started here as processes of their own; gRPC need not be ready for a bare fork, and
    # would complain of every one.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what matters is raised
    try:
        import grpc
        from labgrid.remote import common
        from labgrid.remote.generated import labgrid_coordinator_pb2, labgrid_coordinator_pb2_grpc
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("labgrid."):
            raise InputError(
                f"the installed labgrid is too old (it has no {error.name})",
                remedy="pip install 'bibench-deploy[labgrid]'",
            ) from error
        raise MissingExtraError("labgrid", "a lab of labgrid") from error
    return Libraries(grpc, common, labgrid_coordinator_pb2, labgrid_coordinator_pb2_grpc)


def translated(error: Any, libraries: Libraries, where: str) -> Exception:
    """A failure of gRPC as one of ours.

    Args:
        error: a ``grpc.RpcError``.
        where: the coordinator, for messages.
    """
    code, said = libraries.grpc.StatusCode, _shortened(error.details() or "")
    foreign = any(word in said.lower() for word in _NO_GRPC)
    if error.code() is code.UNIMPLEMENTED or foreign:
        return PermanentDeviceError(
            f"what answers there is no coordinator that labgrid {version()} can talk to ({said})",
            where=where,
            remedy="a coordinator of labgrid 25.0 or later is needed, and its port (20408 by default)",
        )
    if error.code() in (code.UNAVAILABLE, code.DEADLINE_EXCEEDED):
        return UnreachableError(f"the coordinator can't be reached ({said})", where=where, remedy=CHECK)
    if error.code() in (code.CANCELLED, code.UNKNOWN, code.INTERNAL) or _NO_SESSION in said:
        return ConnectionLostError(f"the coordinator lost us ({said})", where=where, remedy=CHECK)
    return RefusedByCoordinator(said)


def _shortened(said: str) -> str:
    """gRPC's words without its history: what failed in the end, without the address that the user gave."""
    return re.sub(r"^[A-Z_]+: (ipv[46]:\S+: )?", "", said.strip().rpartition("last error: ")[2])


def version() -> str:
    """Of the installed labgrid."""
    from importlib.metadata import version as version_of

    return version_of("labgrid")
