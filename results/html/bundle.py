"""Vega-Lite from the extra ``charts``: its JavaScript for a page, and pictures without a browser."""

from __future__ import annotations

from importlib import import_module
from importlib.resources import files
from typing import Any, Final

from bibench_deploy.errors import MissingExtraError

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


def javascript() -> str:
    """Vega, Vega-Lite and vega-embed as one program.

    Raises:
        MissingExtraError: the extra ``charts`` is not installed.
    """
    return str(require_charts("a page of HTML").javascript_bundle())


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
