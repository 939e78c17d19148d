package tc

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	rich = Kernel{Netem: true, TBF: true, Prio: true, HTB: true, BPF: true, U32: true, IFB: true, Mirred: true}
	poor = Kernel{TBF: true, HTB: true, U32: true, IFB: true, Mirred: true}
)

func peersOf(t *testing.T, texts ...string) []netfault.Peer {
	t.Helper()
	var out []netfault.Peer
	for _, text := range texts {
		p, err := netfault.ParsePeer(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func emptyLinks() map[string]LinkFacts {
	return map[string]LinkFacts{"lo": {Index: 1, MTU: 65536}, "eth0": {Index: 7, MTU: 1500, Alias: "uplink"}}
}

// perform plays operations on facts, as the kernel would.
func perform(facts Facts, ops []Op) Facts {
	out := Facts{Kernel: facts.Kernel, Links: map[string]LinkFacts{}}
	for name, l := range facts.Links {
		out.Links[name] = l
	}
	for _, op := range ops {
		switch o := op.Object.(type) {
		case Alias:
			l := out.Links[o.Dev]
			l.Alias = o.Text
			out.Links[o.Dev] = l
		case Device:
			if op.Verb == Delete {
				delete(out.Links, o.Name)
				continue
			}
			if op.Verb == Set {
				l := out.Links[o.Name]
				l.Alias = o.Alias
				out.Links[o.Name] = l
				continue
			}
			out.Links[o.Name] = LinkFacts{Index: 100 + len(out.Links), Alias: o.Alias, IFB: true}
		case Qdisc:
			l := out.Links[o.Dev]
			l.Qdiscs = performQdisc(l.Qdiscs, op.Verb, o)
			if op.Verb == Delete {
				if o.Parent == atRoot {
					l.Classes = nil
				}
				var rest []Filter
				for _, f := range l.Filters {
					if f.Parent != o.Handle && (o.Parent != atRoot || f.Parent == ingressHandle) {
						rest = append(rest, f)
					}
				}
				l.Filters = rest
			}
			out.Links[o.Dev] = l
		case Class:
			l := out.Links[o.Dev]
			l.Classes = append(l.Classes[:len(l.Classes):len(l.Classes)], o)
			out.Links[o.Dev] = l
		case Filter:
			l := out.Links[o.Dev]
			l.Filters = append(l.Filters[:len(l.Filters):len(l.Filters)], o)
			out.Links[o.Dev] = l
		}
	}
	return out
}

// performQdisc also removes what hangs below a discipline that goes.
func performQdisc(there []Qdisc, v Verb, q Qdisc) []Qdisc {
	gone := map[uint32]bool{q.Handle: true}
	for changed := v == Delete; changed; {
		changed = false
		for _, o := range there {
			if o.Parent != atRoot && o.Parent != atIngress && gone[o.Parent&^0xffff] && !gone[o.Handle] {
				gone[o.Handle], changed = true, true
			}
		}
	}
	var out []Qdisc
	for _, o := range there {
		if !gone[o.Handle] {
			out = append(out, o)
		}
	}
	if v != Delete {
		out = append(out, q)
	}
	return out
}

func TestPlans(t *testing.T) {
	ms := time.Millisecond
	delay := netfault.Impairment{Delay: 100 * ms, Jitter: 10 * ms, Distribution: netfault.Normal}
	rate := netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: 125_000}}
	rule := func(id string, d netfault.Direction, i netfault.Impairment, peers ...string) netfault.Rule {
		return netfault.Rule{ID: id, Interface: "eth0", Direction: d, Impairment: i, Peers: peersOf(t, peers...)}
	}
	exempting := rule("slow", netfault.Egress, delay, "10.0.0.0/8")
	exempting.Exempt = peersOf(t, "udp:*;ports=53", "10.0.0.1")
	state := func(rules ...netfault.Rule) netfault.State {
		return netfault.State{Owner: "run-1", Deadline: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC), Rules: rules}
	}
	for _, tt := range []struct {
		name   string
		kernel Kernel
		before *netfault.State // what is there already
		state  netfault.State
	}{
		{"whole", rich, nil, state(rule("slow", netfault.Egress, delay))},
		{"peers", rich, nil, state(exempting, rule("dead", netfault.Egress, netfault.Impairment{Partition: true}, "tcp:10.2.0.0/16;ports=80-90"))},
		{"peers-without-prio-and-bpf", poor, nil, state(rule("thin", netfault.Egress, rate, "tcp:10.2.0.0/16;ports=80-90"))},
		{"shared-rate", rich, nil, state(rule("thin", netfault.Egress, rate), rule("slow", netfault.Egress, netfault.Impairment{Delay: ms}, "10.0.0.1"),
			rule("thinner", netfault.Egress, netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: 5000}}, "10.0.0.0/8"))},
		{"ingress", rich, nil, state(rule("slow", netfault.Ingress, delay, "fd00::/64"))},
		{"both-without-netem", poor, nil, state(rule("thin", netfault.Both, rate))},
		{"again", rich, ptr(state(rule("dead", netfault.Both, netfault.Impairment{Partition: true}))), state(rule("dead", netfault.Both, netfault.Impairment{Partition: true}))},
		{"other-parameters", rich, ptr(state(rule("slow", netfault.Egress, delay))), state(rule("slow", netfault.Egress, netfault.Impairment{Delay: 5 * ms}))},
		{"other-shape", rich, ptr(state(rule("slow", netfault.Both, delay))), state(rule("slow", netfault.Egress, delay, "10.0.0.1"))},
		{"no-more-rules", rich, ptr(state(rule("slow", netfault.Both, delay))), state()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			facts := Facts{Kernel: tt.kernel, Links: emptyLinks()}
			if tt.before != nil {
				ops, _, err := Plan(*tt.before, facts)
				if err != nil {
					t.Fatal(err)
				}
				facts = perform(facts, ops)
			}
			ops, _, err := Plan(tt.state, facts)
			if err != nil {
				t.Fatal(err)
			}
			var got strings.Builder
			for _, op := range ops {
				got.WriteString(op.String() + "\n")
			}
			golden(t, filepath.Join("testdata", "plan-"+tt.name+".txt"), got.String())
			after := perform(facts, ops)
			for name, l := range perform(after, clearAll(after)).Links {
				if want := emptyLinks()[name]; l.Alias != want.Alias || len(l.Qdiscs)+len(l.Classes)+len(l.Filters) != 0 {
					t.Errorf("clearing leaves %+v on %q", l, name)
				}
			}
		})
	}
}

