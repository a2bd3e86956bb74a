"""The shell scripts of the cache, and what their answers mean. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bibench_deploy.runners.transport.shell import quote

_DIGEST = re.compile(r"[0-9a-f]{64}")

# Says "sha256 HEX", or "sha256 none" where the device has no tool for it. By redirection: a file name can't change
# what is printed.
_SUM = """
sum() {
  set -- $(
    if command -v sha256sum >/dev/null; then sha256sum
    elif command -v shasum >/dev/null; then shasum -a 256
    elif command -v openssl >/dev/null; then openssl dgst -sha256 -r
    elif command -v busybox >/dev/null; then busybox sha256sum
    fi <"$1" 2>/dev/null
  )
  echo "sha256 ${1:-none}"
}
"""


@dataclass(frozen=True)
class Look:
    """What the device has of a file.

    Attributes:
        there: the whole file, by name.
        digest: its SHA-256 as the device sees it; None if the device can't tell.
        partial: bytes of an unfinished push.
        free_kb: room in the work folder, KiB; None if the device does not say.
    """

    there: bool = False
    digest: str | None = None
    partial: int = 0
    free_kb: int | None = None


@dataclass(frozen=True)
class CacheEntry:
    """One cached thing on a device.

    Attributes:
        digest: SHA-256 of the file.
        names: the files' names; empty while a push is unfinished.
        size_kb: room that it takes, KiB.
    """

    digest: str
    names: tuple[str, ...]
    size_kb: int


def look_script(folder: str, name: str, partial: str, *, executable: bool) -> str:
    """Make a file's folder, say what is there; claim an unfinished push as ``partial``.

    A program that lost its permission to be executed gets it back: its bytes are the hash's.

    Whoever pushed it before notices that it is gone, and begins again.
    """
    return f"""{_SUM}
mkdir -p {quote(folder)} && cd {quote(folder)} || exit 1
if [ -f {quote(name)} ]; then
  echo there
  {f"[ -x {quote(name)} ] || chmod 755 {quote(name)}" if executable else ""}
  sum {quote(name)}
else
  best=
  for p in .part.*; do
    [ -f "$p" ] || continue
    if [ -z "$best" ] || [ "$(($(wc -c <"$p")))" -gt "$(($(wc -c <"$best")))" ]; then
      [ -z "$best" ] || rm -f "$best"
      best=$p
    else
      rm -f "$p"
    fi
  done
  if [ "$best" ]; then
    [ "$best" = {partial} ] || mv -f "$best" {partial}
    echo "partial $(($(wc -c <{partial})))"
  fi
fi
echo "free $(df -Pk . | {{ read -r x; read -r d b u f x; echo $f; }})"
touch .
"""


def parse_look(answer: bytes) -> Look:
    """The answer of ``look_script``."""
    lines = (line.partition(" ") for line in answer.decode().splitlines())
    words = {word: rest for word, _, rest in lines}
    digest = words.get("sha256", "")
    return Look(
        there="there" in words,
        digest=digest if _DIGEST.fullmatch(digest) else None,
        partial=int(words.get("partial", "0")),
        free_kb=int(words["free"]) if words.get("free", "").isdigit() else None,
    )


def sum_script(path: str) -> str:
    """Say the SHA-256 of a file."""
    return f"{_SUM}\nsum {quote(path)}\n"


def finish_script(folder: str, name: str, partial: str, *, executable: bool) -> str:
    """Give a whole file its name, and see that a program would start; status 126 where it would not."""
    mode = "755" if executable else "644"
    # A file that the system won't execute as a program is run by the shell itself: only the permission counts.
    trial = f"""
echo 'exit 0' > {partial}.try && chmod 755 {partial}.try || exit 1
./{partial}.try; status=$?
rm -f {partial}.try
[ $status -eq 0 ] || exit 126
"""
    return f"""
cd {quote(folder)} || exit 1
{trial if executable else ""}
chmod {mode} {partial} && mv -f {partial} {quote(name)}
"""


def list_script(workdir: str) -> str:
    """List what is cached, the most recently used first."""
    return f"""
cd {quote(workdir)} 2>/dev/null || exit 0
for d in $(ls -t); do
  case $d in *[!0-9a-f]*) continue ;; esac
  [ ${{#d}} -eq 64 ] && [ -d $d ] || continue
  set -- $(du -sk $d)
  echo "entry $d $1"
  for f in $d/*; do
    [ -f "$f" ] || continue
    echo "name ${{f#*/}}"
  done
done
"""


def parse_list(answer: bytes) -> tuple[CacheEntry, ...]:
    """The answer of ``list_script``."""
    entries: list[CacheEntry] = []
    for line in answer.decode("utf-8", "replace").splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "entry":
            digest, size = rest.split()
            entries.append(CacheEntry(digest, (), int(size)))
        elif kind == "name":
            last = entries[-1]
            entries[-1] = CacheEntry(last.digest, (*last.names, rest), last.size_kb)
    return tuple(entries)


def remove_script(workdir: str, digests: tuple[str, ...]) -> str:
    """Remove cached things.

    Raises:
        ValueError: something that is no digest.
    """
    if not all(_DIGEST.fullmatch(digest) for digest in digests):
        raise ValueError("not a SHA-256 digest")
    return f"cd {quote(workdir)} && rm -rf {' '.join(digests)}\n"


def superfluous(
    entries: tuple[CacheEntry, ...], room_kb: int, keep: frozenset[str]
) -> tuple[CacheEntry, ...]:
    """Which entries have to go, least recently used first, so that the others fit. Pure.

    Args:
        entries: most recently used first.
        room_kb: what all may take together, KiB.
        keep: digests that stay in any case.
    """
    total = sum(entry.size_kb for entry in entries)
    gone: list[CacheEntry] = []
    for entry in reversed(entries):
        if total <= room_kb:
            break
        if entry.digest not in keep:
            gone.append(entry)
            total -= entry.size_kb
    return tuple(gone)
