package unit

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"300ms": 300 * time.Millisecond, "2min": 2 * time.Minute, "2m": 2 * time.Minute, "1h2min3s": time.Hour + 2*time.Minute + 3*time.Second,
		"0": 0, "0.0": 0, "0s": 0, "1d": 24 * time.Hour, "1d12h": 36 * time.Hour, "-5s": -5 * time.Second, "-1h30m": -90 * time.Minute, "1.5s": 1500 * time.Millisecond,
		"0.5d": 12 * time.Hour, "10us": 10 * time.Microsecond, "10µs": 10 * time.Microsecond, "10μs": 10 * time.Microsecond, "7ns": 7, "0.4ns": 0,
		"9223372036854775807ns": math.MaxInt64, "-9223372036854775808ns": math.MinInt64, "106751d": 106751 * 24 * time.Hour,
	} {
		if got, err := ParseDuration(text); err != nil || got.Std() != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

// An error says what to write instead.
func TestParseRefuses(t *testing.T) {
	duration := func(s string) error { _, err := ParseDuration(s); return err }
	size := func(s string) error { _, err := ParseSize(s); return err }
	rate := func(s string) error { _, err := ParseRate(s); return err }
	cores := func(s string) error { _, err := ParseCores(s); return err }
	share := func(s string) error { _, err := ParseShare(s); return err }
	percent := func(s string) error { _, err := ParsePercent(s); return err }
	for _, c := range []struct {
		parse func(string) error
		text  string
		write string
	}{
		{duration, "5mins", "write 5min"}, {duration, "1 hour", "write 1h"}, {duration, "1h 30m", "write 1h30m"}, {duration, "90sec", "write 90s"},
		{duration, "3 days", "write 3d"}, {duration, ".5s", "write 0.5s"}, {duration, "+5ms", "write 5ms"}, {duration, "5S", "write 5s"},
		{duration, "5", "write its unit, such as 5s or 5min"}, {duration, "1.5", "write its unit, such as 1.5s"}, {duration, "1d-12h", "write a number with a unit"},
		{duration, "3min30", "write a number with a unit"}, {duration, "", "write a number with a unit"}, {duration, "soon", "write a number"}, {duration, "d", "write a number"},
		{duration, "--1s", "write a number"}, {duration, "1__s", "write a number"}, {duration, "1.s", "write a number"}, {duration, "1e3s", "write a number"}, {duration, "NaN", "write a number"},
		{duration, "9999999999h", "at most 106751d"}, {duration, "9223372036854775808ns", "at most 106751d"}, {duration, "106752d", "at most 106751d"},
		{size, "", "write a number of bytes"}, {size, "-1", "from 0 up"}, {size, "1.5", "such as 1"}, {size, "9000Pi", "less than 8Ei"}, {size, "8Ei", "less than 8Ei"},
		{size, "100kB", "write 100k"}, {size, "64KiB", "write 64Ki"}, {size, "64ki", "write 64Ki"}, {size, "1 Mi", "write 1Mi"}, {size, "1e30", "write a number of bytes"},
		{size, "NaN", "write a number"}, {size, "Mi", "write a number"}, {size, "0x10", "write a number"}, {size, "1_000", "write a number"}, {size, "many", "write a number"}, {size, "5.", "write a number"}, {size, "+5", "write a number"},
		{rate, "", "write bytes per second"}, {rate, "fast", "write bytes per second"}, {rate, "1mbps", "write bytes per second"}, {rate, "1xbit", "write bits as"}, {rate, "7bit", "at least 8bit"},
		{rate, "0.001kbit", "at least 8bit"}, {rate, "99999999999tbit", "less than 8Ei"}, {rate, "-1mbit", "write bytes"},
		{cores, "", "write cores"}, {cores, "-1", "write cores"}, {cores, "m", "write cores"}, {cores, "NaN", "write cores"}, {cores, "1e3", "write cores"}, {cores, "2000000", "at most 1000000"},
		{share, "", "write a number from 0 to 1"}, {share, "1.1", "write a number"}, {share, "101%", "write a number"}, {share, "-0.1", "write a number"}, {share, "NaN", "write a number"}, {share, "%", "write a number"},
		{percent, "", "write percents"}, {percent, "101", "write percents"}, {percent, "-1", "write percents"}, {percent, "1%%", "write percents"}, {percent, "Inf", "write percents"},
	} {
		if err := c.parse(c.text); err == nil || !strings.Contains(err.Error(), c.write) {
			t.Errorf("%q: %v; want an error that says %q", c.text, err, c.write)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "512": 512, "64Ki": 65536, "250Mi": 250 << 20, "1.5Gi": 3 << 29, "10k": 10000, "10K": 10000, "1M": 1000000, "8B": 8, "0.5k": 500,
		"7Ei": 7 << 60, "9223372036854775807": math.MaxInt64, "9007199254740993": 1<<53 + 1,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]Rate{
		"0": 0, "125k": 125000, "64Ki": 65536, "8bit": 1, "12bit": 2, "800kbit": 100000, "1mbit": 125000, "1Mbit": 125000, "1.5gbit": 187500000, "8kibit": 1024, "1tbit": 125e9,
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestParseCores(t *testing.T) {
	for text, want := range map[string]Cores{"1": 1, "0.5": 0.5, "500m": 0.5, "0": 0} {
		if got, err := ParseCores(text); err != nil || got != want {
			t.Errorf("ParseCores(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
}

func TestParseShare(t *testing.T) {
	for text, want := range map[string]Share{"0": 0, "1": 1, "0.1": 0.1, "10%": 0.1, "0.1%": 0.001, "100%": 1, "7%": 0.07} {
		if got, err := ParseShare(text); err != nil || got != want {
			t.Errorf("ParseShare(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]Percent{"0": 0, "100": 100, "0.1": 0.1, "10%": 10, "7": 7} {
		got, err := ParsePercent(text)
		if err != nil || got != want || PercentOf(got.Share()) != want {
			t.Errorf("ParsePercent(%q) = %v, %v; want %v, and the same from its share, not %v", text, got, err, want, PercentOf(got.Share()))
		}
	}
}

// JSON has shares as numbers; a text is read, too.
func TestSharesInJSON(t *testing.T) {
	var v struct {
		Share   Share   `json:"share"`
		Percent Percent `json:"percent"`
	}
	for text, want := range map[string]string{
		`{"share":0.25,"percent":2.5}`:      `{"share":0.25,"percent":2.5}`,
		`{"share":"25%","percent":"2.5%"}`:  `{"share":0.25,"percent":2.5}`,
		`{"share":1e-7,"percent":0.00001}`:  `{"share":1e-7,"percent":0.00001}`,
		`{"share":"0.25","percent":"2.50"}`: `{"share":0.25,"percent":2.5}`,
	} {
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{`{"share":2}`, `{"share":"200%"}`, `{"percent":101}`, `{"percent":[]}`, `{"share":true}`} {
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s was read as %v", text, v)
		}
	}
}

func TestTextRoundTrip(t *testing.T) {
	duration := func(d Duration) bool {
		got, err := ParseDuration(d.String())
		return err == nil && got == d
	}
	size := func(n int64) bool {
		s := Size(n & math.MaxInt64)
		got, err := ParseSize(s.String())
		rate, errRate := ParseRate(Rate(s).String())
		return err == nil && got == s && errRate == nil && rate == Rate(s)
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

// FuzzParseDuration holds the parser against that of time, which takes the same
// units but days and min.
// Both ways of reading a duration give the same one.
func TestPlainDurationsAreExact(t *testing.T) {
	for _, number := range []string{"", "0", "00", "7", "007", "99999", "100000", "1.5", "-3", "12x"} {
		for _, unit := range []string{"", "ns", "us", "µs", "ms", "s", "m", "min", "h", "d", "w", "mins", "s1"} {
			text := number + unit
			plain, ok := plainDuration(text)
			exact, exactly := nanoseconds(text)
			if ok && (!exactly || exact.Int64() != int64(plain)) {
				t.Errorf("%q is read as %v, and exactly as %v, %v", text, plain, exact, exactly)
			}
			if !ok && number == "99999" && exactly && unit != "s1" {
				t.Errorf("%q is not read without fractions", text)
			}
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"5mins", "1d-12h", "1h30min", ".5s", "-5s", "9223372036854775807ns", "1.0000000001s"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseDuration(s)
		if err != nil {
			return
		}
		if again, err := ParseDuration(got.String()); err != nil || again != got {
			t.Errorf("%q is %v, which is read as %v, %v", s, got, again, err)
		}
		if std, err := time.ParseDuration(strings.ReplaceAll(s, "min", "m")); err == nil && (std-got.Std()).Abs() > 20 {
			t.Errorf("%q is %v, but %v for time.ParseDuration", s, got, std)
		}
	})
}
