"""The plan of a lab whose nights are quick: some small models on all devices with a tag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from support.cli_nets import write_net

TEXT = """
format = 1
[[models]]
file = "models/*.onnx"
variants = ["binarized"]
[[devices]]
tags = ["nightly"]
threads = {threads}
[measure]
min_time = {seconds}
max_time = {seconds}
precision = 100
[retries]
pause = "1s"
"""


def write_plan(
    home: Path, models: int = 1, seconds: float = 0.1, threads: Sequence[int] = (1,)
) -> tuple[str, ...]:
    """A ``lab.toml`` in a user's home, and its models; gives their names."""
    names = tuple(f"net{number}" for number in range(models))
    (home / "models").mkdir()
    for number, name in enumerate(names):
        write_net(home / f"models/{name}.onnx", layers=2 + number)
    (home / "lab.toml").write_text(TEXT.format(seconds=seconds, threads=list(threads)))
    return names
