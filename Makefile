# Every target sets up .venv by itself, and again only when pyproject.toml has changed.
# To use another Python: make lab PYTHON=python3.12

CANDIDATES := python3 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(CANDIDATES); do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
ifeq ($(OS),Windows_NT)  # with make, under Git Bash
SCRIPTS := Scripts
else
SCRIPTS := bin
endif
BIN := .venv/$(SCRIPTS)
INSTALLED := .venv/.installed
# Jupyter refuses to run as root, as in a container, unless told; it listens on 127.0.0.1 only and asks for its token.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: lab test test-oldest test-notebooks browser-test site site-test screenshots lint scripts stamp bench pretrained record-tutorial recipes compare offline-digits clean table1 addition sequences exercises translate notebooks-zh notebooks-ko

lab: $(INSTALLED)  ## JupyterLab on the first notebook
	$(BIN)/jupyter lab --ServerApp.ip=127.0.0.1 --ServerApp.root_dir="$(CURDIR)" \
		--LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb $(AS_ROOT) $(LAB_OPTIONS)

# One torch thread per process, as two test processes run side by side.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope
NBVAL := --nbval --nbval-sanitize-with tests/nbval_sanitize.cfg --nbval-cell-timeout 300

test: $(INSTALLED)  ## all tests, and every notebook under nbval
	$(PYTEST) tests notebooks $(NBVAL) $(PYTEST_OPTIONS)

# Old companions warn of each other: there, only warnings about our own code are errors.
OLDEST_PYTHON ?= python3.11
test-oldest .venv-oldest/.installed: BIN := .venv-oldest/$(SCRIPTS)
test-oldest: .venv-oldest/.installed  ## the same with the oldest versions that pyproject.toml allows
	$(PYTEST) tests notebooks $(NBVAL) --only-our-warnings $(PYTEST_OPTIONS)

test-notebooks: $(INSTALLED)
	$(PYTEST) notebooks $(NBVAL) $(PYTEST_OPTIONS)

# Needs a Chromium or Chrome on the machine.
browser-test: $(INSTALLED)  ## the playground in a real JupyterLab, in a real browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/browser -p no:xdist $(PYTEST_OPTIONS)

site: .venv/.site-installed  ## the course as a website, in build/site
	OMP_NUM_THREADS=1 $(BIN)/python tools/site/make_site.py

site-test: site  ## every link, every page in a real browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/site -p no:xdist $(PYTEST_OPTIONS)

screenshots: $(INSTALLED)  ## the pictures in docs/, made again
	$(BIN)/python tools/make_screenshots.py

lint: $(INSTALLED)
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

scripts: $(INSTALLED)  ## every notebook as a Python program, in build/scripts
	$(BIN)/jupyter nbconvert --to script --output-dir build/scripts notebooks/*.ipynb

exercises: $(INSTALLED)  ## stncourse/exercises written into the notebooks
	$(BIN)/python tools/write_exercises.py

translate: $(INSTALLED)  ## the catalogues in translations/ brought up to date, and what is missing in them
	$(BIN)/python tools/translate.py

notebooks-zh: $(INSTALLED)  ## all notebooks in Chinese, in build/notebooks-zh
	$(BIN)/python tools/translate.py build zh_CN

notebooks-ko: $(INSTALLED)  ## in Korean, in build/notebooks-ko
	$(BIN)/python tools/translate.py build ko

stamp: $(INSTALLED)  ## make stamp REPOSITORY=owner/repo: where the course is published
	$(BIN)/python tools/stamp_repository.py $(REPOSITORY)

bench: $(INSTALLED)
	$(BIN)/python benchmarks/sampler.py
	$(BIN)/python benchmarks/training_step.py
	$(BIN)/python benchmarks/time_to_accuracy.py --quick
	$(BIN)/python benchmarks/playground_latency.py
	$(BIN)/python benchmarks/browser_network.py
	$(BIN)/python benchmarks/watching.py

# What ships in stncourse/assets, made again. These need the whole of MNIST.
offline-digits: $(INSTALLED)
	$(BIN)/python tools/make_offline_digits.py
pretrained: $(INSTALLED)
	$(BIN)/python tools/train_pretrained.py
record-tutorial: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m stncourse train --source mnist --recipe tutorial \
		--history stncourse/assets/tutorial_20_epochs.json
recipes: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tools/record_recipes.py
compare: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python tools/compare_with_without.py
table1: $(INSTALLED)  ## hours; Ctrl-C stops it, the next make goes on
	OMP_NUM_THREADS=1 $(BIN)/python -m stncourse reproduce table1 --source mnist --budget standard --seeds 3 \
		--precision bfloat16 --out stncourse/assets/table1
addition: $(INSTALLED)  ## two hours; Ctrl-C stops it, the next make goes on
	OMP_NUM_THREADS=1 $(BIN)/python -m stncourse reproduce addition --source mnist --budget standard \
		--precision bfloat16 --out stncourse/assets/addition
sequences: $(INSTALLED)  ## half an hour; Ctrl-C stops it, the next make goes on
	OMP_NUM_THREADS=1 $(BIN)/python -m stncourse reproduce sequences --source mnist --budget standard \
		--precision bfloat16 --out stncourse/assets/sequences

clean:
	rm -rf .venv .venv-oldest build dist *.egg-info

$(INSTALLED): pyproject.toml
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found (looked for: $(CANDIDATES))."; exit 1; }
	@echo "Setting up .venv with $(PYTHON): some minutes the first time, a few GB on Linux (torch)."
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[course,dev]'
	@# No question about news over the first page, and no request that leaves the machine by itself.
	$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements"
	@# Colab's ipywidgets, for the tests only: never on the path but in a process of its own.
	$(BIN)/python -m pip install --quiet --target .venv/ipywidgets-7 --no-deps ipywidgets==7.7.1 ipython_genutils
	@touch $@

.venv/.site-installed: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[course,dev,site]'
	@touch $@

.venv-oldest/.installed: pyproject.toml
	@command -v $(OLDEST_PYTHON) >/dev/null || { echo "No $(OLDEST_PYTHON) found: make test-oldest OLDEST_PYTHON=…"; exit 1; }
	@echo "Setting up .venv-oldest with $(OLDEST_PYTHON): as long and as large as .venv."
	$(OLDEST_PYTHON) -m venv .venv-oldest
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --resolution lowest-direct --editable '.[course,dev]'
	@touch $@
