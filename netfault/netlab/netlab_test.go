package netlab

import (
	"net/netip"
	"testing"
)

func TestAddresses(t *testing.T) {
	seen := map[netip.Prefix]bool{}
	all := netip.MustParsePrefix("198.18.0.0/15")
	for n := range networks {
		p := prefixOf(n)
		if seen[p] || p.Masked() != p || !all.Overlaps(p) || !p.Contains(addressOf(p, 1)) || !p.Contains(addressOf(p, 1+most)) || p.Contains(addressOf(p, 3+most)) {
			t.Errorf("network %d is %s", n, p)
		}
		seen[p] = true
	}
	if got := addressOf(prefixOf(127), 300).String(); got != "198.19.253.44" {
		t.Errorf("the 300th address of the last network is %s", got)
	}
}

func TestLinkNames(t *testing.T) {
	for name, good := range map[string]bool{LinkName("1f2e3d4c"): true, "msim-": false, "eth0": false, "msim-123456789": false, "msim-XY": false} {
		if err := checkLink(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
}
