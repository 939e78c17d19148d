package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
)

// realServer starts Debian's server of a kind for the test.
func realServer(t testing.TB, kind topology.Kind) string {
	t.Helper()
	if err := daemon.Check(kind); err != nil {
		t.Skip(err)
	}
	base, err := os.MkdirTemp("", "microsim-store-test-") // that of the test is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o711); err != nil {
		t.Fatal(err)
	}
	d, err := daemon.Start(t.Context(), kind, base)
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

// postgresDB reaches a server by pgx, which prepares statements if it is let.
func postgresDB(t testing.TB, address string, prepares bool) *sql.DB {
	t.Helper()
	c, err := pgx.ParseConfig("postgres://postgres@" + address + "/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	if !prepares {
		c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	}
	db := stdlib.OpenDB(*c)
	t.Cleanup(func() { db.Close() })
	return db
}

// mysqlDB reaches a server by go-sql-driver/mysql, likewise.
func mysqlDB(t testing.TB, address string, prepares bool) *sql.DB {
	t.Helper()
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName, c.InterpolateParams, c.MultiStatements, c.Collation = "root", "tcp", address, "mysql", !prepares, !prepares, "utf8mb4_bin"
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

// randomStatement is one that the embedded engine knows, or a mistake.
func randomStatement(r *rand.Rand, conflict string) (text string, args []any, reads bool) {
	name := func() any { return fmt.Sprint("k", r.IntN(5)) }
	value := func() any { return []string{"", "x", "it's", `back\slash`, "a\nb", `"q"`, "żółw"}[r.IntN(7)] }
	switch r.IntN(14) {
	case 0:
		return "select value from items where name = ?", []any{name()}, true
	case 1:
		return "SELECT name, value FROM items WHERE name = ?;", []any{name()}, true
	case 2:
		return "select * from items where name in (?, ?, ?) order by name", []any{name(), name(), name()}, true
	case 3:
		return "select count(*) from items", nil, true
	case 4, 5:
		return "insert into items (name, value) values (?, ?)", []any{name(), value()}, false
	case 6, 7, 8:
		return "insert into items (name, value) values (?, ?) " + conflict, []any{name(), value()}, false
	case 9:
		return "update items set value = ? where name = ?", []any{value(), name()}, false
	case 10:
		return "delete from items where name = ?", []any{name()}, false
	case 11:
		n := name()
		return "begin; select value from items where name = ? for update; insert into items (name, value) values (?, ?) " + conflict + "; commit", []any{n, n, value()}, false
	case 12:
		return "insert into items (name, value) values (?, ?) " + conflict + "; select value from items where name = ?", []any{name(), value(), name()}, false
	default:
		return []string{"selec 1", "insert into items (name value) values ('a', 'b')", "select value from items where name = ", "select 1"}[r.IntN(4)], nil, r.IntN(2) == 0
	}
}

// numbered writes the places of arguments as PostgreSQL has them.
func numbered(text string) string {
	for i := 1; strings.Contains(text, "?"); i++ {
		text = strings.Replace(text, "?", fmt.Sprint("$", i), 1)
	}
	return text
}

// answer is what a client sees of a statement, as text.
func answer(db *sql.DB, text string, args []any, reads bool) string {
	return answerOn(context.Background(), db, text, args, reads)
}

// A sqlClient is a pool of connections, or one of them.
type sqlClient interface {
	ExecContext(ctx context.Context, text string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error)
}

func answerOn(ctx context.Context, db sqlClient, text string, args []any, reads bool) string {
	if !reads {
		result, err := db.ExecContext(ctx, text, args...)
		if err != nil {
			return said(err)
		}
		n, err := result.RowsAffected()
		return fmt.Sprint(n, " rows changed ", err)
	}
	rows, err := db.QueryContext(ctx, text, args...)
	if err != nil {
		return said(err)
	}
	defer rows.Close()
	columns, _ := rows.Columns()
	all := [][]string{}
	for rows.Next() {
		row, at := make([]string, len(columns)), make([]any, len(columns))
		for i := range row {
			at[i] = &row[i]
		}
		if err := rows.Scan(at...); err != nil {
			return err.Error()
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		return said(err)
	}
	return fmt.Sprintf("%q", all)
}

// said is an error of the server. The words of a mistake in the syntax are not
// compared: where a parser gives up is its own affair.
func said(err error) string {
	var pg *pgconn.PgError
	var my *mysql.MySQLError
	switch {
	case errors.As(err, &pg) && (pg.Code == "42601" || pg.Code == "0A000"), errors.As(err, &my) && (my.Number == 1064 || my.Number == 1235):
		return "a mistake"
	case errors.As(err, &pg):
		return fmt.Sprintf("%s %s: %s (%s)", pg.Severity, pg.Code, pg.Message, pg.Detail)
	}
	return err.Error()
}

// TestEmbeddedSQLAnswersAsRealServers sends the same statements to the embedded engine
// and to Debian's server, by the official driver, and compares what comes back.
func TestEmbeddedSQLAnswersAsRealServers(t *testing.T) {
	for _, tt := range []struct {
		kind             topology.Kind
		open             func(testing.TB, string, bool) *sql.DB
		create, conflict string
		places           func(string) string
	}{
		{topology.Postgres, postgresDB, `create table items (name text collate "C" primary key, value text not null)`, "on conflict (name) do update set value = excluded.value", numbered},
		{topology.MySQL, mysqlDB, "create table items (name varchar(255) primary key, value longtext not null) character set utf8mb4 collate utf8mb4_bin", "on duplicate key update value = values(value)", func(s string) string { return s }},
	} {
		t.Run(string(tt.kind), func(t *testing.T) {
			t.Parallel()
			server := realServer(t, tt.kind)
			service := redisService(topology.Store{})
			service.Kind = tt.kind
			_, address := serve(t, store.Config{Service: service})
			real, embedded := tt.open(t, server, false), tt.open(t, address, false)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			for real.PingContext(ctx) != nil && ctx.Err() == nil {
				time.Sleep(20 * time.Millisecond)
			}
			if _, err := real.Exec(tt.create); err != nil {
				t.Fatal(err)
			}
			if _, err := embedded.Exec("delete from items where name in ('k0', 'k1', 'k2', 'k3', 'k4')"); err != nil {
				t.Fatal(err)
			}
			seeded := topology.DefaultItems
			r := rand.New(rand.NewPCG(1, 2))
			for i := range 1200 {
				if i == 600 { // the second half in the mode that drivers have by themselves
					real, embedded = tt.open(t, server, true), tt.open(t, address, true)
				}
				text, args, reads := randomStatement(r, tt.conflict)
				text = tt.places(text)
				want, got := answer(real, text, args, reads), answer(embedded, text, args, reads)
				if strings.HasPrefix(text, "select count") {
					var n, m int
					fmt.Sscanf(want, `[["%d"]]`, &n)
					fmt.Sscanf(got, `[["%d"]]`, &m)
					if n+seeded != m {
						t.Fatalf("%d: %d items, and really %d", i, m-seeded, n)
					}
					continue
				}
				if got != want {
					t.Fatalf("%d: %s %q:\n%s\nand really\n%s", i, text, args, got, want)
				}
			}
		})
	}
}
