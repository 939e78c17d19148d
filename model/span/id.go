package span

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
)

// A TraceID names one request on all its hops, and an ID one span of it. Zero
// names nothing.
type (
	TraceID [16]byte
	ID      [8]byte
)

// IsZero reports whether the id names nothing.
func (t TraceID) IsZero() bool { return t == TraceID{} }

// IsZero reports whether the id names nothing.
func (i ID) IsZero() bool { return i == ID{} }

func (t TraceID) String() string { return hex.EncodeToString(t[:]) }
func (i ID) String() string      { return hex.EncodeToString(i[:]) }

// MarshalText writes hexadecimal digits, as OTLP's JSON and W3C Trace Context do.
func (t TraceID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, t[:]), nil }

// MarshalText writes hexadecimal digits.
func (i ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, i[:]), nil }

// UnmarshalText reads what MarshalText writes.
func (t *TraceID) UnmarshalText(text []byte) error { return decode(t[:], text) }

// UnmarshalText reads what MarshalText writes.
func (i *ID) UnmarshalText(text []byte) error { return decode(i[:], text) }

func decode(to, text []byte) error {
	if len(text) != 2*len(to) {
		return fmt.Errorf("reading id %.64q: it has %d digits, not %d", text, len(text), 2*len(to))
	}
	if _, err := hex.Decode(to, text); err != nil {
		return fmt.Errorf("reading id %q: %w", text, err)
	}
	return nil
}

// Traces makes the ids of the traces of one seed. Everyone who knows the seed
// and the id of a request finds the same trace, so a request needs no header to
// belong to one.
type Traces struct{ key dist.Key }

// NewTraces returns the traces of a seed.
func NewTraces(seed uint64) Traces { return Traces{dist.Seed(seed).With("trace")} }

// Of returns the trace of a request that brings none with it.
func (t Traces) Of(request string) (id TraceID) {
	key := t.key.With(request)
	binary.BigEndian.PutUint64(id[:8], key.Uint64())
	binary.BigEndian.PutUint64(id[8:], key.WithInt(1).Uint64()|1) // never all zero
	return id
}

// A Sampler decides which traces are kept whatever becomes of them.
type Sampler struct{ from uint64 }

// random is how many bits of a trace id count as random (W3C Trace Context,
// level 2, section 2.2.3.2: the rightmost 56).
const random = 56

// NewSampler keeps a share, from 0 to 1, of the traces.
func NewSampler(share float64) Sampler {
	const all = 1 << random
	return Sampler{uint64((1 - min(max(share, 0), 1)) * all)}
}

// Keeps decides from the id alone, so that all who meet a trace decide alike: the
// random bits must reach a threshold, as with OpenTelemetry's consistent
// probability sampling.
func (s Sampler) Keeps(t TraceID) bool {
	return binary.BigEndian.Uint64(t[8:])&(1<<random-1) >= s.from
}

// Ids makes the ids of the spans of one request. They follow from the trace, the
// request and the hop, so that both ends of a call know them.
type Ids struct{ key dist.Key }

// IdsOf returns the ids of the spans of a request in a trace. One trace may have
// several requests, if somebody outside has begun it.
func IdsOf(t TraceID, request string) Ids {
	hi, lo := binary.BigEndian.Uint64(t[:8]), binary.BigEndian.Uint64(t[8:])
	return Ids{dist.Key(hi).WithInt(int(lo)).With(request)}
}

// Root is the span of who sent the request to its first service.
func (i Ids) Root() ID { return i.id(rootSpan, "") }

// Attempt is the span of the attempt of a call that leads to a hop.
func (i Ids) Attempt(hop string) ID { return i.id(attemptSpan, hop) }

// Served is the span of the request at a hop, at the service that answers it.
func (i Ids) Served(hop string) ID { return i.id(servedSpan, hop) }

const (
	rootSpan = iota
	attemptSpan
	servedSpan
)

func (i Ids) id(what int, hop string) (id ID) {
	binary.BigEndian.PutUint64(id[:], max(i.key.WithInt(what).With(hop).Uint64(), 1)) // never zero
	return id
}

// A Parent is what a traceparent header says (W3C Trace Context, version 00).
type Parent struct {
	Trace   TraceID
	Span    ID
	Sampled bool
}

// ParentLength is the length of the header's value.
const ParentLength = 55

// ParseParent reads the header. It accepts version 00, and later ones that begin
// like it.
func ParseParent(s string) (p Parent, ok bool) {
	if len(s) < ParentLength || s[2] != '-' || s[35] != '-' || s[52] != '-' || len(s) > ParentLength && (s[:2] == "00" || s[ParentLength] != '-') {
		return Parent{}, false
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		text string
	}{{version[:], s[:2]}, {p.Trace[:], s[3:35]}, {p.Span[:], s[36:52]}, {flags[:], s[53:55]}} {
		if !decodeLower(part.to, part.text) {
			return Parent{}, false
		}
	}
	if version[0] == 0xff || p.Trace.IsZero() || p.Span.IsZero() {
		return Parent{}, false
	}
	p.Sampled = flags[0]&1 == 1
	return p, true
}

// decodeLower reads hexadecimal digits, of which the header has small ones only.
func decodeLower(to []byte, text string) bool {
	const digits = "0123456789abcdef"
	for i := range to {
		high, low := strings.IndexByte(digits, text[2*i]), strings.IndexByte(digits, text[2*i+1])
		if high < 0 || low < 0 {
			return false
		}
		to[i] = byte(high<<4 | low)
	}
	return true
}

// Append appends the header's value.
func (p Parent) Append(b []byte) []byte {
	b = append(b, "00-"...)
	b = hex.AppendEncode(b, p.Trace[:])
	b = append(b, '-')
	b = hex.AppendEncode(b, p.Span[:])
	if p.Sampled {
		return append(b, "-01"...)
	}
	return append(b, "-00"...)
}

func (p Parent) String() string {
	var text [ParentLength]byte
	return string(p.Append(text[:0]))
}
