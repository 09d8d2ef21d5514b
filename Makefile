# What one does with this repository. `make check` is exactly what CI runs.

GO      ?= go
TOOL    := $(GO) tool -modfile=tools/go.mod
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
COMMIT  ?= $(shell git rev-parse HEAD 2>/dev/null)
# The time of the commit, in seconds since 1970; the only one that is built in.
SOURCE_DATE_EPOCH ?= $(shell git show -s --format=%ct HEAD 2>/dev/null || echo 0)
# Nothing in the program depends on where or when it is built, or on whether there is a clone.
BUILD   := -trimpath -buildvcs=false -ldflags '-s -w -X main.stampVersion=$(VERSION) -X main.stampCommit=$(COMMIT) -X main.stampTime=$(SOURCE_DATE_EPOCH)'
BIN     := bin/peerbus
# As the manifests name it.
IMAGE     ?= peerbus:development
PLATFORMS ?= linux/amd64 linux/arm64
STAGE     ?= bin
ARCHIVE   ?= $(STAGE)/peerbus-image.tar
FUZZTIME ?= 10000x
CHURN    ?= 1000
BURST    ?= 200
CHAOS    ?= 1m
SEED     ?= 0
ROUNDS   ?= 7
CASE     ?= bus-local-64
PROFILES ?= docs/performance/profiles

.DEFAULT_GOAL := help
.PHONY: help reference generate build test race fuzz bench bench-short bench-growth bench-return profile bench-code churn demo docs chaos capacity measure monitoring manifests e2e-k8s image image-files image-test lint fresh check clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

generate: ## make gen/ anew from api/
	$(TOOL) buf generate
	@printf '// Package openapi is the description of the REST interface.\npackage openapi\n\nimport _ "embed"\n\n// JSON is OpenAPI 2.0.\n//\n//go:embed peerbus.swagger.json\nvar JSON []byte\n' > gen/openapi/openapi.go

reference: ## make docs/reference anew from the commands and from what the services serve
	$(GO) test -count=1 -run '^TestReference' ./cmd/peerbus -update

build: ## build bin/peerbus
	CGO_ENABLED=0 $(GO) build $(BUILD) -o $(BIN) ./cmd/peerbus

image: $(PLATFORMS:%=$(STAGE)/%) ## write the container image for PLATFORMS into ARCHIVE (bin/peerbus-image.tar, an OCI archive)
	cd image && $(GO) run . archive -name '$(IMAGE)' -version '$(VERSION)' -commit '$(COMMIT)' -time $(SOURCE_DATE_EPOCH) \
		-out '$(abspath $(ARCHIVE))' $(abspath $(PLATFORMS:%=$(STAGE)/%))

.PHONY: $(PLATFORMS:%=$(STAGE)/%)
$(PLATFORMS:%=$(STAGE)/%): $(STAGE)/%:
	@$(MAKE) --no-print-directory image-files PLATFORM=$* FILES=$@

# What is in the image of a PLATFORM, into the directory FILES; the Dockerfile does it too.
image-files:
	CGO_ENABLED=0 GOOS=$(firstword $(subst /, ,$(PLATFORM))) GOARCH=$(lastword $(subst /, ,$(PLATFORM))) $(GO) build $(BUILD) -o $(FILES)/peerbus ./cmd/peerbus
	cd image && $(GO) run . sbom -version '$(VERSION)' -time $(SOURCE_DATE_EPOCH) '$(abspath $(FILES))/peerbus' > '$(abspath $(FILES))/sbom.json'

image-test: ## check the image: what is in it, that it runs, and that it is the same bytes again
	cd image && $(GO) test -count=1 -shuffle=on ./...

test: ## run all tests, with the processes as they ship
	$(GO) test -shuffle=on ./...

race: ## run all tests under the race detector
	$(GO) test -race -shuffle=on -timeout 30m ./...

fuzz: ## fuzz every parser, FUZZTIME each (10000x)
	@GO='$(GO)' ./scripts/fuzz.sh $(FUZZTIME)

bench: build ## measure beside raw gRPC, pion and NATS (10 to 17 min; Linux, root), and write docs/performance/
	@mkdir -p docs/performance
	cd bench && $(GO) run . -bin ../$(BIN) -rounds $(ROUNDS) -o markdown -json ../docs/performance/bench.json -plot ../docs/performance/ratios.svg > ../docs/performance/results.md
	cd bench && $(GO) run . -from ../docs/performance/bench.json -o planning > ../docs/performance/planning.md

