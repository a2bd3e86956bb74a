"""``bibench-deploy recommend``: which algorithm and engine to take on a device."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption, WorkspaceOption
from bibench_deploy.cli.store_options import StoreOption, store_of
from bibench_deploy.errors import InputError, NotDeployableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bibench_deploy.recommend import Candidate, Limits, Recommendation

LOCAL = "local"
MEGA = 1_000_000
#: By whether something may keep within them.
NOTHING = ("nothing keeps within the limits", "nothing is known to keep within the limits")
#: Alternatives that are shown; --json has all.
MOST_OTHERS = 4


def recommend(
    device: Annotated[
        str,
        typer.Option("--device", metavar="ID", help="The device, as 'profile' takes it.", show_default=False),
    ],
    max_latency: Annotated[
        float | None, typer.Option("--max-latency", metavar="MS", help="The median may be so long, in ms.")
    ] = None,
    max_size: Annotated[
        float | None, typer.Option("--max-size", metavar="MB", help="The artefact may be so large, in MB.")
    ] = None,
    source: Annotated[
        str, typer.Option("--from", metavar="measured|published|both", help="What the answer may rest on.")
    ] = "both",
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
    inventory: Annotated[
        Path | None, typer.Option("--inventory", metavar="FILE", help="Your devices.toml.")
    ] = None,
    profiles: Annotated[
        list[Path] | None,
        typer.Option("--profiles", metavar="DIR", help="A folder with your own device profiles."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say which binarization algorithm and engine to take, and what that rests on.

    The best accuracy within the limits wins, then the lower latency. Measurements of yours go before what the
    paper printed for the same chip; networks and data sets are never mixed.
    """
    from bibench_deploy.recommend import Limits
    from bibench_deploy.recommend import recommend as answer

    limits = Limits(_limit(max_latency, "--max-latency"), _limit(max_size, "--max-size", MEGA))
    if source not in ("measured", "published", "both"):
        raise InputError(
            f"'{source}' is not known", where="--from", remedy="give measured, published or both"
        )
    chip = _chip(device, inventory, profiles or [])
    found = [] if source == "published" else _measured(device, store, workspace)
    if source != "measured" and chip is not None:
        found += _published(chip)
    answers = answer(found, limits)
    if not answers:
        raise InputError(
            "nothing was measured on it" + ("" if chip else ", and the paper has no figures of it"),
            where=f"--device {device}",
            remedy=f"measure with 'bibench-deploy profile --device {device}'",
        )
    if as_json:
        console.print_json(_document(device, limits, answers))
    else:
        _print(device, answers)
    if all(recommendation.choice is None for recommendation in answers):
        raise NotDeployableError(
            NOTHING[any(answer.unknown for answer in answers)],
            where=f"--device {device}",
            remedy=_remedy(answers),
        )


def _limit(value: float | None, option: str, unit: float = 1) -> float | None:
    if value is None:
        return None
    if not (math.isfinite(value) and value > 0):
        raise InputError("a positive number is needed", where=option)
    return value * unit


def _chip(device: str, inventory: Path | None, folders: Sequence[Path]) -> str | None:
    """The device's name in the paper's tables; None for one that is not in them.

    Raises:
        InputError: an unknown device.
    """
    from bibench_deploy.device_profiles import load_profiles
    from bibench_deploy.device_profiles.inventory import read_inventory

    if device == LOCAL:
        return None
    (found,) = read_inventory(inventory).resolve([device], [], load_profiles(folders))
    return found.profile.published


def _measured(device: str, store: str | None, workspace: Path | None) -> list[Candidate]:
    """Of the store, where there is one: a recommendation may rest on the paper alone."""
    from bibench_deploy.recommend import measured
    from bibench_deploy.results import Selection

    opened = store_of(store, workspace)
    contents = opened.read(Selection(devices=(device,)))
    for damage in contents.damaged:
        console.warn(f"{damage.where}: {damage.reason}")
    return measured(contents.rows)


def _published(chip: str) -> list[Candidate]:
    from bibench_deploy.recommend import published
    from bibench_deploy.tracks.published import raw_tables

    return published(chip, raw_tables())


def _document(device: str, limits: Limits, answers: Sequence[Recommendation]) -> dict[str, Any]:
    return {
        "device": device,
        "max_latency_ms": limits.latency_ms,
        "max_size_bytes": limits.size_bytes,
        "recommendations": [asdict(answer) for answer in answers],
    }


def _print(device: str, answers: Sequence[Recommendation]) -> None:
    from rich.markup import escape

    out = console.stdout()
    for answer in answers:
        on = f" on {answer.dataset}" if answer.dataset else ""
        out.print(f"[bold]{escape(answer.network)}[/bold]{escape(on)}")
        if answer.choice is None:
            out.print(f"  {NOTHING[answer.unknown is not None]}")
            for near in _near(answer):
                out.print(f"    {near}")
            continue
        out.print(f"  take [bold]{answer.choice.algorithm}[/bold] with [bold]{answer.choice.engine}[/bold]")
        out.print(f"    {_words(answer.choice)}")
        for other in answer.others[:MOST_OTHERS]:
            out.print(f"  or   {_words(other)}")
        if answer.full_precision:
            out.print(f"  full precision: {_words(answer.full_precision)}")
    basis = dict.fromkeys(a.choice.rests_on for a in answers if a.choice)
    if basis:
        out.print(f"rests on: {escape('; '.join(basis))}")
    for answer in answers:
        if answer.choice and answer.choice.caveat:
            out.print(f"{escape(answer.network)}: {answer.choice.caveat}")
    if any(a.choice and not a.choice.measured for a in answers):
        out.print(
            "The paper measured one network for bnn, dorefa, bireal, recu and fda, whose factors fold into the "
            "normalization. It prints no sizes, and does not say which weights it ran on the chips."
        )


def _words(candidate: Candidate) -> str:
    from bibench_deploy.results.tables import milliseconds

    cores = f" on {candidate.cpus}" if candidate.cpus else ""
    parts = [
        f"{candidate.algorithm} with {candidate.engine}",
        f"{candidate.threads} thread{'s' if candidate.threads > 1 else ''}{cores}",
        f"{milliseconds(candidate.latency_ms)} ms{'' if candidate.trusted else ' (unstable)'}",
    ]
    if candidate.size_bytes is not None:
        parts.append(f"{candidate.size_bytes / MEGA:.2f} MB")
    if candidate.accuracy is not None:
        parts.append(f"accuracy {candidate.accuracy:.2f} %")
    return ", ".join(parts)


def _near(answer: Recommendation) -> list[str]:
    """For an answer that is no: what would do."""
    near = answer.nearest or (() if answer.unknown else (answer.fastest,))
    said = [f"nearest: {_words(candidate)}" for candidate in near]
    return [*said, *([f"of unknown size: {_words(answer.unknown)}"] if answer.unknown else [])]


def _remedy(answers: Sequence[Recommendation]) -> str:
    if any(answer.unknown for answer in answers):
        return "leave out --max-size, or measure: the paper prints no sizes"
    near = dict.fromkeys(f"{answer.network}: {words}" for answer in answers for words in _near(answer))
    return f"raise them; {'; '.join(near)}"
