#!/usr/bin/env bash
# Make .venv-ib_async, the environment of the second client of the conformance scripts. It is one of its own:
# ib_async and ib_insync bring different distributions of the same module. Run by `make test` and
# `make conformance`. Where it cannot be made it says so; the tests then skip it (or fail, with CI=true).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

env=.venv-ib_async  # always named to uv with --python: by default it would install into .venv
uv() { .venv/bin/python -m uv "$@"; }

if uv venv --quiet --clear --python .venv/bin/python "$env" \
    && uv pip install --quiet --python "$env/bin/python" --require-hashes -r requirements-ib_async.txt; then
    touch "$env/.ready"
    exit 0
fi
rm -rf "$env"
printf '\n  NO SECOND CLIENT: %s could not be made; its conformance tests are skipped.\n  Try again with %s.\n\n' \
    "$env" infrastructure/deploy/conformance-client.sh >&2
[ "${CI:-}" != true ]
