"""``bibench-deploy compare``: whether B is slower or faster than A."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bibench_deploy.cli import console
from bibench_deploy.cli.options import JsonOption
from bibench_deploy.cli.store_options import Chosen, choosing, rows_of
from bibench_deploy.errors import InputError, RefusedError

if TYPE_CHECKING:
    from bibench_deploy.results import Row, Store
    from bibench_deploy.results.comparison import Belonging, Pairs

#: Words that may end the command with 1.
FAILING = ("slower", "unknown")


@dataclass(frozen=True)
class _Side:
    """What a user means by A or B.

    Attributes:
        of_artefact: whether it names one artefact, so that the other side may be another one.
    """

    rows: tuple[Row, ...]
    of_artefact: bool = False


@choosing
def compare(
    chosen: Chosen,
    a: Annotated[
        str | None,
        typer.Argument(
            metavar="A",
            help="What was before: a row's or session's id, or how it begins; a night as PLAN/NIGHT; an "
            "artefact's file.",
        ),
    ] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", help="What is judged, in the same ways.")] = None,
    store_a: Annotated[
        str | None,
        typer.Option(
            "--store-a", metavar="URL", help="Take A from this store: all of its rows where A is left out."
        ),
    ] = None,
    store_b: Annotated[str | None, typer.Option("--store-b", metavar="URL", help="The same for B.")] = None,
    factor: Annotated[
        float,
        typer.Option("--factor", metavar="X", help="Smaller changes are 'same', however certain."),
    ] = 1.05,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="WORD",
            help="End with 1 if there is one: slower, unknown, or both with a comma.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare measurements: is B slower or faster than A?

    Of each measurement the newest on either side counts. A change has to be significant (Mann-Whitney's test over
    the turns) and large enough; what was measured under another condition is not compared, and why is said.
    """
    from bibench_deploy.results.comparison import compare_rows
    from bibench_deploy.results.selection import words

    if not (math.isfinite(factor) and 1 <= factor <= 100):
        raise InputError("a factor between 1 and 100 is needed", where="--factor")
    failing = words(fail_on or [])
    for word in failing:
        if word not in FAILING:
            raise InputError(f"'{word}' is none of {', '.join(FAILING)}", where="--fail-on")
    first = _side(chosen, a, store_a, "A")
    second = _side(chosen, b, store_b, "B")
    if {row.id for row in first.rows} == {row.id for row in second.rows}:
        raise InputError("A and B are the same rows", remedy="name two measurements")
    by: Belonging = "condition" if first.of_artefact and second.of_artefact else "measurement"
    found = compare_rows(first.rows, second.rows, by, factor)
    if not found.pairs:
        raise InputError(
            "A and B have no measurement in common",
            remedy="the same device, engine, model, variant, threads and cores are compared, "
            "or two rows by their ids",
        )
    if as_json:
        console.print_json(_document(found, factor))
    else:
        from bibench_deploy.results.comparison_tables import show

        show(found, factor, console.stdout())
    _give_up(found, failing)


def _side(chosen: Chosen, text: str | None, url: str | None, name: str) -> _Side:
    """What A or B means.

    Raises:
        InputError: nothing, several things, or nothing that is there.
    """
    from bibench_deploy.results import Store

    store = Store.at(url) if url else chosen.store
    if text is None and url is None:
        raise InputError(
            f"what is {name}?", where="compare", remedy=f"name it, or give --store-{name.lower()}"
        )
    if text is None:
        return _Side(rows_of(store, chosen.selection))
    if Path(text).is_file():
        return _of_artefact(store, chosen, Path(text))
    return _named(store, chosen, text, name)


def _of_artefact(store: Store, chosen: Chosen, path: Path) -> _Side:
    from bibench_deploy.runners.workspace import read_artefact

    sha256 = read_artefact(path).manifest.sha256
    rows = tuple(row for row in rows_of(store, chosen.selection) if row.sha256 == sha256)
    if not rows:
        raise InputError(
            f"{store.where} holds no row of it",
            where=str(path),
            remedy="measure it with 'bibench-deploy profile'",
        )
    return _Side(rows, of_artefact=True)


def _named(store: Store, chosen: Chosen, text: str, name: str) -> _Side:
    key = text.strip()
    remedy = "take ids from 'results list --json', a night as PLAN/NIGHT, or give the file of an artefact"
    nothing = InputError(f"{name}: '{text}' is neither a file nor the beginning of an id", remedy=remedy)
    if not key:
        raise nothing
    hexadecimal = not set(key.lower()) - set("0123456789abcdef-")
    by_id = store.read(replace(chosen.selection, ids=(key.lower(),))).rows if hexadecimal else ()
    by_session = store.read(replace(chosen.selection, sessions=(key, key.lower()))).rows
    # A night whose name is the whole of it is meant, though others begin so, too.
    by_session = tuple(row for row in by_session if row.session == key) or by_session
    if (by_id and by_session) or len(by_id) > 1 or len({row.session for row in by_session}) > 1:
        raise InputError(
            f"{name}: several rows or sessions begin with '{text}'", remedy="give more of the id"
        )
    rows = by_id or by_session
    if not rows and not hexadecimal and "/" not in key:
        raise nothing
    if not rows:
        raise InputError(
            f"{name}: no row and no session begins with '{text}'", where=store.where, remedy=remedy
        )
    return _Side(rows)


def _document(found: Pairs, factor: float) -> dict[str, Any]:
    from bibench_deploy.results.comparison import words_of
    from bibench_deploy.results.document import row_document
    from bibench_deploy.runners.compare import SIGNIFICANT_P
    from bibench_deploy.runners.timing import summarise

    def median_ms(row: Row) -> float | None:
        return summarise(row.samples_ns).median_ms if row.samples_ns else None

    pairs = []
    for pair in found.pairs:
        comparison = pair.comparison
        interval = comparison.interval if comparison else None
        pairs.append(
            {
                "device": pair.b.device,
                "engine": pair.b.engine,
                "model": pair.b.model,
                "variant": pair.b.variant,
                "threads": pair.b.threads,
                "cpus": pair.b.cpus,
                "word": pair.word,
                "median_ms_a": median_ms(pair.a),
                "median_ms_b": median_ms(pair.b),
                "ratio": comparison.ratio if comparison else None,
                "ratio_low": interval.low if interval else None,
                "ratio_high": interval.high if interval else None,
                "p": comparison.p if comparison else None,
                "why": list(pair.why),
                "cautions": list(pair.cautions),
                "differs": list(pair.differs),
                "a": str(pair.a.id),
                "b": str(pair.b.id),
            }
        )
    return {
        "comparisons": pairs,
        "counts": words_of(found),
        "only_a": [row_document(row) for row in found.only_a],
        "only_b": [row_document(row) for row in found.only_b],
        "factor": factor,
        "significant_p": SIGNIFICANT_P,
    }


def _give_up(found: Pairs, failing: tuple[str, ...]) -> None:
    """End with 1 where the user wants it.

    Raises:
        RefusedError: there is a pair with one of the words.
    """
    wanted = [pair for pair in found.pairs if pair.word in failing]
    if not wanted:
        return
    disturbed = sum(bool(pair.cautions) for pair in wanted)
    said = f"; {disturbed} of them were disturbed while they were measured" if disturbed else ""
    counts = ", ".join(f"{sum(pair.word == word for pair in wanted)} {word}" for word in failing)
    raise RefusedError(
        f"of {len(found.pairs)} comparisons: {counts}{said}",
        where="compare",
        remedy="measure what was disturbed again" if disturbed else None,
    )
