package store_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

// A sqlKind is one of the kinds with SQL, and what differs.
type sqlKind struct {
	kind             topology.Kind
	open             func(testing.TB, string, bool) *sql.DB
	create, conflict string
	places           func(string) string
	// level sets the isolation of the embedded engine.
	level string
}

func sqlKinds() []sqlKind {
	return []sqlKind{
		{topology.Postgres, postgresDB, `create table items (name text collate "C" primary key, value text not null)`, "on conflict (name) do update set value = excluded.value", numbered, ""},
		{
			topology.MySQL, mysqlDB, "create table items (name varchar(255) primary key, value longtext not null) character set utf8mb4 collate utf8mb4_bin",
			"on duplicate key update value = values(value)", func(s string) string { return s }, "set session transaction isolation level read committed",
		},
	}
}

// bothSQL opens connections to Debian's server of a kind, and to the embedded engine without items.
func bothSQL(t *testing.T, k sqlKind, prepares bool, n int) (real, embedded []*sql.Conn) {
	t.Helper()
	server := realServer(t, k.kind)
	service := redisService(topology.Store{Items: 1})
	service.Kind = k.kind
	_, address := serve(t, store.Config{Service: service})
	db := k.open(t, server, prepares)
	untilReady(t, db)
	if _, err := db.Exec(k.create); err != nil {
		t.Fatal(err)
	}
	own := k.open(t, address, prepares)
	if _, err := own.Exec("delete from items where name = 'item:0'"); err != nil {
		t.Fatal(err)
	}
	for range n {
		real, embedded = append(real, connOf(t, db, k.level)), append(embedded, connOf(t, own, k.level))
	}
	return real, embedded
}

func connOf(t *testing.T, db *sql.DB, level string) *sql.Conn {
	t.Helper()
	c, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if level != "" {
		if _, err := c.ExecContext(t.Context(), level); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// A scene is what two clients do in turn. It keeps which rows are locked, so that nobody waits: then the
// order of what happens is that of the list.
type scene struct {
	*rand.Rand
	locked [2]map[string]bool
	open   [2]bool
}

// next is what one of the clients does next.
func (s *scene) next(k *sqlKind) (who int, text string, args []any, reads bool) {
	who = s.IntN(2)
	end := func(text string) (int, string, []any, bool) {
		s.locked[who], s.open[who] = nil, false
		return who, text, nil, false
	}
	var free []string
	for i := range 5 {
		if name := fmt.Sprint("k", i); !s.locked[1-who][name] {
			free = append(free, name)
		}
	}
	name, value := fmt.Sprint("k", s.IntN(5)), fmt.Sprint("v", s.IntN(4))
	switch n := s.IntN(14); {
	case n < 2 && !s.open[who]:
		s.open[who] = true
		return who, []string{"begin", "start transaction"}[s.IntN(2)], nil, false
	case n == 2:
		return end("commit")
	case n == 3:
		return end("rollback")
	case n < 7:
		return who, "select name, value from items where name = ?", []any{name}, true
	case n == 7:
		return who, "select name, value from items where name in (?, ?) order by name", []any{"k1", name}, true
	case n == 8:
		return who, "select count(*) from items", nil, true
	case len(free) == 0:
		return who, "select 1", nil, true
	}
	name = free[s.IntN(len(free))]
	if s.open[who] { // whether the statement locks it or not
		if s.locked[who] == nil {
			s.locked[who] = map[string]bool{}
		}
		s.locked[who][name] = true
	}
	switch s.IntN(5) {
	case 0:
		return who, "insert into items (name, value) values (?, ?)", []any{name, value}, false
	case 1:
		return who, "insert into items (name, value) values (?, ?) " + k.conflict, []any{name, value}, false
	case 2:
		return who, "delete from items where name = ?", []any{name}, false
	case 3:
		return who, "select name, value from items where name = ? for update", []any{name}, true
	default:
		return who, "update items set value = ? where name = ?", []any{value, name}, false
	}
}

// Two clients whose transactions read and write see the same on the embedded engine as on Debian's
// servers: their own writes, others' once they are committed, and none that were taken back.
func TestTransactionsAreThoseOfRealServers(t *testing.T) {
	for _, k := range sqlKinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			t.Parallel()
			for _, prepares := range []bool{false, true} {
				real, embedded := bothSQL(t, k, prepares, 2)
				s := scene{Rand: rand.New(rand.NewPCG(5, 6))}
				var played []string
				for range 1500 {
					who, text, args, reads := s.next(&k)
					text = k.places(text)
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					want, got := answerOn(ctx, real[who], text, args, reads), answerOn(ctx, embedded[who], text, args, reads)
					cancel()
					played = append(played, fmt.Sprintf("%d %s %v: %s", who, text, args, want))
					if got != want {
						t.Fatalf("%s\nends here as %s", strings.Join(played[max(0, len(played)-25):], "\n"), got)
					}
					if strings.Contains(want, "25P02") || k.kind == topology.Postgres && !strings.HasPrefix(want, "[") && !strings.HasSuffix(want, "<nil>") {
						s.locked[who] = nil // PostgreSQL lets the rows go as soon as a transaction has failed
					}
				}
			}
		})
	}
}

