#!/bin/sh
# Runs each fuzz target of a build for some seconds: run.sh BUILD SECONDS. Inputs found are kept in BUILD/corpus, and a
# finding is BUILD/finding-TARGET-…, with which the target can be run again.
set -eu

build=$1 seconds=$2
seeds=$(cd "$(dirname "$0")" && pwd)/seeds
for name in manifest jpeg png y4m mjpeg options; do
    corpus=$build/corpus/$name
    mkdir -p "$corpus"
    echo "fuzz $name for $seconds s" >&2
    if ! "$build/fuzz-$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
        -print_final_stats=1 -artifact_prefix="$build/finding-$name-" "$corpus" "$seeds/$name" >"$build/$name.txt" 2>&1
    then
        tail -n 60 "$build/$name.txt" >&2
        exit 1
    fi
    sed -n 's/^stat::number_of_executed_units: */  inputs tried: /p' "$build/$name.txt" >&2
done
echo "no finding" >&2
