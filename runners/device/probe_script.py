"""The probe's script: POSIX sh that prints what a device is, one ``key=value`` a line.

It runs under busybox ash, dash, bash, mksh (Android) and zsh, on Linux, Android and macOS, and takes every tool but
the shell for optional: a fact that can't be read is not printed, and so unknown. It leaves nothing behind.
"""

from __future__ import annotations

import shlex

#: The last line; without it the output was cut.
END = "end=probe"
#: Status of the file that the probe writes into the work folder and executes.
EXECUTED = 42

_FACT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
# The first line of a file, if there is one: sysfs may list files that it refuses to read.
fact() {
  value=
  if [ -r "$2" ]; then
    { IFS= read -r value < "$2" || :; } 2>/dev/null
    if [ -n "$value" ]; then say "$1" "$value"; fi
  fi
}
"""
_ZONES = r"""
zone=0
for folder in /sys/class/thermal/thermal_zone*; do
  [ -d "$folder" ] || continue
  fact "zone.$zone.type" "$folder/type"
  fact "zone.$zone.temp" "$folder/temp"
  zone=$((zone + 1))
done
"""
#: Prints the temperatures alone, as the probe does.
ZONES = _FACT + _ZONES

_BODY = (
    r"""
if [ -n "${ZSH_VERSION:-}" ]; then emulate sh; fi
"""
    + _FACT
    + r"""
# What a command prints, if it is there; the first line.
asked() {
  key=$1
  shift
  if command -v "$1" >/dev/null 2>&1; then
    value=$("$@" 2>/dev/null </dev/null) || value=
    value=${value%%"
"*}
    if [ -n "$value" ]; then say "$key" "$value"; fi
  fi
}

asked system uname -s
asked kernel uname -r
asked machine uname -m
asked long_bit getconf LONG_BIT
asked glibc getconf GNU_LIBC_VERSION
for file in /lib/ld-musl-*.so.1; do if [ -e "$file" ]; then say libc musl; fi; done
for file in /lib/ld-linux*.so* /lib64/ld-linux*.so*; do if [ -e "$file" ]; then say libc glibc; break; fi; done
if [ -e /system/bin/linker ] || [ -e /system/bin/linker64 ]; then say libc bionic; fi
shell=$(command -v sh 2>/dev/null) || shell=
if [ -n "$shell" ] && command -v od >/dev/null 2>&1; then
  elf=$(od -A n -t u1 -N 20 "$shell" 2>/dev/null) && say elf "$(echo $elf)"
fi

# Lines of /proc/cpuinfo that say something; a line that repeats the core's before is left out.
if [ -r /proc/cpuinfo ]; then
  flags=
  while IFS= read -r line; do
    case $line in
      Features*|flags*) if [ "$line" != "$flags" ]; then say cpuinfo "$line"; flags=$line; fi ;;
      processor*|Processor*|'CPU implementer'*|'CPU part'*|'model name'*|Hardware*|Model*|'cpu model'*)
        say cpuinfo "$line" ;;
    esac
  done < /proc/cpuinfo
fi
for folder in /sys/devices/system/cpu/cpu[0-9]*; do
  [ -d "$folder" ] || continue
  cpu=cpu.${folder##*/cpu}
  fact "$cpu.online" "$folder/online"
  fact "$cpu.capacity" "$folder/cpu_capacity"
  fact "$cpu.midr" "$folder/regs/identification/midr_el1"
  fact "$cpu.max_khz" "$folder/cpufreq/cpuinfo_max_freq"
  fact "$cpu.limit_khz" "$folder/cpufreq/scaling_max_freq"
  fact "$cpu.now_khz" "$folder/cpufreq/scaling_cur_freq"
  fact "$cpu.governor" "$folder/cpufreq/scaling_governor"
done
fact online /sys/devices/system/cpu/online
if [ -r /proc/self/status ]; then
  while IFS= read -r line; do
    case $line in Cpus_allowed_list:*) say allowed "${line#*:}" ;; esac
  done < /proc/self/status
fi
if [ -r /proc/meminfo ]; then
  while IFS= read -r line; do
    case $line in MemTotal:*|MemAvailable:*) say meminfo "$line" ;; esac
  done < /proc/meminfo
fi
"""
    + _ZONES
    + r"""
for folder in /sys/class/power_supply/*; do
  [ -d "$folder" ] || continue
  kind=
  { IFS= read -r kind < "$folder/type"; } 2>/dev/null
  if [ "$kind" = Battery ]; then
    fact battery "$folder/capacity"
    fact battery_status "$folder/status"
  fi
done
if [ -r /proc/loadavg ]; then fact load /proc/loadavg; else asked uptime uptime; fi
for file in /sys/firmware/devicetree/base/model /proc/device-tree/model; do
  if [ -r "$file" ]; then say model "$(tr -d '\000' < "$file" 2>/dev/null)"; break; fi
done
asked throttled vcgencmd get_throttled
fact throttled_sysfs /sys/devices/platform/soc/soc:firmware/get_throttled
asked android getprop ro.build.version.release
asked android_model getprop ro.product.model
asked android_soc getprop ro.soc.model
case ${PREFIX:-}:${HOME:-} in *com.termux*) say termux yes ;; esac
if [ "$(uname -s 2>/dev/null)" = Darwin ]; then
  for name in hw.ncpu hw.memsize machdep.cpu.brand_string vm.loadavg hw.nperflevels \
    hw.perflevel0 hw.perflevel1 hw.optional; do
    sysctl "$name" 2>/dev/null | while IFS= read -r line; do say sysctl "$line"; done
  done
  pmset -g batt 2>/dev/null | while IFS= read -r line; do say pmset "$line"; done
fi

set -f
# The work folder, or the nearest folder above it that there is.
folder=$work
case $folder in /*) ;; *) folder=${HOME:-.}/$folder ;; esac
say work.path "$folder"
if [ -e "$folder" ] && [ ! -d "$folder" ]; then say work.is_file yes; fi
if [ -d "$folder" ]; then say work.exists yes; fi
while [ ! -d "$folder" ] && [ "$folder" != / ] && [ -n "$folder" ]; do folder=${folder%/*}; done
[ -n "$folder" ] || folder=/
say work.checked "$folder"
disk=$(df -Pk "$folder" 2>/dev/null) || disk=$(df -k "$folder" 2>/dev/null) || disk=
if [ -n "$disk" ]; then say work.df "$(echo ${disk#*"
"})"; fi
# In a folder of its own, which mkdir makes or refuses: nothing that was there is touched. What the tools say on
# refusing tells why: no space, read-only, no permission.
own=$folder/.bibench-probe.$$
file=$own/run
umask 077
if said=$(mkdir "$own" 2>&1); then
  trap 'rm -f "$file"; rmdir "$own" 2>/dev/null' EXIT
  trap 'exit 130' HUP INT TERM
  said=$( { printf 'exit @EXECUTED@\n' > "$file"; } 2>&1 )
  text=
  { IFS= read -r text < "$file"; } 2>/dev/null
  if [ "$text" = 'exit @EXECUTED@' ]; then
    said=
    say work.written yes
    chmod 700 "$file" 2>/dev/null
    ("$file") >/dev/null 2>&1 </dev/null
    say work.executed $?
  fi
fi
if [ -n "$said" ]; then
  say work.written no
  say work.refusal "$(echo $said)"
fi
say end probe
exit 0
"""
)


def probe_script(workdir: str) -> str:
    """The script for a device whose work folder is this: absolute, or relative to the login's home."""
    return f"work={shlex.quote(workdir)}\n" + _BODY.replace("@EXECUTED@", str(EXECUTED))
