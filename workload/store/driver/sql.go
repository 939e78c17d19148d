package driver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A language is what differs between the servers that speak SQL.
type language struct {
	// open returns a pool of connections to an address. The time of each operation
	// bounds those of the driver.
	open func(address string) (*sql.DB, error)
	// create makes the table. The others have a place for each of their values: read
	// has the name, write has name and value, and transaction name, name and value.
	create, read, write, transaction string
	// place are those of n names, as read has them.
	place func(n int) string
	// starting is in what a server says that does not answer yet.
	starting string
	// refusal says what an answer of the server is in its words, if it is an error.
	refusal func(err error) (store.Refusal, bool)
	// broken reports whether the server does not keep to the protocol.
	broken func(err error) bool
}

// A sqlDriver is database/sql with the driver of a kind. database/sql would try an
// operation again, by itself, on another connection; so each one here is bound to a
// connection, which is not tried again.
type sqlDriver struct {
	clients[*sqlClient]
	*language
	settings topology.Store
}

// A sqlClient is the pool of one address.
type sqlClient struct {
	*places
	db *sql.DB
}

func newSQL(t *topology.Service, l *language) *sqlDriver {
	d := &sqlDriver{language: l, settings: t.StoreSettings()}
	d.clients = clients[*sqlClient]{
		open: func(address string) (*sqlClient, error) {
			db, err := l.open(address)
			if err != nil {
				return nil, err
			}
			size := d.settings.Pool.Size
			db.SetMaxIdleConns(size)
			return &sqlClient{db: db, places: newPlaces(size)}, nil
		},
		usage: func(c *sqlClient) store.Usage { return c.places.usage(int64(c.db.Stats().OpenConnections)) },
		end:   func(c *sqlClient) { _ = c.db.Close() }, // its connections are not used again
	}
	return d
}

// Do implements store.Driver.
func (d *sqlDriver) Do(ctx context.Context, address string, q *store.Query) (found bool, err error) {
	c, err := d.at(address)
	if err != nil {
		return false, err
	}
	if err := c.take(ctx, d.settings.Pool.Wait.Std()); err != nil {
		return false, err
	}
	defer c.give()
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout.Std())
	defer cancel()
	conn, err := c.db.Conn(ctx)
	if err != nil {
		return false, d.explain(ctx, err)
	}
	defer func() { _ = conn.Close() }() // it goes back, or was closed by an error
	found, err = d.operate(ctx, conn, q)
	return found, d.explain(ctx, err)
}

// operate does one operation, which is one message of the protocol. A missing item is
// no error.
func (d *sqlDriver) operate(ctx context.Context, conn *sql.Conn, q *store.Query) (found bool, err error) {
	switch q.Operation {
	case topology.OpWrite:
		_, err = conn.ExecContext(ctx, d.write, q.Item, string(q.Value))
		return err == nil, err
	case topology.OpTransaction:
		_, err = conn.ExecContext(ctx, d.transaction, q.Item, q.Item, string(q.Value))
		return err == nil, err
	case topology.OpRange:
		return d.rows(conn.QueryContext(ctx, d.read+d.place(len(q.Items))+" order by name", asAny(q.Items)...))
	default:
		return d.rows(conn.QueryContext(ctx, d.read+d.place(1), q.Item))
	}
}

func asAny(names []string) []any {
	list := make([]any, len(names))
	for i, name := range names {
		list[i] = name
	}
	return list
}

// rows reads all rows, and says whether there were any.
func (d *sqlDriver) rows(rows *sql.Rows, err error) (found bool, _ error) {
	if err != nil {
		return false, err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	for rows.Next() {
		found = true
		var name, value sql.RawBytes
		if err := rows.Scan(&name, &value); err != nil {
			return false, err
		}
	}
	return found, rows.Err()
}

// explain says what an error of the driver means.
func (d *sqlDriver) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := d.refusal(err); ok {
		return refused
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	case errors.Is(err, sql.ErrConnDone), strings.Contains(err.Error(), "database is closed"): // which has no error of its own
		return fmt.Errorf("%w: %w", outcome.ErrStopping, err)
	case d.broken(err):
		return fmt.Errorf("%w: %w", outcome.ErrMalformed, err)
	}
	return err
}

// prepareSQL fills the table of a real server.
func prepareSQL(ctx context.Context, t *topology.Service, l *language, seed uint64, own bool) (undo func(context.Context) error, err error) {
	settings := t.StoreSettings()
	db, err := l.open(settings.Address)
	if err != nil {
		return nil, err
	}
	if err := awaitSQL(ctx, db, l); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if own {
		if _, err := db.ExecContext(ctx, "drop table if exists items"); err != nil {
			return nil, errors.Join(fmt.Errorf("dropping what is left of the table items: %w", err), db.Close())
		}
	}
	var tables int
	if err := db.QueryRowContext(ctx, "select count(*) from information_schema.tables where table_name = 'items'").Scan(&tables); err != nil {
		return nil, errors.Join(fmt.Errorf("looking for the table items: %w", err), db.Close())
	}
	if tables > 0 {
		return nil, errors.Join(errors.New("the database has a table items already; name another database, or drop the table"), db.Close())
	}
	undo = func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, "drop table items")
		return errors.Join(err, db.Close())
	}
	if _, err := db.ExecContext(ctx, l.create); err != nil {
		return nil, errors.Join(fmt.Errorf("making the table items: %w", err), db.Close())
	}
	for from := 0; from < settings.Items; from += itemsAtOnce {
		var text strings.Builder
		text.WriteString("insert into items (name, value) values ")
		for i := from; i < min(from+itemsAtOnce, settings.Items); i++ {
			if i > from {
				text.WriteByte(',')
			}
			// Names and seeded values have no quotes.
			fmt.Fprintf(&text, "('%s','%s')", store.ItemName(i), store.SeedValue(seed, t.Name, i))
		}
		if _, err := db.ExecContext(ctx, text.String()); err != nil {
			return undo, fmt.Errorf("writing %d items: %w", settings.Items, err)
		}
	}
	return undo, nil
}

// startPatience is how long a server that takes connections may take until it answers.
const startPatience = 30 * time.Second

// awaitSQL waits for a server that says that it is starting.
func awaitSQL(ctx context.Context, db *sql.DB, l *language) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for {
		err := db.PingContext(ctx)
		if said, ok := l.refusal(err); !ok || !strings.Contains(string(said), l.starting) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return err
		}
	}
}

// listOf are the places of a list of arguments.
func listOf(n int, each func(i int) string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = each(i + 1)
	}
	return strings.Join(slices.Clip(list), ", ")
}
