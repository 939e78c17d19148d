package driver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

const ms = unit.Duration(time.Millisecond)

func redisService(t topology.Store) *topology.Service {
	s := topology.NewService("db")
	s.Kind, s.Store = topology.Redis, &t
	return &s
}

func storeService(kind topology.Kind, t topology.Store) *topology.Service {
	s := redisService(t)
	s.Kind = kind
	return s
}

func serve(t testing.TB, service *topology.Service) (*server.Server, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, service, ln), ln.Addr().String()
}

func serveOn(t testing.TB, service *topology.Service, ln net.Listener) *server.Server {
	t.Helper()
	s, err := server.New(server.Config{Service: *service, Seed: 1, Prepare: driver.Prepare})
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
	return s
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

// kinds are those that have a front and a driver.
func kinds() []topology.Kind {
	return []topology.Kind{topology.Redis, topology.Memcached, topology.Postgres, topology.MySQL, topology.MongoDB}
}

// TestOperationsUnderFaults asks the embedded engine by the driver of each kind while
// each fault acts, and after it.
func TestOperationsUnderFaults(t *testing.T) {
	type words map[topology.Kind]string
	for name, tt := range map[string]struct {
		fault fault.Fault
		op    topology.Operation
		want  outcome.Class
		words words
	}{
		"slow":             {fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(time.Minute)}}, topology.OpRead, outcome.Timeout, nil},
		"others are quick": {fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(time.Second), Operation: "write"}}, topology.OpRange, outcome.OK, nil},
		"exhausted": {fault.Fault{Type: fault.ConnectionsExhausted}, topology.OpRead, outcome.StoreError,
			words{topology.Redis: "max number of clients", topology.Postgres: "FATAL: sorry, too many clients already (SQLSTATE 53300)", topology.MySQL: "Error 1040 (08004): Too many connections", topology.Memcached: "ERROR Too many open connections"}},
		"away": {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Minute)}}, topology.OpRead, outcome.ConnectionError, nil},
		"read only": {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: 1}}, topology.OpTransaction, outcome.StoreError,
			words{topology.Redis: "READONLY", topology.Postgres: "cannot execute INSERT in a read-only transaction (SQLSTATE 25006)", topology.MySQL: "Error 1290 (HY000)", topology.MongoDB: "(NotWritablePrimary) not primary"}},
		"reads go on": {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: 1}}, topology.OpRead, outcome.OK, nil},
		"auth": {fault.Fault{Type: fault.AuthRevoked}, topology.OpRange, outcome.StoreError,
			words{topology.Redis: "NOAUTH", topology.Postgres: "permission denied for table items (SQLSTATE 42501)", topology.MySQL: "Error 1142 (42000): SELECT command denied", topology.MongoDB: "(Unauthorized) command find requires authentication"}},
		"disk": {fault.Fault{Type: fault.DiskFull}, topology.OpWrite, outcome.StoreError,
			words{topology.Redis: "MISCONF", topology.Postgres: "No space left on device (SQLSTATE 53100)", topology.MySQL: "Error 1114 (HY000): The table 'items' is full", topology.MongoDB: "No space left on device"}},
		"lock": {fault.Fault{Type: fault.LockWait}, topology.OpTransaction, outcome.StoreError,
			words{topology.Postgres: "canceling statement due to lock timeout (SQLSTATE 55P03)", topology.MySQL: "Error 1205 (HY000): Lock wait timeout exceeded", topology.MongoDB: "(LockTimeout)"}},
	} {
		for _, kind := range kinds() {
			settings := topology.Store{Timeout: 500 * ms}
			if kind == topology.MongoDB {
				settings.Timeout = 1500 * ms // mongo-driver looks again for a lost server after 500 ms
			}
			if kind.HasRowLocks() {
				settings.LockTimeout = 50 * ms
			}
			service := storeService(kind, settings)
			f := tt.fault
			f.Probability, f.Target.Service = 1, "db"
			if store.Can(service, &f) != nil {
				continue
			}
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				s, address := serve(t, service)
				d, want := connect(t, service), tt.want
				if class, err := ask(d, address, tt.op); class != outcome.OK {
					t.Fatalf("before: %v", err)
				}
				if err := s.AddFault("f", f, time.Time{}); err != nil {
					t.Fatal(err)
				}
				if kind == topology.Memcached && f.Type == fault.ConnectionsExhausted {
					// gomemcache does not look whether an idle connection was closed.
					if class, err := ask(d, address, tt.op); class != outcome.ConnectionError {
						t.Errorf("on the former connection: %v", err)
					}
				}
				if kind == topology.MongoDB && slices.Contains([]fault.Type{fault.ConnectionsExhausted, fault.Failover, fault.AuthRevoked}, f.Type) {
					if class, err := ask(d, address, tt.op); class != outcome.ConnectionError { // nor does mongo-driver
						t.Errorf("on the former connection: %v", err)
					}
				}
				if kind == topology.MongoDB && f.Type == fault.ConnectionsExhausted {
					want = outcome.ConnectionError // mongod closes them without a word
				}
				class, err := ask(d, address, tt.op)
				if class != want || tt.words != nil && !strings.Contains(err.Error(), tt.words[kind]) {
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
}

// A read says whether it found its item, which others than reads do not.
func TestReadsTellMisses(t *testing.T) {
	for _, kind := range kinds() {
		service := storeService(kind, topology.Store{Items: 5})
		_, address := serve(t, service)
		d := connect(t, service)
		for item, want := range map[string]bool{"item:4": true, "item:5": false} {
			q := store.Query{Operation: topology.OpRead, Item: item}
			if found, err := d.Do(t.Context(), address, &q); found != want || err != nil {
				t.Errorf("%s: %s is found: %v, %v", kind, item, found, err)
			}
		}
		q := store.Query{Operation: topology.OpWrite, Item: "item:5", Value: []byte(`it's "a" \value`)}
		if _, err := d.Do(t.Context(), address, &q); err != nil {
			t.Error(err)
		}
		q.Operation = topology.OpRead
		if found, err := d.Do(t.Context(), address, &q); !found || err != nil {
			t.Errorf("%s: found %v, %v", kind, found, err)
		}
	}
}

// countingListener counts the connections that it takes.
type countingListener struct {
	net.Listener
	taken atomic.Int64
}

// Accept implements net.Listener.
func (l *countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.taken.Add(1)
	}
	return conn, err
}

// Operations one after another use one connection: a driver that looks whether anybody
// is there gets an answer that it understands.
func TestConnectionsAreUsedAgain(t *testing.T) {
	for _, kind := range kinds() {
		service := storeService(kind, topology.Store{})
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		counted := &countingListener{Listener: ln}
		serveOn(t, service, counted)
		d := connect(t, service)
		for i := range 20 {
			if class, err := ask(d, ln.Addr().String(), topology.Operations()[i%3]); class != outcome.OK {
				t.Errorf("%s: %v", kind, err)
			}
		}
		want := int64(1)
		if kind == topology.MongoDB {
			want = 2 // mongo-driver has one more, on which it looks whether the server is there
		}
		if n := counted.taken.Load(); n != want {
			t.Errorf("%s: %d connections", kind, n)
		}
	}
}

func TestPoolIsBound(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			service := storeService(kind, topology.Store{Latency: dist.Fixed(time.Second), Pool: topology.Pool{Size: 2, Wait: 20 * ms}})
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
			if u := d.Usage(); u.Open != 2 || u.Timeouts != 3 || u.Waits != 3 || u.Retries != 0 {
				t.Errorf("the driver has counted %+v", u)
			}
			d.KeepOnly(nil)
			if u := d.Usage(); u.Open != 0 || u.Timeouts != 3 {
				t.Errorf("afterwards it has counted %+v", u)
			}
		})
	}
}

