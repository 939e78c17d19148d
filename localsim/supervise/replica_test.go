package supervise

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/runner"
)

func TestBackoffGrowsToItsCapAndForgets(t *testing.T) {
	b := newBackoff()
	var waits []time.Duration
	for range 9 {
		waits = append(waits, b.next(0))
	}
	ms := time.Millisecond
	want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms, 10000 * ms}
	if !slices.Equal(waits, want) {
		t.Errorf("waits are %v, want %v", waits, want)
	}
	if got := b.next(b.healthy - 1); got != b.longest {
		t.Errorf("after a run that was short, the wait is %v", got)
	}
	if got := b.next(b.healthy); got != b.first {
		t.Errorf("after a healthy run, the wait is %v, want %v", got, b.first)
	}
	for range 1000 {
		if got := b.next(0); got <= 0 || got > b.longest {
			t.Fatalf("the wait is %v", got)
		}
	}
}

// A fakeInstance ends when the test says so.
type fakeInstance struct {
	ended chan struct{}
	deaf  bool

	mu     sync.Mutex
	reason error
	orders []string
}

func (f *fakeInstance) Addr() string          { return "127.0.0.1:1" }
func (f *fakeInstance) Control() Target       { return Target{} }
func (f *fakeInstance) PID() int              { return 7 }
func (f *fakeInstance) Done() <-chan struct{} { return f.ended }
func (f *fakeInstance) Pause() error          { return f.note("pause") }
func (f *fakeInstance) Resume() error         { return f.note("resume") }

func (f *fakeInstance) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.reason
}

func (f *fakeInstance) note(order string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.orders = append(f.orders, order)
	return nil
}

func (f *fakeInstance) Terminate() {
	f.note("terminate")
	if !f.deaf {
		f.end(nil)
	}
}

func (f *fakeInstance) Kill() error {
	f.note("kill")
	f.end(errors.New("signal: killed"))
	return nil
}

func (f *fakeInstance) end(reason error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.ended:
	default:
		f.reason = reason
		close(f.ended)
	}
}

// supervised starts a replica whose instances are fakes, each ready after some
// time. begin may refuse a start.
func supervised(t *testing.T, readyAfter time.Duration, begin func(n int) (*fakeInstance, error)) *Replica {
	t.Helper()
	starts := 0
	var r *Replica
	r = New(context.Background(), Config{
		Service: "cart", Index: 1, Grace: 3 * time.Second, Hurry: make(chan struct{}), Notify: func(string, error) {},
		Start: func(context.Context) (Instance, error) {
			starts++
			in, err := begin(starts)
			if err != nil {
				return nil, err
			}
			return in, nil
		},
		Sync: func(ctx context.Context, _ Instance) error {
			select {
			case <-time.After(readyAfter):
				r.BecomeReady()
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	})
	first := make(chan error, 1)
	go r.Run(func(err error) { first <- err })
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	return r
}

func newFake() *fakeInstance { return &fakeInstance{ended: make(chan struct{})} }

func TestAnInstanceThatEndsIsStartedAgainLaterAndLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		current := newFake()
		r := supervised(t, 0, func(n int) (*fakeInstance, error) {
			at = append(at, time.Now())
			current = newFake()
			if n > 1 && n < 5 {
				return nil, errors.New("no luck")
			}
			return current, nil
		})
		began := time.Now()
		current.end(errors.New("exit status 3"))
		time.Sleep(100*time.Millisecond - 1)
		synctest.Wait()
		if s := r.Snapshot(); s.State != runner.Down || s.PID != 0 || s.URL == "" {
			t.Errorf("before the restart the replica is %+v, want it down, with its URL", s)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		var waits []time.Duration
		for i := 1; i < len(at); i++ {
			waits = append(waits, at[i].Sub(at[i-1]))
		}
		ms := time.Millisecond
		if want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms}; !slices.Equal(waits, want) {
			t.Errorf("between the starts are %v, want %v", waits, want)
		}
		want := Outage{Service: "cart", Replica: 1, Cause: "exit status 3", Down: began, Detected: began, Ready: began.Add(1500 * ms), Starts: 4}
		if got := r.Outages(); len(got) != 1 || got[0] != want {
			t.Errorf("outages are %+v, want %+v", got, want)
		}
		if s := r.Snapshot(); s.State != runner.Ready || s.Restarts != 4 {
			t.Errorf("at the end the replica is %+v, want it ready after 4 restarts", s)
		}
		// It was healthy for a minute: the next failure is the first of a row.
		began = time.Now()
		current.end(nil)
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := at[len(at)-1].Sub(began); got != 100*ms {
			t.Errorf("after a healthy run the wait is %v, want 100ms", got)
		}
		r.stop()
		<-r.ended
	})
}

