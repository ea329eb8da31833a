# Targets of the native runner; the Makefile above includes this file. Results lie in build/native/.

.PHONY: native native-sanitize native-fuzz native-x86-64 native-aarch64 native-armhf native-android-arm64 native-android-armv7 \
    native-count native-lint native-format wheels

NATIVE_SOURCES = $(shell find cmake -name '*.cc' -o -name '*.h')

# Paddle Lite's folder is another for each processor; builds for this machine have none.
define native_build
	cd cmake && export PADDLE_LITE_DIR="$(2)" && cmake --preset $(1) --log-level=WARNING && cmake --build --preset $(1) && ctest --preset $(1)
endef

native:
	@sh tools/setup_native.sh
	$(call native_build,host)

native-sanitize:
	@sh tools/setup_native.sh
	$(call native_build,sanitize)

# Each target for SECONDS, going on with what earlier runs found; a finding ends it and stays in build/native/fuzz.
SECONDS ?= 20
native-fuzz:
	@sh tools/setup_native.sh fuzz
	cd cmake && cmake --preset fuzz --log-level=WARNING && cmake --build --preset fuzz
	@sh cmake/tests/fuzz/run.sh build/native/fuzz $(SECONDS)

native-x86-64:
	@sh tools/setup_native.sh
	@sh tools/native_sysroot.sh amd64 build/native/sysroot/amd64
	$(call native_build,x86-64)

# Of what is built for boards: build each first, with PADDLE_LITE_DIR for one that runs .nb bundles.
wheels: env
	@PYTHONPATH=. $(BIN)/python tools/make_wheels.py dist

native-aarch64:
	@sh tools/setup_native.sh cross
	@sh tools/native_sysroot.sh arm64 build/native/sysroot/arm64
	$(call native_build,aarch64,$(PADDLE_LITE_DIR))

native-armhf:
	@sh tools/setup_native.sh cross
	@sh tools/native_sysroot.sh armhf build/native/sysroot/armhf
	$(call native_build,armhf,$(PADDLE_LITE_DIR_ARMHF))

# Needs Paddle Lite (PADDLE_LITE_DIR) or ncnn for Arm, and Debian's qemu-user (the static emulator takes no plugins);
# says so where they are missing.
native-count: env native-aarch64
	@$(CXX) -O2 -std=c++17 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden cmake/count/plugin.cc \
	    -o build/native/libedge-seg-count.so
	@$(BIN)/python -m benchmarks.native_count

# Built only: no emulator here runs Android's programs.
native-android-arm64 native-android-armv7: native-%:
	@sh tools/setup_native.sh
	cd cmake && cmake --preset $* --log-level=WARNING && cmake --build --preset $*

native-lint:
	@sh tools/setup_native.sh lint
	@clang-format --dry-run --Werror $(NATIVE_SOURCES)
	@cppcheck --quiet --error-exitcode=1 --std=c++17 --language=c++ -I cmake/src -I cmake/tests --inline-suppr \
	    --enable=warning,performance,portability --suppress=missingInclude --suppress=missingIncludeSystem \
	    --cppcheck-build-dir=$(shell mkdir -p build/native/cppcheck && echo build/native/cppcheck) cmake/src cmake/tests

native-format:
	@sh tools/setup_native.sh lint
	@clang-format -i $(NATIVE_SOURCES)
