package faults

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// A fakeInjector notes what it is told, and fails where it is told to.
type fakeInjector struct {
	began    time.Time
	mu       sync.Mutex
	lines    []string
	failAdd  string
	failOnce string // the first clearing of this fault fails
	failEver string // so does every clearing of this one
}

func (f *fakeInjector) note(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lines = append(f.lines, fmt.Sprintf("%v %s", time.Since(f.began), fmt.Sprintf(format, args...)))
}

func (f *fakeInjector) CanInject(*fault.Fault) error { return nil }

func (f *fakeInjector) Inject(_ context.Context, id string, _ fault.Fault, deadline time.Time) error {
	f.note("add %s until %v", id, deadline.Sub(f.began))
	if id == f.failAdd {
		return errors.New("no such service")
	}
	return nil
}

func (f *fakeInjector) Clear(ctx context.Context, id string) error {
	f.note("clear %s", id)
	switch id {
	case f.failOnce:
		f.failOnce = ""
		return errors.New("not now")
	case f.failEver:
		return errors.New("never")
	}
	return ctx.Err()
}

func (f *fakeInjector) Active(context.Context) ([]runner.Injection, error) { return nil, nil }

func windowed(name string, t fault.Type, start, duration time.Duration) fault.Fault {
	return fault.Fault{Name: name, Type: t, Target: fault.Target{Service: "web"}, Start: unit.Duration(start), Duration: unit.Duration(duration)}
}

func TestFaultsComeAndGoInTime(t *testing.T) {
	overlapping := []fault.Fault{
		windowed("long", fault.Error, 10*time.Second, 30*time.Second), windowed("short", fault.Hang, 20*time.Second, 5*time.Second),
		windowed("kill", fault.Kill, 15*time.Second, 0), windowed("last", fault.Abort, time.Minute, time.Second),
	}
	for name, test := range map[string]struct {
		injector *fakeInjector
		faults   []fault.Fault
		limit    time.Duration
		cancel   time.Duration
		want     string // what the injector is told
		events   string
		err      string
	}{
		"the whole file": {
			faults: overlapping,
			want:   "10s add long until 45s, 15s add kill until 5m15s, 20s add short until 30s, 25s clear short, 40s clear long, 1m0s add last until 1m6s, 1m1s clear last",
			events: "added long, added kill, added short, cleared short, cleared long, added last, cleared last",
		},
		"a limit": {
			faults: overlapping, limit: 22 * time.Second,
			want:   "10s add long until 27s, 15s add kill until 5m15s, 20s add short until 27s, 22s clear long, 22s clear short",
			events: "added long, added kill, added short, cleared long, cleared short, never-started last",
		},
		"an interruption": {
			faults: overlapping, cancel: 21 * time.Second,
			want:   "10s add long until 45s, 15s add kill until 5m15s, 20s add short until 30s, 21s clear long, 21s clear short",
			events: "added long, added kill, added short, cleared long, cleared short, never-started last", err: "context canceled",
		},
		"no duration and a limit": {
			faults: []fault.Fault{windowed("open", fault.Error, time.Second, 0)}, limit: 10 * time.Second,
			want: "1s add open until 15s, 10s clear open", events: "added open, cleared open",
		},
		"one cannot be added": {
			injector: &fakeInjector{failAdd: "short"}, faults: overlapping,
			want:   "10s add long until 45s, 15s add kill until 5m15s, 20s add short until 30s, 20s clear long, 20s clear short",
			events: "added long, added kill, failed short, cleared long, never-started last", err: "no such service",
		},
		"one is cleared at the second try": {
			injector: &fakeInjector{failOnce: "short"}, faults: overlapping[:2],
			want:   "10s add long until 45s, 20s add short until 30s, 25s clear short, 40s clear long, 40s clear short",
			events: "added long, added short, failed short, cleared long, cleared short",
		},
		"one cannot be cleared": {
			injector: &fakeInjector{failEver: "long"}, faults: overlapping[:1],
			want:   "10s add long until 45s, 40s clear long, 40s clear long",
			events: "added long, failed long, failed long", err: "left behind fault/long: never; to remove it, run clear long",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plan, err := planFaults(test.faults, test.limit, 1)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancel > 0 {
					time.AfterFunc(test.cancel, cancel)
				}
				var events []string
				in := cmp.Or(test.injector, &fakeInjector{})
				in.began = time.Now()
				p := &performance{plan: plan, injector: in, remedy: func(id string) string { return "clear " + id }, tell: func(e faultEvent) {
					events = append(events, fmt.Sprintf("%v %s %s", time.Since(in.began), e.Event, e.Name))
				}}
				err = p.play(ctx)
				if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
					t.Errorf("play says %v, want %q", err, test.err)
				}
				if got := strings.Join(inOrder(in.lines), ", "); got != test.want {
					t.Errorf("done was\n%s, want\n%s", got, test.want)
				}
				events = inOrder(events)
				for i, e := range events {
					_, events[i], _ = strings.Cut(e, " ")
				}
				if got := strings.Join(events, ", "); got != test.events {
					t.Errorf("told was\n%s, want\n%s", got, test.events)
				}
			})
		})
	}
}

