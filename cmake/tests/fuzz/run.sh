#!/bin/sh
# Runs each fuzz target of a build for some seconds: run.sh BUILD SECONDS [TARGET…]. Inputs found are kept in
# BUILD/corpus, and a finding is BUILD/finding-TARGET-…, with which the target can be run again.
set -eu

build=$1 seconds=$2
shift 2
seeds=$(cd "$(dirname "$0")" && pwd)/seeds
for name in ${*:-manifest jpeg png y4m mjpeg options}; do
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    end=$(($(date +%s) + seconds)) tried=0
    while left=$((end - $(date +%s))) && [ "$left" -gt 0 ]; do
        echo "fuzz $name for $left s" >&2
        log=$build/$name.txt
        found=yes
        if "$build/fuzz-$name" -max_total_time="$left" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
            -print_final_stats=1 -artifact_prefix="$build/finding-$name-" "$corpus" "$seeds/$name" >"$log" 2>&1
        then
            found=
        fi
        count=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        tried=$((tried + ${count:-0}))
        if [ -n "$found" ]; then
            # Its clock runs on while a busy machine stops the process: too slow is what takes so long of the processor.
            slow=$(sed -n 's/.*Test unit written to \(.*-timeout-.*\)$/\1/p' "$log" | head -n 1)
            if [ -z "$slow" ] || ! (ulimit -t 20 && exec "$build/fuzz-$name" "$slow") >>"$log" 2>&1; then
                tail -n 60 "$log" >&2
                exit 1
            fi
            rm -f "$slow"
        fi
    done
    echo "  inputs tried: $tried" >&2
done
echo "no finding" >&2
