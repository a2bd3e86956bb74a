"""``bibench-deploy report``: what the rows of a store amount to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.store_options import Chosen, JsonOption, choosing
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bibench_deploy.results.report import Report
    from bibench_deploy.results.tidy import Column, Mean, Place

REFERENCES = ("bibench",)


@choosing
def report(
    chosen: Chosen,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference",
            metavar="NAME",
            help="'bibench' puts the paper's published latencies beside yours, by chip and threads.",
        ),
    ] = None,
    profiles: Annotated[
        list[Path] | None,
        typer.Option("--profiles", metavar="DIR", help="A folder with your own device profiles."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show the newest latency of each measurement, and BiBench's hardware metric of each algorithm.

    Lines are devices, threads and architectures, columns are engines and algorithms.
    What is the same everywhere stands above.
    """
    if reference is not None and reference not in REFERENCES:
        raise InputError(
            f"there is no reference '{reference}'",
            where="--reference",
            remedy=f"choose {', '.join(REFERENCES)}",
        )
    from bibench_deploy.results.tidy import recent

    summary = recent(chosen.rows())
    published = _published(summary, profiles or []) if reference else {}
    if as_json:
        console.print_json(_document(summary, published))
        return
    from bibench_deploy.results.paper_tables import show_report

    if reference and not published:
        console.warn(
            "the paper has none of these chips, threads and architectures: nothing stands beside yours"
        )
    show_report(summary, console.stdout(), published)


def _published(summary: Report, folders: Sequence[Path]) -> dict[Place, dict[Column, float]]:
    """The paper's latencies for what was measured, by the devices' profiles."""
    from bibench_deploy.device_profiles import load_profiles
    from bibench_deploy.device_profiles.profile import profile_names
    from bibench_deploy.results.tidy import grid, reference

    names = profile_names(load_profiles(folders))
    chips = {name: profile.published for name, profile in names.items() if profile.published}
    return reference(grid(summary), chips)


def _document(summary: Report, published: Mapping[Place, Mapping[Column, float]]) -> dict[str, Any]:
    from dataclasses import asdict

    from bibench_deploy.results.document import document
    from bibench_deploy.results.tidy import scores

    return document(summary) | {
        "scores": [
            {
                **asdict(score.column),
                **_mean(score.whole),
                "by_device": {key: _mean(part) for key, part in score.by_device.items()},
                "by_architecture": {key: _mean(part) for key, part in score.by_architecture.items()},
                "by_threads": {str(key): _mean(part) for key, part in score.by_threads.items()},
                "left_out": score.left_out,
            }
            for score in scores(summary)
        ],
        "published": [
            {**asdict(place), **asdict(column), "latency_ms": latency}
            for place, latencies in published.items()
            for column, latency in latencies.items()
        ],
    }


def _mean(mean: Mean) -> dict[str, Any]:
    from bibench_deploy.results.document import metric_document

    return metric_document(mean.metric) | {"stable": mean.stable}
