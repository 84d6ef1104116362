PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PHOTO := tests/data/coffee.png

.DEFAULT_GOAL := help
.PHONY: help install demo check format test test-full gpu-check large-check wheel bench docs train-mini

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

install: $(VENV)/.installed  ## install lcodec and the development tools into .venv

$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

demo: $(VENV)/.demo  ## encode and decode a photograph; the files lie in demo/
	@mkdir -p demo
	$(BIN)/lcodec encode $(PHOTO) -q 0.05bpp -o demo/photo.lcx
	$(BIN)/lcodec decode demo/photo.lcx -o demo/photo.png
	$(BIN)/lcodec info demo/photo.lcx
	@echo
	@echo "original  $$(wc -c < $(PHOTO)) bytes  $(PHOTO)"
	@echo "encoded   $$(wc -c < demo/photo.lcx) bytes  demo/photo.lcx"
	@echo "decoded   $$(wc -c < demo/photo.png) bytes  demo/photo.png"

check: install  ## format, lint, types, import contracts, fresh docs, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tests/generate_docs.py --check
	$(BIN)/pytest -q -m 'not slow'

test: install  ## every test but those of networks of the published sizes
	$(BIN)/pytest

format: install  ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: install  ## regenerate generated pages
	$(BIN)/python tests/generate_docs.py

test-full: install  ## files and steps of training with networks of the published sizes; hours on two cores, 18 GB
	LCODEC_TRUE_SIZE=1 $(BIN)/pytest -q -s tests/models/test_true_size.py

gpu-check: install  ## encode and decode on a CUDA device and the CPU, both ways, and print a table
	$(BIN)/python -m tests.gpu_check

large-check: install  ## a 4K picture with networks of the published sizes, in 8 GB; an hour and a half
	$(BIN)/python -m tests.large_check 3840x2160 8GB

wheel: install  ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@ls -l dist

bench: install  ## measure on a folder of pictures: make bench CORPUS=folder
	$(BIN)/lcodec weights fetch lpips-alex lpips-vgg dists
	$(BIN)/lcodec bench $(CORPUS) -o demo/results.tsv

train-mini: install  ## train the shipped model from nothing: make train-mini DATA=folder
	$(BIN)/lcodec weights fetch lpips-alex lpips-vgg
	$(BIN)/lcodec train joint --data $(DATA)
	$(BIN)/lcodec train texture --export runs/texture.safetensors
	$(BIN)/lcodec train joint --export runs/joint.safetensors --average-with runs/texture.safetensors
	$(BIN)/lcodec train perception --data $(DATA) $(if $(wildcard runs/perception/state.pt),,--start runs/joint.safetensors)
	$(BIN)/lcodec train perception --export runs/perception.safetensors --average-with runs/joint.safetensors
	$(BIN)/lcodec train finish --data $(DATA) $(if $(wildcard runs/finish/state.pt),,--start runs/perception.safetensors)
	$(BIN)/lcodec train finish --export runs/finish.safetensors --average-with runs/perception.safetensors --share 0.8
	$(BIN)/lcodec train polish --data $(DATA) $(if $(wildcard runs/polish/state.pt),,--start runs/finish.safetensors)
	$(BIN)/lcodec train polish --export runs/polish.safetensors --average-with runs/finish.safetensors
	$(BIN)/lcodec train entropy --data $(DATA) $(if $(wildcard runs/entropy/state.pt),,--start runs/polish.safetensors)
	$(BIN)/lcodec train entropy --export runs/entropy.safetensors
	$(BIN)/lcodec train retouch --data $(DATA) $(if $(wildcard runs/retouch/state.pt),,--start runs/entropy.safetensors)
	$(BIN)/lcodec train retouch --export runs/retouch.safetensors --average-with runs/entropy.safetensors
	$(BIN)/lcodec train mature --data $(DATA) $(if $(wildcard runs/mature/state.pt),,--start runs/retouch.safetensors)
	$(BIN)/lcodec train mature --export runs/mature.safetensors --average-with runs/retouch.safetensors --share 0.8
	$(BIN)/lcodec train mature-entropy --data $(DATA) $(if $(wildcard runs/mature-entropy/state.pt),,--start runs/mature.safetensors)
	$(BIN)/lcodec train mature-entropy --export runs/stablecodec-mini.safetensors
