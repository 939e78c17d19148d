package tc

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// drawer draws valid rules. Each of its decisions is one in a few, so that most
// impairments have several parts and none has all.
type drawer struct{ *rand.Rand }

func (d drawer) sometimes() bool { return d.IntN(3) == 0 }

// chance is a probability that the kernel's 32 bits can tell from 0 and 1.
func (d drawer) chance() float64 { return 0.001 + 0.998*d.Float64() }

func (d drawer) delay() time.Duration { return 1 + time.Duration(d.Int64N(int64(time.Second))) }

func (d drawer) shape() netfault.Distribution {
	return []netfault.Distribution{"", netfault.Uniform, netfault.Normal, netfault.Pareto, netfault.ParetoNormal}[d.IntN(5)]
}

func (d drawer) odds() (c netfault.Chance) {
	if d.sometimes() {
		c.Probability = d.chance()
		if d.sometimes() {
			c.Correlation = d.chance()
		}
	}
	return c
}

func (d drawer) impairment() netfault.Impairment {
	i := netfault.Impairment{Delay: d.delay(), Duplicate: d.odds(), Corrupt: d.odds(), Loss: d.loss(), Slot: d.slot()}
	if d.sometimes() {
		i.Jitter, i.Distribution = 1+time.Duration(d.Int64N(int64(i.Delay))), d.shape()
		if d.sometimes() {
			i.DelayCorrelation = d.chance()
		}
	}
	if c := d.odds(); c.Probability > 0 {
		i.Reorder = netfault.Reorder{Probability: c.Probability, Correlation: c.Correlation, Gap: d.Uint32N(4)}
	}
	if d.sometimes() {
		i.Rate = d.rate()
		if d.sometimes() {
			i.Rate.CellSize, i.Rate.CellOverhead = 1+d.Uint32N(1000), d.Int32N(100)
		}
	}
	i.ECN = i.Loss != netfault.Loss{} && d.sometimes()
	if d.sometimes() {
		i.Seed = 1 + d.Uint64()>>1
	}
	if d.sometimes() {
		i.Limit = 1 + d.Uint32N(netfault.MaxLimit)
	}
	return i
}

func (d drawer) loss() (l netfault.Loss) {
	switch d.IntN(6) {
	case 0:
		l.Probability = d.chance()
	case 1:
		l.Probability, l.Correlation = d.chance(), d.chance()
	case 2:
		l.State = netfault.StateLoss{P13: d.chance() / 2, P31: d.chance() / 2, P32: d.chance() / 2, P14: d.chance() / 2, P23: d.chance()}
	case 3:
		l.GilbertElliott = netfault.GilbertElliott{GoodToBad: d.chance(), BadToGood: d.chance(), LossInBad: d.chance(), LossInGood: d.chance()}
	}
	return l
}

func (d drawer) slot() (s netfault.Slot) {
	switch d.IntN(6) {
	case 0:
		s.MinDelay = d.delay()
		s.MaxDelay = s.MinDelay + d.delay()
	case 1:
		s.Delay = d.delay()
		s.Jitter, s.Distribution = 1+time.Duration(d.Int64N(int64(s.Delay))), netfault.Normal
	default:
		return s
	}
	if d.sometimes() {
		s.Packets, s.Bytes = d.Int32N(1000), d.Int32N(1_000_000)
	}
	return s
}

// rate is one that a token bucket can do, too, also if the ticks that its buffer
// is told in do not suffice.
func (d drawer) rate() netfault.Rate {
	return netfault.Rate{BytesPerSecond: 1 + d.Uint64N(1<<(8+d.UintN(30))), PacketOverhead: d.Int32N(100)}
}

// plain is an impairment that kernels without netem can do.
func (d drawer) plain() netfault.Impairment {
	if d.sometimes() {
		return netfault.Impairment{Partition: true}
	}
	return netfault.Impairment{Rate: d.rate()}
}

