package peer

import (
	"net"
	"slices"
	"testing"
)

func TestPeersOutOfReachAreListed(t *testing.T) {
	there, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer there.Close()
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	b, err := NewBook("shop", map[string][]string{
		"there": {"http://" + there.Addr().String()}, "gone": {"http://" + gone.Addr().String()}, "none": {},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.Unreachable(t.Context()); !slices.Equal(got, []string{"gone"}) {
		t.Errorf("unreachable are %q, want gone alone", got)
	}
}
