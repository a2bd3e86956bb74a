"""Models whose artefacts are stale are converted: once, in parallel, each by itself.

One task is one model for one engine: what an engine can't do costs the others nothing. Refusals are kept, too;
failures are not, and tried again the next time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from bibench_deploy.errors import BibenchError, DataError, EngineError, InfrastructureError
from bibench_deploy.runners.measure import restore
from bibench_deploy.runners.workspace import Artefact

from .expansion import Wanted
from .kept import Kept, find_artefact, keep, kept, key_of, prune, used
from .making import FULL_PRECISION, Made, Order, fingerprint, make
from .plan import Plan
from .pools import Pool

__all__ = ["Converted", "Refused", "Task", "convert_stale", "find_artefact", "prune", "stale", "tasks"]

Say = Callable[[str], None]

#: Orders that are under way at once; each holds its model in memory.
UNDER_WAY = 32


@dataclass(frozen=True)
class Task:
    """One model for one engine.

    Attributes:
        twin: whether the fp32 twin is wanted.
        allow: as ``convert --allow``.
        data: file to verify with; None for none.
    """

    model: Path
    engine: str
    twin: bool
    allow: tuple[str, ...] = ()
    data: Path | None = None


@dataclass(frozen=True)
class Refused:
    """An engine that can't take a model.

    Attributes:
        reasons: one sentence each.
        algorithm: that the model is binarized with; "" where it was not understood.
    """

    reasons: tuple[str, ...]
    algorithm: str = ""


@dataclass
class Converted:
    """What came of tasks.

    Attributes:
        artefacts: by model, engine and "binarized" or "fp32".
        refused, failed: by model and engine.
        made: how many tasks were not done already.
    """

    artefacts: dict[tuple[Path, str, str], Artefact] = field(default_factory=dict)
    refused: dict[tuple[Path, str], Refused] = field(default_factory=dict)
    failed: dict[tuple[Path, str], BibenchError] = field(default_factory=dict)
    made: int = 0

    def artefact(self, job: Wanted) -> Artefact | None:
        """A job's; None where there is none: then ``refused`` or ``failed`` says why."""
        return self.artefacts.get((job.model, job.engine, job.variant))


def tasks(
    plan: Plan, models: Sequence[Sequence[Path]], folder: Path, wanted: Iterable[Wanted]
) -> tuple[Task, ...]:
    """What has to be converted for some jobs; in their order. Pure.

    Args:
        models: files of each ``[[models]]``.
        folder: the plan's.
    """
    entries = {file: entry for entry, files in zip(plan.models, models, strict=True) for file in files}
    variants: dict[tuple[Path, str], set[str]] = {}
    for job in wanted:
        variants.setdefault((job.model, job.engine), set()).add(job.variant)
    return tuple(
        Task(
            model,
            engine,
            FULL_PRECISION in asked,
            entries[model].allow,
            None if data is None else folder / data,
        )
        for (model, engine), asked in variants.items()
        for data in [entries[model].data]
    )


def stale(wanted: Sequence[Task], workspace: Path) -> tuple[Task, ...]:
    """The tasks whose result is not kept in a workspace.

    Raises:
        ModelFileError, DataError, MissingExtraError: as ``convert_stale`` would report of the task.
    """
    return tuple(task for task in wanted if known(task, workspace) is None)


def known(task: Task, workspace: Path) -> Kept | None:
    """What a task became, if that is kept in a workspace.

    Raises:
        ModelFileError, DataError, InputError, MissingExtraError: as ``convert_stale`` would report of the task.
    """
    return kept(workspace, key_of(_order(task)))


