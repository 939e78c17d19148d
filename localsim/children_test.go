//go:build unix

package localsim_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// alone is a system of one service.
func alone() *topology.System {
	return &topology.System{Name: "alone", Services: []topology.Service{topology.NewService("leaf")}}
}

// A program that does not do what a child must is named with what is wrong, and
// nothing of it is left.
func TestAChildThatCannotServeIsExplained(t *testing.T) {
	for role, want := range map[string][]string{
		"mute":    {"did not tell its address within 3s", "still loading"},
		"babbler": {"was not ready within 3s", "malformed HTTP"},
		"liar":    {`address "over there"`, `{"addr":"host:port"}`},
		"stray":   {"listens on 127.0.0.1:", "MICROSIM_ADDR"},
		"broken":  {"ended before it listened", "no luck today"},
	} {
		t.Run(role, func(t *testing.T) {
			expectNoLeaks(t)
			config := processes(role, t.TempDir())
			config.ReadyTimeout = 3 * time.Second // a busy machine takes most of one to start a process
			if role == "stray" {
				config.PortBase = freePorts(t, 3)
			}
			_, err := newDeployer(t, config).Up(t.Context(), alone(), 1)
			if err == nil {
				t.Fatal("it came up")
			}
			for _, text := range append(want, "leaf/1") {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("Up says %v, which lacks %q", err, text)
				}
			}
			if left := must(must(registry.Open(config.StateDir)).List()); len(left) > 0 {
				t.Errorf("left is %+v", left)
			}
		})
	}
}

// A child that crashes again and again is started again each time, later and later,
// is never said to be ready while it is not, and can be taken down meanwhile.
func TestAChildThatCrashesAgainAndAgain(t *testing.T) {
	expectNoLeaks(t)
	config := processes("agent", t.TempDir())
	first := true
	config.Command = func(s localsim.Spec) (*exec.Cmd, error) {
		role := "fleeting"
		if first {
			role, first = "agent", false
		}
		return command(role, s)
	}
	d := up(t, config, alone())
	replicas := must(d.Replicas(t.Context()))
	process := must(os.FindProcess(replicas[0].PID))
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	var last runner.Replica
	for end := time.Now().Add(patience); last.Restarts < 3; time.Sleep(5 * time.Millisecond) {
		if last = must(d.Replicas(t.Context()))[0]; time.Now().After(end) {
			t.Fatalf("the replica is %+v", last)
		}
		if last.State == runner.Ready && last.PID == 0 {
			t.Fatalf("without a process the replica is %+v", last)
		}
	}
	if last.URL != replicas[0].URL {
		t.Errorf("it moved from %s to %s", replicas[0].URL, last.URL)
	}
	if outages := d.Outages(); len(outages) == 0 || !strings.Contains(outages[0].Cause, "killed") {
		t.Errorf("outages are %+v", outages)
	}
	began := time.Now()
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience/2 {
		t.Errorf("taking it down took %v", took)
	}
}
