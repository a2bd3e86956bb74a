"""Sites of a store that is filled once."""

from __future__ import annotations

from pathlib import Path

import pytest

from bibench_deploy.results import Store
from bibench_deploy.results.history import MARK, write_site
from support.history_sites import CHANGE, NIGHTS
from support.night_rows import filled, finding, night_name
from support.report_rows import EVIL


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def site(filled_store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "out"
    written = write_site(filled_store, folder, "0.1.0")
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != MARK]
    assert (written.pages, written.nights, written.files) == (2, NIGHTS, len(files))
    assert written.size_bytes == sum(path.stat().st_size for path in files)
    return folder
