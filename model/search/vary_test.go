package search

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

func TestVariationsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"load.rate=100..500/100":        "100 200 300 400 500",
		"load.rate=0.1..0.3/0.1":        "0.1 0.2 0.3",
		"load.rate=1,2,10..30/10":       "1 2 10 20 30",
		"a->b.timeout=0.2s,0.5s":        "0.2s 0.5s",
		"a->b.timeout=100ms..300ms/.1s": "",
		"a->b.timeout=100ms..1s/300ms":  "100ms 400ms 700ms 1s",
		"a->b.timeout=0..1s/500ms":      "0s 500ms 1s",
		"load.rate=100..250/100":        "100 200",
		"a.onCancel=stop,finish":        "stop finish",
	} {
		v, err := ParseVariation(text)
		if want == "" {
			if err == nil {
				t.Errorf("%q: got %v, want an error", text, v.Values)
			}
			continue
		}
		if err != nil || strings.Join(v.Values, " ") != want {
			t.Errorf("%q: got %v, %v, want %s", text, v.Values, err, want)
		}
	}
	v, _ := ParseVariation("a->b.timeout=100ms,1s")
	if !slices.Equal(v.Numbers, []float64{0.1, 1}) {
		t.Errorf("durations are %v seconds", v.Numbers)
	}
}

