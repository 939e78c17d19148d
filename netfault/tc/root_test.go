//go:build root && linux

package tc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// kernelHere returns what the running kernel can do, by asking it. Where
// REQUIRE_NETEM is set, as in the virtual machine, a kernel without netem fails
// the test: all that it is for would be skipped.
func kernelHere(t *testing.T) Kernel {
	t.Helper()
	k, err := probe()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("kernel: %+v", k)
	if !k.Netem && os.Getenv("REQUIRE_NETEM") != "" {
		t.Fatal("this kernel has no netem, and REQUIRE_NETEM asks for one")
	}
	return k
}

func options(k Kernel) netfaulttest.Options {
	return netfaulttest.Options{
		New: func(_ *testing.T, n *netfaulttest.Node) netfault.Backend { return NewWithKernel(n.NS, k) },
		Supports: func(l netfault.Link) bool {
			_, err := k.build("eth0", 1500, l)
			return err == nil
		},
	}
}

func TestEffects(t *testing.T) { netfaulttest.Run(t, options(kernelHere(t))) }

func TestConnections(t *testing.T) { netfaulttest.RunConnections(t, options(kernelHere(t))) }

// Each pair of a classful discipline and a classifier must sort alike.
func TestEffectsWithEveryClassifier(t *testing.T) {
	here := kernelHere(t)
	for _, prio := range []bool{true, false} {
		for _, bpf := range []bool{true, false} {
			k := here
			if prio {
				k.HTB = false
			} else {
				k.Prio = false
			}
			if bpf {
				k.U32 = false
			} else {
				k.BPF = false
			}
			if !k.Prio && !k.HTB || !k.BPF && !k.U32 {
				continue // the kernel has no such pair
			}
			t.Run(fmt.Sprintf("prio=%v bpf=%v", prio, bpf), func(t *testing.T) {
				for _, cases := range []string{"partition of ports", "partition of an IPv6", "partition with exemptions"} {
					netfaulttest.RunMatching(t, options(k), cases)
				}
			})
		}
	}
}

func rule(id string, d netfault.Direction, i netfault.Impairment) netfault.Rule {
	return netfault.Rule{ID: id, Interface: netfaulttest.Interface, Direction: d, Impairment: i}
}

// simple is an impairment that every kernel can do, and how to change it.
func simple(rate uint64) netfault.Impairment {
	return netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: rate}}
}

func snapshot(t *testing.T, n *netfaulttest.Node) string {
	t.Helper()
	out, err := netfaulttest.Dump(n)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// After any sequence of applying, changing, crashing half-way and clearing, by any
// process, a cleared namespace is as it was at first.
func TestAnySequenceLeavesTheNamespaceAsItWas(t *testing.T) {
	k := kernelHere(t)
	lab := netfaulttest.NewLab(t)
	link, err := lab.Near.Handle.LinkByName(netfaulttest.Interface)
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Near.Handle.LinkSetAlias(link, "the uplink, was=before"); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, lab.Near)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for sequence := range 40 {
		var done []string
		for range 1 + r.IntN(6) {
			step := randomStep(r)
			done = append(done, step.String())
			// A backend of its own stands for another process: all it knows is in the kernel.
			if err := step.run(t, NewWithKernel(lab.Near.NS, k)); err != nil {
				t.Fatalf("sequence %d: %s: %v", sequence, strings.Join(done, "; "), err)
			}
		}
		if err := New(lab.Near.NS).Clear(t.Context(), ""); err != nil {
			t.Fatalf("sequence %d: %s: clearing: %v", sequence, strings.Join(done, "; "), err)
		}
		if after := snapshot(t, lab.Near); after != before {
			t.Fatalf("sequence %d: %s; before:\n%s\nafter:\n%s", sequence, strings.Join(done, "; "), before, after)
		}
		if held, err := New(lab.Near.NS).List(t.Context()); err != nil || len(held) != 0 {
			t.Fatalf("sequence %d: after clearing there is %+v, %v", sequence, held, err)
		}
	}
}

// step is one thing that a process does to the namespace.
type step struct {
	clear bool
	crash int // after so many operations; below 0: not at all
	rules []netfault.Rule
}

func (s step) String() string {
	if s.clear {
		return "clear"
	}
	return fmt.Sprintf("apply %d rules, crash %d", len(s.rules), s.crash)
}

func randomStep(r *rand.Rand) step {
	if r.IntN(4) == 0 {
		return step{clear: true}
	}
	s := step{crash: r.IntN(24) - 12}
	for n := range r.IntN(4) {
		direction := []netfault.Direction{netfault.Egress, netfault.Ingress, netfault.Both}[r.IntN(3)]
		i := simple(uint64(1000 + r.IntN(1e6)))
		if r.IntN(3) == 0 {
			i = netfault.Impairment{Partition: true}
		}
		next := rule(fmt.Sprint("r", n), direction, i)
		if r.IntN(2) == 0 {
			next.Peers = []netfault.Peer{{Protocol: netfault.TCP, Ports: []netfault.PortRange{{First: uint16(1 + r.IntN(9)), Last: 99}}}}
		}
		s.rules = append(s.rules, next)
	}
	return s
}

