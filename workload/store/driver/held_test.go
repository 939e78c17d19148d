package driver_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver of database/sql
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
)

// slowly is a fault that lets a share of operations take longer.
func slowly(share float64, delay time.Duration, only topology.Operation) fault.Fault {
	return fault.Fault{Type: fault.SlowQuery, Probability: unit.Share(share), Args: fault.Args{Delay: dist.Fixed(delay), Operation: string(only)}}
}

// realOrLike is a real server of a kind behind a relay or, where none is installed, an embedded one
// behind it.
func realOrLike(t *testing.T, kind topology.Kind) (*server.Server, string) {
	t.Helper()
	if daemon.Check(kind) == nil {
		s, _, address := serveReal(t, kind, topology.Store{Items: 20})
		return s, address
	}
	service := storeService(kind, topology.Store{Items: 20})
	_, behind := serve(t, service)
	s, address, _ := serveRelayed(t, service, behind, nil)
	return s, address
}

// The relay before a real server slows the same operations as the embedded engine does, by as
// much, and says so.
func TestSlowQueriesHitTheSameOperations(t *testing.T) {
	const delay = 20 * time.Millisecond
	for _, kind := range append(kinds(), topology.Kafka) {
		t.Run(string(kind), func(t *testing.T) {
			service := storeService(kind, topology.Store{Items: 20})
			embedded, address := serve(t, service)
			real, relay := realOrLike(t, kind)
			for _, only := range []topology.Operation{"", kind.Operations()[0]} {
				want := slowed(t, embedded, service, address, slowly(0.5, delay, only))
				got := slowed(t, real, service, relay, slowly(0.5, delay, only))
				if !slices.Equal(got, want) {
					t.Errorf("operations %q slowed: %v, and by the embedded engine %v", only, got, want)
				}
				if !slices.Contains(want, true) || !slices.Contains(want, false) {
					t.Errorf("it shows nothing: %v", want)
				}
			}
		})
	}
}

// slowed says which operations of a list a fault hits. Each of these takes as long as it says.
func slowed(t *testing.T, s *server.Server, service *topology.Service, address string, f fault.Fault) (hit []bool) {
	t.Helper()
	d := connect(t, service)
	if err := s.AddFault("slow", f, time.Time{}); err != nil {
		t.Fatal(err)
	}
	operations := service.Kind.Operations()
	if service.Kind == topology.Kafka {
		operations = []topology.Operation{topology.OpPublish} // consumers look in vain, too
	}
	for i := range 12 {
		for _, op := range operations {
			before, began := s.Faults()[0].Hits, time.Now()
			q := store.Query{Operation: op, Item: store.ItemName(i % 4), Items: []string{store.ItemName(i % 4), store.ItemName(5)}, Value: make([]byte, 6000)}
			for b := range q.Value {
				q.Value[b] = 'x'
			}
			if _, err := d.Do(t.Context(), address, &q); err != nil {
				t.Fatalf("%s: %v", op, err)
			}
			hits := s.Faults()[0].Hits - before
			if took := time.Since(began); hits > 0 && took < f.Args.Delay.Fixed.Std() {
				t.Errorf("a slow %s takes %v", op, took)
			}
			hit = append(hit, hits > 0)
		}
	}
	if err := s.ClearFault("slow"); err != nil {
		t.Fatal(err)
	}
	return hit
}

// Other clients of SQL prepare statements and send arguments beside them. The relay slows and counts
// those of one kind, on whatever rows.
func TestSlowQueriesHitPreparedStatements(t *testing.T) {
	for kind, open := range map[topology.Kind]func(address string) (*sql.DB, string, error){
		topology.Postgres: func(address string) (*sql.DB, string, error) {
			db, err := sql.Open("pgx", "postgres://postgres@"+address+"/postgres?sslmode=disable")
			return db, "$1", err
		},
		topology.MySQL: func(address string) (*sql.DB, string, error) {
			c := mysql.NewConfig()
			c.User, c.Net, c.Addr, c.DBName = "root", "tcp", address, "mysql"
			connector, err := mysql.NewConnector(c)
			return sql.OpenDB(connector), "?", err
		},
	} {
		t.Run(string(kind), func(t *testing.T) {
			s, address := realOrLike(t, kind)
			db, place, err := open(address)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if err := s.AddFault("slow", slowly(1, 30*time.Millisecond, topology.OpWrite), time.Time{}); err != nil {
				t.Fatal(err)
			}
			update, err := db.PrepareContext(t.Context(), "update items set value = 'x' where name = "+place)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 5 {
				var value string
				began := time.Now()
				if _, err := update.ExecContext(t.Context(), store.ItemName(i)); err != nil {
					t.Fatal(err)
				}
				if took := time.Since(began); took < 30*time.Millisecond {
					t.Errorf("a write takes %v", took)
				}
				if err := db.QueryRowContext(t.Context(), "select value from items where name = "+place, store.ItemName(i)).Scan(&value); err != nil || value != "x" {
					t.Errorf("%q, %v", value, err)
				}
			}
			if err := update.Close(); err != nil {
				t.Fatal(err)
			}
			if hits := s.Faults()[0].Hits; hits != 5 {
				t.Errorf("%d hits, want 5", hits)
			}
			awaitMetric(t, s, `microsim_requests_total{code="ok",endpoint="write",service="db"} 5`)
			awaitMetric(t, s, `microsim_requests_total{code="ok",endpoint="read",service="db"} 5`)
		})
	}
}

