package console

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// postgresMeans are those of PostgreSQL: https://www.postgresql.org/docs/15/sql-altersystem.html
// and sql-lock.html. Clients are superusers, to whom limits of roles do not apply.
type postgresMeans struct {
	address string
	// admin does what needs no time, holder keeps locks.
	admin, holder *pgx.Conn
}

func openPostgres(ctx context.Context, address string) (*postgresMeans, error) {
	m := &postgresMeans{address: address}
	var err error
	if m.admin, err = m.connect(ctx); err != nil {
		return nil, err
	}
	if m.holder, err = m.connect(ctx); err != nil {
		return nil, errors.Join(err, m.close()) //nolint:contextcheck // to close needs no time
	}
	return m, nil
}

func (m *postgresMeans) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := driver.PostgresConfig(consoleName, m.address)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

func (m *postgresMeans) close() error {
	ctx := context.Background()
	err := m.admin.Close(ctx)
	if m.holder != nil {
		err = errors.Join(err, m.holder.Close(ctx))
	}
	return err
}

func (m *postgresMeans) breaks(t fault.Type) func(context.Context) (undo, error) {
	switch t {
	case fault.ConnectionsExhausted:
		return m.crowd
	case fault.Failover:
		return func(ctx context.Context) (undo, error) {
			return m.between(ctx, []string{"alter system set default_transaction_read_only = on", "select pg_reload_conf()"},
				[]string{"alter system reset default_transaction_read_only", "select pg_reload_conf()"})
		}
	case fault.AuthRevoked:
		return func(ctx context.Context) (undo, error) {
			return m.between(ctx, []string{"alter role current_user nologin"}, []string{"alter role current_user login"})
		}
	case fault.LockWait:
		return m.lock
	default:
		return nil
	}
}

// between does statements, and undoes them by others.
func (m *postgresMeans) between(ctx context.Context, begin, end []string) (undo, error) {
	back := func(ctx context.Context) error { return m.do(ctx, m.admin, end) }
	if err := m.do(ctx, m.admin, begin); err != nil {
		return nil, errors.Join(err, back(ctx))
	}
	return back, nil
}

func (m *postgresMeans) do(ctx context.Context, conn *pgx.Conn, list []string) error {
	// What a fault makes of the server does not count for its own end.
	for _, text := range append([]string{"set default_transaction_read_only = off"}, list...) {
		if _, err := conn.Exec(ctx, text); err != nil {
			return fmt.Errorf("%s: %w", text, err)
		}
	}
	return nil
}

// lock keeps the rows from those who would write them.
func (m *postgresMeans) lock(ctx context.Context) (undo, error) {
	if err := m.do(ctx, m.holder, []string{"begin", "lock table items in exclusive mode"}); err != nil {
		_, end := m.holder.Exec(ctx, "rollback")
		return nil, errors.Join(err, end)
	}
	return func(ctx context.Context) error {
		_, err := m.holder.Exec(ctx, "rollback")
		return err
	}, nil
}

func (m *postgresMeans) crowd(ctx context.Context) (undo, error) {
	c, err := gather(ctx, func(ctx context.Context) (io.Closer, error) {
		conn, err := m.connect(ctx)
		var told *pgconn.PgError
		if errors.As(err, &told) {
			return nil, errRefused
		}
		if err != nil {
			return nil, err
		}
		return closer(func() error { return conn.Close(context.Background()) }), nil //nolint:contextcheck // its time is over
	})
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		if err := c.leave(); err != nil {
			return err
		}
		return m.alone(ctx)
	}, nil
}

// alone waits until the connections of a crowd have ended in the server, too.
func (m *postgresMeans) alone(ctx context.Context) error {
	const ours = 2
	for {
		n := 0
		err := m.admin.QueryRow(ctx, "select count(*) from pg_stat_activity where application_name = '"+consoleName+"'").Scan(&n)
		if err == nil && n > ours {
			err = pause(ctx, crowdPause)
		} else if err == nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("waiting for the end of %d connections: %w", n-ours, err)
		}
	}
}

// consoleName is by what the server knows the console.
const consoleName = "microsim console"

// A closer is a function that closes something.
type closer func() error

// Close implements io.Closer.
func (c closer) Close() error { return c() }
