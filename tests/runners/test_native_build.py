"""Building bibench-run: from the package's sources, once for each content, with the compiler that is there."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bibench_deploy.errors import EngineError, InputError, MissingExtraError
from bibench_deploy.runners import native_build
from bibench_deploy.runners.native_build import (
    HOST,
    PROGRAM_VARIABLE,
    TARGETS,
    Toolchain,
    build,
    program_path,
)
from support.command import ORDINARY, bibench, is_clean

CHAIN = Toolchain(("c++",), "c++ 12", ("-static",))
SOURCES = {"a.cc": b"int a;", "b.h": b"#pragma once"}


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that copies its own text as the program, and counts how often it was called."""
    path = tmp_path / "fake-c++"
    path.write_text(
        f"#!{sys.executable}\n"
        "import pathlib, sys\n"
        "if '--version' in sys.argv: sys.exit(print('fake 1'))\n"
        "log = pathlib.Path(__file__).with_name('calls'); log.open('a').write('called\\n')\n"
        "pathlib.Path(sys.argv[sys.argv.index('-o') + 1]).write_text('program')\n",
        encoding="utf-8",
    )
    path.chmod(0o755)
    monkeypatch.setenv("CXX", str(path))
    return path


def test_what_was_built_is_kept(compiler: Path, tmp_path: Path) -> None:
    told: list[str] = []
    first = build(HOST, tmp_path / "cache", told.append)
    assert first.read_text(encoding="utf-8") == "program"
    assert first.stat().st_mode & 0o111
    assert len(told) == 1
    assert "fake 1" in told[0]
    assert build(HOST, tmp_path / "cache", told.append) == first
    assert len(told) == 1
    assert compiler.with_name("calls").read_text(encoding="utf-8").count("called") == 1
    assert [path.name for path in first.parent.iterdir()] == ["bibench-run"]


@pytest.mark.parametrize(
    ("name", "chain", "sources"),
    [
        ("other", CHAIN, SOURCES),
        ("host", Toolchain(("c++",), "c++ 13", ("-static",)), SOURCES),
        ("host", Toolchain(("c++",), "c++ 12", ()), SOURCES),
        ("host", CHAIN, SOURCES | {"a.cc": b"int b;"}),
        ("host", CHAIN, {"renamed.cc": b"int a;", "b.h": b"#pragma once"}),
    ],
    ids=["target", "compiler", "flags", "content", "name"],
)
def test_whatever_could_change_it_is_another_program(
    name: str, chain: Toolchain, sources: dict[str, bytes], tmp_path: Path
) -> None:
    assert program_path(name, chain, sources, tmp_path) != program_path("host", CHAIN, SOURCES, tmp_path)


