"""The documents: their links lead somewhere, and the commands and options that they show exist."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer

from bibench_deploy.cli.app import app

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = subprocess.run(
    ["git", "ls-files", "*.md"], cwd=CHECKOUT, capture_output=True, text=True, check=True
).stdout.split()

FENCE = re.compile(r"(?ms)^ *```.*?^ *```")


def prose(document: Path) -> str:
    return FENCE.sub("", document.read_text(encoding="utf-8"))


def commands(document: Path) -> list[str]:
    """What follows ``bibench-deploy`` in code: fences, indented lines, `spans`."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    code = [
        *FENCE.findall(text),
        *re.findall(r"(?m)^    .*$", text),
        *re.findall(r"`([^`]+)`", FENCE.sub("", text)),
    ]
    shown = [found for part in code for found in re.findall(r"bibench-deploy +([a-z][^\n;|&#)]*)", part)]
    return [" ".join(command.split()) for command in shown]


def anchors(document: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    found: set[str] = set()
    times: Counter[str] = Counter()
    for heading in re.findall(r"(?m)^#+ (.+)$", prose(document)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        found.add(f"{name}-{times[name]}" if times[name] else name)
        times[name] += 1
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = CHECKOUT / name
    for link in re.findall(r"\[[^]]*\]\(([^)\s]+)\)", prose(document)):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_and_options_exist(name: str) -> None:
    for shown in commands(CHECKOUT / name):
        command: Any = typer.main.get_command(app)
        words = shown.split()
        while hasattr(command, "commands"):  # a group; typer may bring a click of its own
            assert words, shown
            assert words[0] in command.commands, shown
            command, words = command.commands[words[0]], words[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "-h"}
        used = {word.split("=")[0].rstrip("],.:") for word in words if re.match(r"\[?--?[a-z]", word)}
        assert {option.lstrip("[") for option in used} <= known, shown
