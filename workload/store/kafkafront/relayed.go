package kafkafront

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// A real broker is reached through a relay, which reads along what a client asks and how
// it is answered.

// An Exchange is a relayed connection. An answer says nothing of its request but its
// number, so what is needed of requests is kept until then. Its two methods are called
// by a goroutine each.
type Exchange struct {
	budget *intake.Budget
	// host and port are where clients reach the relay.
	host string
	port int32

	mu sync.Mutex
	// more is signalled when a request has been read, or when reading them has ended.
	more  sync.Cond
	asked []exchanged
	ended bool
}

// exchanged is a request that waits for its answer. Answers come in the same order.
type exchanged struct {
	head
	// published counts the messages of a request to publish, from are the places of one to
	// consume.
	published int
	from      map[string]map[int32]int64
}

// NewExchange returns one of a client that has reached the relay at an address. It takes
// memory for messages out of a budget.
func NewExchange(budget *intake.Budget, relay net.Addr) *Exchange {
	e := &Exchange{budget: budget}
	e.host, e.port = hostAndPort(relay)
	e.more.L = &e.mu
	return e
}

// Asks reads what a client sends, and tells each request.
func (e *Exchange) Asks(in *bufio.Reader, asked func(store.Ask)) error {
	defer func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.ended = true
		e.more.Broadcast()
	}()
	for {
		x, a, err := e.ask(in)
		if err != nil {
			return err
		}
		if !a.Silent {
			e.mu.Lock()
			e.asked = append(e.asked, x)
			e.more.Signal()
			e.mu.Unlock()
		}
		asked(a)
	}
}

// ask reads a request.
func (e *Exchange) ask(in *bufio.Reader) (x exchanged, a store.Ask, err error) {
	size, err := readSize(in)
	if err != nil {
		return x, a, err
	}
	message, release, err := e.budget.Read(in, size)
	defer release()
	if err != nil {
		return x, a, err
	}
	var rest []byte
	if x.head, rest, err = readHead(message); err != nil {
		return x, a, err
	}
	if !isOfMessages(x.key) {
		return x, a, nil
	}
	request := kmsg.RequestForKey(x.key)
	if x.version > request.MaxVersion() {
		return x, a, errLost
	}
	request.SetVersion(x.version)
	if request.IsFlexible() {
		if rest, err = skipTags(rest); err != nil {
			return x, a, err
		}
	}
	if request.ReadFrom(rest) != nil {
		return x, a, errLost
	}
	switch r := request.(type) {
	case *kmsg.ProduceRequest:
		for i := range r.Topics {
			for _, p := range r.Topics[i].Partitions {
				x.published += messagesIn(p.Records, 0)
			}
		}
		if x.published > mostCounted {
			return x, a, errLost
		}
		return x, store.Ask{Operation: topology.OpPublish, Item: e.firstKey(r, x.version), Silent: r.Acks == 0}, nil
	case *kmsg.FetchRequest:
		x.from = map[string]map[int32]int64{}
		for i := range r.Topics {
			t := &r.Topics[i]
			places := map[int32]int64{}
			for _, p := range t.Partitions {
				places[p.Partition] = p.FetchOffset
			}
			x.from[t.Topic+string(t.TopicID[:])] = places
		}
	}
	return x, store.Ask{Operation: topology.OpConsume}, nil
}

// firstKey is the key of the first message of a request.
func (e *Exchange) firstKey(r *kmsg.ProduceRequest, version int16) string {
	if len(r.Topics) == 0 || len(r.Topics[0].Partitions) == 0 {
		return ""
	}
	u := newUnpacker(e.budget)
	defer u.release()
	messages, wrong := readBatches(r.Topics[0].Partitions[0].Records, 0, version, u)
	if wrong != 0 {
		return ""
	}
	return string(messages[0].Key)
}

// mostCounted bounds the messages that one exchange counts: a batch says itself how many it
// has.
const mostCounted = 1 << 20

// messagesIn counts the messages in batches, from an offset on. A batch of which the end is
// missing, as brokers cut them, has none.
func messagesIn(b []byte, from int64) (n int) {
	for len(b) >= batchHead {
		size := afterLength + int(int32(binary.BigEndian.Uint32(b[8:]))) //nolint:gosec // it is signed
		if size < batchHead || size > len(b) {
			return n
		}
		first := int64(binary.BigEndian.Uint64(b))                           //nolint:gosec // it is signed
		last := first + int64(int32(binary.BigEndian.Uint32(b[checked+2:]))) //nolint:gosec // it is signed
		if own := last - max(first, from) + 1; b[checked+1]&control == 0 && own > 0 {
			n += int(own)
		}
		b = b[size:]
	}
	return n
}

