#!/usr/bin/env bash
# Put PostgreSQL 17 with TimescaleDB (Apache edition) from Debian's packages into one folder, beside whatever the
# host has. Nothing of the host is replaced: the packages are unpacked with their own libc, and the programs
# are made to use it. Needs root (for apt's folders), apt and a Debian archive keyring; takes about 15 seconds.
#   infrastructure/deploy/install-timescaledb.sh [FOLDER]
set -euo pipefail

SUITE=trixie
PACKAGES=(postgresql-17 postgresql-client-17 postgresql-17-timescaledb)
# Dependencies of maintainer scripts and of features that a test server never loads (just-in-time compiler, Perl).
UNUSED='^(libllvm|libz3|perl|libperl|libjson-perl|libipc-run-perl|postgresql-common|postgresql-client-common|locales|libc-l10n|adduser|passwd|login|base-passwd|debconf|ucf|procps|libproc2|init-system-helpers|readline-common|openssl$|openssl-provider|libpam-modules|libsemanage|libsepol|libgdbm|libdb5|tzdata|ssl-cert|sensible-utils|netbase|media-types)'
target=${1:-/opt/alphec-street/timescaledb}
programs=$target/usr/lib/postgresql/17/bin

[ -x "$programs/postgres" ] && [ -f "$target/.complete" ] && exit 0
fail() {
    printf 'timescaledb: %s\n  %s\n  %s\n' "$1" \
        "Other ways: PostgreSQL with TimescaleDB from your package manager, its initdb on the PATH or (Debian," \
        "Ubuntu) in /usr/lib/postgresql, or a container (docs/database.md)." >&2
    exit 1
}
command -v apt-get >/dev/null || fail "this way needs Debian's apt-get, which this system does not have"
[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] \
    || fail "needs Debian's keys (/usr/share/keyrings/debian-archive-keyring.gpg): install debian-archive-keyring"
[ "$(id -u)" = 0 ] || fail "needs root: sudo $0"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DEBIAN_FRONTEND=noninteractive
host_packages=()
command -v patchelf >/dev/null || host_packages+=(patchelf)
[ -d /usr/share/zoneinfo ] || host_packages+=(tzdata)
archive() {
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(CODENAME)' 'Created-By: Packages' |
        awk '$2 == "Debian" && $3 !~ /-/ {print $1; exit}'
}
if [ "${#host_packages[@]}" -gt 0 ] || [ -z "$(archive)" ]; then
    apt-get update -qq
    [ "${#host_packages[@]}" = 0 ] || apt-get install -y -qq --no-install-recommends "${host_packages[@]}" >/dev/null
fi
uri=$(archive)
[ -n "$uri" ] || fail "this system's package sources name no Debian archive"

# apt with lists, status and cache of its own: the host's state is neither read nor changed.
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
: >"$work/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $SUITE main" >"$work/sources.list"
own=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
    -o "Dir::State::lists=$work/lists" -o "Dir::State::status=$work/status" -o "Dir::Cache=$work/cache"
    -o APT::Install-Recommends=false -o APT::Sandbox::User=root -o Debug::NoLocking=true)
apt-get "${own[@]}" update -qq
apt-get "${own[@]}" install --print-uris -qq "${PACKAGES[@]}" |
    awk '{print $2}' | sed 's/_.*//' | grep -Ev "$UNUSED" >"$work/names"
(cd "$work/packages" && xargs apt-get "${own[@]}" download -qq <"$work/names")

rm -rf "$target"
mkdir -p "$target"
for package in "$work"/packages/*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C "$target" --exclude='./usr/share/doc' --exclude='./usr/share/man'
done
# Suites with a merged /usr hold the loader under usr/lib; older layouts under lib.
loader=$(find "$target" -name 'ld-linux-*.so.*' | head -n 1)
[ -n "$loader" ] || fail "no dynamic loader among the packages"
libraries=$(dirname "$(find "$target" -name libc.so.6 | head -n 1)")
for program in "$programs"/*; do
    patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program" 2>/dev/null || true
done
find "$libraries" "$target/usr/lib/postgresql/17/lib" -name '*.so*' -type f ! -name 'ld-linux*' ! -name 'libc.so*' \
    -exec patchelf --force-rpath --set-rpath "$libraries" {} + 2>/dev/null || true
rm -f "$target/usr/lib/postgresql/17/lib/llvmjit.so"
chmod -R a+rX "$target"
"$programs/postgres" --version >&2 || fail "the unpacked server does not start"
touch "$target/.complete"
