"""The history: what is told as news, the feed by the rules of RFC 4287, the folder that is whole or as it was."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bibench_deploy.cli.app import app
from bibench_deploy.cli.console import guarded
from bibench_deploy.errors import InputError, OutputPathError, StoreError
from bibench_deploy.results import Selection, Store
from bibench_deploy.results.history import MARK, write_site
from bibench_deploy.results.history.feed import ATOM
from bibench_deploy.results.history.names import page_name
from bibench_deploy.results.history.news import Event, entries, of_findings, of_series
from bibench_deploy.results.history.reading import series_of
from bibench_deploy.results.history.series import Point, Series, What
from bibench_deploy.results.html.frame import shared
from bibench_deploy.results.nights import Night, nights
from support.night_rows import SEED, filled, finding, night_name, night_row, tell_night
from support.report_rows import EVIL

WHAT = What("rpi4", "resnet18", "native", "bnn", 1)
CHANGE, NIGHTS = 30, 45


def series(medians: Sequence[float], **facts: Any) -> Series:
    """Nights of these medians in ms, stable and of one size but for what is said of some by their number."""
    points = []
    for night, median in enumerate(medians):
        told = {name: values.get(night) for name, values in facts.items() if night in values}
        given = {"size_bytes": 4_000_000, "verdict": "stable"} | told
        points.append(Point(night, median, None, None, **given))
    return Series(WHAT, points)


# --- what is news ------------------------------------------------------------------------------------


def test_a_step_is_told_with_its_size_and_a_resize_too() -> None:
    slower = series(
        [10.0] * 20 + [11.0] * 10, size_bytes={3: 4_000_099} | dict.fromkeys(range(25, 30), 4_400_000)
    )
    assert of_series(slower) == [
        Event(WHAT, 20, "slower", "+10.0 %, 10.0 → 11.0 ms"),
        Event(WHAT, 25, "larger", "+10.0 %, 4.00 MB → 4.40 MB"),
    ]
    assert of_series(series([10.0] * 20 + [9.0] * 10)) == [
        Event(WHAT, 20, "faster", "−10.0 %, 10.0 → 9.00 ms")
    ]


def test_what_is_invalid_makes_no_level() -> None:
    odd = dict.fromkeys(range(20, 30), "invalid")
    found = series([10.0] * 20 + [30.0] * 10, verdict=odd)
    assert found.steps == ()
    assert [(level.first, level.last, level.nights) for level in found.levels] == [(0, 19, 20)]
    assert series([10.0], verdict={0: "invalid"}).levels == ()


def test_a_step_begins_in_the_night_that_has_its_first_value() -> None:
    """Nights in which the job was not measured are left out of the search, not of the count."""
    points = [Point(n, 10.0 if n < 50 else 12.0, None, None, 1, "stable") for n in range(0, 100, 2)]
    assert [change.night for change in Series(WHAT, points).steps] == [50]


def test_an_alarm_is_told_once_with_the_step_that_it_is_about() -> None:
    since = {"night": "n20", "commit": "c0ffee"}
    told = [finding(status="slower", kind="regression", words="1.10×", since=since)]
    numbers = {f"n{number}": number for number in range(30)}
    alarms = [event for night in range(20, 27) for event in of_findings(told, night, numbers)]
    steps = of_series(series([10.0] * 21 + [11.0] * 9))  # found a night off
    (entry,) = entries([*steps, *alarms])
    assert (entry.night, entry.alarm, entry.kinds, entry.said) == (20, True, "slower", "resnet18 slower")
    (event,) = entry.events
    assert event.words == "+10.0 %, 10.0 → 11.0 ms (1.10×)"


def test_what_comes_again_later_is_news_again() -> None:
    told = [finding(status="larger", kind="regression", words="more")]
    alarms = [event for night in (5, 20) for event in of_findings(told, night, {})]
    assert [entry.night for entry in entries(alarms)] == [20, 5]


@pytest.mark.parametrize("kind", ["unchanged", "infrastructure", "faster", "none", None])
def test_only_a_regression_is_an_alarm(kind: str | None) -> None:
    assert of_findings([finding(kind=kind)], 3, {}) == []


def test_one_change_of_a_model_is_one_entry_with_all_of_its_jobs() -> None:
    events = [Event(What("rpi4", "resnet18", "native", "bnn", n), 7, "slower", "+8 %") for n in (4, 1, 2)]
    events.append(Event(What("rpi4", "other", "native", "bnn", 1), 7, "faster", "−8 %"))
    other, entry = entries(events)
    assert [event.what.threads for event in entry.events] == [1, 2, 4]
    assert (entry.said, other.said) == ("resnet18 slower (3 jobs)", "other faster")


# --- reading -----------------------------------------------------------------------------------------


def opened(store: Store, *numbers: int, plan: str = "lab") -> list[Night]:
    for number in numbers:
        tell_night(store, number, [], plan)
    return nights(store, plan)


def test_only_rows_of_the_nights_are_read_and_the_later_of_two_counts(store: Store) -> None:
    random = np.random.default_rng(SEED)
    found = opened(store, 0, 1)
    store.append(
        [
            night_row(0, 10.0, random),
            night_row(1, 30.0, random),
            night_row(1, 20.0, random),
            night_row(0, 99.0, random, session="lab/unheard of"),
            night_row(0, 99.0, random, session=f"lab/{night_name(0)}b"),
            night_row(0, 99.0, random, plan="other"),
            night_row(0, 99.0, random, session=None),
            night_row(0, 99.0, random, device="pixel"),
            night_row(0, 5.0, random, threads=2, verdict=None),
            night_row(
                0, 1.0, random, threads=4, state="not_applicable", samples_ns=[], turns=[], reasons=["no"]
            ),
        ]
    )
    one, two = series_of(store, "rpi4", found, Selection())[0]
    assert [(point.night, round(point.median_ms)) for point in one.points] == [(0, 10), (1, 20)]
    first = one.points[0]
    assert first.low_ms is not None
    assert first.high_ms is not None
    assert first.low_ms < first.median_ms < first.high_ms
    assert (two.what.threads, two.points[0].verdict) == (2, "stable")  # judged by its spread


def test_a_damaged_row_is_an_error_that_names_its_night(store: Store) -> None:
    found = opened(store, 0)
    store.append([night_row(0, 10.0, np.random.default_rng(SEED))])
    with store.transaction(writes=True) as connection:
        blob = {"sqlite": "X'00'", "postgresql": "'\\x00'"}[connection.dialect.name]
        connection.exec_driver_sql(f"UPDATE measurement SET samples = {blob}")
    with pytest.raises(StoreError, match=rf"a row of rpi4 in lab/{night_name(0)} is damaged"):
        series_of(store, "rpi4", found, Selection())


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), unique=True, min_size=2, max_size=6))
def test_every_page_has_a_name_of_its_own_that_any_server_takes(given: list[tuple[str, str, str]]) -> None:
    names = [page_name(*one) for one in given]
    assert len({name.lower() for name in names}) == len(given)
    assert all(re.fullmatch(r"pages/[a-z0-9-]{1,95}\.html", name) for name in names)


# --- the whole site ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two devices, one of them hostile; one job slower from a night on, and its nights say so."""
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    store = Store.at(str(tmp_path_factory.mktemp("history") / "store.sqlite"))
    since = {"night": night_name(CHANGE), "commit": None}
    told = [
        finding(status="slower", kind="regression", words=f"1.10× {EVIL}\x01", ratio=1.1, since=since),
        finding(device=f"board {EVIL}", status="missing", kind="infrastructure", words=EVIL),
    ]
    courses = {
        ("rpi4", "bnn", 1): lambda night: 66.0 if night >= CHANGE else 60.0,
        ("rpi4", "fp32", 1): lambda night: 400.0,
        (f"board {EVIL}", "bnn", 2): lambda night: 9.0,
    }
    filled(store, NIGHTS, courses, dict.fromkeys(range(CHANGE, CHANGE + 7), told))
    return store


