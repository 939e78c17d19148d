package driver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	topo "github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
)

// A kafkaDriver is franz-go.
type kafkaDriver struct {
	clients[*kafkaClient]
	settings topo.Store
	// ending are the clients that are not needed any more.
	ending sync.WaitGroup
}

// A kafkaClient publishes to one address and, if it is asked to, consumes from it.
type kafkaClient struct {
	*places
	options  []kgo.Opt
	caller   string
	open     atomic.Int64
	broken   broadcast
	producer *kgo.Client

	mu       sync.Mutex
	consumer *kafkaConsumer
	// used counts the operations under way; the last closes a client that has ended.
	used  int
	ended bool
	close func()
}

// Times of a consumer in its group: the heart beats often, so that a new replica of the
// caller gets its partitions soon.
const (
	kafkaHeartbeat = 500 * time.Millisecond
	kafkaSession   = 10 * time.Second
	kafkaLeave     = time.Second
)

func newKafka(caller string, t *topo.Service) *kafkaDriver {
	d := &kafkaDriver{settings: t.StoreSettings()}
	d.clients = clients[*kafkaClient]{
		open: func(address string) (*kafkaClient, error) {
			c, err := openKafka(caller, address, &d.settings)
			if err == nil {
				c.close = func() { d.ending.Go(c.disconnect) }
			}
			return c, err
		},
		usage: func(c *kafkaClient) store.Usage { return c.usage(c.open.Load()) },
		end:   (*kafkaClient).end,
	}
	return d
}

// Close implements store.Driver.
func (d *kafkaDriver) Close() error {
	err := d.clients.Close()
	d.ending.Wait()
	return err
}

func openKafka(caller, address string, t *topo.Store) (*kafkaClient, error) {
	c := &kafkaClient{places: newPlaces(t.Pool.Size), caller: caller}
	var dialer net.Dialer
	c.options = []kgo.Opt{
		kgo.SeedBrokers(address), kgo.ClientID(caller), kgo.DialTimeout(t.Timeout.Std()), kgo.WithHooks(c), kgo.DisableClientMetrics(),
		// What a broker says of its own address leads past the gates before it.
		kgo.Dialer(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}),
		kgo.RequestRetries(0), kgo.RetryBackoffFn(func(int) time.Duration { return kafkaBackoff }), kgo.MetadataMinAge(kafkaBackoff),
		kgo.RequestTimeoutOverhead(max(t.Timeout.Std(), 100*time.Millisecond)), // the least that the library takes
	}
	producer, err := kgo.NewClient(append(slices.Clone(c.options), kgo.DisableIdempotentWrite(), kgo.RecordRetries(0), kgo.UnknownTopicRetries(0),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.ProducerLinger(0))...)
	if err != nil {
		return nil, fmt.Errorf("reaching a store at %q: %w", address, err)
	}
	c.producer = producer
	return c, nil
}

// kafkaBackoff is how long the library waits before it asks a broker again that is away.
const kafkaBackoff = 50 * time.Millisecond

// enter lets an operation begin; false means that the client has ended.
func (c *kafkaClient) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.used++
	}
	return !c.ended
}

func (c *kafkaClient) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.used--; c.used == 0 && c.ended {
		c.close()
	}
}

// end closes the connections after the operations that are under way: a consumer waits
// for long, and its caller has done nothing wrong.
func (c *kafkaClient) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended = true; c.used == 0 {
		c.close()
	}
}

// disconnect closes the connections. A consumer leaves its group, so that others get its
// partitions at once.
func (c *kafkaClient) disconnect() {
	if consumer := c.consumer; consumer != nil {
		ctx, cancel := context.WithTimeout(context.Background(), kafkaLeave)
		_ = consumer.client.LeaveGroupContext(ctx) // a broker that is away drops it later
		cancel()
		consumer.client.CloseAllowingRebalance()
	}
	c.producer.Close()
}

// OnBrokerConnect implements kgo.HookBrokerConnect: operations do not wait for a broker
// that cannot be reached.
func (c *kafkaClient) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		c.broken.tell(err)
		return
	}
	c.open.Add(1)
}

// OnBrokerDisconnect implements kgo.HookBrokerDisconnect.
func (c *kafkaClient) OnBrokerDisconnect(kgo.BrokerMetadata, net.Conn) { c.open.Add(-1) }

// A broadcast tells those that wait for it.
type broadcast struct {
	mu      sync.Mutex
	waiting map[chan error]bool
}

// hear returns where the next event comes, and what ends that.
func (b *broadcast) hear() (events chan error, stop func()) {
	events = make(chan error, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[chan error]bool{}
	}
	b.waiting[events] = true
	return events, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.waiting, events)
	}
}

func (b *broadcast) tell(event error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for events := range b.waiting {
		select {
		case events <- event:
		default: // the first counts
		}
	}
}

// Do implements store.Driver.
func (d *kafkaDriver) Do(ctx context.Context, address string, q *store.Query) (found bool, err error) {
	c, err := d.at(address)
	for err == nil && !c.enter() {
		c, err = d.at(address) // the one before has just ended
	}
	if err != nil {
		return false, err
	}
	defer c.leave()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if err := c.take(ctx, d.settings.Pool.Wait.Std()); err != nil {
		return false, err
	}
	defer c.give()
	ctx, cancel := context.WithTimeout(ctx, d.settings.Timeout.Std())
	defer cancel()
	if q.Operation == topo.OpPublish {
		err := c.publish(ctx, q)
		return err == nil, explainKafka(err)
	}
	consumer, err := c.consume()
	if err != nil {
		return false, err
	}
	found, err = consumer.next(ctx)
	return found, explainKafka(err)
}

