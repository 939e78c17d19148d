package nodeagent

import (
	"fmt"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// ruleOf turns a fault into the rule that carries it out; it is nil where the
// fault concerns peers of which there are none.
func ruleOf(f *order.Fault, name, id string) (*netfault.Rule, error) {
	impairment, err := netfault.ImpairmentOf(&f.Fault)
	if err != nil {
		return nil, err
	}
	r := &netfault.Rule{ID: id, Interface: name, Direction: netfault.DirectionOf(&f.Fault), Impairment: impairment}
	for _, list := range []struct {
		texts []string
		to    *[]netfault.Peer
	}{{f.Peers, &r.Peers}, {f.Exempt, &r.Exempt}} {
		for _, text := range list.texts {
			p, err := netfault.ParsePeer(text)
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, p)
		}
	}
	if f.Only && len(r.Peers) == 0 {
		return nil, nil
	}
	return r, nil
}

// describeRule tells what a rule does in force, such as "delay 300ms ±50ms,
// egress eth0, 3 peers".
func describeRule(rule *netfault.Rule, e netfault.Effective) string {
	parts := []string{describeImpairment(rule.Impairment), string(rule.Direction) + " " + rule.Interface}
	switch len(rule.Peers) {
	case 0:
	case 1:
		parts = append(parts, describePeer(rule.Peers[0]))
	default:
		parts = append(parts, fmt.Sprintf("%d peers", len(rule.Peers)))
	}
	for _, l := range e.Links {
		for n, c := range l.Classes {
			if len(c.Rules) == 1 && c.Rules[0] == rule.ID {
				parts[0] = describeParts(l.Parts(n))
			}
			if len(c.Rules) > 1 && slices.Contains(c.Rules, rule.ID) {
				parts = append(parts, "with others: "+describeParts(l.Parts(n)))
				return strings.Join(parts, ", ")
			}
		}
	}
	return strings.Join(parts, ", ")
}

// describePeer tells whose packets are meant where there is one peer, which may
// be everybody.
func describePeer(p netfault.Peer) string {
	if p.CIDR.IsValid() || len(p.LocalPorts) != 1 {
		return "1 peer"
	}
	return "port " + p.LocalPorts[0].String()
}

// describeParts tells what packets meet, one part after the other.
func describeParts(all []netfault.Impairment) string {
	var parts []string
	for _, i := range all {
		parts = append(parts, describeImpairment(i))
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// describeImpairment tells what happens to packets.
func describeImpairment(i netfault.Impairment) string {
	if i.Partition {
		return "partition"
	}
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if i.Delay > 0 || i.Jitter > 0 {
		text := "delay " + i.Delay.String()
		if i.Jitter > 0 {
			text += " ±" + i.Jitter.String()
		}
		if i.Distribution != "" && i.Distribution != netfault.Uniform {
			text += " " + string(i.Distribution)
		}
		parts = append(parts, text)
	}
	for _, c := range []struct {
		Name string
		p    float64
	}{
		{"loss", i.Loss.Probability}, {"duplicate", i.Duplicate.Probability}, {"corrupt", i.Corrupt.Probability}, {"reorder", i.Reorder.Probability},
	} {
		if c.p > 0 {
			add("%s %.4g %%", c.Name, 100*c.p)
		}
	}
	if i.Rate.BytesPerSecond > 0 {
		add("rate %d B/s", i.Rate.BytesPerSecond)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}
