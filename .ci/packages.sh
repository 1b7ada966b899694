# shellcheck shell=bash
# Shared by run.sh, test.sh, .ci/run and config/deploy/release.sh: packages, and where cargo may write.
# Sourced. Everything here speaks on standard error, for standard output is the program's.

# Installs Debian packages, as root or through sudo, and starts none of their services.
apt_install() {
  local as_root=()
  if ((EUID != 0)); then
    if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [[ -t 0 ]]; }; then
      echo "Needed: apt-get install $* (run that as root, then try again)" >&2
      return 1
    fi
    as_root=(sudo)
  fi
  echo "Installing $* …" >&2
  "${as_root[@]}" apt-get -qq update >&2
  # RUNLEVEL=1: Debian's init scripts then leave a new service stopped.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
    apt-get -qq install --yes --no-install-recommends "$@" >&2
}

# Makes sure that PostgreSQL's server binaries are there, where the platform looks for them.
ensure_postgres() {
  if [[ -n "${PG_BIN_DIR:-}" ]] || compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
    { command -v postgres && command -v initdb; } >/dev/null; then
    return
  fi
  # Debian's package makes a cluster of its own beside the binaries; it stays stopped.
  apt_install postgresql
}

# Makes sure of a linker, without which cargo builds nothing.
ensure_linker() {
  command -v cc >/dev/null || apt_install gcc libc6-dev
}

# Installs a cargo subcommand in the version named, unless it is there.
cargo_tool() {
  local name=$1 version=$2
  shift 2
  case "$(cargo "$name" --version 2>/dev/null)" in
  *" $version") ;;
  # Outside our target directory, and not as its makers ship it: whole-program optimisation takes longer than it saves.
  *) env -u CARGO_TARGET_DIR CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    cargo install --quiet --locked "$@" --version "$version" ;;
  esac
}

# Sets CARGO_TARGET_DIR: beside the sources, or in the user's cache when they are read-only.
choose_target_dir() {
  local checkout=$1
  if [[ -z "${CARGO_TARGET_DIR:-}" ]]; then
    CARGO_TARGET_DIR="$checkout/target"
    if ! mkdir -p "$CARGO_TARGET_DIR" 2>/dev/null || [[ ! -w "$CARGO_TARGET_DIR" ]]; then
      CARGO_TARGET_DIR="${XDG_CACHE_HOME:-$HOME/.cache}/qris-soundbox/target"
    fi
  fi
  export CARGO_TARGET_DIR
}
