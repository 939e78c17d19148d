package store_test

import (
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
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

// Drivers whose transactions are on by themselves can read, and are told why they cannot
// write.
func TestWritesInTransactionsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		kind  topology.Kind
		open  func(testing.TB, string, bool) *sql.DB
		begin string
	}{
		{topology.Postgres, postgresDB, "begin"}, {topology.MySQL, mysqlDB, "begin"}, {topology.MySQL, mysqlDB, "set autocommit = 0"}, {topology.MySQL, mysqlDB, "SET @@session.autocommit = OFF"},
	} {
		for _, prepares := range []bool{false, true} {
			for _, write := range []string{
				"update items set value = 'x' where name = 'item:1'", "insert into items (name, value) values ('new', 'x')", "delete from items where name = 'item:1'",
				"select value from items where name = 'item:1' for update",
			} {
				db, err := tt.open(t, sqlStore(t, tt.kind), prepares).Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				var before, after string
				if err := db.QueryRowContext(t.Context(), "select value from items where name = 'item:1'").Scan(&before); err != nil {
					t.Fatal(err)
				}
				if _, err := db.ExecContext(t.Context(), tt.begin); err != nil {
					t.Fatalf("%s: %v", tt.begin, err)
				}
				_, err = db.ExecContext(t.Context(), write)
				if err == nil || !strings.Contains(err.Error(), "write without a transaction") {
					t.Errorf("%s: %s: %s: %v", tt.kind, tt.begin, write, err)
				}
				var my *mysql.MySQLError
				if errors.As(err, &my) && my.Number != 1235 {
					t.Errorf("error %d", my.Number)
				}
				if _, err := db.ExecContext(t.Context(), "rollback"); err != nil {
					t.Error(err)
				}
				if err := db.QueryRowContext(t.Context(), "select value from items where name = 'item:1'").Scan(&after); err != nil || after != before {
					t.Errorf("%q was %q: %v", after, before, err)
				}
				if strings.Contains(strings.ToLower(tt.begin), "autocommit") {
					if _, err := db.ExecContext(t.Context(), "set autocommit = 1"); err != nil {
						t.Error(err)
					}
				}
				if strings.HasPrefix(write, "select") {
					continue
				}
				if _, err := db.ExecContext(t.Context(), write); err != nil {
					t.Errorf("outside: %s: %v", write, err)
				}
			}
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
