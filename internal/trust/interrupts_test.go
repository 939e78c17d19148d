//go:build linux

package trust

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Variables of the environment that say how many commands are interrupted, and by
// which seed; the seed is printed.
const (
	howMany  = "MICROSIM_INTERRUPTS"
	seedFrom = "MICROSIM_SEED"
)

// lanes is how many commands run at the same time, each in a box of its lane.
const lanes = 4

// TestInterrupts sends random commands random signals at random times. A command
// ends soon after; one that was asked to end has cleaned up; and what one that was
// killed leaves, `down` and `fault clear` remove.
func TestInterrupts(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv(howMany))
	if err != nil || count < 1 {
		t.Skipf("%s=200 asks for it; `make interrupts` does", howMany)
	}
	seed, err := strconv.ParseUint(os.Getenv(seedFrom), 10, 64)
	if err != nil {
		seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	fmt.Printf("%d commands are interrupted, by seed %d (%s=%[2]d repeats them)\n", count, seed, seedFrom)
	for lane := range lanes {
		t.Run(fmt.Sprint("lane ", lane), func(t *testing.T) {
			t.Parallel()
			l := newLane(t)
			for i := lane; i < count && !t.Failed(); i += lanes {
				l.interrupt(t, i, rand.New(rand.NewPCG(seed, uint64(i))))
			}
			l.end(t)
		})
	}
}

// A lane is a box in which the system held runs all the time.
type lane struct{ box *box }

const longExperiment = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: long
system: {name: one, services: [{name: web, replicas: 2, calls: [db]}, {name: db}]}
load: {rate: 20, duration: 2s}
faults: [{type: latency, target: {service: db}, args: {delay: 1ms}, start: 100ms, duration: 1s}]
`

const faultsOfHeld = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: faults
system: {name: held, services: [{name: web}]}
load: {rate: 1, duration: 5s}
faults: [{name: slow, type: latency, target: {service: web}, args: {delay: 1ms}, start: 100ms, duration: 5s}]
`

func newLane(t *testing.T) *lane {
	l := &lane{newBox(t)}
	writeFiles(t, l.box)
	l.box.write(t, "long.yaml", []byte(longExperiment))
	l.box.write(t, "faults.yaml", []byte(faultsOfHeld))
	l.box.write(t, "held.yaml", []byte(strings.Replace(oneSystem, "name: one", "name: held", 1)))
	l.do(t, "up -f held.yaml --on local --detach")
	l.box.before = l.box.files()
	return l
}

// do runs a command that is not interrupted.
func (l *lane) do(t *testing.T, line string) string {
	t.Helper()
	c := command{args: words(line)}
	a := c.in(t, l.box)
	if a.code != 0 {
		t.Errorf("%s: exit code %d: %s%s", line, a.code, a.stdout, a.stderr)
	}
	return a.stdout
}

// end takes down the system that was held. Before, a whole run writes what others have left
// half written, and removes that.
func (l *lane) end(t *testing.T) {
	l.do(t, "run -f long.yaml --on local --out out --report page.html --force")
	for _, name := range l.box.files() {
		if strings.Contains(name, ".partial-") {
			t.Errorf("after a whole run there is still %q", name)
		}
	}
	l.do(t, "down held --on local")
	l.box.before = slices.DeleteFunc(l.box.before, func(name string) bool { return strings.HasPrefix(name, "state/") })
	if left := l.settle(t); len(left) > 0 {
		t.Errorf("left behind after all: %q", left)
	}
}

// A blow is one signal.
type blow struct {
	after  time.Duration
	signal syscall.Signal
	group  bool
}

// An interruption is a command, and what comes over it.
type interruption struct {
	line  string
	blows []blow
}

func (i *interruption) String() string {
	text := i.line
	for _, b := range i.blows {
		text += fmt.Sprintf(", %v after %v", b.signal, b.after.Round(time.Millisecond))
		if b.group {
			text += " to the group"
		}
	}
	return text
}

// soft reports whether the command was only asked to end, and has the time for it:
// a second wish at least a second later is to leave at once.
func (i *interruption) soft() bool {
	hard := func(b blow) bool { return b.signal == syscall.SIGKILL || b.signal == syscall.SIGQUIT }
	return !slices.ContainsFunc(i.blows, hard) && (len(i.blows) < 2 || i.blows[1].after < 900*time.Millisecond)
}

func draw(r *rand.Rand) *interruption {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	isolation := " --isolation " + pick("inprocess", "process")
	i := &interruption{line: pick(
		"up -f long.yaml --name one --on local"+isolation, "up -f long.yaml --name one --on local --detach"+isolation,
		"run -f long.yaml --on local"+isolation, "run -f long.yaml --on local --out out --report page.html --force"+isolation,
		"load --system held --on local --rate 50", "load --url http://127.0.0.1:1/ --users 2 --duration 3s", "call -f request.json --on local"+isolation,
		"fault add error --target web --status 500 --system held --wait --on local", "fault add net-delay --target web --delay 1ms --for 3s --wait --system held --on local", "fault apply -f faults.yaml --system held --on local",
		"gate --listen 127.0.0.1:0 --upstream 127.0.0.1:1 --api 127.0.0.1:0", "gate --listen unix:door --upstream 127.0.0.1:1 --api unix:api",
		"top held --watch --on local", "logs --all --system held --follow --on local",
	)}
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGKILL}
	for range 1 + r.IntN(2) {
		// Times of all magnitudes, so that starts are hit as well as what follows.
		after := time.Duration(math.Pow(10, 0.5+2.9*r.Float64()) * float64(time.Millisecond))
		i.blows = append(i.blows, blow{after, signals[r.IntN(len(signals))], r.IntN(2) == 0})
	}
	return i
}

