package chain

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// Append appends the chain as JSON. It writes what encoding/json would, without
// reflection: every hop of a chain writes all that is below it.
func (c *Chain) Append(b []byte) []byte {
	b = append(b, `{"designation":`...)
	b = AppendString(b, c.Designation)
	b = append(b, `,"probability":`...)
	b = strconv.AppendFloat(b, c.Probability, 'f', -1, 64)
	b = append(b, `,"faults":{"before":`...)
	b = appendFaults(b, c.Faults.Before)
	b = append(b, `,"after":`...)
	b = appendFaults(b, c.Faults.After)
	b = append(b, `},"routes":[`...)
	for i, route := range c.Routes {
		if i > 0 {
			b = append(b, ',')
		}
		b = route.Append(b)
	}
	return append(b, "]}"...)
}

// MarshalJSON implements json.Marshaler. Empty lists are written as such, never
// as null, which other services cannot read.
func (c *Chain) MarshalJSON() ([]byte, error) { return c.Append(nil), nil }

// MarshalJSON implements json.Marshaler, in MicroSim's form and units.
func (f Fault) MarshalJSON() ([]byte, error) { return f.append(nil), nil }

func appendFaults(b []byte, faults []Fault) []byte {
	b = append(b, '[')
	for i := range faults {
		if i > 0 {
			b = append(b, ',')
		}
		b = faults[i].append(b)
	}
	return append(b, ']')
}

func (f *Fault) append(b []byte) []byte {
	b = append(b, `{"type":`...)
	b = AppendString(b, string(f.Type))
	b = append(b, `,"args":{`...)
	number := func(separated string, v float64) {
		b = append(b, separated...)
		b = strconv.AppendFloat(b, v, 'f', -1, 64)
	}
	switch f.Type {
	case fault.Latency:
		number(`"delay":`, inMilliseconds(f.Delay))
	case fault.MemoryLeak:
		number(`"size":`, float64(f.Size)/mega)
		number(`,"duration":`, inMilliseconds(f.Duration))
	case fault.CPU:
		number(`"duration":`, inMilliseconds(f.Duration))
		number(`,"cores":`, f.Cores)
	case fault.IO:
		number(`"size":`, float64(f.Size)/mega)
	case fault.Error:
		number(`"status":`, float64(f.Status))
		number(`,"rate":`, f.Rate*100)
	default: // the others have no arguments
	}
	return append(b, "}}"...)
}

func inMilliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// AppendString appends a string as JSON.
func AppendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
