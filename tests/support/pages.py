"""What all pages of ours have, asked of a browser."""

from __future__ import annotations

import pytest

from . import chromium

IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium.program() is None, reason="Chromium is not installed (Debian: apt install chromium)"
    ),
]

CHARTS = "[...document.querySelectorAll('.chart')]"


def filtered(tab: chromium.Browser, words: str) -> str:
    """What a page says of its list when these words are typed into the filter."""
    said = tab.value(
        f"(() => {{ const f = document.getElementById('filter'); f.value = '{words}';"
        " f.dispatchEvent(new Event('input')); return document.getElementById('filtered').textContent })()"
    )
    return str(said)


def colours(tab: chromium.Browser) -> tuple[str, str]:
    """Of the page's ground, and of a chart's letters."""
    back = tab.value("getComputedStyle(document.body).backgroundColor")
    letters = tab.value("getComputedStyle(document.querySelector('.chart svg text')).fill")
    return back, letters
