"""The page of a report in a real browser: drawn, quiet, reachable by keyboard, in both themes, on a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.results.figures import chips_chart
from bibench_deploy.results.html import page
from bibench_deploy.results.html.frame import one_chart
from bibench_deploy.results.tidy import grid, recent, reference
from support import chromium
from support.pages import CHARTS, IN_A_BROWSER, colours, filtered
from support.report_rows import DAY, EVIL, everything

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    summary = recent(everything())
    published = reference(grid(summary), {"rpi4": "Raspberry Pi 4B"})
    path = tmp_path_factory.mktemp("report") / "out.html"
    path.write_bytes(page(summary, published, DAY, "0.1.0"))
    return path


def test_every_chart_is_drawn_and_nothing_complains_or_loads(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    sizes = tab.value(
        f"{CHARTS}.map(c => {{ const box = c.querySelector('svg').getBoundingClientRect();"
        " return [box.width, box.height, c.querySelectorAll('.mark-symbol path, .mark-rect path').length] })"
    )
    # Latency, speedup, size and accuracy of two devices; the layers of one; the latency of a lone model.
    assert len(sizes) == 10
    assert all(width > 200 and height > 80 and marks > 0 for width, height, marks in sizes), sizes
    assert tab.value(f"{CHARTS}.every(c => c.scrollWidth <= c.clientWidth)")
    assert tab.value("document.querySelectorAll('.failed').length") == 0
    assert tab.complaints == []
    assert [url for url in tab.requests if not url.startswith(("file:", "data:"))] == []


def test_the_roofline_has_a_slope_and_every_layer_that_multiplies(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    chart = f"{CHARTS}.find(c => c.closest('figure').textContent.includes('Roofline'))"
    assert tab.value(f"{chart}.querySelectorAll('.mark-symbol path').length") >= 3
    assert tab.value(f"{chart}.querySelectorAll('.mark-line path').length") == 2  # a roof for either kind
    text = tab.value(f"{chart}.closest('figure').textContent")
    assert "read of memory, 3.5 GB/s" in text
    assert "128 GMAC/s" in text


def test_names_of_the_store_stay_text(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    assert tab.value("document.querySelectorAll('#evil').length") == 0
    text = tab.value("document.querySelector('main').textContent")
    assert EVIL in text
    assert "undefined" not in text
    assert "NaN" not in text


def test_both_themes_by_the_system_and_by_the_switch(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    light = colours(tab)
    tab.emulate("dark")
    dark = colours(tab)
    assert len({*light, *dark}) == 4
    for expected in (light, dark, dark):  # light, dark, and as the system again
        tab.value("document.getElementById('theme').click()")
        assert colours(tab) == expected
    tab.emulate("dark", media="print")
    assert colours(tab) == ("rgb(255, 255, 255)", "rgb(0, 0, 0)")


def test_all_that_opens_is_reached_by_the_keyboard(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    wanted = tab.value(
        "(() => { const all = [...document.querySelectorAll('button, input, summary, a, .scroll')]"
        ".filter(e => e.checkVisibility()); all.forEach((e, n) => e.dataset.n = n); return all.length })()"
    )
    reached = set()
    for _ in range(wanted + 5):
        tab.press("Tab")
        reached.add(tab.value("document.activeElement.dataset.n ?? null"))
    assert {int(n) for n in reached if n is not None} == set(range(wanted))


def test_a_row_opens_to_its_samples_and_conditions(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    tab.value("document.querySelector('button.open').focus()")
    tab.press("Enter")
    tab.wait("document.querySelector('tr.inside svg .mark-symbol path') !== null")
    assert tab.value("document.querySelectorAll('tr.inside svg .mark-symbol path').length") == 30
    assert tab.value("document.querySelector('tr.inside svg').getBoundingClientRect().width") > 300
    assert tab.value("document.querySelectorAll('tr.inside tbody tr').length") == 10
    facts = tab.value("document.querySelector('tr.inside dl').textContent")
    assert "host_cpuCortex-A72" in facts
    assert "context_governorunknown" in facts
    tab.press("Enter")
    assert tab.value("document.querySelectorAll('tr.inside').length") == 0
    assert tab.complaints == []


def test_the_list_is_filtered_by_words(tab: chromium.Browser, file: Path) -> None:
    tab.open(file)
    total = len(recent(everything()).lines) + 1
    assert filtered(tab, "rpi4 stable") == f"24 of {total}"
    assert filtered(tab, "invalid") == f"1 of {total}"
    assert filtered(tab, "") == ""


def test_a_phone_scrolls_down_alone(tab: chromium.Browser, file: Path) -> None:
    tab.open(file, width=375, height=740)
    assert tab.value("document.documentElement.scrollWidth") <= 375
    assert tab.value(f"{CHARTS}.every(c => c.scrollWidth <= c.clientWidth)")
    assert tab.complaints == []


def test_the_papers_figure_is_a_page_too(tab: chromium.Browser, tmp_path: Path) -> None:
    pytest.importorskip("vl_convert", reason="needs the extra charts")
    path = tmp_path / "chips.html"
    path.write_bytes(one_chart(chips_chart()))
    tab.open(path)
    assert tab.value("document.querySelectorAll('.chart svg .mark-symbol path').length") == 14
    assert tab.complaints == []
