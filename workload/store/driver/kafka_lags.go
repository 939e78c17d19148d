package driver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	topo "github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
)

// A kafkaLags asks a real broker how far the groups of consumers are behind.
type kafkaLags struct {
	client       *kafkaClient
	decompressor kgo.Decompressor
}

// Lags returns what tells how far the groups of consumers of a real server are behind.
func Lags(t *topo.Service) (store.LagReader, error) {
	if t.Kind != topo.Kafka {
		return nil, fmt.Errorf("asking store %q for lags: a server of kind %s has no consumers", t.Name, t.Kind)
	}
	settings := t.StoreSettings()
	c, err := openKafka("microsim", settings.Address, &settings)
	if err != nil {
		return nil, err
	}
	return &kafkaLags{c, kgo.DefaultDecompressor()}, nil
}

// Close implements store.LagReader.
func (l *kafkaLags) Close() error {
	l.client.producer.Close()
	return nil
}

// A place is the next message of a partition, by its offset.
type place = map[int32]int64

// Lags implements store.LagReader. The groups are asked for before the ends of the partitions,
// so that what is consumed meanwhile does not come out as less than nothing.
func (l *kafkaLags) Lags(ctx context.Context) ([]store.Lag, error) {
	c := l.client.producer
	partitions, id, err := partitionsOf(ctx, c)
	if err != nil {
		return nil, err
	}
	groups, err := groupsOf(ctx, c, partitions)
	if err != nil || len(groups) == 0 {
		return nil, err
	}
	first, err := offsetsAt(ctx, c, partitions, earliest)
	if err != nil {
		return nil, err
	}
	end, err := offsetsAt(ctx, c, partitions, latest)
	if err != nil {
		return nil, err
	}
	var lags []store.Lag
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		lag, missing := store.Lag{Group: name}, place{}
		for _, p := range partitions {
			from := max(groups[name][p], first[p])
			if from < end[p] {
				lag.Messages += end[p] - from
				missing[p] = from
			}
		}
		if lag.Age, err = l.oldest(ctx, id, missing); err != nil {
			return nil, err
		}
		lags = append(lags, lag)
	}
	return lags, nil
}

// partitionsOf are the partitions of the topic, and its id.
func partitionsOf(ctx context.Context, c *kgo.Client) (partitions []int32, id [16]byte, err error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(kafkafront.Topic)
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(ctx, c)
	if err == nil && len(response.Topics) > 0 {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil || len(response.Topics) == 0 {
		return nil, id, errors.Join(fmt.Errorf("looking for the partitions of topic %q", kafkafront.Topic), err)
	}
	for _, p := range response.Topics[0].Partitions {
		partitions = append(partitions, p.Partition)
	}
	return partitions, response.Topics[0].TopicID, nil
}

// groupsOf are the places of all groups; a group that has consumed nothing of a partition is
// at -1 there.
func groupsOf(ctx context.Context, c *kgo.Client, partitions []int32) (map[string]place, error) {
	list, err := kmsg.NewPtrListGroupsRequest().RequestWith(ctx, c)
	if err == nil {
		err = kerr.ErrorForCode(list.ErrorCode)
	}
	if err != nil {
		return nil, fmt.Errorf("listing the groups of consumers: %w", err)
	}
	groups := map[string]place{}
	for i := range list.Groups {
		name := list.Groups[i].Group
		request := kmsg.NewPtrOffsetFetchRequest()
		request.Group = name
		topic := kmsg.NewOffsetFetchRequestTopic()
		topic.Topic, topic.Partitions = kafkafront.Topic, partitions
		request.Topics = append(request.Topics, topic)
		response, err := request.RequestWith(ctx, c)
		if err == nil {
			err = kerr.ErrorForCode(response.ErrorCode)
		}
		if err != nil {
			return nil, fmt.Errorf("asking what group %q has consumed: %w", name, err)
		}
		groups[name] = place{}
		for _, p := range partitions {
			groups[name][p] = -1
		}
		for _, t := range response.Topics {
			for _, p := range t.Partitions {
				groups[name][p.Partition] = p.Offset
			}
		}
	}
	return groups, nil
}

// earliest and latest are the times by which Kafka calls the ends of a partition.
const earliest, latest = -2, -1

// offsetsAt are the places of an end of the partitions.
func offsetsAt(ctx context.Context, c *kgo.Client, partitions []int32, which int64) (place, error) {
	request := kmsg.NewPtrListOffsetsRequest()
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = kafkafront.Topic
	for _, p := range partitions {
		one := kmsg.NewListOffsetsRequestTopicPartition()
		one.Partition, one.Timestamp = p, which
		topic.Partitions = append(topic.Partitions, one)
	}
	request.ReplicaID, request.Topics = -1, append(request.Topics, topic)
	response, err := request.RequestWith(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of topic %q: %w", kafkafront.Topic, err)
	}
	at := place{}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("asking for the end of partition %d: %w", p.Partition, err)
			}
			at[p.Partition] = p.Offset
		}
	}
	return at, nil
}

// oldest is the age of the oldest message at one of these places.
func (l *kafkaLags) oldest(ctx context.Context, topic [16]byte, places place) (age time.Duration, err error) {
	if len(places) == 0 {
		return 0, nil
	}
	request := kmsg.NewPtrFetchRequest()
	request.ReplicaID, request.MinBytes, request.MaxBytes, request.SessionEpoch = -1, 0, 1<<20, -1
	of := kmsg.NewFetchRequestTopic()
	of.Topic, of.TopicID = kafkafront.Topic, topic
	for p, offset := range places {
		one := kmsg.NewFetchRequestTopicPartition()
		one.Partition, one.FetchOffset, one.PartitionMaxBytes = p, offset, 1
		of.Partitions = append(of.Partitions, one)
	}
	request.Topics = append(request.Topics, of)
	response, err := request.RequestWith(ctx, l.client.producer)
	if err != nil {
		return 0, fmt.Errorf("reading the oldest messages that are not consumed: %w", err)
	}
	now := time.Now()
	for i := range response.Topics {
		for j := range response.Topics[i].Partitions {
			p := &response.Topics[i].Partitions[j]
			o := kgo.ProcessFetchPartitionOpts{Topic: kafkafront.Topic, Partition: p.Partition, Offset: places[p.Partition]}
			read, _ := kgo.ProcessFetchPartition(o, p, l.decompressor, nil)
			if len(read.Records) > 0 {
				age = max(age, now.Sub(read.Records[0].Timestamp))
			}
		}
	}
	return age, nil
}
