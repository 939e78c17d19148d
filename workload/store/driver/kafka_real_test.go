package driver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
)

// serveRelayed serves a store whose engine is the broker at an address.
func serveRelayed(t *testing.T, service *topology.Service, broker string, prepare func(context.Context, *topology.Service, uint64) (func(context.Context) error, error)) (*server.Server, string, func()) {
	t.Helper()
	relayed, settings := *service, *service.Store
	settings.Engine, settings.Address = topology.Real, broker
	relayed.Store = &settings
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{Service: relayed, Seed: 1, Prepare: prepare})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, ln) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	awaitReady(t, s)
	return s, ln.Addr().String(), stop
}

// counted are the operations that a store has counted.
func counted(s *server.Server) string {
	list := regexp.MustCompile(`microsim_requests_total\{.*`).FindAllString(metricsOf(s), -1)
	return strings.Join(list, "\n")
}

// The relay before a broker counts what the broker does: each message, and no look in vain.
func TestKafkaIsCountedByTheRelay(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 3})
	behind, broker := serve(t, service)
	s, address, _ := serveRelayed(t, service, broker, nil)
	// One client all the time: a fetch whose client leaves may take a message that the next fetches again.
	d := connect(t, service)
	for _, publish := range []int{1, 7, 3} {
		for i := range publish {
			if err := publishWith(t, d, address, store.ItemName(i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		for found := true; found; {
			var err error
			if found, err = consumeWith(t, d, address); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := behind.AddFault("full", fault.Fault{Type: fault.DiskFull, Probability: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := publishWith(t, d, address, "k", "x"); err == nil {
		t.Error("a full broker took a message")
	}
	want := `microsim_requests_total{code="error",endpoint="consume",service="db"} 0
microsim_requests_total{code="error",endpoint="publish",service="db"} 1
microsim_requests_total{code="ok",endpoint="consume",service="db"} 11
microsim_requests_total{code="ok",endpoint="publish",service="db"} 11`
	for end := time.Now().Add(10 * time.Second); counted(s) != want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the relay has counted\n%s\nwant\n%s", counted(s), want)
		}
	}
}

// A client that batches is counted by messages, and one that wants no answer is passed on.
func TestKafkaRelaysOtherClients(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 1})
	_, broker := serve(t, service)
	s, address, _ := serveRelayed(t, service, broker, nil)
	dialer := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	for _, acks := range []kgo.Acks{kgo.AllISRAcks(), kgo.NoAck()} {
		c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.Dialer(dialer), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acks), kgo.ProducerBatchCompression(kgo.NoCompression()),
			kgo.ConsumeTopics(kafkafront.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.ProducerLinger(20*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		records := make([]*kgo.Record, 50)
		for i := range records {
			records[i] = &kgo.Record{Topic: kafkafront.Topic, Value: fmt.Append(nil, i)}
		}
		if err := c.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	want := `microsim_requests_total{code="ok",endpoint="publish",service="db"} 50`
	for end := time.Now().Add(10 * time.Second); !strings.Contains(counted(s), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("want %s in\n%s", want, counted(s))
		}
	}
}

// TestKafkaIsARealBroker compares the embedded engine with the broker whose address the
// environment names; see the target test-kafka of the Makefile.
func TestKafkaIsARealBroker(t *testing.T) {
	broker := os.Getenv("MICROSIM_KAFKA")
	if broker == "" {
		t.Skip("MICROSIM_KAFKA names no broker, which `make test-kafka` asks for")
	}
	service := kafkaService(topology.Store{Partitions: 3})
	embedded, own := serve(t, service)
	real, relay, stop := serveRelayed(t, service, broker, driver.Prepare)
	r := rand.New(rand.NewPCG(1, 2))
	type side struct {
		store.Driver
		address string
	}
	open := func() []side { return []side{{connect(t, service), own}, {connect(t, service), relay}} }
	sides := open()
	for i := range 300 {
		op := []topology.Operation{topology.OpPublish, topology.OpPublish, topology.OpConsume}[r.IntN(3)]
		if i >= 250 {
			op = topology.OpConsume // until there are no more
		}
		q := store.Query{Operation: op, Item: fmt.Sprint("k", r.IntN(9)), Value: fmt.Append(nil, i)}
		var saw []string
		for _, s := range sides {
			found, err := s.Do(t.Context(), s.address, &q)
			saw = append(saw, fmt.Sprint(found, " ", err))
		}
		if saw[0] != saw[1] {
			t.Fatalf("%d: %s: %s, and really %s", i, op, saw[0], saw[1])
		}
	}
	for end := time.Now().Add(10 * time.Second); counted(real) != counted(embedded); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("counted are\n%s\nand really\n%s", counted(embedded), counted(real))
		}
	}
	var logs [][]string
	for _, address := range []string{own, broker} {
		logs = append(logs, wholeLog(t, address))
	}
	if !slices.Equal(logs[0], logs[1]) {
		t.Errorf("the log is\n%q\nand really\n%q", logs[0], logs[1])
	}
	for _, s := range sides {
		s.Close()
	}
	stop()
	if _, undo, err := prepared(t, service, broker); err != nil { // the topic is gone, so another can be made
		t.Error(err)
	} else if err := undo(t.Context()); err != nil {
		t.Error(err)
	}
}

func prepared(t *testing.T, service *topology.Service, broker string) (*topology.Service, func(context.Context) error, error) {
	t.Helper()
	s, settings := *service, *service.Store
	settings.Engine, settings.Address = topology.Real, broker
	s.Store = &settings
	undo, err := driver.Prepare(t.Context(), &s, 1)
	return &s, undo, err
}

// wholeLog are the messages of a broker with their places, in the order of partitions.
func wholeLog(t *testing.T, address string) (list []string) {
	t.Helper()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(kafkafront.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		c.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			list = append(list, fmt.Sprintf("%d/%04d %s=%s", r.Partition, r.Offset, r.Key, r.Value))
		})
	}
	slices.Sort(list)
	return list
}