// Relay hands on what a broker sends, with the address of the relay in place of the
// broker's, and tells each answer: whether it refuses what was asked, and of how many
// messages it is. It returns what follows and can be handed on unread; nil if nothing can.
func (e *Exchange) Relay(from io.Reader, out io.Writer, answered func(refused bool, messages int)) (rest io.Reader) {
	in := bufio.NewReader(from)
	for {
		b, err := in.Peek(8)
		if err != nil {
			return in
		}
		size := int(int32(binary.BigEndian.Uint32(b)))  //nolint:gosec // it is signed
		number := int32(binary.BigEndian.Uint32(b[4:])) //nolint:gosec // its bits
		if size < 4 || size > mostMessage {
			return in
		}
		x, ok := e.next()
		if !ok || x.correlation != number || !x.known() {
			return in
		}
		switch intact, err := e.carry(&x, in, out, 4+size, answered); {
		case !intact:
			return nil
		case err != nil:
			return in
		}
	}
}

// known reports whether the answer to a request can be read, or need not be.
func (x *exchanged) known() bool {
	return !tellsAddresses(x.key) && !isOfMessages(x.key) || x.version <= kmsg.RequestForKey(x.key).MaxVersion() || x.key == kmsg.ApiVersions.Int16()
}

// carry hands on an answer of n bytes and tells it. It reports whether all that was read has
// been handed on. Answers of messages are handed on while they come if they are long: a
// broker that is asked for messages says only in short ones that another has them.
func (e *Exchange) carry(x *exchanged, in *bufio.Reader, out io.Writer, n int, answered func(refused bool, messages int)) (intact bool, err error) {
	const head = 8 // the size and the number
	whole := tellsAddresses(x.key) || isOfMessages(x.key) && n <= intake.Free
	from := io.Reader(in)
	if !whole {
		from = io.TeeReader(in, out)
	}
	message, release, err := e.budget.Read(from, n)
	defer release()
	if err != nil {
		return !whole, err
	}
	var response kmsg.Response
	if whole || isOfMessages(x.key) {
		response, err = x.parse(message[head:])
	}
	if whole {
		if err == nil && e.readdress(response) {
			message = appendResponse(nil, x.headOf(response), response)
		}
		if _, broken := out.Write(message); broken != nil {
			return false, broken
		}
	}
	if err != nil {
		return true, err
	}
	refused, messages, err := x.outcome(response)
	if err == nil {
		answered(refused, messages)
	}
	return true, err
}

// headOf is the head of an answer, whose version may be another than was asked for.
func (x *exchanged) headOf(response kmsg.Response) head {
	h := x.head
	h.version, h.flexible = response.GetVersion(), response.IsFlexible()
	return h
}

// outcome says what an answer means for the operations that were asked for.
func (x *exchanged) outcome(response kmsg.Response) (refused bool, messages int, err error) {
	switch r := response.(type) {
	case *kmsg.ProduceResponse:
		for i := range r.Topics {
			for j := range r.Topics[i].Partitions {
				refused = refused || r.Topics[i].Partitions[j].ErrorCode != 0
			}
		}
		return refused, x.published, nil
	case *kmsg.FetchResponse:
		refused = r.ErrorCode != 0
		for i := range r.Topics {
			t := &r.Topics[i]
			for _, p := range t.Partitions {
				refused = refused || p.ErrorCode != 0
				messages += messagesIn(p.RecordBatches, x.from[t.Topic+string(t.TopicID[:])][p.Partition])
			}
		}
		if messages > mostCounted {
			return false, 0, errLost
		}
		if refused {
			messages = max(messages, 1)
		}
		return refused, messages, nil
	}
	return false, 1, nil
}

// next is the oldest request that waits for its answer, which may be here before the
// request has been read along.
func (e *Exchange) next() (x exchanged, ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for len(e.asked) == 0 && !e.ended {
		e.more.Wait()
	}
	if len(e.asked) == 0 {
		return x, false
	}
	x, e.asked = e.asked[0], e.asked[1:]
	return x, true
}
