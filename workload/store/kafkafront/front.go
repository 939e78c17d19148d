// Package kafkafront speaks Kafka's protocol for the embedded engine: one broker with one
// topic, to which clients publish and from which they consume, alone or in groups.
//
// The requests are those that clients need for that, in versions without ids of topics
// (https://kafka.apache.org/protocol). Transactions, compressed batches and changes of
// topics are refused with the protocol's own errors; every user is let in.
package kafkafront

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// Topic is the name of the topic that a store has.
const Topic = "messages"

// An Engine has the log. Each of its methods may be called by several goroutines.
type Engine interface {
	// Do waits for as long as the operation takes. An error says that ctx has ended
	// before, or the store has.
	Do(ctx context.Context, q store.Query) (store.Answer, error)
	// Look asks the model something; nothing comes between.
	Look(ask func(m *store.Store, now time.Duration))
	// Began is when the time of the model began.
	Began() time.Time
	// Groups are the consumer groups of the store.
	Groups() *Groups
}

const (
	// mostMessage bounds a request: batches have at most max.message.bytes each.
	mostMessage = 16 << 20
	// mostOther bounds a request that brings no messages.
	mostOther = 1 << 20
	// mostBatch is Kafka's max.message.bytes.
	mostBatch = 1048588
	// messagePatience bounds how long a client may take to send a request that it
	// has begun.
	messagePatience = 30 * time.Second
	// mostWait bounds how long a fetch may wait for messages.
	mostWait = 30 * time.Second
	// broker is the id of the one broker, epoch that of its leadership.
	broker    = 1
	clusterID = "microsim"
	epoch     = 0
)

// versions are the requests that are known, from a version to another. Later ones name
// topics by ids, or ask several groups at once.
func versions() map[int16][2]int16 {
	return map[int16][2]int16{
		kmsg.Produce.Int16(): {3, 9}, kmsg.Fetch.Int16(): {4, 12}, kmsg.ListOffsets.Int16(): {1, 6}, kmsg.Metadata.Int16(): {0, 9},
		kmsg.OffsetCommit.Int16(): {2, 8}, kmsg.OffsetFetch.Int16(): {1, 7}, kmsg.FindCoordinator.Int16(): {0, 3},
		kmsg.JoinGroup.Int16(): {0, 7}, kmsg.Heartbeat.Int16(): {0, 4}, kmsg.LeaveGroup.Int16(): {0, 4}, kmsg.SyncGroup.Int16(): {0, 5},
		kmsg.ApiVersions.Int16(): {0, 3}, kmsg.InitProducerID.Int16(): {0, 4},
		kmsg.ListGroups.Int16(): {0, 4}, kmsg.DescribeGroups.Int16(): {0, 5}, kmsg.DeleteGroups.Int16(): {0, 2},
		kmsg.DescribeConfigs.Int16(): {1, 4}, kmsg.DescribeCluster.Int16(): {0, 0},
	}
}

// Serve serves one connection until it ends.
func Serve(ctx context.Context, conn net.Conn, e Engine, budget *intake.Budget) {
	c := &client{engine: e, known: versions(), budget: budget}
	c.host, c.port = hostAndPort(conn.LocalAddr())
	if peer, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		c.peer = "/" + peer // as Kafka writes it
	}
	in := bufio.NewReader(conn)
	for {
		_ = conn.SetReadDeadline(time.Time{})
		size, err := readSize(in)
		if err != nil {
			return
		}
		if size > in.Buffered() {
			_ = conn.SetReadDeadline(time.Now().Add(messagePatience))
		}
		if !c.exchange(ctx, size, in, conn) {
			return
		}
	}
}

// hostAndPort are those of an address at which a client has reached a store.
func hostAndPort(address net.Addr) (host string, port int32) {
	host, text, err := net.SplitHostPort(address.String())
	if err != nil {
		return "", 0
	}
	n, _ := strconv.ParseUint(text, 10, 16) // it is one
	return host, int32(n)
}

// errLost is that of a connection that does not keep to what is known of its protocol.
var errLost = errors.New("the connection does not keep to what is known of its protocol")

func readSize(in io.Reader) (size int, err error) {
	var b [4]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return 0, err
	}
	size = int(int32(binary.BigEndian.Uint32(b[:]))) //nolint:gosec // it is signed
	if size < 0 || size > mostMessage {
		return 0, errLost
	}
	return size, nil
}

