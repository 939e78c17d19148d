package store_test

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store"
)

func sqlStore(t *testing.T, kind topology.Kind) string {
	t.Helper()
	service := redisService(topology.Store{Items: 20})
	service.Kind = kind
	_, address := serve(t, store.Config{Service: service})
	return address
}

// Each mode of pgx reaches the embedded engine: with and without prepared statements,
// in text and binary form, one by one and in batches.
func TestEveryModeOfPgx(t *testing.T) {
	address, ctx := sqlStore(t, topology.Postgres), t.Context()
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		c, err := pgx.ParseConfig("postgres://postgres@" + address + "/postgres?sslmode=disable")
		if err != nil {
			t.Fatal(err)
		}
		c.DefaultQueryExecMode = mode
		conn, err := pgx.ConnectConfig(ctx, c)
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint("new ", mode)
		if tag, err := conn.Exec(ctx, "insert into items (name, value) values ($1, $2)", name, "it's"); err != nil || tag.String() != "INSERT 0 1" {
			t.Errorf("%v: %s, %v", mode, tag, err)
		}
		_, err = conn.Exec(ctx, "insert into items (name, value) values ($1, $2)", name, "again")
		if err == nil || !strings.Contains(err.Error(), "SQLSTATE 23505") {
			t.Errorf("%v: %v", mode, err)
		}
		n, one, value := int64(0), 0, ""
		if err := conn.QueryRow(ctx, "select count(*) from items").Scan(&n); err != nil || n != 21 {
			t.Errorf("%v: %d items, %v", mode, n, err)
		}
		if err := conn.QueryRow(ctx, "select 1").Scan(&one); err != nil || one != 1 {
			t.Errorf("%v: %d, %v", mode, one, err)
		}
		var batch pgx.Batch
		for range 50 {
			batch.Queue("select value from items where name = $1", name)
		}
		batch.Queue("delete from items where name in ($1, $2)", name, "none")
		results := conn.SendBatch(ctx, &batch)
		for range 50 {
			if err := results.QueryRow().Scan(&value); err != nil || value != "it's" {
				t.Fatalf("%v: %q, %v", mode, value, err)
			}
		}
		if tag, err := results.Exec(); err != nil || tag.RowsAffected() != 1 {
			t.Errorf("%v: %s, %v", mode, tag, err)
		}
		if err := results.Close(); err != nil {
			t.Errorf("%v: %v", mode, err)
		}
		if err := conn.Close(ctx); err != nil {
			t.Error(err)
		}
	}
}

// A statement prepared by name lasts until it is closed, and an error until it is over.
func TestNamedStatements(t *testing.T) {
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, "postgres://postgres@"+sqlStore(t, topology.Postgres)+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	for range 3 {
		if _, err := conn.Prepare(ctx, "one", "select value from items where name = $1"); err != nil {
			t.Fatal(err)
		}
		var value string
		if err := conn.QueryRow(ctx, "one", "item:3").Scan(&value); err != nil || !strings.HasPrefix(value, "item:3 ") {
			t.Errorf("%q, %v", value, err)
		}
		if err := conn.Deallocate(ctx, "one"); err != nil {
			t.Error(err)
		}
		if _, err := conn.Prepare(ctx, "two", "selec"); err == nil {
			t.Error("a mistake was prepared")
		}
	}
}

// The statements of go-sql-driver/mysql serve with numbers, with long values that come
// in parts, and again and again.
func TestPreparedStatementsOfMySQL(t *testing.T) {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName, c.MaxAllowedPacket = "root", "tcp", sqlStore(t, topology.MySQL), "mysql", 100_000
	connector, err := mysql.NewConnector(c)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	write, err := db.Prepare("insert into items (name, value) values (?, ?) on duplicate key update value = values(value)")
	if err != nil {
		t.Fatal(err)
	}
	read, err := db.Prepare("select value from items where name = ?")
	if err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 90_000)
	for _, value := range []any{"short", long, int64(-5), uint64(1 << 63), []byte("bytes"), int8(3), ""} {
		if _, err := write.Exec("it's", value); err != nil {
			t.Errorf("%.20v: %v", value, err)
		}
		var got string
		want := fmt.Sprint(value)
		if b, ok := value.([]byte); ok {
			want = string(b)
		}
		if err := read.QueryRow("it's").Scan(&got); err != nil || got != want {
			t.Errorf("%.20v: %.20q, %v", value, got, err)
		}
	}
	var n int
	if err := db.QueryRow("select count(*) from items where name = ?", "a").Scan(&n); err == nil {
		t.Error("a count of some is not known, and was answered")
	}
	if _, err := write.Exec("a", nil); err == nil || !strings.Contains(err.Error(), "cannot be null") {
		t.Errorf("null: %v", err)
	}
	if _, err := write.Exec("a", 1.5); err == nil || !strings.Contains(err.Error(), "texts only") {
		t.Errorf("a number with a fraction: %v", err)
	}
	if err := write.Close(); err != nil {
		t.Error(err)
	}
	if err := db.QueryRow("select value from items where name = ?", "it's").Scan(new(string)); err != nil {
		t.Error(err)
	}
}