func (d drawer) state(t *testing.T, k Kernel) netfault.State {
	t.Helper()
	s := netfault.State{Owner: "run-1", Deadline: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
	peers := []string{"10.0.0.0/8", "10.2.0.1", "tcp:10.2.0.0/16;ports=80-90", "fd00::/64", "udp:*;ports=53"}
	for n := range d.IntN(4) {
		r := netfault.Rule{ID: fmt.Sprint("rule-", n), Interface: []string{"eth0", "lo"}[d.IntN(2)],
			Direction: []netfault.Direction{netfault.Egress, netfault.Ingress, netfault.Both}[d.IntN(3)]}
		r.Impairment = d.plain()
		if k.Netem && !d.sometimes() {
			r.Impairment = d.impairment()
		}
		for _, p := range peers {
			switch d.IntN(4) {
			case 0:
				r.Peers = append(r.Peers, peersOf(t, p)...)
			case 1:
				r.Exempt = append(r.Exempt, peersOf(t, p)...)
			}
		}
		s.Rules = append(s.Rules, r)
	}
	return s
}

// send is perform with every discipline encoded for the kernel and read again.
func send(t *testing.T, facts Facts, ops []Op) Facts {
	t.Helper()
	for i, op := range ops {
		q, ok := op.Object.(Qdisc)
		if !ok || op.Verb == Delete {
			continue
		}
		parsed, err := parseDiscipline(q.discipline.kind(), q.discipline.options(op.Verb == Change))
		if err != nil {
			t.Fatalf("%s: %v", op, err)
		}
		q.discipline = parsed
		ops[i].Object = q
	}
	return perform(facts, ops)
}

// asShown is an impairment as its discipline shows it: with what is left out
// filled in.
func asShown(i netfault.Impairment, k Kernel) netfault.Impairment {
	if i.Partition {
		return netfault.Impairment{Partition: true}
	}
	i.Limit = i.QueueLimit()
	if !k.Netem {
		i.Limit = 0 // a token bucket counts it in bytes, with its burst
	}
	if i.Distribution == netfault.Uniform {
		i.Distribution = ""
	}
	if i.Reorder.Probability > 0 {
		i.Reorder.Gap = max(1, i.Reorder.Gap)
	}
	i.Loss.State, i.Loss.GilbertElliott = i.Loss.State.WithDefaults(), i.Loss.GilbertElliott.WithDefaults()
	return i
}

// A state that was planned, encoded, parsed and read back equals the asked one; planning
// it again leaves nothing to do. This must hold on an untouched namespace and on one
// where another state acts.
func TestStatesReadBack(t *testing.T) {
	for name, k := range map[string]Kernel{"rich": rich, "poor": poor, "with htb": {Netem: true, HTB: true, U32: true, IFB: true, Mirred: true}} {
		t.Run(name, func(t *testing.T) {
			const tries = 300
			valid := 0
			for seed := range uint64(tries) {
				d := drawer{rand.New(rand.NewPCG(seed, 1))}
				facts := Facts{Kernel: k, Links: emptyLinks()}
				for range 3 {
					s := d.state(t, k)
					if s.Validate() != nil {
						continue // rules that overlap cannot always be merged
					}
					valid++
					ops, links, err := Plan(s, facts)
					if errors.Is(err, netfault.ErrUnsupported) {
						continue // what is shared is not nested
					}
					if err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					facts = send(t, facts, ops)
					checkShown(t, facts, links)
					checkNothingToDo(t, facts, s)
					if t.Failed() {
						t.Fatalf("seed %d, kernel %s, state %+v", seed, name, s)
					}
				}
			}
			if valid < tries {
				t.Errorf("of %d states only %d were valid", 3*tries, valid)
			}
		})
	}
}

func checkShown(t *testing.T, facts Facts, links []netfault.Link) {
	t.Helper()
	for _, l := range links {
		tree := facts.treeOf(l.Interface, l.Direction)
		if err := tree.remember(facts.Kernel, facts.Links[l.Interface].MTU, l); err != nil {
			t.Fatal(err)
		}
		got := l
		got.Classes, got.Stages = slices.Clone(l.Classes), slices.Clone(l.Stages)
		if err := tree.effective(&got); err != nil {
			t.Errorf("%s of %q: %v", l.Direction, l.Interface, err)
		}
		want := l
		want.Classes, want.Stages = slices.Clone(l.Classes), slices.Clone(l.Stages)
		for n := range want.Classes {
			if !want.Classes[n].Impairment.IsZero() {
				want.Classes[n].Impairment = asShown(want.Classes[n].Impairment, facts.Kernel)
			}
			if want.Classes[n].Impairment.Limit == 0 {
				got.Classes[n].Impairment.Limit = 0
			}
		}
		for n := range want.Stages {
			want.Stages[n].Impairment = asShown(want.Stages[n].Impairment, facts.Kernel)
		}
		// The kernel has 32 bits for a probability, and many correlated numbers fall
		// between two neighbours.
		if diff := cmp.Diff(want, got, cmpopts.EquateApprox(0, 1e-7), cmpopts.EquateEmpty(), cmpopts.IgnoreFields(netfault.Link{}, "Filters")); diff != "" {
			t.Errorf("%s of %q: asked (-) and shown (+) differ:\n%s", l.Direction, l.Interface, diff)
		}
	}
}

// checkNothingToDo allows only tables of distributions to be sent again.
func checkNothingToDo(t *testing.T, facts Facts, s netfault.State) {
	t.Helper()
	again, _, err := Plan(s, facts)
	if err != nil {
		t.Fatal(err)
	}
	var more []string
	for _, op := range again {
		q, ok := op.Object.(Qdisc)
		if !ok || op.Verb != Change || !hasTable(q.discipline) || !same(find(facts.Links, q), q.discipline) {
			more = append(more, op.String())
		}
	}
	if len(more) > 0 {
		t.Errorf("there is still to do:\n%s", strings.Join(more, "\n"))
	}
}