// publish waits until a message is in the log, or until its broker cannot be reached.
func (c *kafkaClient) publish(ctx context.Context, q *store.Query) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	broken, stop := c.broken.hear()
	defer stop()
	done := make(chan error, 1)
	c.producer.Produce(ctx, &kgo.Record{Topic: kafkafront.Topic, Key: []byte(q.Item), Value: q.Value}, func(_ *kgo.Record, err error) { done <- err })
	select {
	case err := <-done:
		return err
	case err := <-broken:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// explainKafka says what an error of franz-go means.
func explainKafka(err error) error {
	var told *kerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &told):
		return store.Refusal(told.Error())
	case errors.Is(err, kgo.ErrClientClosed):
		return fmt.Errorf("%w: %w", outcome.ErrStopping, err)
	case errors.Is(err, kgo.ErrRecordTimeout):
		return fmt.Errorf("%w: %w", context.DeadlineExceeded, err)
	}
	return err
}

// A kafkaConsumer is a member of the group of its caller. Operations take turns.
type kafkaConsumer struct {
	client *kgo.Client
	broken *broadcast
	turn   chan struct{}
	// fetching counts the requests for messages that are under way, fetched tells of
	// their end.
	fetching atomic.Int64
	fetched  broadcast
}

// consume returns the consumer, which joins its group when it is first asked for.
func (c *kafkaClient) consume() (*kafkaConsumer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.consumer != nil {
		return c.consumer, nil
	}
	consumer := &kafkaConsumer{broken: &c.broken, turn: make(chan struct{}, 1)}
	client, err := kgo.NewClient(append(slices.Clone(c.options), kgo.WithHooks(consumer), kgo.ConsumerGroup(c.caller), kgo.ConsumeTopics(kafkafront.Topic),
		kgo.DisableAutoCommit(), kgo.Balancers(kgo.RoundRobinBalancer()), kgo.HeartbeatInterval(kafkaHeartbeat), kgo.SessionTimeout(kafkaSession), kgo.RebalanceTimeout(kafkaSession),
		// One message at a time, when it is asked for.
		kgo.MaxConcurrentFetches(0), kgo.DisableFetchSessions(), kgo.FetchMaxBytes(1), kgo.FetchMaxPartitionBytes(1), kgo.FetchMinBytes(1), kgo.FetchMaxWait(topo.ConsumePatience.Std()))...)
	if err != nil {
		return nil, fmt.Errorf("consuming: %w", err)
	}
	consumer.client = client
	c.consumer = consumer
	return consumer, nil
}

// OnBrokerWrite implements kgo.HookBrokerWrite.
func (c *kafkaConsumer) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == kmsg.Fetch.Int16() {
		c.fetching.Add(1)
	}
}

// OnBrokerE2E implements kgo.HookBrokerE2E.
func (c *kafkaConsumer) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == kmsg.Fetch.Int16() {
		c.fetching.Add(-1)
		if e.Err() == nil {
			c.fetched.tell(errNoMessage)
		}
	}
}

// errNoMessage ends the wait for a message.
var errNoMessage = errors.New("there is no message")

// kafkaGrace is how long after an answer its message may come out of the library; one
// that comes later is for the next operation.
const kafkaGrace = 5 * time.Millisecond

// next takes the next message of the group, and says whether there was one.
func (c *kafkaConsumer) next(ctx context.Context) (found bool, err error) {
	patience := time.NewTimer(topo.ConsumePatience.Std())
	defer patience.Stop()
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-patience.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
	record, err := c.poll(ctx)
	switch {
	case errors.Is(err, errNoMessage):
		return false, nil
	case err != nil:
		return false, err
	case !utf8.Valid(record.Value):
		c.back(record)
		return false, store.Refusal(fmt.Sprintf("the message at offset %d of partition %d is no text", record.Offset, record.Partition))
	}
	if err := c.client.CommitRecords(ctx, record); err != nil {
		c.back(record)
		return false, err
	}
	return true, nil
}

// back lets the next operation take a message again that was not consumed.
func (c *kafkaConsumer) back(r *kgo.Record) {
	c.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{r.Topic: {r.Partition: {Epoch: -1, Offset: r.Offset}}})
}

// poll waits for a message: for as long as a broker takes to answer, or a consumer's
// patience if none is asked.
func (c *kafkaConsumer) poll(ctx context.Context) (*kgo.Record, error) {
	waits, cancel := context.WithCancelCause(ctx)
	broken, stop := c.broken.hear()
	defer stop()
	fetched, stopFetched := c.fetched.hear()
	defer stopFetched()
	var watching sync.WaitGroup
	watching.Go(func() {
		patience := time.NewTimer(topo.ConsumePatience.Std())
		defer patience.Stop()
		for {
			select {
			case <-waits.Done():
				return
			case err := <-broken:
				cancel(err)
				return
			case <-fetched:
				defer time.AfterFunc(kafkaGrace, func() { cancel(errNoMessage) }).Stop()
				<-waits.Done()
				return
			case <-patience.C:
				if c.fetching.Load() == 0 {
					cancel(errNoMessage)
					return
				}
			}
		}
	})
	defer watching.Wait()
	defer cancel(nil)
	for {
		fetches := c.client.PollRecords(waits, 1)
		if records := fetches.Records(); len(records) > 0 {
			return records[0], nil
		}
		if cause := context.Cause(waits); cause != nil {
			return nil, cause
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
	}
}
