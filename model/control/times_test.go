package control

import (
	"testing"
	"time"
)

func TestTimesRoundTrip(t *testing.T) {
	ms := func(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }
	text := FormatTimes(ms(2400.5), []string{FormatTimes(ms(800.2), []string{FormatTimes(ms(200.1), nil)}), "", FormatTimes(ms(1000.3), nil)})
	if want := "2400.5(800.2(200.1),,1000.3)"; text != want {
		t.Fatalf("got %q, want %q", text, want)
	}
	times := ParseTimes(text)
	if times == nil || times.Took != ms(2400.5) || times.Child(0).Child(0).Took != ms(200.1) || times.Child(1) != nil || times.Child(2).Took != ms(1000.3) || times.Child(3) != nil {
		t.Errorf("%q is read as %+v", text, times)
	}
}

func FuzzParseTimes(f *testing.F) {
	for _, s := range []string{"", "1", "1(2,3)", "1(,)", "1(2", "((((", "1)", "x(1)", "1e400"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if times := ParseTimes(s); times != nil && times.Took < 0 {
			t.Errorf("%q has a negative time", s)
		}
	})
}
