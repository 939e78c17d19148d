package spec

import (
	"reflect"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
)

const lab = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: lab
system:
  services:
    - {name: web, workers: 8, calls: [cart, {to: mail, onError: ignore}]}
    - {name: cart, calls: [db]}
    - mail
    - db
load: {users: 10, duration: 30s}
faults:
  - {name: slow, type: latency, target: db, delay: 5s, start: 1s}
  - {name: broken, type: error, target: mail}
checks: errors < 1%
abortOn: [errors > 90%]
rank: p99
tail: 2min
window: 10s
variants:
  - none
  - name: timeouts
    doc: every call ends after a while
    faults: slow
    set: {call: "*", timeout: 500ms}
    checks: timeouts > 0
  - name: breakers
    set:
      - {service: web, call: cart, breaker: {failures: 5, reset: 30s, scope: worker}, retry: null}
      - {service: db, workers: 4, backlog: 128}
    faults: []
  - name: open
    load: {rate: 100, duration: 5s, requests: web}
`

func readLab(t *testing.T, text string) (*experiment.Experiment, error) {
	t.Helper()
	docs, err := Read("lab.yaml", strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	return docs.Experiments()[0], nil
}

func TestVariantsAreReadAndPrinted(t *testing.T) {
	e, err := readLab(t, lab)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Variants) != 4 || e.Rank.Metric != experiment.P99 || e.Tail.String() != "2min" && e.Tail.String() != "2m" || len(e.AbortOn) != 1 {
		t.Errorf("read %+v", e)
	}
	timeouts, breakers, open := e.Variants[1], e.Variants[2], e.Variants[3]
	if e.Variants[0].Faults != nil || breakers.Faults == nil || len(breakers.Faults) != 0 || timeouts.Faults[0] != "slow" {
		t.Errorf("no faults named, none at all, and one: %v, %v, %v", e.Variants[0].Faults, breakers.Faults, timeouts.Faults)
	}
	if p := timeouts.Set[0]; p.Timeout.String() != "500ms" || p.Breaker != nil {
		t.Errorf("patch %+v", p)
	}
	if p := breakers.Set; p[0].Breaker.Failures != 5 || len(p[0].Without) != 1 || p[0].Without[0] != "retry" || *p[1].Workers != 4 {
		t.Errorf("patches %+v", p)
	}
	if open.Load.Requests[0].Weight != 1 || open.Load.Timeout == 0 {
		t.Errorf("a variant's load lacks the defaults: %+v", open.Load)
	}
	printed, err := FormatExperiment(e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := readLab(t, string(printed))
	if err != nil {
		t.Fatalf("%v in\n%s", err, printed)
	}
	if !reflect.DeepEqual(e, again) {
		t.Errorf("printed and read again it differs:\n%s\n%+v\n%+v", printed, e, again)
	}
}

func TestMistakesInVariantsHaveAPlace(t *testing.T) {
	for _, c := range []struct{ old, new, Want string }{
		{"service: db, workers: 4", "service: bd, workers: 4", `lab.yaml:29:19: variants[2].set[1].service: "bd" is not a service of the system (known are web, cart, mail, db)`},
		{"service: web, call: cart", "service: web, call: db", `lab.yaml:28:30: variants[2].set[0].call: service "web" does not call service "db"`},
		{"failures: 5", "failures: 0", "variants[2].set[0].breaker.failures: a breaker that opens after 0 failures is always open"},
		{"workers: 4", "wrokers: 4", `lab.yaml:29:23: variants[2].set[1].wrokers: field "wrokers" is not known (did you mean "workers"?)`},
		{"- name: breakers", "- name: none", `lab.yaml:26:11: variants[2].name: variant "none" is already described at variants[0]`},
		{"faults: slow", "faults: slwo", `lab.yaml:23:13: variants[1].faults[0]: "slwo" is the name of no fault (did you mean "slow"?)`},
		{"checks: timeouts > 0", "checks: timeuots > 0", `variants[1].checks[0].check: check "timeuots > 0" has no figure "timeuots"`},
		{"rank: p99", "rank: p98", `lab.yaml:16:7: rank.metric: "p98" is not a figure (did you mean "p90"?)`},
		{"set: {call: \"*\", timeout: 500ms}", "set: [{call: \"*\", timeout: 500ms}, {call: \"*\", timeout: 1s}]", "variants[1].set[1].timeout: timeout of web->cart is changed otherwise by set[0]"},
		{"timeout: 500ms", "timeout: 10min", `variants[1].set[0].timeout: a timeout of "10m" is never reached: the run takes 2m30s at most`},
		{"timeout: 500ms", "retry: {attempts: 1000000000}", "variants[1].set[0].retry.attempts: 1000000000 attempts are not in the range 1 to 20"},
		{"timeout: 500ms", "fallback: {kind: fixed}", "variants[1].set[0].fallback.value: a fixed fallback has no value"},
		{"abortOn: [errors > 90%]", "abortOn: [recovery > 9s]", "abortOn[0].check: recovery is known at the end of the run only"},
		{"{rate: 100, duration: 5s, requests: web}", "{rate: 100, duration: 5s, requests: wbe}", `variants[3].load.requests[0].service: "wbe" is not a service of the system`},
		{"window: 10s", "window: 10ms", `window: windows of "10ms" are too short`},
	} {
		text := strings.Replace(lab, c.old, c.new, 1)
		if text == lab {
			t.Fatalf("the file has no %q", c.old)
		}
		_, err := readLab(t, text)
		if err == nil || !strings.Contains(err.Error(), c.Want) {
			t.Errorf("%s: %v, want %s", c.new, err, c.Want)
		}
	}
}
