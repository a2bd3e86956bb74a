"""Vega-Lite from the extra ``charts``: its JavaScript for a page, and pictures without a browser."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from bibench_deploy.errors import BibenchError, MissingExtraError
from bibench_deploy.files import make_folder, write_atomically

from .chart import Spec

#: Pixels of a picture for each of the specification: sharp on paper and on a phone.
SCALE: Final = 2.0


def require_charts(what: str) -> Any:
    """The module that has Vega-Lite.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module("vl_convert")
    except ModuleNotFoundError as error:
        raise MissingExtraError("charts", what) from error


def javascript(folder: Path | None = None) -> str:
    """Vega, Vega-Lite and vega-embed as one program.

    To put it together takes two seconds, so it is kept.

    Args:
        folder: where it is kept; the user's cache by default.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    charts = require_charts("a page of HTML")
    kept = (folder or _cache()) / f"vl-convert-{charts.__version__}.js"
    known = _whole(kept)
    if known is not None:
        return known
    program = str(charts.javascript_bundle())
    with suppress(BibenchError):  # where it can't be kept, it is put together every time
        make_folder(kept.parent)
        write_atomically(kept, f"{_digest(program)}\n{program}".encode())
    return program


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("bibench-deploy", appauthor=False) / "charts"


def _whole(path: Path) -> str | None:
    """A program that was kept, below the digest of it; None where there is none, or something else."""
    try:
        digest, _, program = path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return program if digest == _digest(program) else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def svg(spec: Spec) -> bytes:
    """A picture for editors and browsers.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    return str(require_charts("a picture").vegalite_to_svg(spec)).encode()


def png(spec: Spec) -> bytes:
    """A picture for everything else.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    return bytes(require_charts("a picture").vegalite_to_png(spec, scale=SCALE))


def own(name: str) -> str:
    """A file of this folder: the page's style or program."""
    return (files(__package__) / name).read_text(encoding="utf-8")