// A client is one connection.
type client struct {
	engine Engine
	known  map[int16][2]int16
	budget *intake.Budget
	// host and port are the address of the store, as the client has reached it.
	host string
	port int32
	// peer is the address of the client.
	peer string
	out  []byte
}

// exchange reads one request and answers it. It reports false if the connection ends.
func (c *client) exchange(ctx context.Context, size int, in io.Reader, out io.Writer) bool {
	message, release, err := c.budget.Read(in, size)
	defer release()
	if err != nil {
		return false
	}
	h, request, err := c.read(message)
	if err != nil {
		return false
	}
	response, err := c.answer(ctx, h, request)
	if err != nil {
		return false
	}
	if response == nil {
		return true // no answer is wanted
	}
	c.out = appendResponse(c.out[:0], h, response)
	_, err = out.Write(c.out)
	if cap(c.out) > intake.Free {
		c.out = nil
	}
	return err == nil
}

// A head is that of a request.
type head struct {
	key, version int16
	correlation  int32
	client       string
	flexible     bool
}

// readHead reads the head of a request.
func readHead(b []byte) (h head, rest []byte, err error) {
	const fixed = 2 + 2 + 4 + 2
	if len(b) < fixed {
		return h, nil, errLost
	}
	h.key, h.version = int16(binary.BigEndian.Uint16(b)), int16(binary.BigEndian.Uint16(b[2:])) //nolint:gosec // they are signed
	h.correlation = int32(binary.BigEndian.Uint32(b[4:]))                                       //nolint:gosec // it is signed
	n := int(int16(binary.BigEndian.Uint16(b[8:])))                                             //nolint:gosec // it is signed
	if rest = b[fixed:]; n > len(rest) {
		return h, nil, errLost
	}
	if n > 0 {
		h.client, rest = string(rest[:n]), rest[n:]
	}
	return h, rest, nil
}

// read reads a request; nil is one for the versions, in a version that is not known.
func (c *client) read(message []byte) (h head, request kmsg.Request, err error) {
	h, rest, err := readHead(message)
	if err != nil {
		return h, nil, err
	}
	bounds, known := c.known[h.key]
	if !known || len(message) > mostOther && h.key != kmsg.Produce.Int16() {
		return h, nil, errLost // as Kafka does: who asks for versions first knows
	}
	if h.version < bounds[0] || h.version > bounds[1] {
		if h.key == kmsg.ApiVersions.Int16() {
			h.version = 0
			return h, nil, nil
		}
		return h, nil, errLost
	}
	request = kmsg.RequestForKey(h.key)
	request.SetVersion(h.version)
	if h.flexible = request.IsFlexible(); h.flexible {
		if rest, err = skipTags(rest); err != nil {
			return h, nil, err
		}
	}
	if err := request.ReadFrom(rest); err != nil {
		return h, nil, errLost
	}
	return h, request, nil
}

// skipTags skips the tagged fields of a head, which none of the requests has.
func skipTags(b []byte) (rest []byte, err error) {
	next := func() (n uint64) {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			b, err = nil, errLost
			return 0
		}
		b = b[size:]
		return n
	}
	for tags := next(); tags > 0 && err == nil; tags-- {
		next()
		if n := next(); n <= uint64(len(b)) {
			b = b[n:]
		} else {
			err = errLost
		}
	}
	return b, err
}

// appendResponse appends the message that answers a request. The head of an answer with
// versions has no tags, since the client may not know their version.
func appendResponse(b []byte, h head, r kmsg.Response) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(h.correlation)) //nolint:gosec // it is given back
	if h.flexible && h.key != kmsg.ApiVersions.Int16() {
		b = append(b, 0)
	}
	b = r.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4)) //nolint:gosec // answers are bound
	return b
}

