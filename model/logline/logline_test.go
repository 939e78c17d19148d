package logline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/span"
)

const request = `{"time":"2026-11-27T13:24:22.99Z","level":"DEBUG","msg":"request","system":"shop","service":"cart","replica":2,"request":"a b","trace":"2d077ec30000000000000000000000ff","status":503,"duration":0.000097,"more":{"x":[1]}}`

func TestParse(t *testing.T) {
	l, ok := Parse([]byte(request + "\n"))
	if !ok {
		t.Fatal("it is no line")
	}
	at := time.Date(2026, 11, 27, 13, 24, 22, 990e6, time.UTC)
	if !l.Time.Equal(at) || l.Level != slog.LevelDebug || l.Service != "cart" || l.Replica != 2 || l.Trace.String() != "2d077ec30000000000000000000000ff" || string(l.Text) != request {
		t.Errorf("the line is %+v", l)
	}
	for _, words := range []string{
		"", " * Running on http://127.0.0.1:5000", "[1]", "{}", `{"level":30,"time":1764249862}`, `{"time":"2026-11-27T13:24:22Z","level":"LOUD"}`,
		`{"time":"2026-11-27T13:24:22Z","level":"INFO","trace":"12"}`, `{"time":"2026-11-27T13:24:22Z"`, `{"time":"2026-11-27T13:24:22Z","msg":"` + strings.Repeat("x", MaxText) + `"}`,
	} {
		if l, ok := Parse([]byte(words)); ok {
			t.Errorf("%.80q is read as %+v", words, l)
		}
	}
}

// The fast way to read a line gives what the slow one gives.
func TestScan(t *testing.T) {
	for _, text := range []string{
		strings.Replace(request, `,"more":{"x":[1]}`, "", 1),
		`{"time":"2026-11-27T13:24:22+01:00","level":"INFO+2","msg":"a \",\"service\":\"no","service":"cart","replica":12}`,
		`{"time":"2026-11-27T13:24:22Z","level":"WARN"}`,
		`{"time":"2026-11-27T13:24:22Z","level":"WARN","replica":3}`,
	} {
		var want head
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		got, ok := scan([]byte(text))
		if !ok || !got.Time.Equal(want.Time) || got.Level != want.Level || got.Service != want.Service || got.Replica != want.Replica || got.Trace != want.Trace {
			t.Errorf("%s is read as %+v, not %+v", text, got, want)
		}
	}
}

func TestWriteText(t *testing.T) {
	l, _ := Parse([]byte(request))
	var text strings.Builder
	if err := l.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	const want = `time=2026-11-27T13:24:22.990Z level=DEBUG msg=request system=shop service=cart replica=2 request="a b" trace=2d077ec30000000000000000000000ff status=503 duration=9.7e-05 more="{\"x\":[1]}"` + "\n"
	if text.String() != want {
		t.Errorf("the line is\n%s, not\n%s", text.String(), want)
	}
}

func TestWrap(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	wrapped := Wrap(at, "shop", "cart", 1, `it "broke"`)
	l, ok := Parse(wrapped.Text)
	if !ok || !l.Time.Equal(at) || l.Service != "cart" || l.Replica != 1 || !bytes.Contains(l.Text, []byte(`"msg":"it \"broke\""`)) {
		t.Errorf("the line is %s", wrapped.Text)
	}
}

// FuzzParse: what is read can be written in both forms.
func FuzzParse(f *testing.F) {
	f.Add([]byte(request))
	f.Add([]byte(`{"time":"2026-11-27T13:24:22Z","level":"INFO","a":null,"a":[{}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		l, ok := Parse(text)
		if !ok {
			return
		}
		if !json.Valid(l.Text) {
			t.Fatalf("%q is kept, which is no JSON", l.Text)
		}
		if err := l.WriteText(&bytes.Buffer{}); err != nil {
			t.Fatalf("%q cannot be written as text: %v", l.Text, err)
		}
	})
}

func lineOf(i int, trace bool) Line {
	l := Line{Time: time.Unix(int64(1000-i%10), int64(i)), Text: []byte(fmt.Sprintf(`{"i":%d}`, i))}
	if trace {
		l.Trace = span.NewTraces(1).Of(fmt.Sprint(i / 3)) // three lines a request
	}
	return l
}

// A store that is full keeps the lines of whole requests from all of the run, and
// says which share.
func TestStoreKeepsAShareOfTheRequests(t *testing.T) {
	s := NewStore()
	s.most = 1000
	const all = 30_000
	for i := range all {
		s.Add(lineOf(i, true))
	}
	s.Add(lineOf(0, false))
	sum := s.Summary()
	if sum.Lines > 1000 || sum.Lines < 400 || int64(sum.Lines)+sum.Dropped != all+1 {
		t.Errorf("of %d lines: %+v", all+1, sum)
	}
	if want := sum.Share * all; float64(sum.Lines) < 0.8*want || float64(sum.Lines) > 1.2*want {
		t.Errorf("%d lines are not a share of %v", sum.Lines, sum.Share)
	}
	of, plain := map[span.TraceID]int{}, 0
	last := time.Time{}
	for _, l := range s.Lines() {
		if l.Time.Before(last) {
			t.Fatal("the lines are not in the order of their times")
		}
		last = l.Time
		if l.Trace.IsZero() {
			plain++
			continue
		}
		of[l.Trace]++
	}
	if plain != 1 {
		t.Errorf("the line that is about no request is there %d times", plain)
	}
	for id, n := range of {
		if n != 3 {
			t.Errorf("of request %s there are %d lines of 3", id, n)
		}
	}
}

// Lines about no request are kept until there is no room.
func TestStoreIsBounded(t *testing.T) {
	s := NewStore()
	s.most = 10
	for i := range 25 {
		if kept := s.Add(lineOf(i, false)); kept != (i < 10) {
			t.Errorf("line %d: kept is %v", i, kept)
		}
	}
	if sum := s.Summary(); sum.Lines != 10 || sum.Dropped != 15 {
		t.Errorf("the store has %+v", sum)
	}
}
