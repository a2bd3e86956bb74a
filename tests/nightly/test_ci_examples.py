"""The ready-made examples for CI systems: linted, and what they run does run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
CI = EXAMPLES / "ci"
TOOLS = Path(sys.executable).parent
PLAN = """
format = 1
[[models]]
file = "*.onnx"
variants = ["binarized"]
[[devices]]
names = ["local"]
threads = [1]
[measure]
min_time = 0.05
max_time = 0.2
"""


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = YAML(typ="safe").load((CI / name).read_text(encoding="utf-8"))
    return found


def scripts() -> list[tuple[str, str]]:
    """Every piece of shell in the examples, by where it stands."""
    found = [("nightly.sh", (CI / "nightly.sh").read_text(encoding="utf-8"))]
    for name, job in loaded("github.yml")["jobs"].items():
        found += [(f"github.yml {name} {n}", s["run"]) for n, s in enumerate(job["steps"]) if "run" in s]
    for name, job in loaded("gitlab.yml").items():
        if isinstance(job, dict) and "script" in job:
            lines = [*job["script"], *job.get("after_script", [])]
            found += [(f"gitlab.yml {name} {n}", line) for n, line in enumerate(lines)]
    return found


@pytest.mark.parametrize(
    ("name", "schema"), [("github.yml", "github-workflows"), ("gitlab.yml", "gitlab-ci")]
)
def test_they_are_what_their_systems_take(name: str, schema: str) -> None:
    command = [TOOLS / "check-jsonschema", "--builtin-schema", f"vendor.{schema}", CI / name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("where", "script"), scripts(), ids=lambda value: str(value).split("\n", 1)[0][:40])
def test_their_shell_is_sound(where: str, script: str) -> None:
    text = script if script.startswith("#!") else f"#!/usr/bin/env bash\n{script}\n"
    done = subprocess.run(
        [TOOLS / "shellcheck", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{where}: {done.stdout}"


def test_the_crontab_is_one() -> None:
    """Settings, and lines of five fields and a command that is an example here."""
    lines = (CI / "crontab").read_text(encoding="utf-8").splitlines()
    jobs = [line for line in lines if line and not line.startswith("#") and "=" not in line.split(" ", 1)[0]]
    (job,) = jobs
    *fields, command = job.split(maxsplit=5)
    limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
    for field, (low, high) in zip(fields, limits, strict=True):
        assert field == "*" or low <= int(field) <= high
    assert (CI / Path(command.split()[0]).name).is_file()
    assert os.access(CI / "nightly.sh", os.X_OK)


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A repository of a lab: a plan and a model."""
    shutil.copy(EXAMPLES / "fashion_vgg-tiny_bireal.onnx", tmp_path)
    (tmp_path / "lab.toml").write_text(PLAN, encoding="utf-8")
    return tmp_path


def shell(script: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """As CI systems run it: bash, and the first failure ends it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("GITHUB_", "CI_"))}
    environment |= {
        "PATH": f"{TOOLS}:{os.environ['PATH']}",
        "BIBENCH_STORE": str(folder / "kept.sqlite"),
        **settings,
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


@pytest.mark.slow
def test_what_they_run_does_run(lab: Path) -> None:
    """All of them in one folder: GitHub's measures the night, the others find it complete and report it again."""
    steps = loaded("github.yml")["jobs"]["night"]["steps"]
    summary = lab / "summary.md"
    summary.write_text("a step before\n", encoding="utf-8")
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary), "GITHUB_SHA": "a" * 40}
    for script in [step["run"] for step in steps if "run" in step]:
        done = shell(script, lab, **github)
        assert done.returncode == 0, done.stderr
    document = json.loads((lab / "night.json").read_text(encoding="utf-8"))
    assert (document["exit_code"], document["commit"]) == (0, "a" * 40)
    assert document["headline"] == "1 measured, nothing to compare with yet"
    assert summary.read_text(encoding="utf-8").startswith("a step before\n### ✅ 1 measured")
    assert JUnitXml.fromfile(str(lab / "night.xml")).tests == 1
    assert (lab / "site/index.html").is_file()

    night = loaded("gitlab.yml")["night"]
    for script in [*night["script"], *night["after_script"], *loaded("gitlab.yml")["pages"]["script"]]:
        done = shell(script, lab, CI_COMMIT_SHA="b" * 40)
        assert done.returncode == 0, done.stderr
    assert "1 measured" in (lab / "night.md").read_text(encoding="utf-8")

    quiet = shell(f"{CI / 'nightly.sh'} .", lab)
    assert (quiet.returncode, quiet.stdout) == (0, "")


@pytest.mark.slow
def test_cron_is_told_what_is_wrong(lab: Path) -> None:
    (lab / "lab.toml").write_text(PLAN.replace("[[models]]", "[[modles]]"), encoding="utf-8")
    done = shell(f"{CI / 'nightly.sh'} .", lab)
    assert done.returncode == 2
    assert "modles" in done.stdout
    assert not (lab / "site").exists()


def test_cron_begins_no_night_beside_another(lab: Path) -> None:
    done = shell(f"exec 8>.nightly.lock; flock 8; {CI / 'nightly.sh'} .", lab)
    assert done.returncode == 3
    assert "still running" in done.stdout


def test_what_the_guide_shows_is_what_is_here() -> None:
    guide = (ROOT / "docs/lab/ci.md").read_text(encoding="utf-8")
    for name in ("github.yml", "gitlab.yml", "nightly.sh", "crontab"):
        assert f"../../examples/ci/{name}" in guide
