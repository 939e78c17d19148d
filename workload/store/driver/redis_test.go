package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

const ms = unit.Duration(time.Millisecond)

func redisService(t topology.Store) *topology.Service {
	s := topology.NewService("db")
	s.Kind, s.Store = topology.Redis, &t
	return &s
}

func serve(t testing.TB, service *topology.Service) (*server.Server, string) {
	t.Helper()
	s, err := server.New(server.Config{Service: *service, Seed: 1, Prepare: driver.Prepare})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
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
	return s, ln.Addr().String()
}

func connect(t testing.TB, service *topology.Service) store.Driver {
	t.Helper()
	d, err := driver.New("web", service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func ask(d store.Driver, address string, op topology.Operation) (outcome.Class, error) {
	q := store.Query{Operation: op, Item: "item:1", Items: []string{"item:1", "item:2"}, Value: []byte("x")}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_, err := d.Do(ctx, address, &q)
	return store.Class(err), err
}

// TestOperationsUnderFaults asks the embedded engine by the driver while each fault
// acts, and after it.
func TestOperationsUnderFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault fault.Fault
		op    topology.Operation
		want  outcome.Class
		text  string
	}{
		"slow":             {fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(time.Second)}}, topology.OpRead, outcome.Timeout, ""},
		"others are quick": {fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(time.Second), Operation: "write"}}, topology.OpRange, outcome.OK, ""},
		"exhausted":        {fault.Fault{Type: fault.ConnectionsExhausted}, topology.OpRead, outcome.StoreError, "max number of clients"},
		"away":             {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Minute)}}, topology.OpRead, outcome.ConnectionError, ""},
		"read only":        {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: 1}}, topology.OpTransaction, outcome.StoreError, "READONLY"},
		"reads go on":      {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: 1}}, topology.OpRead, outcome.OK, ""},
		"auth":             {fault.Fault{Type: fault.AuthRevoked}, topology.OpRange, outcome.StoreError, "NOAUTH"},
		"disk":             {fault.Fault{Type: fault.DiskFull}, topology.OpWrite, outcome.StoreError, "MISCONF"},
	} {
		t.Run(name, func(t *testing.T) {
			service := redisService(topology.Store{Timeout: 100 * ms})
			s, address := serve(t, service)
			d := connect(t, service)
			if class, err := ask(d, address, tt.op); class != outcome.OK {
				t.Fatalf("before: %v", err)
			}
			tt.fault.Probability = 1
			if err := s.AddFault("f", tt.fault, time.Time{}); err != nil {
				t.Fatal(err)
			}
			class, err := ask(d, address, tt.op)
			if class != tt.want || tt.text != "" && !strings.Contains(err.Error(), tt.text) {
				t.Errorf("it ends as %s: %v", class, err)
			}
			if hits := s.Faults()[0].Hits; hits == 0 && name != "others are quick" {
				t.Error("the fault hit nothing")
			}
			s.ClearFault("f")
			if class, err := ask(d, address, tt.op); class != outcome.OK {
				t.Errorf("after: %v", err)
			}
		})
	}
}

func TestPoolIsBound(t *testing.T) {
	service := redisService(topology.Store{Latency: dist.Fixed(300 * time.Millisecond), Pool: topology.Pool{Size: 2, Wait: 20 * ms}})
	_, address := serve(t, service)
	d := connect(t, service)
	var wait sync.WaitGroup
	classes := make([]outcome.Class, 5)
	for i := range classes {
		wait.Go(func() { classes[i], _ = ask(d, address, topology.OpRead) })
	}
	wait.Wait()
	slices.Sort(classes)
	if want := []outcome.Class{outcome.OK, outcome.OK, outcome.Rejected, outcome.Rejected, outcome.Rejected}; !slices.Equal(classes, want) {
		t.Errorf("five at once end as %v", classes)
	}
	if u := d.Usage(); u.Open != 2 || u.Timeouts != 3 || u.Retries != 0 {
		t.Errorf("the driver has counted %+v", u)
	}
	d.KeepOnly(nil)
	if u := d.Usage(); u.Open != 0 || u.Timeouts != 3 {
		t.Errorf("afterwards it has counted %+v", u)
	}
}

