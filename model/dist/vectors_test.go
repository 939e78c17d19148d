package dist

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

var update = flag.Bool("update", false, "write the vectors anew")

// vectorsFile has keys, what they draw, and delays. Services in other languages
// decide alike if they compute the same. 64-bit numbers are texts, since JSON's
// are read as floating-point numbers by many.
const vectorsFile = "../../testdata/vectors.json"

type vectors struct {
	About  string        `json:"about"`
	Keys   []keyVector   `json:"keys"`
	Delays []delayVector `json:"delays"`
}

type keyVector struct {
	Seed string `json:"seed"`
	// Path is what With and WithInt are called with.
	Path    []any   `json:"path"`
	Key     string  `json:"key"`
	Uint64  string  `json:"uint64"`
	Float64 float64 `json:"float64"`
	IntN10  int     `json:"intN10"`
}

type delayVector struct {
	Delay Delay `json:"delay"`
	// Nanoseconds are what the keys Seed(1).WithInt(0), (1) ... draw.
	Nanoseconds []time.Duration `json:"nanoseconds"`
	// Sum is that of the first 10000 of them, modulo 2^64.
	Sum string `json:"sumOf10000"`
}

func makeVectors() vectors {
	v := vectors{About: "Keys, what they draw, and delays in nanoseconds. The key of a path begins with Seed(seed); a text is derived by With, a number by WithInt."}
	for _, seed := range []uint64{0, 1, 42, 1<<64 - 1} {
		for _, path := range [][]any{{}, {"cart"}, {"cart", 3}, {"", -1, "größe"}, {"load", 0, "arrival", 1000000}} {
			k := Seed(seed)
			for _, step := range path {
				switch s := step.(type) {
				case string:
					k = k.With(s)
				case int:
					k = k.WithInt(s)
				}
			}
			v.Keys = append(v.Keys, keyVector{strconv.FormatUint(seed, 10), path, strconv.FormatUint(uint64(k), 10), strconv.FormatUint(k.Uint64(), 10), k.Float64(), k.IntN(10)})
		}
	}
	long := unit.Duration(time.Hour)
	for _, d := range []Delay{
		Fixed(5 * time.Millisecond),
		{Uniform: &Uniform{Min: 10 * ms, Max: 30 * ms}}, {Uniform: &Uniform{Min: -ms, Max: 7 * long}},
		{Normal: &Normal{Mean: 50 * ms, StdDev: 5 * ms}}, {Normal: &Normal{Mean: long, StdDev: 2 * long}},
		{LogNormal: &LogNormal{P50: 5 * ms, P99: 40 * ms}}, {LogNormal: &LogNormal{P50: 3, P99: 10 * long}},
		{Exponential: &Exponential{Mean: 20 * ms}}, {Exponential: &Exponential{Mean: 5 * long}},
		{Pareto: &Pareto{Min: 2 * ms, Alpha: 3}}, {Pareto: &Pareto{Min: ms, Alpha: 0.7}},
		{Empirical: []unit.Duration{1 * ms, 2 * ms, 3 * ms, 10 * ms}},
	} {
		of := delayVector{Delay: d}
		sum := uint64(0)
		for i := range 10000 {
			drawn := d.Draw(Seed(1).WithInt(i))
			if sum += uint64(drawn); i < 20 {
				of.Nanoseconds = append(of.Nanoseconds, drawn)
			}
		}
		of.Sum = strconv.FormatUint(sum, 10)
		v.Delays = append(v.Delays, of)
	}
	return v
}

// The vectors are the same on every processor; .ci/run tests it on arm64, too.
func TestVectors(t *testing.T) {
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(makeVectors()); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(vectorsFile, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("draws differ from %s: every system and every seed decides anew; `go test ./model/dist -run Vectors -update` and git diff show where", vectorsFile)
	}
}