func (s step) run(t *testing.T, b *Backend) error {
	state := netfault.State{Owner: "sequence", Rules: s.rules}
	switch {
	case s.clear:
		return b.Clear(t.Context(), "sequence")
	case s.crash < 0:
		_, err := b.Apply(t.Context(), state)
		return supported(err)
	}
	ops, err := b.Plan(state)
	if err != nil {
		return supported(err)
	}
	c, err := dial(b.ns)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.all(t.Context(), ops[:min(s.crash, len(ops))])
}

// supported takes a refusal of what this kernel lacks for a step that changes
// nothing.
func supported(err error) error {
	if errors.Is(err, netfault.ErrUnsupported) {
		return nil
	}
	return err
}

// A process may die between making the ifb device and marking it.
func TestAHalfMadeDeviceIsOurs(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := snapshot(t, lab.Near)
	state := netfault.State{Owner: "o", Rules: []netfault.Rule{rule("a", netfault.Ingress, simple(5000))}}
	halfMade := func() {
		c, err := dial(lab.Near.NS)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		link, err := c.links.LinkByName(netfaulttest.Interface)
		if err != nil {
			t.Fatal(err)
		}
		intent := mark{owner: "o", ingress: true}
		err = errors.Join(c.do(Op{Set, Alias{netfaulttest.Interface, intent.String()}}), c.addIFB(ifbName(link.Attrs().Index)))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, again := range []bool{false, true} {
		halfMade()
		b := New(lab.Near.NS)
		if again {
			if _, err := b.Apply(t.Context(), state); err != nil {
				t.Error(err)
			}
		}
		if err := b.Clear(t.Context(), "o"); err != nil {
			t.Error(err)
		}
		if after := snapshot(t, lab.Near); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	}
}

func TestApplyingAgainChangesNothing(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	b := New(lab.Near.NS)
	state := netfault.State{Owner: "o", Rules: []netfault.Rule{rule("a", netfault.Both, simple(5000)), rule("b", netfault.Egress, netfault.Impairment{Partition: true})}}
	state.Rules[1].Peers = []netfault.Peer{{Protocol: netfault.TCP, Ports: []netfault.PortRange{{First: 80, Last: 90}}}}
	if _, err := b.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if ops, err := b.Plan(state); err != nil || len(ops) != 0 {
		t.Errorf("applying the same again would do %v, %v", ops, err)
	}
	state.Rules[0].Impairment = simple(6000)
	ops, err := b.Plan(state)
	if err != nil || len(ops) != 2 || ops[0].Verb != Change || ops[1].Verb != Change {
		t.Errorf("another rate would do %v, %v; want two changes", ops, err)
	}
	held, err := New(lab.Near.NS).List(t.Context())
	if err != nil || len(held) != 1 || held[0].Owner != "o" || len(held[0].Links) != 2 || held[0].Links[1].Classes[0].Impairment.Rate.BytesPerSecond != 5000 {
		t.Errorf("another process lists %+v, %v", held, err)
	}
}

// For any MTU, a token bucket lets the longest packet through.
func TestARatePassesTheLongestPackets(t *testing.T) {
	k := kernelHere(t)
	k.Netem = false // which has no bucket
	for _, mtu := range []int{1280, 1500, 9000, 65000} {
		for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
			t.Run(fmt.Sprint(mtu, " ", direction), func(t *testing.T) {
				lab := netfaulttest.NewLab(t)
				lab.SetMTU(t, mtu)
				state := netfault.State{Owner: "mtu", Rules: []netfault.Rule{rule("r", direction, simple(1_000_000))}}
				if _, err := NewWithKernel(lab.Near.NS, k).Apply(t.Context(), state); err != nil {
					t.Fatal(err)
				}
				// At 80 % of the rate, so that the queue does not fill.
				every := time.Duration(mtu) * 1250 * time.Nanosecond
				m, err := lab.Run(netfaulttest.Flow{Direction: direction, Count: 10, Size: mtu - 28, Interval: every, Wait: 5 * time.Second, Brief: true})
				if err != nil || m.Lost() != 0 {
					t.Errorf("%d of %d packets as long as the MTU were lost (%v)", m.Lost(), m.Sent, err)
				}
			})
		}
	}
}

