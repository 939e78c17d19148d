package driver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

func kafkaService(t topology.Store) *topology.Service { return storeService(topology.Kafka, t) }

func consumeWith(t testing.TB, d store.Driver, address string) (found bool, err error) {
	t.Helper()
	return d.Do(t.Context(), address, &store.Query{Operation: topology.OpConsume})
}

func publishWith(t testing.TB, d store.Driver, address, key, value string) error {
	t.Helper()
	_, err := d.Do(t.Context(), address, &store.Query{Operation: topology.OpPublish, Item: key, Value: []byte(value)})
	return err
}

// Messages are consumed once by each group, in whatever partition they are.
func TestKafkaPublishesAndConsumes(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 3})
	_, address := serve(t, service)
	web := connect(t, service)
	for i := range 10 {
		if err := publishWith(t, web, address, store.ItemName(i), "hello"); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"worker", "billing"} {
		d, err := driver.New(name, service)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 11 {
			began := time.Now()
			found, err := consumeWith(t, d, address)
			if err != nil || found != (i < 10) {
				t.Fatalf("%s: message %d: found %v, %v", name, i, found, err)
			}
			if took := time.Since(began); !found && took < topology.ConsumePatience.Std() {
				t.Errorf("it waited %v for a message", took)
			}
		}
		if u := d.Usage(); u.Open == 0 {
			t.Errorf("usage %+v", u)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Two replicas of a caller share the partitions, and one that ends leaves its own to the
// other.
func TestKafkaReplicasShareAGroup(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 2})
	_, address := serve(t, service)
	web := connect(t, service)
	drivers := []store.Driver{}
	for range 2 {
		d, err := driver.New("worker", service)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		drivers = append(drivers, d)
	}
	var mu sync.Mutex
	got := 0
	rounds := func(d store.Driver, until int) {
		for {
			mu.Lock()
			enough := got >= until
			mu.Unlock()
			if enough || t.Context().Err() != nil {
				return
			}
			found, err := consumeWith(t, d, address)
			if err != nil {
				t.Log(err) // a rebalance may refuse a commit
			}
			if found {
				mu.Lock()
				got++
				mu.Unlock()
			}
		}
	}
	publish := func() {
		for i := range 40 {
			if err := publishWith(t, web, address, store.ItemName(i), "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish()
	var wait sync.WaitGroup
	for _, d := range drivers {
		wait.Go(func() { rounds(d, 40) })
	}
	wait.Wait()
	if err := drivers[0].Close(); err != nil {
		t.Error(err)
	}
	publish()
	rounds(drivers[1], 80)
}

// Each fault ends operations in its class, as in virtual time, and they go on after it.
func TestKafkaFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault            fault.Fault
		publish, consume outcome.Class
	}{
		"slow":      {fault.Fault{Type: fault.SlowQuery, Args: fault.Args{Delay: dist.Fixed(3 * time.Second)}}, outcome.Timeout, outcome.Timeout},
		"exhausted": {fault.Fault{Type: fault.ConnectionsExhausted}, outcome.ConnectionError, outcome.ConnectionError},
		"failover":  {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Nanosecond)}}, outcome.StoreError, outcome.OK},
		"away":      {fault.Fault{Type: fault.Failover, Args: fault.Args{Hold: unit.Duration(time.Minute)}}, outcome.ConnectionError, outcome.ConnectionError},
		"revoked":   {fault.Fault{Type: fault.AuthRevoked}, outcome.StoreError, outcome.StoreError},
		"full":      {fault.Fault{Type: fault.DiskFull}, outcome.StoreError, outcome.OK},
		"lag":       {fault.Fault{Type: fault.ConsumerLag, Args: fault.Args{Delay: dist.Fixed(time.Minute)}}, outcome.OK, outcome.OK},
		"poison":    {fault.Fault{Type: fault.PoisonMessage}, outcome.OK, outcome.StoreError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			service := kafkaService(topology.Store{Timeout: unit.Duration(2 * time.Second)})
			s, address := serve(t, service)
			d := connect(t, service)
			if err := publishWith(t, d, address, "k", "before"); err != nil {
				t.Fatal(err)
			}
			consumesOne(t, d, address)
			tt.fault.Probability = 1
			if err := s.AddFault("f", tt.fault, time.Time{}); err != nil {
				t.Fatal(err)
			}
			for end := time.Now().Add(10 * time.Second); ; {
				err := publishWith(t, d, address, "k", "during")
				_, failed := consumeWith(t, d, address)
				if store.Class(err) == tt.publish && store.Class(failed) == tt.consume {
					break
				}
				// Some are lost with the connections that were cut.
				if cuts := tt.fault.Type == fault.AuthRevoked || name == "failover"; !cuts || time.Now().After(end) {
					t.Fatalf("publishing ended as %s (%v), consuming as %s (%v); want %s and %s", store.Class(err), err, store.Class(failed), failed, tt.publish, tt.consume)
				}
			}
			if err := s.ClearFault("f"); err != nil {
				t.Fatal(err)
			}
			recovers(t, d, address)
		})
	}
}

