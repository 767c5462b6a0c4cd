#!/usr/bin/env bash
# `npm test`: set-up, checks, all tests. `npm test -- --node 26` runs the tests alone under that Node from the npm registry;
# `BERTH=PROGRAM npm test -- test/program` tries that program (the single file) in the place of `node dist/cli.js`.
# `npm test -- PATH…` runs those test files, or the test files below those folders, alone (`test/unit/pool`). Only what the
# tests to run need is installed: for test/unit no Debian package.
set -eu
cd "$(dirname "$0")/.."
trap 'exit 130' INT # the test runner answers Ctrl-C itself, so that bash would go on with the next group

packages() { # the Debian packages that a group of tests needs
  case $1 in
    program)
      echo openssl systemd haproxy nginx-light libnginx-mod-stream curl skopeo prometheus iproute2 tmux zsh man-db mandoc \
        elfutils qemu-user libc6-arm64-cross libstdc++6-arm64-cross libatomic1-arm64-cross
      ;;
    cluster)
      echo openssl docker-registry skopeo redis-server apache2-utils prometheus iproute2 docker.io docker-compose \
        moosefs-master moosefs-chunkserver moosefs-client haproxy nftables socat curl chromium keepalived bird2 \
        elfutils debootstrap systemd-container lintian
      ;;
  esac
}

at_once() { # how many files of a group run side by side: those of test/program mostly wait, those of test/cluster are heavy
  case $1 in
    unit) node -p 'os.availableParallelism()' ;;
    program) node -p 'os.availableParallelism() + 1' ;;
    cluster) echo 2 ;;
  esac
}

version=''
if [ "${1:-}" = --node ]; then
  version=$2
  shift 2
fi
check=false
if [ $# -eq 0 ]; then
  if [ -z "$version" ]; then check=true; fi
  set -- test/unit test/program test/cluster
fi

files=$(find "$@" -name '*.test.ts' | sed 's!^\./!!' | sort)
groups=''
needed=''
for group in unit program cluster; do
  if grep -q "^test/$group/" <<<"$files"; then
    groups="$groups $group"
    needed="$needed $(packages "$group")"
  fi
done
if [ -z "$groups" ]; then
  echo "no test file of test/unit, test/program or test/cluster is in: $*" >&2
  exit 2
fi

# shellcheck disable=SC2086 # one word a package
bash test/setup.sh $(printf '%s\n' $needed | sort -u)
if $check; then npm run --silent check; fi
if [ -n "$version" ]; then
  node=$(npx -y -p "node@$version" which node)
  PATH=$(dirname "$node"):$PATH # what the tests start runs under it too
fi

failed=''
for group in $groups; do
  built=$(sed -n "s!^\(test/$group/.*\)\.ts\$!.build/\1.js!p" <<<"$files")
  echo "test/$group, with Node $(node --version)${BERTH:+, of $BERTH}"
  # shellcheck disable=SC2086 # one word a file
  node --enable-source-maps --test --test-concurrency="$(at_once "$group")" $built || failed="$failed test/$group"
done
if [ -n "$failed" ]; then
  echo "failed:$failed" >&2
  exit 1
fi
