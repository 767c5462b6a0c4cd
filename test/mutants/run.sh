#!/usr/bin/env bash
# `npm run mutants`: in every room, which of Stryker's changes of src/ the unit tests notice.
# `npm run mutants -- pool proxy/relay config/load.ts` takes the rooms, folders and files of src/ that it names alone.
set -eu
cd "$(dirname "$0")/../.."
trap 'exit 130' INT # Stryker answers Ctrl-C itself, so that bash would go on with the next room

bash test/setup.sh openssl
if [ $# -eq 0 ]; then set -- config pool generation listeners proxy; fi
for what in "$@"; do
  case $what in *.ts) files=src/$what ;; *) files="src/$what/**/*.ts" ;; esac
  MUTANTS_ROOM=${what%%/*} node_modules/.bin/stryker run --mutate "$files"
done
