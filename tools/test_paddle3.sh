#!/bin/sh
# Runs the training's tests with a newer Python and paddlepaddle 3: in .venv-paddle3, which it makes beside .venv.
# PYTHON=/path/to/python3.12 names the Python, PADDLE=3.2.2 the version (default: the newest 3.x).
set -eu
cd "$(dirname "$0")/.."

VENV=.venv-paddle3
READY=$VENV/edge-seg-ready
wanted=${PADDLE:+==$PADDLE}
wanted="paddlepaddle${wanted:->=3,<4}"

say() { printf '%s\n' "$*" >&2; }

candidates() {
    printf '%s\n' "${PYTHON:-}" python3.12 python3.13 python3.11
    for version in 3.12 3.13 3.11; do
        for root in "${PYENV_ROOT:-}" "${HOME:-}/.pyenv"; do printf '%s\n' "$root"/versions/$version*/bin/python$version; done
        uv python find --no-project $version 2>/dev/null || true
    done
}

runs() {
    [ -n "$1" ] && "$1" -c 'import sys, ensurepip, venv, ssl; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
        >/dev/null 2>&1
}

mark="$wanted $(cksum <setup.py) $PWD"
if [ "$(cat "$READY" 2>/dev/null)" != "$mark" ]; then
    python=$(candidates | while read -r candidate; do
        if runs "$candidate"; then printf '%s\n' "$candidate"; break; fi
    done)
    if [ -z "$python" ]; then
        # Nothing to test with is no fault of the code.
        say "Skipped: the training's tests with paddlepaddle 3 need a CPython 3.11 to 3.13, and none was found"
        exit 0
    fi
    say "Making $VENV with $("$python" --version) ($python) and $wanted"
    rm -rf "$VENV"
    "$python" -m venv "$VENV"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check "$wanted" 'opencv-python-headless<5' \
        pycocotools 'click>=8.2,<9' pyyaml rich jinja2 matplotlib setuptools 'pytest>=8' pytest-xdist hypothesis
    printf '%s' "$mark" >"$READY"
fi
"$VENV/bin/python" -c 'import sys, paddle; print("Python", sys.version.split()[0], "paddlepaddle", paddle.__version__)'
OMP_NUM_THREADS=1 exec "$VENV/bin/python" -m pytest -p no:cacheprovider -n auto --maxprocesses 4 --dist loadfile \
    -m "not slow" tests/train tests/models "$@"
