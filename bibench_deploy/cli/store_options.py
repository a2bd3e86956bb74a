"""Options of every command that reads the store: which store, and which of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import WorkspaceOption, sharing
from bibench_deploy.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from bibench_deploy.results import Row, Selection, Store

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="URL",
        help="Where the rows are: a file, or the URL of a database as SQLAlchemy takes it. "
        "Default: $BIBENCH_STORE or results.sqlite in the workspace.",
    ),
]
DeviceOption = Annotated[
    list[str] | None, typer.Option("--device", metavar="ID", help="Only of these devices.")
]
EngineOption = Annotated[
    list[str] | None, typer.Option("--engine", metavar="NAME", help="Only of these engines.")
]
ModelOption = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="Only of these models.")
]
VariantOption = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="NAME", help="Only of these variants: fp32 or an algorithm."),
]
ThreadsOption = Annotated[
    list[str] | None, typer.Option("--threads", metavar="LIST", help="Only with these numbers of threads.")
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since", metavar="WHEN", help="Only measured since: 2026-11-21, 2026-11-21T08:30, 36h, 7d."
    ),
]


def store_of(store: str | None, workspace: Path | None) -> Store:
    """The store that the options, the environment or the workspace name.

    Raises:
        InputError: a URL that is none.
    """
    from bibench_deploy.results import choose_store
    from bibench_deploy.runners.workspace import workspace_folder

    return choose_store(store, workspace_folder(workspace))


@dataclass(frozen=True)
class Chosen:
    """The store and the rows of it that a user means."""

    store: Store
    selection: Selection

    def rows(self) -> tuple[Row, ...]:
        """As ``rows_of``."""
        return rows_of(self.store, self.selection)


def _choose(
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
    device: DeviceOption = None,
    engine: EngineOption = None,
    model: ModelOption = None,
    variant: VariantOption = None,
    threads: ThreadsOption = None,
    since: SinceOption = None,
) -> Chosen:
    """What the options mean; those of rows may be repeated or hold commas."""
    from bibench_deploy.results import Selection
    from bibench_deploy.results.selection import numbers, parse_moment, words

    selection = Selection(
        devices=words(device or []),
        engines=words(engine or []),
        models=words(model or []),
        variants=words(variant or []),
        threads=numbers(threads or [], "--threads"),
        since=parse_moment(since, "--since") if since else None,
    )
    return Chosen(store_of(store, workspace), selection)


#: Gives a command, whose first parameter is ``chosen``, the options that choose a store and rows of it.
choosing = sharing(_choose)


def rows_of(store: Store, selection: Selection) -> tuple[Row, ...]:
    """The rows that are meant; what is damaged is a warning.

    Raises:
        InputError: none are, though the user meant some.
    """
    contents = store.read(selection)
    for damage in contents.damaged:
        console.warn(f"{damage.where}: {damage.reason}")
    if not contents.rows:
        raise _none(store, selection)
    return contents.rows


def _none(store: Store, selection: Selection) -> InputError:
    """Why nothing fits, and what is there."""
    if not store.exists() or store.is_empty():
        what = "holds no rows" if store.exists() else "holds no rows: there is no such store yet"
        remedy = "measure with 'bibench-deploy profile', or choose another --store or --workspace"
        return InputError(what, where=store.where, remedy=remedy)
    if selection.ids:
        start = " or ".join(selection.ids)
        return InputError(
            f"holds no such rows: no id begins with '{start}'",
            where=store.where,
            remedy="take one from 'results list'",
        )
    for part, known in store.values().items():
        for value in getattr(selection, part):
            if value not in known:
                meant = did_you_mean(str(value), map(str, known))
                return InputError(
                    f"holds no such rows: none of --{_OPTIONS[part]} {value}",
                    where=store.where,
                    remedy=f"{meant}it has {', '.join(map(str, known))}",
                )
    return InputError(
        "holds no such rows: each filter fits some, none fits all",
        where=store.where,
        remedy="leave some out; 'results list' shows what is there",
    )


#: The parts of a selection that name values, as options.
_OPTIONS = {
    "devices": "device",
    "engines": "engine",
    "models": "model",
    "variants": "variant",
    "threads": "threads",
}
