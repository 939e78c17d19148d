//go:build root && linux

package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

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
	// Events that do not come end the process, so that the test fails.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	p := &netProcess{Cmd: exec.CommandContext(ctx, os.Args[0], append([]string{"net", verb, "--netns", lab.Near.Path()}, args...)...)}
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
		t.Errorf("another owner's faults are not an obstacle: %v, %s", err, early.stderr.String())
	}
	time.Sleep(time.Until(deadline)) // the deadline is what is tested
	second := start(t, lab, "apply", "--fault", "net-partition", "--owner", "second", "--for", "1s", "--backend", "tc")
	if e := second.expect(t, "cleared"); e.Owner != "first" || e.Why != "expired" {
		t.Errorf("%+v", e)
	}
	second.expect(t, "applied")
	second.end(t)
	if after := dumped(t, lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// The emulation ends with its process: what a killed one left is listed as
// orphaned, and is not an obstacle for another owner.
func TestNetApplyReplacesADeadEmulation(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	p := start(t, lab, "apply", "--delay", "10ms", "--owner", "first", "--backend", "emulate")
	p.expect(t, "applied")
	list := start(t, lab, "list")
	if e := list.expect(t, "listed"); e.Effective.Orphaned {
		t.Errorf("orphaned while its process runs: %+v", e.Effective)
	}
	list.end(t)
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait() // it was killed
	list = start(t, lab, "list")
	if e := list.expect(t, "listed"); e.Owner != "first" || !e.Effective.Orphaned {
		t.Errorf("not orphaned after its process was killed: %+v", e.Effective)
	}
	list.end(t)
	second := start(t, lab, "apply", "--rate", "1mbit", "--owner", "second", "--for", "1s")
	if e := second.expect(t, "cleared"); e.Owner != "first" || e.Why != "orphaned" {
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

// Two processes of one owner: the second replaces the first, which says so when
// it notices, and takes back nothing.
func TestNetApplyTwice(t *testing.T) {
	for _, backends := range [][2]string{{"tc", "tc"}, {"emulate", "emulate"}, {"emulate", "auto"}, {"tc", "emulate"}, {"emulate", "tc"}} {
		t.Run(backends[0]+" "+backends[1], func(t *testing.T) {
			lab := netfaulttest.NewLab(t)
			before := dumped(t, lab)
			first := start(t, lab, "apply", "--rate", "1mbit", "--backend", backends[0])
			first.expect(t, "applied")
			second := start(t, lab, "apply", "--rate", "2mbit", "--backend", backends[1])
			acts := second.expect(t, "applied")
			if e := first.expect(t, "lost"); !strings.Contains(e.Why, "another process") {
				t.Errorf("lost because of %q", e.Why)
			}
			if err := first.Wait(); err == nil {
				t.Error("the first ended as if its faults had acted to the end")
			}
			list := start(t, lab, "list")
			if e := list.expect(t, "listed"); e.Effective.Backend != acts.Backend || e.Effective.Links[0].Classes[0].Impairment.Rate.BytesPerSecond != 250_000 {
				t.Errorf("listed %+v", e.Effective)
			}
			list.end(t)
			if err := second.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			second.expect(t, "cleared")
			second.end(t)
			if after := dumped(t, lab); after != before {
				t.Errorf("before:\n%s\nafter:\n%s", before, after)
			}
		})
	}
}

// A second owner of an interface is refused, whichever backends the two use.
func TestNetConflictsAreSymmetric(t *testing.T) {
	for _, backends := range [][2]string{{"tc", "emulate"}, {"emulate", "tc"}, {"emulate", "auto"}} {
		lab := netfaulttest.NewLab(t)
		first := start(t, lab, "apply", "--rate", "1mbit", "--owner", "first", "--backend", backends[0])
		first.expect(t, "applied")
		second := start(t, lab, "apply", "--rate", "2mbit", "--owner", "second", "--backend", backends[1])
		if err := second.Wait(); err == nil || !strings.Contains(second.stderr.String(), `owner "first"`) {
			t.Errorf("%v: %v, %s", backends, err, second.stderr.String())
		}
	}
}

func TestNetApplyNoticesThatItsFaultsAreGone(t *testing.T) {
	for _, backend := range []string{"tc", "emulate"} {
		lab := netfaulttest.NewLab(t)
		p := start(t, lab, "apply", "--rate", "1mbit", "--backend", backend)
		p.expect(t, "applied")
		clear := start(t, lab, "clear")
		clear.expect(t, "cleared")
		clear.end(t)
		p.expect(t, "lost")
		if err := p.Wait(); err == nil {
			t.Errorf("%s: ended as if the faults had acted", backend)
		}
		again := start(t, lab, "clear", "--owner", "nobody")
		again.expect(t, "nothing")
		again.end(t)
	}
}

// Another program removes a part of what acts: the rest is taken back.
func TestNetApplyTakesBackWhatIsLeft(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	p := start(t, lab, "apply", "--rate", "1mbit", "--direction", "both", "--backend", "tc")
	p.expect(t, "applied")
	link, err := lab.Near.Handle.LinkByName(netfaulttest.Interface)
	if err != nil {
		t.Fatal(err)
	}
	root := netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Parent: netlink.HANDLE_ROOT}
	if err := lab.Near.Handle.QdiscDel(&netlink.GenericQdisc{QdiscAttrs: root}); err != nil {
		t.Fatal(err)
	}
	if e := p.expect(t, "lost"); !strings.Contains(e.Why, "egress") {
		t.Errorf("lost because of %q", e.Why)
	}
	if err := p.Wait(); err == nil {
		t.Error("it ended as if all faults had acted to the end")
	}
	if after := dumped(t, lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

// A root discipline of another program is not an obstacle where the emulation can do
// without.
func TestNetApplyBesideAForeignDiscipline(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	link, err := lab.Near.Handle.LinkByName(netfaulttest.Interface)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Near.Handle.QdiscAdd(&netlink.PfifoFast{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: link.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT}}); err != nil {
		t.Fatal(err)
	}
	p := start(t, lab, "apply", "--rate", "1mbit", "--for", "100ms")
	if e := p.expect(t, "applied"); e.Backend != "emulate" {
		t.Errorf("applied by %q", e.Backend)
	}
	p.end(t)
}

// A named pipe is not a namespace, and opening it must not wait for a writer.
func TestNetRefusesANamedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), []string{"net", "list", "--netns", pipe}, Streams{Out: io.Discard, Err: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "not a network namespace") {
		t.Errorf("error %v", err)
	}
}

// Opening a named pipe as a file waits for a writer; the second signal ends it.
func TestASecondSignalEndsTheAgent(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, lab, "apply", "-f", pipe)
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	for tries := 0; ; tries++ {
		_ = p.Process.Signal(syscall.SIGTERM) // the process may have ended
		select {
		case err := <-ended:
			if !strings.Contains(p.stderr.String(), "interrupted again") && tries > 0 {
				t.Errorf("it ended with %v: %s", err, p.stderr.String())
			}
			return
		case <-time.After(300 * time.Millisecond):
		}
		if tries == 30 {
			t.Fatal("30 signals did not end it")
		}
	}
}

func TestNetApplyRefusesTheHost(t *testing.T) {
	var out bytes.Buffer
	err := Run(t.Context(), []string{"net", "apply", "--netns", "/proc/thread-self/ns/net", "--fault", "net-partition"}, Streams{Out: &out, Err: &out})
	if err == nil || !strings.Contains(err.Error(), "host's own") {
		t.Errorf("error %v", err)
	}
}
