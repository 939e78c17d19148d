package gateapi

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate"
)

// A toxic is a condition as the API shows it.
type toxic struct {
	Attributes attributes `json:"attributes"`
	Name       string     `json:"name"`
	Type       string     `json:"type"`
	Stream     string     `json:"stream"`
	Toxicity   float32    `json:"toxicity"`

	active *gate.Active
}

// attributes are the settings of one type of toxic, which it turns into a
// condition.
type attributes interface {
	// condition returns the condition, or nil for none, or says which value is wrong.
	condition() (gate.Condition, error)
}

// newAttributes returns zero attributes of a type, or nil for an unknown type.
func newAttributes(kind string) attributes {
	switch kind {
	case "noop":
		return &noop{}
	case "latency":
		return &latency{}
	case "bandwidth":
		return &bandwidth{}
	case "slow_close":
		return &slowClose{}
	case "timeout":
		return &timeout{}
	case "reset_peer":
		return &resetPeer{}
	case "slicer":
		return &slicer{}
	case "limit_data":
		return &limitData{}
	case "delay":
		return &delay{}
	case "stop_reading":
		return &stopReading{}
	case "drop":
		return &drop{}
	case "retransmit":
		return &retransmit{}
	case "reorder":
		return &reorder{}
	case "close_on_data":
		return &closeOnData{}
	case "corrupt":
		return &corrupt{}
	case "limit_bps":
		return &limitBPS{}
	case "limit_time":
		return &limitTime{}
	case "limit_bytes":
		return &limitBytes{}
	case "smaller_parts":
		return &smallerParts{}
	case "concatenate":
		return &concatenate{}
	case "substitute":
		return &substitute{}
	case "slow_open":
		return &slowOpen{}
	}
	return nil
}

// condition returns the gate's condition for the toxic.
func (t *toxic) condition() (gate.Condition, error) {
	if !(t.Toxicity >= 0 && t.Toxicity <= 1) {
		return nil, fmt.Errorf("toxicity is %v; it must be between 0 and 1", t.Toxicity)
	}
	c, err := t.Attributes.condition()
	if err != nil {
		return nil, err
	}
	if c == nil {
		c = gate.Hook{Name: "noop", Do: func(_ gate.ConnInfo, data []byte) ([]byte, gate.Verdict) {
			return data, gate.Forward
		}}
	}
	if t.Toxicity < 1 {
		c = gate.Sometimes{Share: float64(t.Toxicity), Of: c}
	}
	return c, nil
}

// A toxicBody is what a client sends of a toxic.
type toxicBody struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Stream     string          `json:"stream"`
	Toxicity   *float32        `json:"toxicity"`
	Attributes json.RawMessage `json:"attributes"`
}

// decodeToxicBody reads a toxic; kind is its type if the client need not name it.
func decodeToxicBody(body []byte, kind string) (*toxicBody, error) {
	var b toxicBody
	err := decode(body, &b)
	if err == nil {
		return &b, nil
	}
	// A frequent mistake: the attributes stand beside the type.
	var loose map[string]json.RawMessage
	if json.Unmarshal(body, &loose) != nil {
		return nil, err
	}
	if text, ok := loose["type"]; ok {
		_ = json.Unmarshal(text, &kind) // what is not a string has no attributes
	}
	if known := newAttributes(kind); known != nil {
		for _, name := range fieldsOf(reflect.TypeOf(known)) {
			if _, ok := loose[name]; ok && !slices.Contains(fieldsOf(reflect.TypeOf(b)), name) {
				return nil, failure(badRequest, "bad request body: field %q belongs into \"attributes\": write \"attributes\": {%q: ...}", name, name)
			}
		}
	}
	return nil, err
}

// into sets those values of a toxic that the client has named.
func (b *toxicBody) into(t *toxic) error {
	if b.Toxicity != nil {
		t.Toxicity = *b.Toxicity
	}
	if len(b.Attributes) == 0 || string(b.Attributes) == "null" {
		return nil
	}
	return decode(b.Attributes, t.Attributes)
}