def convert_stale(
    wanted: Sequence[Task], workspace: Path, pool: Pool, say: Say = lambda message: None
) -> Converted:
    """The results of tasks: those that are kept, and the others made now.

    Args:
        pool: where to convert; not opened if nothing is stale.
        say: told of progress.

    Raises:
        OutputPathError, StorageError: the workspace can't be written.
        InfrastructureError: the pool can't be opened.
        KeyboardInterrupt: all that was under way has ended.
    """
    converted = Converted()
    left = []
    for task in wanted:
        try:
            key = key_of(_order(task))
        except BibenchError as error:
            converted.failed[task.model, task.engine] = error
            continue
        there = kept(workspace, key)
        if there is None:
            left.append(task)
        else:
            used(workspace, key)
            _take(converted, task, there)
    with closing(_all_made(left, pool)) as outcomes:  # which ends the pool, whatever happens here
        for task, order, made in outcomes:
            converted.made += 1
            say(f"converted {converted.made} of {len(left)}: {task.model.stem} for {task.engine}")
            if isinstance(made, BibenchError):
                converted.failed[task.model, task.engine] = made
            elif made.error is not None:
                converted.failed[task.model, task.engine] = restore(dict(made.error))
            elif order is not None:
                _take(converted, task, keep(workspace, key_of(order), order, made))
    return converted


def _take(converted: Converted, task: Task, there: Kept) -> None:
    if there.record.refused:
        refused = Refused(tuple(there.record.refused), there.record.algorithm)
        converted.refused[task.model, task.engine] = refused
    for variant, artefact in there.artefacts.items():
        converted.artefacts[task.model, task.engine, variant] = artefact


#: The order is None where the task's files could not be read any more.
Outcome = tuple[Task, Order | None, Made | BibenchError]


def _all_made(wanted: Sequence[Task], pool: Pool) -> Generator[Outcome]:
    """Every task's outcome as it comes; a task that takes its process along is tried once more, alone."""
    suspects: list[Task] = []
    if wanted:
        with pool() as executor:
            for task, order, made in _made(wanted, executor):
                if isinstance(made, _BrokenError):
                    suspects.append(task)
                else:
                    yield task, order, made
    for task in suspects:
        with pool() as executor:
            yield from _made([task], executor)


class _BrokenError(EngineError):
    """The process that did the work is gone, and with it all that waited for it."""


def _made(wanted: Sequence[Task], executor: Executor) -> Generator[Outcome]:
    waiting = list(reversed(wanted))
    under_way: dict[Future[Made], tuple[Task, Order]] = {}
    while waiting or under_way:
        while waiting and len(under_way) < UNDER_WAY:
            task = waiting.pop()
            try:
                order = _order(task)
                under_way[executor.submit(make, order)] = task, order
            except BibenchError as error:
                yield task, None, error
            except RuntimeError:  # the pool is broken, or was closed since its cluster is gone
                yield task, None, _broken(task)
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            task, order = under_way.pop(future)
            yield task, order, _outcome(future, task)


def _outcome(future: Future[Made], task: Task) -> Made | BibenchError:
    try:
        return future.result()
    except (BrokenProcessPool, CancelledError):
        return _broken(task)
    except Exception as error:
        # Dask's own errors, which are no classes of ours to name here: it may not be installed.
        if type(error).__module__.partition(".")[0] == "distributed" or isinstance(error, ImportError):
            return InfrastructureError(
                f"the Dask worker failed ({type(error).__name__}: {error})",
                where=f"{task.model.name} for {task.engine}",
                remedy="see the worker's log; it needs bibench-deploy in the version that is here",
            )
        raise


def _broken(task: Task) -> _BrokenError:
    return _BrokenError(
        "the process that converted it was killed, or crashed",
        where=f"{task.model.name} for {task.engine}",
        remedy="see whether the memory suffices (dmesg); if so, report it with the model",
    )


def _order(task: Task) -> Order:
    """A task with all bytes that it needs.

    Raises:
        ModelFileError: the model can't be read.
        DataError: its data can't.
        InputError, MissingExtraError: see ``fingerprint``.
    """
    from bibench_deploy.converters.reader.model_file import files_of

    try:
        data = task.data.read_bytes() if task.data else None
    except OSError as error:
        raise DataError(
            f"can't be read ({error.strerror})", where=str(task.data), remedy="check its permissions"
        ) from error
    files: Mapping[str, bytes] = files_of(task.model)
    return Order(task.model.name, files, task.engine, task.twin, task.allow, data, fingerprint(task.engine))
