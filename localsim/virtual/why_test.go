package virtual

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

// explained are the lines of a run, with their times.
func explained(t *testing.T, e experiment.Experiment) *result.Explanation {
	t.Helper()
	r, err := Run(context.Background(), e, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Explanation == nil || len(r.Explanation.Lines) == 0 || len(r.Explanation.Lines) > 8 {
		t.Fatalf("the explanation is %+v, want 1 to 8 lines", r.Explanation)
	}
	return r.Explanation
}

func textOf(x *result.Explanation) string {
	var lines []string
	for _, l := range x.Lines {
		lines = append(lines, time.Duration(l.At*1e9).Round(100*time.Millisecond).String()+" "+l.Text)
	}
	return strings.Join(lines, "\n")
}

// wants holds a text to patterns, those that begin with ! to be absent.
func wants(t *testing.T, text string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		pattern, absent := strings.CutPrefix(p, "!")
		if regexp.MustCompile("(?m)"+pattern).MatchString(text) == absent {
			t.Errorf("%q is not true of:\n%s", p, text)
		}
	}
}

// The cause of each example is known: the lesson says it.
func TestExamplesAreExplained(t *testing.T) {
	slow := `^0s fault slowness at recommendations acted from here on, on \d+ requests`
	for _, c := range []struct {
		example, variant string
		want             []string
	}{
		{"outage-lab", "1-outage", []string{`100% were degraded`, `^0s fault outage at recommendations acted from here on, on 1842 requests`, `100% of the calls of home to recommendations failed \(1842 without a connection\)`, `!breaker`, `!queue`}},
		{"outage-lab", "2-outage-breakers", []string{`^0s fault outage`, `breaker of home to recommendations opened for the first time; it kept back 98% of the calls`}},
		{"outage-lab", "3-slow", []string{slow, `calls of home to recommendations took 7\.\d+s each, and home waited \(their timeout is 1m0s\)`, `!degraded`, `!tried again`}},
		{"outage-lab", "4-breakers", []string{slow, `took 7\.\d+s each, and home waited`, `!breaker`}},
		{"outage-lab", "5-timeouts", []string{slow, `^11\.\ds the queue of recommendations \(8 workers, 129 places\) was full: it turned \d+ away; it served 0\.\d+/s, each for 7\.\d+s`, `\(222 without a connection, 164 timeouts\)`}},
		{"outage-lab", "6-long-timeouts", []string{slow, `all 8 workers of recommendations were busy`, `50 timeouts`}},
		{"outage-lab", "7-retries", []string{slow, `took 7\.\d+s each, and home waited`, `!tried again`}},
		{"outage-lab", "8-timeouts-retries", []string{slow, `calls were tried again: home to recommendations x4\.0`, `queue of recommendations .* was full`}},
		{"outage-lab", "9-timeouts-breakers", []string{slow, `^3\.\ds the breaker of home to recommendations opened for the first time; it kept back 98% of the calls`, `32 timeouts`}},
		{"lesson-13-metastable", "retries", []string{
			`^2s fault latency api acted until 3\.5s`, `web to api x4\.0`, `^2\.6s the queue of api \(4 workers, 129 places\) was full`,
			`^2s until 8\.3s, of 662`, `it served 150/s, each for 26\.6ms`, `^3\.5s the last fault was over at 3\.5s, but the trouble went on until 8\.3s: calls of web to api were still tried 3\.\d times each, api still turned \d+ away`,
		}},
		{"lesson-10-retry-amplification", "every-layer", []string{`fault broken at leaf`, `web to a x3\.0, a to b x3\.0, b to c x3\.0, c to leaf x3\.0; leaf got 810 requests for 10 of the clients`}},
		{"lesson-10-retry-amplification", "one-layer", []string{`calls were tried again: web to a x3\.0$`}},
		{"lesson-05-nested-timeouts", "nested", []string{`fault latency reviews`, `calls of details to reviews failed \(100 timeouts; their timeout is 100ms\)`}},
		{"lesson-14-slow-is-worse-than-dead", "slow", []string{`fault slow at adverts acted until 7\.0s`, `all 8 workers of web were busy.* 97% of it waiting for adverts`, `no timeout`}},
		{"lesson-16-load-shedding", "long-queue", []string{`all 4 workers of api were busy, with up to 501 waiting`, `!fault`}},
		{"lesson-18-hedge", "all", []string{`nothing went wrong: all 480 requests ended well`}},
		{"lesson-18-hedge", "none", []string{`nothing went wrong`}},
		{"lesson-36-pool-exhaustion", "one-pool", []string{`fault slow-query db acted until 6\.0s, on \d+ requests`, `calls of web to db failed \(\d+ turned away by the caller\)`, `!error answers`}},
		{"lesson-37-failover", "none", []string{`fault failover db acted until 3\.5s, on 1 request$`}},
		{"shop", "", []string{`^6s fault error pricing-db acted until 12\.0s`, `^6s fault latency pricing acted until 12\.0s`, `!last fault was over`}},
		{"chaos-kill", "", []string{`^2s user/1 was down by fault kill user \(round 1\) until 2\.2s`, `replicas of order fell 2 times more`}},
	} {
		t.Run(c.example+" "+c.variant, func(t *testing.T) {
			e := example(t, c.example)
			if c.variant != "" {
				v, ok := e.Variant(c.variant)
				if !ok {
					t.Fatal("there is no such variant")
				}
				e, _ = e.Apply(v)
			}
			wants(t, textOf(explained(t, e)), c.want...)
		})
	}
}

