"""What is told to the process that gives places back; that it does is test_labgrid's."""

from __future__ import annotations

import pytest

from bibench_deploy.runners.providers.watchdog import held_at_end


@pytest.mark.parametrize(
    ("lines", "held"),
    [
        ([], set()),
        ([b"+a\n"], {"a"}),
        ([b"+a\n", b"-a\n"], set()),
        ([b"+a\n", b"+b c\n", b"-a\n"], {"b c"}),
        ([b"+a\n", b"+a\n", b"-a\n"], set()),
        ([b"+a\n", b"+bo"], {"a"}),  # it died while it told: nothing was reserved yet
        ([b"+a\n", b"-a"], {"a"}),  # giving back twice does no harm
        ([b"-a\n"], set()),
    ],
)
def test_places_that_are_held_when_the_pipe_ends(lines: list[bytes], held: set[str]) -> None:
    assert held_at_end(lines) == held
