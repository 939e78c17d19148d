package netfault

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"
)

// Parse reads one State as JSON and validates it. Unknown fields, and anything
// after the state, are errors; durations are Go durations ("100ms"), the
// deadline is RFC 3339.
func Parse(r io.Reader) (State, error) {
	var s State
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		return State{}, fmt.Errorf("reading the desired network state: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return State{}, errors.New("reading the desired network state: there is more after the end of the JSON object; give one state")
	}
	return s, s.Validate()
}

// unmarshalStrict decodes one value and refuses unknown fields; a type with its
// own UnmarshalJSON does not inherit the outer decoder's strictness.
func unmarshalStrict(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// duration is a time.Duration whose text form is Go's.
type duration time.Duration

func (d duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil {
		return fmt.Errorf("duration %q: want a number with its unit, such as 100ms", text)
	}
	*d = duration(v)
	return nil
}

type impairmentJSON struct {
	Partition        bool         `json:"partition,omitzero"`
	Delay            duration     `json:"delay,omitzero"`
	Jitter           duration     `json:"jitter,omitzero"`
	Distribution     Distribution `json:"distribution,omitzero"`
	DelayCorrelation float64      `json:"delayCorrelation,omitzero"`
	Loss             Loss         `json:"loss,omitzero"`
	Duplicate        Chance       `json:"duplicate,omitzero"`
	Corrupt          Chance       `json:"corrupt,omitzero"`
	Reorder          Reorder      `json:"reorder,omitzero"`
	Rate             Rate         `json:"rate,omitzero"`
	Slot             Slot         `json:"slot,omitzero"`
	ECN              bool         `json:"ecn,omitzero"`
	Seed             uint64       `json:"seed,omitzero"`
	Limit            uint32       `json:"limit,omitzero"`
}

// MarshalJSON writes durations as Go durations and leaves out what is zero.
func (i Impairment) MarshalJSON() ([]byte, error) {
	return json.Marshal(impairmentJSON{
		Partition: i.Partition,
		Delay:     duration(i.Delay), Jitter: duration(i.Jitter), Distribution: i.Distribution, DelayCorrelation: i.DelayCorrelation,
		Loss: i.Loss, Duplicate: i.Duplicate, Corrupt: i.Corrupt, Reorder: i.Reorder, Rate: i.Rate, Slot: i.Slot,
		ECN: i.ECN, Seed: i.Seed, Limit: i.Limit,
	})
}

// UnmarshalJSON is the strict reverse of MarshalJSON.
func (i *Impairment) UnmarshalJSON(data []byte) error {
	var w impairmentJSON
	if err := unmarshalStrict(data, &w); err != nil {
		return err
	}
	*i = Impairment{
		Partition: w.Partition,
		Delay:     time.Duration(w.Delay), Jitter: time.Duration(w.Jitter), Distribution: w.Distribution, DelayCorrelation: w.DelayCorrelation,
		Loss: w.Loss, Duplicate: w.Duplicate, Corrupt: w.Corrupt, Reorder: w.Reorder, Rate: w.Rate, Slot: w.Slot,
		ECN: w.ECN, Seed: w.Seed, Limit: w.Limit,
	}
	return nil
}

type slotJSON struct {
	MinDelay     duration     `json:"minDelay,omitzero"`
	MaxDelay     duration     `json:"maxDelay,omitzero"`
	Distribution Distribution `json:"distribution,omitzero"`
	Delay        duration     `json:"delay,omitzero"`
	Jitter       duration     `json:"jitter,omitzero"`
	Packets      int32        `json:"packets,omitzero"`
	Bytes        int32        `json:"bytes,omitzero"`
}

// MarshalJSON writes durations as Go durations and leaves out what is zero.
func (s Slot) MarshalJSON() ([]byte, error) {
	return json.Marshal(slotJSON{duration(s.MinDelay), duration(s.MaxDelay), s.Distribution,
		duration(s.Delay), duration(s.Jitter), s.Packets, s.Bytes})
}

// UnmarshalJSON is the strict reverse of MarshalJSON.
func (s *Slot) UnmarshalJSON(data []byte) error {
	var w slotJSON
	if err := unmarshalStrict(data, &w); err != nil {
		return err
	}
	*s = Slot{time.Duration(w.MinDelay), time.Duration(w.MaxDelay), w.Distribution,
		time.Duration(w.Delay), time.Duration(w.Jitter), w.Packets, w.Bytes}
	return nil
}

type peerJSON struct {
	CIDR       string      `json:"cidr,omitempty"`
	Ports      []PortRange `json:"ports,omitempty"`
	LocalPorts []PortRange `json:"localPorts,omitempty"`
	Protocol   Protocol    `json:"protocol,omitempty"`
}

// MarshalJSON leaves out fields that are not set.
func (p Peer) MarshalJSON() ([]byte, error) {
	w := peerJSON{Ports: p.Ports, LocalPorts: p.LocalPorts, Protocol: p.Protocol}
	if p.CIDR != (netip.Prefix{}) {
		w.CIDR = p.CIDR.String()
	}
	return json.Marshal(w)
}

// UnmarshalJSON is the strict reverse of MarshalJSON; an address alone is read
// as the prefix that holds only it.
func (p *Peer) UnmarshalJSON(data []byte) error {
	var w peerJSON
	if err := unmarshalStrict(data, &w); err != nil {
		return err
	}
	*p = Peer{Ports: w.Ports, LocalPorts: w.LocalPorts, Protocol: w.Protocol}
	if w.CIDR == "" {
		return nil
	}
	var err error
	p.CIDR, err = parseCIDR(w.CIDR)
	return err
}
