"""How ``nightly`` ends: the morning line, what is behind it, and the files that CI reads."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bibench_deploy.cli import console

if TYPE_CHECKING:
    from bibench_deploy.nightly.document import NightReport

#: Where GitHub Actions wants a step's Markdown; earlier commands of the step may have written there, too.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
IN_ACTIONS = "GITHUB_ACTIONS"


def publish(report: NightReport, as_json: bool, junit: Path | None, summary: Path | None) -> None:
    """Print a report, and write the files that were asked for.

    Raises:
        OutputPathError, StorageError: a file can't be written.
    """
    from bibench_deploy.files import write_atomically
    from bibench_deploy.nightly import junit as junit_xml
    from bibench_deploy.nightly import summary as markdown

    if as_json:
        console.print_json(report.document())
    else:
        _print(report)
    if os.environ.get(IN_ACTIONS) == "true":  # GitHub reads commands on either stream
        out = console.stderr() if as_json else console.stdout()
        for command in markdown.commands(report):
            out.print(command, markup=False, soft_wrap=True)
    if junit is not None:
        write_atomically(junit, junit_xml.junit(report))
    if summary is not None:
        text = markdown.summary(report)
        if str(summary) == os.environ.get(STEP_SUMMARY) and summary.exists():
            text = summary.read_text(encoding="utf-8") + text
        write_atomically(summary, text.encode())


def _print(report: NightReport) -> None:
    """The morning line first; a reader who is content stops there."""
    from bibench_deploy.nightly.telling import causes, counted, headline, sentence

    out = console.stdout()

    def line(text: str, style: str = "") -> None:
        out.print(text, markup=False, style=style, soft_wrap=True)

    styles = {0: "bold green", 1: "bold red", 3: "bold yellow"}
    line(headline(report), styles[report.exit_code])
    for kind, title, style in (("regression", "worse:", "red"), ("faster", "faster:", "green")):
        told = report.of_kind(kind)  # type: ignore[arg-type]
        if told:
            line(title, style)
        for finding in told:
            line(f"  {sentence(finding)}")
            line(f"    {finding.words}", "dim")
    ill = report.of_kind("infrastructure")
    if ill:
        line("not judged (infrastructure):", "yellow")
    for device, words, count in causes(ill):
        line(f"  {device}: {counted(count, 'job')}: {words}")
    for one in report.devices:
        if not one.quarantined:
            line(f"  {one.device} failed {counted(one.failures, 'time')} and recovered: {one.words}", "dim")
    line(
        f"{report.plan}, night {report.night}"
        + (f", commit {report.commit[:12]}" if report.commit else "")
        + f"; judged against {report.baseline}",
        "dim",
    )
