package netfaulttest

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// Case is rules, and what they must do to the traffic of a [Lab].
type Case struct {
	Name  string
	Rules []netfault.Rule
	Want  []Want
}

// Want is one flow and what must be seen of it.
type Want struct {
	Flow  Flow
	Check func(Measured) error
}

const ms = time.Millisecond

// slack is how much later than asked a packet may be seen on a busy machine.
const slack = 5 * ms

// plain is a flow that shows delays; so slow that emulated machines keep up.
func plain(direction netfault.Direction, count int) Flow {
	return Flow{Direction: direction, Count: count, Interval: ms}
}

// one makes a case of one impairment of everything that leaves.
func one(name string, i netfault.Impairment, f Flow, check func(Measured) error) Case {
	return Case{name, []netfault.Rule{rule("r", netfault.Egress, i)}, []Want{{f, check}}}
}

func rule(id string, direction netfault.Direction, i netfault.Impairment, peers ...string) netfault.Rule {
	r := netfault.Rule{ID: id, Interface: Interface, Direction: direction, Impairment: i}
	r.Peers = peersOf(peers...)
	return r
}

func peersOf(texts ...string) []netfault.Peer {
	var out []netfault.Peer
	for _, text := range texts {
		p, err := netfault.ParsePeer(text)
		if err != nil {
			panic(err) // a mistake in the table
		}
		out = append(out, p)
	}
	return out
}

// Cases is the table: every effect of the vocabulary, measured.
func Cases() []Case {
	var out []Case
	for _, part := range [][]Case{delayCases(), lossCases(), otherCases(), rateCases(), directionCases(), peerCases(), mergeCases(), sharedCases()} {
		out = append(out, part...)
	}
	return out
}

func delayCases() []Case {
	delay := func(i netfault.Impairment) netfault.Impairment { i.Delay = 50 * ms; return i }
	return []Case{
		one("delay", delay(netfault.Impairment{}), plain(netfault.Egress, 300), all(delayed(50*ms), noLoss)),
		one("delay below a millisecond", netfault.Impairment{Delay: 700 * time.Microsecond}, plain(netfault.Egress, 300), func(m Measured) error {
			return between("the fastest packet took", m.Quantile(0), 690*time.Microsecond, 700*time.Microsecond+slack)
		}),
		one("uniform jitter", delay(netfault.Impairment{Jitter: 20 * ms}), plain(netfault.Egress, 1000),
			all(noLoss, quantiles(netfault.Uniform, 50*ms, 20*ms), func(m Measured) error {
				return between("the fastest packet took", m.Quantile(0), 30*ms, 32*ms)
			})),
		one("normal jitter", delay(netfault.Impairment{Jitter: 10 * ms, Distribution: netfault.Normal}), plain(netfault.Egress, 1000),
			all(noLoss, quantiles(netfault.Normal, 50*ms, 10*ms))),
		one("pareto jitter", delay(netfault.Impairment{Jitter: 10 * ms, Distribution: netfault.Pareto}), plain(netfault.Egress, 1000),
			all(noLoss, quantiles(netfault.Pareto, 50*ms, 10*ms))),
		one("paretonormal jitter", delay(netfault.Impairment{Jitter: 10 * ms, Distribution: netfault.ParetoNormal}), plain(netfault.Egress, 1000),
			all(noLoss, quantiles(netfault.ParetoNormal, 50*ms, 10*ms))),
		// netem takes its correlated number modulo the range of the jitter, which
		// leaves next to nothing of the correlation; a backend may show it or not.
		one("correlated jitter", delay(netfault.Impairment{Jitter: 20 * ms, DelayCorrelation: .9}), plain(netfault.Egress, 1000),
			all(noLoss, func(m Measured) error {
				return errors.Join(
					between("the fastest packet took", m.Quantile(0), 30*ms-100*time.Microsecond, 50*ms),
					between("the median packet took", m.Quantile(.5), 30*ms, 60*ms))
			})),
	}
}

