"""The pages of the nights in a real browser: drawn, quiet, linked, in both themes, on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.results import Store
from bibench_deploy.results.history import write_site
from support import chromium
from support.night_rows import filled, finding, night_name
from support.pages import CHARTS, IN_A_BROWSER, colours, filtered

pytestmark = IN_A_BROWSER

NIGHTS, CHANGE = 60, 40


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two devices; one job of one of them is slower from a night on."""
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    folder = tmp_path_factory.mktemp("history")
    store = Store.at(str(folder / "store.sqlite"))
    told = finding(status="slower", kind="regression", words="1.10× the median of 7 nights", ratio=1.1)
    courses = {
        ("rpi4", "bnn", 1): lambda night: 66.0 if night >= CHANGE else 60.0,
        ("rpi4", "bnn", 4): lambda night: 20.0,
        ("rpi4", "fp32", 1): lambda night: 400.0,
        ("pixel", "bnn", 1): lambda night: 9.0,
    }
    filled(store, NIGHTS, courses, {CHANGE: [told]})
    write_site(store, folder / "site", "0.1.0")
    return folder / "site"


def page_of(site: Path, device: str) -> Path:
    (found,) = (site / "pages").glob(f"{device}-*.html")
    return found


def test_every_chart_is_drawn_with_a_point_a_night_and_nothing_complains(
    tab: chromium.Browser, site: Path
) -> None:
    tab.open(page_of(site, "rpi4"))
    drawn = tab.value(
        f"{CHARTS}.map(c => {{ const box = c.querySelector('svg').getBoundingClientRect();"
        " return [box.width > 250 && box.height > 120, c.querySelectorAll('.mark-symbol path').length,"
        " [...c.querySelectorAll('.mark-text.role-mark text')].map(t => t.textContent).join()] })"
    )
    assert drawn == [[True, NIGHTS, "+10.3 %"], [True, NIGHTS, ""], [True, NIGHTS, ""]]
    assert tab.value("document.querySelectorAll('.failed').length") == 0
    assert tab.value(f"{CHARTS}.every(c => c.scrollWidth <= c.clientWidth)")
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []


def test_the_first_page_leads_to_the_devices_and_they_lead_back(tab: chromium.Browser, site: Path) -> None:
    tab.open(site / "index.html")
    assert tab.complaints == []
    changed = "document.querySelector('main section:first-child tbody tr')"
    assert night_name(CHANGE) in tab.value(f"{changed}.textContent")
    assert "regression" not in tab.value("document.querySelector('h2').textContent")
    tab.value(f"{changed}.querySelector('a').click()")
    tab.wait(
        "document.documentElement?.dataset.charts === 'drawn' && document.querySelector('.chart svg') !== null"
    )
    assert tab.value("document.querySelector('h1').textContent") == "rpi4 · resnet18"
    tab.value("document.querySelector('header a').click()")
    tab.wait("document.querySelector('h1')?.textContent === 'Latencies over the nights'")
    tab.wait("document.documentElement?.dataset.charts === 'drawn'")
    assert tab.complaints == []


def test_the_devices_are_filtered_by_words(tab: chromium.Browser, site: Path) -> None:
    tab.open(site / "index.html")
    assert filtered(tab, "rpi4 slower") == "1 of 2"
    assert filtered(tab, "") == ""


def test_both_themes_have_colours_of_their_own(tab: chromium.Browser, site: Path) -> None:
    seen = set[str]()
    for scheme in ("light", "dark"):
        tab.open(page_of(site, "rpi4"), scheme=scheme)
        seen |= set(colours(tab))
    assert len(seen) == 4


def test_a_phone_scrolls_down_alone(tab: chromium.Browser, site: Path) -> None:
    for page in (site / "index.html", page_of(site, "rpi4")):
        tab.open(page, width=375, height=740)
        assert tab.value("document.documentElement.scrollWidth") <= 375
        assert tab.value(f"{CHARTS}.every(c => c.scrollWidth <= c.clientWidth)")
        assert tab.complaints == []
