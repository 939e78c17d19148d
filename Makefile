# Every target below has a line of help: `make help` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash

GO       ?= go
VERSION  ?= $(shell git describe --tags --match 'v[0-9]*' --always --dirty 2>/dev/null || echo dev)
LDFLAGS  := -s -w -X github.com/microsim-dev/kubectl-microsim/internal/version.override=$(VERSION)
GOLANGCI := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

.PHONY: help
help: ## print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build the three programs into bin/
	@CGO_ENABLED=0 GO='$(GO)' ./internal/build.sh -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: demo
demo: ## build the plugin and run a web shop for 20 s: load, a fault, a summary
	@CGO_ENABLED=0 GO='$(GO)' ./internal/build.sh -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/kubectl-microsim
	./bin/kubectl-microsim run examples/shop.yaml --on local

.PHONY: test
test: ## run every test that needs no root, Docker or browser
	$(GO) test -count=1 -shuffle=on ./...

.PHONY: theory
theory: ## the event kernel, and services in virtual time, against queueing theory at loads up to 0.9 (ten minutes)
	MICROSIM_THEORY=full $(GO) test -count=1 -v -timeout 40m -run '^TestTheory$$' ./model/des ./localsim/virtual

.PHONY: agreement
agreement: ## the same experiments for real and in virtual time; writes the table of docs/virtual.md (6 minutes, and the machine for itself)
	MICROSIM_AGREEMENT=full $(GO) test -count=1 -v -timeout 20m -run RealAndVirtualAgree ./plugin/run -update-docs

# Hundreds of commands one after the other: once is enough.
FLAGS := TestEveryFlagActsOrIsRefused|TestCommandsOfTheDocsRun

# Long searches and series in virtual time, each of whose runs has one goroutine. Short ones, which
# begin, share and interrupt their runs alike, stay under the race detector.
SEARCHES := ^TestTheory$$|TestSweepOfMM1|TestLimitOfMM1|TestLimitAfterATrigger|TestSearchFindsTheWeakLink|TestAnswersDoNotHangOnProcessors|TestScripts/^limit$$

# A linter keeps goroutines out of model; the others read sources, or run programs.
PURE := model|internal/archtest|internal/golden|internal/trust|krew

.PHONY: race
race: ## the same under the race detector, of all packages that use goroutines (needs a C compiler)
	$(GO) test -count=1 -race -shuffle=on -timeout 20m -skip '$(FLAGS)|$(SEARCHES)' $$($(GO) list ./... | grep -vE '/($(PURE))(/|$$)')

.PHONY: truth
truth: ## print figures of known servers and distributions beside the truth, with the error
	MICROSIM_TRUTH=full $(GO) test -count=1 -v -tags truth ./internal/truth ./plugin/calibrate

.PHONY: test-truth
test-truth: ## the same at a small size: it needs the machine for itself
	$(GO) test -count=1 -v -tags truth ./internal/truth ./plugin/calibrate

.PHONY: trust
trust: ## the built program against hostile files, values, servers, streams and directories (Linux)
	MICROSIM_TRUST=1 $(GO) test -count=1 -timeout 20m -parallel 4 ./internal/trust

.PHONY: interrupts
interrupts: ## signals at random times, and nothing may be left (Linux): COUNT=200 MICROSIM_SEED=1
	MICROSIM_TRUST=1 MICROSIM_INTERRUPTS=$(or $(COUNT),200) $(GO) test -count=1 -timeout 60m -parallel 4 -v -run Interrupts ./internal/trust

# Only what needs root: `make test` runs the others.
ROOT_FILES = $(shell grep -rlE '^//go:build .*root' --include='*_test.go' netfault localsim plugin)
ROOT_TESTS = $(shell grep -hoE '^func Test[[:alnum:]_]+' $(ROOT_FILES) | sed 's/^func //' | paste -sd'|' -)

.PHONY: test-root
test-root: ## tests in network namespaces of their own (needs root and Linux)
	$(GO) test -count=1 -p 1 -tags root -run '^($(ROOT_TESTS))$$' $(addprefix ./,$(sort $(dir $(ROOT_FILES))))

