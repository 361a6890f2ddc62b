# Two commands do everything on a fresh machine: make demo, make test.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test nightly lint docs web recording bench artifacts weights native native-arm64 native-for-tests vulkan clean

demo: $(VENV)/installed
	$(RUN) -m benchmarks demo

# One process for each group: a native runtime that crashes takes only its own group with it.
# Artifacts that more than one group wants are exported by the first: MADE holds copies of them, from an empty start.
# EXPECT=onnxruntime,ncnn:cpu,... names the backends that have to run there, so that none can vanish in a skip;
# EXPECT_NATIVE the same of libifrnet, EXPECT_WEB of browsers.
MADE := $(CURDIR)/build/test-artifacts
test: export IFRNET_TEST_ARTIFACTS := $(MADE)
test: $(VENV)/installed vulkan native-for-tests
	rm -rf $(MADE)
	$(RUN) -m pytest tests/ifrnet
	$(RUN) -m pytest tests/runtimes tests/test_imports.py tests/test_coverage_of_backends.py tests/test_shared_artifacts.py
	$(if $(EXPECT_NATIVE),IFRNET_EXPECT_BACKENDS=$(EXPECT_NATIVE)) $(RUN) -m pytest tests/native
	$(if $(EXPECT),IFRNET_EXPECT_BACKENDS=$(EXPECT)) $(RUN) -m pytest tests/calibration tests/export
	$(RUN) -m pytest tests/benchmarks tests/test_wheel.py tests/test_examples.py tests/test_licences.py
	$(if $(EXPECT_WEB),IFRNET_EXPECT_BACKENDS=$(EXPECT_WEB)) $(RUN) -m pytest tests/web

# Minutes, and the package index: an empty environment up to its first video, all shipped artifacts made again, and INT8
# at every size.
nightly: $(VENV)/installed
	$(RUN) -m pytest -m nightly tests/test_first_frame.py tests/runtimes/test_shipped.py tests/export/int8

lint: $(VENV)/installed
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(MAKE) --no-print-directory docs

# The documentation as a site, build/docs; a link that leads nowhere fails it.
docs: $(VENV)/installed
	rm -rf build/docs-source && mkdir -p build/docs-source/benchmarks
	cp -r README.md CHANGELOG.md CONTRIBUTING.md NOTICE docs build/docs-source/
	cp -r benchmarks/results build/docs-source/benchmarks/
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --quiet

# The page for browsers, on http://127.0.0.1:8000/. npm fetches ONNX Runtime for the web, once.
web: $(VENV)/installed
	$(RUN) -m runtimes site build/web --force
	$(RUN) -m runtimes serve build/web

# libifrnet, the C library, and its program: build/native/prefix. Five minutes on two cores, seconds with ccache.
native: $(VENV)/installed
	PYTHON=$(CURDIR)/$(RUN) bash runtimes/native/build.sh host

# The program for ARM64 as one static file, for a phone or a board: build/native/arm64/ifrnet.
native-arm64: $(VENV)/installed
	PYTHON=$(CURDIR)/$(RUN) bash runtimes/native/build.sh arm64

native-for-tests: $(VENV)/installed
	@if command -v c++ >/dev/null; then $(MAKE) --no-print-directory native; \
	  if command -v aarch64-linux-gnu-g++ >/dev/null; then $(MAKE) --no-print-directory native-arm64; fi; \
	else echo "No C++ compiler: libifrnet is not built, and its tests say so and are skipped. Debian: apt install g++"; fi

# The recording of a terminal that the README shows.
recording: $(VENV)/installed
	$(RUN) -m benchmarks.report.terminal_recording docs/terminal.svg

# The leaderboards that the README shows, into the folder of this machine: each run writes its files and the index when it
# ends, so that an interrupted set keeps what it has. What the README shows most comes first. BENCH=--rounds=5 is shorter.
# At 1920x1080 fp16 is left out: by the peaks at 1280x720, all precisions at once need more than 24 GB there.
BENCH ?=
BENCH_RUNS := \
  ifrnet_s:1280x720: ifrnet_s:640x360: "ifrnet_s:1920x1080:--precisions fp32 bf16 int8" \
  "random:ifrnet:1280x720:--precisions fp32 bf16" "random:ifrnet_l:1280x720:--precisions fp32 bf16 --rounds 5"
bench: $(VENV)/installed
	for run in $(BENCH_RUNS); do \
	  options=$${run##*:}; rest=$${run%:*}; size=$${rest##*:}; model=$${rest%:*}; \
	  $(RUN) -m benchmarks latency --save --model $$model --size $$size $$options $(BENCH) || exit; \
	  $(RUN) -m benchmarks index || exit; \
	done

# The artifacts that the wheel holds, from the built-in checkpoint: runtimes/artifacts, in git. Needed after new weights,
# new INT8 scales, or a change of what export makes.
artifacts: $(VENV)/installed
	$(RUN) -m export ship --force

# New built-in weights out of a training run: checkpoint, INT8 scales, accuracy beside the old ones, what else changes.
# What was trained on prepare's footage alone: make weights WEIGHTS=--openly-licensed
STATE ?= runs/9/state.pt
CANDIDATE ?= runs/candidate
weights: $(VENV)/installed
	$(RUN) -m benchmarks weights --state $(STATE) --output $(CANDIDATE) $(WEIGHTS)

$(VENV)/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	# A test compares our scene cuts with PySceneDetect, which asks for the OpenCV with windows; the headless one serves.
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps scenedetect
	@touch $@

# ncnn's Vulkan path runs on Mesa's software driver where there is no GPU.
vulkan:
	@ls /usr/share/vulkan/icd.d/*.json >/dev/null 2>&1 \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	     && apt-get -qq update && apt-get -qq install -y --no-install-recommends libvulkan1 mesa-vulkan-drivers >/dev/null; } \
	|| echo "No Vulkan driver: its tests will say so and be skipped. Debian: apt install libvulkan1 mesa-vulkan-drivers"

clean:
	rm -rf $(VENV) artifacts demo-output build *.egg-info
