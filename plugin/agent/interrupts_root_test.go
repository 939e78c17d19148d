//go:build root && linux

package agent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// interruptions is how often each role of the agent is interrupted, and by which
// seed. MICROSIM_INTERRUPTS=200 asks for 20.
func interruptions(t *testing.T) (count int, seed uint64) {
	t.Helper()
	count, _ = strconv.Atoi(os.Getenv("MICROSIM_INTERRUPTS"))
	seed, err := strconv.ParseUint(os.Getenv("MICROSIM_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	t.Logf("MICROSIM_SEED=%d repeats it", seed)
	return cmp.Or(count/10, 8), seed
}

// strike sends a process a random signal after a random time, waits for its end, and
// reports whether it was only asked to end.
func strike(t *testing.T, r *rand.Rand, cmd *exec.Cmd, within time.Duration) (soft bool, name string) {
	t.Helper()
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGKILL, syscall.SIGQUIT}
	signal, after := signals[r.IntN(len(signals))], time.Duration(r.Int64N(int64(within)))
	time.Sleep(after) // any moment will do, and all must be right
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the exit code of a signal
	}()
	name = signal.String() + " after " + after.Round(time.Millisecond).String()
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		_ = cmd.Process.Kill()
		<-ended
		t.Fatalf("%s did not end it within 20 s", name)
	}
	return signal != syscall.SIGKILL && signal != syscall.SIGQUIT, name
}

// `net apply` that is asked to end at any time takes back what it did; what one that
// is killed leaves, `net clear` removes.
func TestNetApplyIsInterruptedAtAnyTime(t *testing.T) {
	count, seed := interruptions(t)
	lab := netfaulttest.NewLab(t)
	before := dumped(t, lab)
	for i := range count {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		faults := [][]string{
			{"--fault", "net-delay", "--delay", "1ms"}, {"--fault", "net-partition", "--direction", "both"},
			{"--fault", "net-rate", "--rate", "1mbit", "--backend", "tc"}, {"--fault", "net-loss", "--percent", "10", "--backend", "emulate"},
		}
		args := append(faults[r.IntN(len(faults))], "--owner", "struck", "--for", "1h")
		p := start(t, lab, "apply", args...)
		soft, name := strike(t, r, p.Cmd, 200*time.Millisecond)
		// A signal before the agent listens to signals kills it.
		if soft && strings.Contains(p.stderr.String(), "left") {
			t.Errorf("%q, %s: it said %s", args, name, p.stderr.String())
		}
		if soft && dumped(t, lab) != before {
			t.Errorf("%q, %s: left behind\n%s", args, name, dumped(t, lab))
		}
		clear := start(t, lab, "clear", "--owner", "struck")
		clear.end(t)
		if after := dumped(t, lab); after != before {
			t.Fatalf("%q, %s, and net clear: before\n%s\nafter\n%s", args, name, before, after)
		}
	}
}

// A helper that is interrupted at any time, while an order is on its way or acts,
// ends; and what it leaves, the next one removes, as nothing is wanted any more.
func TestNodeIsInterruptedAtAnyTime(t *testing.T) {
	count, seed := interruptions(t)
	p := newTestPod(t, 1)
	app := p.app(t)
	before := dumped(t, p.lab)
	clean := func() bool { return dumped(t, p.lab) == before && processState(t, app) == 'S' }
	for i := range count {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		h := startHelper(t)
		o := orderOf("test/shop", int64(i)+1, p.uid, faultOf("r", fault.NetRate, fault.Args{Rate: 1000000}, time.Hour), faultOf("p", fault.Pause, fault.Args{}, time.Hour),
			faultOf("d", fault.NetDelay, delayed(time.Millisecond), time.Hour))
		given := make(chan struct{})
		go func() {
			defer close(given)
			giveOrder(h.url, o.Owner, o) // the helper may end before it answers
		}()
		_, name := strike(t, r, h.cmd, 300*time.Millisecond)
		<-given
		next := startHelper(t)
		eventually(t, "after "+name+" the next helper removes what is left", clean)
		next.end(t)
		if !clean() {
			t.Fatalf("%s: the helper that found all clean left something", name)
		}
	}
}

func giveOrder(base, owner string, order any) {
	content, err := json.Marshal(order)
	if err != nil {
		return
	}
	req, err := http.NewRequest(http.MethodPut, base+"/orders/"+url.PathEscape(owner), bytes.NewReader(content))
	if err != nil {
		return
	}
	req.Header.Set(control.TokenHeader, testToken)
	client := http.Client{Timeout: 20 * time.Second}
	if resp, err := client.Do(req); err == nil {
		_ = resp.Body.Close() // its content is not looked at
	}
}