// decodeToxic reads a toxic that is to be added.
func decodeToxic(body []byte) (*toxic, error) {
	b, err := decodeToxicBody(body, "")
	if err != nil {
		return nil, err
	}
	t := &toxic{Name: b.Name, Type: b.Type, Stream: b.Stream, Toxicity: 1, Attributes: newAttributes(b.Type)}
	if t.Stream == "" {
		t.Stream = "downstream"
	}
	if t.Stream != "upstream" && t.Stream != "downstream" {
		return nil, failure(badRequest, "stream was invalid, can be either upstream or downstream")
	}
	if t.Name == "" {
		t.Name = fmt.Sprintf("%s_%s", t.Type, t.Stream)
	}
	if t.Attributes == nil {
		return nil, failure(badRequest, "invalid toxic type")
	}
	if err := checkName(t.Name); err != nil {
		return nil, err
	}
	if err := b.into(t); err != nil {
		return nil, err
	}
	if _, err := t.condition(); err != nil {
		return nil, failure(badRequest, "bad request body: %v", err)
	}
	return t, nil
}

func decodeToxics(list []json.RawMessage) ([]*toxic, error) {
	var toxics []*toxic
	for _, body := range list {
		t, err := decodeToxic(body)
		if err != nil {
			return nil, err
		}
		toxics = append(toxics, t)
	}
	return toxics, nil
}

// times converts a named number of units to a duration.
func times(name string, n int64, unit time.Duration) (time.Duration, error) {
	if n < 0 || n > math.MaxInt64/int64(unit) {
		return 0, fmt.Errorf("attribute %s is %d; it must be between 0 and %d", name, n, math.MaxInt64/int64(unit))
	}
	return time.Duration(n) * unit, nil
}

// twoTimes converts two attributes in milliseconds.
func twoTimes(name string, n int64, jitter int64) (by, spread time.Duration, err error) {
	if by, err = times(name, n, time.Millisecond); err != nil {
		return 0, 0, err
	}
	spread, err = times("jitter", jitter, time.Millisecond)
	return by, spread, err
}

type noop struct{}

func (*noop) condition() (gate.Condition, error) { return nil, nil }

type latency struct {
	Latency int64 `json:"latency"`
	Jitter  int64 `json:"jitter"`
}

func (a *latency) condition() (gate.Condition, error) {
	by, jitter, err := twoTimes("latency", a.Latency, a.Jitter)
	return gate.Delay{By: by, Jitter: jitter}, err
}

type bandwidth struct {
	Rate int64 `json:"rate"`
}

// condition lets everything pass at rate 0, as toxiproxy does. The bucket holds
// 20 ms, since toxiproxy knows no bursts.
func (a *bandwidth) condition() (gate.Condition, error) {
	if a.Rate == 0 {
		return nil, nil
	}
	if a.Rate < 0 || a.Rate > math.MaxInt64/1000 {
		return nil, fmt.Errorf("attribute rate is %d KB/s; it must be between 0 and %d", a.Rate, math.MaxInt64/1000)
	}
	return gate.Bandwidth{Rate: a.Rate * 1000, Burst: max(a.Rate*20, 1), PerConnection: true}, nil
}

type slowClose struct {
	Delay int64 `json:"delay"`
}

func (a *slowClose) condition() (gate.Condition, error) {
	after, err := times("delay", a.Delay, time.Millisecond)
	return gate.SlowClose{After: after}, err
}

type timeout struct {
	Timeout int64 `json:"timeout"`
}

func (a *timeout) condition() (gate.Condition, error) {
	after, err := times("timeout", a.Timeout, time.Millisecond)
	return gate.BlackHole{After: after}, err
}

type resetPeer struct {
	Timeout int64 `json:"timeout"`
}

func (a *resetPeer) condition() (gate.Condition, error) {
	after, err := times("timeout", a.Timeout, time.Millisecond)
	return gate.ResetPeer{After: after}, err
}

type slicer struct {
	AverageSize   int   `json:"average_size"`
	SizeVariation int   `json:"size_variation"`
	Delay         int64 `json:"delay"`
}

// condition slices nothing if no size is given.
func (a *slicer) condition() (gate.Condition, error) {
	if a.AverageSize == 0 && a.SizeVariation == 0 {
		return nil, nil
	}
	if a.AverageSize < 1 || a.SizeVariation < 0 || a.SizeVariation >= a.AverageSize {
		return nil, fmt.Errorf("attributes average_size and size_variation are %d and %d; average_size must be at least 1 and size_variation less than it", a.AverageSize, a.SizeVariation)
	}
	pause, err := times("delay", a.Delay, time.Microsecond)
	return gate.Slice{Size: a.AverageSize, Variation: a.SizeVariation, Pause: pause}, err
}

