"""``bibench-deploy results``: what was measured, and its ways in and out of the store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption, WorkspaceOption
from bibench_deploy.cli.store_options import (
    Chosen,
    StoreOption,
    choosing,
    rows_of,
    store_of,
)
from bibench_deploy.errors import InputError, RefusedError

if TYPE_CHECKING:
    from bibench_deploy.results import Row

app = typer.Typer(
    help="What was measured: look at it, export it, import it, prune it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("list")
@choosing
def list_rows(
    chosen: Chosen,
    as_json: JsonOption = False,
) -> None:
    """List rows, one line each, the oldest first; facts that all have in common stand above."""
    rows = chosen.rows()
    if as_json:
        console.print_json({"rows": _lines(rows)})
        return
    from bibench_deploy.results.listing import show_list

    show_list(rows, console.stdout())


@app.command("show")
def show(
    row: Annotated[str, typer.Argument(metavar="ID", help="A row's id, or how it begins.")],
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
    samples: Annotated[bool, typer.Option("--samples", help="Print every sample too, in ns.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one row with all that is known of it."""
    from bibench_deploy.results import Selection

    chosen = row.strip()
    if not chosen or set(chosen.lower()) - set("0123456789abcdef-"):
        raise InputError(f"'{row}' is not the beginning of an id", remedy="take it from 'results list'")
    found = rows_of(store_of(store, workspace), Selection(ids=(chosen,)))
    if len(found) > 1:
        raise InputError(f"{len(found)} rows begin with '{chosen}'", remedy="give more of the id")
    if as_json:
        from bibench_deploy.results.fields import summary

        hidden = set() if samples else {"samples_ns"}
        console.print_json(found[0].model_dump(mode="json", exclude=hidden) | summary(found[0]))
        return
    from bibench_deploy.results.listing import show_row

    show_row(found[0], console.stdout())
    if samples:
        sys.stdout.write("".join(f"{sample}\n" for sample in found[0].samples_ns))


@app.command("export")
@choosing
def export(
    chosen: Chosen,
    output: Annotated[
        list[Path] | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Its name says the format; several at once are fine."
        ),
    ] = None,
    samples: Annotated[
        list[Path] | None,
        typer.Option(
            "--samples", metavar="FILE", help="Samples in long form, one line a run: .csv or .parquet."
        ),
    ] = None,
    text: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Print it: csv, jsonl, json, md or sql."),
    ] = None,
) -> None:
    """Write rows for other tools: .csv, .parquet, .jsonl, .json, .md, .sql.

    JSON, Parquet and SQL hold all samples; CSV and Markdown hold a summary of them: add --samples for all.
    """
    from bibench_deploy.files import write_together
    from bibench_deploy.results.exporters import FORMATS, SAMPLE_FORMATS, WITHOUT_SAMPLES, writer_of

    wanted = [(path, writer_of(path)) for path in output or []]
    wanted += [(path, writer_of(path, SAMPLE_FORMATS)) for path in samples or []]
    if len({path.resolve() for path, _ in wanted}) < len(wanted):
        raise InputError("two outputs have the same name", where="--output")
    if not wanted and text is None:
        raise InputError("nothing to write", remedy="give -o FILE, --samples FILE or --format FORMAT")
    if text is not None and (text not in FORMATS or text == "parquet"):
        raise InputError(
            f"'{text}' can't be printed", where="--format", remedy="choose csv, jsonl, json, md or sql"
        )
    rows = chosen.rows()
    write_together({path: write(rows) for path, write in wanted})
    for path, _ in wanted:
        console.stderr().print(f"wrote {path}", soft_wrap=True, markup=False)
    summarised = [path.name for path in output or [] if path.suffix[1:].lower() in WITHOUT_SAMPLES]
    if summarised and not samples:
        console.warn(f"{', '.join(summarised)}: summaries only; --samples FILE writes every run")
    if text is not None:
        sys.stdout.write(FORMATS[text](rows).decode())


@app.command("import")
def import_rows(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE", help="Exported .jsonl, .json, .parquet or .csv; a store's URL or file."
        ),
    ],
    samples: Annotated[
        Path | None,
        typer.Option(
            "--samples", metavar="FILE", help="The samples of a .csv, as 'export --samples' wrote them."
        ),
    ] = None,
    store: StoreOption = None,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add rows of other stores and of exported files; those that are there already stay as they are.

    What is damaged is reported and left out, and the command ends with 1 then.
    """
    from bibench_deploy.results.importers import read_source

    target = store_of(store, workspace)
    read = {source: read_source(source, samples) for source in sources}
    target.check()
    rows = [row for contents in read.values() for row in contents.rows]
    done = target.append(rows)
    damaged = [damage for contents in read.values() for damage in contents.damaged]
    for damage in damaged:
        console.warn(f"{damage.where}: {damage.reason}")
    for row_id in done.differing:
        console.warn(f"row {row_id} says something else than the store's; the store's stays")
    if as_json:
        document: dict[str, Any] = {"store": target.where, "added": done.added, "present": done.present}
        document |= {"differing": [str(row_id) for row_id in done.differing]}
        console.print_json(document | {"damaged": [vars(damage) for damage in damaged]})
    else:
        _say(f"{target.where}: {done.added} rows added, {done.present} were there already")
    if damaged or done.differing:
        raise RefusedError(
            f"{len(damaged)} damaged and {len(done.differing)} differing rows were left out",
            remedy="see the warnings above",
        )


@app.command("prune")
@choosing
def prune(
    chosen: Chosen,
    keep: Annotated[
        int | None,
        typer.Option(
            "--keep",
            metavar="N",
            min=1,
            help="Keep the newest N of each device, engine, model, variant, threads and cores.",
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option("--before", metavar="WHEN", help="Delete what is older: 2026-11-21, 90d."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be deleted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete old rows for good; with --keep and --before those that both would delete."""
    from bibench_deploy.results.pruning import superfluous
    from bibench_deploy.results.selection import parse_moment

    if keep is None and before is None:
        raise InputError(
            "which rows may go?", where="results prune", remedy="give --keep N, --before WHEN or both"
        )
    moment = parse_moment(before, "--before") if before else None
    rows, target = chosen.rows(), chosen.store
    going = superfluous(rows, keep, moment)
    deleted = 0 if dry_run else target.remove(row.id for row in going)
    if as_json:
        ids = [str(row.id) for row in going]
        console.print_json({"store": target.where, "dry_run": dry_run, "deleted": deleted, "rows": ids})
        return
    if dry_run and going:
        from bibench_deploy.results.listing import show_list

        show_list(going, console.stdout())
    said = f"{len(going)} of {len(rows)} rows would be" if dry_run else f"{deleted} of {len(rows)} rows were"
    _say(f"{target.where}: {said} deleted")


def _lines(rows: tuple[Row, ...]) -> list[dict[str, Any]]:
    from bibench_deploy.results.document import row_document

    return [row_document(row) for row in rows]


def _say(text: str) -> None:
    console.stdout().print(text, soft_wrap=True, markup=False)
