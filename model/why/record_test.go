package why

import (
	"strings"
	"testing"
	"time"
)

// A record of days keeps its sums, and stays within its bound.
func TestRecordIsBounded(t *testing.T) {
	r := Record{Step: time.Second, Services: make([]Service, 1000)}
	for i := range r.Services {
		r.Services[i].Calls = make([]Calls, 5)
	}
	const seconds = 5000
	for i := 1; i <= seconds; i++ {
		at := r.At(time.Duration(i) * time.Second)
		r.Clients[at].Ended++
		r.Services[7].Stretches[at].Requests += 2
		r.Services[7].Calls[3].Stretches[at].Attempts += 3
	}
	rows := 0
	for i := range r.Services {
		rows += len(r.Services[i].Stretches)
		for c := range r.Services[i].Calls {
			rows += len(r.Services[i].Calls[c].Stretches)
		}
	}
	if rows > maxRows || r.Step < 100*time.Second {
		t.Errorf("%d rows of %s, want at most %d", rows, r.Step, maxRows)
	}
	var ended, requests, attempts int64
	for i := range r.Clients {
		ended += r.Clients[i].Ended
		requests += r.Services[7].Stretches[i].Requests
		attempts += r.Services[7].Calls[3].Stretches[i].Attempts
	}
	if ended != seconds || requests != 2*seconds || attempts != 3*seconds {
		t.Errorf("%d, %d and %d were kept of %d, %d and %d", ended, requests, attempts, seconds, 2*seconds, 3*seconds)
	}
}

func TestStretchesEndWithTheirSeconds(t *testing.T) {
	r := Record{Step: time.Second}
	for at, want := range map[time.Duration]int{0: 0, 1: 0, time.Second: 0, time.Second + 1: 1, 3 * time.Second: 2} {
		if got := r.At(at); got != want {
			t.Errorf("what ends at %s is in stretch %d, want %d", at, got, want)
		}
	}
}

// An explanation says only what the record shows.
func TestAnEmptyRecordShowsNothing(t *testing.T) {
	if x := Explain(&Record{Step: time.Second}); x.Trouble || x.Lines[0].Text != "nothing was asked of the system" {
		t.Errorf("it says %+v", x)
	}
	r := Record{Step: time.Second, Services: []Service{{Name: "web", Entry: true}}}
	i := r.At(time.Second)
	r.Clients[i] = Clients{Ended: 10, Failed: 10, P50: time.Millisecond}
	if x := Explain(&r); !x.Trouble || len(x.Lines) != 2 || !strings.Contains(x.Lines[1].Text, "no cause") {
		t.Errorf("it says %+v", x)
	}
}
