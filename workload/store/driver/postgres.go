package driver

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// postgresUser is the user, and the database, of stores that name none.
const postgresUser = "postgres"

// postgres is SQL as PostgreSQL has it, and pgx.
func postgres(caller string) *language {
	return &language{
		open: func(address string) (*sql.DB, error) {
			config, err := PostgresConfig(caller, address)
			if err != nil {
				return nil, err
			}
			return stdlib.OpenDB(*config), nil
		},
		create:      "create table items (name text collate \"C\" primary key, value text not null)",
		read:        "select name, value from items where name ",
		write:       "insert into items (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
		transaction: "begin; select value from items where name = $1 for update; insert into items (name, value) values ($2, $3) on conflict (name) do update set value = excluded.value; commit",
		starting:    "SQLSTATE 57P03",
		place: func(n int) string {
			if n == 1 {
				return "= $1"
			}
			return "in (" + listOf(n, func(i int) string { return fmt.Sprint("$", i) }) + ")"
		},
		refusal: func(err error) (store.Refusal, bool) {
			var told *pgconn.PgError
			if errors.As(err, &told) {
				return store.Refusal(fmt.Sprintf("%s: %s (SQLSTATE %s)", told.Severity, told.Message, told.Code)), true
			}
			return "", false
		},
		broken: func(err error) bool {
			var network net.Error
			text := err.Error()
			return !errors.As(err, &network) && (strings.Contains(text, "unknown message type") || strings.Contains(text, "invalid body length") || strings.Contains(text, "unexpected message"))
		},
	}
}

// PostgresConfig is that of one connection to a store at an address (host:port). The simple protocol makes each operation
// one message, and prepares nothing that a failover would make void.
func PostgresConfig(caller, address string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://%s@%s/%s?sslmode=disable", postgresUser, address, postgresUser))
	if err != nil {
		return nil, fmt.Errorf("reaching a store at %q: %w", address, err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	config.RuntimeParams = map[string]string{"application_name": caller}
	config.Fallbacks = nil // another try would hide a fault
	return config, nil
}
