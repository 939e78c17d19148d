package driver_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/console"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// serveReal starts a real server for a store, and waits for it.
func serveReal(t *testing.T, kind topology.Kind, settings topology.Store) (*server.Server, *topology.Service, string) {
	t.Helper()
	if err := daemon.Check(kind); err != nil {
		t.Skip(err)
	}
	t.Setenv("TMPDIR", base(t))
	settings.Engine = topology.Real
	service := storeService(kind, settings)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Service: *service, Seed: 1, Token: "secret", Prepare: driver.Prepare, Console: console.Open, Lags: driver.Lags})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	awaitReady(t, s)
	return s, service, ln.Addr().String()
}

func awaitReady(t *testing.T, s *server.Server) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ready(s); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not ready")
		}
	}
}

// failsAlike puts a real server under each fault that it has means for, and compares how
// operations of each kind end with how they do in the embedded engine under the same
// fault, and after it.
func failsAlike(t *testing.T, real *server.Server, service *topology.Service, relay string) {
	t.Helper()
	settings := *service.Store
	settings.Engine = topology.Embedded
	embedded, address := serve(t, storeService(service.Kind, settings))
	for _, f := range store.RealFaults(service.Kind) {
		want := underFault(t, embedded, service, address, f)
		got := underFault(t, real, service, relay, f)
		if !slices.Equal(got, want) {
			t.Errorf("%s: operations end as %q, and in the embedded engine as %q", f, got, want)
		}
	}
}

// underFault says how operations end under a fault, and after it. Each time they are
// those of new clients: whether one sees in time that its connection was closed is luck.
func underFault(t *testing.T, s *server.Server, service *topology.Service, address string, of fault.Type) (classes []string) {
	t.Helper()
	all := func(when string) {
		d := connect(t, service)
		defer d.Close()
		for _, op := range service.Kind.Operations() {
			class, err := ask(d, address, op)
			classes = append(classes, when+" "+string(op)+" "+string(class))
			if when == "after" && class != outcome.OK {
				t.Logf("%s, %s: %v", of, op, err)
			}
		}
	}
	all("before")
	f := fault.Fault{Type: of, Probability: 1, Target: fault.Target{Service: "db"}, Args: fault.Args{Hold: unit.Duration(time.Millisecond)}}
	if of != fault.Failover {
		f.Args.Hold = 0
	}
	awaitAlone(t, s)
	if err := s.AddFault("f", f, time.Time{}); err != nil {
		t.Fatalf("%s: %v", of, err)
	}
	time.Sleep(5 * time.Millisecond) // the hold of a failover
	all("under " + string(of))
	// The relay counts an answer once it has passed it on.
	for end := time.Now().Add(5 * time.Second); s.Faults()[0].Hits == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if hits := s.Faults()[0].Hits; hits == 0 {
		t.Errorf("%s has hit nothing", of)
	}
	if err := s.ClearFault("f"); err != nil {
		t.Fatal(err)
	}
	all("after")
	return classes
}

// Faults of one type that overlap end with the last, those of several types do not
// disturb each other, and the end of the store does not need the end of its faults.
func TestRealFaultsOverlap(t *testing.T) {
	s, service, relay := serveReal(t, topology.Redis, topology.Store{Items: 100, Timeout: 700 * ms})
	add := func(id string, of fault.Type, deadline time.Time) {
		t.Helper()
		f := fault.Fault{Type: of, Probability: 1}
		if of == fault.Failover {
			f.Args.Hold = unit.Duration(time.Millisecond)
		}
		if err := s.AddFault(id, f, deadline); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	ends := func(want ...outcome.Class) {
		t.Helper()
		d := connect(t, service)
		defer d.Close()
		for i, op := range []topology.Operation{topology.OpRead, topology.OpWrite} {
			if class, err := ask(d, relay, op); class != want[i] {
				t.Errorf("a %s ends as %s: %v", op, class, err)
			}
		}
	}
	add("a", fault.Failover, time.Time{})
	add("b", fault.Failover, time.Time{})
	add("c", fault.DiskFull, time.Time{})
	for _, id := range []string{"a", "c"} {
		if err := s.ClearFault(id); err != nil {
			t.Fatal(err)
		}
	}
	ends(outcome.OK, outcome.StoreError)
	if err := s.ClearFault("b"); err != nil {
		t.Fatal(err)
	}
	ends(outcome.OK, outcome.OK)
	add("d", fault.AuthRevoked, time.Now().Add(200*time.Millisecond))
	ends(outcome.StoreError, outcome.StoreError)
	for end := time.Now().Add(20 * time.Second); len(s.Faults()) > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a fault outlives its deadline")
		}
	}
	ends(outcome.OK, outcome.OK)
	add("e", fault.ConnectionsExhausted, time.Time{})
}

// A server that was given by its address is not changed.
func TestGivenServersAreNotChanged(t *testing.T) {
	address := startServer(t, topology.Redis)
	s, _ := serve(t, storeService(topology.Redis, topology.Store{Engine: topology.Real, Address: address, Items: 10}))
	awaitReady(t, s)
	err := s.AddFault("f", fault.Fault{Type: fault.CacheFlush, Probability: 1}, time.Time{})
	if err == nil || !strings.Contains(err.Error(), "is not ours to change") {
		t.Errorf("it ends as %v", err)
	}
}

// A relay that starts again beside a server that lives on finds what it has put there.
func TestOwnServersArePreparedAgain(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			service := storeService(kind, topology.Store{Items: 20})
			service.Store.Engine, service.Store.Address = topology.Real, startServer(t, kind)
			d := connect(t, service)
			for range 2 {
				if _, err := driver.PrepareOwn(t.Context(), service, 1); err != nil {
					t.Fatal(err)
				}
				for item, want := range map[string]bool{"item:19": true, "item:20": false} {
					q := store.Query{Operation: topology.OpRead, Item: item}
					if found, err := d.Do(t.Context(), service.Store.Address, &q); found != want || err != nil {
						t.Errorf("%s is found: %v, %v", item, found, err)
					}
				}
			}
		})
	}
}

// awaitAlone waits until no client is connected, so that a fault hits only those that come
// after it.
func awaitAlone(t *testing.T, s *server.Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(metricsOf(s), "microsim_store_connections{service=\"db\"} 0\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("clients stay connected")
		}
	}
}
