"""One browser for all pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import chromium


@pytest.fixture(scope="session")
def tab() -> Iterator[chromium.Browser]:
    with chromium.browser() as opened:
        yield opened