@pytest.fixture(scope="module")
def site(filled_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "out"
    written = write_site(filled_store, folder, "0.1.0")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MARK]
    assert (written.pages, written.nights, written.files) == (2, NIGHTS, len(files))
    assert written.size_bytes == sum(path.stat().st_size for path in files)
    return folder


class Links(HTMLParser):
    """All that a page refers to, its ids, and the data in it."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.ids: list[str] = []
        self.data: dict[str, Any] = {}
        self._within: str | None = None
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.targets += [value for name in ("href", "src") if (value := found.get(name)) is not None]
        self.ids += [value for value in [found.get("id")] if value]
        self._within = found["id"] if found.get("type") == "application/json" else None

    def handle_data(self, data: str) -> None:
        if self._within and data.strip():
            self.data[self._within] = json.loads(data)


def pages(site: Path) -> list[Path]:
    return [site / "index.html", *sorted((site / "pages").iterdir())]


def test_every_link_is_relative_and_leads_somewhere(site: Path) -> None:
    reached = set()
    for page in pages(site):
        for target in Links(page).targets:
            parts = urlsplit(target)
            if parts.scheme == "data":
                continue
            assert (parts.scheme, parts.netloc) == ("", ""), target
            assert not parts.path.startswith("/")
            if parts.path:
                led = (page.parent / unquote(parts.path)).resolve()
                assert led.is_file(), target
                reached.add(led)
    written = {path.resolve() for path in site.rglob("*") if path.is_file() and path.name != MARK}
    assert written - reached <= {(site / "index.html").resolve()}
    assert (site / "index.html").resolve() in reached  # from the pages


def test_a_page_tells_the_step_with_its_night_and_commit(site: Path) -> None:
    (page,) = (site / "pages").glob("rpi4-*.html")
    text = page.read_text(encoding="utf-8")
    assert night_name(CHANGE) in text
    charts = Links(page).data["charts"]
    assert len(charts) == 2
    bnn, fp32 = charts.values()
    (values,) = bnn["data"]["values"]
    assert len(values["ms"]) == len(values["at"]) == len(values["low"]) == NIGHTS
    began = datetime.fromtimestamp(values["at"][CHANGE] / 1000, UTC)
    assert began.date().isoformat() == night_name(CHANGE)
    marks = [layer["data"]["values"] for layer in bnn["layer"] if "data" in layer]
    levels, steps, _ = marks
    assert [round(level["ms"]) for level in levels] == [60, 66]
    (step,) = steps
    assert step["at"] == values["at"][CHANGE]
    assert step["slower"] is True
    assert step["night"].startswith(night_name(CHANGE))
    assert len([layer for layer in fp32["layer"] if "data" in layer]) == 1  # its level alone


def test_no_name_breaks_out_of_a_page(site: Path) -> None:
    for page in pages(site):
        found = Links(page)
        assert "evil" not in found.ids
        assert not page.read_text(encoding="utf-8").count("NaN")


def test_the_same_store_gives_the_same_files(site: Path, filled_store: Store, tmp_path: Path) -> None:
    write_site(filled_store, tmp_path / "again", "0.1.0")
    for path in site.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(site)).read_bytes() == path.read_bytes()


def test_a_selection_chooses_rows_and_nights(filled_store: Store, tmp_path: Path) -> None:
    since = datetime.fromisoformat(f"{night_name(40)}T00:00:00+00:00")
    written = write_site(filled_store, tmp_path / "s", "0.1.0", Selection(devices=("rpi4",), since=since))
    assert (written.pages, written.nights) == (1, NIGHTS - 40)
    with pytest.raises(InputError, match="nothing was measured in these nights"):
        write_site(filled_store, tmp_path / "s", "0.1.0", Selection(devices=("absent",)))
    assert len(list((tmp_path / "s" / "pages").iterdir())) == 1  # as it was


# --- the feed: RFC 4287 ------------------------------------------------------------------------------


def atom(name: str) -> str:
    return f"{{{ATOM}}}{name}"


def feed_of(site: Path) -> ElementTree.Element:
    return ElementTree.parse(site / "feed.xml").getroot()


#: Section 4.2 and 4.1: elements that must stand once, and those that may not stand twice.
ONCE = ("id", "title", "updated")


def test_the_feed_has_what_the_standard_asks_for(site: Path) -> None:
    root = feed_of(site)
    assert root.tag == atom("feed")
    entries_of_it = root.findall(atom("entry"))
    for element in (root, *entries_of_it):
        for name in ONCE:
            (child,) = element.findall(atom(name))
            assert child.text
            assert child.text.strip() == child.text
        assert UUID(element.findtext(atom("id"), ""))  # 4.2.6: an absolute IRI; urn:uuid:…
        assert element.findtext(atom("id"), "").startswith("urn:uuid:")
        moment = element.findtext(atom("updated"), "")  # 3.3: RFC 3339, with a capital T and Z
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", moment)
        alternates = [link for link in element.findall(atom("link")) if link.get("rel") == "alternate"]
        assert len(alternates) == 1  # 4.1.1: not two with the same type and language
        assert all(link.get("href") for link in element.findall(atom("link")))
    # 4.1.1: an author in the feed, or in every entry.
    assert [author.findtext(atom("name")) for author in root.findall(atom("author"))] == ["bibench-deploy"]
    assert len([link for link in root.findall(atom("link")) if link.get("rel") == "self"]) == 1
    ids = [entry.findtext(atom("id")) for entry in entries_of_it]
    assert len(set(ids)) == len(ids) > 0
    known = {atom(name) for name in ("id", "title", "updated", "author", "link", "entry")}
    assert {child.tag for child in root} <= known
    for entry in entries_of_it:
        assert {child.tag for child in entry} <= known | {atom("content"), atom("category")}
        (content,) = entry.findall(atom("content"))
        assert content.get("type") == "html"  # 4.1.3.3: text that is HTML, so without child elements
        assert not list(content)
        assert "<ul>" in (content.text or "")
        assert "<b id" not in (content.text or "")


def test_the_feed_tells_of_the_regression_and_leads_to_its_page(site: Path) -> None:
    (entry,) = feed_of(site).findall(atom("entry"))
    title = entry.findtext(atom("title"), "")
    assert title.startswith("regression: rpi4: resnet18 slower, ")
    assert night_name(CHANGE) in title
    assert entry.findtext(atom("updated")) == f"{night_name(CHANGE)}T03:30:00Z"
    link = entry.find(atom("link"))
    assert link is not None
    assert (site / link.get("href", "")).is_file()


def test_an_entry_keeps_its_id_when_the_site_is_written_with_more_nights(
    site: Path, filled_store: Store, tmp_path: Path
) -> None:
    store = Store.at(str(tmp_path / "more.sqlite"))
    assert filled_store.path is not None
    (tmp_path / "more.sqlite").write_bytes(filled_store.path.read_bytes())
    tell_night(store, NIGHTS, [])
    store.append([night_row(NIGHTS, 66.0, np.random.default_rng(SEED), size_bytes=4_000_000)])
    write_site(store, tmp_path / "more", "0.1.0")
    before, after = (
        [entry.findtext(atom("id")) for entry in feed_of(at).findall(atom("entry"))]
        for at in (site, tmp_path / "more")
    )
    assert before == after


# --- the folder --------------------------------------------------------------------------------------


def test_old_pages_do_not_linger(filled_store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_site(filled_store, folder, "0.1.0")
    write_site(filled_store, folder, "0.1.0", Selection(devices=("rpi4",)))
    assert len(list((folder / "pages").iterdir())) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_of_something_else_is_refused(filled_store: Store, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputPathError, match="holds other files"):
        write_site(filled_store, tmp_path, "0.1.0")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


Command = Callable[..., int]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command in this process; its exit code."""

    def call(*arguments: str) -> int:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["bibench-deploy", "report", *arguments])
        return guarded(app)

    return call


def test_the_command_writes_it_and_says_where(filled_store: Store, report: Command, capfd: Any) -> None:
    assert report("--history", "out", "--store", filled_store.where) == 0
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"wrote out: 2 pages of {NIGHTS} nights, 7 files, ")
    assert Path("out/index.html").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json"], "are about the newest rows"),
        (["--html", "x.html"], "are about the newest rows"),
        (["--figure", "chips", "-o", "x.svg"], "are about the store, a figure is not"),
        (["--since", "2027-01-01"], "holds no such nights"),
        (["--device", "absent"], "nothing was measured in these nights"),
        (["--store", "empty.sqlite"], "holds no such nights"),
    ],
)
def test_wrong_usage_is_said(
    filled_store: Store, tmp_path: Path, report: Command, options: list[str], message: str, capfd: Any
) -> None:
    assert report("--history", "out", "--store", filled_store.where, *options) == 2
    assert message in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_said_before_any_work(
    filled_store: Store, tmp_path: Path, report: Command, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    shared.cache_clear()
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    assert report("--history", "out", "--store", filled_store.where) == 2
    assert "pip install 'bibench-deploy[charts]'" in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
