#!/usr/bin/env bash
# Fuzzes targets one after another, with the corpus, the seeds and the dictionary of each:
#   fuzz/run.sh SECONDS [TARGET…]
# New inputs go to fuzz/found/TARGET, what breaks a target to fuzz/artifacts/TARGET. `fuzz/run.sh minimise [TARGET…]` keeps
# the inputs, old and new, that together reach the most code: what a repository can hold.
set -euo pipefail
cd "$(dirname "$0")/.."

# How many inputs of each target are kept, and how long one may be.
keep=40
length=4096

what=${1:?"usage: fuzz/run.sh SECONDS|minimise [TARGET…]"}
shift
if [ "$#" -eq 0 ]; then
    mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' fuzz/Cargo.toml | tail -n +2)
    set -- "${targets[@]}"
fi
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz
cargo build --quiet --locked --package oneks-fuzz
# The versions that the build has; cargo adds the fuzzer's own.
cp Cargo.lock fuzz/Cargo.lock

# Without a sanitizer the stable toolchain is enough: there is no unsafe code of ours to watch.
options=(--sanitizer none)

for target in "$@"; do
    seeds=fuzz/seeds/$target
    corpus=fuzz/corpus/$target
    mkdir -p "fuzz/found/$target" "$corpus"
    target/debug/oneks-fuzz seeds "$target" "$seeds"
    if [ "$what" = minimise ]; then
        scratch=$(mktemp -d)
        mkdir "$scratch/merged" "$scratch/chosen"
        # One input for each part of the code, however often it is taken.
        cargo fuzz run "${options[@]}" "$target" "$scratch/merged" -- -set_cover_merge=1 -use_counters=0 \
            -max_len="$length" -merge_control_file="$scratch/control" "$PWD/$corpus" "$PWD/fuzz/found/$target" "$PWD/$seeds"
        target/debug/oneks-fuzz choose "$scratch/control" "$PWD/$seeds" "$keep" "$scratch/chosen"
        # What broke a target once stays, whatever it reaches.
        find "$corpus" -type f ! -name 'found-*' -delete
        cp "$scratch"/chosen/* "$corpus/"
        rm -rf "$scratch"
        continue
    fi
    cargo fuzz run "${options[@]}" "$target" "fuzz/found/$target" "$corpus" "$seeds" -- \
        -dict="fuzz/dict/$target.dict" -max_total_time="$what" -max_len=16384 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1
done
