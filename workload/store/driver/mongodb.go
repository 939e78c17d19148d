package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/topology"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	topo "github.com/microsim-dev/kubectl-microsim/model/topology"
)

// mongoDatabase and mongoCollection have the items.
const (
	mongoDatabase   = "microsim"
	mongoCollection = "items"
)

// A mongoDriver is mongo-driver.
type mongoDriver struct {
	clients[*mongoClient]
	settings topo.Store
}

// A mongoClient is the pool of one address.
type mongoClient struct {
	*places
	client *mongo.Client
	items  *mongo.Collection
	// open counts the connections of the pool; one more asks whether the server is there.
	open atomic.Int64
	// asked counts the operations, sent the commands that they have become.
	asked, sent atomic.Int64
}

func newMongo(caller string, t *topo.Service) *mongoDriver {
	d := &mongoDriver{settings: t.StoreSettings()}
	d.clients = clients[*mongoClient]{
		open: func(address string) (*mongoClient, error) { return openMongo(caller, address, &d.settings) },
		usage: func(c *mongoClient) store.Usage {
			u := c.places.usage(c.open.Load())
			// It is a lower bound: an operation under way may not have been sent yet.
			u.Retries = max(c.sent.Load()-c.asked.Load(), 0)
			return u
		},
		end: func(c *mongoClient) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = c.client.Disconnect(ctx) // its connections are not used again
		},
	}
	return d
}

func openMongo(caller, address string, t *topo.Store) (*mongoClient, error) {
	c := &mongoClient{places: newPlaces(t.Pool.Size)}
	o := options.Client().ApplyURI("mongodb://" + address + "/?directConnection=true").SetAppName(caller).
		SetServerMonitoringMode(options.ServerMonitoringModePoll). // one connection, not two
		SetMaxPoolSize(uint64(t.Pool.Size)).                       //nolint:gosec // it is bound by topology.MaxPool
		SetConnectTimeout(t.Timeout.Std()).SetServerSelectionTimeout(t.Timeout.Std()).
		SetRetryReads(t.Retries > 0).SetRetryWrites(t.Retries > 0).
		SetPoolMonitor(&event.PoolMonitor{Event: func(e *event.PoolEvent) {
			switch e.Type {
			case event.ConnectionCreated:
				c.open.Add(1)
			case event.ConnectionClosed:
				c.open.Add(-1)
			}
		}}).
		SetMonitor(&event.CommandMonitor{Started: func(_ context.Context, e *event.CommandStartedEvent) {
			if slices.Contains([]string{"find", "update", "findAndModify"}, e.CommandName) {
				c.sent.Add(1)
			}
		}})
	client, err := mongo.Connect(o)
	if err != nil {
		return nil, fmt.Errorf("reaching a store at %q: %w", address, err)
	}
	c.client, c.items = client, client.Database(mongoDatabase).Collection(mongoCollection)
	return c, nil
}

// Do implements store.Driver.
func (d *mongoDriver) Do(ctx context.Context, address string, q *store.Query) (found bool, err error) {
	c, err := d.at(address)
	if err != nil {
		return false, err
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := c.take(ctx, d.settings.Pool.Wait.Std()); err != nil {
		return false, err
	}
	defer c.give()
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout.Std())
	defer cancel()
	// The driver would retry until a deadline, and not once, if it knew of one.
	bare, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	c.asked.Add(1)
	found, err = mongoDo(bare, c.items, q)
	return found, explainMongo(caller, ctx, err)
}

// mongoDo does one operation, which is one message of the protocol. A missing item is
// no error.
func mongoDo(ctx context.Context, items *mongo.Collection, q *store.Query) (found bool, err error) {
	one, set := bson.D{{Key: "_id", Value: q.Item}}, bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: string(q.Value)}}}}
	switch q.Operation {
	case topo.OpWrite:
		_, err = items.UpdateOne(ctx, one, set, options.UpdateOne().SetUpsert(true))
	case topo.OpTransaction:
		err = items.FindOneAndUpdate(ctx, one, set, options.FindOneAndUpdate().SetUpsert(true)).Err()
		if errors.Is(err, mongo.ErrNoDocuments) {
			err = nil // it was not there before
		}
	case topo.OpRange:
		return mongoRange(ctx, items, q.Items)
	default:
		err = items.FindOne(ctx, one).Err()
		if errors.Is(err, mongo.ErrNoDocuments) {
			return false, nil
		}
	}
	return err == nil, err
}

