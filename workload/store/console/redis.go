package console

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// redisMeans are those of Redis: https://redis.io/docs/latest/commands/config-set.
type redisMeans struct {
	client *redis.Client
	conn   *redis.Conn
}

func openRedis(ctx context.Context, address string) (*redisMeans, error) {
	client := redis.NewClient(&redis.Options{Addr: address, Protocol: 2, DisableIdentity: true, MaxRetries: -1, ConnMaxIdleTime: -1})
	m := &redisMeans{client: client, conn: client.Conn()}
	if err := m.conn.Ping(ctx).Err(); err != nil {
		_ = client.Close() // it was of no use
		return nil, err
	}
	return m, nil
}

func (m *redisMeans) close() error {
	_ = m.conn.Close() // with the client
	return m.client.Close()
}

func (m *redisMeans) breaks(t fault.Type) func(context.Context) (undo, error) {
	switch t {
	case fault.ConnectionsExhausted:
		return func(ctx context.Context) (undo, error) { return m.set(ctx, "maxclients", "1") } // which is this one
	case fault.AuthRevoked:
		return func(ctx context.Context) (undo, error) { return m.set(ctx, "requirepass", "changed") }
	case fault.DiskFull: // there is no disk, so that it is the memory
		return func(ctx context.Context) (undo, error) { return m.set(ctx, "maxmemory", "1") }
	case fault.CacheFlush:
		return func(ctx context.Context) (undo, error) { return nil, m.conn.FlushAll(ctx).Err() }
	case fault.Failover:
		return m.follow
	default:
		return nil
	}
}

// set changes a setting, and undoes it by its former value.
func (m *redisMeans) set(ctx context.Context, name, value string) (undo, error) {
	was, err := m.conn.ConfigGet(ctx, name).Result()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if err := m.conn.ConfigSet(ctx, name, value).Err(); err != nil {
		return nil, fmt.Errorf("setting %s to %s: %w", name, value, err)
	}
	return func(ctx context.Context) error {
		if err := m.conn.ConfigSet(ctx, name, was[name]).Err(); err != nil {
			return fmt.Errorf("setting %s back to %q: %w", name, was[name], err)
		}
		return nil
	}, nil
}

// follow makes a replica of the server, of a primary that is not there: it only reads.
func (m *redisMeans) follow(ctx context.Context) (undo, error) {
	const nobody, discard = "127.0.0.1", "9"
	if err := m.conn.ReplicaOf(ctx, nobody, discard).Err(); err != nil {
		return nil, fmt.Errorf("making a replica of the server: %w", err)
	}
	return func(ctx context.Context) error {
		if err := m.conn.ReplicaOf(ctx, "NO", "ONE").Err(); err != nil {
			return fmt.Errorf("making a primary of the server: %w", err)
		}
		return nil
	}, nil
}
