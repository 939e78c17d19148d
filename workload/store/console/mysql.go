package console

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// mysqlMeans are those of MariaDB: https://mariadb.com/kb/en/server-system-variables.
// Clients are root, whose privileges count from the next connection on; those of the
// console were counted before.
type mysqlMeans struct {
	db *sql.DB
	// admin does what needs no time, holder keeps locks.
	admin, holder *sql.Conn
	// account is that of the console, and of all clients.
	account string
}

func openMySQL(ctx context.Context, address string) (m *mysqlMeans, err error) {
	connector, err := mysql.NewConnector(driver.MySQLConfig("microsim", address))
	if err != nil {
		return nil, err
	}
	m = &mysqlMeans{db: sql.OpenDB(connector)}
	m.db.SetMaxIdleConns(-1) // one that is given back ends
	if m.admin, err = m.db.Conn(ctx); err == nil {
		m.holder, err = m.db.Conn(ctx)
	}
	if err == nil {
		m.account, err = m.ownAccount(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, m.db.Close())
	}
	return m, nil
}

// ownAccount is that of the console. Those of other hosts are not known to a server that
// resolves no names.
func (m *mysqlMeans) ownAccount(ctx context.Context) (string, error) {
	var account string
	if err := m.admin.QueryRowContext(ctx, "select current_user()").Scan(&account); err != nil {
		return "", fmt.Errorf("asking for the own account: %w", err)
	}
	user, host, _ := strings.Cut(account, "@")
	return "'" + user + "'@'" + host + "'", nil
}

func (m *mysqlMeans) close() error {
	return errors.Join(m.admin.Close(), m.holder.Close(), m.db.Close())
}

func (m *mysqlMeans) breaks(t fault.Type) func(context.Context) (undo, error) {
	switch t {
	case fault.ConnectionsExhausted:
		return m.crowd
	case fault.Failover: // root writes all the same as long as it may administer servers that only read
		return func(ctx context.Context) (undo, error) {
			return m.between(ctx, []string{"revoke read only admin, super on *.* from " + m.account, "set global read_only = 1"},
				[]string{"set global read_only = 0", "grant read only admin, super on *.* to " + m.account})
		}
	case fault.AuthRevoked:
		return func(ctx context.Context) (undo, error) {
			return m.between(ctx, []string{"alter user " + m.account + " account lock"}, []string{"alter user " + m.account + " account unlock"})
		}
	case fault.LockWait:
		return m.lock
	default:
		return nil
	}
}

// between does statements, and undoes them by others.
func (m *mysqlMeans) between(ctx context.Context, begin, end []string) (undo, error) {
	back := func(ctx context.Context) error { return m.do(ctx, end) }
	if err := m.do(ctx, begin); err != nil {
		return nil, errors.Join(err, back(ctx))
	}
	return back, nil
}

func (m *mysqlMeans) do(ctx context.Context, list []string) error {
	for _, text := range list {
		if _, err := m.admin.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// lock keeps the rows from those who would write them: for innodb_lock_wait_timeout.
func (m *mysqlMeans) lock(ctx context.Context) (undo, error) {
	end := func(ctx context.Context) error {
		_, err := m.holder.ExecContext(ctx, "rollback")
		return err
	}
	for _, text := range []string{"begin", "select count(*) from (select name from items for update) locked"} {
		if _, err := m.holder.ExecContext(ctx, text); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", text, err), end(ctx))
		}
	}
	return end, nil
}

// fewest is the least value of max_connections.
const fewest = 10

func (m *mysqlMeans) crowd(ctx context.Context) (undo, error) {
	var was int
	if err := m.admin.QueryRowContext(ctx, "select @@global.max_connections").Scan(&was); err != nil {
		return nil, fmt.Errorf("reading max_connections: %w", err)
	}
	back := func(ctx context.Context) error {
		return m.do(ctx, []string{fmt.Sprint("set global max_connections = ", was)})
	}
	if err := m.do(ctx, []string{fmt.Sprint("set global max_connections = ", fewest)}); err != nil {
		return nil, err
	}
	c, err := gather(ctx, func(ctx context.Context) (io.Closer, error) {
		conn, err := m.db.Conn(ctx)
		var told *mysql.MySQLError
		if errors.As(err, &told) {
			return nil, errRefused
		}
		if err != nil {
			return nil, err
		}
		return conn, nil
	})
	if err != nil {
		return nil, errors.Join(err, back(ctx))
	}
	return func(ctx context.Context) error { return errors.Join(c.leave(), back(ctx)) }, nil
}
