package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	vns "github.com/vishvananda/netns"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate"
	"github.com/microsim-dev/kubectl-microsim/netfault/netlab"
	"github.com/microsim-dev/kubectl-microsim/netfault/tc"
)

// A hostNetwork implements localsim.Network by network namespaces on this machine.
type hostNetwork struct {
	*netlab.Network
	logger *slog.Logger
}

func newHostNetwork(system, mark string, logger *slog.Logger) (localsim.Network, error) {
	n, err := netlab.New(system, mark, NetworkBackends)
	if err != nil {
		return nil, err
	}
	return hostNetwork{n, logger}, nil
}

// NetworkBackends returns the backends that can break a network, in the order in
// which they are tried.
func NetworkBackends(h vns.NsHandle) []netfault.Backend {
	return []netfault.Backend{tc.New(h), countingEmulation{emulate.New(h)}}
}

// countingEmulation is an emulation that tells how many packets each rule has
// matched.
type countingEmulation struct{ *emulate.Backend }

// Met implements netlab.Counter.
func (c countingEmulation) Met() map[string]int64 {
	met := map[string]int64{}
	for _, class := range c.Stats().Classes {
		for _, rule := range class.Rules {
			met[rule] += int64(class.Counts.Packets)
		}
	}
	return met
}

// Hits implements localsim.Network.
func (n hostNetwork) Hits(replica string, ids []string) map[string]int64 {
	met := n.Met(replica)
	if met == nil {
		return nil
	}
	hits := map[string]int64{}
	for _, id := range ids {
		if n, counted := met[ruleID(id)]; counted {
			hits[id] = n
		}
	}
	return hits
}

// newMark returns a random name for a network's link, by which `down` finds the
// network.
func newMark() string { return netlab.LinkName(fmt.Sprintf("%08x", rand.Uint32())) }

// checkTimeout bounds the trial of the backends.
const checkTimeout = 15 * time.Second

// canImpair says why the network cannot carry out a fault.
func canImpair(f *fault.Fault) error {
	impairment, err := netfault.ImpairmentOf(f)
	if err != nil || impairment.Partition || impairment.RateOnly() {
		return err // every kernel can carry these out
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkTimeout)
	defer cancel()
	var reasons []error
	for _, b := range netlab.CheckBackends(ctx, NetworkBackends) {
		if b.Err == nil {
			return nil
		}
		reasons = append(reasons, fmt.Errorf("%s: %w", b.Name, b.Err))
	}
	return fmt.Errorf("fault %q: no backend can do it on this machine: %w; start the system with --isolation process", f.Label(), errors.Join(reasons...))
}

// Impair implements localsim.Network.
func (n hostNetwork) Impair(ctx context.Context, replica string, faults []localsim.PathFault) (string, error) {
	rules, err := rulesOf(faults)
	if err != nil {
		return "", err
	}
	backend, err := n.Network.Impair(ctx, replica, rules)
	if err == nil && backend != "" {
		n.logger.Debug("network faults act", "replica", replica, "backend", backend, "rules", len(rules))
	}
	return backend, err
}

// rulesOf turns faults on the way to a replica into rules of its namespace. They
// match only requests to the replica and their answers.
func rulesOf(faults []localsim.PathFault) ([]netfault.Rule, error) {
	var rules []netfault.Rule
	for i := range faults {
		p := &faults[i]
		impairment, err := netfault.ImpairmentOf(&p.Fault)
		if err != nil {
			return nil, err
		}
		if p.Callers != nil && len(p.Callers) == 0 {
			continue // the fault has no callers
		}
		rule := netfault.Rule{
			ID: ruleID(p.ID), Interface: netlab.Interface, Direction: netfault.DirectionOf(&p.Fault), Impairment: impairment,
		}
		peer := netfault.Peer{LocalPorts: []netfault.PortRange{{First: p.Port, Last: p.Port}}, Protocol: netfault.TCP}
		if p.Callers == nil {
			rule.Peers = []netfault.Peer{peer}
		}
		for _, caller := range p.Callers {
			ip, err := netip.ParseAddr(caller)
			if err != nil {
				return nil, fmt.Errorf("fault %q: caller %q: %w", p.ID, caller, err)
			}
			peer.CIDR = netip.PrefixFrom(ip, ip.BitLen())
			rule.Peers = append(rule.Peers, peer)
		}
		rules = append(rules, rule)
	}
	return rules, nil
}

// ruleID turns the name of a fault, which may be any text, into a valid id of a
// rule.
func ruleID(id string) string {
	plain := strings.Trim(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == ""
	if plain && len(id) <= 62 {
		return "n" + id
	}
	sum := sha256.Sum256([]byte(id))
	return "x" + hex.EncodeToString(sum[:16])
}
