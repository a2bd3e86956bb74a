"""Packages of this project's extras, which a test may need."""

from __future__ import annotations

from importlib.util import find_spec

import pytest


def needs(module: str, extra: str) -> None:
    """Skip, a whole module where this stands outside of a test, unless an extra's module is installed.

    Not by importing it: every test process collects every module of tests, and such packages take seconds. That of
    Larq imports TensorFlow, which the extra ``larq`` does not even bring.
    """
    if find_spec(module) is None:
        pytest.skip(f"needs the extra {extra}", allow_module_level=True)


def needs_bibench_run() -> None:
    """Skip unless the native engine's program is there or can be built."""
    from bibench_deploy.errors import MissingExtraError
    from bibench_deploy.runners import native_build

    try:
        native_build.program()
    except MissingExtraError:
        pytest.skip("neither a C++ compiler nor ziglang is here")