// Rates that need more time for a packet than 32 bits of ticks hold, and those
// with an overhead, read back as what was asked.
func TestSlowRatesAndOverheadsReadBack(t *testing.T) {
	k := kernelHere(t)
	k.Netem = false
	lab := netfaulttest.NewLab(t)
	b := NewWithKernel(lab.Near.NS, k)
	for _, rate := range []netfault.Rate{{BytesPerSecond: 1}, {BytesPerSecond: 3}, {BytesPerSecond: 5}, {BytesPerSecond: 6, PacketOverhead: 1000},
		{BytesPerSecond: 100_000, PacketOverhead: 24}, {BytesPerSecond: 1 << 33, PacketOverhead: 65535}} {
		state := netfault.State{Owner: "slow", Rules: []netfault.Rule{rule("r", netfault.Egress, netfault.Impairment{Rate: rate})}}
		e, err := b.Apply(t.Context(), state)
		if err != nil {
			t.Errorf("%+v: %v", rate, err)
		} else if got := e.Links[0].Classes[0].Impairment.Rate; got != rate {
			t.Errorf("%+v reads back as %+v", rate, got)
		}
	}
}

// An update that fails half-way leaves what acted.
func TestARefusedUpdateLeavesWhatActed(t *testing.T) {
	k := kernelHere(t)
	lab := netfaulttest.NewLab(t)
	b := NewWithKernel(lab.Near.NS, k)
	state := func(rules ...netfault.Rule) netfault.State { return netfault.State{Owner: "o", Rules: rules} }
	if _, err := b.Apply(t.Context(), state(rule("r", netfault.Egress, simple(1_000_000)))); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, lab.Near)
	// The kernel has no netem for what this one believes that it has, or else no
	// discipline takes the place of a link that goes away.
	believes := k
	believes.Netem = true
	b.kernel = &believes
	update := state(rule("r", netfault.Ingress, simple(2_000_000)), rule("d", netfault.Egress, netfault.Impairment{Loss: netfault.Loss{Probability: .5}, Seed: 77}))
	if _, err := b.Apply(t.Context(), update); err == nil {
		t.Skip("this kernel takes a seed, and so the whole update")
	} else if k.Netem && !strings.Contains(err.Error(), "seed 0 instead of 77") {
		t.Errorf("the error %v does not name the field that differs", err)
	}
	b.kernel = &k
	if after := snapshot(t, lab.Near); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	c, err := dial(lab.Near.NS)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	foreign := Qdisc{netfaulttest.Interface, atRoot, 0x10000, newTBF(simple(1<<30), 1500)}
	if err := c.do(Op{Add, foreign}); err != nil {
		t.Fatal(err)
	}
	before := snapshot(t, lab.Near)
	b := New(lab.Near.NS)
	_, err = b.Apply(t.Context(), netfault.State{Owner: "o", Rules: []netfault.Rule{rule("a", netfault.Egress, simple(5000))}})
	var inTheWay *ForeignError
	if !errors.As(err, &inTheWay) || inTheWay.Kind != "tbf" {
		t.Errorf("a foreign tbf gives %v, want a ForeignError that names it", err)
	}
	if err := b.Clear(t.Context(), ""); err != nil {
		t.Error(err)
	}
	if after := snapshot(t, lab.Near); after != before {
		t.Errorf("refusing and clearing changed what others set up; before:\n%s\nafter:\n%s", before, after)
	}
	// Arriving packets are independent, and may be impaired.
	if _, err := b.Apply(t.Context(), netfault.State{Owner: "o", Rules: []netfault.Rule{rule("a", netfault.Ingress, simple(5000))}}); err != nil {
		t.Errorf("beside a foreign root: %v", err)
	}
	_, err = b.Apply(t.Context(), netfault.State{Owner: "other", Rules: []netfault.Rule{rule("a", netfault.Ingress, simple(5000))}})
	var owned *netfault.OwnedError
	if !errors.As(err, &owned) || owned.Owner != "o" {
		t.Errorf("what another owner holds gives %v, want an OwnedError", err)
	}
	if err := b.Clear(t.Context(), "other"); err != nil {
		t.Error(err)
	}
	if held, err := b.List(t.Context()); err != nil || len(held) != 1 {
		t.Errorf("clearing another owner's faults left %+v, %v", held, err)
	}
	if err := b.Clear(t.Context(), "o"); err != nil {
		t.Error(err)
	}
	if after := snapshot(t, lab.Near); after != before {
		t.Errorf("clearing changed what others set up; before:\n%s\nafter:\n%s", before, after)
	}
}

