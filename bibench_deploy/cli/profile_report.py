"""How ``profile`` ends: its tables or its document, and what it says of failures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from bibench_deploy.cli import console
from bibench_deploy.errors import in_a_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bibench_deploy.profile_plan import Failed, Outcome, Plan, Target
    from bibench_deploy.results import Row


def show(outcome: Outcome, plan: Plan, measured_on: Sequence[Target], as_json: bool) -> None:
    """Print the rows: tables, one set a device, or one JSON document that tells of failures too."""
    from bibench_deploy.results.document import document
    from bibench_deploy.results.operator_tables import show_operators
    from bibench_deploy.results.report import report
    from bibench_deploy.results.tables import show as show_tables

    if as_json:
        failures = [_failure(failed, plan) for failed in outcome.failures]
        rows = outcome.ordered(plan, measured_on)
        console.print_json(document(report(rows)) | {"failures": failures, "pushed_bytes": outcome.pushed})
        return
    for number, target in enumerate(measured_on):
        rows = outcome.ordered(plan, [target])
        if rows:
            if number:
                console.stdout().print()
            show_tables(report(rows), console.stdout())
            if plan.per_op:
                show_operators(rows, console.stdout())
            for note in _notes(rows, outcome.pushed.get(target.name)):
                console.stdout().print(note, markup=False, soft_wrap=True)


def _notes(rows: Sequence[Row], pushed: int | None) -> list[str]:
    """What there is to say of rows that a device measured; nothing of this machine's."""
    from bibench_deploy.results.tables import size

    measured = [row for row in rows if row.state == "measured"]
    if pushed is None or not measured:
        return []
    verified = sum(row.verified_on_device is True for row in measured)
    notes = []
    if verified:
        notes.append(f"{verified} of {len(measured)} rows: outputs verified on the device before timing")
    if verified < len(measured):
        notes.append(
            f"{len(measured) - verified} of {len(measured)} rows: not verified on the device (the artefact has no "
            "stored rows: convert the model again; or its engine's program does not tell its outputs)"
        )
    return [*notes, f"pushed: {size(pushed) if pushed else 'nothing, all was there'}"]


def _failure(failed: Failed, plan: Plan) -> dict[str, object]:
    manifest = plan.artefacts[failed.job.artefact].manifest if failed.job else None
    error = failed.error
    return {
        "device": failed.device,
        "engine": manifest.engine if manifest else None,
        "model": manifest.model if manifest else None,
        "variant": manifest.variant if manifest else None,
        "threads": failed.job.threads if failed.job else None,
        "kind": type(error).__name__,
        "exit_code": error.exit_code,
        "where": error.where,
        "message": error.message,
        "remedy": error.remedy,
    }


def give_up(failures: Sequence[Failed]) -> NoReturn:
    """Report what could not be measured; the gravest as the error that ends the command.

    Raises:
        BibenchError: always.
    """
    # A device that failed leaves the answer open; one that computes otherwise gives it.
    gravest = min(failures, key=lambda failed: (3, 1, 2).index(failed.error.exit_code))
    for failed in failures:
        if failed is not gravest:
            count = failed.job.threads if failed.job else 0
            threads = f" with {count} thread{'s' if count > 1 else ''}" if count else ""
            console.warn(f"{failed.device}: not measured{threads}: {in_a_line(failed.error)}")
    raise gravest.error
