package kafkafront

import (
	"context"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// produce publishes the messages of a request, all or none of a partition, as one
// operation.
func (c *client) produce(ctx context.Context, r *kmsg.ProduceRequest) (kmsg.Response, error) {
	response := r.ResponseKind().(*kmsg.ProduceResponse)
	q := store.Query{Operation: topology.OpPublish}
	named, u := parts{}, newUnpacker(c.budget)
	defer u.release()
	firsts := map[int]int{} // where the messages of a partition begin in the batch
	for _, t := range r.Topics {
		answer := kmsg.NewProduceResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewProduceResponseTopicPartition()
			one.Partition, one.ErrorCode, one.BaseOffset = p.Partition, named.check(c, t.Topic, p.Partition), -1
			if one.ErrorCode == 0 {
				var messages []store.Message
				messages, one.ErrorCode = readBatches(p.Records, int(p.Partition), r.Version, u)
				firsts[int(p.Partition)] = len(q.Batch)
				q.Batch = append(q.Batch, messages...)
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		response.Topics = append(response.Topics, answer)
	}
	if len(q.Batch) > 0 {
		q.Item = string(q.Batch[0].Key)
		a, err := c.engine.Do(ctx, q)
		if err != nil {
			return nil, err
		}
		for i := range response.Topics {
			for j := range response.Topics[i].Partitions {
				if one := &response.Topics[i].Partitions[j]; one.ErrorCode == 0 {
					if one.ErrorCode = errorOf(a.Code); one.ErrorCode == 0 {
						one.BaseOffset = a.Messages[firsts[int(one.Partition)]].Offset
					}
				}
			}
		}
	}
	if r.Acks == 0 {
		return nil, nil //nolint:nilnil // no answer is wanted
	}
	return response, nil
}

// The head of a batch of records (https://kafka.apache.org/documentation/#recordbatch).
const (
	batchHead = 61
	// afterLength is where that begins which the length counts, and checked what the
	// checksum covers.
	afterLength   = 12
	checked       = 21
	magic         = 2
	compression   = 0b111
	transactional = 1 << 4
	control       = 1 << 5
)

//nolint:gochecknoglobals // the table of the checksum
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// readBatches reads the messages for a partition out of a request of a version, or says what
// is wrong with them.
func readBatches(b []byte, partition int, version int16, u *unpacker) (messages []store.Message, wrong int16) {
	for len(b) > 0 {
		if len(b) < batchHead {
			return nil, kerr.CorruptMessage.Code
		}
		size := afterLength + int(int32(binary.BigEndian.Uint32(b[8:]))) //nolint:gosec // it is signed
		switch {
		case size > mostBatch:
			return nil, kerr.MessageTooLarge.Code
		case size < batchHead || size > len(b):
			return nil, kerr.CorruptMessage.Code
		}
		var batch kmsg.RecordBatch
		if batch.ReadFrom(b[:size]) != nil || batch.Magic != magic || crc32.Checksum(b[checked:size], castagnoli) != uint32(batch.CRC) { //nolint:gosec // its bits
			return nil, kerr.CorruptMessage.Code
		}
		if batch.Attributes&(transactional|control) != 0 {
			return nil, kerr.InvalidRecord.Code
		}
		if wrong := u.open(&batch, version); wrong != 0 {
			return nil, wrong
		}
		if u.take(int(max(batch.NumRecords, 0))*overhead) != nil {
			return nil, kerr.MessageTooLarge.Code
		}
		records, ok := readRecords(batch.Records, int(batch.NumRecords), partition)
		if !ok {
			return nil, kerr.CorruptMessage.Code
		}
		messages, b = append(messages, records...), b[size:]
	}
	if len(messages) == 0 {
		return nil, kerr.InvalidRecord.Code
	}
	return messages, 0
}

// overhead is what a message takes beside its bytes, while it is read.
const overhead = 128

func readRecords(b []byte, n, partition int) (messages []store.Message, ok bool) {
	for range n {
		length, size := binary.Varint(b)
		if size <= 0 || length < 0 || length > int64(len(b)-size) {
			return nil, false
		}
		end := size + int(length)
		var r kmsg.Record
		if r.ReadFrom(b[:end]) != nil {
			return nil, false
		}
		messages, b = append(messages, store.Message{Partition: partition, Key: r.Key, Value: r.Value}), b[end:]
	}
	return messages, len(b) == 0
}

// unreadable begins the value of a message that consumers cannot read: it is no text.
const unreadable = 0xff

// batchOf is messages that follow one another as one batch.
func batchOf(messages []store.Message, began time.Time) []byte {
	at := func(m *store.Message) int64 { return began.Add(m.At).UnixMilli() }
	first, last := &messages[0], &messages[len(messages)-1]
	batch := kmsg.RecordBatch{
		FirstOffset: first.Offset, PartitionLeaderEpoch: epoch, Magic: magic, LastOffsetDelta: int32(last.Offset - first.Offset), //nolint:gosec // it is bound
		FirstTimestamp: at(first), MaxTimestamp: at(last), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, NumRecords: int32(len(messages)), //nolint:gosec // it is bound
	}
	for i := range messages {
		m := &messages[i]
		r := kmsg.Record{TimestampDelta64: at(m) - batch.FirstTimestamp, OffsetDelta: int32(m.Offset - first.Offset), Key: m.Key, Value: m.Value} //nolint:gosec // it is bound
		if m.Poison {
			r.Value = append([]byte{unreadable}, m.Value...)
		}
		r.Length = int32(len(r.AppendTo(nil)) - 1) //nolint:gosec // it is bound
		batch.Records = r.AppendTo(batch.Records)
	}
	batch.Length = int32(batchHead - afterLength + len(batch.Records)) //nolint:gosec // it is bound
	b := batch.AppendTo(nil)
	binary.BigEndian.PutUint32(b[checked-4:], crc32.Checksum(b[checked:], castagnoli))
	return b
}

// fetch answers with what follows the places of a request.
func (c *client) fetch(ctx context.Context, r *kmsg.FetchRequest) (kmsg.Response, error) {
	response := r.ResponseKind().(*kmsg.FetchResponse)
	q := store.Query{
		Operation: topology.OpConsume, Most: int(min(r.MaxBytes, mostMessage/2)),
		Patience: min(max(time.Duration(r.MaxWaitMillis), 0)*time.Millisecond, mostWait),
	}
	if r.MinBytes <= 0 {
		q.Patience = 0
	}
	wrong, named := false, parts{}
	for _, t := range r.Topics {
		answer := kmsg.NewFetchResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			one := c.place(t.Topic, &p, named)
			if wrong = wrong || one.ErrorCode != 0; one.ErrorCode == 0 {
				q.From = append(q.From, store.Position{Partition: int(p.Partition), Offset: p.FetchOffset})
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		response.Topics = append(response.Topics, answer)
	}
	if wrong {
		q.Patience = 0
	}
	a, err := c.engine.Do(ctx, q)
	if err != nil {
		return nil, err
	}
	c.fill(response, &a)
	return response, nil
}

// place says what is wrong with a place to fetch from.
func (c *client) place(topic string, p *kmsg.FetchRequestTopicPartition, named parts) kmsg.FetchResponseTopicPartition {
	one := kmsg.NewFetchResponseTopicPartition()
	one.Partition, one.HighWatermark, one.LastStableOffset, one.PreferredReadReplica = p.Partition, -1, -1, -1
	one.RecordBatches = []byte{} // librdkafka ends the connection if it is null
	if one.ErrorCode = named.check(c, topic, p.Partition); one.ErrorCode != 0 {
		return one
	}
	first, end := c.bounds(p.Partition)
	if p.FetchOffset < first || p.FetchOffset > end {
		one.ErrorCode = kerr.OffsetOutOfRange.Code
	}
	return one
}

func (c *client) bounds(partition int32) (first, end int64) {
	c.engine.Look(func(m *store.Store, _ time.Duration) { first, end = m.Bounds(int(partition)) })
	return first, end
}

// fill gives an answer its messages.
func (c *client) fill(response *kmsg.FetchResponse, a *store.Answer) {
	began := c.engine.Began()
	for i := range response.Topics {
		for j := range response.Topics[i].Partitions {
			one := &response.Topics[i].Partitions[j]
			if one.ErrorCode != 0 {
				continue
			}
			one.ErrorCode = errorOf(a.Code)
			first, end := c.bounds(one.Partition)
			one.LogStartOffset, one.HighWatermark, one.LastStableOffset = first, end, end
			var own []store.Message
			for _, m := range a.Messages {
				if m.Partition == int(one.Partition) {
					own = append(own, m)
				}
			}
			if len(own) > 0 {
				one.RecordBatches = batchOf(own, began)
			}
		}
	}
}

// Moments that a client may ask the offset of.
const (
	latest   = -1
	earliest = -2
)

func (c *client) listOffsets(r *kmsg.ListOffsetsRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	began := c.engine.Began()
	for _, t := range r.Topics {
		answer := kmsg.NewListOffsetsResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewListOffsetsResponseTopicPartition()
			one.Partition, one.ErrorCode = p.Partition, c.missing(t.Topic, p.Partition)
			if one.ErrorCode == 0 {
				first, end := c.bounds(p.Partition)
				switch one.LeaderEpoch = epoch; p.Timestamp {
				case latest:
					one.Offset = end
				case earliest:
					one.Offset = first
				default:
					c.engine.Look(func(m *store.Store, _ time.Duration) {
						if found, ok := m.Since(int(p.Partition), time.UnixMilli(p.Timestamp).Sub(began)); ok {
							one.Offset, one.Timestamp = found.Offset, began.Add(found.At).UnixMilli()
						}
					})
				}
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}

// commit notes how far a group has come.
func (c *client) commit(r *kmsg.OffsetCommitRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.OffsetCommitResponse)
	refused := c.engine.Groups().check(r.Group, r.MemberID, r.Generation)
	for _, t := range r.Topics {
		answer := kmsg.NewOffsetCommitResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewOffsetCommitResponseTopicPartition()
			one.Partition, one.ErrorCode = p.Partition, refused
			if one.ErrorCode == 0 {
				one.ErrorCode = c.missing(t.Topic, p.Partition)
			}
			if one.ErrorCode == 0 {
				one.ErrorCode = c.commitOne(r.Group, int(p.Partition), p.Offset)
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}

func (c *client) commitOne(group string, partition int, offset int64) (wrong int16) {
	c.engine.Look(func(m *store.Store, _ time.Duration) {
		switch _, end := m.Bounds(partition); {
		case offset < 0 || offset > end:
			wrong = kerr.OffsetOutOfRange.Code
		case !m.Commit(group, partition, offset):
			wrong = kerr.GroupMaxSizeReached.Code
		}
	})
	return wrong
}

// committed says how far a group has come.
func (c *client) committed(r *kmsg.OffsetFetchRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.OffsetFetchResponse)
	topics := r.Topics
	if topics == nil {
		all := kmsg.NewOffsetFetchRequestTopic()
		all.Topic = Topic
		for p := range c.partitions(Topic) {
			all.Partitions = append(all.Partitions, int32(p)) //nolint:gosec // it is bound
		}
		topics = append(topics, all)
	}
	for _, t := range topics {
		answer := kmsg.NewOffsetFetchResponseTopic()
		answer.Topic = t.Topic
		for _, p := range t.Partitions {
			one := kmsg.NewOffsetFetchResponseTopicPartition()
			one.Partition, one.Offset, one.LeaderEpoch, one.Metadata = p, -1, -1, kmsg.StringPtr("")
			if one.ErrorCode = c.missing(t.Topic, p); one.ErrorCode == 0 {
				c.engine.Look(func(m *store.Store, _ time.Duration) {
					if offset, ok := m.Committed(r.Group, int(p)); ok {
						one.Offset = offset
					}
				})
			}
			answer.Partitions = append(answer.Partitions, one)
		}
		response.Topics = append(response.Topics, answer)
	}
	return response
}
