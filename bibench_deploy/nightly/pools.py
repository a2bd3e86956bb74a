"""Where work that needs no device is done: in processes here, or on a Dask cluster.

Such work may be done twice without harm. What measures on a device never comes here.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from bibench_deploy.errors import InfrastructureError, MissingExtraError

#: Opens an executor; leaving the block by an exception ends what still runs there.
Pool = Callable[[], AbstractContextManager[Executor]]

#: Connecting to a scheduler and waiting for its first worker, s.
CONNECT_S = 30.0


def pool(address: str | None, workers: int | None = None) -> Pool:
    """Where to work.

    Args:
        address: of a Dask scheduler, as ``tcp://host:8786``; None for this machine.
        workers: processes here; as many as cores by default.
    """
    return partial(processes, workers) if address is None else partial(dask, address)


def usable_cores() -> int:
    """Of this machine, by this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def processes(workers: int | None = None) -> Iterator[Executor]:
    """Fresh processes on this machine: no thread or lock of ours is copied into them.

    They and all that they have started are gone when the block is left by an exception, and when this process ends,
    however it ends.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(workers or usable_cores(), context, _begin, (ours,))
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        theirs.close()  # ends them
        executor.shutdown(cancel_futures=True)
        raise
    finally:
        theirs.close()
        ours.close()


def _begin(alive: Connection) -> None:
    """Ends this process and its children as soon as the other end of the pipe is closed.

    The kernel closes it when the process that has it is killed; a pool's worker alone would wait for work for ever.
    """
    os.setsid()  # Ctrl-C in a terminal is for the process that started us

    def watch() -> None:
        try:
            alive.recv()
        except (EOFError, OSError):
            os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, name="watch", daemon=True).start()


@contextmanager
def dask(address: str) -> Iterator[Executor]:
    """The workers of a Dask cluster. A worker that dies in the middle has its work done by another.

    Raises:
        MissingExtraError: Dask is not installed.
        InfrastructureError: no scheduler answers, or it has no workers.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise MissingExtraError("dask", "--dask") from error
    remedy = (
        "start 'dask scheduler' and 'dask worker', give its address as tcp://host:8786, or leave --dask out"
    )
    where = f"--dask {address}"
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"no Dask scheduler answers ({error})", where=where, remedy=remedy
        ) from error
    with client:
        try:
            client.wait_for_workers(1, timeout=CONNECT_S)
        except TimeoutError as error:
            raise InfrastructureError("the scheduler has no workers", where=where, remedy=remedy) from error
        executor: Executor = client.get_executor(pure=False)
        ended = threading.Event()
        threading.Thread(target=_watch, args=(client, executor, ended), name="watch", daemon=True).start()
        try:
            yield executor
        except BaseException:
            executor.shutdown(wait=False)  # cancels what has not ended
            raise
        finally:
            ended.set()
        executor.shutdown()


def _watch(client: Any, executor: Executor, ended: threading.Event) -> None:
    """Cancel what waits for a cluster that has had no worker for a while: it would wait for ever."""
    seen = time.monotonic()
    while not ended.wait(CONNECT_S / 10):
        if client.status == "running" and client.nthreads():
            seen = time.monotonic()
        elif time.monotonic() - seen > CONNECT_S:
            executor.shutdown(wait=False)
            return