func mongoRange(ctx context.Context, items *mongo.Collection, names []string) (found bool, err error) {
	cursor, err := items.Find(ctx, bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: names}}}})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, cursor.Close(ctx)) }()
	for cursor.Next(ctx) {
		found = true
	}
	return found, cursor.Err()
}

// explainMongo says what an error of mongo-driver means, to a caller that may have gone,
// after the time of ctx.
func explainMongo(caller, ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	var told mongo.ServerError
	var command mongo.CommandError
	var nobody topology.ServerSelectionError
	switch {
	case errors.Is(err, mongo.ErrClientDisconnected), errors.Is(err, topology.ErrPoolClosed):
		return fmt.Errorf("%w: %w", outcome.ErrStopping, err)
	case errors.As(err, &command) && command.Code == 0: // the connection broke
	case errors.As(err, &told):
		return store.Refusal(told.Error())
	case caller.Err() != nil:
	case errors.As(err, &nobody) && len(nobody.Desc.Servers) > 0 && nobody.Desc.Servers[0].LastError != nil:
		// It has looked for a server that answers for all of its time.
		return explainBroken(ctx, nobody.Desc.Servers[0].LastError)
	}
	return explainBroken(ctx, err)
}

// explainBroken says what it means that there is no answer, or none of MongoDB.
func explainBroken(ctx context.Context, err error) error {
	switch text := err.Error(); {
	case strings.Contains(text, "malformed message length"), strings.Contains(text, "length of read message too"), strings.Contains(text, "unable to read message header"):
		// mongo-driver has no errors of their own for them.
		return fmt.Errorf("%w: %w", outcome.ErrMalformed, err)
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return fmt.Errorf("%w: %s", ctx.Err(), text)
	}
	return err
}

// prepareMongo fills the collection of a real server.
func prepareMongo(ctx context.Context, t *topo.Service, seed uint64, own bool) (undo func(context.Context) error, err error) {
	settings := t.StoreSettings()
	c, err := openMongo("microsim", settings.Address, &settings)
	if err != nil {
		return nil, err
	}
	leave := func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		return c.client.Disconnect(ctx)
	}
	if own {
		if err := c.items.Drop(ctx); err != nil {
			return nil, errors.Join(fmt.Errorf("dropping what is left of the collection %s.%s: %w", mongoDatabase, mongoCollection, err), leave())
		}
	}
	there, err := c.client.Database(mongoDatabase).ListCollectionNames(ctx, bson.D{{Key: "name", Value: mongoCollection}})
	switch {
	case err != nil:
		return nil, errors.Join(fmt.Errorf("looking for the collection %s.%s: %w", mongoDatabase, mongoCollection, err), leave())
	case len(there) > 0:
		return nil, errors.Join(fmt.Errorf("the server has a collection %s.%s already; name another server, or drop the collection", mongoDatabase, mongoCollection), leave())
	}
	undo = func(ctx context.Context) error {
		err := c.items.Drop(ctx)
		return errors.Join(err, leave())
	}
	for from := 0; from < settings.Items; from += itemsAtOnce {
		var docs []any
		for i := from; i < min(from+itemsAtOnce, settings.Items); i++ {
			docs = append(docs, bson.D{{Key: "_id", Value: store.ItemName(i)}, {Key: "value", Value: string(store.SeedValue(seed, t.Name, i))}})
		}
		if _, err := c.items.InsertMany(ctx, docs); err != nil {
			return undo, fmt.Errorf("writing %d items: %w", settings.Items, err)
		}
	}
	return undo, nil
}