.PHONY: test-gate
test-gate: ## a gate before a real Redis, and connections that are idle for a minute (needs redis-server)
	MICROSIM_TEST_LONG=1 MICROSIM_TEST_REDIS=1 $(GO) test -count=1 -run 'IdleConnections|Redis' ./netfault/gate ./netfault/gate/gatetest

.PHONY: test-kafka
test-kafka: ## the embedded engine of kafka, its relay and its lags against Kafka of Maven Central (needs Maven and a JDK 17), or at MICROSIM_KAFKA=HOST:PORT
	./internal/testenv/servers/make.sh kafka '$(CURDIR)/bin/kafka'
	PATH='$(CURDIR)/bin/kafka/bin':"$$PATH" $(GO) test -count=1 -v -run '[kK]afka|TestServersComeAndGo|TestOthersAreNotTaken' ./workload/store/driver ./workload/store/daemon

.PHONY: test-monitor
test-monitor: ## rules, dashboards and alerts against a real Prometheus (needs prometheus and promtool; about a minute)
	MICROSIM_TEST_PROMETHEUS=1 $(GO) test -count=1 -run Prometheus ./plugin/monitor ./plugin/run

.PHONY: test-runtimes
test-runtimes: ## mock services in other languages: types, decisions, the service contract (needs node 20, npm, python 3.11, cargo, a JDK 17, Maven)
	GO='$(GO)' ./runtimes/test.sh

.PHONY: test-arm64
test-arm64: ## the same seed decides alike on arm64, and runs in virtual time are the same there and in browsers (needs qemu-aarch64-static and node)
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 $(GO) test -count=1 -exec qemu-aarch64-static ./model/exact ./model/dist ./model/load ./model/policy
	$(GO) test -count=1 -v -tags elsewhere -run TestSameBytesElsewhere ./localsim/virtual

.PHONY: test-vm
test-vm: ## the root tests of traffic control on a Debian kernel under qemu, which has netem
	$(GO) run ./internal/testenv/vm ./netfault/tc ./netfault/netns

.PHONY: e2e-vm
e2e-vm: ## the helper of a node on a Debian kernel under qemu, which has netem and control groups of version 2
	$(GO) run ./internal/testenv/vm -tools 'ip tc sh sleep' -run 'TestNode(Delays|Parts|Keeps|Continues|Cleans|Pauses|StressesP|StressesM)' ./plugin/agent

.PHONY: test-browser
test-browser: ## tests of pages in a real browser (needs chromium)
	$(GO) test -count=1 -tags browser ./observe/...

.PHONY: webui
webui: ## build the page of `ui` into webui/dist, which is committed (needs Node 20 or newer)
	cd webui/app && npm ci --no-audit --no-fund --silent && npm run --silent build

# The program with the page of its sources.
.PHONY: webui-program
webui-program: webui
	@CGO_ENABLED=0 GO='$(GO)' ./internal/build.sh -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/kubectl-microsim

