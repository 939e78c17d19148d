package driver_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	server "github.com/microsim-dev/kubectl-microsim/workload/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/daemon"
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

// A client that goes where the broker is said to be stays with the relay. One that batches is
// counted by messages, and one that wants no answer is passed on.
func TestKafkaRelaysOtherClients(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 1})
	_, broker := serve(t, service)
	s, address, _ := serveRelayed(t, service, broker, nil)
	for _, acks := range []kgo.Acks{kgo.AllISRAcks(), kgo.NoAck()} {
		c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.DisableIdempotentWrite(), kgo.RequiredAcks(acks), kgo.ProducerBatchCompression(kgo.NoCompression()),
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

// realBroker is the address of the broker that the environment names, or of one that is
// installed and started for the test.
func realBroker(t *testing.T) string {
	t.Helper()
	if broker := os.Getenv("MICROSIM_KAFKA"); broker != "" {
		return broker
	}
	if err := daemon.Check(topology.Kafka); err != nil {
		t.Skip(err, "; or name a broker by MICROSIM_KAFKA=HOST:PORT, see `make test-kafka`")
	}
	return startServer(t, topology.Kafka)
}

// A broker has no means of its own for faults, which are refused by name. The relay before it
// slows its operations, and what was not consumed before is consumed after them.
func TestRealKafkaUnderFaults(t *testing.T) {
	s, service, relay := serveReal(t, topology.Kafka, topology.Store{Timeout: unit.Duration(2 * time.Second)})
	for _, e := range fault.Vocabulary() {
		if e.Layer != fault.InStore || e.Type == fault.SlowQuery {
			continue
		}
		f := fault.Fault{Type: e.Type, Probability: 1}
		if e.Type == fault.ConsumerLag || e.Type == fault.ReplicaLag {
			f.Args.Delay = dist.Fixed(time.Second)
		}
		err := s.AddFault("f", f, time.Time{})
		if err == nil || !strings.Contains(err.Error(), "a real server of kind kafka cannot be told to; write engine: embedded") {
			t.Errorf("%s: %v", e.Type, err)
		}
	}
	d := connect(t, service)
	if err := s.AddFault("slow", slowly(1, 3*time.Second, topology.OpPublish), time.Time{}); err != nil {
		t.Fatal(err)
	}
	if err := publishWith(t, d, relay, "k", "during"); store.Class(err) != outcome.Timeout {
		t.Errorf("a slow publish ends as %v", err)
	}
	if err := s.ClearFault("slow"); err != nil {
		t.Fatal(err)
	}
	recovers(t, d, relay)
}

// Groups of consumers are behind a real broker by as many messages as behind the embedded
// engine, whether they have consumed some or none, and by no more time than there was.
func TestKafkaLagsAlike(t *testing.T) {
	began := time.Now()
	service := kafkaService(topology.Store{Partitions: 3})
	embedded, own := serve(t, service)
	real, _, relay := serveReal(t, topology.Kafka, *service.Store)
	for _, side := range []struct {
		s       *server.Server
		address string
	}{{embedded, own}, {real, relay}} {
		if got := lagLines(side.s); got != nil {
			t.Errorf("before anybody consumes the lags are %q", got)
		}
		web, billing := connect(t, service), connectAs(t, "billing", service)
		if found, err := consumeWith(t, billing, side.address); found || err != nil { // it joins, and finds nothing
			t.Fatal(found, err)
		}
		for i := range 20 {
			if err := publishWith(t, web, side.address, store.ItemName(i), "x"); err != nil {
				t.Fatal(err)
			}
		}
		for consumed := 0; consumed < 13; {
			found, err := consumeWith(t, web, side.address)
			if err != nil {
				t.Fatal(err)
			}
			if found {
				consumed++
			}
		}
	}
	want := []string{`microsim_store_lag_messages{group="billing",service="db"} 20`, `microsim_store_lag_messages{group="web",service="db"} 7`}
	for name, s := range map[string]*server.Server{"embedded": embedded, "real": real} {
		if got := lagLines(s); !slices.Equal(got, want) {
			t.Errorf("the %s lags are %q, want %q", name, got, want)
		}
		for _, line := range regexp.MustCompile(`microsim_store_lag_seconds\{.*`).FindAllString(metricsOf(s), -1) {
			_, text, _ := strings.Cut(line, "} ")
			age, err := strconv.ParseFloat(text, 64)
			if err != nil || age <= 0 || age > time.Since(began).Seconds() {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

func lagLines(s *server.Server) []string {
	return regexp.MustCompile(`microsim_store_lag_messages\{.*`).FindAllString(metricsOf(s), -1)
}

func connectAs(t *testing.T, caller string, service *topology.Service) store.Driver {
	t.Helper()
	d, err := driver.New(caller, service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// TestKafkaIsARealBroker compares the embedded engine with a real broker.
func TestKafkaIsARealBroker(t *testing.T) {
	broker := realBroker(t)
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

// A relay that starts again finds the topic that it has made, and begins with an empty one.
func TestOwnKafkaIsPreparedAgain(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 2})
	service.Store.Engine, service.Store.Address = topology.Real, startServer(t, topology.Kafka)
	for range 2 {
		if _, err := driver.PrepareOwn(t.Context(), service, 1); err != nil {
			t.Fatal(err)
		}
		if got := wholeLog(t, service.Store.Address); got != nil {
			t.Errorf("the topic has %q at the beginning", got)
		}
		if err := publishWith(t, connect(t, service), service.Store.Address, "k", "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := driver.Prepare(t.Context(), service, 1); err == nil || !strings.Contains(err.Error(), "has a topic \"messages\" already") {
		t.Errorf("a topic of somebody else is taken: %v", err)
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
