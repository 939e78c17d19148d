package webui

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/spec/edit"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// ownValues are the operations that write into a file what it says already, as the
// forms of the page do when nothing was typed.
func ownValues(t *testing.T, c *checked) (ops []map[string]any) {
	t.Helper()
	add := func(op map[string]any) {
		if c.Experiment != nil && c.Experiment.Document > 0 {
			op["document"] = c.Experiment.Document
		}
		ops = append(ops, op)
	}
	if e := c.Experiment; e != nil && e.HasLoad {
		add(map[string]any{"op": "setLoad", "load": e.Load})
		for _, f := range e.Faults {
			add(map[string]any{"op": "setFault", "index": f.Index, "fault": f.Fault})
		}
	}
	for i := range c.System.Services {
		s := &c.System.Services[i]
		for field, value := range map[string]any{"shed": s.Shed, "readiness": s.Readiness, "liveness": s.Liveness, "resources": s.Resources, "store": s.Store, "replicas": s.Replicas} {
			if text, err := json.Marshal(value); err == nil && string(text) != "null" {
				add(map[string]any{"op": "setService", "service": s.Name, "field": field, "value": value})
			}
		}
		for j := range s.Endpoints {
			e := &s.Endpoints[j]
			fields := map[string]any{"response": e.Response, "timeout": e.Timeout}
			if len(e.Steps) > 0 && e.Steps[0].Work != nil {
				fields["work"] = e.Steps[0].Work
			}
			for field, value := range fields {
				add(map[string]any{"op": "setService", "service": s.Name, "endpoint": e.Path, "field": field, "value": value})
			}
			nth := map[string]int{}
			for _, call := range callsIn(e.Steps) {
				add(map[string]any{"op": "setCall", "service": s.Name, "endpoint": e.Path, "to": call.To, "nth": nth[call.To], "field": "probability", "value": call.Probability})
				nth[call.To]++
			}
		}
	}
	return ops
}

func callsIn(steps []topology.Step) (calls []*topology.Call) {
	for i := range steps {
		if steps[i].Call != nil {
			calls = append(calls, steps[i].Call)
		}
		calls = append(calls, callsIn(steps[i].Parallel)...)
	}
	return calls
}

// A form of the page that is written as it was shown changes no byte: what the page is
// told of a file is what operations take.
func TestFormsWriteWhatTheyShow(t *testing.T) {
	paths, err := filepath.Glob(filepath.FromSlash("../examples/*.yaml"))
	if err != nil || len(paths) < 20 {
		t.Fatalf("found %d examples: %v", len(paths), err)
	}
	written := 0
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := edit.Open(path, text)
		if err != nil {
			t.Fatal(err)
		}
		c := checkedOf(file.Documents)
		if c.System == nil || file.Documents[0].Origin.Dialect != document.Native {
			continue
		}
		for _, one := range ownValues(t, &c) {
			body, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			op, err := edit.Unmarshal(body)
			if err != nil {
				t.Fatalf("%s: %s: %v", path, body, err)
			}
			next, _, err := file.Apply(op)
			if err != nil && strings.Contains(err.Error(), "described elsewhere") {
				continue // the system is that of another file
			}
			if err != nil {
				t.Errorf("%s: %.300s: %v", path, body, err)
				continue
			}
			if string(next.Text()) != string(text) {
				t.Errorf("%s: %.300s changes the text", path, body)
			}
			written++
		}
	}
	if written < 500 {
		t.Errorf("only %d forms were written", written)
	}
}

// The page is told which document has the experiment, so that its load can be set where
// the system comes first; and the checks of each variant, so that they can be guessed.
func TestWhatThePageIsToldOfAnExperiment(t *testing.T) {
	const text = `apiVersion: microsim.dev/v1alpha1
kind: System
name: two
services: [{name: web}]
---
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: shown
system: two
load: {rate: 10, duration: 5s}
faults:
- {name: slow, type: latency, target: web, delay: 5ms, start: 1s, duration: 1s}
checks:
- errors < 1%
- {check: p99 < 1s, phase: during}
variants:
- {name: sound, faults: [], checks: goodput > 5}
- {name: broken}
`
	c := check("shown.yaml", text)
	if len(c.Mistakes) > 0 {
		t.Fatal(c.Mistakes)
	}
	e := c.Experiment
	if e.Document != 1 || len(e.Faults) != 1 || e.Faults[0].Fault.Name != "slow" || e.Load.Phases[0].Rate != 10 {
		t.Errorf("the page is told %+v", e)
	}
	var told []string
	for _, v := range e.Variants {
		for _, check := range v.Checks {
			told = append(told, v.Name+": "+check.Expr)
		}
	}
	if got := strings.Join(told, "; "); got != "sound: errors < 1%; sound: goodput > 5; broken: errors < 1%; broken: p99 < 1s" {
		t.Errorf("the checks of the variants are %s", got)
	}
}
