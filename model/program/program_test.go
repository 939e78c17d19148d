package program

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestCan(t *testing.T) {
	service := func(name, url, image string) *topology.Service {
		s := topology.NewService(name)
		s.URL, s.Image = url, image
		return &s
	}
	web, url, image := service("web", "", ""), service("pay", "http://127.0.0.1:9000", ""), service("ship", "", "acme/ship:1")
	for _, c := range []struct {
		t    fault.Type
		to   *topology.Service
		from *topology.Service
		want string // part of the error; empty if the fault is possible
	}{
		{fault.Latency, web, nil, ""},
		{fault.Latency, url, nil, "takes no orders; break the way"},
		{fault.Error, image, nil, "takes no orders; break the way"},
		{fault.NetDelay, url, nil, ""},
		{fault.NetDelay, url, web, ""},
		{fault.Refuse, url, web, ""},
		{fault.Kill, url, nil, "not ours to stop"},
		{fault.CPUStress, url, nil, "not ours to stop"},
		{fault.Kill, image, nil, ""},
		{fault.Pause, image, nil, ""},
		{fault.CPUStress, image, nil, ""},
		{fault.Unreachable, url, nil, ""},
		{fault.Unreachable, url, web, ""},
		{fault.Unreachable, web, image, "acts inside the caller"},
		{fault.Latency, web, url, "not known; leave the caller out"},
		{fault.NetDelay, web, url, "not known; leave the caller out"},
		{fault.NetDelay, web, image, ""},
	} {
		err := Can(c.to, c.from, &fault.Fault{Type: c.t})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s of %v from %v: %v, want %q", c.t, c.to.Name, c.from, err, c.want)
		}
	}
}
