package dataset_test

import (
	"os"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dataset"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
)

func read(t *testing.T) *dataset.Dataset {
	t.Helper()
	f, err := os.Open("../spec/testdata/good/dataset.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	docs, err := spec.Read("dataset.yaml", f)
	if err != nil {
		t.Fatal(err)
	}
	return docs.Datasets()[0]
}

// Every fault is there in every strength, at every target, with every seed; and each
// run is an experiment that can be run.
func TestCases(t *testing.T) {
	d := read(t)
	cases := d.Cases()
	if want := 2 + 2*2*3 + 3 + 3; len(cases) != want {
		t.Fatalf("%d cases, not %d", len(cases), want)
	}
	count := map[string]int{}
	for i := range cases {
		e := &cases[i].Experiment
		if err := e.Validate().Err(); err != nil {
			t.Error(err)
		}
		if got := e.Load.Phases[0].Duration.Std(); got != 2*time.Minute || e.Seed < 7 || e.Seed > 9 {
			t.Errorf("case %d lasts %s and has seed %d", i, got, e.Seed)
		}
		if len(e.Faults) == 0 {
			count["normal"]++
			continue
		}
		f := &e.Faults[0]
		count[string(f.Type)+" "+f.Target.String()+" "+f.Args.Delay.String()]++
		if f.Start.Std() != time.Minute || f.Type != fault.Kill && f.Duration.Std() != 30*time.Second {
			t.Errorf("the fault of case %d acts from %s for %s", i, f.Start, f.Duration)
		}
		if f.Args.Jitter != 0 && f.Probability != 0.5 || f.Type == fault.NetLoss && f.Target.Direction != fault.ToTarget {
			t.Errorf("the fault of case %d is %+v", i, f)
		}
	}
	for what, n := range map[string]int{"normal": 2, "latency db 50ms": 3, "latency web 200ms": 3, "net-loss web->db 0s": 3, "kill db/1 0s": 3} {
		if count[what] != n {
			t.Errorf("%d cases of %q: %v", count[what], what, count)
		}
	}
	// Those of one run must not change those of another.
	cases[0].Experiment.Load.Phases[0].Rate = 99
	if cases[1].Experiment.Load.Phases[0].Rate == 99 || d.Load.Phases[0].Rate == 99 {
		t.Error("runs share their load")
	}
}
