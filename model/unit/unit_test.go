package unit

import (
	"testing"
	"testing/quick"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"300ms": 300 * time.Millisecond, "2min": 2 * time.Minute, "2m": 2 * time.Minute, "1h2min3s": time.Hour + 2*time.Minute + 3*time.Second,
		"0": 0, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "-5s": -5 * time.Second, "1.5s": 1500 * time.Millisecond,
	} {
		if got, err := ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "5", "soon", "5 s", "d", "1e99d", "9999999999h"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "64Ki": 65536, "250Mi": 250 << 20, "1.5Gi": 3 << 29, "10k": 10000, "1M": 1000000, "8B": 8,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "9000Pi", "1e30", "NaN", "Inf", "Mi", "1 Mi", "0x10", "many"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", text, got)
		}
	}
}

func TestParseCores(t *testing.T) {
	for text, want := range map[string]Cores{"1": 1, "0.5": 0.5, "500m": 0.5, "0": 0} {
		if got, err := ParseCores(text); err != nil || got != want {
			t.Errorf("ParseCores(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "-1", "m", "NaN", "two"} {
		if got, err := ParseCores(text); err == nil {
			t.Errorf("ParseCores(%q) = %v, want an error", text, got)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	duration := func(d Duration) bool {
		got, err := ParseDuration(d.String())
		return err == nil && got == d
	}
	size := func(n int32) bool {
		s := Size(int64(n) & 0x7fffffff)
		got, err := ParseSize(s.String())
		return err == nil && got == s
	}
	cores := func(milli uint16) bool {
		got, err := ParseCores((Cores(milli) / 1000).String())
		return err == nil && got == Cores(float64(milli)*1e-3)
	}
	for name, property := range map[string]any{"duration": duration, "size": size, "cores": cores} {
		if err := quick.Check(property, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
