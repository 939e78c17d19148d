package localsim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

func onEdge(from, to string, replica int) *injection {
	return &injection{layer: fault.OnNetwork, fault: fault.Fault{
		Type: fault.NetDelay, Target: fault.Target{From: from, Service: to, Replica: replica},
	}}
}

var threeReplicas = []addressedSlot{
	{slot{"web", 1}, "10.0.0.1:8080"}, {slot{"cart", 1}, "10.0.0.2:8080"}, {slot{"cart", 2}, "10.0.0.3:8080"},
}

func TestPlanGates(t *testing.T) {
	expired := onEdge("", "cart", 0)
	expired.deadline = time.Unix(1, 0)
	inService := onEdge("", "cart", 0)
	inService.layer = fault.InService
	for _, test := range []struct {
		name       string
		injections map[string]*injection
		entrances  []string
		want       []string
	}{
		{"nothing", map[string]*injection{"x": expired, "y": inService}, nil, nil},
		{"a service", map[string]*injection{"a": onEdge("", "cart", 0)}, nil, []string{"cart/1 [a] [ web cart]", "cart/2 [a] [ web cart]"}},
		{"an edge", map[string]*injection{"a": onEdge("web", "cart", 0)}, nil, []string{"cart/1 [a] [web]", "cart/2 [a] [web]"}},
		{"a replica", map[string]*injection{"a": onEdge("web", "cart", 2)}, nil, []string{"cart/2 [a] [web]"}},
		{
			"a service and an edge", map[string]*injection{"a": onEdge("", "cart", 1), "b": onEdge("web", "cart", 0)}, nil,
			[]string{"cart/1 [a] [ cart]", "cart/1 [a b] [web]", "cart/2 [b] [web]"},
		},
		{"an entrance", nil, []string{"web"}, []string{"web/1 [] []"}},
		{"an entrance with a fault", map[string]*injection{"a": onEdge("", "web", 0)}, []string{"web"}, []string{"web/1 [a] [ web cart]"}},
		{"an entrance beside an edge", map[string]*injection{"a": onEdge("cart", "web", 0)}, []string{"web"}, []string{"web/1 [] []", "web/1 [a] [cart]"}},
	} {
		var got []string
		for _, p := range planGates(test.injections, threeReplicas, []string{"web", "cart"}, test.entrances) {
			got = append(got, fmt.Sprint(p.slot.label(), " ", p.ids, " ", p.callers))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s gives %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPlanPaths(t *testing.T) {
	plans := planPaths(map[string]*injection{"a": onEdge("", "cart", 1), "b": onEdge("web", "cart", 0), "c": onEdge("gone", "cart", 2)}, threeReplicas)
	for s, want := range map[slot]string{{"web", 1}: "", {"cart", 1}: "a all, b [10.0.0.1], ", {"cart", 2}: "b [10.0.0.1], c [], "} {
		got := ""
		for _, p := range plans[s] {
			callers := fmt.Sprint(p.Callers)
			if p.Callers == nil {
				callers = "all"
			}
			got += p.ID + " " + callers + ", "
		}
		if got != want {
			t.Errorf("%s suffers %q, want %q", s.label(), got, want)
		}
	}
}

// Of a gate that has to be parted, those outside keep it.
func TestGatesStayWithThoseOutside(t *testing.T) {
	g := &activeGate{slot: slot{"cart", 1}, upstream: "10.0.0.2:8080", callers: []string{outside, "web", "api"}}
	at := func(callers ...string) gatePlan {
		return gatePlan{slot: g.slot, upstream: g.upstream, callers: callers}
	}
	if few, many := g.fits(at(outside)), g.fits(at("web", "api")); few <= many || many != 2 {
		t.Errorf("those outside count %d, two others %d", few, many)
	}
	if other := g.fits(gatePlan{slot: slot{"cart", 2}, upstream: g.upstream, callers: g.callers}); other != 0 {
		t.Errorf("the gate of another replica counts %d", other)
	}
}

func TestDetour(t *testing.T) {
	peers := map[string][]string{"cart": {"http://10.0.0.2:8080", "http://10.0.0.3:8080"}, "web": {"http://10.0.0.1:8080"}}
	to := &detour{gates: map[string]string{"10.0.0.3:8080": "127.0.0.1:99"}}
	got := fmt.Sprint(to.of(peers, nil))
	if want := "map[10.0.0.3:8080:[http://127.0.0.1:99] cart:[http://10.0.0.2:8080 http://127.0.0.1:99] web:[http://10.0.0.1:8080]]"; got != want {
		t.Errorf("the peers are %s, want %s", got, want)
	}
	entrances := map[string]string{"10.0.0.1:8080": "127.0.0.1:1", "10.0.0.3:8080": "127.0.0.1:3"}
	got = fmt.Sprint(to.of(peers, entrances))
	if want := "map[10.0.0.3:8080:[http://127.0.0.1:99] 127.0.0.1:1:[http://10.0.0.1:8080] 127.0.0.1:3:[http://127.0.0.1:99] cart:[http://10.0.0.2:8080 http://127.0.0.1:99] web:[http://10.0.0.1:8080]]"; got != want {
		t.Errorf("with entrances, the peers are %s, want %s", got, want)
	}
	if peers["cart"][1] != "http://10.0.0.3:8080" {
		t.Error("the peers of others have been changed")
	}
}
