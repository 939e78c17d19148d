package kafkafront

import (
	"bufio"
	"encoding/binary"
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

// NewExchange returns one that takes memory for messages out of a budget.
func NewExchange(budget *intake.Budget) *Exchange {
	e := &Exchange{budget: budget}
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
	if x.key != kmsg.Produce.Int16() && x.key != kmsg.Fetch.Int16() {
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

// Answers reads what a broker sends, and tells each answer: whether it refuses what was
// asked, and of how many messages it is.
func (e *Exchange) Answers(in *bufio.Reader, answered func(refused bool, messages int)) error {
	for {
		size, err := readSize(in)
		if err != nil {
			return err
		}
		refused, messages, err := e.hear(in, size)
		if err != nil {
			return err
		}
		answered(refused, messages)
	}
}

// hear reads one answer.
func (e *Exchange) hear(in *bufio.Reader, size int) (refused bool, messages int, err error) {
	message, release, err := e.budget.Read(in, size)
	defer release()
	if err != nil {
		return false, 0, err
	}
	x, ok := e.next()
	if !ok || len(message) < 4 || int32(binary.BigEndian.Uint32(message)) != x.correlation { //nolint:gosec // its bits
		return false, 0, errLost
	}
	if x.key != kmsg.Produce.Int16() && x.key != kmsg.Fetch.Int16() {
		return false, 1, nil
	}
	response := kmsg.ResponseForKey(x.key)
	response.SetVersion(x.version)
	rest := message[4:]
	if response.IsFlexible() {
		if rest, err = skipTags(rest); err != nil {
			return false, 0, err
		}
	}
	if response.ReadFrom(rest) != nil {
		return false, 0, errLost
	}
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
	}
	if messages > mostCounted {
		return false, 0, errLost
	}
	if refused {
		messages = max(messages, 1)
	}
	return refused, messages, nil
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