func lossCases() []Case {
	loss := func(l netfault.Loss) netfault.Impairment { return netfault.Impairment{Loss: l} }
	const n = 4000
	fast := Flow{Direction: netfault.Egress, Count: n, Interval: 50 * time.Microsecond}
	ge := netfault.GilbertElliott{GoodToBad: .05, BadToGood: .2, LossInBad: .8, LossInGood: .02}
	gilbert := netfault.GilbertElliott{GoodToBad: .03, BadToGood: .25}
	// Shares of one draw that add up to 1, which the kernel adds in 32 bits.
	bursts := netfault.StateLoss{P13: .1, P32: .1}
	moving := netfault.StateLoss{P13: .5, P14: .5}
	state := netfault.StateLoss{P13: .05, P31: .3, P32: .2, P23: .4, P14: .02}
	return []Case{
		one("loss 1 %", loss(netfault.Loss{Probability: .01}), fast, lost(.01)),
		one("loss 10 %", loss(netfault.Loss{Probability: .1}), fast, lost(.1)),
		one("loss 50 %", loss(netfault.Loss{Probability: .5}), fast, lost(.5)),
		one("loss 100 %", loss(netfault.Loss{Probability: 1}), plain(netfault.Egress, 200), lost(1)),
		one("loss correlated", loss(netfault.Loss{Probability: .3, Correlation: .25}), fast, lostWithin(.3, .05)),
		one("rare loss much correlated", loss(netfault.Loss{Probability: .1, Correlation: .75}), fast, lostWithin(.1, .04)),
		one("loss by Gilbert", loss(netfault.Loss{GilbertElliott: gilbert}), fast,
			all(lostWithin(gilbert.Mean(), .04), func(m Measured) error { return between("the mean burst of losses was", m.MeanBurst(), 3, 5.2) })),
		one("loss by Gilbert-Elliott", loss(netfault.Loss{GilbertElliott: ge}), fast, lostWithin(ge.Mean(), .05)),
		one("loss by states", loss(netfault.Loss{State: state}), fast, lostWithin(state.Mean(), .05)),
		one("loss by states that leave a burst for sure", loss(netfault.Loss{State: bursts}), fast, lostWithin(bursts.Mean(), .04)),
		one("loss by states that always move", loss(netfault.Loss{State: moving}), fast, lostWithin(moving.Mean(), .05)),
		one("partition", netfault.Impairment{Partition: true}, plain(netfault.Egress, 200), lost(1)),
	}
}

func otherCases() []Case {
	fast := Flow{Direction: netfault.Egress, Count: 2000, Interval: 200 * time.Microsecond}
	reordering := func(r netfault.Reorder) netfault.Impairment { return netfault.Impairment{Delay: 30 * ms, Reorder: r} }
	early := func(p float64) func(Measured) error {
		return func(m Measured) error {
			n := int(math.Round(m.Share(0, 15*ms) * float64(len(m.Arrivals))))
			return binomial("packets sent ahead", n, len(m.Arrivals), p)
		}
	}
	return []Case{
		one("duplicate", netfault.Impairment{Duplicate: netfault.Chance{Probability: .2}}, fast, all(noLoss, func(m Measured) error {
			return binomial("duplicates", m.Duplicates(), m.Sent, .2)
		})),
		one("duplicate and delay", netfault.Impairment{Delay: 20 * ms, Duplicate: netfault.Chance{Probability: .2}}, plain(netfault.Egress, 1000), all(noLoss, delayed(20*ms), func(m Measured) error {
			return binomial("duplicates", m.Duplicates(), m.Sent, .2)
		})),
		// Some bits, of the sender's hardware address for one, matter to nobody.
		one("corrupt", netfault.Impairment{Corrupt: netfault.Chance{Probability: .3}}, fast, func(m Measured) error {
			return between("the share of packets that a checksum refused was", float64(m.Lost())/float64(m.Sent), .22, .345)
		}),
		one("reorder", reordering(netfault.Reorder{Probability: .25}), plain(netfault.Egress, 1000), all(noLoss, early(.25), func(m Measured) error {
			if m.Overtaken() == 0 {
				return errors.New("no packet was overtaken")
			}
			return nil
		})),
		one("reorder almost nothing", reordering(netfault.Reorder{Probability: 1e-10}), plain(netfault.Egress, 300), all(noLoss, delayed(30*ms))),
		one("reorder every fifth", reordering(netfault.Reorder{Probability: 1, Gap: 5}), plain(netfault.Egress, 1000), all(noLoss, func(m Measured) error {
			return between("the share of packets sent ahead was", m.Share(0, 15*ms), .19, .21)
		})),
		one("slots", netfault.Impairment{Slot: netfault.Slot{MinDelay: 40 * ms, MaxDelay: 40 * ms}}, Flow{Direction: netfault.Egress, Count: 400, Interval: ms}, all(noLoss, bunches(40*ms))),
	}
}

