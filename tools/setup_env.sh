#!/bin/sh
# Makes .venv with everything that `make demo` and `make test` need, or leaves at once when it is there already.
# Finds a CPython 3.10 by itself; PYTHON=/path/to/python3.10 names one.
set -eu
cd "$(dirname "$0")/.."

VENV=.venv
READY=$VENV/edge-seg-ready            # written once everything is installed: for what ($want), and where
UNFINISHED=$VENV/edge-seg-unfinished  # stands while an installation is under way: what it left can't be trusted
want=$(cat setup.py constraints.txt tools/setup_env.sh | cksum)

say() { printf '%s\n' "$*" >&2; }

# A CPython 3.10 that really runs, 64 bits, able to make environments. pyenv's shims exist but fail when no 3.10 is
# activated, and Debian's python3.10 comes without ensurepip unless python3.10-venv is installed: so it is tried.
runs() {
    "$1" -c '
import sys, ensurepip, venv, ssl, zlib
good = sys.implementation.name == "cpython" and sys.version_info[:2] == (3, 10) and sys.maxsize > 2**32
sys.exit(not good)' >/dev/null 2>&1
}

candidates() {
    printf '%s\n' python3.10 python3 python
    {
        pyenv root 2>/dev/null || true
        printf '%s\n' "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"
    } | while read -r root; do
        printf '%s\n' "$root"/versions/3.10*/bin/python3.10
    done
    printf '%s\n' /usr/local/bin/python3.10 /usr/bin/python3.10 /opt/homebrew/bin/python3.10
    uv python find --no-project 3.10 2>/dev/null || true
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if runs "$PYTHON"; then printf '%s\n' "$PYTHON"; return; fi
        say "PYTHON=$PYTHON is not a 64-bit CPython 3.10 that can make environments; looking for another."
    fi
    found=$(candidates | while read -r candidate; do
        if runs "$candidate"; then printf '%s\n' "$candidate"; break; fi
    done)
    if [ -z "$found" ] && command -v uv >/dev/null 2>&1; then
        say "No CPython 3.10 here; asking uv to install one."
        if uv python install 3.10 >&2; then found=$(uv python find --no-project 3.10); fi
    fi
    if [ -z "$found" ] || ! runs "$found"; then
        cat >&2 <<'END'
Error: no CPython 3.10 was found. Paddle Lite's tools have no packages for newer ones. Any of these brings one:
  uv python install 3.10                          (https://docs.astral.sh/uv)
  pyenv install 3.10                              (https://github.com/pyenv/pyenv)
  sudo apt install python3.10 python3.10-venv     (Ubuntu 22.04)
  conda create -n py310 python=3.10               (then PYTHON="$(conda run -n py310 which python)")
Then run make again, with PYTHON=/path/to/python3.10 if it is in an unusual place.
END
        exit 1
    fi
    printf '%s\n' "$found"
}

# The folder is part of it: an environment holds absolute paths and can't be moved.
is_ours() { [ ! -e "$UNFINISHED" ] && [ "$(sed -n 2p "$READY" 2>/dev/null)" = "$PWD" ] && runs "$VENV/bin/python"; }
is_ready() { [ "$(sed -n 1p "$READY" 2>/dev/null)" = "$want" ] && is_ours; }

if is_ready; then exit 0; fi

# `make test` and `make demo` may be started at the same time.
if command -v flock >/dev/null 2>&1; then
    exec 9>.setup.lock
    flock 9
    if is_ready; then exit 0; fi
fi

if ! is_ours; then
    python=$(find_python)
    say "Making $VENV with $("$python" --version) ($python)"
    rm -rf "$VENV"
    mkdir -p "$VENV"
    : >"$UNFINISHED"
    "$python" -m venv "$VENV"
fi
: >"$UNFINISHED"
say "Installing into $VENV (about a minute, longer when packages have to be downloaded)"
quiet=--quiet
if [ -t 1 ]; then quiet=; fi
# PIP_CONSTRAINT rather than --constraint: it also holds for the environment in which the package is built.
if ! PIP_CONSTRAINT=constraints.txt "$VENV/bin/python" -m pip install $quiet --disable-pip-version-check \
    --editable '.[all,dev]' >&2; then
    say "Error: the installation failed; pip's words are above. Run the same command to try again."
    exit 1
fi
printf '%s\n' "$want" "$PWD" >"$READY"
rm -f "$UNFINISHED"
