#!/usr/bin/env bash
# Make .venv in the checkout and install the locked dependencies into it. Run by `make setup`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'setup: %s\n' "$*" >&2; }

# A candidate must really run: version managers leave shims on the PATH that only print an error.
fits() {
    "$1" -c 'import sys; sys.exit(not (sys.version_info[:2] == tuple(map(int, sys.argv[1].split(".")))))' "$2" \
        >/dev/null 2>&1
}
has_venv() { "$1" -c 'import venv, ensurepip' >/dev/null 2>&1; }

find_python() {
    local version name candidate lame=""
    if [ -n "${PYTHON:-}" ]; then  # the one that was asked for, or none
        for version in 3.11 3.12 3.13; do
            if fits "$PYTHON" "$version" && has_venv "$PYTHON"; then
                printf '%s\n' "$PYTHON"
                return 0
            fi
        done
        say "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 with the venv module"
        return 1
    fi
    for version in 3.11 3.12 3.13; do
        while IFS= read -r candidate; do
            [ -n "$candidate" ] && fits "$candidate" "$version" || continue
            if has_venv "$candidate"; then
                printf '%s\n' "$candidate"
                return 0
            fi
            lame="$candidate"
        done < <(
            for name in "python$version" python3 python; do type -aP "$name" || true; done
            ls -d "$HOME"/.pyenv/versions/"$version"*/bin/python 2>/dev/null || true
            ls -d /opt/homebrew/bin/python"$version" /usr/local/bin/python"$version" 2>/dev/null || true
        )
    done
    if [ -n "$lame" ]; then
        say "$lame has no venv module. On Debian or Ubuntu: apt-get install python3-venv (or python3.11-venv)."
    else
        say "no Python 3.11, 3.12 or 3.13 found that runs. Install one, or name it: make setup PYTHON=/path/to/python3.11"
    fi
    return 1
}

usable() {
    local version
    for version in 3.11 3.12 3.13; do
        if [ -x .venv/bin/python ] && fits .venv/bin/python "$version"; then
            [ -z "${PYTHON:-}" ] || fits "$PYTHON" "$version"  # another one was asked for: make it anew
            return
        fi
    done
    return 1
}

if ! usable; then
    python=$(find_python)  # before anything is removed
    say "making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
fi
if ! .venv/bin/python -m uv --version >/dev/null 2>&1; then
    .venv/bin/python -m pip install --quiet --disable-pip-version-check uv
fi
say "installing the locked dependencies"
VIRTUAL_ENV="$PWD/.venv" .venv/bin/python -m uv pip install --quiet --require-hashes -r requirements-dev.txt
VIRTUAL_ENV="$PWD/.venv" .venv/bin/python -m uv pip install --quiet --no-deps --editable .
touch .venv/.ready
say "done: $(.venv/bin/python -V), try: make run"