func rateCases() []Case {
	rate := func(bytes uint64) netfault.Impairment {
		return netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: bytes}}
	}
	burst := func(count, size int) Flow {
		return Flow{Direction: netfault.Egress, Count: count, Size: size, Wait: 1500 * ms}
	}
	limited := func(i netfault.Impairment, packets uint32) netfault.Impairment { i.Limit = packets; return i }
	return []Case{
		one("rate 64 kbit/s", limited(rate(8000), 1000), burst(60, 150), all(noLoss, speed(8000))),
		one("rate 1 Mbit/s", limited(rate(125_000), 1000), burst(150, 1000), all(noLoss, speed(125_000))),
		one("rate 20 Mbit/s", limited(rate(2_500_000), 2000), burst(1500, 1000), all(noLoss, speed(2_500_000))),
		one("rate with delay", limited(netfault.Impairment{Delay: 50 * ms, Rate: netfault.Rate{BytesPerSecond: 125_000}}, 1000), burst(100, 1000),
			all(noLoss, speed(125_000), func(m Measured) error {
				return between("the first packet took", m.Quantile(0), 50*ms, 50*ms+15*ms)
			})),
	}
}

func directionCases() []Case {
	brief := func(direction netfault.Direction) Flow {
		return Flow{Direction: direction, Count: 100, Interval: ms, Brief: true}
	}
	egress, ingress := brief(netfault.Egress), brief(netfault.Ingress)
	v6 := func(f Flow) Flow { f.V6 = true; return f }
	var out []Case
	for _, i := range []struct {
		name    string
		i       netfault.Impairment
		acts    func(Measured) error
		nothing func(Measured) error
	}{
		{"delay", netfault.Impairment{Delay: 50 * ms}, delayed(50 * ms), untouched},
		{"partition", netfault.Impairment{Partition: true}, lost(1), untouched},
	} {
		out = append(out,
			Case{i.name + " of what leaves", []netfault.Rule{rule("r", netfault.Egress, i.i)},
				[]Want{{egress, i.acts}, {ingress, i.nothing}, {v6(egress), i.acts}, {v6(ingress), i.nothing}}},
			Case{i.name + " of what arrives", []netfault.Rule{rule("r", netfault.Ingress, i.i)},
				[]Want{{egress, i.nothing}, {ingress, i.acts}, {v6(egress), i.nothing}, {v6(ingress), i.acts}}},
			Case{i.name + " of both", []netfault.Rule{rule("r", netfault.Both, i.i)},
				[]Want{{egress, i.acts}, {ingress, i.acts}, {v6(ingress), i.acts}}})
	}
	return out
}

func peerCases() []Case {
	flow := func(direction netfault.Direction, v6 bool, peer, local uint16) Flow {
		return Flow{Direction: direction, V6: v6, Count: 60, Interval: ms, PeerPort: peer, LocalPort: local, Brief: true}
	}
	var out []Case
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		for _, i := range []struct {
			name string
			i    netfault.Impairment
			acts func(Measured) error
		}{
			{"delay", netfault.Impairment{Delay: 50 * ms}, delayed(50 * ms)},
			{"partition", netfault.Impairment{Partition: true}, lost(1)},
		} {
			name := fmt.Sprintf("%s %s ", direction, i.name)
			exempting := rule("r", direction, i.i)
			exempting.Exempt = peersOf("udp:*;ports=53", "*;local=9090", "fd77::2")
			out = append(out,
				Case{name + "of an IPv4 peer", []netfault.Rule{rule("r", direction, i.i, "10.77.0.2")},
					[]Want{{flow(direction, false, 0, 0), i.acts}, {flow(direction, true, 0, 0), untouched}}},
				Case{name + "of an IPv6 network", []netfault.Rule{rule("r", direction, i.i, "fd77::/64")},
					[]Want{{flow(direction, true, 0, 0), i.acts}, {flow(direction, false, 0, 0), untouched}}},
				Case{name + "of another peer", []netfault.Rule{rule("r", direction, i.i, "10.77.0.3", "10.78.0.0/16", "fd77::3")},
					[]Want{{flow(direction, false, 0, 0), untouched}, {flow(direction, true, 0, 0), untouched}}},
				Case{name + "of ports", []netfault.Rule{rule("r", direction, i.i, "udp:*;ports=7001-7006,7100")},
					[]Want{{flow(direction, false, 7000, 0), untouched}, {flow(direction, false, 7001, 0), i.acts}, {flow(direction, true, 7006, 0), i.acts},
						{flow(direction, false, 7007, 0), untouched}, {flow(direction, false, 7100, 0), i.acts}, {flow(direction, true, 7101, 0), untouched}}},
				Case{name + "of local ports", []netfault.Rule{rule("r", direction, i.i, "*;local=7001")},
					[]Want{{flow(direction, false, 0, 7001), i.acts}, {flow(direction, true, 0, 7001), i.acts}, {flow(direction, false, 7001, 7002), untouched}}},
				Case{name + "of a protocol", []netfault.Rule{rule("r", direction, i.i, "tcp:*", "icmp:*")},
					[]Want{{flow(direction, false, 0, 0), untouched}, {flow(direction, true, 0, 0), untouched}}},
				Case{name + "with exemptions", []netfault.Rule{exempting},
					[]Want{{flow(direction, false, 53, 0), untouched}, {flow(direction, false, 54, 0), i.acts}, {flow(direction, false, 0, 9090), untouched},
						{flow(direction, true, 54, 0), untouched}}},
			)
		}
	}
	return out
}

