# Each target is one line of Python; what it does stands in `python -m infra <command> --help`.
SHELL  := /bin/sh
PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(shell command -v $(name) >/dev/null 2>&1 && $(name) -c 'import ensurepip,sys; sys.exit(not (3,11) <= sys.version_info[:2] <= (3,13))' 2>/dev/null && echo $(name))))
PROJECT ?= examples/flights
TARGET  ?= local
PY  := .venv/bin/python
KIT := $(PY) -m infra
# Quoted by the shell, not by make: a path or a row may hold spaces and quotes.
ON  := --project "$$PROJECT" --target "$$TARGET"
export PROJECT TARGET DATA LABEL NAME OF TO INPUT OUTPUT KEEP VERSION
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help deploy plan policy package image tune retrain promote rollback status logs invoke destroy init test lint soak demo-rollback soak-deploy fuzz clean openapi batch approve

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' Makefile
	@printf '\n  PROJECT=%s  TARGET=%s (local or aws)\n' '$(PROJECT)' '$(TARGET)'

deploy: .venv/deploy.stamp  ## train, tune, checkpoint, deploy and verify: everything that is not there yet; on AWS it asks unless YES=1; VERSION=3: a registered one
	@$(KIT) deploy $(ON) $(if $(YES),--yes) $(if $(VERSION),--version "$$VERSION")

plan: .venv/deploy.stamp  ## what `make deploy` would change, why, and what it costs, without changing it; JSON=1 for machines
	@$(KIT) plan $(ON) $(if $(JSON),--json)

package: .venv/deploy.stamp  ## upload code and data, and print the training job for the console and the AWS CLI; DRY=1: nothing is uploaded
	@$(KIT) package $(ON) $(if $(DRY),--dry-run)

image: .venv/deploy.stamp  ## build the serving image by Docker or AWS CodeBuild; on AWS it asks unless YES=1
	@$(KIT) image $(ON) $(if $(YES),--yes)

policy: .venv/deploy.stamp  ## the least that deploying, running and calling it need; OF=deployer, execution, invoke or bucket
	@$(KIT) policy $(ON) $(if $(OF),--of "$$OF")

tune: .venv/deploy.stamp  ## search for hyperparameters, with a live table of trials; deploys nothing; on AWS it asks unless YES=1
	@$(KIT) tune $(ON) $(if $(YES),--yes)

status: .venv/deploy.stamp  ## what is wanted, what is there, what differs; releases and scores; JSON=1 for machines
	@$(KIT) status $(ON) $(if $(JSON),--json)

logs: .venv/deploy.stamp  ## the last log lines of the training job and the endpoint
	@$(KIT) logs $(ON)

invoke: .venv/deploy.stamp  ## one prediction; DATA='{"column": value, …}' or DATA=rows.json
	@$(KIT) invoke $(ON) $(if $(DATA),--data "$$DATA")

batch: .venv/deploy.stamp  ## predictions for a whole table: INPUT=rows.csv OUTPUT=scored.csv; KEEP=id,name carries only these columns along
	@$(KIT) batch $(ON) --input "$$INPUT" --output "$$OUTPUT" $(if $(KEEP),--keep "$$KEEP")

openapi: .venv/deploy.stamp  ## the OpenAPI description of the deployed model, or of the last one trained
	@$(KIT) openapi $(ON)

retrain: .venv/deploy.stamp  ## let the deployed model learn from new rows: DATA=new.csv; it is replaced if the new one wins; on AWS it asks unless YES=1
	@$(KIT) retrain $(ON) --data "$$DATA" $(if $(YES),--yes)

rollback: .venv/deploy.stamp  ## bring the release before back, or release TO=number; nothing is trained; on AWS it asks unless YES=1
	@$(KIT) rollback $(ON) $(if $(TO),--to "$$TO") $(if $(YES),--yes)

promote: .venv/deploy.stamp  ## have the version that serves beside the old one ([endpoint].shadow or ab) take its place; on AWS it asks unless YES=1
	@$(KIT) promote $(ON) $(if $(YES),--yes)

approve: .venv/deploy.stamp  ## let a registered version serve, where the project asks for approval: VERSION=3, or the newest
	@$(KIT) approve $(ON) $(if $(VERSION),--version "$$VERSION")

destroy: .venv/deploy.stamp  ## delete what deploy created; data in S3 stays unless ALL=1; on AWS it asks unless YES=1
	@$(KIT) destroy $(ON) $(if $(ALL),--data) $(if $(YES),--yes)

init: .venv/deploy.stamp  ## a project.toml for your table: DATA=table.csv LABEL=column [NAME=project]
	@$(KIT) init --data "$$DATA" --label "$$LABEL" $(if $(NAME),--name "$$NAME")

test: .venv/dev.stamp  ## style, types, import rules and the whole suite
	@$(PY) -m tests

lint: .venv/dev.stamp  ## style, types and import rules only
	@$(PY) -m tests --lint

soak: .venv/dev.stamp  ## kill training jobs 200 times with kill -9 and compare the bits of what they end with
	@$(PY) -m tests.soak

fuzz: .venv/dev.stamp  ## 100,000 spoilt requests to a real server, good ones between; 1,000 spoilt bundles
	@$(PY) -m tests.fuzz

demo-rollback: .venv/dev.stamp  ## a broken version is caught while clients ask, and none of them notices: three minutes at most
	@$(PY) -m benchmarks.demo_rollback

soak-deploy: .venv/dev.stamp  ## update, rollback, scaling out and in under load: 50,000 requests, none may fail
	@$(PY) -m tests.soak_deploy

bench-%: .venv/dev.stamp  ## print a figure a line; exit 1 when a must is missed
	@$(PY) -m benchmarks.$(subst -,_,$*)

clean:  ## stop the local cloud; remove the environments, local state and caches
	@test ! -x $(PY) || $(PY) -m infra.local stop
	@rm -rf .venv .venv-numpy1 .venv-bench .venv-toolkit .local build .coverage* .hypothesis .*_cache

.venv/deploy.stamp: requirements/bootstrap.txt requirements/deploy.txt
	@'$(PYTHON)' requirements/install.py .venv requirements/deploy.txt

.venv/dev.stamp: requirements/bootstrap.txt requirements/dev.txt
	@'$(PYTHON)' requirements/install.py .venv requirements/dev.txt && touch .venv/deploy.stamp
