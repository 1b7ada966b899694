#!/usr/bin/env bash
# Starts the whole platform with demo merchants, simulated boxes and an acquirer that pays them.
# Arguments are those of `platform demo`: ./run.sh --boxes 3 --pay-every 5s --for 60s
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$checkout/.ci/packages.sh"

ensure_linker
[[ -n "${DATABASE_URL:-}" ]] || ensure_postgres
choose_target_dir "$checkout"

# Queries are checked against .sqlx: a database named by DATABASE_URL may still be empty.
export SQLX_OFFLINE=true
[[ -x "$CARGO_TARGET_DIR/demo/platform" ]] ||
  echo "Building; the first time this takes some minutes …" >&2
cargo build --profile demo --quiet --locked --manifest-path "$checkout/Cargo.toml" -p platform -p device-sim -p certs
exec "$CARGO_TARGET_DIR/demo/platform" demo "$@"