// The tc program reads every parameter as it was meant.
func TestTheTCProgramAgrees(t *testing.T) {
	if k := kernelHere(t); !k.Netem {
		t.Skip("this kernel has no netem; `make test-vm` runs the test on one that has")
	}
	program, err := exec.LookPath("tc")
	if err != nil {
		t.Fatalf("the tc program is the judge here; `apt-get install iproute2` brings it: %v", err)
	}
	lab := netfaulttest.NewLab(t)
	b := New(lab.Near.NS)
	for _, p := range everyParameter() {
		t.Run(p.name, func(t *testing.T) {
			// First something else, so that the change must reset what it does not name.
			other := netfault.Impairment{Delay: 7 * time.Millisecond, Jitter: time.Millisecond, Distribution: netfault.Normal, DelayCorrelation: .9,
				Loss: netfault.Loss{Probability: .9, Correlation: .9}, ECN: true, Duplicate: netfault.Chance{Probability: .9}, Corrupt: netfault.Chance{Probability: .9},
				Reorder: netfault.Reorder{Probability: .9, Gap: 9}, Rate: netfault.Rate{BytesPerSecond: 9999, PacketOverhead: 9}, Slot: netfault.Slot{MinDelay: 1, MaxDelay: 2, Packets: 9}}
			for _, first := range []bool{false, true} {
				if first {
					if _, err := b.Apply(t.Context(), netfault.State{Owner: "o", Rules: []netfault.Rule{rule("r", netfault.Egress, other)}}); err != nil {
						t.Fatal(err)
					}
				}
				effective, err := b.Apply(t.Context(), netfault.State{Owner: "o", Rules: []netfault.Rule{rule("r", netfault.Egress, p.impairment)}})
				if err != nil {
					t.Fatal(err)
				}
				if got, want := newNetem(effective.Links[0].Classes[0].Impairment), newNetem(p.impairment); got.canonical(want) != want {
					t.Errorf("effective %+v, want %+v", got, want)
				}
				agrees(t, lab.Near, program, p.want)
				if err := b.Clear(t.Context(), "o"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Kernels before 6.6 or so ignore the seed of netem. The backend must not report
// such a seed as applied.
func TestASeedIsEffectiveOrRefused(t *testing.T) {
	if k := kernelHere(t); !k.Netem {
		t.Skip("this kernel has no netem; `make test-vm` runs the test on one that has")
	}
	lab := netfaulttest.NewLab(t)
	before := snapshot(t, lab.Near)
	b := New(lab.Near.NS)
	effective, err := b.Apply(t.Context(), netfault.State{Owner: "o", Rules: []netfault.Rule{
		rule("r", netfault.Egress, netfault.Impairment{Loss: netfault.Loss{Probability: .5}, Seed: 77}),
	}})
	switch {
	case errors.Is(err, netfault.ErrUnsupported):
		if after := snapshot(t, lab.Near); after != before {
			t.Errorf("what was refused is there; before:\n%s\nafter:\n%s", before, after)
		}
	case err != nil:
		t.Errorf("a seed gives %v, want ErrUnsupported or none", err)
	case effective.Links[0].Classes[0].Impairment.Seed != 77:
		t.Errorf("the effective seed is %d", effective.Links[0].Classes[0].Impairment.Seed)
	}
}

// agrees compares what the tc program prints with the fields that are wanted.
// Fields that are not wanted must not be printed, except those it always prints.
func agrees(t *testing.T, n *netfaulttest.Node, program, want string) {
	t.Helper()
	var out []byte
	err := n.Do(func() (err error) {
		out, err = exec.Command(program, "-s", "-j", "qdisc", "show", "dev", netfaulttest.Interface).Output()
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	var qdiscs []struct {
		Kind    string
		Options map[string]any
	}
	if err := json.Unmarshal(out, &qdiscs); err != nil {
		t.Fatalf("%s printed %s: %v", program, out, err)
	}
	var wanted map[string]any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	got := qdiscs[0].Options
	always := map[string]bool{"limit": true, "ecn": true, "gap": true, "delay": true}
	for field, value := range wanted {
		if !close(got[field], value) {
			t.Errorf("%s is %v, want %v; tc printed %s", field, got[field], value, out)
		}
	}
	for field, value := range got {
		if _, ok := wanted[field]; !ok && !always[field] {
			t.Errorf("%s is %v, want none; tc printed %s", field, value, out)
		}
	}
}

// close compares JSON values; numbers may differ in the seventh digit, since
// probabilities and times are integers in the kernel.
func close(a, b any) bool {
	x, xok := a.(float64)
	y, yok := b.(float64)
	if xok && yok {
		d := x - y
		return d*d <= (y*1e-7)*(y*1e-7)+1e-20
	}
	p, pok := a.(map[string]any)
	q, qok := b.(map[string]any)
	if !pok || !qok {
		return reflect.DeepEqual(a, b)
	}
	for key := range q {
		if !close(p[key], q[key]) {
			return false
		}
	}
	return len(p) >= len(q)
}

func TestMain(m *testing.M) {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "these tests make network namespaces and need root: run `make test-root`")
		os.Exit(1)
	}
	os.Exit(m.Run())
}
