"""A night as JUnit XML: the format that every CI system shows.

One test suite a device, one test case a job. A regression is a *failure*, what could not be measured or judged an
*error*, a job that an engine can't do (or that has no baseline yet) is *skipped*.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from xml.etree import ElementTree

from bibench_deploy.xmltext import printable

from .document import NightReport, Told
from .finding import Status
from .telling import headline, sentence

SKIPPED = frozenset({Status.NOT_APPLICABLE, Status.NEW, Status.UNJUDGED})


def junit(report: NightReport) -> bytes:
    """The document, UTF-8."""
    name = printable(f"{report.plan} {report.night}")
    began = report.started_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    root = ElementTree.Element("testsuites", {"name": name, **_counts(report.findings)})
    for device in dict.fromkeys(told.device for told in report.findings):
        of_device = [told for told in report.findings if told.device == device]
        facts = {"name": printable(device), "timestamp": began, **_counts(of_device)}
        suite = ElementTree.SubElement(root, "testsuite", facts)
        for told in of_device:
            _case(suite, told)
    if not report.findings:
        _nothing(root, report, began)
    ElementTree.indent(root)
    document: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _nothing(root: ElementTree.Element, report: NightReport, began: str) -> None:
    """A file without a test case is a pass for most readers; a night without a job is none."""
    root.attrib |= {"tests": "1", "errors": "1"}
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0.000"}
    suite = ElementTree.SubElement(root, "testsuite", {"name": "plan", "timestamp": began, **counts})
    case = ElementTree.SubElement(suite, "testcase", {"classname": "plan", "name": "jobs", "time": "0.000"})
    words = {"message": headline(report), "type": Status.MISSING.value}
    ElementTree.SubElement(case, "error", words).text = headline(report)


def _case(suite: ElementTree.Element, told: Told) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        {
            # A dot is a level to most readers: a device's own would make one.
            "classname": printable(f"{told.device.replace('.', '_')}.{told.model.replace('.', '_')}"),
            "name": printable(f"{told.variant}, {told.how}"),
            "time": f"{told.measured_s:.3f}",
        },
    )
    kind = _kind(told)
    if kind is not None:
        attributes = {"message": printable(told.words)}
        if kind != "skipped":
            attributes |= {"message": printable(sentence(told)), "type": told.status.value}
        ElementTree.SubElement(case, kind, attributes).text = printable(f"{sentence(told)}: {told.words}")
    elif told.words:
        ElementTree.SubElement(case, "system-out").text = printable(told.words)


def _kind(told: Told) -> str | None:
    if told.kind == "regression":
        return "failure"
    if told.kind == "infrastructure":
        return "error"
    return "skipped" if told.status in SKIPPED else None


def _counts(findings: Sequence[Told]) -> dict[str, str]:
    kinds = [_kind(told) for told in findings]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "skipped": str(kinds.count("skipped")),
        "time": f"{sum(told.measured_s for told in findings):.3f}",
    }
