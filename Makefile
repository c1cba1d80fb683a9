# The front door. Each target builds what it needs; see README.md.
#   TORCH=/path/to/python   use that Python's torch; tests want its numpy and pytest too (default: an
#                           active virtual environment, else .venv)
#   TORCH_VERSION=2.11.0    the torch that `make deps` installs into .venv
#   CUDA=auto|on|off        CUDA kernels: where the toolkit is found, always (.venv gets nvcc), never
#   REWIRE_APPS=OFF         library and tests only
#   CMAKE_OPTIONS="-G Ninja"   more for CMake
# Paths may contain spaces, which make's own functions on files would split: hence `absolute`.
TORCH_VERSION ?= 2.11.0
BUILD ?= build
CUDA ?= auto
REWIRE_APPS ?= ON
JOBS ?= $(shell nproc)
SECONDS ?= 60
ROOMS ?= kernels ops graph script models config $(if $(filter OFF,$(REWIRE_APPS)),,data train)
space := $() $()
absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))
PYTHON := $(or $(if $(findstring /,$(TORCH)),$(call absolute,$(TORCH)),$(TORCH)),$(if $(VIRTUAL_ENV),$(VIRTUAL_ENV)/bin/python,$(CURDIR)/.venv/bin/python))
CONFIGURE = -DREWIRE_PYTHON="$(PYTHON)" -DREWIRE_APPS=$(REWIRE_APPS) -DREWIRE_CUDA=$(CUDA) \
  -DREWIRE_WERROR=$(if $(CI),ON,OFF) $(CMAKE_OPTIONS)
# Files of Python tests side by side, where that Python has pytest-xdist.
side_by_side = $(shell "$(PYTHON)" -c "import xdist" 2> /dev/null && echo '-n $(JOBS) --dist loadfile')
export TORCH TORCH_VERSION CUDA REWIRE_APPS PYTHON

.PHONY: help quickstart test bench configure build wheel reference sanitize sanitize-threads fuzz matrix deps clean

help:
	@echo "make quickstart   train learned and random wiring on handwritten digits, and compare"
	@echo "make test         build and run every test"
	@echo "make bench        our speed over that of peers, into $(BUILD)/bench.json; FULL=1 sweeps and draws"
	@echo "make build        $(BUILD)/rewire and $(BUILD)/librewire.so"
	@echo "make wheel        the Python package with its library, for pip, into $(BUILD)/wheel"
	@echo "make reference    the Python package's docstrings as one page, $(BUILD)/reference.md"
	@echo "make sanitize     the C++ tests under the address and undefined-behaviour sanitizers; ROOMS=..."
	@echo "make sanitize-threads   the same under the thread sanitizer"
	@echo "make fuzz         every reader of files against made-up input, SECONDS=60 each; needs clang"
	@echo "make matrix       every way to build that is promised, each on a fresh clone: takes hours; WAYS=..."
	@echo "make deps         install what the build needs; build calls it"
	@echo "make clean        remove $(BUILD) and the build folders of the targets above"
	@echo "TORCH=PYTHON uses the torch of that Python, CUDA=auto|on|off, REWIRE_APPS=OFF builds the library"
	@echo "alone, JOBS=N"

quickstart: build
	"$(BUILD)/rewire" quickstart configs/digits/learned.yaml configs/digits/random.yaml

test: build
	ctest --test-dir "$(BUILD)" --output-on-failure -j $(JOBS)
	OMP_WAIT_POLICY=passive REWIRE_BUILD="$(call absolute,$(BUILD))" REWIRE_LIBRARY="$(call absolute,$(BUILD))/librewire.so" \
	  "$(PYTHON)" -m pytest -q $(side_by_side) $(if $(filter OFF,$(REWIRE_APPS)),tests/python,tests)

bench: build
	"$(BUILD)/apps/bench/select_bench"
	REWIRE_BUILD="$(call absolute,$(BUILD))" REWIRE_LIBRARY="$(call absolute,$(BUILD))/librewire.so" \
	  "$(PYTHON)" apps/bench/run.py $(if $(FULL),--full) --to "$(BUILD)/bench.json"

configure: deps
	cmake -S . -B "$(BUILD)" $(CONFIGURE)

build: configure
	cmake --build "$(BUILD)" -j $(JOBS)

# What builds wheels goes into the build's folder: a Python that is the user's stays as it is. With the
# same compiler and generator, beside that folder, ccache knows what was compiled in it.
wheel: deps
	"$(PYTHON)" -m pip install -q --disable-pip-version-check --upgrade --target "$(BUILD)/wheel-tools" scikit-build-core
	generator=$$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$(BUILD)/CMakeCache.txt" 2> /dev/null || true); \
	if [ -n "$$generator" ]; then export CMAKE_GENERATOR="$$generator"; fi; \
	CC=cc CXX=c++ CMAKE_BUILD_PARALLEL_LEVEL=$(JOBS) PYTHONPATH="$(call absolute,$(BUILD))/wheel-tools" \
	  "$(PYTHON)" -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation \
	  --wheel-dir "$(BUILD)/wheel" --config-settings=build-dir="$(BUILD)-wheel" \
	  --config-settings=cmake.define.REWIRE_CUDA=$(CUDA) \
	  --config-settings=cmake.define.REWIRE_WERROR=$(if $(CI),ON,OFF) .

reference: build
	REWIRE_LIBRARY="$(call absolute,$(BUILD))/librewire.so" "$(PYTHON)" apps/python/reference.py "$(BUILD)/reference.md"

sanitize sanitize-threads: deps
	cmake --preset $@ $(CONFIGURE)
	cmake --build build-$@ -j $(JOBS) --target $(ROOMS:%=test_%)
	ctest --test-dir build-$@ --output-on-failure -j $(JOBS) -R '^($(subst $(space),|,$(strip $(ROOMS)))):'

fuzz: export REWIRE_FUZZ = ON
fuzz: deps
	cmake -S . -B build-fuzz $(CONFIGURE) -DREWIRE_FUZZ=ON -DREWIRE_CUDA=off -DCMAKE_CXX_COMPILER=clang++
	cmake --build build-fuzz --target fuzz -j $(JOBS)
	tests/fuzz/run build-fuzz $(SECONDS)

matrix:
	.ci/matrix $(WAYS)

deps:
	@sh .ci/deps

clean:
	rm -rf "$(BUILD)" "$(BUILD)-wheel" build-sanitize build-sanitize-threads build-fuzz build-library
