"""The lease's scripts: POSIX sh, and nothing but what busybox has.

Every value from outside stands in a quoted assignment at the top; the text below it is constant.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

#: Exit status of a guarded step that found the lease lost. Not one of a shell's own (126, 127, 128 + signal).
LOST = 97

#: Old generations that a user's next one leaves: a listing that overlaps with a change must not find none.
_KEPT = 16

_COMMON = r"""
set -u
umask 022
# The same folder for every user of the device. Android has no /tmp.
if [ -z "$place" ]; then place=${BIBENCH_LEASE_DIR:-}; fi
if [ -z "$place" ]; then
  for folder in /tmp /data/local/tmp "${TMPDIR:-}" "${HOME:-}"; do
    if [ -n "$folder" ] && [ -d "$folder" ] && [ -w "$folder" ]; then place=$folder; break; fi
  done
fi
base=$place/bibench-deploy.lease
tell() { printf 'bibench-lease %s\n' "$*"; }
# Seconds since boot with the boot's name; where the system hides them, of the wall clock.
look_at_clock() {
  up= boot=
  if { read -r up rest < /proc/uptime && read -r boot < /proc/sys/kernel/random/boot_id; } 2>/dev/null
  then now=${up%%.*} clock=up:$boot
  else now=$(date +%s) clock=date
  fi
}
look_at_top() {
  top=0
  for entry in "$base"/[1-9]*; do
    number=${entry##*/}
    case $number in *[!0-9]*|??????????*) continue ;; esac
    if [ "$number" -gt "$top" ] && [ -d "$entry" ]; then top=$number; fi
  done
}
is_ours() {
  whose=
  { read -r whose < "$base/$1/nonce"; } 2>/dev/null
  [ "$whose" = "$nonce" ] && [ ! -e "$base/$1/released" ]
}
beat() { look_at_clock; echo "$((now + holds)) $clock" > "$base/$1/beat"; }
# A beat that can't be written (a full disk) is none: the lease runs out by itself then.
holding() { look_at_top; [ "$top" = "$1" ] && is_ours "$1" && { beat "$1" 2>/dev/null || :; }; }
"""

_ACQUIRE = r"""
if [ ! -d "$base" ]; then (umask 0; mkdir -m 1777 "$base" 2>/dev/null); fi
if [ ! -d "$base" ] || [ -L "$base" ]; then echo "$base is not a folder, or can't be made" >&2; exit 1; fi
look_at_top
if [ "$top" -gt 0 ] && is_ours "$top"; then beat "$top" || exit 1; tell taken "$top"; exit 0; fi
free=0
if [ "$top" = 0 ] || [ -e "$base/$top/released" ] || [ "$top" = "$take" ]; then free=1; fi
if [ "$free" = 0 ]; then
  for name in beat since owner; do
    line=
    { read -r line < "$base/$top/$name"; } 2>/dev/null
    tell "$name" "$line"
  done
  look_at_clock
  tell clock "$clock"; tell now "$now"; tell generation "$top"
  exit 0
fi
mine=$((top + 1))
if ! said=$(mkdir "$base/$mine" 2>&1); then
  if [ -d "$base/$mine" ]; then tell lost; exit 0; fi
  echo "$said" >&2; exit 1
fi
# Who slept after his look makes a number that the others have left behind long ago.
look_at_top
if [ "$top" != "$mine" ]; then rmdir "$base/$mine" 2>/dev/null; tell lost; exit 0; fi
look_at_clock
if printf '%s\n' "$owner" > "$base/$mine/owner" && echo "$now $clock" > "$base/$mine/since" &&
  echo "$nonce" > "$base/$mine/nonce" && beat "$mine"
then tell taken "$mine"
else : > "$base/$mine/released"; exit 1
fi
for entry in "$base"/[1-9]*; do
  number=${entry##*/}
  case $number in *[!0-9]*|??????????*) continue ;; esac
  if [ "$number" -lt $((mine - kept)) ] && [ -O "$entry" ]; then rm -rf "$entry"; fi
done 2>/dev/null
exit 0
"""

_GUARD = r"""
lost() { tell lost >&2; exit 97; }
holding "$generation" || lost
keep() {
  trap 'kill "$nap" 2>/dev/null; exit 0' TERM
  while :; do
    sleep "$period" & nap=$!
    wait "$nap"
    holding "$generation" || exit 0
  done
}
keep </dev/null >/dev/null 2>&1 & keeper=$!
( body )
status=$?
kill "$keeper" 2>/dev/null
wait "$keeper" 2>/dev/null
holding "$generation" || lost
exit "$status"
"""

_RELEASE = r"""
if is_ours "$generation"; then : > "$base/$generation/released"; fi
"""


def acquire_script(place: str, nonce: str, owner: str, holds_s: int, take: int | None) -> str:
    """Takes the lease if it is free or ours, and tells about it otherwise.

    Args:
        take: a generation whose holder is dead, to be followed if it still is the present one.
    """
    values = {
        "place": place,
        "nonce": nonce,
        "owner": owner,
        "holds": holds_s,
        "take": take or "",
        "kept": _KEPT,
    }
    return _assigned(values) + _COMMON + _ACQUIRE


def guard_script(place: str, generation: int, nonce: str, holds_s: int, period_s: int, body: str) -> str:
    """Runs ``body`` while the lease is ours; its exit status, or ``LOST``."""
    values = {
        "place": place, "nonce": nonce, "generation": generation, "holds": holds_s, "period": period_s
    }  # fmt: skip
    return _assigned(values) + _COMMON + f"body() {{\n:\n{body}\n}}\n" + _GUARD


def release_script(place: str, generation: int, nonce: str) -> str:
    """Marks the generation as free, if it is ours."""
    values = {"place": place, "nonce": nonce, "generation": generation, "holds": 0}
    return _assigned(values) + _COMMON + _RELEASE


def _assigned(values: Mapping[str, object]) -> str:
    return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in values.items())