// endTime bounds how long a command runs after the last signal. The longest
// clean-up is that of `up --detach`, which waits for its system to end.
const endTime = time.Minute

// settleTime bounds how long the processes of one that was killed run on.
const settleTime = 30 * time.Second

// interrupt runs a command, and checks what becomes of it.
func (l *lane) interrupt(t *testing.T, number int, r *rand.Rand) {
	t.Helper()
	i := draw(r)
	c := command{args: words(i.line)}
	cmd := c.prepare(l.box)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	ended := l.strike(t, cmd, i)
	name := fmt.Sprintf("command %d: %s", number, i)
	defer func() {
		if t.Failed() {
			t.Logf("%s: %v\n%.3000s\n%.3000s", name, cmd.ProcessState, out.String(), talk.String())
		}
	}()
	if !ended {
		t.Errorf("%s: does not end", name)
	}
	if panicked(talk.String()) && !slices.ContainsFunc(i.blows, func(b blow) bool { return b.signal == syscall.SIGQUIT }) {
		t.Errorf("%s: panics", name)
	}
	// On a slow machine the second signal may come late enough to be another wish.
	if i.soft() && !strings.Contains(talk.String(), "interrupted again") {
		l.check(t, name, cmd.ProcessState.ExitCode() == 0 && strings.Contains(i.line, "--detach"))
	}
	l.recover(t, name, i)
}

func panicked(text string) bool {
	return regexp.MustCompile(`(?m)^(panic: |fatal error: |goroutine \d)`).MatchString(text)
}

// strike starts the command, sends the signals and waits for the end; it reports
// whether that came in time.
func (l *lane) strike(t *testing.T, cmd *exec.Cmd, i *interruption) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the state says how it ended
	}()
	for _, b := range i.blows {
		select {
		case <-done:
		case <-time.After(b.after):
			to := cmd.Process.Pid
			if b.group {
				to = -to
			}
			_ = syscall.Kill(to, b.signal) // it may have ended
		}
	}
	select {
	case <-done:
		return true
	case <-time.After(endTime):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-done
		return false
	}
}

// remains is what is left beside the system that is held. Results that a run wrote,
// also those of half a run that was killed, are not remains.
func (l *lane) remains(t *testing.T) []string {
	held := map[string]bool{}
	for _, p := range l.box.processes() {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.Pid))
		if bytes.Contains(line, []byte("/held.log")) {
			held[fmt.Sprintf("process %d:", p.Pid)] = true
		}
	}
	return slices.DeleteFunc(l.box.remains(), func(what string) bool {
		first, _, _ := strings.Cut(what, ": ")
		return held[first+":"] || strings.HasPrefix(what, "file work/out/") || what == "file work/page.html" ||
			strings.HasPrefix(what, "file work/.out.partial-") || strings.HasPrefix(what, "file work/.page.html.partial-")
	})
}

// check demands that a command which was asked to end left nothing, but for the
// system of an `up --detach` that came up.
func (l *lane) check(t *testing.T, name string, up bool) {
	t.Helper()
	if up {
		return
	}
	if left := l.settle(t); len(left) > 0 {
		t.Errorf("%s: left behind %q", name, left)
	}
	if list := l.do(t, "fault list --system held --on local -o name"); list != "" {
		t.Errorf("%s: left faults %q", name, list)
	}
}

func (l *lane) settle(t *testing.T) (left []string) {
	for end := time.Now().Add(settleTime); ; time.Sleep(50 * time.Millisecond) {
		if left = l.remains(t); len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}

// recover does what a user does after a command was killed, and demands that it
// is enough.
func (l *lane) recover(t *testing.T, name string, i *interruption) {
	t.Helper()
	var left []string
	for end := time.Now().Add(settleTime); ; time.Sleep(50 * time.Millisecond) {
		if left = l.remains(t); len(left) == 0 || time.Now().After(end) || onlySockets(left) {
			break
		}
		l.do(t, "down one --on local --ignore-not-found")
		for _, system := range strings.Fields(l.do(t, "status --on local -o name")) {
			if system != "system/held" {
				l.do(t, "down "+strings.TrimPrefix(system, "system/")+" --on local --ignore-not-found")
			}
		}
	}
	if strings.Contains(i.line, "unix:") {
		left = l.gateAgain(t, i, left)
	}
	if len(left) > 0 {
		t.Errorf("%s: `down` leaves %q", name, left)
	}
	for _, f := range strings.Fields(l.do(t, "fault list --system held --on local -o name")) {
		l.do(t, "fault clear "+strings.TrimPrefix(f, "fault/")+" --on local")
	}
	if list := l.do(t, "fault list --system held --on local -o name"); list != "" {
		t.Errorf("%s: `fault clear` leaves %q", name, list)
	}
}

// onlySockets reports whether all that is left are the sockets of a gate.
func onlySockets(left []string) bool {
	return !slices.ContainsFunc(left, func(what string) bool { return what != "file work/api" && what != "file work/door" })
}

// gateAgain starts a gate that was killed again, which takes its Unix sockets
// over, and ends it, which removes them. It returns what is left then.
func (l *lane) gateAgain(t *testing.T, i *interruption, left []string) []string {
	t.Helper()
	if len(left) == 0 || !onlySockets(left) {
		return left
	}
	c := command{args: words(i.line)}
	cmd := c.prepare(l.box)
	var talk bytes.Buffer
	cmd.Stderr = &talk
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	first, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended, with an error
	if err := cmd.Wait(); err != nil || first == "" {
		t.Errorf("%s: a second start: %v: %s", i.line, err, talk.String())
	}
	return l.settle(t)
}