// A driver that retries by itself hides a fault; it says how often.
func TestRetriesAreOffOrCounted(t *testing.T) {
	for _, retries := range []int{0, 3} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				conn.Close()
			}
		}()
		service := redisService(topology.Store{Retries: retries})
		d := connect(t, service)
		if class, err := ask(d, ln.Addr().String(), topology.OpRead); class != outcome.ConnectionError {
			t.Errorf("%s: %v", class, err)
		}
		if got := d.Usage().Retries; got > int64(retries) || retries > 0 && got == 0 {
			t.Errorf("with %d retries, %d are counted", retries, got)
		}
		ln.Close()
	}
}

func TestErrorsHaveTheirClass(t *testing.T) {
	service := redisService(topology.Store{Timeout: 50 * ms})
	d := connect(t, service)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if class, err := ask(d, closed.Addr().String(), topology.OpRead); class != outcome.ConnectionError {
		t.Errorf("refused: %s, %v", class, err)
	}
	garbage, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer garbage.Close()
	go func() {
		for {
			conn, err := garbage.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
			defer conn.Close()
		}
	}()
	if class, err := ask(d, garbage.Addr().String(), topology.OpRead); class != outcome.Malformed {
		t.Errorf("garbage: %s, %v", class, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	q := store.Query{Operation: topology.OpRead, Item: "a"}
	if _, err := d.Do(ctx, garbage.Addr().String(), &q); store.Class(err) != outcome.Cancelled {
		t.Errorf("cancelled: %v", err)
	}
	d.Close()
	if _, err := d.Do(t.Context(), garbage.Addr().String(), &q); !errors.Is(err, outcome.ErrStopping) {
		t.Errorf("closed: %v", err)
	}
}

// startRedis starts Debian's redis-server for the test.
func startRedis(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("redis-server is not installed")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	_, port, _ := net.SplitHostPort(address)
	cmd := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			return address
		}
		if time.Now().After(end) {
			t.Fatal("redis-server does not answer")
		}
	}
}

// A real server gets the items that it lacks, and loses them at the end; what was
// there stays as it is.
func TestRealEngineIsFilledAndEmptied(t *testing.T) {
	address := startRedis(t)
	c := redis.NewClient(&redis.Options{Addr: address})
	defer c.Close()
	if err := c.Set(t.Context(), "item:3", "mine", 0).Err(); err != nil {
		t.Fatal(err)
	}
	t.Run("", func(t *testing.T) {
		service := redisService(topology.Store{Engine: topology.Real, Address: address, Items: 2500})
		_, relay := serve(t, service)
		d := connect(t, service)
		for _, op := range topology.Operations() {
			if class, err := ask(d, relay, op); class != outcome.OK {
				t.Errorf("%s: %v", op, err)
			}
		}
		if n := c.DBSize(t.Context()).Val(); n != 2500 {
			t.Errorf("there are %d items", n)
		}
		if got := c.Get(t.Context(), "item:2499").Val(); got != string(store.SeedValue(1, "db", 2499)) {
			t.Errorf("an item is %q", got)
		}
	})
	if n, got := c.DBSize(t.Context()).Val(), c.Get(t.Context(), "item:3").Val(); n != 1 || got != "mine" {
		t.Errorf("%d items are left, and ours is %q", n, got)
	}
}

// BenchmarkOperations compares the embedded engine with redis-server, by the driver.
// Run it with GOMAXPROCS=1 for one core.
func BenchmarkOperations(b *testing.B) {
	service := redisService(topology.Store{Pool: topology.Pool{Size: 20}})
	for _, engine := range []string{"embedded", "redis-server"} {
		address := ""
		if engine == "embedded" {
			_, address = serve(b, service)
		} else {
			address = startRedis(b)
		}
		for _, op := range []topology.Operation{topology.OpRead, topology.OpWrite} {
			b.Run(engine+"/"+string(op), func(b *testing.B) {
				d := connect(b, service)
				b.SetParallelism(8)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						if _, err := ask(d, address, op); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
