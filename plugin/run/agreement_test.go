package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/plugin/calibrate"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// The same experiments are run for real, on this machine, and in virtual time.
// MICROSIM_AGREEMENT=full, which `make agreement` sets, plays all of them for long
// enough and prints the error of each figure; with -update-docs it writes them into
// docs/virtual.md, too. Without it, a few short ones are held to what does not hang on
// how busy the machine is.

// playReal plays an experiment on this machine, in this process.
func playReal(t *testing.T, e experiment.Experiment) (*result.Result, *watched) {
	t.Helper()
	l := local.Flags{Isolation: string(localsim.InProcess), Entrances: local.EntrancesOf(e.Faults)}
	deployer, err := l.DeployerIn("", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	seen := &watched{}
	loader := &watchedLoader{&loadgen.Generator{}, seen.observe}
	r, err := runner.Run(context.Background(), e, runner.Deps{Deployer: deployer, Loader: loader, Collector: collect.New(collect.Options{})}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, seen
}

// playVirtual plays it in virtual time, on a machine that costs as much.
func playVirtual(t *testing.T, a *agreeing, m virtual.Machine) (*result.Result, *watched) {
	t.Helper()
	seen := &watched{}
	r, err := virtual.Run(context.Background(), a.Experiment, virtual.Options{Machine: m, Outcome: seen.observe})
	if err != nil {
		t.Fatalf("%s: %v", a.name, err)
	}
	return r, seen
}

// decisionsOf are the counts that follow from the draws of each request: the
// statuses of the clients, what each service answered, and the calls of each edge.
func decisionsOf(r *result.Result) string {
	var lines []string
	for _, e := range r.Segments[0].Edges {
		lines = append(lines, fmt.Sprintf("%s->%s %d, %d errors, %d degraded, %d fallbacks", e.Caller, e.Callee, e.Calls, e.Errors, e.Degraded, e.Fallbacks))
	}
	for _, s := range r.Segments[0].Services {
		lines = append(lines, fmt.Sprintf("%s %d, %d errors, %d degraded", s.Service, s.Requests, s.Errors, s.Degraded))
	}
	slices.Sort(lines)
	for _, p := range r.Load.Phases {
		lines = append(lines, fmt.Sprintf("%s %d", p.Name, p.Stats.Arrivals))
	}
	for _, q := range r.Load.Requests {
		lines = append(lines, fmt.Sprintf("%s %d", q.Name, q.Stats.Arrivals))
	}
	lines = append(lines, fmt.Sprintf("%d degraded, %d good", r.Load.Total.Degraded, r.Load.Total.Good))
	return fmt.Sprint(r.Load.Total.Statuses, strings.Join(lines, ", "))
}

// measuredMachine is this one.
func measuredMachine(t *testing.T) (virtual.Machine, *calibration.Calibration) {
	t.Helper()
	c, err := calibrate.Measure(context.Background(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	var figures strings.Builder
	if err := calibrate.Table(&figures, c); err != nil {
		t.Fatal(err)
	}
	t.Logf("calibrated at a load of %.0f %%:\n%s", 100*c.Load, figures.String())
	return virtual.Calibrated(c), c
}

func TestRealAndVirtualAgree(t *testing.T) {
	if os.Getenv("MICROSIM_AGREEMENT") == "full" {
		agreeInFull(t)
		return
	}
	for _, a := range agreeings(t, 3*time.Second) {
		if a.small {
			actual, real := playReal(t, a.Experiment)
			played, virtually := playVirtual(t, &a, virtual.Machine{})
			wantSameDecisions(t, &a, actual, played, real, virtually)
		}
	}
}

// agreeInFull plays all, prints the figures, and writes them into the documentation if
// -update-docs asks for it and the machine did nothing else. A figure beyond its bound is
// an error only if there is no known cause.
func agreeInFull(t *testing.T) {
	busy := watchOthers()
	machine, c := measuredMachine(t)
	var table agreement
	for _, a := range agreeings(t, 15*time.Second) {
		t.Run(a.name, func(t *testing.T) {
			actual, real := playReal(t, a.Experiment)
			played, virtually := playVirtual(t, &a, machine)
			wantSameDecisions(t, &a, actual, played, real, virtually)
			table.add(&a, actual, played, real, virtually)
		})
	}
	t.Logf("\n%s", table.text())
	if why := busy(); why != "" {
		t.Fatal(why)
	}
	for _, row := range table.rows {
		if row.beyond() && row.cause() == "" {
			t.Errorf("%s: %s is %s for real and %s in virtual time, which is more than %s off, and no cause is known", row.system, row.figure, row.real, row.virtual, row.bound)
		}
	}
	if *updateDocs {
		table.write(t, c)
	}
}

// wantSameDecisions wants every request that both served to be answered alike and, where
// all are sure to be served, all counts to be the same.
func wantSameDecisions(t *testing.T, a *agreeing, actual, played *result.Result, real, virtually *watched) {
	t.Helper()
	if both, same := real.served.Alike(&virtually.served); same < both {
		t.Errorf("%s: %d of %d requests that both served were answered alike", a.name, same, both)
	}
	if !a.sure {
		return
	}
	if both, same := real.answers.Alike(&virtually.answers); both < 30 || same < both {
		t.Errorf("%s: %d of %d requests that both answered were answered alike", a.name, same, both)
	}
	if got, want := decisionsOf(played), decisionsOf(actual); got != want {
		t.Errorf("%s: other decisions in virtual time:\n%s\nthan on this machine:\n%s", a.name, got, want)
	}
}