type limitData struct {
	Bytes int64 `json:"bytes"`
}

func (a *limitData) condition() (gate.Condition, error) {
	return gate.ByteLimit{Bytes: a.Bytes, PerConnection: true}, nil
}

type delay struct {
	Delay  int64 `json:"delay"`
	Jitter int64 `json:"jitter"`
	Serial bool  `json:"serial"`
}

func (a *delay) condition() (gate.Condition, error) {
	by, jitter, err := twoTimes("delay", a.Delay, a.Jitter)
	return gate.Delay{By: by, Jitter: jitter, Serial: a.Serial}, err
}

type stopReading struct{}

func (*stopReading) condition() (gate.Condition, error) { return gate.StopReading{}, nil }

type drop struct {
	Share float64 `json:"share"`
}

func (a *drop) condition() (gate.Condition, error) { return gate.Drop{Share: a.Share}, nil }

type retransmit struct {
	Share float64 `json:"share"`
}

func (a *retransmit) condition() (gate.Condition, error) { return gate.Retransmit{Share: a.Share}, nil }

type reorder struct {
	Delay int64   `json:"delay"`
	Share float64 `json:"share"`
}

func (a *reorder) condition() (gate.Condition, error) {
	by, err := times("delay", a.Delay, time.Millisecond)
	return gate.Reorder{By: by, Share: a.Share}, err
}

type closeOnData struct {
	Reset bool `json:"reset"`
}

func (a *closeOnData) condition() (gate.Condition, error) {
	return gate.CloseOnData{Reset: a.Reset}, nil
}

type corrupt struct{}

func (*corrupt) condition() (gate.Condition, error) { return gate.Corrupt{}, nil }

type limitBPS struct {
	BytesPerSecond int64 `json:"bytes_per_second"`
	Burst          int64 `json:"burst"`
	PerConnection  bool  `json:"per_connection"`
}

func (a *limitBPS) condition() (gate.Condition, error) {
	return gate.Bandwidth{Rate: a.BytesPerSecond, Burst: a.Burst, PerConnection: a.PerConnection}, nil
}

type limitTime struct {
	Timeout int64 `json:"timeout"`
	Jitter  int64 `json:"jitter"`
	Idle    bool  `json:"idle"`
}

func (a *limitTime) condition() (gate.Condition, error) {
	after, jitter, err := twoTimes("timeout", a.Timeout, a.Jitter)
	return gate.TimeLimit{After: after, Jitter: jitter, Idle: a.Idle}, err
}

type limitBytes struct {
	Bytes         int64 `json:"bytes"`
	PerConnection bool  `json:"per_connection"`
}

func (a *limitBytes) condition() (gate.Condition, error) {
	return gate.ByteLimit{Bytes: a.Bytes, PerConnection: a.PerConnection}, nil
}

type smallerParts struct {
	MaxSize int   `json:"max_size"`
	Delay   int64 `json:"delay"`
}

func (a *smallerParts) condition() (gate.Condition, error) {
	pause, err := times("delay", a.Delay, time.Millisecond)
	return gate.Slice{Size: a.MaxSize, Pause: pause}, err
}

type concatenate struct {
	Size   int   `json:"size"`
	GiveUp int64 `json:"give_up"`
}

func (a *concatenate) condition() (gate.Condition, error) {
	giveUp, err := times("give_up", a.GiveUp, time.Millisecond)
	return gate.Concatenate{Size: a.Size, GiveUp: giveUp}, err
}

type substitute struct {
	Pattern     string `json:"pattern"`
	Replacement string `json:"replacement"`
}

func (a *substitute) condition() (gate.Condition, error) {
	return gate.Substitute{Pattern: a.Pattern, With: a.Replacement}, nil
}

type slowOpen struct {
	Delay  int64 `json:"delay"`
	Jitter int64 `json:"jitter"`
}

func (a *slowOpen) condition() (gate.Condition, error) {
	by, jitter, err := twoTimes("delay", a.Delay, a.Jitter)
	return gate.SlowOpen{By: by, Jitter: jitter}, err
}
