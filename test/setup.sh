#!/usr/bin/env bash
# Makes a fresh clone ready to run: `bash test/setup.sh [DEBIAN-PACKAGE…]` checks Node, installs what package-lock.json says,
# compiles src/ to dist/ and everything to .build/, and sees to it that the named Debian packages are there.
# It says nothing when there was nothing to do but to compile, and changes nothing when run again.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

temporary=$(mktemp -d)
log=$temporary/log
policy='' # the policy-rc.d that is ours to remove
root=''   # `sudo -n` where we need it to be root
clean_up() {
  if [ -n "$policy" ]; then $root rm -f "$policy"; fi
  rm -rf "$temporary"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

quietly() { # quietly WHAT COMMAND…: its output only when it fails, and then its ends, where npm and apt say why
  local what=$1
  shift
  if "$@" >"$log" 2>&1; then return 0; fi
  if [ "$(wc -l <"$log")" -gt 30 ]; then
    head -n 12 "$log" >&2
    printf '[...]\n' >&2
    tail -n 12 "$log" >&2
  else
    cat "$log" >&2
  fi
  fail "$what failed; above is what it said"
}

check_node() {
  command -v node >/dev/null || fail 'Berth needs Node.js 20.19 or newer, and there is no `node` on the PATH'
  local version major minor
  version=$(node -p process.versions.node)
  major=${version%%.*}
  minor=${version#*.}
  minor=${minor%%.*}
  if [ "$major" -eq 20 ] && [ "$minor" -ge 19 ]; then return; fi
  if [ "$major" -eq 22 ] && [ "$minor" -ge 12 ]; then return; fi
  if [ "$major" -ge 23 ]; then return; fi
  fail "Berth needs Node.js ^20.19 or >=22.12; this is $version ($(command -v node))"
}

install_modules() {
  local installed=node_modules/.package-lock.json # npm writes it last
  if [ -e "$installed" ] && ! [ package-lock.json -nt "$installed" ]; then return; fi
  say 'installing the npm packages (npm ci)'
  # npm prepares a clone for `npm install --global` with the settings of that, which `npm ci` refuses. This script is what
  # npm runs to prepare the clone (by `postprepare`: with `prepare`, npm 11 warns whoever installs the package of a script),
  # and npm would run it again.
  quietly 'npm ci' env -u npm_config_global npm ci --include=dev --ignore-scripts --no-audit --no-fund --loglevel=error
  touch "$installed"
}

compile() {
  if ! [ -d dist ] || ! [ -d .build ]; then say 'compiling'; fi
  quietly 'npm run build' npm run --silent build
  quietly 'tsc' node_modules/.bin/tsc
}

has_package() { # by its program on the PATH, wherever that came from, else by dpkg
  local program=$1
  case $1 in
    apache2-utils) program=htpasswd ;;
    bird2) program=bird ;;
    docker.io) program=dockerd ;;
    elfutils) program=eu-strip ;;
    iproute2) program=ip ;;
    moosefs-chunkserver) program=mfschunkserver ;;
    moosefs-client) program=mfsmount ;;
    moosefs-master) program=mfsmaster ;;
    systemd-container) program=systemd-nspawn ;;
  esac
  if PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null; then return 0; fi
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

become_root() {
  if [ "$(id -u)" -eq 0 ]; then return 0; fi
  root='sudo -n'
  command -v sudo >/dev/null && sudo -n true 2>/dev/null
}

# Debian starts a daemon as soon as its package is installed, unless this file says no. One that is there already is somebody's
# own decision and stays, except for one that an earlier run of this script was killed too hard to remove.
forbid_services() {
  local file=/usr/sbin/policy-rc.d mark='# from the setup.sh of Berth, for as long as it installs'
  if [ -e "$file" ] && ! grep -qxF "$mark" "$file"; then return 0; fi
  policy=$file
  printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$temporary/policy"
  $root install -m 755 "$temporary/policy" "$file"
}

apt_install() {
  $root env LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@"
}

install_packages() {
  local package missing=''
  for package in "$@"; do
    if ! has_package "$package"; then missing="$missing $package"; fi
  done
  if [ -z "$missing" ]; then return 0; fi
  if ! command -v apt-get >/dev/null; then
    fail "missing:$missing (the names are Debian's); install them the way this system does, then run this again"
  fi
  if ! become_root; then
    fail "missing Debian packages; install them with: sudo apt-get install --no-install-recommends$missing"
  fi
  say "installing the Debian packages$missing (their services stay off)"
  forbid_services
  # The package lists may be absent (a fresh container) or older than what the mirror still holds.
  # shellcheck disable=SC2086 # one word a package
  if ! apt_install $missing >"$log" 2>&1; then
    say 'fetching new package lists first (apt-get update)'
    quietly 'apt-get update' $root apt-get update
    quietly "apt-get install$missing" apt_install $missing
  fi
  # Not at the next boot either: only the services of what was not here before, be it for the sake of something else.
  if command -v systemctl >/dev/null; then
    new=$(sed -n 's/^Selecting previously unselected package \(.*\)\.\r*$/\1/p' "$log")
    # shellcheck disable=SC2046,SC2086 # one word a package
    units=$(dpkg -L $missing $new | sed -n 's!.*/systemd/system/\([^/@]*\.\(service\|socket\)\)$!\1!p' | sort -u)
    # shellcheck disable=SC2086 # one word a unit
    if [ -n "$units" ]; then $root systemctl disable $units >"$log" 2>&1 || :; fi
  fi
  for package in $missing; do
    has_package "$package" || fail "$package is still missing after apt-get install"
  done
}

# Two runs at once in one clone would pull node_modules and .build from under each other.
if command -v flock >/dev/null; then
  exec 9<package.json
  flock 9
fi
check_node
install_modules
compile
install_packages "$@"
