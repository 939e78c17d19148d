//go:build unix

package localsim_test

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
	"github.com/microsim-dev/kubectl-microsim/runner/runnertest"
)

func TestProcessesTellWhatTheyTake(t *testing.T) {
	d := up(t, processes("agent", ""), runnertest.System("held"))
	first := d.Processes(t.Context())
	if replicas := must(d.Replicas(t.Context())); len(first) != len(replicas) || len(first) == 0 {
		t.Fatalf("%d replicas have the processes %+v", len(replicas), first)
	}
	for _, p := range first {
		if p.Ended != 0 || p.Address <= 0 || p.Healthy < p.Address || p.Healthy > patience {
			t.Errorf("the process is %+v, want times of its start", p)
		}
		checkAccount(t, &p)
	}
}

// The meter keeps the processor time of a process that was killed.
func TestTheAccountOutlivesAProcess(t *testing.T) {
	const work = 200 * time.Millisecond
	system := alone()
	system.Services[0] = topology.NewService("leaf", topology.Step{Work: &topology.Work{CPU: dist.Fixed(work)}})
	d := up(t, processes("agent", ""), system)
	victim := must(d.Replicas(t.Context()))[0]
	if err := answers(t.Context(), victim.URL); err != nil {
		t.Fatal(err)
	}
	first := d.Processes(t.Context())[0]
	if err := must(os.FindProcess(victim.PID)).Kill(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); len(d.Outages()) == 0 || d.Outages()[0].Ready.IsZero(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("outages are %+v", d.Outages())
		}
	}
	now := d.Processes(t.Context())[0]
	if now.Ended != 1 || now.Address != first.Address || now.Healthy != first.Healthy {
		t.Errorf("after a kill the process is %+v, want the start of the first, %+v", now, first)
	}
	if checkAccount(t, &now); now.CPU != nil && *now.CPU < *first.CPU {
		t.Errorf("processor time went from %v to %v: that of the killed process is lost", *first.CPU, *now.CPU)
	}
}

// checkAccount checks what the operating system says, which is Linux only.
func checkAccount(t *testing.T, p *measure.Process) {
	t.Helper()
	switch known := p.CPU != nil && p.Resident != nil && p.Peak != nil; {
	case known != (runtime.GOOS == "linux"):
		t.Errorf("on %s the account of the process is %+v", runtime.GOOS, p)
	case known && (*p.CPU < 0 || *p.Resident < 1<<20 || *p.Peak < *p.Resident):
		t.Errorf("processor time is %v, memory %d, at most %d", *p.CPU, *p.Resident, *p.Peak)
	}
}

func TestReplicasInThisProcessHaveNoAccount(t *testing.T) {
	if got := up(t, inProcess(""), runnertest.System("held")).Processes(t.Context()); len(got) != 0 {
		t.Errorf("processes are %+v", got)
	}
}