def test_a_compiler_that_fails_is_an_error_and_leaves_nothing(compiler: Path, tmp_path: Path) -> None:
    text = compiler.read_text(encoding="utf-8")
    compiler.write_text(text + "sys.exit('a.cc:1: error: no such thing')\n", encoding="utf-8")
    with pytest.raises(EngineError, match=r"could not be built: a\.cc:1: error: no such thing"):
        build(HOST, tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_no_compiler_at_all_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(native_build.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(native_build, "host_target", lambda: "x86_64-linux")
    with pytest.raises(MissingExtraError, match=r"no C\+\+ compiler on this machine") as caught:
        build(HOST, tmp_path / "cache")
    assert caught.value.remedy == "pip install 'bibench-deploy[native]'"
    with pytest.raises(MissingExtraError, match="building for aarch64-linux"):
        build("aarch64-linux", tmp_path / "cache")


def test_an_unknown_target_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no target 'z80-cpm'"):
        build("z80-cpm", tmp_path)


def test_a_program_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROGRAM_VARIABLE, f"{sys.executable} 'bibench run'")
    assert native_build.program() == (sys.executable, "bibench run")
    for wrong in ("no-such-program", "'"):
        monkeypatch.setenv(PROGRAM_VARIABLE, wrong)
        with pytest.raises(InputError, match="names no program"):
            native_build.program()


def test_the_compiler_may_be_a_command_and_is_never_another_than_named(
    compiler: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", f"env LANG=C '{compiler}'")
    told: list[str] = []
    assert build(HOST, tmp_path / "cache", told.append).read_text(encoding="utf-8") == "program"
    assert "fake 1" in told[0]
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="names no program") as caught:
        build(HOST, tmp_path / "cache")
    assert caught.value.where == "CXX=no-such-compiler"
    unfit = tmp_path / "unfit"
    unfit.write_text("no program\n", encoding="utf-8")
    unfit.chmod(0o755)
    monkeypatch.setenv("CXX", str(unfit))
    with pytest.raises(EngineError, match="can't be started"):
        build(HOST, tmp_path / "cache")


def test_the_sources_are_in_the_package() -> None:
    names = set(native_build.source_files())
    assert {"main.cc", "bbm.h", "kernel_neon.cc", "kernel_portable.cc"} <= names


@pytest.mark.parametrize(("system", "base"), [("Linux", ".cache"), ("Darwin", "Library/Caches")])
def test_the_cache_is_where_the_system_wants_it(
    system: str, base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native_build.platform, "system", lambda: system)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert native_build.cache_folder() == tmp_path / base / "bibench-deploy" / "engines"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
    assert native_build.cache_folder() == tmp_path / "elsewhere" / "bibench-deploy" / "engines"


class TestTheCommand:
    def test_list_shows_engines_and_targets(self, tmp_path: Path) -> None:
        done = bibench("engines", "list", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        status = {row["engine"]: row["status"] for row in document["engines"]}
        assert (status["native"], status["dabnn"]) == ("available", "available")
        assert [row["target"] for row in document["targets"]] == [HOST, *TARGETS]
        table = bibench("engines", "list", cwd=tmp_path)
        assert table.returncode == 0
        assert "aarch64-linux" in table.stdout

    def test_build_prints_where_the_program_is(self, compiler: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        done = bibench(
            "engines", "build", "--json", cwd=tmp_path, CXX=str(compiler), XDG_CACHE_HOME=str(cache)
        )
        assert done.returncode == 0, done.stderr
        (row,) = json.loads(done.stdout)["programs"]
        assert Path(row["path"]).read_text(encoding="utf-8") == "program"
        assert Path(row["path"]).is_relative_to(cache)
        assert (row["target"], row["size_bytes"], row["toolchain"]) == (HOST, 7, "fake 1")
        assert "building bibench-run" in done.stderr

    def test_a_cache_that_can_not_be_written_names_the_variable(self, compiler: Path, tmp_path: Path) -> None:
        cache = tmp_path / "cache"
        cache.mkdir(mode=0o555)
        variables = {"CXX": str(compiler), "XDG_CACHE_HOME": str(cache)}
        done = bibench("engines", "build", cwd=tmp_path, prefix=ORDINARY, **variables)
        assert (done.returncode, is_clean(done.stderr)) == (2, True)
        assert "name a folder that can be written in the variable XDG_CACHE_HOME" in done.stderr

    def test_an_unknown_target_is_wrong_usage(self, tmp_path: Path) -> None:
        done = bibench("engines", "build", "-t", "z80-cpm", cwd=tmp_path)
        assert done.returncode == 2
        assert "choose one of: host, x86_64-linux" in done.stderr


@pytest.mark.slow
@pytest.mark.xdist_group("cross")
@pytest.mark.parametrize("name", ["aarch64-linux"])
def test_a_cross_built_program_is_static_and_small(name: str) -> None:
    if find_spec("ziglang") is None:
        pytest.skip("ziglang is not installed")
    data = build(name).read_bytes()
    assert data[:4] == b"\x7fELF"
    assert b"ld-linux" not in data
    assert b"ld-musl" not in data
    assert len(data) < 1_000_000
