// Package servicetest has the black-box suite that every mock service passes, in
// whatever language and however it is started. It asks over HTTP only.
package servicetest

import (
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// A Level is how much of the contract a service obeys; each includes those below.
type Level int

// The levels.
const (
	// None is the level of a service that fails a case of Chains.
	None Level = iota
	// Chains: the service answers chains, is told where its peers are, and passes
	// the identity of requests on.
	Chains
	// Endpoints: it has the endpoints of a System with work and calls, faults by
	// control, deadlines and metrics, and decides as every other one does.
	Endpoints
	// Policies: it has what protects callers and services: retries, breakers,
	// hedges, fallbacks, workers and shedding.
	Policies
)

// String prints the level as it is written in manifests: L1.
func (l Level) String() string { return fmt.Sprintf("L%d", int(l)) }

// ParseLevel reads what String prints.
func ParseLevel(text string) (Level, error) {
	for l := Chains; l <= Policies; l++ {
		if strings.EqualFold(text, l.String()) {
			return l, nil
		}
	}
	return None, fmt.Errorf("invalid level %q: write %v, %v or %v", text, Chains, Endpoints, Policies)
}

// A T is what a case needs of *testing.T. Fatal and Fatalf do not return.
type T interface {
	Helper()
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Cleanup(f func())
}

// Start starts the service of a spec, waits until it is ready, returns its base
// URL without a slash at the end, and stops it at the end of the case.
type Start func(t T, spec service.Spec) (baseURL string)

// A Case is one part of the contract.
type Case struct {
	Level Level
	Name  string
	Test  func(t T, start Start)
}

// Cases are all cases, those of lower levels first.
func Cases() []Case {
	return []Case{
		{Chains, "health, readiness and paths", testOwnPaths},
		{Chains, "chain answers in MicroSim's form", testChainResponse},
		{Chains, "chain runs in order", testChainOrder},
		{Chains, "chain's faults", testChainFaults},
		{Chains, "chains that are refused", testRefusedChains},
		{Chains, "children that fail", testFailingChildren},
		{Chains, "no open relay", testNoRelay},
		{Chains, "no door for web pages", testWebPages},
		{Chains, "chains pass the identity on", testChainIdentity},
		{Chains, "control needs the token", testToken},
		{Chains, "peers change", testPeersChange},
		{Endpoints, "endpoints answer exactly", testEndpoints},
		{Endpoints, "which POST is a chain", testWhichPostIsAChain},
		{Endpoints, "work takes what it should", testWork},
		{Endpoints, "calls in sequence and in parallel", testCalls},
		{Endpoints, "calls pass the identity on", testIdentity},
		{Endpoints, "deadlines are passed on", testDeadline},
		{Endpoints, "calls fail as the file says", testCallFailures},
		{Endpoints, "same seed, same decisions", testSeed},
		{Endpoints, "faults come and go", testFaultsAtRunTime},
		{Endpoints, "faults keep to their target and share", testFaultTargets},
		{Endpoints, "callees can be made unreachable", testUnreachable},
		{Endpoints, "parts that are degraded are told", testDegraded},
		{Endpoints, "replicas are drawn by key", testReplicas},
		{Endpoints, "metrics", testMetrics},
		{Endpoints, "clients leave half-way", testClientsLeave},
		{Policies, "retries", testRetries},
		{Policies, "which answers are retried, and when", testRetryTriggers},
		{Policies, "breakers", testBreaker},
		{Policies, "breakers by rate, from a number of calls on", testBreakerByRate},
		{Policies, "breakers by slow calls", testSlowBreaker},
		{Policies, "hedges", testHedge},
		{Policies, "fallbacks", testFallback},
		{Policies, "workers", testWorkers},
		{Policies, "shedding", testShedding},
		{Policies, "paths, bodies and headers of requests", testRequestValues},
	}
}

// within runs a part of a case, whose name then stands before its mistakes.
func within(t T, name string, part func(t T)) {
	t.Helper()
	part(named{t, name})
}

// named puts a name before what is said.
type named struct {
	T
	name string
}

func (n named) Error(args ...any) { n.T.Helper(); n.T.Errorf("%s: %s", n.name, fmt.Sprint(args...)) }
func (n named) Fatal(args ...any) { n.T.Helper(); n.T.Fatalf("%s: %s", n.name, fmt.Sprint(args...)) }
func (n named) Errorf(format string, args ...any) {
	n.T.Helper()
	n.T.Errorf("%s: %s", n.name, fmt.Sprintf(format, args...))
}

func (n named) Fatalf(format string, args ...any) {
	n.T.Helper()
	n.T.Fatalf("%s: %s", n.name, fmt.Sprintf(format, args...))
}
