"""The whole site into a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bibench_deploy.errors import InputError
from bibench_deploy.files import replace_folder

from ..html.frame import shared
from ..nights import Night
from ..selection import ALL, Selection
from ..store import Store
from .feed import feed
from .names import ASSETS, FEED, INDEX, page_name
from .news import Event, entries, of_findings, of_series, what_of
from .overview import History, Line, overview
from .page import Subject, page
from .reading import devices_of, findings_of, plans_of, series_of
from .series import Series, What

#: A file by which a folder is known as a site that may be replaced.
MARK: Final = ".bibench-history"


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        pages: of devices and models.
        nights: of all plans.
        files, size_bytes: of the whole folder.
    """

    folder: Path
    pages: int
    nights: int
    files: int
    size_bytes: int


def write_site(store: Store, folder: Path, tool: str, selection: Selection = ALL) -> Written:
    """Write the pages of all nights into a folder, in the place of the site that was there.

    Args:
        tool: version of bibench-deploy.
        selection: of rows; ``since`` chooses nights, by when they began.

    Raises:
        InputError: there are no such nights, or nothing was measured in them.
        OutputPathError: the folder can't be written, or holds something else.
        MissingExtraError: the extra ``charts`` is not installed.
    """
    shared()  # before any work is done for it
    plans = plans_of(store, selection)
    if not plans:
        raise InputError(
            "holds no such nights",
            where=store.where,
            remedy="run 'bibench-deploy nightly', or choose another --store or --since",
        )
    histories: list[History] = []
    count = size = 0

    def files() -> Iterator[tuple[str, bytes]]:
        nonlocal count, size
        for name, data in _files(store, plans, selection, tool, histories):
            count, size = count + 1, size + len(data)
            yield name, data

    replace_folder(folder, files(), MARK)
    pages = sum(len(history.lines) for history in histories)
    return Written(folder, pages, sum(map(len, plans.values())), count, size)


def _files(
    store: Store,
    plans: Mapping[str, Sequence[Night]],
    selection: Selection,
    tool: str,
    histories: list[History],
) -> Iterator[tuple[str, bytes]]:
    for name, data in shared().values():
        yield f"{ASSETS}/{name}", data
    for plan, nights in plans.items():
        found = _found(store, nights)
        history = History(plan, nights, found.counts)
        for device in devices_of(store, plan, selection):
            yield from _device(store, device, history, selection, found)
        if history.lines:
            histories.append(history)
    if not histories:
        raise InputError(
            "nothing was measured in these nights",
            where=store.where,
            remedy="choose other filters, or look at 'bibench-deploy results list'",
        )
    yield FEED, feed(histories)
    yield INDEX, overview(histories, tool)


@dataclass(frozen=True)
class _Found:
    """What the reports of a plan's nights say.

    Attributes:
        alarms: by device.
        last: of the last night that has a report, status and words.
        counts: findings of each kind, by the night's number.
    """

    alarms: Mapping[str, Sequence[Event]]
    last: Mapping[What, tuple[str, str]]
    counts: Mapping[int, Mapping[str, int]]


def _found(store: Store, nights: Sequence[Night]) -> _Found:
    numbers = {night.name: number for number, night in enumerate(nights)}
    alarms: dict[str, list[Event]] = {}
    counts: dict[int, Mapping[str, int]] = {}
    last: dict[What, tuple[str, str]] = {}
    for number, night in enumerate(nights):
        findings = findings_of(store, night)
        if not findings:
            continue
        counts[number] = Counter(str(told.get("kind", "none")) for told in findings)
        for event in of_findings(findings, number, numbers):
            alarms.setdefault(event.what.device, []).append(event)
        last = {what_of(told): (str(told["status"]), str(told["words"])) for told in findings}
    return _Found(alarms, last, counts)


def _device(
    store: Store, device: str, history: History, selection: Selection, found: _Found
) -> Iterator[tuple[str, bytes]]:
    series, hosts = series_of(store, device, history.nights, selection)
    by_model: dict[str, list[Series]] = {}
    for one in series:
        by_model.setdefault(one.what.model, []).append(one)
    for model, of_model in by_model.items():
        events = [event for one in of_model for event in of_series(one)]
        wanted = {one.what for one in of_model}
        events += [event for event in found.alarms.get(device, ()) if event.what in wanted]
        subject = Subject(
            history.plan,
            device,
            model,
            history.nights,
            of_model,
            hosts[model],
            found.last,
            entries(events),
        )
        path = page_name(history.plan, device, model)
        history.lines.append(Line.of(subject, path))
        history.entries += subject.entries
        yield path, page(subject)