// What waits for a row that a transaction has written goes on at its end, with what it has left.
func TestWritesWaitForTransactions(t *testing.T) {
	for _, k := range sqlKinds() {
		for _, end := range []string{"commit", "rollback"} {
			t.Run(string(k.kind)+" "+end, func(t *testing.T) {
				t.Parallel()
				real, embedded := bothSQL(t, k, false, 2)
				for name, conns := range map[string][]*sql.Conn{"really": real, "embedded": embedded} {
					ctx := t.Context()
					do := func(who int, text string) string {
						return answerOn(ctx, conns[who], text, nil, strings.HasPrefix(text, "select"))
					}
					do(0, "insert into items (name, value) values ('a', '0')")
					do(0, "begin")
					do(0, "update items set value = '1' where name = 'a'")
					do(0, "insert into items (name, value) values ('b', '1')")
					said := make(chan string, 2)
					go func() {
						said <- do(1, "update items set value = '1' where name = 'a'")
						said <- do(1, "insert into items (name, value) values ('b', '2')")
					}()
					select {
					case s := <-said:
						t.Errorf("%s: it does not wait: %s", name, s)
					case <-time.After(200 * time.Millisecond):
					}
					do(0, end)
					first, second := <-said, <-said
					wantB := "1 rows changed <nil>"
					if end == "commit" {
						wantB = "duplicate"
					}
					if !strings.HasSuffix(first, "rows changed <nil>") || !strings.Contains(strings.ToLower(second), strings.ToLower(wantB)) {
						t.Errorf("%s: after %s the others end as %s and %s", name, end, first, second)
					}
				}
			})
		}
	}
}

// Two transactions that wait for each other do not for ever: one of them fails by the server's own
// error, and the other goes on.
func TestDeadlocksEnd(t *testing.T) {
	for _, k := range sqlKinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			t.Parallel()
			real, embedded := bothSQL(t, k, false, 2)
			for name, conns := range map[string][]*sql.Conn{"really": real, "embedded": embedded} {
				do := func(who int, text string) string { return answerOn(t.Context(), conns[who], text, nil, false) }
				do(0, "insert into items (name, value) values ('a', '0')")
				do(0, "insert into items (name, value) values ('b', '0')")
				for who, item := range []string{"a", "b"} {
					do(who, "begin")
					do(who, "update items set value = 'x' where name = '"+item+"'")
				}
				ends := make(chan string, 2)
				for who, item := range []string{"b", "a"} {
					go func() { ends <- do(who, "update items set value = 'y' where name = '"+item+"'") + do(who, "commit") }()
				}
				told := <-ends + "; " + <-ends
				want := map[topology.Kind]string{topology.Postgres: "40P01", topology.MySQL: "Error 1213 (40001)"}[k.kind]
				if strings.Count(told, want) != 1 || strings.Count(told, "rows changed <nil>") < 2 {
					t.Errorf("%s: they end as %s", name, told)
				}
			}
		})
	}
}

// A connection that goes takes its transaction back, and lets its rows go.
func TestConnectionsThatGoTakeBack(t *testing.T) {
	for _, k := range sqlKinds() {
		t.Run(string(k.kind), func(t *testing.T) {
			address := sqlStore(t, k.kind)
			first, second := k.open(t, address, false), k.open(t, address, false)
			tx, err := first.BeginTx(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec("update items set value = 'gone' where name = 'item:1'"); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() {
				_, err := second.Exec("update items set value = 'x' where name = 'item:1' ")
				ended <- err
			}()
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			_ = tx.Rollback() // the connection may be in use until then
			if err := <-ended; err != nil {
				t.Error(err)
			}
			var value string
			if err := second.QueryRow("select value from items where name = 'item:1'").Scan(&value); err != nil || value != "x" {
				t.Errorf("%q, %v", value, err)
			}
		})
	}
}

// Levels of isolation that the embedded engine does not have are refused, not passed over.
func TestOtherIsolationIsRefused(t *testing.T) {
	for _, k := range sqlKinds() {
		db := k.open(t, sqlStore(t, k.kind), false)
		for _, level := range []sql.IsolationLevel{sql.LevelRepeatableRead, sql.LevelSerializable} {
			tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: level})
			if err == nil || !strings.Contains(err.Error(), "READ COMMITTED") {
				t.Errorf("%s, %s: %v", k.kind, level, err)
			}
			if err == nil {
				_ = tx.Rollback()
			}
		}
		tx, err := db.BeginTx(t.Context(), &sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if err != nil {
			t.Fatalf("%s: %v", k.kind, err)
		}
		if err := tx.Commit(); err != nil {
			t.Error(err)
		}
	}
}