bench-short: build ## see that the measuring runs (Linux, root); the figures say nothing
	cd bench && $(GO) test -count=1 -shuffle=on ./... && $(GO) run . -bin ../$(BIN) -short && $(GO) run . -bin ../$(BIN) -growth -short > /dev/null

bench-growth: build ## measure how cost grows with size, path, listeners and connections (5 min), and write docs/performance/growth.md
	@mkdir -p docs/performance
	cd bench && $(GO) run . -bin ../$(BIN) -growth -json ../docs/performance/growth.json -plot ../docs/performance > ../docs/performance/growth.md

bench-return: build ## measure how connections come back whose process was stopped (15 min; Linux), and write docs/performance/returns.md
	@mkdir -p docs/performance
	cd bench && $(GO) run . -bin ../$(BIN) -run '^p2p-return' -o markdown -json ../docs/performance/returns.json > ../docs/performance/returns.md

profile: build ## write what takes the CPU time of each process of CASE (bus-local-64) into PROFILES/CASE.txt
	@mkdir -p $(PROFILES)
	cd bench && $(GO) run . -bin ../$(BIN) -run '^$(CASE)$$' -rounds 1 -top $(abspath $(PROFILES)) -note 'commit $(VERSION); make profile CASE=$(CASE)' > /dev/null

bench-code: ## run the benchmarks that stand beside the code
	$(GO) test -run '^$$' -bench . -benchmem ./...

churn: ## set up and close CHURN connections one after another, BURST at once; count what is left
	$(GO) test -run TestChurn -count=1 -timeout 30m -v ./services/p2pstub/ -churn=$(CHURN) -burst=$(BURST)

demo: build ## show the main job on this machine
	$(BIN) demo

docs: ## do what README and docs say; needs the default ports, and what .ci/run installs
	$(GO) test -count=1 -timeout 20m ./internal/pages/ -pages

chaos: build ## break everything between two runtimes for CHAOS (1m), and count what is lost; needs Linux and root
	$(GO) run ./chaos -bin $(BIN) -duration $(CHAOS) -seed $(SEED)

capacity: ## lay out a domain of a million runtimes, and put the tables into docs/capacity.md
	$(GO) test -count=1 -run '^TestThePageHasTheTables' ./sim/capacity -update
	@$(GO) run ./sim/capacity

measure: build ## measure what its parts cost on this machine (15 min), for make capacity; Linux
	$(GO) run ./sim/measure -bin $(BIN)

monitoring: ## check the dashboard and the alerts against what the services serve, and try each alert
	cd k8s/monitoring && $(GO) test -count=1 -shuffle=on ./...

manifests: ## build every overlay and combination of k8s/, and look at the objects
	cd k8s && $(GO) test -count=1 -shuffle=on ./...

e2e-k8s: build image ## try the manifests on a cluster (KUBECONFIG and K8S_LOAD, or K8S_UP; see k8s/e2e), and break it under traffic
	cd k8s && $(GO) run ./e2e -bin ../$(BIN) -image $(abspath $(ARCHIVE))

lint: ## vet, staticcheck, gofmt and the protos' style
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); echo 'not gofmt-ed'; exit 1; }
	$(GO) vet ./...
	$(TOOL) staticcheck ./...
	cd k8s/monitoring && $(GO) vet ./... && $(GO) tool -modfile=../../tools/go.mod staticcheck ./...
	cd k8s && $(GO) vet ./... && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	cd image && $(GO) vet ./... && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	cd bench && $(GO) vet ./... && $(GO) tool -modfile=../tools/go.mod staticcheck ./...
	$(TOOL) buf lint

fresh: generate ## prove that gen/ is what api/ says
	@git diff --exit-code -- gen || { echo 'gen/ is not fresh: run make generate'; exit 1; }
	@test -z "$$(git ls-files --others --exclude-standard -- gen)" || { echo 'gen/ has files that are not committed'; exit 1; }

check: fresh lint race monitoring manifests image-test docs churn fuzz demo chaos bench-short ## all that CI runs

clean: ## remove what was built
	rm -rf bin