// recovers publishes and consumes until both are good again.
func recovers(t *testing.T, d store.Driver, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		if ctx.Err() != nil {
			t.Fatal("nothing is published after the fault")
		}
		if publishWith(t, d, address, "k", "after") == nil {
			break
		}
	}
	consumesOne(t, d, address)
}

// consumesOne consumes until there is a message: on a busy machine, to join the group takes
// longer than one look for a message.
func consumesOne(t *testing.T, d store.Driver, address string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; {
		found, err := consumeWith(t, d, address)
		switch {
		case found && err == nil:
			return
		case time.Now().After(end):
			t.Fatalf("nothing is consumed: %v", err)
		}
	}
}

// An address that is not needed any more lets the operations end that are under way.
func TestKafkaClientsEndAfterTheirOperations(t *testing.T) {
	service := kafkaService(topology.Store{})
	_, address := serve(t, service)
	d := connect(t, service)
	if err := publishWith(t, d, address, "k", "x"); err != nil {
		t.Fatal(err)
	}
	if found, err := consumeWith(t, d, address); !found || err != nil {
		t.Fatal(found, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := consumeWith(t, d, address)
		ended <- err
	}()
	for end := time.Now().Add(topology.ConsumePatience.Std() / 2); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		d.KeepOnly(nil)
	}
	if err := <-ended; err != nil {
		t.Errorf("a consumer that waits ended with %v", err)
	}
	if err := publishWith(t, d, address, "k", "x"); err != nil {
		t.Errorf("the address that is needed again: %v", err)
	}
}

func TestKafkaIsAway(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	d := connect(t, kafkaService(topology.Store{}))
	for _, op := range []topology.Operation{topology.OpPublish, topology.OpConsume} {
		began := time.Now()
		_, err := d.Do(t.Context(), ln.Addr().String(), &store.Query{Operation: op, Item: "k"})
		if got := store.Class(err); got != outcome.ConnectionError || time.Since(began) > 3*time.Second {
			t.Errorf("%s ended as %s after %v: %v", op, got, time.Since(began), err)
		}
	}
}

