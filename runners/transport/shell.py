"""What is sent to a device's shell, and how its answer is told from noise. Pure.

The account's login shell may be anything (fish, tcsh, ash, zsh), its start-up files may print, and what it does
with quotes differs. So it sees one fixed line, ``BOOT``, in which every such shell reads the same; the line starts
a POSIX ``sh`` that reads the rest, a program, from its standard input. No file name and no value ever passes the
login shell.

Standard input carries, in this order: the program (``BOOT`` says how many bytes), the script's standard input (the
program says how many bytes), then a line now and then for as long as we live: the beats. The program is::

    $$                sleeps; a beat wakes it; if none does, or the input ends, it tells the supervisor
    ├── feeder            gives the script its standard input, then is gone
    ├── reader            reads the beats
    └── supervisor        starts the script in a process group of its own, waits, kills the group if told to
        └── script

They talk by signals: USR1 a beat, ALRM the feeder is done, TERM the input ended, USR2 the script has ended. Both
outputs carry ``MARK begin``, what the script printed, ``MARK end``; on standard output the status follows. The mark
is put together on the device, so an account that only echoes what it is sent shows none.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

# A beat each so many seconds; the device gives up after so many without one. A loaded machine or a busy link delays
# a beat by a second or two; a lost link has to be noticed before a user tries again.
BEAT_S = 5.0
PATIENCE_S = 20

# Between SIGTERM and SIGKILL, s.
GRACE_S = 1

# Linux takes 128 KiB as one argument (MAX_ARG_STRLEN); what is longer goes through standard input.
MAX_SCRIPT_BYTES = 96 * 1024

# dd reads single bytes, because what it read too much would be missing for the reader. No character of this line
# means anything to a login shell within single quotes: not the backslash (fish), the exclamation mark or a newline
# (tcsh).
BOOT = "exec sh -c 'eval \"$(dd bs=1 count={size} 2>/dev/null)\"'"

# In braces, so that a program that was cut short is a syntax error and not half a program.
# Every handler sets `woken` and ends the sleep; flags are looked at after `woken` is cleared: no signal is lost.
# In bash another signal can end a handler early, so they set flags first, and it is asked whether the supervisor
# still lives. A child that was just forked may still have our handlers, so SIGTERM would be lost on it: SIGKILL.
# dash's `wait` waits for whole pipelines, and `$!` of a pipeline is its last process: hence a supervisor that waits
# for the script alone. Without setsid (macOS) the script's descendants are looked up instead of its group.
_RUN = "BIBENCH_RUN"
_PROGRAM = """{
m=@LEFT@; m=${m}@RIGHT@
export LC_ALL=C @RUN@=@NAME@
exec 3<&0 4>&2 0</dev/null 2>/dev/null
table() {
  if [ -r /proc/$$/stat ]; then
    for f in /proc/[0-9]*/stat; do
      read -r l <"$f" || continue
      f=${f#/proc/}; l=${l##*) }; l=${l#* }
      echo "${f%/stat} ${l%% *}"
    done
  else
    ps -A -o pid= -o ppid=
  fi
}
kin() {
  t=$(table); k=" $1 "; more=1
  while [ $more ]; do
    more=
    set -- $t
    while [ $# -gt 1 ]; do
      case $k in *" $1 "*) ;; *" $2 "*) k="$k$1 "; more=1 ;; esac
      shift 2
    done
  done
}
sweep() {
  if [ "$lead" ]; then
    kill -s $1 -- -$job
  else
    signal=$1; kin $job; kill -s $signal $k
  fi
}
lead=setsid
command -v setsid >/dev/null || lead=
woken= end= over= fed= reader= nap=@LIMIT@
trap 'woken=1; kill -s KILL $s' USR1
trap 'fed=1 woken=1; kill -s KILL $s' ALRM
trap 'end=1 woken=1; kill -s KILL $s' TERM HUP
trap 'over=1 woken=1; kill -s KILL $s' USR2
echo "$m begin"; echo "$m begin" >&4
{
  [ @BYTES@ -eq 0 ] || head -c @BYTES@ <&3
  exec >/dev/null
  kill -s ALRM $$
} 4>&- | {
  exec 5<&0 0</dev/null 3<&-
  trap end=stopped TERM HUP
  $lead sh -c @SCRIPT@ sh <&5 2>&4 4>&- 5<&- & job=$!
  exec 5<&-
  [ "$end" ] || { wait $job; status=$?; }
  if [ "$end" ]; then
    trap '' TERM HUP
    sweep TERM; sleep @GRACE@; sweep KILL
    wait $job; status=$?
  elif [ "$lead" ]; then
    sweep KILL
  fi
  echo "$m end $status $end"; echo "$m end" >&4
  kill -s USR2 $$
} & supervisor=$!
exec 4>&-
while :; do
  woken=
  [ "$over" ] && break
  kill -0 $supervisor || break
  if [ "$fed" ] && [ -z "$reader" ]; then
    { while read -r x; do kill -s USR1 $$; done; kill -s TERM $$; } <&3 >/dev/null & reader=$!
    nap=@PATIENCE@
  fi
  if [ "$end" ]; then
    nap=1; kill -s TERM $supervisor
  fi
  sleep $nap >/dev/null 3<&- & s=$!
  [ "$woken" ] || kill -0 $supervisor || woken=1
  [ "$woken" ] && kill -s KILL $s
  wait $s; wait $s
  [ "$woken" ] || end=1
done
kill -s KILL $reader
if [ "$end" ]; then
  kin $$; kill -s KILL ${k#" $$ "}
fi
}
"""


def quote(value: str) -> str:
    """A value as one word of a POSIX shell, whatever it holds.

    Raises:
        ValueError: it holds a NUL, which no shell can pass.
    """
    if "\0" in value:
        raise ValueError("a NUL can't be passed to a shell")
    return shlex.quote(value)


@dataclass(frozen=True)
class Request:
    """One script to be run.

    Attributes:
        command: the line for the login shell.
        program: what its standard input starts with.
        mark: what frames the answer.
        name: marks the environment of every process that it starts.
    """

    command: str
    program: bytes
    mark: bytes
    name: str


def request(script: str, *, limit_s: float, stdin_bytes: int, nonce: str) -> Request:
    """What to send so that a script runs.

    Args:
        script: POSIX shell.
        limit_s: how long the device waits for all of the standard input, s; whole seconds, rounded up.
        stdin_bytes: length of the script's standard input.
        nonce: an even number of letters and digits that nobody could guess.

    Raises:
        ValueError: the script holds a NUL, or is longer than ``MAX_SCRIPT_BYTES``.
    """
    quoted = quote(script)
    if len(quoted.encode(errors="surrogateescape")) > MAX_SCRIPT_BYTES:
        raise ValueError(f"a script of more than {MAX_SCRIPT_BYTES} bytes")
    half = len(nonce) // 2
    name = hashlib.sha256(nonce.encode()).hexdigest()[:16]
    values = {
        "LEFT": nonce[:half],
        "RIGHT": nonce[half:],
        "BYTES": str(stdin_bytes),
        "PATIENCE": str(PATIENCE_S),
        "GRACE": str(GRACE_S),
        "LIMIT": str(max(1, ceil(limit_s))),
        "RUN": _RUN,
        "NAME": name,
    }
    text = _PROGRAM
    for slot, value in values.items():
        text = text.replace(f"@{slot}@", value)
    # Last: nothing is replaced within it.
    program = text.replace("@SCRIPT@", quoted).encode(errors="surrogateescape")
    return Request(BOOT.format(size=len(program)), program, nonce.encode(), name)


def reaper(names: Sequence[str]) -> str:
    """A script that kills what is left of runs whose link broke before the device told their end.

    The device would find out for itself, but only after ``PATIENCE_S``. Without /proc, that time is waited for.
    """
    wanted = " ".join(f"-e {_RUN}={name}" for name in names)
    return f"""
if [ ! -r /proc/$$/environ ]; then sleep {PATIENCE_S + GRACE_S + 1}; exit; fi
for _ in 1 2 3 4 5; do
  found=$(grep -l {wanted} /proc/[0-9]*/environ 2>/dev/null)
  [ "$found" ] || exit 0
  for f in $found; do f=${{f#/proc/}}; kill -s KILL "${{f%/environ}}" 2>/dev/null; done
  sleep 1
done
exit 1
"""


class Frame:
    """One output stream of a device, as it arrives.

    Attributes:
        noise: what came before the frame.
        payload: what the script printed so far.
        begun, ended: whether the frame's begin and end have been seen.
        trailer: the words after the end mark: status and, if the device ended the script, why.
    """

    def __init__(self, mark: bytes) -> None:
        self._begin = mark + b" begin\n"
        self._end = mark + b" end"
        self._rest = bytearray()
        self.noise = b""
        self.payload = bytearray()
        self.begun = False
        self.ended = False
        self.trailer: tuple[str, ...] = ()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.ended:
            return
        self._rest += data
        if not self.begun:
            before, begin, after = self._rest.partition(self._begin)
            if not begin:
                self.noise = bytes(before)
                return
            self.noise, self._rest, self.begun = bytes(before), after, True
        at = self._rest.find(self._end)
        if at < 0:
            # The end of what is here may be the beginning of the mark.
            sure = max(0, len(self._rest) - len(self._end))
            self.payload += self._rest[:sure]
            del self._rest[:sure]
            return
        line, newline, _ = self._rest[at + len(self._end) :].partition(b"\n")
        if newline:
            self.payload += self._rest[:at]
            self.trailer = tuple(line.decode("ascii", "replace").split())
            self.ended = True

    def close(self) -> None:
        """The stream is over: what was held back because it could have been the mark was payload."""
        if self.begun and not self.ended:
            self.payload += self._rest
            self._rest.clear()