// Small systems of which it is known what is wrong.
func TestSmallSystemsAreExplained(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		want []string
	}{
		"a saturated leaf": {`
system: {services: [{name: web, calls: [leaf]}, {name: leaf, workers: 4, backlog: 16, work: {sleep: 20ms}}]}
load: {rate: 260, arrivals: poisson, duration: 20s, timeout: 2s}`,
			[]string{`^\d+\.?\d*s the queue of leaf \(4 workers, 17 places\) was full: it turned \d+ away; it served 1\d\d/s, each for 20\.\dms`, `!fault`, `!web \(`}},
		"a dependency that hangs, without a timeout": {`
system: {services: [{name: web, workers: 8, backlog: 16, calls: [db]}, {name: db, work: {sleep: 5ms}}]}
load: {rate: 50, arrivals: poisson, duration: 20s, timeout: 2s}
faults: [{type: hang, target: db, start: 5s, duration: 5s}]`,
			[]string{`^5s fault hang db acted until 10\.0s`, `queue of web .* 100% of it waiting for db`, `these calls have no timeout`}},
		"too little of a processor": {`
system: {services: [{name: web, calls: [thin, wide]}, {name: thin, work: {cpu: 10ms}, resources: {cpuLimit: 500m}}, {name: wide, work: {cpu: 1ms}}]}
load: {rate: 80, duration: 20s, timeout: 2s}`,
			[]string{`thin used all of its CPU limit \(0\.5 processors\)`, `!processors of the machine`, `!wide`}},
		"a machine that is too small": {`
system: {services: [{name: web, calls: [heavy]}, {name: heavy, work: {cpu: 100ms}}]}
load: {rate: 120, duration: 20s, timeout: 2s}`,
			[]string{`all 8 processors of the machine were busy, \d+% of that with heavy`, `!without a fault`}},
		"too little memory": {`
system: {services: [{name: web, calls: [store]}, {name: store, memory: 20Mi, resources: {memoryLimit: 64Mi}}]}
load: {rate: 50, duration: 20s}
faults: [{type: memory-leak, target: store, size: 1Mi, hold: 1min, start: 5s}]`,
			[]string{`fault memory-leak store`, `store/1 was killed, over its memory limit, until`}},
		"a pool that is too small": {`
system: {services: [{name: web, calls: [db]}, {name: db, kind: postgres, store: {reads: 1, latency: 100ms, pool: {size: 2, wait: 300ms}}}]}
load: {rate: 50, duration: 20s}`,
			[]string{`calls of web to db failed \(\d+ turned away by the caller\)`, `!tried again`}},
		"too few connections": {`
system: {services: [{name: web, calls: [db]}, {name: db, kind: postgres, store: {reads: 1, latency: 200ms, maxConnections: 3}}]}
load: {rate: 50, duration: 20s}`,
			[]string{`all 3 connections of db were taken: it turned \d+ away`, `!without a fault`}},
		"connections that a fault refuses": {`
system: {services: [{name: web, calls: [db]}, {name: db, kind: postgres, store: {reads: 1}}]}
load: {rate: 50, duration: 20s}
faults: [{type: connections-exhausted, target: db, start: 5s, duration: 5s}]`,
			[]string{`fault connections-exhausted db`, `!connections of db were taken`}},
		"a disk that is too slow": {`
system: {services: [{name: web, calls: [log]}, {name: log, work: {io: 20Mi}}]}
load: {rate: 50, duration: 20s}`,
			[]string{`the disk of the machine was busy 100% of the time`, `!without a fault`}},
		"a timeout that is too short": {`
system: {services: [{name: web, calls: [{to: mid, timeout: 100ms}]}, {name: mid, calls: [low]}, {name: low, work: {sleep: 150ms}}]}
load: {rate: 50, duration: 20s}`,
			[]string{`calls of web to mid failed \(1000 timeouts; their timeout is 100ms\)`, `low took 150ms for each request`, `calls of mid to low took 150ms each`}},
		"a service without replicas": {`
system: {services: [{name: web, calls: [db]}, {name: db, replicas: 0}]}
load: {rate: 50, duration: 20s}`,
			[]string{`db has no replicas`}},
		"one worker that is too slow, until the run ends": {`
system: {services: [{name: web, workers: 1, backlog: 100, work: {sleep: 100ms}}]}
load: {rate: 20, duration: 3s}`,
			[]string{`until [56]\.\ds, of \d+ requests`, `the worker of web was busy.* it served (9\.[5-9]|10(\.[0-4])?)\d*/s, each for 100ms`}},
		"workers that a slower callee keeps": {`
system: {services: [{name: web, calls: [{to: cart, timeout: 300ms}, quick]}, {name: cart, workers: 6, backlog: 12, work: {sleep: 10ms}, calls: [db]}, {name: quick}, {name: db, work: {sleep: 2ms}}]}
load: {rate: 300, arrivals: poisson, duration: 10s}
faults: [{type: latency, target: db, delay: 80ms, start: 3s, duration: 4s}, {type: latency, target: quick, delay: 1ms, start: 3s, duration: 4s}]`,
			[]string{`the queue of cart \(6 workers, 13 places\) was full`, `^3s fault latency db acted until 7\.0s`, `!latency quick`}},
		"a pause": {`
system: {services: [{name: web, calls: [db]}, {name: db}]}
load: {rate: 50, duration: 20s}
faults: [{type: pause, target: db, start: 5s, duration: 4s}]`,
			[]string{`db/1 was down by fault pause db until 9\.0s`, `!fault pause db acted`}},
		"one request": {`
system: {services: [{name: web}]}
load: {rate: 1, duration: 1s}`,
			[]string{`nothing went wrong: the only request ended well`}},
		"a partition": {`
system: {services: [{name: web, calls: [{to: db, timeout: 300ms}]}, {name: db}]}
load: {rate: 50, duration: 20s}
faults: [{type: net-partition, target: web->db, start: 5s, duration: 5s}]`,
			[]string{`^5s fault net-partition .* acted until 10\.0s`, `calls of web to db failed`}},
		"errors of its own": {`
system: {services: [{name: web, calls: [db]}, {name: db, errorRate: 0.2}]}
load: {rate: 50, duration: 20s}`,
			[]string{`db answered \d\d% of its requests with errors of its own, without a fault`}},
		"errors by a fault on the way": {`
system: {services: [{name: web, calls: [price]}, {name: price, work: {sleep: 5ms}}]}
load: {rate: 50, duration: 20s}
faults: [{type: error, target: web->price, status: 503, probability: 0.3, start: 5s, duration: 5s}]`,
			[]string{`^5s fault error .*price acted until 10\.0s`, `calls of web to price failed`, `!without a fault`, `!of its own`}},
		"time by a fault on the way": {`
system: {services: [{name: web, calls: [price]}, {name: price, work: {sleep: 5ms}}]}
load: {rate: 50, duration: 20s}
faults: [{type: latency, target: web->price, delay: 2s, start: 5s, duration: 5s}]`,
			[]string{`^5s fault latency .*price acted until 10\.0s`, `calls of web to price took`, `!without a fault`}},
		"all is well": {`
system: {services: [{name: web, calls: [db]}, {name: db, work: {sleep: 5ms}}]}
load: {rate: 1, duration: 20s}`,
			[]string{`nothing went wrong: all 20 requests ended well`}},
		"a fault that nobody feels": {`
system: {services: [{name: web, calls: [db]}, {name: db, work: {sleep: 5ms}}]}
load: {rate: 50, duration: 20s}
faults: [{type: latency, target: db, delay: 5ms, start: 5s, duration: 5s}]`,
			[]string{`nothing went wrong`, `!fault`}},
	} {
		t.Run(name, func(t *testing.T) {
			docs, err := spec.Read("test.yaml", strings.NewReader("apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: test"+c.file))
			if err != nil {
				t.Fatal(err)
			}
			e, err := docs.Experiment()
			if err != nil {
				t.Fatal(err)
			}
			x := explained(t, *e)
			wants(t, textOf(x), c.want...)
			if well := strings.Contains(x.Lines[0].Text, "nothing went wrong"); well == x.Trouble {
				t.Errorf("trouble is %t, but it says %q", x.Trouble, x.Lines[0].Text)
			}
		})
	}
}