.PHONY: test-webui
test-webui: webui-program ## the page of `ui` in a real browser, and that webui/dist is what its sources give (needs Node and chromium)
	@git diff --exit-code --stat -- webui/dist || { echo 'webui/dist is not what webui/app gives: commit it'; exit 1; }
	cd webui/app && node --test --test-concurrency=1 $$(ls test/*.test.mjs | grep -v /fits)

.PHONY: test-fits
test-fits: webui-program ## the pages of all examples: none is wider than its window, no label covers anything (needs Node and chromium)
	cd webui/app && node --test test/fits.test.mjs

.PHONY: test-lab
test-lab: ## the outage lab ten times as fast, and lessons: they need the machine for themselves
	$(GO) test -count=1 -p 1 -tags lab -run 'Lab|Lessons' ./plugin/...

.PHONY: e2e
e2e: ## tests on kind clusters of their own (needs Docker, kubectl and MICROSIM_NODE_IMAGE, kindest/node:v1.34.4)
	$(GO) test -count=1 -tags e2e -timeout 45m -v -p 1 -run 'TestOnKind|TestOnWorkers|TestClusterConforms|TestClusterChangesInPlace|TestSandbox' ./plugin ./cluster ./cluster/sandbox

.PHONY: e2e-stores
e2e-stores: ## real servers of mongodb and kafka in pods: images that MICROSIM_MONGO_IMAGE and MICROSIM_KAFKA_IMAGE name or, without a registry, FerretDB and Kafka of Maven Central (needs what e2e does, Maven and a JDK 17)
	@[ -n "$$MICROSIM_KAFKA_IMAGE" ] || ./internal/testenv/servers/make.sh kafka-image microsim-test/kafka
	@[ -n "$$MICROSIM_MONGO_IMAGE" ] || ./internal/testenv/servers/make.sh mongodb-image microsim-test/mongodb
	MICROSIM_KAFKA_IMAGE=$${MICROSIM_KAFKA_IMAGE:-microsim-test/kafka} MICROSIM_MONGO_IMAGE=$${MICROSIM_MONGO_IMAGE:-microsim-test/mongodb} \
		$(GO) test -count=1 -tags e2e -timeout 20m -v -run 'TestOnKind/servers_of_mongodb' ./plugin

.PHONY: fuzz
fuzz: ## run each fuzz test for a while, and one for longer: FUZZTIME=10s FUZZLONG=1m FUZZTURN=3
	./internal/fuzz.sh $(or $(FUZZTIME),10s) $(or $(FUZZLONG),$(FUZZTIME),10s) $(FUZZTURN)

.PHONY: lint
lint: ## gofmt, go vet and the linters of .golangci.yml
	@test -z "$$(gofmt -l .)" || { gofmt -l .; echo 'run gofmt -w on these files'; exit 1; }
	$(GO) vet ./...
	GOOS=darwin GOARCH=arm64 $(GO) vet ./...
	GOOS=windows $(GO) build ./...
	$(GOLANGCI) run ./...

.PHONY: verify
verify: lint ## lint, and check that go.mod is tidy
	$(GO) mod tidy -diff

# The highest tag of HEAD that krew takes as a version; others, such as v1 or latest, name no release.
RELEASE ?= $(or $(shell git -c versionsort.suffix=- tag --points-at HEAD --sort=v:refname 2>/dev/null | grep -E '^v(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)){2}(-[0-9A-Za-z.-]+)?$$' | tail -n 1),v0.0.0-dev)

.PHONY: release-dry
release-dry: ## build the archives, checksums and krew manifest of a release into dist/ (minutes): RELEASE=v1.2.3 IMAGES=registry.example/microsim
	$(GO) run ./krew -version $(RELEASE) -out dist $(if $(IMAGES),-images $(IMAGES))

.PHONY: clean
clean: ## remove what was built
	rm -rf bin dist

.PHONY: bench
bench: ## speed and memory, as ratios measured in one run (needs wrk and SimPy; a quiet machine)
	@command -v wrk >/dev/null || { echo 'wrk is not installed: apt-get install wrk'; exit 1; }
	@/usr/bin/python3 -c 'import simpy' || { echo 'SimPy is not installed: apt-get install python3-simpy3'; exit 1; }
	$(GO) test -run '^$$' -bench 'AgainstNetHTTP' -benchtime 1x ./workload/service
	$(GO) test -run '^$$' -bench 'ThousandServices|Processes' -benchtime 1x ./localsim
	$(GO) test -run '^$$' -bench . -benchtime 1x ./workload/loadgen ./localsim/virtual
	$(GO) test -run '^$$' -bench 'Kernel|Queues|SimPy' ./model/des
	$(GO) test -run '^$$' -bench . ./model/policy ./model/dist ./observe/collect
	$(GO) test -run '^$$' -bench . -benchtime 1x ./netfault/gate
	$(GO) test -c -o /dev/null ./workload/store/driver && GOMAXPROCS=1 taskset -c 0 $(GO) test -run '^$$' -bench . ./workload/store/driver
	$(MAKE) build && bash -c 'for i in 1 2 3 4 5; do time ./bin/kubectl-microsim --help >/dev/null; done' 2>&1 | grep real
