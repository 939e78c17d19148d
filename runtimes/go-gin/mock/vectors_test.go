package mock

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"
)

// The decisions are those of all runtimes, to the bit.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("../../../testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Keys []struct {
			Seed        string
			Path        []any
			Key, Uint64 string
			Float64     float64
			IntN10      int
		}
		Delays []struct {
			Delay       delay
			Nanoseconds []time.Duration
			SumOf10000  string
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors.Keys) == 0 || len(vectors.Delays) == 0 {
		t.Fatal(err)
	}
	text := func(n uint64) string { return strconv.FormatUint(n, 10) }
	for _, v := range vectors.Keys {
		n, err := strconv.ParseUint(v.Seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		k := seed(n)
		for _, step := range v.Path {
			switch step := step.(type) {
			case string:
				k = k.with(step)
			case float64:
				k = k.withInt(int(step))
			}
		}
		if text(uint64(k)) != v.Key || text(k.uint64()) != v.Uint64 || k.float64() != v.Float64 || k.intN(10) != v.IntN10 {
			t.Errorf("the key of %v is %d and draws %d, %v, %d; want %+v", v.Path, k, k.uint64(), k.float64(), k.intN(10), v)
		}
	}
	for i, v := range vectors.Delays {
		sum := uint64(0)
		for j := range 10000 {
			drawn := v.Delay.draw(seed(1).withInt(j))
			if sum += uint64(drawn); j < len(v.Nanoseconds) && drawn != v.Nanoseconds[j] {
				t.Errorf("delay %d draws %d, want %d", i, drawn, v.Nanoseconds[j])
			}
		}
		if text(sum) != v.SumOf10000 {
			t.Errorf("the draws of delay %d have the sum %d, want %s", i, sum, v.SumOf10000)
		}
	}
}

func TestDurationsAndSizes(t *testing.T) {
	for text, want := range map[string]duration{"5ms": 5e6, "1m30s": 90e9, "1.5s": 15e8, "-1ms": -1e6, "0": 0, "": 0, "1d": 86400e9, "2min": 120e9, "100µs": 1e5} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]size{"512": 512, "64Ki": 65536, "1Mi": 1 << 20, "2k": 2000, "1.5Ki": 1536, "3M": 3e6} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"5", "5 ms", "5parsec", "ms", "999999999999999d"} {
		if got, err := parseDuration(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
	for _, bad := range []string{"-1", "5KB", "x", "1K"} {
		if got, err := parseSize(bad); err == nil {
			t.Errorf("%q is %v", bad, got)
		}
	}
}
