# The verbs of everyday work. `make demo` and `make test` set up all they need (.venv, with a CPython 3.10 that
# tools/setup_env.sh finds) on the first call.

BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help env demo test test-slow test-install test-paddle3 lint format bench board board-python clean distclean

help:
	@echo "make demo       train, convert, run and measure a small model; everything it makes is in demo/"
	@echo "make test       run the tests, but for the slow ones"
	@echo "make test-slow  run those that last over five seconds each"
	@echo "make test-install  install the package with every CPython 3.10 to 3.13 found here, and try it"
	@echo "make test-paddle3  run the training's tests with a newer Python and paddlepaddle 3"
	@echo "make lint       ruff, mypy and the import contract"
	@echo "make format     let ruff format the code"
	@echo "make bench      measure this project's own speed claims"
	@echo "make board      test what is done with boards on an emulated one (Debian packages)"
	@echo "make board-python  run a bundle by pip on an emulated Debian 12 for arm64"
	@echo "make clean      remove demo/, caches and build folders"
	@echo "make distclean  remove the environment (.venv) as well"

env:
	@sh tools/setup_env.sh

demo: env
	@$(BIN)/python tools/demo.py

# Every worker has a core to itself: paddle's own threads would only get in each other's way.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile --durations=20

test: env native-if-possible
	$(PYTEST) -m "not slow"

test-slow: env native-if-possible
	$(PYTEST) -m slow

# A third of the tests needs the host's native runner. What it is built with may be missing; what is built must build.
.PHONY: native-if-possible
native-if-possible:
	@mkdir -p build/native
	@if ! command -v c++ >/dev/null || ! (cd cmake && cmake --preset host) >build/native/configured.txt 2>&1; then \
	    echo "Skipped: the native runner, and the tests that need it. sh tools/setup_native.sh installs what it is" \
	        "built with; what is missing stands in build/native/configured.txt" >&2; \
	else \
	    cd cmake && cmake --build --preset host; \
	fi

test-install: env
	$(BIN)/python tools/test_install.py $(INSTALL)

test-paddle3:
	@sh tools/test_paddle3.sh

lint: env
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: env
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.native
	@sh tools/setup_peers.sh || echo "Other engines are left out: their environment can't be made here" >&2
	$(BIN)/python -m benchmarks.engines

# Says by name what is missing where it can't be made; the tests are then skipped.
board: env
	@sh tools/emulated_board.sh build/board || echo "The tests that need an emulated board are skipped" >&2
	$(BIN)/python -m pytest tests/targets/test_emulated_board.py

# The commands of docs/boards, "The short way", on an emulated Debian 12 with Python; a quarter of an hour.
board-python: env
	@sh tools/emulated_board.sh build/board-python python || echo "The test that needs it is skipped" >&2
	$(BIN)/python -m pytest -s tests/boards/test_short_way.py -m ""

clean:
	rm -rf demo build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .setup.lock
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .test-install .venv-paddle3

-include cmake/native.mk
