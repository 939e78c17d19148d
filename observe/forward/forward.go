// Package forward sends lines of logs to Fluentd, Fluent Bit, or anything else that
// receives Fluentd's forward protocol
// (github.com/fluent/fluentd/wiki/Forward-Protocol-Specification-v1). Each line is an event
// in the mode Message, with nanoseconds, which the receiver acknowledges: only then it
// counts as sent. A line whose acknowledgment is lost is sent again.
//
// The messages are those of Fluent's own library. Its client is not used: it sends one
// line, waits for its acknowledgment, and tells of trouble on the standard error stream.
package forward

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/fluent/fluent-logger-golang/fluent"
	"github.com/tinylib/msgp/msgp"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/outbox"
)

// Options say where and how to send. Zero fields have good defaults.
type Options struct {
	Address Address
	// Queue is how many lines may wait: 65536.
	Queue int
	// Every is how long a line waits for others at most: a second.
	Every time.Duration
	// Timeout bounds the opening of a connection, and the sending of some lines with
	// their acknowledgments: 10 s. Patience bounds the sending of what is left at the
	// end: 10 s.
	Timeout, Patience time.Duration
	// Pace has those who add lines wait while there is no room, as long as the receiver
	// takes what it is sent: for lines that are not of real time.
	Pace bool
}

// mostLines is how many lines wait for their acknowledgments at once. These must fit
// into the buffers of a connection, because they are read after all lines were written.
const mostLines = 256

// A Sender sends what the services of one system log. Its methods may be called by
// several goroutines at once.
type Sender struct {
	options Options
	system  string
	box     *outbox.Box[logline.Line]
	// conn is open between two deliveries; nil if there is none.
	conn *connection
}

// New begins to send lines of a system. Close must be called.
func New(o Options, system string) *Sender {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Second
	}
	s := &Sender{options: o, system: system}
	s.box = outbox.New(outbox.Options{Queue: o.Queue, Most: mostLines, Every: o.Every, Patience: o.Patience, Pace: o.Pace}, s.deliver)
	return s
}

// Line sends a line.
func (s *Sender) Line(l logline.Line) { s.box.Add(l) }

// Close sends what is left, as far as the receiver takes it within the patience of the
// options or until ctx ends, and says what became of all lines.
func (s *Sender) Close(ctx context.Context) *result.Fluent {
	s.box.Close(ctx)
	s.hangUp() // nobody delivers any more
	return s.Sums()
}

// Sums says what has become of all lines so far.
func (s *Sender) Sums() *result.Fluent {
	return &result.Fluent{Address: s.options.Address.String(), Lines: s.box.Sums()}
}

func (s *Sender) hangUp() {
	if s.conn != nil {
		s.conn.Close() //nolint:errcheck // what was not acknowledged is sent again
		s.conn = nil
	}
}

// deliver sends lines, and waits until they are acknowledged.
func (s *Sender) deliver(ctx context.Context, lines []logline.Line) outbox.Answer {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if s.conn == nil {
		conn, err := dial(ctx, s.options.Address)
		if err != nil {
			return outbox.Answer{Again: true, Trouble: fmt.Errorf("connecting to the receiver: %w", err)}
		}
		s.conn = conn
	}
	taken, err := s.conn.exchange(ctx, s.system, lines)
	if err == nil {
		return outbox.Answer{}
	}
	s.hangUp()
	if errors.Is(err, errSharedKey) {
		return outbox.Answer{Refused: int64(len(lines)), Trouble: err}
	}
	return outbox.Answer{Again: true, Taken: taken, Trouble: err}
}

// A connection leads to a receiver.
type connection struct {
	net.Conn
	reader *msgp.Reader
}

func dial(ctx context.Context, a Address) (*connection, error) {
	var conn net.Conn
	var err error
	if a.Network == "tls" {
		conn, err = (&tls.Dialer{}).DialContext(ctx, "tcp", a.Place)
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, a.Network, a.Place)
	}
	if err != nil {
		return nil, err
	}
	return &connection{conn, msgp.NewReader(conn)}, nil
}

// errSharedKey says that a receiver begins with the greeting of its authentication.
var errSharedKey = errors.New("the receiver asks for a shared key, which is not spoken here: give it an input without <security> or shared_key")

// exchange writes lines, and reads their acknowledgments, which come in the order of the
// lines. The first of them that are taken are acknowledged.
func (c *connection) exchange(ctx context.Context, system string, lines []logline.Line) (taken int, err error) {
	// A context that ends ends waiting.
	defer context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })()
	var messages []byte
	ids := make([]string, len(lines))
	for i := range lines {
		ids[i] = rand.Text()
		if messages, err = appendEvent(messages, system, &lines[i], ids[i]); err != nil {
			return 0, fmt.Errorf("writing a line as an event: %w", err)
		}
	}
	if _, err := c.Write(messages); err != nil {
		return 0, fmt.Errorf("sending to the receiver: %w", reasonOf(ctx, err))
	}
	for i, id := range ids {
		kind, err := c.reader.NextType()
		if err == nil && kind == msgp.ArrayType {
			return i, errSharedKey
		}
		var ack fluent.AckResp
		if err == nil {
			err = ack.DecodeMsg(c.reader)
		}
		if err != nil {
			return i, fmt.Errorf("waiting for the receiver to acknowledge lines: %w", reasonOf(ctx, err))
		}
		if ack.Ack != id {
			return i, errors.New("the receiver acknowledges what was not sent: its answers do not follow the forward protocol")
		}
	}
	return len(lines), nil
}

// reasonOf prefers the end of a context to the error that it caused.
func reasonOf(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errors.New("no answer came in time")
	}
	return err
}

// appendEvent appends a line as an event that is to be acknowledged by its id. The tag
// names the system and the service; the record has all fields but the time.
func appendEvent(to []byte, system string, l *logline.Line, id string) ([]byte, error) {
	tag := "microsim." + system
	if l.Service != "" {
		tag += "." + l.Service
	}
	fields, err := l.Fields()
	if err != nil {
		return nil, err
	}
	record := map[string]any{}
	for _, f := range fields {
		if f.Key != slog.TimeKey {
			record[f.Key] = valueOf(f.Value)
		}
	}
	event := fluent.MessageExt{Tag: tag, Time: fluent.EventTime(l.Time), Record: record, Option: map[string]string{"chunk": id}}
	return event.MarshalMsg(to)
}

// valueOf is a value of a field; whole numbers are such.
func valueOf(v any) any {
	if f, ok := v.(float64); ok {
		if n := int64(f); float64(n) == f && n > -1<<53 && n < 1<<53 {
			return n
		}
	}
	return v
}
