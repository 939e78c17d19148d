package netfault

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
)

// names are short and plain, because marks store them in small fields: a link's
// alias, a rule's comment.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,63}$`)

// problems collects mistakes, each with its place.
type problems struct {
	at   string
	errs []error
}

func (p *problems) addf(format string, args ...any) {
	p.errs = append(p.errs, fmt.Errorf(p.at+": "+format, args...))
}

// Validate reports every problem of the state at once, including those that
// neither the kernel nor a netlink library would notice, and those that appear
// only when its rules are merged. Nil means that [Compile] succeeds.
func (s State) Validate() error {
	p := &problems{at: "state"}
	if !namePattern.MatchString(s.Owner) {
		p.addf("owner %q: want 1 to 64 of A-Z a-z 0-9 . _ / -, beginning with a letter or digit", s.Owner)
	}
	seen := map[string]bool{}
	for n, r := range s.Rules {
		p.at = fmt.Sprintf("rules[%d]", n)
		if !namePattern.MatchString(r.ID) {
			p.addf("id %q: want 1 to 64 of A-Z a-z 0-9 . _ / -, beginning with a letter or digit", r.ID)
		} else {
			p.at = fmt.Sprintf("rule %q", r.ID)
			if seen[r.ID] {
				p.addf("the id is used twice; give each rule its own")
			}
			seen[r.ID] = true
		}
		r.check(p)
	}
	if len(p.errs) == 0 {
		if _, err := Compile(s); err != nil {
			p.errs = append(p.errs, err)
		}
	}
	return errors.Join(p.errs...)
}

func (r Rule) check(p *problems) {
	if r.Interface == "" || len(r.Interface) > 15 || strings.ContainsAny(r.Interface, "/: \t\n") || r.Interface == "." || r.Interface == ".." {
		p.addf("interface %q: want the name of a network interface, such as eth0", r.Interface)
	}
	switch r.Direction {
	case Egress, Ingress, Both:
	default:
		p.addf("direction %q: want egress, ingress or both", r.Direction)
	}
	at := p.at
	for n, peer := range r.Peers {
		p.at = fmt.Sprintf("%s: peers[%d]", at, n)
		peer.check(p)
	}
	for n, peer := range r.Exempt {
		p.at = fmt.Sprintf("%s: exempt[%d]", at, n)
		peer.check(p)
	}
	p.at = at
	r.Impairment.check(p)
}

func (peer Peer) check(p *problems) {
	if c := peer.CIDR; c.IsValid() {
		switch {
		case c.Addr().Is4In6():
			p.addf("cidr %q: write the IPv4 address as such, %s", c, c.Addr().Unmap())
		case c != c.Masked():
			p.addf("cidr %q: has bits set beyond the prefix length; write %s, or %s/%d for the one address", c, c.Masked(), c.Addr(), c.Addr().BitLen())
		}
	}
	switch peer.Protocol {
	case "", TCP, UDP:
	case ICMP:
		if len(peer.Ports)+len(peer.LocalPorts) > 0 {
			p.addf("icmp has no ports; name tcp or udp, or leave the ports out")
		}
	default:
		p.addf("protocol %q: want tcp, udp, icmp, or nothing for any", peer.Protocol)
	}
	for _, list := range [][]PortRange{peer.Ports, peer.LocalPorts} {
		for _, r := range list {
			if r.First == 0 || r.First > r.Last {
				p.addf("ports %d-%d: want first <= last, within 1-65535", r.First, r.Last)
			}
		}
	}
}

// Validate reports every problem of the impairment at once.
func (i Impairment) Validate() error {
	p := &problems{at: "impairment"}
	i.check(p)
	return errors.Join(p.errs...)
}

func (i Impairment) check(p *problems) {
	if i.IsZero() {
		p.addf("does nothing; give a delay, loss, rate, partition, ...")
	}
	i.checkDelay(p)
	i.Loss.check(p)
	if i.ECN && i.Loss == (Loss{}) {
		p.addf("ecn marks packets that would be lost, and no loss is given; add a loss")
	}
	p.chance("duplicate", i.Duplicate.Probability, i.Duplicate.Correlation)
	p.chance("corrupt", i.Corrupt.Probability, i.Corrupt.Correlation)
	p.chance("reorder", i.Reorder.Probability, i.Reorder.Correlation)
	if i.Reorder.Probability > 0 && i.Delay == 0 {
		p.addf("reorder sends some packets ahead of the delayed ones, and no delay is given; add a delay longer than the distance between packets")
	}
	if i.Reorder.Gap > 0 && i.Reorder.Probability == 0 {
		p.addf("reorder.gap %d without reorder.probability; give the probability (1 reorders every candidate)", i.Reorder.Gap)
	}
	i.Rate.check(p)
	i.Slot.check(p)
	if i.Limit > MaxLimit {
		p.addf("limit %d: want at most %d packets", i.Limit, MaxLimit)
	}
}

func (i Impairment) checkDelay(p *problems) {
	p.duration("delay", i.Delay)
	p.duration("jitter", i.Jitter)
	if i.Jitter > i.Delay {
		p.addf("jitter %v is larger than delay %v, and a packet cannot leave before it came; make the delay at least the jitter", i.Jitter, i.Delay)
	}
	p.distribution("distribution", i.Distribution)
	if i.Distribution != "" && i.Jitter == 0 {
		p.addf("distribution %q shapes the jitter, and none is given; add a jitter", i.Distribution)
	}
	p.probability("delayCorrelation", i.DelayCorrelation)
	if i.DelayCorrelation != 0 && i.Jitter == 0 {
		p.addf("delayCorrelation %v correlates the jitter, and none is given; add a jitter", i.DelayCorrelation)
	}
}

