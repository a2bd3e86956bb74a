#!/usr/bin/env bash
# One night for cron: says nothing if nothing got worse, so that cron sends no mail. See docs/lab/ci.md.
#
#     nightly.sh FOLDER [OPTION]...     the folder of lab.toml; options of 'bibench-deploy nightly'
set -euo pipefail
umask 022

folder=${1:?usage: nightly.sh FOLDER [OPTION]...}
shift
cd "$folder"

# One night at a time on this host: a night that is still running is told, and left alone.
exec 9>.nightly.lock
if ! flock --nonblock 9; then
    echo "the night before is still running in $folder"
    exit 3
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
bibench-deploy nightly lab.toml --junit night.xml --summary night.md "$@" >"$log" 2>&1 || code=$?
if [ "$code" -ne 0 ]; then
    cat "$log"
fi
# The history is made after every night, also after one with a regression, which stays what is told.
if [ "$code" -ne 2 ] && ! bibench-deploy report --history site >"$log" 2>&1; then
    cat "$log"
    [ "$code" -ne 0 ] || code=3
fi
exit "$code"
