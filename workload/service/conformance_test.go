package service_test

import (
	"context"
	"net"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/workload/service"
	"github.com/microsim-dev/kubectl-microsim/workload/service/servicetest"
)

func TestConformance(t *testing.T) {
	for _, c := range servicetest.Cases() {
		t.Run(c.Level.String()+" "+c.Name, func(t *testing.T) { c.Test(t, serve) })
	}
}

// serve starts a service in this process.
func serve(t servicetest.T, spec service.Spec) string {
	s, err := service.New(spec.Config(nil))
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "http://" + ln.Addr().String()
}