func (l Loss) check(p *problems) {
	p.chance("loss", l.Probability, l.Correlation)
	models := 0
	for _, used := range []bool{l.Probability != 0, l.State != StateLoss{}, l.GilbertElliott != GilbertElliott{}} {
		if used {
			models++
		}
	}
	if models > 1 {
		p.addf("loss has %d models; give one of probability, state, gilbertElliott", models)
	}
	if s := l.State; s != (StateLoss{}) {
		for _, v := range []struct {
			name  string
			value float64
		}{{"p13", s.P13}, {"p31", s.P31}, {"p32", s.P32}, {"p23", s.P23}, {"p14", s.P14}} {
			p.probability("loss.state."+v.name, v.value)
		}
		d := s.WithDefaults()
		if d.P13+d.P14 > 1 {
			p.addf("loss.state: p13 %v and p14 %v leave state 1 with a probability over 1", d.P13, d.P14)
		}
		if d.P31+d.P32 > 1 {
			p.addf("loss.state: p31 %v (default 1-p13) and p32 %v leave state 3 with a probability over 1; give p31", d.P31, d.P32)
		}
		if s.P13 == 0 && s.P14 == 0 {
			p.addf("loss.state never loses a packet; give p13 or p14")
		}
	}
	if g := l.GilbertElliott; g != (GilbertElliott{}) {
		p.probability("loss.gilbertElliott.goodToBad", g.GoodToBad)
		p.probability("loss.gilbertElliott.badToGood", g.BadToGood)
		p.probability("loss.gilbertElliott.lossInBad", g.LossInBad)
		p.probability("loss.gilbertElliott.lossInGood", g.LossInGood)
		if g.GoodToBad == 0 && g.LossInGood == 0 {
			p.addf("loss.gilbertElliott never loses a packet; give goodToBad or lossInGood")
		}
	}
}

func (r Rate) check(p *problems) {
	if r.BytesPerSecond == 0 && r != (Rate{}) {
		p.addf("rate has overheads and no speed; give bytesPerSecond")
	}
	if r.BytesPerSecond > 1<<40 {
		p.addf("rate.bytesPerSecond %d: want at most %d (8 Tbit/s)", r.BytesPerSecond, uint64(1)<<40)
	}
	if r.CellOverhead != 0 && r.CellSize == 0 {
		p.addf("rate.cellOverhead %d without rate.cellSize; give the size of a cell", r.CellOverhead)
	}
	if int64(r.CellSize)+int64(r.CellOverhead) < 0 || r.CellSize > 1<<20 {
		p.addf("rate.cellSize %d with rate.cellOverhead %d: want 0 to %d, and a sum of at least 0", r.CellSize, r.CellOverhead, 1<<20)
	}
}

func (s Slot) check(p *problems) {
	if s == (Slot{}) {
		return
	}
	p.duration("slot.minDelay", s.MinDelay)
	p.duration("slot.maxDelay", s.MaxDelay)
	p.duration("slot.delay", s.Delay)
	p.duration("slot.jitter", s.Jitter)
	p.distribution("slot.distribution", s.Distribution)
	switch {
	case s.MaxDelay == 0 && s.Delay == 0 && s.MinDelay == 0:
		p.addf("slot has no pause; give minDelay and maxDelay, or delay, jitter and distribution")
	case s.MaxDelay+s.MinDelay > 0 && s.Delay+s.Jitter > 0:
		p.addf("slot has both a range and a distribution of pauses; give one")
	case s.MinDelay > s.MaxDelay && s.Delay == 0:
		p.addf("slot.minDelay %v is larger than slot.maxDelay %v", s.MinDelay, s.MaxDelay)
	case s.Delay > 0 && (s.Jitter == 0 || s.Distribution == "" || s.Distribution == Uniform):
		p.addf("slot.delay needs slot.jitter and slot.distribution (normal, pareto or paretonormal); or give minDelay and maxDelay")
	case s.Delay == 0 && s.Distribution != "":
		p.addf("slot.distribution needs slot.delay and slot.jitter")
	case s.Jitter > s.Delay && s.Delay > 0:
		p.addf("slot.jitter %v is larger than slot.delay %v", s.Jitter, s.Delay)
	}
	if s.Packets < 0 || s.Bytes < 0 {
		p.addf("slot.packets %d and slot.bytes %d: want 0 (no bound) or more", s.Packets, s.Bytes)
	}
}

func (p *problems) probability(name string, v float64) {
	if !(v >= 0 && v <= 1) { // also catches NaN
		p.addf("%s %v: want a probability from 0 to 1 (10 %% is 0.1)", name, v)
	}
}

func (p *problems) chance(name string, v, correlation float64) {
	p.probability(name+".probability", v)
	p.probability(name+".correlation", correlation)
	if correlation == 1 {
		p.addf("%s.correlation 1: every packet would fare as the first; want less than 1", name)
	}
	if correlation != 0 && v == 0 {
		p.addf("%s.correlation %v without %s.probability; give the probability", name, correlation, name)
	}
}

func (p *problems) duration(name string, d time.Duration) {
	if d < 0 || d > MaxDelay {
		p.addf("%s %v: want 0 to %v", name, d, MaxDelay)
	}
}

func (p *problems) distribution(name string, d Distribution) {
	switch d {
	case "", Uniform, Normal, Pareto, ParetoNormal:
	default:
		p.addf("%s %q: want uniform, normal, pareto or paretonormal", name, d)
	}
}