// answer does what a request asks for; nil means that no answer is wanted. The error says
// that the store has ended.
func (c *client) answer(ctx context.Context, h head, request kmsg.Request) (kmsg.Response, error) {
	groups := c.engine.Groups()
	switch r := request.(type) {
	case nil:
		response := c.versions(0)
		response.ErrorCode = kerr.UnsupportedVersion.Code
		return response, nil
	case *kmsg.ApiVersionsRequest:
		return c.versions(h.version), nil
	case *kmsg.MetadataRequest:
		return c.metadata(r), nil
	case *kmsg.ProduceRequest:
		return c.produce(ctx, r)
	case *kmsg.FetchRequest:
		return c.fetch(ctx, r)
	case *kmsg.ListOffsetsRequest:
		return c.listOffsets(r), nil
	case *kmsg.FindCoordinatorRequest:
		response := r.ResponseKind().(*kmsg.FindCoordinatorResponse)
		response.NodeID, response.Host, response.Port = broker, c.host, c.port
		return response, nil
	case *kmsg.JoinGroupRequest:
		return groups.join(ctx, r, h.client, c.peer)
	case *kmsg.SyncGroupRequest:
		return groups.sync(ctx, r)
	case *kmsg.HeartbeatRequest:
		return groups.heartbeat(r), nil
	case *kmsg.LeaveGroupRequest:
		return groups.leave(r), nil
	case *kmsg.OffsetCommitRequest:
		return c.commit(r), nil
	case *kmsg.OffsetFetchRequest:
		return c.committed(r), nil
	case *kmsg.InitProducerIDRequest:
		response := r.ResponseKind().(*kmsg.InitProducerIDResponse)
		response.ProducerID, response.ProducerEpoch = groups.producer(), 0
		if r.TransactionalID != nil {
			response.ProducerID, response.ErrorCode = -1, kerr.TransactionalIDAuthorizationFailed.Code
		}
		return response, nil
	}
	return c.administer(request)
}

func (c *client) versions(version int16) *kmsg.ApiVersionsResponse {
	response := kmsg.NewPtrApiVersionsResponse()
	response.SetVersion(version)
	for key := range int16(kmsg.MaxKey + 1) { // in the order of the keys
		if bounds, ok := c.known[key]; ok {
			one := kmsg.NewApiVersionsResponseApiKey()
			one.ApiKey, one.MinVersion, one.MaxVersion = key, bounds[0], bounds[1]
			response.ApiKeys = append(response.ApiKeys, one)
		}
	}
	return response
}

// metadata says which topics there are, and where: all on this one broker.
func (c *client) metadata(r *kmsg.MetadataRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.MetadataResponse)
	one := kmsg.NewMetadataResponseBroker()
	one.NodeID, one.Host, one.Port = broker, c.host, c.port
	response.Brokers, response.ControllerID, response.ClusterID = append(response.Brokers, one), broker, kmsg.StringPtr(clusterID)
	names := []string{Topic}
	if r.Topics != nil && (r.Version > 0 || len(r.Topics) > 0) {
		names = nil
		for _, t := range r.Topics {
			if t.Topic != nil {
				names = append(names, *t.Topic)
			}
		}
	}
	for _, name := range names {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = kmsg.StringPtr(name)
		for p := range c.partitions(name) {
			one := kmsg.NewMetadataResponseTopicPartition()
			one.Partition, one.Leader, one.LeaderEpoch = int32(p), broker, epoch //nolint:gosec // it is bound
			one.Replicas, one.ISR = []int32{broker}, []int32{broker}
			t.Partitions = append(t.Partitions, one)
		}
		if len(t.Partitions) == 0 {
			t.ErrorCode = kerr.UnknownTopicOrPartition.Code
		}
		response.Topics = append(response.Topics, t)
	}
	return response
}

// partitions is how many a topic has; 0 means that there is no such topic.
func (c *client) partitions(topic string) (n int) {
	if topic == Topic {
		c.engine.Look(func(m *store.Store, _ time.Duration) { n = m.Partitions() })
	}
	return n
}

// missing is the error of a partition that is not there, or 0.
func (c *client) missing(topic string, partition int32) int16 {
	if partition < 0 || int(partition) >= c.partitions(topic) {
		return kerr.UnknownTopicOrPartition.Code
	}
	return 0
}

// A parts is what a request names partitions in: each once, so that an answer is not
// much longer than its request and its messages.
type parts map[int32]bool

// check is the error of a partition that is not there, or comes twice, or 0.
func (p parts) check(c *client, topic string, partition int32) int16 {
	if wrong := c.missing(topic, partition); wrong != 0 {
		return wrong
	}
	if p[partition] {
		return kerr.InvalidRequest.Code
	}
	p[partition] = true
	return 0
}

// errorOf is how the protocol calls the end of an operation.
func errorOf(code store.Code) int16 {
	switch code {
	case store.OK:
		return 0
	case store.NoAuth:
		return kerr.TopicAuthorizationFailed.Code
	case store.ReadOnly:
		return kerr.NotEnoughReplicas.Code
	case store.NoSpace:
		return kerr.KafkaStorageError.Code
	default: // a log has no others
		return kerr.UnknownServerError.Code
	}
}
