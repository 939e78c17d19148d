package kafkafront

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// immediate is a store that answers at once.
type immediate struct {
	*store.Store
	groups *Groups
}

// Do implements Engine.
func (e immediate) Do(_ context.Context, q store.Query) (store.Answer, error) {
	q.Patience = 0
	return e.Immediate(q, 0), nil
}

// Look implements Engine.
func (e immediate) Look(ask func(m *store.Store, now time.Duration)) { ask(e.Store, 0) }

// Began implements Engine.
func (e immediate) Began() time.Time { return time.UnixMilli(1_000_000) }

// Groups implements Engine.
func (e immediate) Groups() *Groups { return e.groups }

func newClient() *client {
	s := topology.NewService("log")
	s.Kind, s.Store = topology.Kafka, &topology.Store{Partitions: 2}
	return &client{engine: immediate{store.New(1, &s), NewGroups()}, known: versions(), budget: intake.NewBudget(1 << 30), host: "127.0.0.1", port: 9092}
}

// message is a request with its head.
func message(r kmsg.Request, version int16) []byte {
	r.SetVersion(version)
	b := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, uint16(r.Key()))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = append(binary.BigEndian.AppendUint16(b, 4), "test"...)
	if r.IsFlexible() {
		b = append(b, 0)
	}
	b = r.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func produceRequest(partitions ...int32) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	t := kmsg.NewProduceRequestTopic()
	t.Topic, r.Acks = Topic, -1
	for _, p := range partitions {
		one := kmsg.NewProduceRequestTopicPartition()
		one.Partition = p
		one.Records = batchOf([]store.Message{{Key: []byte("k"), Value: []byte("a")}, {Offset: 1, Value: []byte("b")}}, time.UnixMilli(0))
		t.Partitions = append(t.Partitions, one)
	}
	r.Topics = append(r.Topics, t)
	return r
}

func fetchRequest(partitions ...int32) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	t := kmsg.NewFetchRequestTopic()
	t.Topic, r.MaxBytes, r.MaxWaitMillis, r.MinBytes = Topic, 1<<20, 10, 1
	for _, p := range partitions {
		one := kmsg.NewFetchRequestTopicPartition()
		one.Partition, one.PartitionMaxBytes = p, 1<<20
		t.Partitions = append(t.Partitions, one)
	}
	r.Topics = append(r.Topics, t)
	return r
}

func joinRequest(id string) *kmsg.JoinGroupRequest {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = "g", id, "consumer", 10_000, 10_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: []byte("m")}}
	return r
}

// Whatever a client sends, the front answers with a message of the announced length, or
// ends the connection.
func FuzzMessages(f *testing.F) {
	for key, bounds := range versions() {
		for _, version := range bounds {
			f.Add(message(kmsg.RequestForKey(key), version))
		}
	}
	f.Add(message(produceRequest(0, 1), 9))
	f.Add(append(message(produceRequest(0), 3), message(fetchRequest(0, 1), 12)...))
	f.Add(message(joinRequest(""), 5))
	for c := codecGzip; c <= codecZstd; c++ {
		f.Add(message(packedRequest(f, c, []store.Message{{Key: []byte("k"), Value: []byte("a")}}), 9))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		in, c := bufio.NewReader(bytes.NewReader(sent)), newClient()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for {
			size, err := readSize(in)
			if err != nil {
				return
			}
			var out bytes.Buffer
			if !c.exchange(ctx, size, in, &out) {
				return
			}
			if out.Len() == 0 {
				continue
			}
			if n, err := readSize(&out); err != nil || n != out.Len() {
				t.Fatalf("an answer announces %d bytes and has %d: %v", n, out.Len(), err)
			}
		}
	})
}

