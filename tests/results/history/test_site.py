"""The folder of pages: linked, closed to what names hold, whole or as it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from bibench_deploy.errors import InputError, OutputPathError
from bibench_deploy.results import Selection, Store
from bibench_deploy.results.history import MARK, write_site
from support.history_sites import CHANGE, NIGHTS, Links
from support.night_rows import night_name


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
