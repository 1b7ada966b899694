#!/usr/bin/env bash
# Runs every test, with a throw-away Postgres that lives exactly as long as they do.
# Arguments go to the test runner: ./test.sh a_revoked_box
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$checkout/.ci/packages.sh"
cd "$checkout"

ensure_linker
ensure_postgres
choose_target_dir "$checkout"
export SQLX_OFFLINE=true

runner=(cargo test)
if cargo nextest --version >/dev/null 2>&1; then
  runner=(cargo nextest run)
fi
# Everything is built first, `test-database` among it, which starts the server and then the tests.
cargo test --workspace --locked --quiet --no-run
exec "$CARGO_TARGET_DIR/debug/test-database" run "${runner[@]}" --workspace --locked "$@"
