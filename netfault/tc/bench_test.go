package tc

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// BenchmarkPlan plans rules for many peers in a namespace where nothing is yet.
func BenchmarkPlan(b *testing.B) {
	for _, peers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			r := netfault.Rule{ID: "r", Interface: "eth0", Direction: netfault.Both, Impairment: netfault.Impairment{Delay: time.Second}}
			for n := range peers {
				r.Peers = append(r.Peers, netfault.Peer{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(n), 1}), 32),
					Protocol: netfault.TCP, Ports: []netfault.PortRange{{First: 80, Last: 90}}})
			}
			state := netfault.State{Owner: "o", Rules: []netfault.Rule{r}}
			facts := Facts{Kernel: rich, Links: emptyLinks()}
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Plan(state, facts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
