#!/usr/bin/env bash
# Makes a release in the folder named: an archive of the programs, their configuration and documents, a bill of materials
# (CycloneDX) of each program, and SHA256SUMS of all.
#
#   config/deploy/release.sh dist
#
# Two runs of the same commit, toolchain and checkout path make the same archive. PROFILE=demo builds soon, for a try.
set -euo pipefail
checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
source "$checkout/.ci/packages.sh"
cd "$checkout"
[[ $# == 1 ]] || { echo "usage: config/deploy/release.sh FOLDER" >&2; exit 2; }
mkdir -p "$1"
out=$(cd "$1" && pwd)

ensure_linker
choose_target_dir "$checkout"
cargo_tool cyclonedx 0.5.9 cargo-cyclonedx
[[ -z "$(git status --porcelain)" ]] || echo "The checkout differs from its commit." >&2
commit=$(git rev-parse --short=12 HEAD)
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
profile=${PROFILE:-release}
name=qris-soundbox-$version-$commit-$(uname -m)-linux

export SQLX_OFFLINE=true
cargo build --profile "$profile" --locked -p platform -p certs -p device-sim

programs=(platform certs device-sim)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage/$name/bin"
for program in "${programs[@]}"; do
  install -m 755 "$CARGO_TARGET_DIR/$profile/$program" "$stage/$name/bin/"
  strip "$stage/$name/bin/$program"
done
cp -r config docs README.md ARCHITECTURE.md SECURITY.md "$stage/$name/"
chmod -R u=rwX,go=rX "$stage/$name"

for program in "${programs[@]}"; do
  cargo cyclonedx --quiet --manifest-path "$program/Cargo.toml" --format json --spec-version 1.5 \
    --override-filename "$program.cdx"
  mv "$program/$program.cdx.json" "$out/"
done
# It writes one beside every member of the workspace.
find . -name '*.cdx.json' -not -path './target/*' -not -path "$out/*" -delete

when=$(git log -1 --format=%ct)
tar --sort=name --mtime="@$when" --owner=0 --group=0 --numeric-owner -C "$stage" -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" *.cdx.json >SHA256SUMS && cat SHA256SUMS)
