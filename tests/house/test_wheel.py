"""The built wheel, installed where there is no checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
ROOMS = ("converters", "device_profiles", "runners", "results")
NOT_PACKED = ("bibench_deploy/runners/native/fuzz/fuzz_model.cc",)  # only tests build it

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("wheel")]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from an sdist of what git knows, so that a file that was forgotten to be added is missed here too."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and not name.startswith("tests/") and (CHECKOUT / name).is_file():
            target = source / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((CHECKOUT / name).read_bytes())
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (file,) = out.glob("*.whl")
    return file


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are those of the tests' own environment."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    python = folder / "bin" / "python"
    site = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    # A plain path entry: the editable install of the checkout works by a .pth file, and those of a path
    # that is itself added by a .pth file are not read.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    options = ["--no-deps", "--no-index", "--ignore-installed", "--quiet"]
    subprocess.run([*pip, "install", *options, str(wheel)], check=True)
    return python


def ask(python: Path, cwd: Path, code: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", code], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_generic_lands_in_site_packages(wheel: Path) -> None:
    top = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"bibench_deploy"}


def test_every_file_of_the_rooms_is_in_it(wheel: Path) -> None:
    """Data too: a kind of file that pyproject's package-data forgets would be missed only by a user."""
    packed = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", "--", "bibench_deploy", *ROOMS],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    expected = {name if name.startswith("bibench_deploy/") else f"bibench_deploy/{name}" for name in listed}
    assert {Path(name).suffix for name in expected} >= {".py", ".toml", ".csv", ".css", ".js", ".cc", ".h"}
    assert expected - packed == set(NOT_PACKED)


def test_the_packages_come_from_the_wheel_and_not_from_the_checkout(python: Path, tmp_path: Path) -> None:
    code = (
        "import importlib, json; print(json.dumps({name: importlib.import_module(name).__file__ for name in "
        f"{['bibench_deploy', *(f'bibench_deploy.{room}' for room in ROOMS)]!r}}}))"
    )
    files = json.loads(ask(python, tmp_path, code))
    environment = str(python.parents[1])
    assert len(files) == 1 + len(ROOMS)
    assert all(file.startswith(environment) for file in files.values()), files


def test_the_command_answers_from_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(python.parent / "bibench-deploy"), "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    for command in ("convert", "profile", "run"):
        assert command in done.stdout


def test_data_is_read_from_the_installed_package(python: Path, tmp_path: Path) -> None:
    code = (
        "from bibench_deploy.converters.capabilities import known_engines, load; "
        "from bibench_deploy.results.html.bundle import own; "
        "from bibench_deploy.runners.native_build import source_files; "
        "from bibench_deploy.tracks.published import raw_tables; "
        "print([load(name).engine for name in known_engines()], len(own('page.js')) > 0, "
        "'main.cc' in source_files(), len(raw_tables().latency) > 0)"
    )
    assert ask(python, tmp_path, code) == "['larq', 'dabnn', 'native'] True True True"


def test_profiles_and_engines_are_found_there(python: Path, tmp_path: Path) -> None:
    code = (
        "from bibench_deploy.device_profiles import load_profiles; "
        "from bibench_deploy.converters.engine import engine_names; "
        "print('rpi4' in load_profiles(), 'larq' in engine_names())"
    )
    assert ask(python, tmp_path, code) == "True True"
