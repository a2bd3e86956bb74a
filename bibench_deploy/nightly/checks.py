"""What is wrong with a plan that its schema can't see: files, engines, devices, threads, models, time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bibench_deploy.errors import BibenchError, InputError
from bibench_deploy.runners.device.place import engines

from .estimate import duration, words
from .expansion import LOCAL, Board, asked_engines, boards_of, find_models
from .mistakes import Mistake, refuse
from .programs import likely_facts
from .reading import plan_text, understand
from .toml_lines import Place, line_of

if TYPE_CHECKING:
    from bibench_deploy.runners.providers import DeviceProvider

    from .deployable import Verdict
    from .estimate import Estimate
    from .plan import Devices, Plan
    from .reading import Partial

#: Its program is cross-built when it is needed; others' are registered.
BUILT_HERE = "native"


@dataclass(frozen=True)
class Found:
    """What the names in a plan stand for, and what is wrong with them.

    Attributes:
        models: files of each ``[[models]]``.
        boards: devices of each ``[[devices]]``.
    """

    models: tuple[tuple[Path, ...], ...]
    boards: tuple[tuple[Board, ...], ...]
    mistakes: tuple[Mistake, ...]


class _Notes:
    """Collects mistakes, with the lines in which they stand."""

    def __init__(self, partial: Partial, lines: Mapping[Place, int]) -> None:
        self.found: list[Mistake] = []
        self._partial, self._lines = partial, lines

    def add(self, said: str, *place: str | int, warning: bool = False) -> None:
        where = self._partial.written(place)
        self.found.append(Mistake(where, said, line_of(where, self._lines), warning))

    def add_error(self, error: BibenchError, *place: str | int) -> None:
        self.add(f"{error.message}; {error.remedy}" if error.remedy else error.message, *place)


def open_plan(path: Path, provider: DeviceProvider) -> tuple[Plan, Found]:
    """A plan that can be run, with its models and devices found.

    Raises:
        InputError: it can't be read, or is wrong; every mistake with its line.
        InfrastructureError: see ``look_up``.
    """
    read = understand(plan_text(path), str(path))
    if read.partial is None or read.plan is None:
        found = look_up(read.partial, read.lines, path.parent, provider) if read.partial else None
        refuse((*read.mistakes, *(found.mistakes if found else ())), str(path))
        raise AssertionError("what is no plan has a mistake")
    found = look_up(read.partial, read.lines, path.parent, provider)
    refuse(found.mistakes, str(path))
    return read.plan, found


def look_up(partial: Partial, lines: Mapping[Place, int], folder: Path, provider: DeviceProvider) -> Found:
    """Find a plan's models and devices. No model is read, no device is touched.

    Args:
        partial: the plan, as far as it is one.
        lines: in which each key stands.
        folder: the plan's.

    Raises:
        InfrastructureError: the lab can't be asked, or the registry of engines is damaged.
    """
    plan, notes = partial.plan, _Notes(partial, lines)
    models = find_models(plan, folder)
    _check_engines(plan, notes)
    _check_models(plan, models, folder, notes)
    boards = tuple(_boards(number, entry, provider, notes) for number, entry in enumerate(plan.devices))
    for number, (entry, found) in enumerate(zip(plan.devices, boards, strict=True)):
        _check_devices(number, entry, found, plan, notes)
    _check_store(plan, notes)
    return Found(models, boards, tuple(notes.found))


def _check_engines(plan: Plan, notes: _Notes) -> None:
    from bibench_deploy.converters.capabilities import known_engines
    from bibench_deploy.converters.engine import engine_names, load_engine

    known, asked = known_engines(), {name for entry in plan.models for name in entry.engines}
    places: list[tuple[str, int, Sequence[str]]] = [
        *(("models", number, entry.engines) for number, entry in enumerate(plan.models)),
        *(("devices", number, entry.engines or ()) for number, entry in enumerate(plan.devices)),
    ]
    for table, number, names in places:
        for position, name in enumerate(names):
            place = (table, number, "engines", position)
            if name not in known:
                notes.add(f"no engine '{name}'; choose one of {', '.join(known)}", *place)
            elif table == "devices" and name not in asked:
                notes.add(f"no model asks for '{name}'", *place, warning=True)
            elif table == "models" and name in engine_names():
                try:
                    load_engine(name).versions()
                except BibenchError as error:
                    notes.add_error(error, *place)


def _check_models(plan: Plan, models: Sequence[Sequence[Path]], folder: Path, notes: _Notes) -> None:
    from bibench_deploy.converters.deployability import parse_allow

    first: dict[Path, int] = {}
    stems: dict[str, Path] = {}
    twins = _same_bytes({file for files in models for file in files})
    for number, (entry, files) in enumerate(zip(plan.models, models, strict=True)):
        if not files:
            notes.add(f"'{entry.file}' fits no file in {folder.absolute()}", "models", number, "file")
        try:
            parse_allow(entry.allow)
        except InputError as error:
            notes.add_error(error, "models", number, "allow")
        if entry.data is not None and not (folder / entry.data).is_file():
            notes.add(f"there is no file '{folder / entry.data}'", "models", number, "data")
        for file in files:
            other = stems.setdefault(file.stem, file)
            if other != file:
                said = f"'{file}' is called like '{other}': their results could not be told apart; rename one"
                notes.add(said, "models", number, "file")
            if file in twins and file not in first:
                said = f"'{file}' has the same bytes as '{twins[file]}', and is measured as that"
                notes.add(said, "models", number, "file", warning=True)
            before = plan.models[first.setdefault(file, number)]
            if (before.allow, before.data) != (entry.allow, entry.data):
                said = f"'{file}' stands in models[{first[file]}] too, with another allow or data"
                notes.add(said, "models", number, "file")


def _same_bytes(files: Iterable[Path]) -> dict[Path, Path]:
    """Files that say the same as another one, with the first of those."""
    by_size: dict[int, list[Path]] = {}
    for file in sorted(files):
        with suppress(OSError):  # whoever reads the model will say so
            by_size.setdefault(file.stat().st_size, []).append(file)
    found, first = {}, dict[bytes, Path]()
    for alike in by_size.values():
        for file in alike if len(alike) > 1 else ():
            with suppress(OSError):  # as above
                other = first.setdefault(hashlib.sha256(file.read_bytes()).digest(), file)
                if other != file:
                    found[file] = other
    return found


def _boards(number: int, entry: Devices, provider: DeviceProvider, notes: _Notes) -> tuple[Board, ...]:
    """The devices of one entry that are known; each name and tag is looked up by itself."""
    found: dict[str, Board] = {}
    for key, names in (("names", entry.names), ("tags", entry.tags)):
        for position, name in enumerate(names):
            one = entry.model_copy(update={"names": (), "tags": ()} | {key: (name,)})
            try:
                found |= {board.name: board for board in boards_of(one, provider)}
            except InputError as error:
                notes.add_error(error, "devices", number, key, position)
    return tuple(found.values())


def _check_devices(number: int, entry: Devices, boards: Sequence[Board], plan: Plan, notes: _Notes) -> None:
    from bibench_deploy.converters.capabilities import known_engines

    for position, count in enumerate(entry.threads or ()):
        over = [f"{board.name} ({board.cores})" for board in boards if board.cores and count > board.cores]
        if over:
            said = f"{count} threads are more than the cores of {', '.join(over)}: they wait for each other"
            notes.add(said, "devices", number, "threads", position, warning=True)
    if entry.cpus in ("big", "little"):
        alike = [board.name for board in boards if board.device and len(board.device.profile.clusters) == 1]
        if alike:
            said = f"all cores of {', '.join(alike)} are alike: there is no '{entry.cpus}'"
            notes.add(said, "devices", number, "cpus")
    asked = list(dict.fromkeys(name for models in plan.models for name in models.engines))
    for engine in asked_engines(asked, entry):
        if engine in known_engines():  # of the others it was said already
            _check_programs(number, engine, boards, notes)


def _check_programs(number: int, engine: str, boards: Sequence[Board], notes: _Notes) -> None:
    """An engine without a program for devices is a mistake; one for others a warning, since a profile may err."""
    leave = "leave it out with engines = […] in this [[devices]]"
    unable = [board.name for board in boards if engine not in board.engines]
    if LOCAL in unable:
        notes.add(f"{engine} can't be measured on this machine; {leave}", "devices", number)
    there = [name for name in unable if name != LOCAL]
    if there:
        said = f"no program of {engine} is registered for devices ({', '.join(there)})"
        notes.add(f"{said}; see 'bibench-deploy engines add', or {leave}", "devices", number)
    if engine == BUILT_HERE:
        return
    for board in boards:
        if board.device is None or engine not in board.engines:
            continue
        try:
            engines(lambda message: None)[engine].programs(likely_facts(board.device.profile), board.name)
        except BibenchError as error:
            said = f"{board.name}: {error.message}"
            notes.add(f"{said}; {error.remedy}" if error.remedy else said, "devices", number, warning=True)


def _check_store(plan: Plan, notes: _Notes) -> None:
    from bibench_deploy.results import Store

    if plan.store is not None:
        try:
            Store.at(plan.store)
        except InputError as error:
            notes.add_error(error, "store")


def check_models(
    partial: Partial,
    lines: Mapping[Place, int],
    models: Sequence[Sequence[Path]],
    verdicts: Mapping[tuple[Path, str], Verdict],
) -> list[Mistake]:
    """Models that can't be read, or that no engine takes (a mistake), or one of several not (a warning).

    Args:
        verdicts: by file and engine.
    """
    notes = _Notes(partial, lines)
    for number, (entry, files) in enumerate(zip(partial.plan.models, models, strict=True)):
        for file in files:
            found = {name: verdicts[file, name] for name in entry.engines if (file, name) in verdicts}
            _check_model(file, found, number, notes)
    return notes.found


def _check_model(file: Path, found: Mapping[str, Verdict], number: int, notes: _Notes) -> None:
    broken = next((verdict.error for verdict in found.values() if verdict.error), None)
    if broken is not None:
        notes.add(f"'{file}': {broken}", "models", number, "file")
        return
    refused = {name: verdict.reasons for name, verdict in found.items() if verdict.reasons}
    nowhere = len(refused) == len(found)
    for name, reasons in refused.items():
        more = f" (and {len(reasons) - 1} more; see 'bibench-deploy check')" if len(reasons) > 1 else ""
        said = f"'{file}' is not deployable on {name}: {reasons[0]}{more}"
        if nowhere:
            notes.add(f"{said}; so nothing of it is measured", "models", number, "file")
        else:
            notes.add(f"{said}; these jobs will be 'not applicable'", "models", number, "file", warning=True)


def check_budget(partial: Partial, lines: Mapping[Place, int], expected: Estimate) -> list[Mistake]:
    """Budgets that the expected time exceeds: surely (a mistake), or perhaps (a warning)."""
    notes, budget = _Notes(partial, lines), partial.plan.budget
    longest = max(expected.devices, key=lambda name: expected.devices[name].high_s, default="")
    for key, allowed, span in (
        ("night", budget.night, expected.wall),
        ("device", budget.device, expected.devices.get(longest)),
    ):
        if allowed is None or span is None or span.high_s <= allowed:
            continue
        what = f"measuring on {longest}" if key == "device" else "the night"
        sure = span.low_s > allowed
        said = f"{what} {'takes' if sure else 'may take'} {words(span)}, {expected.rests_on}: more than the budget"
        notes.add(f"{said} of {duration(allowed)}", "budget", key, warning=not sure)
    return notes.found
