// Package driver reaches data stores by the official Go drivers of their kinds. A
// driver's own retries are off unless the file asks for them, and are counted.
package driver

import (
	"context"
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// New returns the driver by which a service of that name reaches a store.
func New(caller string, t *topology.Service) (store.Driver, error) {
	switch t.Kind {
	case topology.Redis:
		return newRedis(caller, t), nil
	case topology.Postgres:
		return newSQL(t, postgres(caller)), nil
	case topology.MySQL:
		return newSQL(t, mariadb(caller)), nil
	case topology.Memcached:
		return newMemcached(t), nil
	case topology.MongoDB:
		return newMongo(caller, t), nil
	case topology.Kafka:
		return newKafka(caller, t), nil
	default:
		return nil, fmt.Errorf("calling store %q: there is no driver of kind %s", t.Name, t.Kind)
	}
}

// Prepare gives a real server the items of the store that it lacks, and returns what
// removes those again.
func Prepare(ctx context.Context, t *topology.Service, seed uint64) (undo func(context.Context) error, err error) {
	return prepare(ctx, t, seed, false)
}

// PrepareOwn is Prepare for a server that holds nothing but this store: what an earlier
// start has left there is replaced.
func PrepareOwn(ctx context.Context, t *topology.Service, seed uint64) (undo func(context.Context) error, err error) {
	return prepare(ctx, t, seed, true)
}

func prepare(ctx context.Context, t *topology.Service, seed uint64, own bool) (undo func(context.Context) error, err error) {
	switch t.Kind {
	case topology.Redis:
		return prepareRedis(ctx, t, seed)
	case topology.Postgres:
		return prepareSQL(ctx, t, postgres("microsim"), seed, own)
	case topology.MySQL:
		return prepareSQL(ctx, t, mariadb("microsim"), seed, own)
	case topology.Memcached:
		return prepareMemcached(ctx, t, seed)
	case topology.MongoDB:
		return prepareMongo(ctx, t, seed, own)
	case topology.Kafka:
		return prepareKafka(ctx, t, own)
	default:
		return nil, fmt.Errorf("there is no driver of kind %s", t.Kind)
	}
}
