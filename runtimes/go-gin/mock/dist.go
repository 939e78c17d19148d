package mock

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runtimes/go-gin/exact"
)

// A key names one random decision. It follows from the seed and the names of what
// decides, so all runtimes decide alike.
type key uint64

const golden = 0x9e3779b97f4a7c15

// mix is the output function of SplitMix64.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func seed(n uint64) key { return key(mix(n + golden)) }

// with is the key of something that has a name.
func (k key) with(name string) key {
	h := uint64(k) ^ 14695981039346656037
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return key(mix(h + uint64(len(name))))
}

// withInt is the key of something that has a number.
func (k key) withInt(n int) key {
	return key(mix(bits.RotateLeft64(uint64(k), 25) ^ mix(uint64(n)+golden)))
}

func (k key) uint64() uint64 { return mix(uint64(k) + golden) }

// float64 is uniform in [0, 1).
func (k key) float64() float64 { return float64(k.uint64()>>11) / (1 << 53) }

// intN is uniform in 0..n-1.
func (k key) intN(n int) int {
	hi, _ := bits.Mul64(k.uint64(), uint64(n))
	return int(hi)
}

func (k key) chance(p float64) bool { return p > 0 && k.float64() < p }

// given reports whether a field has a value other than null, false, 0 or "".
type given bool

// UnmarshalJSON looks at a value without reading it.
func (g *given) UnmarshalJSON(data []byte) error {
	switch string(data) {
	case "null", "false", "0", `""`:
		*g = false
	default:
		*g = true
	}
	return nil
}

// A duration is written as 1m30s.
type duration time.Duration

var (
	durationPattern = regexp.MustCompile(`^-?(\d+(\.\d+)?[a-zµμ]+)+$`)
	partPattern     = regexp.MustCompile(`(\d+)(?:\.(\d+))?([a-zµμ]+)`)
)

func unitOf(name string) int64 {
	switch name {
	case "ns":
		return 1
	case "us", "µs", "μs":
		return 1e3
	case "ms":
		return 1e6
	case "s":
		return 1e9
	case "m", "min":
		return 60e9
	case "h":
		return 3600e9
	case "d":
		return 24 * 3600e9
	}
	return 0
}

func parseDuration(text string) (duration, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	if !durationPattern.MatchString(text) {
		return 0, fmt.Errorf("invalid duration %q: write a number with a unit, such as 300ms or 1m30s", text)
	}
	total := new(big.Int)
	for _, part := range partPattern.FindAllStringSubmatch(text, -1) {
		unit := unitOf(part[3])
		if unit == 0 {
			return 0, fmt.Errorf("invalid duration %q: %s is not a unit", text, part[3])
		}
		n, _ := new(big.Int).SetString(part[1]+part[2], 10)
		n.Mul(n, big.NewInt(unit))
		total.Add(total, n.Quo(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(len(part[2]))), nil)))
	}
	if !total.IsInt64() {
		return 0, fmt.Errorf("invalid duration %q: it is too long", text)
	}
	if strings.HasPrefix(text, "-") {
		total.Neg(total)
	}
	return duration(total.Int64()), nil
}

// UnmarshalJSON reads a duration.
func (d *duration) UnmarshalJSON(data []byte) (err error) {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return fmt.Errorf("invalid duration %s: write a text such as 300ms", data)
	}
	*d, err = parseDuration(text)
	return err
}

// A size is written as 512 or 64Ki, in bytes.
type size int64

var sizePattern = regexp.MustCompile(`^(\d+(?:\.\d+)?)(|[kMGTP]|[KMGTP]i)$`)

func parseSize(text string) (size, error) {
	match := sizePattern.FindStringSubmatch(text)
	if match == nil {
		return 0, fmt.Errorf("invalid size %q: write a number of bytes, such as 512 or 64Ki", text)
	}
	number, err := strconv.ParseFloat(match[1], 64)
	if err != nil {
		return 0, fmt.Errorf("invalid size %q: %w", text, err)
	}
	base, power := 1000.0, 0
	if suffix := match[2]; suffix != "" {
		power = strings.Index("KMGTP", strings.ToUpper(suffix[:1])) + 1
		if strings.HasSuffix(suffix, "i") {
			base = 1024
		}
	}
	return size(number * math.Pow(base, float64(power))), nil
}

// UnmarshalJSON reads a size.
func (s *size) UnmarshalJSON(data []byte) (err error) {
	text := string(data)
	if data[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
	}
	if text == "null" {
		return nil
	}
	*s, err = parseSize(text)
	return err
}

const (
	day = 24 * time.Hour
	z99 = 2.3263478740408408
)

// A delay is a distribution of durations: a duration, or an object with one field.
type delay struct {
	fixed    duration
	quantile func(p float64) float64
}

func (d delay) isZero() bool { return d.fixed == 0 && d.quantile == nil }

// draw returns the duration that the key decides.
func (d delay) draw(k key) time.Duration {
	if d.quantile == nil {
		return min(time.Duration(d.fixed), day)
	}
	return time.Duration(min(max(d.quantile(k.float64()), 0), float64(day)))
}

func uniform(lo, hi float64) func(float64) float64 {
	return func(p float64) float64 { return exact.MulAdd(p, hi-lo, lo) }
}

// jittered is uniform around a delay.
func jittered(d, jitter duration) delay {
	if jitter == 0 {
		return delay{fixed: d}
	}
	return delay{quantile: uniform(float64(d-jitter), float64(d+jitter))}
}

// UnmarshalJSON reads a delay.
func (d *delay) UnmarshalJSON(data []byte) error {
	*d = delay{}
	if data[0] != '{' {
		return json.Unmarshal(data, &d.fixed)
	}
	var from struct {
		Fixed       *duration                        `json:"fixed"`
		Uniform     *struct{ Min, Max duration }     `json:"uniform"`
		Normal      *struct{ Mean, StdDev duration } `json:"normal"`
		LogNormal   *struct{ P50, P99 duration }     `json:"lognormal"`
		Exponential *struct{ Mean duration }         `json:"exponential"`
		Pareto      *struct {
			Min   duration
			Alpha float64
		} `json:"pareto"`
		Empirical []duration `json:"empirical"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&from); err != nil {
		return fmt.Errorf("reading a distribution: %w", err)
	}
	switch {
	case from.Fixed != nil:
		d.fixed = *from.Fixed
	case from.Uniform != nil:
		d.quantile = uniform(float64(from.Uniform.Min), float64(from.Uniform.Max))
	case from.Normal != nil:
		mean, deviation := float64(from.Normal.Mean), float64(from.Normal.StdDev)
		d.quantile = func(p float64) float64 { return exact.MulAdd(deviation, exact.NormalQuantile(p), mean) }
	case from.LogNormal != nil:
		mu := exact.Log(float64(from.LogNormal.P50))
		sigma := (exact.Log(float64(from.LogNormal.P99)) - mu) / z99
		d.quantile = func(p float64) float64 { return exact.Exp(exact.MulAdd(sigma, exact.NormalQuantile(p), mu)) }
	case from.Exponential != nil:
		mean := float64(from.Exponential.Mean)
		d.quantile = func(p float64) float64 { return -mean * exact.Log1p(-p) }
	case from.Pareto != nil:
		least, alpha := float64(from.Pareto.Min), from.Pareto.Alpha
		d.quantile = func(p float64) float64 { return least * exact.Exp(-exact.Log1p(-p)/alpha) }
	case len(from.Empirical) > 0:
		values := from.Empirical
		d.quantile = func(p float64) float64 {
			return float64(values[min(int(p*float64(len(values))), len(values)-1)])
		}
	}
	return nil
}