// awaitMetric waits for a line of the metrics: the relay counts an answer once it has passed it on.
func awaitMetric(t *testing.T, s *server.Server, line string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(metricsOf(s), line+"\n"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no %s in\n%s", line, metricsOf(s))
		}
	}
}

// A pipeline is slowed command by command, and its answers come in order.
func TestSlowQueriesHitPipelines(t *testing.T) {
	s, address := realOrLike(t, topology.Redis)
	if err := s.AddFault("slow", slowly(1, 30*time.Millisecond, topology.OpWrite), time.Time{}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	began := time.Now()
	if _, err := io.WriteString(conn, "SET a 1\r\nGET a\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n2\r\nGET a\r\nSET a 3\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	told, err := io.ReadAll(conn)
	if want := "+OK\r\n$1\r\n1\r\n+OK\r\n$1\r\n2\r\n+OK\r\n+OK\r\n"; string(told) != want || err != nil {
		t.Errorf("told %q, %v", told, err)
	}
	if took := time.Since(began); took < 90*time.Millisecond {
		t.Errorf("three slow writes take %v", took)
	}
	if hits := s.Faults()[0].Hits; hits != 3 {
		t.Errorf("%d hits, want 3", hits)
	}
}

// Writes of MongoDB that want no answer are slowed as well.
func TestSlowQueriesHitSilentWrites(t *testing.T) {
	s, address := realOrLike(t, topology.MongoDB)
	if err := s.AddFault("slow", slowly(1, 30*time.Millisecond, topology.OpWrite), time.Time{}); err != nil {
		t.Fatal(err)
	}
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + address + "/?directConnection=true&w=0"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = client.Disconnect(context.WithoutCancel(t.Context())) }()
	items := client.Database("microsim").Collection("items")
	if _, err := items.InsertOne(t.Context(), bson.D{{Key: "_id", Value: "silent"}, {Key: "value", Value: "x"}}); err != nil && !strings.Contains(err.Error(), "unacknowledged") {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); s.Faults()[0].Hits < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not slowed")
		}
	}
}

// A client that the relay does not understand is let through, but for as long as slow queries act: it
// would pass them by.
func TestSlowQueriesCutWhatIsNotUnderstood(t *testing.T) {
	s, address := realOrLike(t, topology.Redis)
	long := strings.Repeat("a", 20_000) + "\r\n" // a line that the relay does not keep
	strange := func() *bufio.Reader {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(conn, long); err != nil {
			t.Fatal(err)
		}
		return bufio.NewReader(conn)
	}
	before := strange()
	if told, err := before.ReadString('\n'); !strings.HasPrefix(told, "-ERR unknown command") {
		t.Fatalf("told %q, %v", told, err)
	}
	if err := s.AddFault("slow", slowly(1, time.Millisecond, ""), time.Time{}); err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]*bufio.Reader{"one from before": before, "one that comes meanwhile": strange()} {
		told, err := io.ReadAll(in)
		if len(told) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s is told %q, %v", name, told, err)
		}
	}
	if err := s.ClearFault("slow"); err != nil {
		t.Fatal(err)
	}
	if told, err := strange().ReadString('\n'); !strings.HasPrefix(told, "-ERR unknown command") {
		t.Errorf("afterwards it is told %q, %v", told, err)
	}
}

// What is held when its client has gone, or the store ends, does not keep the store.
func TestHeldOperationsEnd(t *testing.T) {
	service := storeService(topology.Redis, topology.Store{Items: 20})
	_, behind := serve(t, service)
	s, address, stop := serveRelayed(t, service, behind, nil)
	if err := s.AddFault("slow", slowly(1, time.Hour, ""), time.Time{}); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprint(conn, "GET item:1\r\n"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); s.Faults()[0].Hits < 1; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not slowed")
		}
	}
	stop()
}
