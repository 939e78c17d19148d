package service

import (
	"net"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
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
	s, err := New(Config{Service: topology.NewService("front"), Peers: map[string][]string{
		"there": {"http://" + there.Addr().String()}, "gone": {"http://" + gone.Addr().String()}, "none": {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Unreachable(t.Context()); !slices.Equal(got, []string{"gone"}) {
		t.Errorf("unreachable are %q, want gone alone", got)
	}
}
