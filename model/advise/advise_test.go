package advise

import (
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

func read(t *testing.T, name, text string) experiment.Experiment {
	t.Helper()
	docs, err := spec.Read(name, strings.NewReader(text))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for _, d := range docs {
		switch {
		case d.Experiment != nil:
			e := *d.Experiment
			e.Load = e.Load.WithDefaults()
			return e
		case d.System != nil:
			return experiment.Experiment{System: *d.System}
		}
	}
	t.Fatalf("%s describes no system", name)
	return experiment.Experiment{}
}

func rulesOf(list []Advice) (rules []Rule) {
	for _, a := range list {
		if !slices.Contains(rules, a.Rule) {
			rules = append(rules, a.Rule)
		}
	}
	return rules
}

// Each pattern is found, and what mends it silences the advice.
func TestPatternsAreFound(t *testing.T) {
	for name, tt := range map[string]struct {
		services string
		want     []Rule
		says     string
	}{
		"nothing": {`
    - {name: web, calls: [{to: a, timeout: 1s}]}
    - {name: a, work: {sleep: 5ms}}`, nil, ""},
		"retries below retries": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a, calls: [{to: b, retry: {attempts: 4, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: b}`, []Rule{RetryLayers}, "up to 12"},
		"retries with a service between": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a, calls: [b]}
    - {name: b, calls: [{to: c, retry: {attempts: 2, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: c}`, []Rule{RetryLayers}, "web->a (3), b->c (2)"},
		"retries beside each other": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}, {to: b, retry: {attempts: 3, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a}
    - {name: b}`, nil, ""},
		"an inner timeout that is longer": {`
    - {name: web, calls: [{to: a, timeout: 300ms}]}
    - {name: a, calls: [{to: b, timeout: 2s}]}
    - {name: b}`, []Rule{NestTimeouts}, "web waits 300ms for a, which waits up to 2s for b"},
		"inner attempts that are longer together": {`
    - {name: web, calls: [{to: a, timeout: 500ms}]}
    - {name: a, calls: [{to: b, timeout: 200ms, retry: {attempts: 3, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: b}`, []Rule{NestTimeouts}, "up to 630ms"},
		"timeouts that nest": {`
    - {name: web, calls: [{to: a, timeout: 500ms}]}
    - {name: a, calls: [{to: b, timeout: 200ms}]}
    - {name: b}`, nil, ""},
		"no budget": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, backoff: 10ms}}]}
    - {name: a}`, []Rule{RetryBudget}, "3 times its load"},
		"no jitter": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, backoff: 10ms, jitter: none, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a}`, []Rule{RetryJitter}, "no jitter"},
		"no backoff": {`
    - {name: web, calls: [{to: a, retry: {attempts: 3, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a}`, []Rule{RetryJitter}, "at once"},
		"a queue without bound": {`
    - {name: web, calls: [{to: a, timeout: 1s}]}
    - {name: a, workers: 4, work: {sleep: 20ms}}`, []Rule{BoundQueues}, "4096 connections, which take 20.5s"},
		"a queue that is too long": {`
    - {name: web, calls: [{to: a, timeout: 1s}]}
    - {name: a, workers: 4, backlog: 1000, work: {sleep: 20ms}}`, []Rule{BoundQueues}, "takes 5s to work off, but callers wait 1s"},
		"a queue that fits": {`
    - {name: web, calls: [{to: a, timeout: 1s}]}
    - {name: a, workers: 4, backlog: 100, work: {sleep: 20ms}}`, nil, ""},
		"a queue that sheds": {`
    - {name: web, calls: [{to: a, timeout: 1s}]}
    - {name: a, workers: 4, shed: {queue: 8}, work: {sleep: 20ms}}`, nil, ""},
		"a hedge of a POST": {`
    - {name: web, calls: [{to: a, hedge: {after: 50ms}}]}
    - {name: a, endpoints: [{path: /orders, method: POST}]}`, []Rule{Idempotent}, "requests with POST are sent again after 50ms"},
		"a hedge of a GET": {`
    - {name: web, calls: [{to: a, hedge: {after: 50ms}}]}
    - {name: a}`, nil, ""},
		"a hedge of what writes to a store itself": {`
    - {name: web, calls: [{to: db, writes: 1, hedge: {after: 50ms}}]}
    - {name: db, kind: postgres}`, []Rule{Idempotent}, "writes to db are sent again after 50ms"},
		"a hedge of what writes as the store says": {`
    - {name: web, calls: [{to: db, hedge: {after: 50ms}}]}
    - {name: db, kind: postgres, store: {writes: 1}}`, []Rule{Idempotent}, "writes to db"},
		"a hedge of what publishes": {`
    - {name: web, calls: [{to: queue, hedge: {after: 50ms}}]}
    - {name: queue, kind: kafka}`, []Rule{Idempotent}, "writes to queue"},
		"a hedge of what only reads of a store that has writes": {`
    - {name: web, calls: [{to: db, reads: 1, hedge: {after: 50ms}}]}
    - {name: db, kind: postgres, store: {reads: 1, writes: 1}}`, nil, ""},
		"a hedge of what writes to a store further down": {`
    - {name: web, calls: [{to: orders, hedge: {after: 50ms}}]}
    - {name: orders, calls: [stock]}
    - {name: stock, calls: [{parallel: [{to: db, query: [transaction]}, {to: web, probability: 0.1}]}]}
    - {name: db, kind: postgres}`, []Rule{Idempotent}, "web->orders: requests that write to db further down are sent again after 50ms"},
		"a retry of what writes to a store further down": {`
    - {name: web, calls: [{to: orders, retry: {attempts: 2, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: orders, calls: [{to: db, writes: 1}]}
    - {name: db, kind: postgres}`, []Rule{Idempotent}, "requests that write to db further down are retried after a timeout"},
		"a hedge of another endpoint than that which writes": {`
    - {name: web, calls: [{to: orders/look, hedge: {after: 50ms}}]}
    - {name: orders, endpoints: [{path: /look, calls: [db]}, {path: /buy, calls: [{to: db, writes: 1}]}]}
    - {name: db, kind: postgres}`, nil, ""},
		"a hedge of a PUT that writes further down": {`
    - {name: web, calls: [{to: orders, method: PUT, hedge: {after: 50ms}}]}
    - {name: orders, method: PUT, calls: [{to: db, writes: 1}]}
    - {name: db, kind: postgres}`, nil, ""},
		"a hedge of what fills a cache further down": {`
    - {name: web, calls: [{to: shelf, hedge: {after: 50ms}}]}
    - {name: shelf, calls: [cache, {to: db, ifMissed: cache}, {to: cache, writes: 1, ifMissed: cache}]}
    - {name: cache, kind: redis}
    - {name: db, kind: postgres}`, nil, ""},
		"a retry of a POST": {`
    - {name: web, calls: [{to: a, method: POST, retry: {attempts: 2, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a}`, []Rule{Idempotent}, "retried after a timeout"},
		"a retry of a POST that did not arrive": {`
    - {name: web, calls: [{to: a, method: POST, retry: {attempts: 2, backoff: 10ms, on: [connection_error], budget: {ratio: 0.1, burst: 10}}}]}
    - {name: a}`, nil, ""},
	} {
		e := read(t, name, "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: s\nservices:"+tt.services+"\n")
		list := Of(&e)
		if got := rulesOf(list); !slices.Equal(got, tt.want) {
			t.Errorf("%s: got %v, want %v", name, list, tt.want)
			continue
		}
		if len(list) > 1 {
			t.Errorf("%s: said %d times: %v", name, len(list), list)
		}
		if tt.says != "" && !strings.Contains(list[0].Where+": "+list[0].What, tt.says) {
			t.Errorf("%s: says %q, want %q", name, list[0].Where+": "+list[0].What, tt.says)
		}
	}
}

// Every lesson that advice names is there, and has the pattern that it is named
// for, in one of its variants.
func TestLessonsShowTheirPattern(t *testing.T) {
	for _, rule := range Rules() {
		text, err := examples.Open(rule.Lesson())
		if err != nil {
			t.Errorf("%s names the lesson %q: %v", rule, rule.Lesson(), err)
			continue
		}
		e := read(t, rule.Lesson(), string(text))
		found := rulesOf(Of(&e))
		for _, v := range e.Variants {
			applied, problems := e.Apply(v)
			if err := problems.Err(); err != nil {
				t.Fatal(err)
			}
			found = append(found, rulesOf(Of(&applied))...)
		}
		if !slices.Contains(found, rule) {
			t.Errorf("%s does not have the pattern %s, but %v", rule.Lesson(), rule, found)
		}
	}
}

// Many paths through a wide and deep system, and cycles, take no time.
func TestAdviceOnManyPaths(t *testing.T) {
	var b strings.Builder
	b.WriteString("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: s\nservices:\n")
	retry := "retry: {attempts: 2, backoff: 10ms, budget: {ratio: 0.1, burst: 10}}"
	name := func(i int) string { return "s" + strings.Repeat("i", i) }
	for i := range 40 {
		calls := "[]"
		if i < 39 {
			one := "{to: " + name(i+1) + ", " + retry + "}"
			calls = "[" + strings.Repeat(one+", ", 5) + one + "]"
		}
		b.WriteString("  - {name: " + name(i) + ", calls: " + calls + "}\n")
	}
	e := read(t, "deep", b.String())
	list := Of(&e)
	if len(list) != 1 || list[0].Rule != RetryLayers || !strings.Contains(list[0].What, "39 layers") {
		t.Errorf("got %v", list)
	}
}