// Other clients of Kafka, with the settings that they have by default, find what they
// need, or are told what they cannot have.
func TestKafkaServesOtherClients(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 2})
	_, address := serve(t, service)
	client := func(opts ...kgo.Opt) *kgo.Client {
		c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(address), kgo.DefaultProduceTopic("messages")}, opts...)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	plain := client(kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ConsumeTopics("messages"))
	for range 3 {
		if err := plain.ProduceSync(t.Context(), kgo.StringRecord("a"), kgo.StringRecord("b")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for n < 6 {
		fetches := plain.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	err := plain.ProduceSync(t.Context(), &kgo.Record{Topic: "other", Value: []byte("x")}).FirstErr()
	if err == nil || !strings.Contains(err.Error(), "UNKNOWN_TOPIC") {
		t.Errorf("another topic: %v", err)
	}
	for name, codec := range map[string]kgo.CompressionCodec{"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()} {
		value := strings.Repeat(name, 1000)
		if err := client(kgo.ProducerBatchCompression(codec)).ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		fetches := plain.PollFetches(t.Context())
		if records := fetches.Records(); fetches.Err() != nil || len(records) != 1 || string(records[0].Value) != value {
			t.Errorf("%s comes back as %d records, %v", name, len(records), fetches.Err())
		}
	}
}

// Tools that look at groups find those that consume, and how far they are; they delete those that
// have no members, and no others.
func TestKafkaShowsItsGroups(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 2})
	_, address := serve(t, service)
	web := connect(t, service)
	for i := range 5 {
		if err := publishWith(t, web, address, store.ItemName(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	worker, err := driver.New("worker", service)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := consumeWith(t, worker, address); !found || err != nil {
		t.Fatal(found, err)
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(address))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	groups := func() string {
		list := kmsg.NewPtrListGroupsRequest()
		listed, err := list.RequestWith(t.Context(), client)
		if err != nil || len(listed.Groups) != 1 {
			t.Fatalf("%+v, %v", listed, err)
		}
		describe := kmsg.NewPtrDescribeGroupsRequest()
		describe.Groups = []string{listed.Groups[0].Group, listed.Groups[0].Group}
		described, err := describe.RequestWith(t.Context(), client)
		if err != nil || len(described.Groups) != 1 {
			t.Fatalf("%+v, %v", described, err)
		}
		g := described.Groups[0]
		said := fmt.Sprint(g.Group, " ", g.State, " ", listed.Groups[0].GroupState)
		for _, m := range g.Members {
			var assigned kmsg.ConsumerMemberAssignment
			if err := assigned.ReadFrom(m.MemberAssignment); err != nil {
				t.Error(err)
			}
			for _, a := range assigned.Topics {
				slices.Sort(a.Partitions)
			}
			said += fmt.Sprint(" ", m.ClientHost, assigned.Topics[0].Topic, assigned.Topics[0].Partitions)
		}
		return said
	}
	remove := func() error {
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Groups = []string{"worker"}
		answer, err := r.RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		return kerr.ErrorForCode(answer.Groups[0].ErrorCode)
	}
	if got := groups(); got != "worker Stable Stable /127.0.0.1messages[0 1]" {
		t.Errorf("while it consumes: %s", got)
	}
	if err := remove(); !errors.Is(err, kerr.NonEmptyGroup) {
		t.Errorf("deleting it meanwhile: %v", err)
	}
	if err := worker.Close(); err != nil {
		t.Fatal(err)
	}
	if got := groups(); got != "worker Empty Empty" {
		t.Errorf("afterwards: %s", got)
	}
	if err := remove(); err != nil {
		t.Errorf("deleting it: %v", err)
	}
	if err := remove(); !errors.Is(err, kerr.GroupIDNotFound) {
		t.Errorf("deleting it again: %v", err)
	}
	config := kmsg.NewPtrDescribeConfigsRequest()
	config.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "messages", ConfigNames: []string{"retention.bytes"}}}
	configs, err := config.RequestWith(t.Context(), client)
	if err != nil || len(configs.Resources) != 1 || len(configs.Resources[0].Configs) != 1 || *configs.Resources[0].Configs[0].Value != fmt.Sprint(16<<20) {
		t.Errorf("%+v, %v", configs, err)
	}
}

// A connection that is not of Kafka, or garbled, is malformed or broken, never a message.
func TestKafkaDriverReadsGarbage(t *testing.T) {
	d := connect(t, kafkaService(topology.Store{}))
	if err := publishWith(t, d, garbage(t), "k", "x"); err == nil || errors.As(err, new(store.Refusal)) {
		t.Errorf("garbage is taken for an answer: %v", err)
	}
}

// The metrics tell how far each group is behind, also one that has consumed nothing, since
// its first message is poisoned.
func TestKafkaTellsTheLag(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 1})
	s, address := serve(t, service)
	web := connect(t, service)
	wants := func(group, messages string) {
		t.Helper()
		want := `microsim_store_lag_messages{group="` + group + `",service="` + service.Name + `"} ` + messages + "\n"
		if page := metricsOf(s); !strings.Contains(page, want) {
			t.Errorf("no %s in\n%s", want, page)
		}
	}
	publish := func() {
		for i := range 4 {
			if err := publishWith(t, web, address, store.ItemName(i), "x"); err != nil {
				t.Fatal(err)
			}
		}
	}
	publish()
	if page := metricsOf(s); strings.Contains(page, "microsim_store_lag_messages{") {
		t.Errorf("nobody consumes, and there is a lag in\n%s", page)
	}
	worker := connect(t, service)
	for range 3 {
		if found, err := consumeWith(t, worker, address); err != nil || !found {
			t.Fatal(found, err)
		}
	}
	wants("web", "1")
	if err := s.AddFault("poison", fault.Fault{Type: fault.PoisonMessage, Probability: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	publish()
	if found, err := consumeWith(t, worker, address); err != nil || !found {
		t.Fatal(found, err)
	}
	if _, err := consumeWith(t, worker, address); err == nil {
		t.Error("a poisoned message was consumed")
	}
	wants("web", "4")
}

// A group that has joined and consumed nothing is behind by all messages.
func TestKafkaTellsTheLagOfAGroupThatIsStuck(t *testing.T) {
	service := kafkaService(topology.Store{Partitions: 1})
	s, address := serve(t, service)
	if err := s.AddFault("poison", fault.Fault{Type: fault.PoisonMessage, Probability: 1}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	web := connect(t, service)
	for i := range 3 {
		if err := publishWith(t, web, address, store.ItemName(i), "x"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := consumeWith(t, web, address); err == nil {
		t.Error("a poisoned message was consumed")
	}
	if page := metricsOf(s); !strings.Contains(page, `microsim_store_lag_messages{group="web",service="`+service.Name+`"} 3`+"\n") {
		t.Errorf("the group is not behind by 3 in\n%s", page)
	}
}
