"""JUnit XML, read back by a JUnit reader."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junitparser import Error, Failure, JUnitXml, Skipped

from bibench_deploy.nightly.document import NightReport
from bibench_deploy.nightly.finding import INFRASTRUCTURE, REGRESSIONS, Status
from bibench_deploy.nightly.junit import SKIPPED, junit
from support.reports import report, told


def read(made: NightReport, folder: Path) -> JUnitXml:
    path = folder / "night.xml"
    path.write_bytes(junit(made))
    found = JUnitXml.fromfile(str(path))
    assert isinstance(found, JUnitXml)
    return found


def test_a_reader_sees_suites_cases_and_why(tmp_path: Path) -> None:
    made = report(
        told(Status.SAME, device="local"),
        told(Status.SLOWER),
        told(Status.MISSING, threads=2),
        told(Status.NEW, threads=1),
    )
    found = read(made, tmp_path)
    assert (found.tests, found.failures, found.errors, found.skipped) == (4, 1, 1, 1)
    assert [suite.name for suite in found] == ["local", "rpi4"]
    slower, missing, new = list(found)[1]
    assert (slower.classname, slower.name, slower.time) == ("rpi4.resnet18", "dorefa, native, 4 threads", 1.5)
    (failure,) = slower.result
    assert isinstance(failure, Failure)
    assert failure.type == "slower"
    assert (
        failure.message
        == "resnet18 dorefa on rpi4 (native, 4 threads) 12 % slower since 2026-11-20 (a1b2c3d)"
    )
    assert "words of slower" in failure.text
    assert isinstance(missing.result[0], Error)
    assert isinstance(new.result[0], Skipped)
    # what a reader counts itself is what the file says
    found.update_statistics()
    assert (found.tests, found.failures, found.errors, found.skipped) == (4, 1, 1, 1)


@pytest.mark.parametrize("status", list(Status))
def test_what_each_status_is_to_a_reader(status: Status, tmp_path: Path) -> None:
    (case,) = next(iter(read(report(told(status)), tmp_path)))
    kinds = [type(result) for result in case.result]
    if status in REGRESSIONS:
        assert kinds == [Failure]
    elif status in INFRASTRUCTURE:
        assert kinds == [Error]
    elif status in SKIPPED:
        assert kinds == [Skipped]
    else:
        assert kinds == []


def test_a_night_without_a_job_is_no_pass(tmp_path: Path) -> None:
    found = read(report(), tmp_path)
    assert (found.tests, found.errors) == (1, 1)


def test_a_dot_in_a_name_is_no_level(tmp_path: Path) -> None:
    (case,) = next(iter(read(report(told(Status.SAME, device="board.lan", model="net.v2")), tmp_path)))
    assert case.classname == "board_lan.net_v2"


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1), st.text())
def test_any_text_makes_a_document_that_can_be_read(name: str, words: str) -> None:
    made = report(told(Status.MISSING, device=name, model=words, words=words))
    root = ElementTree.fromstring(junit(made))
    assert root.get("errors") == "1"


def test_what_xml_cannot_hold_is_replaced() -> None:
    nasty = told(Status.MISSING, device="a\x00<&\"'", words="]]>\x1b[31m broken\nline \ud800 \ufffe")
    root = ElementTree.fromstring(junit(report(nasty)))
    assert root[0].get("name") == "a�<&\"'"
    assert (
        root[0][0][0].text
        == "resnet18 dorefa on a�<&\"' (native, 4 threads) was not measured: ]]>�[31m broken\nline � �"
    )
