//go:build root && linux

package agent

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// netProcess is an agent that runs beside the test.
type netProcess struct {
	*exec.Cmd
	events *json.Decoder
	stdin  io.WriteCloser
	stderr bytes.Buffer
}

func start(t *testing.T, lab *netfaulttest.Lab, verb string, args ...string) *netProcess {
	t.Helper()
	p := &netProcess{Cmd: exec.Command(os.Args[0], append([]string{"net", verb, "--netns", lab.Near.Path()}, args...)...)}
	p.Env = append(os.Environ(), beAgent+"=1")
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.Stderr = &p.stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() }) // it may have ended long ago
	p.events = json.NewDecoder(bufio.NewReader(out))
	return p
}

// expect reads events up to one of a name.
func (p *netProcess) expect(t *testing.T, event string) Event {
	t.Helper()
	for {
		var e Event
		if err := p.events.Decode(&e); err != nil {
			_ = p.Wait()
			t.Fatalf("waiting for event %q: %v; it said: %s", event, err, p.stderr.String())
		}
		if e.Event == event {
			return e
		}
	}
}

func (p *netProcess) end(t *testing.T) {
	t.Helper()
	if err := p.Wait(); err != nil {
		t.Errorf("%v: %s", err, p.stderr.String())
	}
}

func dumped(t *testing.T, lab *netfaulttest.Lab) string {
	t.Helper()
	out, err := netfaulttest.Dump(lab.Near)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestNetApplyTakesBack(t *testing.T) {
	for _, tt := range []struct {
		Name, Why string
		args      []string
		signal    os.Signal
	}{
		{"at the deadline", "deadline", []string{"--for", "300ms"}, nil},
		{"on INT", "signal", nil, syscall.SIGINT},
		{"on TERM", "signal", []string{"--for", "1h"}, syscall.SIGTERM},
		{"on HUP", "signal", nil, syscall.SIGHUP},
	} {
		t.Run(tt.Name, func(t *testing.T) {
			lab := netfaulttest.NewLab(t)
			before := dumped(t, lab)
			p := start(t, lab, "apply", append(tt.args, "--fault", "net-partition", "--direction", "both")...)
			applied := p.expect(t, "applied")
			if len(applied.Effective.Links) != 2 || !applied.Effective.Links[0].Classes[0].Impairment.Partition {
				t.Errorf("effective: %+v", applied.Effective)
			}
			if tt.signal != nil {
				if err := p.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
			}
			if e := p.expect(t, "cleared"); e.Why != tt.Why {
				t.Errorf("cleared because of %q, want %q", e.Why, tt.Why)
			}
			p.end(t)
			if after := dumped(t, lab); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

func TestNetClearAfterKill(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	p := start(t, lab, "apply", "--fault", "net-rate", "--rate", "1mbit", "--direction", "both", "--peer", "tcp:*;ports=80", "--owner", "killed", "--backend", "tc")
	p.expect(t, "applied")
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // it was killed
	if dumped(t, lab) == before {
		t.Fatal("nothing of the killed process is left, so there is nothing to test")
	}
	list := start(t, lab, "list")
	if e := list.expect(t, "listed"); e.Owner != "killed" || len(e.Effective.Links) != 2 {
		t.Errorf("listed %+v", e)
	}
	list.end(t)
	clear := start(t, lab, "clear", "--owner", "killed")
	clear.expect(t, "cleared")
	clear.end(t)
	if after := dumped(t, lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNetApplyClearsWhatExpired(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	p := start(t, lab, "apply", "--fault", "net-partition", "--owner", "first", "--for", "1s", "--backend", "tc")
	deadline := p.expect(t, "applied").Effective.Deadline
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // it was killed
	early := start(t, lab, "apply", "--fault", "net-partition", "--owner", "second", "--backend", "tc")
	if err := early.Wait(); err == nil || !strings.Contains(early.stderr.String(), `owner "first"`) {
		t.Errorf("another owner's faults are no obstacle: %v, %s", err, early.stderr.String())
	}
	time.Sleep(time.Until(deadline)) // the deadline is what is tested
	second := start(t, lab, "apply", "--fault", "net-partition", "--owner", "second", "--for", "10ms", "--backend", "tc")
	if e := second.expect(t, "cleared"); e.Owner != "first" || e.Why != "expired" {
		t.Errorf("%+v", e)
	}
	second.expect(t, "applied")
	second.end(t)
	if after := dumped(t, lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNetWatch(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	p := start(t, lab, "watch", "--backend", "tc")
	for _, rate := range []int{1000, 2000} {
		state := fmt.Sprintf(`{"owner":"w","rules":[{"id":"r","interface":"eth0","direction":"egress","impairment":{"rate":{"bytesPerSecond":%d}}}]}`, rate)
		if _, err := io.WriteString(p.stdin, state+"\n"); err != nil {
			t.Fatal(err)
		}
		if e := p.expect(t, "applied"); e.Effective.Links[0].Classes[0].Impairment.Rate.BytesPerSecond != uint64(rate) {
			t.Errorf("effective: %+v", e.Effective)
		}
	}
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if e := p.expect(t, "cleared"); e.Why != "end of input" {
		t.Errorf("cleared because of %q", e.Why)
	}
	p.end(t)
	if after := dumped(t, lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNetApplyRefusesTheHost(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), []string{"net", "apply", "--netns", "/proc/thread-self/ns/net", "--fault", "net-partition"}, Streams{Out: &out, Err: &out})
	if err == nil || !strings.Contains(err.Error(), "host's own") {
		t.Errorf("error %v", err)
	}
}
