#!/usr/bin/env bash
# `npm test`: set-up, checks, all tests. `npm test -- --node 26` runs the tests alone under that Node from the npm registry;
# `npm test -- FILE…` runs those test files (test/relay.test.ts) alone.
set -eu
cd "$(dirname "$0")/.."
bash test/setup.sh docker-registry skopeo redis-server apache2-utils openssl prometheus iproute2 haproxy curl \
  docker.io docker-compose moosefs-master moosefs-chunkserver moosefs-client

node=node
if [ "${1:-}" = --node ]; then
  node=$(npx -y -p "node@$2" which node)
  shift 2
elif [ $# -eq 0 ]; then
  npm run --silent check
fi

if [ $# -eq 0 ]; then set -- test/*.test.ts; fi
files=()
for file in "$@"; do files+=(".build/${file%.ts}.js"); done
echo "testing with Node $("$node" --version)"
# Child processes that tests start run under the same Node.
PATH=$(dirname "$node"):$PATH "$node" --enable-source-maps --test "${files[@]}"
