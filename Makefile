# make repro: set up everything, reproduce the pipeline's scores and say whether they are the published ones.
# make restore: put the committed files back.  make test: every test.  make lab: open the notebooks.  make docs: the site.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

.PHONY: setup data repro restore publish test status lab lint docs lock reference clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	@echo "== setting up $(VENV) with the pinned dependencies (a few minutes the first time)"
	@sh tools/system_packages.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

data: setup
	@echo "== data: dvc pull from the in-repo store"
	dvc pull --quiet data.dvc

repro: data
	@echo "== dvc repro: preprocess, augment, train, evaluate"
	dvc repro
	@echo "== does this run reproduce the published scores?"
	@python -m patchseg dev verdict

# What is put away stays in 'git stash list'.
restore:
	git -c user.name=patchseg -c user.email=patchseg stash push --message "a run, put away by make restore" -- dvc.lock artefacts ':!artefacts/across' ':!artefacts/adaptation' ':!artefacts/viewer' ':!artefacts/zoo'

test: data
	sh tools/test.sh

status: data
	sh tools/status.sh

lab: data
	jupyter lab notebooks

lint: setup
	ruff check . && ruff format --check .

docs: setup
	@echo "== documentation: build/docs/index.html"
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -d build/doctrees docs build/docs
	$(BIN)/python tools/check_links.py build/docs README.md CONTRIBUTING.md CHANGELOG.md docs/*.md

# What follows is for maintainers.
lock: setup
	$(BIN)/python -m pip install --quiet uv
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

publish: data
	python -m patchseg dev publish

reference: data
	$(BIN)/python tools/reference.py

clean:
	rm -rf build work docs/api docs/notebooks docs/tables .pytest_cache .coverage*
