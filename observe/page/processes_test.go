package page

import (
	"encoding/json"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestProcessesAreOfServicesInOtherRuntimes(t *testing.T) {
	run := func(variant string, runtime topology.RuntimeName, cpu float64) Run {
		r := &result.Result{Processes: []result.ProcessStats{{Service: "api", Runtime: runtime, CPUPerRequest: &cpu}, {Service: "left", Runtime: topology.Agent, CPUPerRequest: &cpu}}}
		if runtime != topology.Agent {
			r.Environment.Runtimes = map[string]topology.RuntimeName{"api": runtime}
		}
		return Run{Variant: variant, Result: r}
	}
	agents := []Run{run("a", topology.Agent, 1), run("a", topology.Agent, 2)}
	if rows := processes(agents); len(rows) != 0 {
		t.Errorf("of agents alone there are the rows %+v", rows)
	}
	got, err := json.Marshal(processes(append(agents, run("b", "gin", 3), Run{Variant: "failed", Result: &result.Result{}})))
	if err != nil {
		t.Fatal(err)
	}
	const want = `[{"variant":"a","service":"api","runtime":"agent","figures":{"cpu":{"mean":1.414,"low":0.0173,"high":115.6,"values":[1,2]}}},` +
		`{"variant":"b","service":"api","runtime":"gin","figures":{"cpu":{"mean":3,"low":null,"high":null,"values":[3]}}}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
