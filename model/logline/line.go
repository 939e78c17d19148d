// Package logline is the lines that services log: one JSON object each, with the
// time, the level, the service and, of a request, its trace. It keeps those of a run
// within bounds.
package logline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/span"
)

// A Line is one line of a log.
type Line struct {
	Time  time.Time
	Level slog.Level
	// Service and Replica (from 1) say who logs; empty and 0 where nobody in
	// particular does.
	Service string
	Replica int
	// Trace is that of the request that the line is about; zero for other lines.
	Trace span.TraceID
	// Text is the whole line as a JSON object, without its end.
	Text []byte
}

// head are the fields of a line that Line has by themselves.
type head struct {
	Time    time.Time    `json:"time"`
	Level   slog.Level   `json:"level"`
	Service string       `json:"service"`
	Replica int          `json:"replica"`
	Trace   span.TraceID `json:"trace"`
}

// MaxText bounds a line; what is longer is not read.
const MaxText = 64 << 10

// Parse reads a line that a service has logged as JSON. It reports false for what is
// none, such as the words of a framework. The line keeps no part of text.
func Parse(text []byte) (Line, bool) {
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '{' || len(text) > MaxText {
		return Line{}, false
	}
	h, ok := scan(text)
	if !ok && (json.Unmarshal(text, &h) != nil || h.Time.IsZero()) {
		return Line{}, false
	}
	return Line{h.Time, h.Level, h.Service, h.Replica, h.Trace, bytes.Clone(text)}, true
}

// scan reads the head of a line as slog writes it, without an object in it: five times
// as fast as reading any JSON. Quotes within values have a backslash, so what looks
// like a key is one.
func scan(text []byte) (h head, ok bool) {
	if !bytes.HasPrefix(text, []byte(`{"time":"`)) || bytes.LastIndexByte(text, '{') > 0 || !json.Valid(text) {
		return head{}, false
	}
	valueOf := func(key string) []byte {
		_, rest, _ := bytes.Cut(text, []byte(key))
		return rest[:max(0, bytes.IndexAny(rest, `",}`))]
	}
	var err error
	if h.Time, err = time.Parse(time.RFC3339Nano, string(valueOf(`"time":"`))); err != nil {
		return head{}, false
	}
	if h.Level.UnmarshalText(valueOf(`,"level":"`)) != nil {
		return head{}, false
	}
	h.Service = string(valueOf(`,"service":"`))
	if digits := valueOf(`,"replica":`); len(digits) > 0 {
		if h.Replica, err = strconv.Atoi(string(digits)); err != nil {
			return head{}, false
		}
	}
	if id := valueOf(`,"trace":"`); len(id) > 0 && h.Trace.UnmarshalText(id) != nil {
		return head{}, false
	}
	return h, true
}

// Wrap makes a line of words that are none, which somebody has printed at a time.
func Wrap(at time.Time, system, service string, replica int, words string) Line {
	var text bytes.Buffer
	record := slog.NewRecord(at, slog.LevelInfo, words, 0)
	record.AddAttrs(slog.String("system", system), slog.String("service", service), slog.Int("replica", replica))
	// A buffer takes everything.
	_ = slog.NewJSONHandler(&text, nil).Handle(context.Background(), record)
	return Line{Time: at, Level: slog.LevelInfo, Service: service, Replica: replica, Text: bytes.TrimSpace(text.Bytes())}
}

// A Field is a key of a line with its value: text, a float64, a bool, or nil. A value
// that is an object or a list is its JSON.
type Field struct {
	Key   string
	Value any
}

// Fields lists the fields of a line in their order.
func (l *Line) Fields() ([]Field, error) {
	decoder := json.NewDecoder(bytes.NewReader(l.Text))
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("reading a line of a log: %w", err)
	}
	var fields []Field
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("reading a line of a log: %w", err)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return nil, fmt.Errorf("reading field %q of a line of a log: %w", key, err)
		}
		name, _ := key.(string)
		f := Field{Key: name, Value: string(raw)}
		if raw[0] != '{' && raw[0] != '[' {
			if err := json.Unmarshal(raw, &f.Value); err != nil {
				return nil, fmt.Errorf("reading field %q of a line of a log: %w", key, err)
			}
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// WriteText writes the line as key=value pairs, for people.
func (l *Line) WriteText(w io.Writer) error {
	fields, err := l.Fields()
	if err != nil {
		return err
	}
	record := slog.NewRecord(l.Time, l.Level, "", 0)
	for _, f := range fields {
		switch f.Key {
		case slog.TimeKey, slog.LevelKey:
		case slog.MessageKey:
			record.Message = fmt.Sprint(f.Value)
		default:
			record.AddAttrs(slog.Any(f.Key, f.Value))
		}
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}).Handle(context.Background(), record)
}
