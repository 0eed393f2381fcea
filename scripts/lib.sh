# What the scripts share: packages, Redis' sources, building.  Sourced, not run.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
redis_headers="$root/build/redis"

run_packages=(redis-server redis-tools)
build_packages=(cmake ninja-build g++ pkg-config dpkg-dev libpmem-dev libxxhash-dev libfmt-dev libssl-dev libibverbs-dev librdmacm-dev
                libgtest-dev libgmock-dev librapidcheck-dev libcli11-dev)
test_packages=(python3 python3-redis python3-pytest clang-format tcl procps libabsl-dev libjemalloc-dev spin iproute2)
application_packages=(python3-celery python3-channels-redis python3-kombu python3-limits python3-rq ruby-sidekiq)
fuzz_packages=(clang libclang-rt-dev)
tidy_packages=(clang-tidy)
vm_packages=(qemu-system-x86 linux-image-amd64 busybox-static cpio kmod xz-utils python3 ndctl e2fsprogs iproute2
             rdma-core ibverbs-providers)

# The head of a script says what it does and takes: --help prints that before anything is done.  What stands behind "--"
# is another command's.
for argument in "$@"; do
  case $argument in
    --) break ;;
    -h | --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    --version) sed -n 's/^project(faha VERSION \([0-9.]*\).*/faha \1/p' "$root/CMakeLists.txt"; exit 0 ;;
  esac
done

say() { printf '%s\n' "$*"; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# Runs "$@" so that it ends with this script when that is sent SIGTERM: bash hears a signal only when the command before
# it has ended, unless it waits for one in the background.
stoppable() {
  local child status=0
  "$@" <&0 &
  child=$!
  # shellcheck disable=SC2064
  trap "kill -TERM $child 2>/dev/null; wait $child; exit 143" TERM
  wait "$child" || status=$?
  trap - TERM
  return "$status"
}

# Runs "$@" quietly; shows what it printed only if it fails.
quietly() {
  local log
  log=$(mktemp)
  if ! stoppable "$@" >"$log" 2>&1; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    return 1
  fi
  rm -f "$log"
}

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || printf '%s\n' "$package"
  done
}

# Debian's redis-server starts a service when it is installed; nobody asked for that one.
install_without_services() {
  local policy=/usr/sbin/policy-rc.d ours=no status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    ours=yes
  fi
  DEBIAN_FRONTEND=noninteractive quietly apt-get install -y --no-install-recommends "$@" || status=$?
  if [ "$ours" = yes ]; then rm -f "$policy"; fi
  return "$status"
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" = 0 ] || die "packages are missing (${missing[*]}): run this as root, or install them first"
  say "installing ${missing[*]}"
  quietly apt-get update || die "apt-get update failed: check the machine's apt sources"
  install_without_services "${missing[@]}" || die "apt-get install failed: see the lines above"
}

# install_optional WHAT PACKAGE...: false, with a line that says so, where the packages of WHAT cannot be had: that is no
# failure of ours.
install_optional() {
  local what=$1 output
  shift
  output=$(install_packages "$@" 2>&1) && return 0
  say "$what: skipped: its packages cannot be installed: ${output##*$'\n'}"
  return 1
}
install_vm_packages() { install_optional vm "${vm_packages[@]}"; }
install_application_packages() { install_optional applications "${application_packages[@]}"; }

# What the applications of node need, into build/applications.  A line and false where there is no npm, or npm cannot get it.
install_application_modules() {
  local source="$root/tests/applications/node" folder="$root/build/applications"
  command -v npm >/dev/null && command -v node >/dev/null || { say "applications of node: skipped: there is no npm"; return 1; }
  ! cmp -s "$source/package-lock.json" "$folder/installed" || return 0
  mkdir -p "$folder"
  rm -rf "$folder/node_modules" "$folder/installed"
  cp "$source/package.json" "$source/package-lock.json" "$folder"
  say "installing the applications of node"
  if ! quietly npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund 2>/dev/null; then
    rm -rf "$folder/node_modules"
    say "applications of node: skipped: npm cannot install them"
    return 1
  fi
  cp "$source/package-lock.json" "$folder/installed"
}
install_fuzz_packages() { install_optional fuzz "${fuzz_packages[@]}"; }
install_tidy_packages() { install_optional clang-tidy "${tidy_packages[@]}"; }

# The netdev of the guest $1 on a network, kept in the folder $3, that it shares with the guest $2 alone.
guest_network() { echo "dgram,local.type=unix,local.path=$3/$1.sock,remote.type=unix,remote.path=$3/$2.sock"; }

# private_apt FOLDER ARGUMENT...: apt-get in FOLDER, with lists and state of its own there, so that the machine's own apt is
# left as it is.  Its sources are in FOLDER/parts.
private_apt() {
  local work=$1
  shift
  mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial"
  (cd "$work" && quietly apt-get -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$work/parts" \
    -o "Dir::State::lists=$work/lists" -o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root "$@")
}

# derive_sources FOLDER ONE_LINE DEB822: the machine's own apt sources, each form through its filter, into FOLDER/parts.
derive_sources() {
  local file
  mkdir -p "$1/parts"
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ ! -f "$file" ] || "$2" <"$file" >"$1/parts/$(basename "$file" .list).list"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ ! -f "$file" ] || "$3" <"$file" >"$1/parts/$(basename "$file")"
  done
}