// A driver that retries by itself hides a fault; it says how often.
func TestRetriesAreOffOrCounted(t *testing.T) {
	for _, retries := range []int{0, 3} {
		address := peer.Serve(t, func(*net.TCPConn) {}) // which closes every connection
		service := redisService(topology.Store{Retries: retries})
		d := connect(t, service)
		if class, err := ask(d, address, topology.OpRead); class != outcome.ConnectionError {
			t.Errorf("%s: %v", class, err)
		}
		if got := d.Usage().Retries; got > int64(retries) || retries > 0 && got == 0 {
			t.Errorf("with %d retries, %d are counted", retries, got)
		}
	}
}

// garbage is a server that is no data store: it answers every connection in HTTP.
func garbage(t *testing.T) (address string) {
	t.Helper()
	return peer.Serve(t, func(conn *net.TCPConn) {
		fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_, _ = io.Copy(io.Discard, conn)
	})
}

func TestErrorsHaveTheirClass(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	noStore := garbage(t)
	for _, kind := range kinds() {
		d := connect(t, storeService(kind, topology.Store{Timeout: 200 * ms}))
		if class, err := ask(d, closed.Addr().String(), topology.OpRead); class != outcome.ConnectionError {
			t.Errorf("%s, refused: %s, %v", kind, class, err)
		}
		want := outcome.Malformed
		if kind == topology.MySQL {
			want = outcome.Timeout // to MySQL these are the first bytes of a long packet
		}
		if class, err := ask(d, noStore, topology.OpRead); class != want {
			t.Errorf("%s, garbage: %s, %v", kind, class, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		q := store.Query{Operation: topology.OpRead, Item: "a"}
		if _, err := d.Do(ctx, noStore, &q); store.Class(err) != outcome.Cancelled {
			t.Errorf("%s, cancelled: %v", kind, err)
		}
		d.Close()
		if _, err := d.Do(t.Context(), noStore, &q); !errors.Is(err, outcome.ErrStopping) {
			t.Errorf("%s, closed: %v", kind, err)
		}
	}
}

// startServer starts Debian's server of a kind for the test.
func startServer(t testing.TB, kind topology.Kind) string {
	t.Helper()
	if err := daemon.Check(kind); err != nil {
		t.Skip(err)
	}
	d, err := daemon.Start(t.Context(), kind, base(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	return d.Address
}

// base is a directory that other users can pass, unlike that of the test.
func base(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "microsim-driver-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Real servers that are started for a store are filled, answer the driver through the
// relay, which counts, fail as the embedded engine does, and are gone with their data
// at the end.
func TestRealServers(t *testing.T) {
	for _, kind := range kinds() {
		t.Run(string(kind), func(t *testing.T) {
			settings := topology.Store{Items: 1500, Timeout: 700 * ms}
			s, service, address := serveReal(t, kind, settings)
			d := connect(t, service)
			for item, want := range map[string]bool{"item:1499": true, "item:1500": false} {
				q := store.Query{Operation: topology.OpRead, Item: item}
				if found, err := d.Do(t.Context(), address, &q); found != want || err != nil {
					t.Errorf("%s is found: %v, %v", item, found, err)
				}
			}
			for _, op := range kind.Operations() {
				if class, err := ask(d, address, op); class != outcome.OK {
					t.Errorf("%s: %v", op, err)
				}
			}
			// An answer is handed on before it is counted.
			for op, n := range map[topology.Operation]int{topology.OpRead: 3, topology.OpWrite: 1, topology.OpRange: 1, topology.OpTransaction: 1} {
				if kind == topology.Memcached && op == topology.OpTransaction {
					continue
				}
				line := fmt.Sprintf("microsim_requests_total{code=\"ok\",endpoint=%q,service=\"db\"} %d\n", op, n)
				for end := time.Now().Add(10 * time.Second); !strings.Contains(metricsOf(s), line); time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("want %q in %q", line, regexp.MustCompile(`microsim_requests_total\{.*`).FindAllString(metricsOf(s), -1))
					}
				}
			}
			d.Close()
			failsAlike(t, s, service, address)
		})
	}
}

func metricsOf(s *server.Server) string {
	page := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return page.Body.String()
}

func ready(s *server.Server) bool {
	r := httptest.NewRecorder()
	s.ControlHandler().ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return r.Code == http.StatusOK
}

// A real server gets the items that it lacks, and loses them at the end; what was
// there stays as it is.
func TestRealEngineIsFilledAndEmptied(t *testing.T) {
	address := startServer(t, topology.Redis)
	c := redis.NewClient(&redis.Options{Addr: address})
	defer c.Close()
	if err := c.Set(t.Context(), "item:3", "mine", 0).Err(); err != nil {
		t.Fatal(err)
	}
	t.Run("", func(t *testing.T) {
		service := redisService(topology.Store{Engine: topology.Real, Address: address, Items: 2500})
		_, relay := serve(t, service)
		d := connect(t, service)
		for _, op := range topology.Redis.Operations() {
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

// BenchmarkOperations compares the embedded engines with Debian's servers, by the
// driver: "of-real" is how many operations the embedded one does in the time of one of
// the real server. GOMAXPROCS=1 and taskset -c 0 keep all of it on one core.
func BenchmarkOperations(b *testing.B) {
	for _, kind := range kinds() {
		service := storeService(kind, topology.Store{Pool: topology.Pool{Size: 20}})
		_, embedded := serve(b, service)
		for _, op := range []topology.Operation{topology.OpRead, topology.OpWrite} {
			b.Run(string(kind)+"/"+string(op), func(b *testing.B) {
				real := startServer(b, kind)
				fill(b, service, real)
				d := connect(b, service)
				// They take turns, so that both meet the same machine.
				var took, really time.Duration
				for left := b.N; left > 0; left -= turn {
					took += operations(b, d, embedded, op, min(left, turn))
					really += operations(b, d, real, op, min(left, turn))
				}
				b.ReportMetric(float64(really)/float64(took), "of-real")
				b.ReportMetric(float64(b.N)/took.Seconds(), "ops/s")
				b.ReportMetric(0, "ns/op") // of both together
			})
		}
	}
}

// fill makes the table that a server of SQL needs.
func fill(b *testing.B, service *topology.Service, address string) {
	b.Helper()
	t := *service
	settings := *service.Store
	settings.Address, settings.Items = address, 10
	t.Store = &settings
	if _, err := driver.Prepare(b.Context(), &t, 1); err != nil {
		b.Fatal(err)
	}
}

// turn is how many operations are done at one server before it is the other's turn.
const turn = 500

// operations does n operations, eight at a time, and says how long they took.
func operations(b *testing.B, d store.Driver, address string, op topology.Operation, n int) time.Duration {
	b.Helper()
	var wait sync.WaitGroup
	var left atomic.Int64
	left.Store(int64(n))
	start := time.Now()
	for range 8 {
		wait.Go(func() {
			for left.Add(-1) >= 0 {
				if _, err := ask(d, address, op); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	return time.Since(start)
}
