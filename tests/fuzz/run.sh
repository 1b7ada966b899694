#!/usr/bin/env bash
# Fuzzes one target after another: tests/fuzz/run.sh [SECONDS [TARGET …]]; all of them, ten minutes each, by default.
# Builds as cargo-fuzz does without a sanitizer (there is no unsafe code to sanitize), and needs neither cargo-fuzz nor a
# nightly toolchain. What makes a target fail is left beside the corpus; what it merely learns stays in target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${1:-600}
shift || true
targets=("$@")
((${#targets[@]})) || targets=(packet uplink envelope qris callback snap dialect csr box_profile webhook_target csv_file)

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/../../target}/fuzz
coverage=(-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions --cfg fuzzing)
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${coverage[*]}" cargo build --release --target "$host" --bins

for target in "${targets[@]}"; do
  learned=$CARGO_TARGET_DIR/learned/$target
  mkdir -p "$learned"
  echo "== $target, $seconds s"
  "$CARGO_TARGET_DIR/$host/release/$target" "$learned" "corpus/$target" \
    -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="corpus/$target/found-" 2>&1 | tail -n 12
done
