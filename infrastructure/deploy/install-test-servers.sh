#!/usr/bin/env bash
# Install the programs that only tests need, where this can be done without asking: as root, with apt.
# It says what it found and where, and what is missing; those tests then skip (or fail, with CI=true).
#   infrastructure/deploy/install-test-servers.sh [FOLDER OF TIMESCALEDB]
set -euo pipefail

here=$(dirname "${BASH_SOURCE[0]}")
own=${1:-/opt/alphec-street/timescaledb}
say() { printf 'test servers: %s\n' "$*" >&2; }

browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" && return 0
    done
    return 1
}
# Folders of initdb, as data.testing looks for them: ours, Debian's, the search path's.
folders() {
    local name
    [ ! -f "$own/.complete" ] || compgen -G "$own/usr/lib/postgresql/*/bin/initdb" || true
    compgen -G '/usr/lib/postgresql/*/bin/initdb' || true
    name=$(command -v initdb) && readlink -f "$name" || true
}
postgres() { folders | xargs -r -n 1 dirname | grep -v "^$own/" | tail -n 1 | grep .; }
timescale() {
    local bin share
    while read -r bin; do
        bin=$(dirname "$bin") share=$(dirname "$bin")/share
        case "$bin" in */lib/postgresql/*/bin)
            compgen -G "${bin%/lib/postgresql/*}/share/postgresql/$(basename "${bin%/bin}")/extension/timescaledb.control" \
                >/dev/null && echo "$bin" && return 0 ;;
        esac
        for share in "$share" "$share/postgresql" "$share/pgsql" "$share"/postgresql@*; do
            [ -f "$share/extension/timescaledb.control" ] && echo "$bin" && return 0
        done
    done < <(folders)
    return 1
}

# TimescaleDB comes in a folder of its own: the host's release may not have it (Debian 12 does not).
if ! timescale >/dev/null; then
    "$here/install-timescaledb.sh" "$own" || true
fi
missing=()
browser >/dev/null || missing+=(chromium)
postgres >/dev/null || missing+=(postgresql)
if [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; } \
        || say 'apt-get failed'
fi

lost=()
tell() { # NAME COMMAND
    local place
    if place=$("$2"); then say "$1: $place"; else lost+=("$1"); fi
}
tell 'Chromium' browser
tell 'PostgreSQL' postgres
tell 'PostgreSQL with TimescaleDB' timescale
[ "${#lost[@]}" -gt 0 ] || exit 0
printf '\n  MISSING TEST SERVERS: %s\n  Install them with your package manager (Debian, Ubuntu: sudo %s).\n  Until then their tests are skipped.\n\n' \
    "$(IFS=,; echo "${lost[*]}" | sed 's/,/, /g')" infrastructure/deploy/install-test-servers.sh >&2