func TestWrongVariationsAreExplained(t *testing.T) {
	for text, want := range map[string]string{
		"load.rate":                   "varies nothing",
		"=1,2":                        "varies nothing",
		"load.rate=":                  "varies nothing",
		"load.rate=100..500":          "has no step",
		"load.rate=500..100/100":      "does not rise",
		"load.rate=100..500/0":        "does not rise",
		"load.rate=100..500/-1":       "does not rise",
		"load.rate=1..1000000/1":      "more than 1000 values",
		"load.rate=1,,2":              "a comma too many",
		"load.rate=1,1":               "twice",
		"a->b.timeout=100..1s/100ms":  "mixes numbers and durations",
		"a->b.timeout=100ms..1s/100":  "mixes numbers and durations",
		"a.onCancel=stop..finish/1":   "not of numbers or durations",
		"load.rate=NaN..Inf/1":        "not of numbers or durations",
		"load.rate=1e300..1e301/1e-9": "more than 1000 values",
	} {
		if _, err := ParseVariation(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

const varied = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: varied
system:
  services:
    - {name: web, calls: [{to: cart, timeout: 1s, retry: {attempts: 2, backoff: 10ms}}, db]}
    - {name: cart, workers: 4, work: {sleep: 20ms}, calls: [db]}
    - {name: db, workers: 2, shed: {queue: 5}, work: {cpu: 1ms}}
load:
  requests: web
  phases:
    - {name: low, rate: 10, duration: 5s}
    - {name: high, rate: 40, rateTo: 80, duration: 5s}
faults:
  - {name: slow.db, type: latency, target: db, delay: 100ms, start: 1s, duration: 2s}
`

func readVaried(t *testing.T) experiment.Experiment {
	t.Helper()
	docs, err := spec.Read("varied.yaml", strings.NewReader(varied))
	if err != nil {
		t.Fatal(err)
	}
	e, err := docs.Experiment()
	if err != nil {
		t.Fatal(err)
	}
	e.Load = e.Load.WithDefaults()
	return *e
}

func TestSettingsAreSet(t *testing.T) {
	base := readVaried(t)
	for _, tt := range []struct {
		path, value string
		got         func(e *experiment.Experiment) bool
	}{
		{"load.rate", "160", func(e *experiment.Experiment) bool {
			return e.Load.Phases[0].Rate == 20 && e.Load.Phases[1].Rate == 80 && *e.Load.Phases[1].RateTo == 160
		}},
		{"load.low.rate", "7", func(e *experiment.Experiment) bool { return e.Load.Phases[0].Rate == 7 && e.Load.Phases[1].Rate == 40 }},
		{"load.timeout", "3s", func(e *experiment.Experiment) bool { return e.Load.Timeout.Std() == 3*time.Second }},
		{"cart.workers", "9", func(e *experiment.Experiment) bool {
			return e.System.Services[1].Workers == 9 && e.System.Services[2].Workers == 2
		}},
		{"db.shed.queue", "8", func(e *experiment.Experiment) bool { return e.System.Services[2].Shed.Queue == 8 }},
		{"cart.work.sleep", "30ms", func(e *experiment.Experiment) bool {
			return e.System.Services[1].Endpoints[0].Steps[0].Work.Sleep.Fixed.Std() == 30*time.Millisecond
		}},
		{"web->cart.timeout", "200ms", func(e *experiment.Experiment) bool {
			return e.System.Services[0].Endpoints[0].Steps[0].Call.Timeout.Std() == 200*time.Millisecond && e.System.Services[0].Endpoints[0].Steps[1].Call.Timeout == 0
		}},
		{"web->cart.retry.attempts", "4", func(e *experiment.Experiment) bool {
			return e.System.Services[0].Endpoints[0].Steps[0].Call.Retry.Attempts == 4
		}},
		{"web->db.retry.attempts", "3", func(e *experiment.Experiment) bool {
			return e.System.Services[0].Endpoints[0].Steps[1].Call.Retry.Attempts == 3
		}},
		{"*->db.timeout", "1s", func(e *experiment.Experiment) bool {
			return e.System.Services[0].Endpoints[0].Steps[1].Call.Timeout.Std() == time.Second && e.System.Services[1].Endpoints[0].Steps[1].Call.Timeout.Std() == time.Second
		}},
		{"web->db.probability", "50%", func(e *experiment.Experiment) bool {
			return e.System.Services[0].Endpoints[0].Steps[1].Call.Probability == 0.5
		}},
		{"faults.slow.db.delay", "1s", func(e *experiment.Experiment) bool { return e.Faults[0].Args.Delay.Fixed.Std() == time.Second }},
		{"faults.slow.db.duration", "1s", func(e *experiment.Experiment) bool { return e.Faults[0].Duration.Std() == time.Second }},
	} {
		e, err := Set(base, tt.path, tt.value)
		if err != nil || !tt.got(&e) {
			t.Errorf("%s=%s: %v", tt.path, tt.value, err)
		}
	}
	// The experiment itself stays as it is.
	if fresh := readVaried(t); !equalExperiments(t, base, fresh) {
		t.Error("setting changed the experiment that it was of")
	}
}

func equalExperiments(t *testing.T, a, b experiment.Experiment) bool {
	t.Helper()
	textA, errA := spec.FormatExperiment(&a)
	textB, errB := spec.FormatExperiment(&b)
	if errA != nil || errB != nil {
		t.Fatal(errA, errB)
	}
	return string(textA) == string(textB)
}

func TestWrongSettingsAreExplained(t *testing.T) {
	base := readVaried(t)
	for text, want := range map[string]string{
		"rate=1":                      "setting \"rate\" is not known",
		"load.rate=0":                 "over 0",
		"load.rate=x":                 "over 0",
		"load.users=5":                "has no users",
		"load.hgh.rate=5":             `did you mean "high"`,
		"load.think=5s":               "write load.PHASE.think",
		"crt.workers=5":               `did you mean "cart"`,
		"cart.worker=5":               `did you mean "workers"`,
		"cart.workers=many":           "not a whole number",
		"cart.backlog=0":              "backlog cannot be 0",
		"faults.slow.db.duration=0s":  "duration cannot be 0, which would mean until the end",
		"cart.workers.x=1":            "leave .x out",
		"cart.work.io=1Ki":            "does no such work",
		"cart.endpoints=x":            "cannot be changed here",
		"web->crt.timeout=1s":         `did you mean "cart"`,
		"db->web.timeout=1s":          "db does not call web",
		"web->cart.timeot=1s":         `did you mean "timeout"`,
		"web->cart.timeout=5":         "invalid duration",
		"web->cart.retry=3":           "write one of retry.attempts",
		"web->cart.breaker.reset=1s":  "has no breaker: describe one in the file",
		"faults.slow.delay=1s":        `there is no fault "slow"`,
		"faults.slow.db.dely=1s":      `did you mean "delay"`,
		"faults.slow.db.percent=1000": "",
	} {
		at := strings.LastIndex(text, "=")
		_, err := Set(base, text[:at], text[at+1:])
		if want == "" {
			g := Grid{Vary: []Variation{{Path: text[:at], Values: []string{text[at+1:]}}}}
			if _, _, err := g.Points(base); err == nil {
				t.Errorf("%q is possible", text)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestFaultsAreReadFromWords(t *testing.T) {
	f, err := ParseFault("latency web->cart delay=300ms duration=5s probability=50%")
	if err != nil || f.Target.From != "web" || f.Args.Delay.Fixed.Std() != 300*time.Millisecond || f.Duration.Std() != 5*time.Second || f.Probability != 0.5 {
		t.Errorf("got %+v, %v", f, err)
	}
	for text, want := range map[string]string{
		"latency":                     "write its type, its target",
		"latancy cart delay=1s":       `did you mean "latency"`,
		"latency cart":                "needs delay",
		"latency cart delay":          "sets nothing",
		"latency cart delay=-1s":      "is negative",
		"latency cart size=1Ki":       "needs delay",
		"pause cart duration=1s for=": `"for" is not a parameter`,
	} {
		if _, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}