func TestRoundsAndNamesOfWindows(t *testing.T) {
	chaos := fault.Fault{Type: fault.Kill, Rounds: &fault.Rounds{Count: 3, Interval: unit.Duration(time.Second), Victims: []string{"web", fault.Nobody}}}
	ids := map[string]bool{}
	for seed := range uint64(20) {
		plan, err := planFaults([]fault.Fault{chaos}, 0, seed)
		if err != nil {
			t.Fatal(err)
		}
		for i := range plan.Windows {
			w := &plan.Windows[i]
			if !w.Acts() {
				continue
			}
			if w.Fault.Target.Service != "web" || w.Fault.Rounds != nil {
				t.Errorf("a window is %+v", w)
			}
			ids[w.ID] = true
		}
	}
	if want := []string{"kill-web-r1", "kill-web-r2", "kill-web-r3"}; !slices.Equal(slices.Sorted(maps.Keys(ids)), want) {
		t.Errorf("the rounds are called %v, want %v", slices.Sorted(maps.Keys(ids)), want)
	}
	for _, limit := range []time.Duration{0, time.Second} {
		twice := []fault.Fault{windowed("a", fault.Error, 0, time.Second), windowed("a", fault.Hang, 2*time.Second, time.Second)}
		if _, err := planFaults(twice, limit, 1); err == nil || !strings.Contains(err.Error(), `called "a"`) {
			t.Errorf("with two faults of one name and limit %v, got %v", limit, err)
		}
	}
}

// inOrder sorts lines of one time and verb that follow each other, as those of
// one moment come in any order.
func inOrder(lines []string) []string {
	sorted := slices.Clone(lines)
	same := func(a, b string) bool { return slices.Equal(strings.Fields(a)[:2], strings.Fields(b)[:2]) }
	for from := 0; from < len(sorted); {
		to := from + 1
		for to < len(sorted) && same(sorted[from], sorted[to]) {
			to++
		}
		slices.Sort(sorted[from:to])
		from = to
	}
	return sorted
}

// A slowlyPrepared injector needs a while before faults can act.
type slowlyPrepared struct {
	fakeInjector
	takes time.Duration
	err   error
}

func (s *slowlyPrepared) Prepare(_ context.Context, faults []fault.Fault) error {
	for i := range faults {
		s.note("prepare %s", faults[i].Label())
	}
	time.Sleep(s.takes)
	s.began = time.Now() // so that the faults are counted from here
	return s.err
}

func TestFaultsArePreparedBeforeTheirZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan, err := planFaults([]fault.Fault{windowed("first", fault.Error, time.Second, time.Second)}, 0, 1)
		if err != nil {
			t.Fatal(err)
		}
		injector := &slowlyPrepared{fakeInjector: fakeInjector{began: time.Now()}, takes: 3 * time.Second}
		p := &performance{plan: plan, injector: injector, tell: func(faultEvent) {}}
		if err := p.play(t.Context()); err != nil {
			t.Error(err)
		}
		want := "0s prepare first, 1s add first until 7s, 2s clear first"
		if got := strings.Join(injector.lines, ", "); got != want {
			t.Errorf("the injector is told %q, want %q", got, want)
		}

		injector = &slowlyPrepared{fakeInjector: fakeInjector{began: time.Now()}, err: errors.New("no helper starts: quota")}
		p.injector = injector
		if err := p.play(t.Context()); err == nil || err.Error() != "preparing the faults: no helper starts: quota" || len(injector.lines) != 1 {
			t.Errorf("error %v; the injector is told %q", err, injector.lines)
		}
	})
}