# Debian's source package of redis, fetched once: redismodule.h, Redis' hash table and its test suite are in no package.
redis_source="$redis_headers/redis.orig.tar"
source_lines() { sed -n 's/^[[:space:]]*deb[[:space:]]/deb-src /p'; }
source_stanzas() { sed 's/^Types:.*/Types: deb-src/'; }
fetch_redis_source() {
  [ -f "$redis_source" ] && return 0
  say "fetching Debian's source package of redis"
  local work
  work=$(mktemp -d)
  mkdir -p "$redis_headers"
  derive_sources "$work" source_lines source_stanzas
  private_apt "$work" update || die "apt-get update of the source lists failed: check the machine's apt sources"
  private_apt "$work" source --download-only redis ||
    die "Debian's source package of redis cannot be fetched: put its src/redismodule.h and its tests into $redis_headers"
  mv "$work"/redis_*.orig.tar.* "$redis_source"
  rm -rf "$work"
}

# extract_redis COUNT PATTERN...: what matches them in the source package, into build/redis, without the first COUNT folders.
extract_redis() {
  local count=$1
  shift
  fetch_redis_source
  tar -xf "$redis_source" -C "$redis_headers" --wildcards --strip-components="$count" "$@"
}

fetch_redismodule() {
  [ -f "$redis_headers/redismodule.h" ] || extract_redis 2 '*/src/redismodule.h'
}

# What bench/index measures beside our index, into build/redis/src.
redis_table=(dict.c dict.h mt19937-64.c mt19937-64.h siphash.c sds.c sds.h sdsalloc.h zmalloc.c zmalloc.h atomicvar.h config.h
             fmacros.h solarisfixes.h redisassert.c redisassert.h)
fetch_redis_table() {
  local file
  for file in "${redis_table[@]}"; do
    [ -f "$redis_headers/src/$file" ] || { extract_redis 1 "${redis_table[@]/#/*/src/}" && return; }
  done
}

# Redis' own test suites, Sentinel's among them, into build/redis/tests.
fetch_redis_tests() {
  [ -f "$redis_headers/tests/test_helper.tcl" ] || extract_redis 1 '*/tests/*'
}

# Valkey, into build/valkey: from the release's backports, for it is newer than the release.  A line and false where they
# cannot be had.
backport_lines() {
  sed -nE "s/^[[:space:]]*deb[[:space:]](.*[[:space:]])$VERSION_CODENAME[[:space:]].*/deb \\1$VERSION_CODENAME-backports main/p"
}
backport_stanzas() {
  awk -v RS= -v ORS='\n\n' -v suite="$VERSION_CODENAME" '
    $0 ~ "(^|\n)Suites:([^\n]*[ \t])?" suite "([ \t\n]|$)" { sub(/(^|\n)Suites:[^\n]*/, "\nSuites: " suite "-backports"); print }'
}
fetch_valkey() {
  [ ! -x "$root/build/valkey/usr/bin/valkey-server" ] || return 0
  local work package VERSION_CODENAME
  work=$(mktemp -d)
  VERSION_CODENAME=$(. /etc/os-release && echo "$VERSION_CODENAME")
  derive_sources "$work" backport_lines backport_stanzas
  if ! { private_apt "$work" update && private_apt "$work" download valkey-server valkey-tools; } 2>/dev/null; then
    say "valkey: skipped: $VERSION_CODENAME-backports has none, or cannot be reached"
    rm -rf "$work"
    return 1
  fi
  mkdir -p "$root/build/valkey"
  for package in "$work"/*.deb; do dpkg -x "$package" "$root/build/valkey"; done
  rm -rf "$work"
}

# build PRESET [TARGET ...]
build() {
  local preset=$1
  shift
  say "building $preset"
  (cd "$root" && quietly cmake --preset "$preset") || die "cmake --preset $preset failed: see the lines above"
  quietly env -C "$root" cmake --build --preset "$preset" ${1:+--target "$@"} ||
    die "the build of $preset failed: see the lines above"
}

# The module of the last release, for the test of upgrades, from the commit that docs/CHANGELOG.md names: build/earlier/faha.so.
build_earlier() {
  local commit folder="$root/build/earlier"
  commit=$(sed -n 's/^Commit \([0-9a-f]\{40\}\)\.$/\1/p' "$root/docs/CHANGELOG.md" | head -n 1)
  if ! git -C "$root" cat-file -e "$commit^{commit}" 2>/dev/null; then
    say "the upgrade from the last release: skipped: this clone lacks its commit ($commit)"
    return 0
  fi
  [ "$(cat "$folder/commit" 2>/dev/null)" != "$commit" ] || return 0
  say "building the last release"
  rm -rf "$folder"
  mkdir -p "$folder/source"
  git -C "$root" archive "$commit" | tar -x -C "$folder/source"
  (cd "$folder" && quietly cmake -S source -B out -G Ninja -DCMAKE_BUILD_TYPE=Release "-DCMAKE_CXX_FLAGS_RELEASE=-O1" -DFAHA_LTO=OFF -DFAHA_PCH=ON \
    "-DFAHA_REDISMODULE_DIR=$redis_headers" && quietly cmake --build out --target faha) || die "the last release cannot be built: see the lines above"
  cp "$folder/out/faha.so" "$folder/faha.so"
  rm -rf "$folder/source" "$folder/out"
  printf '%s\n' "$commit" >"$folder/commit"
}
