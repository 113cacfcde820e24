#!/usr/bin/env bash
# Install the programs that only tests need, where this can be done without asking: as root, with apt.
# Elsewhere it says what is missing; the tests then skip (or fail, with CI=true).
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
missing=()
found() { local name; for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return 0; done; return 1; }
found chromium chromium-browser google-chrome google-chrome-stable || missing+=(chromium)
found initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)

# TimescaleDB comes in a folder of its own: the host's release may not have it (Debian 12 does not).
if ! "$here/install-timescaledb.sh"; then
    printf '\n  MISSING TEST SERVER: PostgreSQL with TimescaleDB; its tests are skipped until then.\n\n' >&2
fi
[ "${#missing[@]}" -gt 0 ] || exit 0

if [ "$(id -u)" = 0 ] && found apt-get; then
    printf 'test servers: installing %s\n' "${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; then
        exit 0
    fi
    printf 'test servers: apt-get failed\n' >&2
fi
printf '\n  MISSING TEST SERVERS: %s\n  Install them with your package manager (Debian, Ubuntu: sudo %s).\n  Until then their tests are skipped.\n\n' \
    "${missing[*]}" infrastructure/deploy/install-test-servers.sh >&2
