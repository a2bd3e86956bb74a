"""From a plan to the jobs of a night: models × devices × engines × threads × variants."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING

from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from bibench_deploy.device_profiles import Device
    from bibench_deploy.runners.providers import DeviceProvider

    from .plan import Devices, Plan

LOCAL = "local"


@dataclass(frozen=True)
class Wanted:
    """One job that a plan asks for.

    Attributes:
        variant: "binarized" or "fp32"; which algorithm a model is binarized with says the artefact.
        cpus: cores that were asked for; None for none.
    """

    device: str
    model: Path
    engine: str
    variant: str
    threads: int
    cpus: str | None = None


@dataclass(frozen=True)
class Board:
    """A device as the expansion knows it.

    Attributes:
        threads: that are measured where the plan names none.
        engines: that can be measured there.
        cores: None where nobody knows.
        device: None for this machine.
    """

    name: str
    threads: tuple[int, ...]
    engines: frozenset[str]
    cores: int | None = None
    device: Device | None = None


def expand(
    plan: Plan,
    models: Sequence[Sequence[Path]],
    boards: Sequence[Sequence[Board]],
    only: Sequence[str] = (),
) -> tuple[Wanted, ...]:
    """The jobs of a plan, each once. Pure.

    Args:
        models: files of each ``[[models]]``, as ``find_models`` gives them.
        boards: devices of each ``[[devices]]``, as ``boards_of`` gives them.
        only: as ``choose`` takes them.

    Returns:
        By device, model, engine, threads and variant; threads ascending, the others in the plan's order. What an
        engine can't measure on a device is left out: ``checks`` calls that a mistake.

    Raises:
        InputError: ``only`` leaves nothing.
    """
    jobs = list(dict.fromkeys(_jobs(plan, models, boards)))
    devices, files, engines, variants = (
        {value: number for number, value in enumerate(dict.fromkeys(values))}
        for values in (
            [job.device for job in jobs],
            [job.model for job in jobs],
            [job.engine for job in jobs],
            [job.variant for job in jobs],
        )
    )
    jobs.sort(
        key=lambda job: (
            devices[job.device],
            files[job.model],
            engines[job.engine],
            job.threads,
            variants[job.variant],
        )
    )
    return choose(jobs, only)


def _jobs(
    plan: Plan, models: Sequence[Sequence[Path]], boards: Sequence[Sequence[Board]]
) -> Iterator[Wanted]:
    for devices, found in zip(plan.devices, boards, strict=True):
        for board in found:
            for entry, files in zip(plan.models, models, strict=True):
                engines = [name for name in asked_engines(entry.engines, devices) if name in board.engines]
                for file in files:
                    for engine in engines:
                        for threads in devices.threads or board.threads:
                            for variant in entry.variants:
                                yield Wanted(board.name, file, engine, variant, threads, devices.cpus)


def asked_engines(engines: Iterable[str], devices: Devices) -> list[str]:
    """Of a model's engines those that are to be measured on some devices."""
    return [name for name in engines if devices.engines is None or name in devices.engines]


def choose(jobs: Iterable[Wanted], only: Sequence[str]) -> tuple[Wanted, ...]:
    """The jobs that ``--only`` means; all without it.

    A pattern (``*``, ``?``, ``[…]``) is compared with the names of models, devices, engines and variants;
    ``device=rpi*`` with those of devices alone. Patterns that fit names of one kind are alternatives; a job has to
    fit one of every kind for which there are any.

    Raises:
        InputError: a pattern fits nothing, or all together fit no job.
    """
    found = tuple(jobs)
    if not only:
        return found
    patterns: dict[str, list[str]] = {}
    for text in only:
        kinds = [kind for kind in _KINDS if _fits_any(text, kind, found)]
        if not kinds:
            known = sorted({name for job in found for name in _names(job).values()})
            raise InputError(
                f"'{text}' fits no model, device, engine or variant of the plan",
                where="--only",
                remedy=f"choose of: {', '.join(known)}",
            )
        for kind in kinds:
            patterns.setdefault(kind, []).append(text.removeprefix(f"{kind}="))
    chosen = tuple(
        job
        for job in found
        if all(
            any(fnmatchcase(_names(job)[kind], pattern) for pattern in wanted)
            for kind, wanted in patterns.items()
        )
    )
    if not chosen:
        raise InputError(
            f"no job fits all of: {', '.join(only)}",
            where="--only",
            remedy="several of one kind are alternatives, those of different kinds all have to fit",
        )
    return chosen


_KINDS = ("model", "device", "engine", "variant")


def _names(job: Wanted) -> dict[str, str]:
    return dict(zip(_KINDS, (job.model.stem, job.device, job.engine, job.variant), strict=True))


def _fits_any(text: str, kind: str, jobs: Iterable[Wanted]) -> bool:
    named, _, rest = text.partition("=")
    if named in _KINDS and rest:
        if named != kind:
            return False
        text = rest
    return any(fnmatchcase(_names(job)[kind], text) for job in jobs)


def find_models(plan: Plan, folder: Path) -> tuple[tuple[Path, ...], ...]:
    """The files of each ``[[models]]``, sorted; none where a pattern fits nothing.

    Args:
        folder: the plan's.
    """
    return tuple(_files(entry.file, folder) for entry in plan.models)


def _files(pattern: str, folder: Path) -> tuple[Path, ...]:
    whole = folder / pattern
    if whole.is_file():  # its name may hold what a pattern would understand otherwise
        return (_plain(whole),)
    # An absolute pattern stays one, on either side.
    found = (_plain(folder / name) for name in glob(pattern, root_dir=folder, recursive=True))
    return tuple(sorted(file for file in found if file.is_file()))


def _plain(path: Path) -> Path:
    """Without ``..``: a file that two patterns find is one."""
    return Path(os.path.normpath(path))


def boards_of(devices: Devices, provider: DeviceProvider) -> tuple[Board, ...]:
    """The devices of one ``[[devices]]``.

    Raises:
        InputError: an unknown name, tag or profile.
        InfrastructureError: the lab can't be asked.
        StorageError: the registry of engines is damaged.
    """
    from bibench_deploy.runners.device.place import engines

    remote = [name for name in devices.names if name != LOCAL]
    found = list(provider.resolve(remote, devices.tags)) if remote or devices.tags else []
    on_devices = frozenset(engines(lambda message: None))
    boards = [
        Board(device.name, device.profile.threads, on_devices, device.profile.cores, device)
        for device in found
    ]
    return tuple([this_machine(), *boards] if LOCAL in devices.names else boards)


def this_machine() -> Board:
    """The device "local"."""
    from bibench_deploy.converters.engine import engine_names
    from bibench_deploy.runners.host import local_host
    from bibench_deploy.runners.session import is_timed_here

    here = frozenset(filter(is_timed_here, engine_names()))
    return Board(LOCAL, (1,), here, local_host().cores)
