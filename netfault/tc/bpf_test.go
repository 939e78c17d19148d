package tc

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// The programs that the kernel is given, byte for byte.
func TestProgramsAreThoseOfTheGoldenFile(t *testing.T) {
	prefix := netip.MustParsePrefix
	port := func(first, last uint16) netfault.PortRange { return netfault.PortRange{First: first, Last: last} }
	all := netfault.AnyPort
	filters := []netfault.Filter{
		{Match: netfault.Selector{Prefix: prefix("10.1.2.3/32"), Ports: all, LocalPorts: all}, Class: 0},
		{Match: netfault.Selector{Prefix: prefix("10.1.0.0/17"), Protocol: netfault.ProtoTCP, Ports: port(80, 80), LocalPorts: all}, Class: 1},
		{Match: netfault.Selector{Prefix: prefix("0.0.0.0/0"), Protocol: netfault.ProtoUDP, Ports: port(53, 99), LocalPorts: port(1, 2)}, Class: 2},
		{Match: netfault.Selector{Prefix: prefix("2001:db8::1/128"), Ports: all, LocalPorts: all}, Class: 3},
		{Match: netfault.Selector{Prefix: prefix("2001:db8::/45"), Protocol: netfault.ProtoICMPv6, Ports: all, LocalPorts: all}, Class: 4},
		{Match: netfault.Selector{Prefix: prefix("::/0"), Protocol: netfault.ProtoTCP, Ports: all, LocalPorts: port(8080, 8080)}, Class: 5},
		{Match: netfault.Selector{Ports: all, LocalPorts: all}, Class: 6},
	}
	var many []netfault.Filter
	for i := range maxBlocks + 2 {
		many = append(many, netfault.Filter{Match: netfault.Selector{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), Ports: all, LocalPorts: all}, Class: i})
	}
	var text strings.Builder
	for _, tt := range []struct {
		name      string
		filters   []netfault.Filter
		direction netfault.Direction
	}{{"egress", filters, netfault.Egress}, {"ingress", filters, netfault.Ingress}, {"many", many, netfault.Egress}} {
		for i, program := range classifier(tt.filters, tt.direction, func(class int) uint32 { return 0x10000 + uint32(class) }) {
			fmt.Fprintf(&text, "%s %d\n", tt.name, i)
			for code := encode(program); len(code) > 0; code = code[8:] {
				fmt.Fprintf(&text, "%x\n", code[:8])
			}
		}
	}
	golden(t, "testdata/bpf-programs.txt", text.String())
}