// A message that was published is fetched again; one that is not there, or garbled, is refused by the
// protocol's own errors.
func TestMessagesComeBack(t *testing.T) {
	c := newClient()
	answer := func(r kmsg.Request, version int16) kmsg.Response {
		r.SetVersion(version)
		response, err := c.answer(t.Context(), head{}, r)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	garbled := produceRequest(0)
	garbled.Topics[0].Partitions[0].Records[70] ^= 1
	// Batches that say to be compressed, and are not.
	attributed := func(bits byte) *kmsg.ProduceRequest {
		r := produceRequest(0)
		b := r.Topics[0].Partitions[0].Records
		b[22] |= bits
		binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
		return r
	}
	for i, tt := range []struct {
		request *kmsg.ProduceRequest
		want    int16
	}{
		{produceRequest(0), 0}, {produceRequest(2), kerr.UnknownTopicOrPartition.Code}, {garbled, kerr.CorruptMessage.Code},
		{attributed(byte(codecGzip)), kerr.CorruptMessage.Code}, {attributed(byte(codecSnappy)), kerr.CorruptMessage.Code},
		{attributed(byte(codecLZ4)), kerr.CorruptMessage.Code}, {attributed(byte(codecZstd)), kerr.CorruptMessage.Code}, {attributed(5), kerr.UnsupportedCompressionType.Code},
	} {
		got := answer(tt.request, 9).(*kmsg.ProduceResponse).Topics[0].Partitions[0]
		if got.ErrorCode != tt.want {
			t.Errorf("request %d is answered with %d, want %d", i, got.ErrorCode, tt.want)
		}
	}
	fetched := answer(fetchRequest(0), 12).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(fetched.RecordBatches); err != nil || batch.NumRecords != 2 || batch.FirstOffset != 0 || fetched.HighWatermark != 2 {
		t.Errorf("fetched %+v: %+v, %v", fetched, batch, err)
	}
	messages, wrong := readBatches(fetched.RecordBatches, 0, 9, newUnpacker(c.budget))
	if wrong != 0 || string(messages[0].Key) != "k" || string(messages[1].Value) != "b" {
		t.Errorf("read %+v, %d", messages, wrong)
	}
	beyond := fetchRequest(0)
	if got := answer(fetchRequest(1, 5), 12).(*kmsg.FetchResponse).Topics[0].Partitions; got[0].RecordBatches == nil || got[1].RecordBatches == nil {
		t.Error("partitions without messages have null for them, which librdkafka does not take")
	}
	beyond.Topics[0].Partitions[0].FetchOffset = 3
	if got := answer(beyond, 12).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; got != kerr.OffsetOutOfRange.Code {
		t.Errorf("beyond the end: %d", got)
	}
}

// A request that names a partition many times gets its messages once.
func TestAnswersAreBound(t *testing.T) {
	c := newClient()
	if _, err := c.answer(t.Context(), head{}, produceRequest(0)); err != nil {
		t.Fatal(err)
	}
	many := make([]int32, 10_000)
	response, err := c.answer(t.Context(), head{}, fetchRequest(many...))
	if err != nil {
		t.Fatal(err)
	}
	bytes := 0
	for _, p := range response.(*kmsg.FetchResponse).Topics[0].Partitions {
		bytes += len(p.RecordBatches)
	}
	if bytes == 0 || bytes > 1000 {
		t.Errorf("the answer has %d bytes of messages", bytes)
	}
	long := append(message(kmsg.NewPtrMetadataRequest(), 4), make([]byte, mostOther)...)[4:]
	if _, _, err := c.read(long); err == nil {
		t.Error("a long request without messages is read")
	}
}

// All members of a group get one generation and the partitions that the leader gives
// them; those that are silent are dropped, and the others join again.
func TestGroupsRebalance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gs := NewGroups()
		ids := []string{"", ""}
		// round lets members join and sync at once, and returns their generation.
		round := func(members ...int) (generation int32) {
			var wait sync.WaitGroup
			for _, i := range members {
				wait.Go(func() {
					joined, err := gs.join(t.Context(), joinRequest(ids[i]), "c", "/127.0.0.1")
					if err != nil {
						t.Error(err)
						return
					}
					j := joined.(*kmsg.JoinGroupResponse)
					sync := kmsg.NewPtrSyncGroupRequest()
					sync.Group, sync.MemberID, sync.Generation = "g", j.MemberID, j.Generation
					for n, m := range j.Members {
						sync.GroupAssignment = append(sync.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: m.MemberID, MemberAssignment: fmt.Append(nil, n)})
					}
					synced, err := gs.sync(t.Context(), sync)
					if err != nil {
						t.Error(err)
						return
					}
					if s := synced.(*kmsg.SyncGroupResponse); s.ErrorCode == 0 && len(s.MemberAssignment) == 0 || j.ErrorCode != 0 {
						t.Errorf("member %d joined with %d and got %+v", i, j.ErrorCode, s)
					}
					ids[i] = j.MemberID
					gs.mu.Lock()
					defer gs.mu.Unlock()
					generation = j.Generation
				})
			}
			wait.Wait()
			return generation
		}
		beat := func(i int, generation int32) int16 {
			r := kmsg.NewPtrHeartbeatRequest()
			r.Group, r.MemberID, r.Generation = "g", ids[i], generation
			return gs.heartbeat(r).(*kmsg.HeartbeatResponse).ErrorCode
		}
		first := round(0)
		if got := beat(0, first); got != 0 {
			t.Errorf("the one member is told %d", got)
		}
		var second int32
		done := make(chan struct{})
		go func() {
			second = round(1)
			close(done)
		}()
		synctest.Wait() // the second waits for the first
		if got := beat(0, first); got != kerr.RebalanceInProgress.Code {
			t.Errorf("while another joins, the first is told %d", got)
		}
		third := round(0)
		<-done
		if second != third || third != first+1 || len(gs.list["g"].members) != 2 {
			t.Errorf("generations %d, %d and %d, with %d members", first, second, third, len(gs.list["g"].members))
		}
		if got := beat(0, first); got != kerr.IllegalGeneration.Code {
			t.Errorf("in an old generation: %d", got)
		}
		for range 5 {
			time.Sleep(3 * time.Second)
			beat(0, third)
		}
		if got := beat(0, third); got != kerr.RebalanceInProgress.Code {
			t.Errorf("when the other is silent, the first is told %d", got)
		}
		fourth := round(0)
		if got := beat(0, fourth); got != 0 || len(gs.list["g"].members) != 1 {
			t.Errorf("alone again, it is told %d of %d members", got, len(gs.list["g"].members))
		}
		leave := kmsg.NewPtrLeaveGroupRequest()
		leave.Group, leave.MemberID = "g", ids[0]
		gs.leave(leave)
		if got := beat(0, fourth); got != kerr.UnknownMemberID.Code {
			t.Errorf("after it has left, it is told %d", got)
		}
	})
}

