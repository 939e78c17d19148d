package driver

import (
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// mysqlUser and mysqlDatabase are those of stores that name none.
const (
	mysqlUser     = "root"
	mysqlDatabase = "mysql"
)

// mariadb is SQL as MySQL and MariaDB have it, and go-sql-driver/mysql.
func mariadb(caller string) *language {
	return &language{
		open: func(address string) (*sql.DB, error) {
			connector, err := mysql.NewConnector(MySQLConfig(caller, address))
			if err != nil {
				return nil, fmt.Errorf("reaching a store at %q: %w", address, err)
			}
			return sql.OpenDB(connector), nil
		},
		create:      "create table items (name varchar(255) primary key, value longtext not null) character set utf8mb4 collate utf8mb4_bin",
		read:        "select name, value from items where name ",
		write:       "insert into items (name, value) values (?, ?) on duplicate key update value = values(value)",
		transaction: "begin; select value from items where name = ? for update; insert into items (name, value) values (?, ?) on duplicate key update value = values(value); commit",
		starting:    "the server is starting", // it takes no connections before
		place: func(n int) string {
			if n == 1 {
				return "= ?"
			}
			return "in (" + listOf(n, func(int) string { return "?" }) + ")"
		},
		refusal: func(err error) (store.Refusal, bool) {
			var told *mysql.MySQLError
			if errors.As(err, &told) {
				return store.Refusal(told.Error()), true
			}
			return "", false
		},
		broken: func(err error) bool {
			return errors.Is(err, mysql.ErrMalformPkt) || errors.Is(err, mysql.ErrPktSync) || errors.Is(err, mysql.ErrPktSyncMul) || errors.Is(err, mysql.ErrOldProtocol)
		},
	}
}

// MySQLConfig is that of one connection to a store at an address (host:port). Values are put into the text, which makes
// each operation one message.
func MySQLConfig(caller, address string) *mysql.Config {
	c := mysql.NewConfig()
	c.User, c.Net, c.Addr, c.DBName = mysqlUser, "tcp", address, mysqlDatabase
	c.InterpolateParams, c.MultiStatements, c.Collation = true, true, "utf8mb4_bin"
	c.ConnectionAttributes, c.Logger = "program_name:"+caller, &mysql.NopLogger{}
	return c
}
