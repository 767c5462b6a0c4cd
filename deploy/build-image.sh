#!/usr/bin/env bash
# Builds the container image of this clone: bash deploy/build-image.sh [NAME [OPTION OF docker build…]]; NAME is berth. Version,
# commit and date stand in its labels. Everything in it is as old as the commit, so the same commit makes the same layers on the
# same base: --build-arg BASE=node:24-bookworm-slim@sha256:…
# What git cannot say here comes from the environment: REVISION, SOURCE_DATE_EPOCH (reproducible-builds.org).
set -eu
cd "$(dirname "$0")/.."
name=${1:-berth}
if [ $# -gt 0 ]; then shift; fi

version=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
source=$(sed -n 's/^ *"url": "\(.*\.git\)",\{0,1\}$/\1/p' package.json | sed 's/^git+//')
changed=''
if [ -n "$(git status --porcelain 2>/dev/null)" ]; then changed=-changed; fi
revision=${REVISION:-$(git rev-parse HEAD 2>/dev/null || echo unknown)$changed}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export SOURCE_DATE_EPOCH
created=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)

label=org.opencontainers.image
set -- --label "$label.version=$version" --label "$label.revision=$revision" --label "$label.created=$created" "$@"
if [ -n "$source" ]; then set -- --label "$label.source=$source" "$@"; fi
exec docker build -f deploy/Dockerfile -t "$name" -t "$name:$version" --build-arg SOURCE_DATE_EPOCH "$@" .