// The messages of batches are counted from the place that was asked for; what brokers cut
// off at the end, and marks of transactions, are none.
func TestMessagesInBatches(t *testing.T) {
	batch := func(first int64, n int) (b []byte) {
		messages := make([]store.Message, n)
		for i := range messages {
			messages[i] = store.Message{Offset: first + int64(i), Value: []byte("x")}
		}
		return batchOf(messages, time.UnixMilli(0))
	}
	two := append(batch(5, 3), batch(8, 2)...)
	marks := batch(5, 3)
	marks[checked+1] |= control
	for _, tt := range []struct {
		b    []byte
		from int64
		want int
	}{{nil, 0, 0}, {two, 0, 5}, {two, 6, 4}, {two, 8, 2}, {two, 9, 1}, {two, 10, 0}, {two[:len(two)-1], 0, 3}, {two[:10], 0, 0}, {marks, 0, 0}} {
		if got := messagesIn(tt.b, tt.from); got != tt.want {
			t.Errorf("%d bytes from %d: %d messages, want %d", len(tt.b), tt.from, got, tt.want)
		}
	}
}

// A client that says of a small batch that it has many messages is not counted, and what it
// sends is read no further.
func TestCountsAreBound(t *testing.T) {
	r := produceRequest(0)
	binary.BigEndian.PutUint32(r.Topics[0].Partitions[0].Records[checked+2:], 1<<31-1)
	e := NewExchange(intake.NewBudget(1<<20), &net.TCPAddr{})
	err := e.Asks(bufio.NewReader(bytes.NewReader(message(r, 7))), func(a store.Ask) { t.Errorf("%s was counted", a.Operation) })
	if !errors.Is(err, errLost) {
		t.Errorf("it ends with %v", err)
	}
}
