package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Times of faults whose sum overflows are refused where they stand.
func TestFaultsThatEndTooLateAreRefused(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "fault-too-late.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("fault-too-late.yaml", file)
	if err == nil {
		t.Fatal("the file is accepted")
	}
	for _, want := range []string{":10:41: faults[0].start: ", ":11:55: faults[1].duration: ", ":12:62: faults[2].rounds.interval: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error %v", want, err)
		}
	}
}

// TestStressesAreChecked reads stresses whose methods or sizes there are not.
func TestStressesAreChecked(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "stress-method.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("stress-method.yaml", file)
	for _, want := range []string{
		`7:44: faults[0].args.method: fault type "cpu-stress" has no method "sqrtt" (did you mean "sqrt"?)`,
		`8:43: faults[1].args.method: fault type "io-stress" has no method "matrixprod" (write one of sync, iomix)`,
		`9:41: faults[2].args.size: size "1Ki" is out of range (the smallest is 64Ki)`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
}

// TestPoliciesThatHaveNoEffectAreRefused reads policies whose fields do nothing.
func TestPoliciesThatHaveNoEffectAreRefused(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "policy-misses.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("policy-misses.yaml", file)
	for _, want := range []string{
		`8:52: services[0].endpoints[0].steps[0].call.retry.on[2]: outcome "breaker_open" can not be retried`,
		`8:66: services[0].endpoints[0].steps[0].call.retry.on[3]: outcome "302" can not be retried`,
		`9:60: services[0].endpoints[0].steps[1].call.breaker.minCalls: minCalls 2 has no effect`,
		`10:16: services[0].endpoints[0].steps[2].call.breaker.slowAfter: a slow rate has no effect`,
		`11:74: services[0].endpoints[0].steps[3].call.breaker.slowAfter: a call is never slow after "2s"`,
		`12:64: services[0].endpoints[0].steps[4].call.retry.retryAfter: retryAfter has no effect`,
		`13:46: services[0].endpoints[0].steps[5].call.retry.backoff: backoff "3m" is longer than its cap "2m"`,
		`14:45: services[0].endpoints[0].steps[6].call.rateLimit.burst: a burst of 0.5 lets nothing through`,
		`15:45: services[0].endpoints[0].steps[7].call.retry.jitter: jitter "full" has no effect`,
		`16:72: services[0].endpoints[0].steps[8].call.retry.factor: factor 2 has no effect`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
}

// TestStepsInheritNone turns an inherited policy off in a call under steps.
func TestStepsInheritNone(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "steps-inherit-none.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	docs, err := Read("steps-inherit-none.yaml", file)
	if err != nil {
		t.Fatal(err)
	}
	if call := docs[0].System.Services[0].Endpoints[0].Steps[0].Call; call.Retry != nil {
		t.Errorf("the call retries: %+v", call.Retry)
	}
}

// TestMissesAreChecked reads calls after look-ups that there are not, and stores whose
// settings have no effect.
func TestMissesAreChecked(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "store-misses.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("store-misses.yaml", file)
	for _, want := range []string{
		`7:38: services[0].endpoints[0].steps[0].call.ifMissed: no look-up of "cache" stands before this call (write {to: cache, reads: 1} before this call)`,
		`8:9: services[0].endpoints[0].steps[1].call: calls are made if this look-up misses, so it must read one item, and it does 2 reads`,
		`10:38: services[0].endpoints[0].steps[3].call.coalesce: calls are coalesced by the item that a look-up missed`,
		`11:42: services[0].endpoints[0].steps[4].call.ifMissed: "page" is a service of kind base`,
		`13:41: services[2].workers: a real server of kind postgres has its own workers`,
		`13:75: services[2].store.address: invalid address "localhost"`,
		`13:95: services[2].store.retries: the driver of postgres sends nothing again by itself (leave it out, and give the calls a retry)`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
}

// TestLagsOfRealBrokersAreJudged: a real server keeps figures to itself, but for the lag of
// consumers, which the relay asks for.
func TestLagsOfRealBrokersAreJudged(t *testing.T) {
	const text = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: real
system:
  services:
    - {name: web, calls: [{to: queue, query: [publish]}, {to: db, reads: 1}]}
    - {name: queue, kind: kafka, store: {engine: real}}
    - {name: db, kind: redis, store: {engine: real}}
load: {requests: web, rate: 10, duration: 5s}
checks: [{check: lag < 5, service: queue}, {check: CHECK, service: db}]
`
	if _, err := Read("real.yaml", strings.NewReader(strings.ReplaceAll(text, ", {check: CHECK, service: db}", ""))); err != nil {
		t.Error(err)
	}
	_, err := Read("real.yaml", strings.NewReader(strings.ReplaceAll(text, "CHECK", "stale == 0")))
	if err == nil || !strings.Contains(err.Error(), `check "stale == 0" cannot be judged for db: a real server does not tell it`) {
		t.Errorf("it is refused by %v", err)
	}
}

// TestMessagesAreChecked reads operations, settings and faults that fit a log and no
// table, and the other way round.
func TestMessagesAreChecked(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "kafka-misses.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("kafka-misses.yaml", file)
	for _, want := range []string{
		`9:31: system.services[0].endpoints[0].steps[1].call.query[0]: kafka has no operation read (write publish or consume)`,
		`10:30: system.services[0].endpoints[0].steps[2].call.reads: kafka publishes and consumes messages, and has no reads (write query: [consume])`,
		`11:54: system.services[0].endpoints[0].steps[3].call.requestSize: a message of 1Mi is larger than kafka takes`,
		`12:28: system.services[0].endpoints[0].steps[4].call.query[0]: redis has no operation consume`,
		`13:21: system.services[0].endpoints[0].steps[5].call.query: service "web" is no data store`,
		`14:50: system.services[1].store.writes: kafka publishes and consumes messages, and has no writes`,
		`14:60: system.services[1].store.space: kafka publishes and consumes messages, and has no space (write retention`,
		`14:78: system.services[1].store.lockTimeout: kafka has no locks on rows`,
		`24:13: checks[0].check: check "lag < 5" cannot be judged for db: it is a store of kind redis (name a store of kind kafka`,
		`25:13: checks[1].check: check "lag < 5s" cannot be judged for web: it is a service of kind base`,
		`26:13: checks[2].check: check "lag < 5" cannot be judged for web->queue (a data store counts it`,
		`27:5: checks[3].check: check "lag < 5" cannot be judged for clients (a data store counts it`,
		`28:13: checks[4].check: check "lag < 5.5": "5.5" is not a whole number`,
		`14:94: system.services[1].store.partitions: 2000 is out of range`,
		`15:51: system.services[2].store.partitions: redis has no partitions`,
		`15:65: system.services[2].store.retention: redis has no retention`,
		`19:12: faults[1].type: fault type "slow-query" is not possible on "queue": kafka has no operation write (write publish or consume)`,
		`20:12: faults[2].type: fault type "replica-lag" is not possible on "queue": kafka answers from leaders alone (write consumer-lag)`,
		`21:12: faults[3].type: fault type "poison-message" is not possible on "db": redis has no consumers`,
		`22:5: faults[4].args.delay: fault type "consumer-lag" needs delay`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "faults[0]") {
		t.Errorf("a fault that the store can have is refused: %v", err)
	}
}

// TestFaultsOfRealStoresAreChecked reads faults that real data stores have no means for.
func TestFaultsOfRealStoresAreChecked(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "real-store-faults.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("real-store-faults.yaml", file)
	for _, want := range []string{
		`11:52: system.services[3].store.retries: the driver of mongodb sends a read again once at most`,
		`15:12: faults[1].type: fault type "replica-lag" is not possible on "mine": a real server of kind postgres cannot be told to`,
		`16:12: faults[2].type: fault type "lock-wait" is not possible on "mine": a real server fails for all operations or for none`,
		`17:12: faults[3].type: fault type "failover" is not possible on "given": its server, at 127.0.0.1:6379, is not ours to change`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("there is no %q in\n%v", want, err)
		}
	}
	if err != nil && strings.Contains(err.Error(), "faults[0]") {
		t.Errorf("a fault that the server has means for is refused: %v", err)
	}
}
