"""Options that several commands have, each spelled once, and how commands share groups of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
WorkspaceOption = Annotated[
    Path | None,
    typer.Option(
        "--workspace",
        metavar="DIR",
        help="Holds the artefacts and the results. Default: $BIBENCH_WORKSPACE or bibench-workspace.",
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="KEY=VALUE",
        help="Allow a change of function: padding=-1|0|+1, sign-zero=+1|-1 (repeatable).",
    ),
]
PlanArgument = Annotated[
    Path, typer.Argument(metavar="PLAN", help="The plan, as lab.toml.", show_default=False, readable=False)
]
PlansStoreOption = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="The store of results, instead of the plan's.")
]


def sharing(make: Callable[..., object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that are the parameters of ``make``; its first parameter gets what that returns.

    Args:
        make: all of its parameters have defaults.
    """
    shared = list(inspect.signature(make, eval_str=True).parameters.values())

    def share(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        @wraps(command)
        def given(**options: Any) -> None:
            command(make(**{option.name: options.pop(option.name) for option in shared}), **options)

        parameters = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in (*own, *shared)]
        # What typer reads of a function.
        given.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        given.__annotations__ = {option.name: option.annotation for option in parameters}
        return given

    return share
