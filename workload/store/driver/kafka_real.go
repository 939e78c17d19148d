package driver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	topo "github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/kafkafront"
)

const (
	// kafkaPatience bounds how long a broker takes to make or remove a topic.
	kafkaPatience = 30 * time.Second
	// kafkaLook is how long it takes until a topic is looked for again.
	kafkaLook = 50 * time.Millisecond
)

// prepareKafka makes the topic of a store on a real broker, and returns what removes it.
// It refuses several brokers: the relay before a store leads to one.
func prepareKafka(ctx context.Context, t *topo.Service, own bool) (undo func(context.Context) error, err error) {
	settings := t.StoreSettings()
	c, err := openKafka("microsim", settings.Address, &settings)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, kafkaPatience)
	defer cancel()
	brokers, there, err := awaitBroker(ctx, c.producer, own)
	if err == nil && own && len(there) > 0 {
		err = replaceTopic(ctx, c.producer)
		there = nil
	}
	switch {
	case err != nil:
	case brokers != 1:
		err = fmt.Errorf("the server is one of %d brokers, and callers reach one only; name a broker that stands alone", brokers)
	case len(there) > 0:
		err = fmt.Errorf("the server has a topic %q already; name another server, or delete the topic", kafkafront.Topic)
	default:
		err = createTopic(ctx, c.producer, settings.Partitions)
	}
	if err != nil {
		c.producer.Close()
		return nil, err
	}
	undo = func(ctx context.Context) error {
		defer c.producer.Close()
		return deleteTopic(ctx, c.producer)
	}
	return undo, awaitTopic(ctx, c.producer, settings.Partitions)
}

// awaitBroker waits until a broker that takes connections has joined its cluster of one. An
// own one, which is just being started, may break off requests before.
func awaitBroker(ctx context.Context, c *kgo.Client, own bool) (brokers int, topic []kmsg.MetadataResponseTopicPartition, err error) {
	for {
		brokers, topic, err = lookForTopic(ctx, c)
		if err == nil && brokers > 0 || err != nil && !own {
			return brokers, topic, err
		}
		select {
		case <-time.After(kafkaLook):
		case <-ctx.Done():
			return 0, nil, errors.Join(fmt.Errorf("waiting for the broker: %w", ctx.Err()), err)
		}
	}
}

// replaceTopic deletes the topic that an earlier start has left, and returns when its name is
// free.
func replaceTopic(ctx context.Context, c *kgo.Client) error {
	if err := deleteTopic(ctx, c); err != nil {
		return err
	}
	for {
		_, there, err := lookForTopic(ctx, c)
		if err != nil || len(there) == 0 {
			return err
		}
		select {
		case <-time.After(kafkaLook):
		case <-ctx.Done():
			return fmt.Errorf("waiting until topic %q is gone: %w", kafkafront.Topic, ctx.Err())
		}
	}
}

// awaitTopic waits until a topic takes messages and groups of consumers can be formed,
// for which a new broker makes a topic of its own.
func awaitTopic(ctx context.Context, c *kgo.Client, partitions int) error {
	for {
		_, there, err := lookForTopic(ctx, c)
		if err != nil {
			return err
		}
		there = slices.DeleteFunc(there, func(p kmsg.MetadataResponseTopicPartition) bool { return p.ErrorCode != 0 || p.Leader < 0 })
		request := kmsg.NewPtrFindCoordinatorRequest()
		request.CoordinatorKey, request.CoordinatorKeys = "microsim", []string{"microsim"}
		response, err := request.RequestWith(ctx, c)
		if err == nil && response.ErrorCode == 0 && len(there) == partitions &&
			!slices.ContainsFunc(response.Coordinators, func(c kmsg.FindCoordinatorResponseCoordinator) bool { return c.ErrorCode != 0 }) {
			return nil
		}
		select {
		case <-time.After(kafkaLook):
		case <-ctx.Done():
			return fmt.Errorf("waiting until topic %q can be used: %w", kafkafront.Topic, ctx.Err())
		}
	}
}

// lookForTopic says how many brokers there are, and the partitions of the topic.
func lookForTopic(ctx context.Context, c *kgo.Client) (brokers int, partitions []kmsg.MetadataResponseTopicPartition, err error) {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = kmsg.StringPtr(kafkafront.Topic)
	request.Topics, request.AllowAutoTopicCreation = append(request.Topics, topic), false
	response, err := request.RequestWith(ctx, c)
	if err != nil {
		return 0, nil, fmt.Errorf("looking for topic %q: %w", kafkafront.Topic, err)
	}
	for i := range response.Topics {
		one := &response.Topics[i]
		if err := kerr.ErrorForCode(one.ErrorCode); err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return 0, nil, fmt.Errorf("looking for topic %q: %w", kafkafront.Topic, err)
		}
		partitions = append(partitions, one.Partitions...)
	}
	return len(response.Brokers), partitions, nil
}

func createTopic(ctx context.Context, c *kgo.Client, partitions int) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = kafkafront.Topic, int32(partitions), 1 //nolint:gosec // it is bound
	// The age of messages is measured by the clock of the broker alone.
	stamped := kmsg.NewCreateTopicsRequestTopicConfig()
	stamped.Name, stamped.Value = "message.timestamp.type", kmsg.StringPtr("LogAppendTime")
	topic.Configs = append(topic.Configs, stamped)
	request.Topics, request.TimeoutMillis = append(request.Topics, topic), int32(kafkaPatience.Milliseconds())
	response, err := request.RequestWith(ctx, c)
	if err == nil && len(response.Topics) > 0 {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("creating topic %q: %w", kafkafront.Topic, err)
	}
	return nil
}

func deleteTopic(ctx context.Context, c *kgo.Client) error {
	request := kmsg.NewPtrDeleteTopicsRequest()
	topic := kmsg.NewDeleteTopicsRequestTopic()
	topic.Topic = kmsg.StringPtr(kafkafront.Topic)
	request.Topics, request.TopicNames = append(request.Topics, topic), []string{kafkafront.Topic}
	request.TimeoutMillis = int32(kafkaPatience.Milliseconds())
	response, err := request.RequestWith(ctx, c)
	if err == nil && len(response.Topics) > 0 {
		err = kerr.ErrorForCode(response.Topics[0].ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("deleting topic %q: %w", kafkafront.Topic, err)
	}
	return nil
}
