package netfault

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMerge(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		name       string
		a, b, want Impairment
	}{
		{"delays add", Impairment{Delay: ms}, Impairment{Delay: 2 * ms}, Impairment{Delay: 3 * ms}},
		{"losses are independent", Impairment{Loss: Loss{Probability: .5}}, Impairment{Loss: Loss{Probability: .5}}, Impairment{Loss: Loss{Probability: .75}}},
		{"the lowest rate", Impairment{Rate: Rate{BytesPerSecond: 9}}, Impairment{Rate: Rate{BytesPerSecond: 5, CellSize: 1}}, Impairment{Rate: Rate{BytesPerSecond: 5, CellSize: 1}}},
		{"one rate", Impairment{Rate: Rate{BytesPerSecond: 9}}, Impairment{Delay: ms}, Impairment{Rate: Rate{BytesPerSecond: 9}, Delay: ms}},
		{"jitters of one shape", Impairment{Delay: 5 * ms, Jitter: 3 * ms, Distribution: Normal}, Impairment{Delay: 5 * ms, Jitter: 4 * ms, Distribution: Normal},
			Impairment{Delay: 10 * ms, Jitter: 5 * ms, Distribution: Normal}},
		{"random on gilbert", Impairment{Loss: Loss{Probability: .5}}, Impairment{Loss: Loss{GilbertElliott: GilbertElliott{GoodToBad: .1, BadToGood: .2, LossInBad: .5}}},
			Impairment{Loss: Loss{GilbertElliott: GilbertElliott{GoodToBad: .1, BadToGood: .2, LossInBad: .75, LossInGood: .5}}}},
		{"partition stays", Impairment{Partition: true}, Impairment{Delay: ms}, Impairment{Partition: true, Delay: ms}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, pair := range [][]Impairment{{tt.a, tt.b}, {tt.b, tt.a}, {tt.a, tt.b, {}}} {
				if got, err := Merge(pair...); err != nil || got != tt.want {
					t.Errorf("Merge = %+v, %v; want %+v", got, err, tt.want)
				}
			}
		})
	}
	if _, err := Merge(Impairment{Loss: Loss{State: StateLoss{P13: .1}}}, Impairment{Loss: Loss{Probability: .1}}); err == nil {
		t.Error("a state model and a random loss became one")
	}
	if _, err := Merge(Impairment{Slot: Slot{MaxDelay: 1}}, Impairment{Slot: Slot{MaxDelay: 2}}); err == nil {
		t.Error("two slots became one")
	}
}

func TestMergedStaysValid(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	shapes := []Distribution{"", Uniform, Normal, Pareto, ParetoNormal}
	random := func() Impairment {
		i := Impairment{Delay: time.Duration(1 + r.IntN(1e9)), Loss: Loss{Probability: r.Float64()}, Duplicate: Chance{r.Float64(), r.Float64()}, Reorder: Reorder{Probability: r.Float64()}}
		if r.IntN(2) == 0 {
			i.Jitter = 1 + time.Duration(r.Int64N(int64(i.Delay)))
			i.Distribution = shapes[r.IntN(len(shapes))]
		}
		return i
	}
	for range 2000 {
		a, b := random(), random()
		m, err := Merge(a, b)
		if err != nil || m.Validate() != nil {
			t.Fatalf("%+v + %+v = %+v: %v %v", a, b, m, err, m.Validate())
		}
	}
}

func TestQueueLimit(t *testing.T) {
	for _, tt := range []struct {
		in   Impairment
		want uint32
	}{
		{Impairment{Delay: 100 * time.Millisecond}, 21000},
		{Impairment{Delay: 100 * time.Millisecond, Limit: 7}, 7},
		{Impairment{Loss: Loss{Probability: .1}}, 1000},
		{Impairment{Rate: Rate{BytesPerSecond: 1000}}, 64},
		{Impairment{Rate: Rate{BytesPerSecond: 25_000_000}, Delay: 100 * time.Millisecond}, 10000},
		{Impairment{Delay: time.Hour}, MaxLimit},
	} {
		if got := tt.in.QueueLimit(); got != tt.want {
			t.Errorf("%+v: limit %d, want %d", tt.in, got, tt.want)
		}
	}
}

func delay(ms int) Impairment { return Impairment{Delay: time.Duration(ms) * time.Millisecond} }

