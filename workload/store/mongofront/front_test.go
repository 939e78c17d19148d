package mongofront

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// immediate is a store that answers at once.
type immediate struct{ *store.Store }

// Do implements Engine.
func (e immediate) Do(_ context.Context, q store.Query) (store.Answer, error) {
	return e.Immediate(q, 0), nil
}

// Len implements Engine.
func (e immediate) Len() int { return e.Store.Len(0) }

// Names implements Engine.
func (e immediate) Names(from, most int) (names []string, next int) {
	return e.Store.Names(0, from, most)
}

// Flush implements Engine.
func (e immediate) Flush() int { return e.Store.Flush(0) }

func newClient() *client {
	s := topology.NewService("db")
	s.Kind, s.Store = topology.MongoDB, &topology.Store{Items: 10}
	return &client{ctx: context.Background(), engine: immediate{store.New(1, &s)}, began: time.Now()}
}

// message is one of OP_MSG, with its head.
func message(t testing.TB, body bson.D) []byte {
	t.Helper()
	b, err := appendAnswer(nil, &command{request: 7}, body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Whatever a client sends, the front answers with a message that can be read, or ends
// the connection.
func FuzzMessages(f *testing.F) {
	for _, body := range []bson.D{
		{{Key: "hello", Value: 1}},
		{{Key: "find", Value: "items"}, {Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{"item:1", "x"}}}}}}, {Key: "limit", Value: 3}, {Key: "$db", Value: "test"}},
		{{Key: "insert", Value: "items"}, {Key: "documents", Value: bson.A{bson.D{{Key: "_id", Value: "x"}, {Key: "value", Value: bson.Binary{Data: []byte{1, 2}}}}}}},
		{{Key: "update", Value: "items"}, {Key: "updates", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: "item:1"}}}, {Key: "u", Value: bson.D{{Key: "$set", Value: bson.D{{Key: "value", Value: "y"}}}}}, {Key: "upsert", Value: true}}}}},
		{{Key: "delete", Value: "items"}, {Key: "deletes", Value: bson.A{bson.D{{Key: "q", Value: bson.D{{Key: "_id", Value: "item:1"}}}, {Key: "limit", Value: 1}}}}},
		{{Key: "findAndModify", Value: "items"}, {Key: "query", Value: bson.D{{Key: "_id", Value: "item:1"}}}, {Key: "update", Value: bson.D{{Key: "value", Value: "z"}}}, {Key: "new", Value: true}},
		{{Key: "aggregate", Value: "items"}, {Key: "pipeline", Value: bson.A{bson.D{{Key: "$match", Value: bson.D{}}}, bson.D{{Key: "$group", Value: bson.D{{Key: "_id", Value: 1}, {Key: "n", Value: bson.D{{Key: "$sum", Value: 1}}}}}}}}, {Key: "cursor", Value: bson.D{}}},
		{{Key: "count", Value: "items"}, {Key: "query", Value: bson.D{}}},
		{{Key: "getMore", Value: int64(5)}, {Key: "collection", Value: "items"}, {Key: "batchSize", Value: 3}, {Key: "$db", Value: "test"}},
		{{Key: "killCursors", Value: "items"}, {Key: "cursors", Value: bson.A{int64(5)}}},
	} {
		f.Add(message(f, body))
	}
	budget := intake.NewBudget(1 << 30)
	f.Fuzz(func(t *testing.T, sent []byte) {
		in, c := bufio.NewReader(bytes.NewReader(sent)), newClient()
		for {
			h, err := readHead(in)
			if err != nil {
				return
			}
			var out bytes.Buffer
			if !c.exchange(&h, in, &out, budget) {
				return
			}
			if out.Len() == 0 {
				continue
			}
			answer, err := readHead(&out)
			if err != nil || answer.length != out.Len() || answer.respond != h.request {
				t.Fatalf("the answer begins with %+v, and %d bytes follow: %v", answer, out.Len(), err)
			}
		}
	})
}

// A client that begins a message and does not send it keeps next to nothing, and those
// that send much meet the budget.
func TestMessagesTakeNoMemoryWithoutBound(t *testing.T) {
	here, there := net.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		Serve(t.Context(), there, newClient().engine, intake.NewBudget(1<<20))
		there.Close()
	}()
	head := binary.LittleEndian.AppendUint32(nil, mostMessage)
	head = binary.LittleEndian.AppendUint32(head, 1)
	head = binary.LittleEndian.AppendUint32(head, 0)
	head = binary.LittleEndian.AppendUint32(head, opMsg)
	if _, err := here.Write(head); err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(here, io.LimitReader(zeros{}, mostMessage-headLength))
	if err == nil || n > 2<<20 {
		t.Errorf("%d bytes of one message are taken for a budget of 1 MiB, %v", n, err)
	}
	<-ended
}

type zeros struct{}

// Read implements io.Reader.
func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// The readers of a relay tell what clients ask and whether it is refused, in order.
func TestRelaysCount(t *testing.T) {
	var asked []topology.Operation
	one := bson.D{{Key: "_id", Value: "item:1"}}
	var sent []byte
	for _, body := range []bson.D{
		{{Key: "hello", Value: 1}},
		{{Key: "find", Value: "items"}, {Key: "filter", Value: one}},
		{{Key: "find", Value: "items"}, {Key: "filter", Value: bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: bson.A{"a"}}}}}}},
		{{Key: "find", Value: "others"}, {Key: "filter", Value: one}},
		{{Key: "insert", Value: "items"}, {Key: "documents", Value: bson.A{bson.D{{Key: "value", Value: string(make([]byte, 2*mostSeen))}}}}},
		{{Key: "findAndModify", Value: "items"}},
	} {
		sent = append(sent, message(t, body)...)
	}
	_ = Asks(bufio.NewReader(bytes.NewReader(sent)), func(a store.Ask) { asked = append(asked, a.Operation) })
	want := []topology.Operation{"", "read", "range", "", "write", "transaction"}
	if len(asked) != len(want) {
		t.Fatalf("asked %q, want %q", asked, want)
	}
	for i := range want {
		if asked[i] != want[i] {
			t.Errorf("asked %q, want %q", asked, want)
		}
	}
	var refusals []bool
	sent = nil
	for _, body := range []bson.D{done(), (&failure{code: 1}).answer(), {{Key: "n", Value: 0}, {Key: "writeErrors", Value: bson.A{}}, {Key: "ok", Value: 1.0}}, {{Key: "big", Value: make([]byte, 2*mostSeen)}, {Key: "ok", Value: 1.0}}} {
		sent = append(sent, message(t, body)...)
	}
	_ = Answers(bufio.NewReader(bytes.NewReader(sent)), func(refused bool) { refusals = append(refusals, refused) })
	if len(refusals) != 4 || refusals[0] || !refusals[1] || !refusals[2] || refusals[3] {
		t.Errorf("refused %v", refusals)
	}
}
