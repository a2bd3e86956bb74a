"""``bibench-deploy report``: what the rows of a store amount to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.cli.store_options import Chosen, choosing
from bibench_deploy.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bibench_deploy.results.report import Report
    from bibench_deploy.results.tidy import Column, Mean, Place

REFERENCES = ("bibench",)
PICTURES = (".svg", ".png", ".html")


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
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts instead, in one file."),
    ] = None,
    history: Annotated[
        Path | None,
        typer.Option(
            "--history",
            metavar="DIR",
            help="Write the nights of 'nightly' as a folder of pages instead, with a feed of what changed; "
            "an older one is replaced.",
        ),
    ] = None,
    figure: Annotated[
        str | None,
        typer.Option(
            "--figure",
            metavar="NAME",
            help="Draw a figure from the paper's data instead: 'chips' is average speedup per chip "
            "against its computing power.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where the figure goes: .svg, .png or .html."),
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
    if figure is not None or output is not None:
        _draw(figure, output, alone=html is None and history is None and not as_json)
        return
    if history is not None:
        _write_history(history, chosen, alone=html is None and not as_json and reference is None)
        return
    if html is not None:
        from bibench_deploy.files import check_output
        from bibench_deploy.results.html.bundle import require_charts

        check_output(html)
        require_charts("--html")
    from bibench_deploy.results.tidy import recent

    summary = recent(chosen.rows())
    published = _published(summary, profiles or []) if reference or html else {}
    if html is not None:
        _write_page(html, summary, published)
        _say_written(html)
    if as_json:
        console.print_json(_document(summary, published))
        return
    if html is not None:
        return
    from bibench_deploy.results.paper_tables import show_report

    if reference and not published:
        console.warn(
            "the paper has none of these chips, threads and architectures: nothing stands beside yours"
        )
    show_report(summary, console.stdout(), published)


def _draw(figure: str | None, output: Path | None, alone: bool) -> None:
    """Write one of the paper's figures.

    Raises:
        InputError: the options don't fit each other.
        MissingExtraError: the extra ``charts`` is not installed.
    """
    from bibench_deploy.files import check_output, write_atomically
    from bibench_deploy.results.figures import FIGURES, chips_chart, picture
    from bibench_deploy.results.html import bundle
    from bibench_deploy.results.html.frame import one_chart

    known = ", ".join(FIGURES)
    if figure is None or output is None:
        missing, given = ("--figure", "--output") if figure is None else ("--output", "--figure")
        raise InputError(
            f"needs {missing} too", where=given, remedy="write --figure chips --output chips.svg"
        )
    if figure not in FIGURES:
        raise InputError(f"there is no figure '{figure}'", where="--figure", remedy=f"choose {known}")
    if not alone:
        raise InputError(
            "--html, --history and --json are about the store, a figure is not",
            where="--figure",
            remedy="call it twice",
        )
    kind = output.suffix.lower()
    if kind not in PICTURES:
        raise InputError(
            "not a kind of picture", where=f"--output {output}", remedy="end it with .svg, .png or .html"
        )
    check_output(output)
    bundle.require_charts("--figure")
    chart = chips_chart()
    match kind:
        case ".svg":
            written = bundle.svg(picture(chart))
        case ".png":
            written = bundle.png(picture(chart))
        case _:
            written = one_chart(chart)
    write_atomically(output, written)
    _say_written(output)


def _write_history(folder: Path, chosen: Chosen, alone: bool) -> None:
    """Write the pages of all nights.

    Raises:
        InputError: the options don't fit each other, or the store has no such nights.
        MissingExtraError: the extra ``charts`` is not installed.
    """
    from importlib.metadata import version

    from bibench_deploy.files import check_folder
    from bibench_deploy.results.history import MARK, write_site

    if not alone:
        raise InputError(
            "--html, --json and --reference are about the newest rows",
            where="--history",
            remedy="call it twice",
        )
    check_folder(folder, MARK)
    written = write_site(chosen.store, folder, version("bibench-deploy"), chosen.selection)
    counts = f"{written.pages} pages of {written.nights} nights"
    size = f"{written.files} files, {written.size_bytes / 1e6:.1f} MB"
    console.stderr().print(f"wrote {folder}: {counts}, {size}", soft_wrap=True, markup=False)


def _say_written(path: Path) -> None:
    console.stderr().print(f"wrote {path}", soft_wrap=True, markup=False)


def _write_page(path: Path, summary: Report, published: Mapping[Place, Mapping[Column, float]]) -> None:
    from datetime import UTC, datetime
    from importlib.metadata import version

    from bibench_deploy.files import write_atomically
    from bibench_deploy.results.html import page

    write_atomically(path, page(summary, published, datetime.now(UTC), version("bibench-deploy")))


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
