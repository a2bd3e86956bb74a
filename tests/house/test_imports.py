"""What is imported when: the command answers --help at once, and the core needs no training framework."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

# pydantic is not among them: typer itself parses options with it.
HEAVY = (
    "numpy",
    "onnx",
    "onnx_ir",
    "onnxruntime",
    "torch",
    "tensorflow",
    "larq_compute_engine",
    "scipy",
    "sqlalchemy",
    "paramiko",
    "fabric",
)
FRAMEWORKS = ("torch", "tensorflow", "keras", "larq_compute_engine")
ROOMS = ("tracks", "converters", "converters.reader", "graph", "device_profiles", "runners", "results", "cli")
COMMANDS = (
    "inspect",
    "check",
    "convert",
    "profile",
    "run",
    "complexity",
    "tracks",
    "report",
    "results",
    "results export",
    "devices",
    "engines",
    "zoo",
)


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after the code."""
    report = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command: str) -> None:
    loaded = loaded_after(
        f"import sys\nsys.argv = ['bibench-deploy', *{command.split()!r}, '--help']\n"
        "from bibench_deploy.cli.app import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert stop.code == 0, stop.code"
    )
    assert "typer" in loaded  # the probe sees what is loaded
    assert loaded & set(HEAVY) == set()


def test_importing_every_room_needs_no_training_framework_and_no_engine() -> None:
    loaded = loaded_after(
        "import importlib, pkgutil\n"
        f"rooms = {ROOMS!r}\n"
        "for room in rooms:\n"
        "    package = importlib.import_module(f'bibench_deploy.{room}')\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        if not module.ispkg:\n"
        "            importlib.import_module(module.name)"
    )
    assert "numpy" in loaded
    assert loaded & set(FRAMEWORKS) == set()


@pytest.mark.larq
def test_the_larq_converter_and_runner_do_not_need_tensorflow() -> None:
    loaded = loaded_after("import bibench_deploy.converters.larq, bibench_deploy.runners.larq")
    assert loaded & {"tensorflow", "keras", "torch"} == set()
