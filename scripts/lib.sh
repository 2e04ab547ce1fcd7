# Shared by scripts/demo, scripts/test and .ci/run; sourced, not run.
# shellcheck shell=bash

say() { printf '%s\n' "$*"; }
step() { printf '\n== %s\n' "$*"; }

packages="ca-certificates g++ clang llvm cmake ninja-build ccache pkg-config git
  libboost1.81-dev libboost-context1.81-dev librocksdb-dev libcapnp-dev capnproto libspdlog-dev catch2 librapidcheck-dev
  libtomlplusplus-dev libcli11-dev libssl-dev libbpf-dev bpftool libxxhash-dev liblz4-dev liburing-dev libzstd-dev
  libblkid-dev libsqlite3-dev sqlite3 e2fsprogs xfsprogs btrfs-progs mount util-linux fdisk openssl jq procps iproute2"

# Installs what is missing of `packages` and of the arguments. Needs root only if something is.
install_packages() {
  local missing=() name
  for name in $packages "$@"; do
    dpkg-query -W -f='${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || missing+=("$name")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    say "packages: all present"
    return 0
  fi
  if [ "$(id -u)" -ne 0 ]; then
    say "packages missing: ${missing[*]}"
    say "next: as root, run: apt-get install ${missing[*]}"
    return 1
  fi
  say "packages: installing ${missing[*]}"
  local log
  log=$(mktemp /tmp/drover-install.XXXXXX)
  if ! { apt-get update && DEBIAN_FRONTEND=noninteractive \
      apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log"
    say "next: read $log, then run this command again; nothing else was changed"
    return 1
  fi
  rm -f "$log"
}

# An agent needs to know its host again; containers and chroots often come without a machine id.
ensure_machine_id() {
  [ -s /etc/machine-id ] && return 0
  if [ "$(id -u)" -ne 0 ]; then
    say "this system has no /etc/machine-id; next: as root, run: systemd-machine-id-setup"
    return 1
  fi
  tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
  say "this system had no /etc/machine-id: made one"
}

# build PRESET TARGET...: configures if needed and builds; says how long it took.
build() {
  local preset=$1
  shift
  local started=$SECONDS log
  log=$(mktemp /tmp/drover-build.XXXXXX)
  if ! { cmake --preset "$preset" && cmake --build --preset "$preset" ${1:+--target "$@"}; } \
      >"$log" 2>&1; then
    grep -E 'error|Error|FAILED' "$log" | head -n 40
    say "the build failed; the whole log: $log"
    return 1
  fi
  rm -f "$log"
  say "built ${*:-everything} ($preset) in $((SECONDS - started)) s"
}
