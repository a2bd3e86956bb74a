"""A night as JUnit XML: the format that every CI system shows.

One test suite a device, one test case a job. A regression is a *failure*, what could not be measured an *error*, a
job that an engine can't do (or that has no baseline yet) is *skipped*.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from .gate import FAILURES, REGRESSIONS, Finding, Status

SKIPPED = frozenset({Status.NOT_APPLICABLE, Status.NEW, Status.UNJUDGED})
#: What XML 1.0 can't hold at all, not even escaped.
_FORBIDDEN = {code: "�" for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: "�", 0xFFFF: "�"}


def junit(findings: Sequence[Finding], name: str = "bibench-deploy nightly") -> bytes:
    """The document, UTF-8."""
    root = ElementTree.Element("testsuites", {"name": _clean(name), **_counts(findings)})
    for device in dict.fromkeys(finding.key[0] for finding in findings):
        of_device = [finding for finding in findings if finding.key[0] == device]
        suite = ElementTree.SubElement(root, "testsuite", {"name": _clean(device), **_counts(of_device)})
        for finding in of_device:
            _case(suite, finding)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _case(suite: ElementTree.Element, finding: Finding) -> None:
    device, engine, model, variant, threads, cpus = finding.key
    row = finding.row
    seconds = sum(row.samples_ns) / 1e9 if row is not None else 0.0
    job = f"{variant}, {engine}, {threads} thread{'s' if threads > 1 else ''}" + (f", {cpus}" if cpus else "")
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {"classname": _clean(f"{device}.{model}"), "name": _clean(job), "time": f"{seconds:.3f}"},
    )
    kind = _kind(finding.status)
    if kind is not None:
        attributes = {"message": _clean(finding.words)}
        if kind != "skipped":
            attributes["type"] = finding.status.value
        ElementTree.SubElement(case, kind, attributes).text = _clean(f"{finding.name}: {finding.words}")
    elif finding.words:
        ElementTree.SubElement(case, "system-out").text = _clean(finding.words)


def _kind(status: Status) -> str | None:
    if status in REGRESSIONS:
        return "failure"
    if status in FAILURES:
        return "error"
    return "skipped" if status in SKIPPED else None


def _counts(findings: Sequence[Finding]) -> dict[str, str]:
    kinds = [_kind(finding.status) for finding in findings]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
    }


def _clean(text: str) -> str:
    return text.translate(_FORBIDDEN)