func peers(t testing.TB, texts ...string) []Peer {
	t.Helper()
	var out []Peer
	for _, text := range texts {
		p, err := ParsePeer(text)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func TestCompile(t *testing.T) {
	s := State{Owner: "o", Rules: []Rule{
		{ID: "all", Interface: "eth0", Direction: Both, Impairment: delay(10), Exempt: peers(t, "udp:*;ports=53")},
		{ID: "db", Interface: "eth0", Direction: Egress, Impairment: delay(100), Peers: peers(t, "tcp:10.0.0.7;ports=5432")},
		{ID: "lo", Interface: "lo", Direction: Ingress, Impairment: delay(1)},
	}}
	links, err := Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range links {
		got = append(got, fmt.Sprintf("%s %s whole=%v", l.Interface, l.Direction, l.Whole()))
		for _, f := range l.Filters {
			line := "  " + f.Match.String() + " -> unimpaired"
			if f.Class != Unimpaired {
				line = fmt.Sprintf("  %s -> %v %v", f.Match, l.Classes[f.Class].Rules, l.Classes[f.Class].Impairment.Delay)
			}
			got = append(got, line)
		}
	}
	want := []string{
		"eth0 egress whole=false",
		"  10.0.0.7/32 tcp ports 5432 -> [all db] 110ms",
		"  any address udp ports 53 -> unimpaired",
		"  any -> [all] 10ms",
		"eth0 ingress whole=false",
		"  any address udp ports 53 -> unimpaired",
		"  any -> [all] 10ms",
		"lo ingress whole=true",
		"  any -> [lo] 1ms",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A rate is one for all packets of its rule; a class that nothing reaches, and a
// rule whose packets are one class, need no stage.
func TestCompileSharesState(t *testing.T) {
	file, err := os.Open("../testdata/cases/shared-rate.json")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s, err := Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	shape := func(s State) string {
		links, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprint(len(links[0].Stages), " stages")
		for n, c := range links[0].Classes {
			out += fmt.Sprintf("; %v by %v, %d parts", c.Rules, c.Stages, len(links[0].Parts(n)))
		}
		return out
	}
	if got, want := shape(s), "1 stages; [link peer] by [0], 2 parts; [link] by [0], 1 parts"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.Rules[1].Impairment = Impairment{Partition: true}
	if got, want := shape(s), "0 stages; [link peer] by [], 1 parts; [link] by [], 1 parts"; got != want {
		t.Errorf("beside a partition: got %q, want %q", got, want)
	}
	s.Rules[1].Impairment, s.Rules[1].Peers = delay(1), nil
	if got, want := shape(s), "0 stages; [link peer] by [], 1 parts"; got != want {
		t.Errorf("of the same packets: got %q, want %q", got, want)
	}
}

// For any rules, the first filter that matches a packet must name exactly the rules
// that match the packet when each is tried alone.
func TestCompiledFiltersMeanTheRules(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	somePeers := func() []Peer {
		var out []Peer
		for range r.IntN(3) {
			text := pick("", "tcp:", "udp:", "icmp:") + pick("*", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "fd00::/16", "fd00::1")
			if !strings.HasPrefix(text, "icmp") {
				text += pick("", ";ports=1-3", ";ports=2", ";ports=3-9", ";local=2", ";ports=1;local=1-2")
			}
			out = append(out, peers(t, text)...)
		}
		return out
	}
	addrs := []string{"10.1.2.3", "10.1.2.4", "10.2.0.1", "1.1.1.1", "fd00::1", "fd00::2", "fe80::1"}
	for round := range 300 {
		var s State
		for n := range 1 + r.IntN(4) {
			s.Rules = append(s.Rules, Rule{ID: string(rune('a' + n)), Interface: "e", Direction: Egress,
				Peers: somePeers(), Exempt: somePeers(), Impairment: delay(1 + n)})
		}
		links, err := Compile(s)
		if err != nil {
			t.Fatal(err)
		}
		for range 200 {
			p := Packet{Peer: netip.MustParseAddr(pick(addrs...)), Protocol: []uint8{ProtoTCP, ProtoUDP, ProtoICMP, ProtoICMPv6, 47}[r.IntN(5)]}
			if p.Protocol == ProtoICMP && p.Peer.Is6() || p.Protocol == ProtoICMPv6 && p.Peer.Is4() {
				continue // no such packet
			}
			if p.Protocol == ProtoTCP || p.Protocol == ProtoUDP {
				p.PeerPort, p.LocalPort = uint16(1+r.IntN(10)), uint16(1+r.IntN(3))
			}
			var want, got []string
			for _, rule := range s.Rules {
				match := func(s Selector) bool { return s.Match(p) }
				if (len(rule.Peers) == 0 || slices.ContainsFunc(selectorsOf(rule.Peers), match)) && !slices.ContainsFunc(selectorsOf(rule.Exempt), match) {
					want = append(want, rule.ID)
				}
			}
			if c := links[0].Classify(p); c != Unimpaired {
				got = links[0].Classes[c].Rules
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("round %d: %+v falls to rules %v, want %v\nrules %+v\nfilters %+v", round, p, got, want, s.Rules, links[0].Filters)
			}
		}
	}
}

func TestCompileBoundsItsFilters(t *testing.T) {
	var rule Rule
	for n := range 60 {
		rule.Peers = append(rule.Peers, Peer{Ports: []PortRange{{uint16(1 + n), uint16(1000 + n)}}})
	}
	rule.ID, rule.Interface, rule.Direction, rule.Impairment = "x", "e", Egress, delay(1)
	err := State{Owner: "o", Rules: []Rule{rule}}.Validate()
	if err == nil || !strings.Contains(err.Error(), "parts") {
		t.Errorf("error %v does not say that there are too many parts", err)
	}
}
