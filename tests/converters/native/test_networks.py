"""Random networks: whatever grows into an epilogue and whatever form a value has, the numbers are the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bibench_deploy.converters import native
from bibench_deploy.runners.native_engine import NativeSession
from support.binary_graphs import expected
from support.extras import needs_bibench_run
from support.native_nets import random_net


@pytest.fixture(scope="module", autouse=True)
def program() -> None:
    needs_bibench_run()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_random_networks(seed: int) -> None:
    """Outputs, and every value of the probe: numbers that float32 adds exactly, often equal to a threshold."""
    graph, x = random_net(seed)
    emitted = native.emit(graph)
    assert emitted.probe is not None
    artefact = (emitted.data, list(emitted.outputs))
    probe = (emitted.probe.data, list(emitted.probe.points.values()))
    for data, views in (artefact, probe):
        found = NativeSession(data, emitted.inputs, views).run({"x": x})
        names = [view.name for view in views]
        for name, want in zip(names, expected(graph, {"x": x}, names), strict=True):
            np.testing.assert_allclose(found[name], want, rtol=1e-5, atol=1e-4, err_msg=name)