func mergeCases() []Case {
	return []Case{{
		"rules that overlap act together",
		[]netfault.Rule{
			rule("all", netfault.Egress, netfault.Impairment{Delay: 20 * ms}),
			rule("lossy", netfault.Egress, netfault.Impairment{Loss: netfault.Loss{Probability: .5}}, "10.77.0.2"),
			rule("port", netfault.Egress, netfault.Impairment{Delay: 30 * ms}, "udp:10.77.0.0/16;ports=7000"),
		},
		[]Want{
			{Flow{Direction: netfault.Egress, V6: true, Count: 200, Interval: ms}, all(delayed(20*ms), noLoss)},
			{Flow{Direction: netfault.Egress, Count: 1000, Interval: 200 * time.Microsecond}, all(delayed(20*ms), lost(.5))},
			{Flow{Direction: netfault.Egress, Count: 1000, Interval: 200 * time.Microsecond, PeerPort: 7000}, all(delayed(50*ms), lost(.5))},
		},
	}}
}

// sharedCases are rules with a memory whose packets fall into several classes:
// the total must be what the rule says, whatever else acts on a part of them.
func sharedCases() []Case {
	rate := func(bytes uint64) netfault.Impairment {
		return netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: bytes}, Limit: 2000}
	}
	to := func(direction netfault.Direction, port uint16) Flow {
		return Flow{Direction: direction, Count: 100, Size: 1000, PeerPort: port, Wait: 3 * time.Second, Brief: true}
	}
	together := func(direction netfault.Direction, ports ...uint16) Flow {
		f := to(direction, ports[0])
		for _, port := range ports[1:] {
			f.Beside = append(f.Beside, to(direction, port))
		}
		return f
	}
	out := []Case{
		{"a rate within a rate", []netfault.Rule{
			rule("link", netfault.Egress, rate(100_000)), rule("thin", netfault.Egress, rate(20_000), "udp:*;ports=7000"),
		}, []Want{
			{together(netfault.Egress, 7001, 7002), speed(100_000)},
			{Flow{Direction: netfault.Egress, Count: 40, Size: 1000, PeerPort: 7000, Wait: 4 * time.Second, Brief: true}, speed(20_000)},
		}},
		{"rates that overlap in part", []netfault.Rule{
			rule("a", netfault.Egress, rate(100_000), "udp:*;ports=7000-7001"), rule("b", netfault.Egress, rate(50_000), "udp:*;ports=7001-7002"),
		}, []Want{
			{together(netfault.Egress, 7001, 7002), speed(50_000)},
		}},
		{"slots of two classes", []netfault.Rule{
			rule("slots", netfault.Egress, netfault.Impairment{Slot: netfault.Slot{MinDelay: 40 * ms, MaxDelay: 40 * ms, Packets: 10}, Limit: 2000}),
			rule("lossy", netfault.Egress, netfault.Impairment{Delay: ms}, "udp:*;ports=7000"),
		}, []Want{{together(netfault.Egress, 7000, 7001), all(noLoss, speed(1042/.004))}}},
	}
	for _, direction := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		out = append(out, Case{string(direction) + " rate beside a delay of one peer", []netfault.Rule{
			rule("link", direction, rate(100_000)), rule("peer", direction, netfault.Impairment{Delay: ms}, "udp:*;ports=7000"),
		}, []Want{{together(direction, 7000, 7001), all(noLoss, speed(100_000))}}})
	}
	return out
}