func clearAll(facts Facts) []Op {
	var ops []Op
	for _, h := range holdings(facts, "") {
		ops = append(ops, planClear(facts, h.name)...)
	}
	return ops
}

func ptr[T any](v T) *T { return &v }

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; `go test ./netfault/tc -update` writes it", err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

func TestPlanRefuses(t *testing.T) {
	rule := netfault.Rule{ID: "r", Interface: "eth0", Direction: netfault.Both, Impairment: netfault.Impairment{Delay: 1}}
	mine := netfault.State{Owner: "me", Rules: []netfault.Rule{rule}}
	with := func(l LinkFacts) map[string]LinkFacts {
		l.Index = 7
		return map[string]LinkFacts{"lo": {Index: 1}, "eth0": l}
	}
	foreign := func(parent, handle uint32, kind string) LinkFacts {
		return LinkFacts{Qdiscs: []Qdisc{{"eth0", parent, handle, plainQdisc(kind)}}}
	}
	for _, tt := range []struct {
		name   string
		links  map[string]LinkFacts
		kernel Kernel
		want   string
	}{
		{"no interface", map[string]LinkFacts{"lo": {}, "eth1": {}}, rich, "there are eth1, lo"},
		{"foreign root", with(foreign(atRoot, 0x10000, "fq_codel")), rich, `discipline "fq_codel" (handle 1:)`},
		{"foreign ingress", with(foreign(atIngress, ingressHandle, "clsact")), rich, `discipline "clsact" (handle ffff:)`},
		{"other owner", with(LinkFacts{Alias: mark{owner: "you", egress: true}.String()}), rich, `owner "you"`},
		{"alias too long", with(LinkFacts{Alias: strings.Repeat("x", 230)}), rich, "255"},
		{"taken ifb name", map[string]LinkFacts{"eth0": {Index: 7}, "msim7": {Index: 8}}, rich, `"msim7"`},
		{"no netem", with(LinkFacts{}), poor, "no netem"},
		{"no ifb", with(LinkFacts{}), Kernel{Netem: true, BPF: true}, "ifb device"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Plan(mine, Facts{Kernel: tt.kernel, Links: tt.links})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
	_, _, err := Plan(mine, Facts{Kernel: poor, Links: with(LinkFacts{})})
	if !errors.Is(err, netfault.ErrUnsupported) {
		t.Errorf("a kernel without netem gives %v, want ErrUnsupported", err)
	}
	var owned *netfault.OwnedError
	_, _, err = Plan(mine, Facts{Kernel: rich, Links: with(LinkFacts{Alias: mark{owner: "you"}.String()})})
	if !errors.As(err, &owned) || owned.Owner != "you" {
		t.Errorf("another owner gives %v, want an OwnedError", err)
	}
}

func TestMarkReadsBack(t *testing.T) {
	for _, m := range []mark{
		{owner: "a"},
		{owner: "a/b", deadline: time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC), egress: true, ingress: true, was: "an alias with spaces was=x "},
		{owner: "a", by: "17-5f3a", egress: true},
		{owner: "a", ingress: true, was: mark{owner: "b"}.String()},
	} {
		got, ok := parseMark(m.String())
		if !ok || got != m {
			t.Errorf("%q reads back as %+v, %v", m, got, ok)
		}
	}
	for _, alias := range []string{"", "uplink", markPrefix, markPrefix + "owner=a until=x on=e was="} {
		if m, ok := parseMark(alias); ok {
			t.Errorf("%q is taken for a mark of ours: %+v", alias, m)
		}
	}
}

func TestNetemReadsBack(t *testing.T) {
	for _, i := range everyParameter() {
		n := newNetem(i.impairment)
		for _, change := range []bool{false, true} {
			got, err := parseNetem(n.options(change))
			if err != nil || got.canonical(n) != n {
				t.Errorf("%s (change %v) reads back as %+v, %v; want %+v", i.name, change, got, err, n)
			}
		}
		if err := i.impairment.Validate(); err != nil {
			t.Errorf("%s: %v", i.name, err)
		}
	}
}

// The kernel adds two shares of one draw in 32 bits, and takes a field of zero
// parts for one that was not given.
func TestSharesFitTheKernel(t *testing.T) {
	for _, s := range []netfault.StateLoss{{P13: .1, P32: .1}, {P13: .3, P32: .3}, {P13: .5, P14: .5}, {P13: 1, P32: 1}, {P13: 1e-12, P14: 1e-12}} {
		n := newNetem(netfault.Impairment{Loss: netfault.Loss{State: s}})
		p13, p31, p32, p14 := n.m[0], n.m[1], n.m[2], n.m[3]
		if p13+p14 < p13 || p31+p32 < p31 {
			t.Errorf("%+v overflows: p13 %d, p14 %d, p31 %d, p32 %d", s, p13, p14, p31, p32)
		}
		if s.P13 > 0 && p13 == 0 {
			t.Errorf("%+v: p13 became nothing", s)
		}
	}
	for _, r := range []netfault.Reorder{{Probability: 1e-10}, {Probability: 1e-20, Correlation: .5}, {Probability: 1e-20, Correlation: .99}} {
		if n := newNetem(netfault.Impairment{Delay: 1, Reorder: r}); n.gap != 1 || n.reorder == 0 {
			t.Errorf("the reordering %+v has gap %d and %d parts, want 1 and at least 1", r, n.gap, n.reorder)
		}
	}
}

// Slots with a distribution give way to a range only by a rebuild; a jitter
// beyond the kernel's field is refused by name.
func TestWhatNetemCannotChangeOrHold(t *testing.T) {
	ms := time.Millisecond
	table := newNetem(netfault.Impairment{Slot: netfault.Slot{Delay: 20 * ms, Jitter: 5 * ms, Distribution: netfault.Normal}})
	span := newNetem(netfault.Impairment{Slot: netfault.Slot{MinDelay: 20 * ms, MaxDelay: 40 * ms}})
	at := func(d discipline) tree { return tree{qdiscs: []Qdisc{{"eth0", atRoot, rootHandle, d}}} }
	for _, tt := range []struct {
		name     string
		from, to tree
		rebuilt  bool
	}{
		{"distribution to range", at(table), at(span), true},
		{"distribution to no slots", at(table), at(newNetem(netfault.Impairment{Delay: ms})), true},
		{"range to distribution", at(span), at(table), false},
	} {
		if ops := tt.from.reconcile(tt.to); (ops[0].Verb == Delete) != tt.rebuilt {
			t.Errorf("%s: %v", tt.name, ops)
		}
	}
	for name, i := range map[string]netfault.Impairment{
		"jitter 3s":      {Delay: 4 * time.Second, Jitter: 3 * time.Second},
		"slot.jitter 3s": {Slot: netfault.Slot{Delay: 4 * time.Second, Jitter: 3 * time.Second, Distribution: netfault.Normal}},
		"slot.maxDelay":  {Slot: netfault.Slot{MinDelay: time.Second, MaxDelay: 4 * time.Second}},
	} {
		if _, err := rich.disciplineFor(i, 1500); !errors.Is(err, netfault.ErrUnsupported) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func FuzzParseNetem(f *testing.F) {
	for _, i := range everyParameter() {
		f.Add(newNetem(i.impairment).options(true))
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _, _ = parseNetem(b) })
}

// parameter is an impairment that uses one parameter of netem in particular.
type parameter struct {
	name       string
	impairment netfault.Impairment
	// want are fields of the object "options" that `tc -s -j qdisc show` prints.
	// It prints times from the older fields: whole microseconds, at most 274.9 s.
	want string
}

func everyParameter() []parameter {
	ms, us := time.Millisecond, time.Microsecond
	type i = netfault.Impairment
	return []parameter{
		{"delay", i{Delay: 100 * ms}, `{"limit":21000,"delay":{"delay":0.1,"jitter":0,"correlation":0}}`},
		{"delay in ns", i{Delay: 1234567, Limit: 7}, `{"limit":7,"delay":{"delay":0.001234,"jitter":0,"correlation":0}}`},
		{"delay beyond 32 bits of ticks", i{Delay: 600 * time.Second, Limit: 7}, `{"delay":{"delay":274.878,"jitter":0,"correlation":0}}`},
		{"jitter", i{Delay: 100 * ms, Jitter: 10 * ms}, `{"delay":{"delay":0.1,"jitter":0.01,"correlation":0}}`},
		{"jitter below a tick", i{Delay: 10 * us, Jitter: 33}, `{"delay":{"delay":9e-06,"jitter":0,"correlation":0}}`},
		{"distribution", i{Delay: 100 * ms, Jitter: 10 * ms, Distribution: netfault.Pareto}, `{"delay":{"delay":0.1,"jitter":0.01,"correlation":0}}`},
		{"delay correlation", i{Delay: 100 * ms, Jitter: 10 * ms, DelayCorrelation: .25}, `{"delay":{"delay":0.1,"jitter":0.01,"correlation":0.25}}`},
		{"loss", i{Loss: netfault.Loss{Probability: .1}}, `{"limit":1000,"loss-random":{"loss":0.1,"correlation":0}}`},
		{"loss correlation", i{Loss: netfault.Loss{Probability: .1, Correlation: .5}}, fmt.Sprintf(`{"loss-random":{"loss":%.6g,"correlation":0.5}}`, netfault.Threshold(.1, .5))},
		{"loss state", i{Loss: netfault.Loss{State: netfault.StateLoss{P13: .1, P31: .2, P32: .3, P23: .4, P14: .5}}}, `{"loss-state":{"p13":0.1,"p31":0.2,"p32":0.3,"p23":0.4,"p14":0.5}}`},
		{"loss gemodel", i{Loss: netfault.Loss{GilbertElliott: netfault.GilbertElliott{GoodToBad: .1, BadToGood: .2, LossInBad: .75, LossInGood: .05}}}, `{"loss-gemodel":{"p":0.1,"r":0.2,"1-h":0.75,"1-k":0.05}}`},
		{"ecn", i{Loss: netfault.Loss{Probability: .1}, ECN: true}, `{"loss-random":{"loss":0.1,"correlation":0},"ecn":true}`},
		{"duplicate", i{Duplicate: netfault.Chance{Probability: .2}}, `{"duplicate":{"duplicate":0.2,"correlation":0}}`},
		{"duplicate correlation", i{Duplicate: netfault.Chance{Probability: .2, Correlation: .3}}, fmt.Sprintf(`{"duplicate":{"duplicate":%.6g,"correlation":0.3}}`, netfault.Threshold(.2, .3))},
		{"corrupt", i{Corrupt: netfault.Chance{Probability: .2, Correlation: .3}}, fmt.Sprintf(`{"corrupt":{"corrupt":%.6g,"correlation":0.3}}`, netfault.Threshold(.2, .3))},
		{"reorder", i{Delay: 10 * ms, Reorder: netfault.Reorder{Probability: .2, Correlation: .3}}, fmt.Sprintf(`{"reorder":{"reorder":%.6g,"correlation":0.3},"gap":1}`, netfault.Threshold(.2, .3))},
		{"gap", i{Delay: 10 * ms, Reorder: netfault.Reorder{Probability: .2, Gap: 5}}, `{"reorder":{"reorder":0.2,"correlation":0},"gap":5}`},
		{"rate", i{Rate: netfault.Rate{BytesPerSecond: 125_000}}, `{"rate":{"rate":125000,"packetoverhead":0,"cellsize":0,"celloverhead":0}}`},
		{"rate beyond 32 bits", i{Rate: netfault.Rate{BytesPerSecond: 5_000_000_000}}, `{"rate":{"rate":5000000000,"packetoverhead":0,"cellsize":0,"celloverhead":0}}`},
		{"rate overheads", i{Rate: netfault.Rate{BytesPerSecond: 125_000, PacketOverhead: -14, CellSize: 53, CellOverhead: 5}}, `{"rate":{"rate":125000,"packetoverhead":-14,"cellsize":53,"celloverhead":5}}`},
		{"slot", i{Slot: netfault.Slot{MinDelay: 2 * ms, MaxDelay: 5 * ms, Packets: 10, Bytes: 9000}}, `{"slot":{"min-delay":0.002,"max-delay":0.005,"packets":10,"bytes":9000}}`},
		{"slot distribution", i{Slot: netfault.Slot{Delay: 5 * ms, Jitter: ms, Distribution: netfault.Normal}}, `{"slot":{"jitter":0.001}}`},
		{"everything", i{Delay: 100 * ms, Jitter: 10 * ms, Distribution: netfault.Normal, DelayCorrelation: .1,
			Loss: netfault.Loss{Probability: .01}, Duplicate: netfault.Chance{Probability: .02}, Corrupt: netfault.Chance{Probability: .03},
			Reorder: netfault.Reorder{Probability: .04, Gap: 3}, Rate: netfault.Rate{BytesPerSecond: 1 << 20}, Limit: 999},
			`{"limit":999,"delay":{"delay":0.1,"jitter":0.01,"correlation":0.1},"loss-random":{"loss":0.01,"correlation":0},"duplicate":{"duplicate":0.02,"correlation":0},
			  "corrupt":{"corrupt":0.03,"correlation":0},"reorder":{"reorder":0.04,"correlation":0},"gap":3,"rate":{"rate":1048576,"packetoverhead":0,"cellsize":0,"celloverhead":0}}`},
	}
}