func TestKillIsDetectedAndRecovered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := supervised(t, 50*time.Millisecond, func(int) (*fakeInstance, error) { return newFake(), nil })
		began := time.Now()
		if removed, err := r.Remove(CauseKill); !removed || err != nil {
			t.Fatalf("remove = %v, %v", removed, err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		want := Outage{Service: "cart", Replica: 1, Cause: "kill", Down: began, Detected: began, Ready: began.Add(150 * time.Millisecond), Starts: 1}
		if got := r.Outages(); len(got) != 1 || got[0] != want {
			t.Errorf("outages are %+v, want %+v", got, want)
		}
		r.stop()
		<-r.ended
	})
}

func TestRestartWaitsForTheOldAndNotForTheNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := newFake()
		old.deaf = true
		r := supervised(t, 0, func(n int) (*fakeInstance, error) {
			if n == 1 {
				return old, nil
			}
			return newFake(), nil
		})
		began := time.Now()
		if removed, err := r.Remove(CauseRestart); !removed || err != nil {
			t.Fatalf("remove = %v, %v", removed, err)
		}
		if again, err := r.Remove(CauseKill); again || err != nil {
			t.Errorf("a replica that is going away was removed again: %v, %v", again, err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []string{"terminate", "kill"}; !slices.Equal(old.orders, want) {
			t.Errorf("the old instance got %q, want %q", old.orders, want)
		}
		// The grace of 3 s, and no wait after it.
		got := r.Outages()
		if len(got) != 1 || got[0].Cause != "restart" || got[0].Ready.Sub(began) != 3*time.Second {
			t.Errorf("outages are %+v, want one, ready after 3s", got)
		}
		r.stop()
		<-r.ended
	})
}

func TestStopDuringTheWaitEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := newFake()
		r := supervised(t, 0, func(n int) (*fakeInstance, error) {
			if n > 1 {
				return nil, errors.New("no luck")
			}
			return in, nil
		})
		in.end(nil)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		began := time.Now()
		r.stop()
		<-r.ended
		if took := time.Since(began); took != 0 {
			t.Errorf("the end took %v", took)
		}
	})
}

func TestAnInstanceThatEndsBeforeItIsReadyIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := newFake()
		r := supervised(t, time.Second, func(n int) (*fakeInstance, error) {
			in := newFake()
			switch n {
			case 1:
				return first, nil
			case 2:
				in.end(errors.New("exit status 9"))
			}
			return in, nil
		})
		began := time.Now()
		first.end(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		// 100 ms, the failed start, 200 ms, and the second until it is ready.
		if got := r.Outages(); len(got) != 1 || got[0].Ready.Sub(began) != 1300*time.Millisecond || got[0].Starts != 2 {
			t.Errorf("outages are %+v, want one, ready 1.3s after %v", got, began)
		}
		r.stop()
		<-r.ended
	})
}

// An instance may end by itself while a request to end it is under way. The
// request is then over, and does not end the next instance.
func TestARequestToEndDoesNotOutliveItsInstance(t *testing.T) {
	for range 500 {
		synctest.Test(t, func(t *testing.T) {
			instances := make(chan *fakeInstance, 10)
			r := supervised(t, 0, func(int) (*fakeInstance, error) {
				in := newFake()
				instances <- in
				return in, nil
			})
			(<-instances).end(nil)
			if _, err := r.Remove(CauseRestart); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if n := 1 + len(instances); n != 2 || r.Snapshot().State != runner.Ready {
				t.Errorf("%d instances were started, and the replica is %s; want the second to run", n, r.Snapshot().State)
			}
			r.Stop()
			<-r.Ended()
		})
		if t.Failed() {
			return
		}
	}
}
