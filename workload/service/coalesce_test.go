package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// A standIn is a driver whose store has nothing. It tells of each operation, and may
// hold it up.
type standIn struct {
	hold     <-chan struct{}
	asked    atomic.Int64
	arrived  chan struct{}
	canceled atomic.Int64
}

func (d *standIn) Do(ctx context.Context, _ string, q *store.Query) (found bool, err error) {
	d.asked.Add(1)
	if d.hold != nil {
		d.arrived <- struct{}{}
		select {
		case <-d.hold:
		case <-ctx.Done():
			d.canceled.Add(1)
			return false, ctx.Err()
		}
	}
	return q.Operation != topology.OpRead, nil
}

func (d *standIn) KeepOnly([]string)  {}
func (d *standIn) Usage() store.Usage { return store.Usage{} }
func (d *standIn) Close() error       { return nil }

// cached starts a service that looks one item up in a cache that has nothing, asks db
// for it, and writes it back. Answers of db are held up.
func cached(t *testing.T, change func(web *topology.Service, load *topology.Call)) (s *Service, url string, db, cache *standIn, release func()) {
	look, load, fill := topology.NewCall("cache"), topology.NewCall("db"), topology.NewCall("cache")
	look.Reads = 1
	load.Reads, load.IfMissed, load.Coalesce = 1, "cache", true
	fill.Writes, fill.IfMissed = 1, "cache"
	web := topology.NewService("a", topology.Step{Call: &look}, topology.Step{Call: &load}, topology.Step{Call: &fill})
	one := topology.NewService("cache")
	one.Kind, one.Store = topology.Redis, &topology.Store{Items: 1}
	other := one
	other.Name = "db"
	if change != nil {
		change(&web, &load)
	}
	hold := make(chan struct{})
	cache, db = &standIn{}, &standIn{hold: hold, arrived: make(chan struct{}, 100)}
	s, url = start(t, Config{
		Service: web, Stores: []topology.Service{one, other}, Peers: map[string][]string{"cache": {"http://127.0.0.1:1"}, "db": {"http://127.0.0.1:2"}},
		NewDriver: func(_ string, t *topology.Service) (store.Driver, error) {
			switch t.Name {
			case "cache":
				return cache, nil
			case "db":
				return db, nil
			}
			return nil, errors.New("no such store")
		},
	})
	return s, url, db, cache, sync.OnceFunc(func() { close(hold) })
}

// ask sends requests until so many wait for the call of another, and returns what
// counts the statuses of their answers when all are there.
func ask(t *testing.T, s *Service, url string, n, waiting int) (statuses func() map[int]int) {
	t.Helper()
	var wait sync.WaitGroup
	var mu sync.Mutex
	counts := map[int]int{}
	for range n {
		wait.Go(func() {
			r := get(t, url)
			mu.Lock()
			defer mu.Unlock()
			counts[r.status]++
		})
	}
	for wait := true; wait; time.Sleep(time.Millisecond) {
		flights := &s.served.Load().flights
		flights.mu.Lock()
		wait = flights.list.Waiting() < waiting
		flights.mu.Unlock()
	}
	return func() map[int]int {
		wait.Wait()
		return counts
	}
}

func TestMissesOfOneItemShareACall(t *testing.T) {
	s, url, db, cache, release := cached(t, nil)
	defer release()
	statuses := ask(t, s, url, 20, 19)
	release()
	if got := statuses(); got[http.StatusOK] != 20 {
		t.Errorf("answers %v", got)
	}
	// Only who made the call fills the cache in.
	if db.asked.Load() != 1 || cache.asked.Load() != 21 {
		t.Errorf("db was asked %d times, the cache %d times", db.asked.Load(), cache.asked.Load())
	}
	of := func(what string) string {
		return metric(t, s, fmt.Sprintf(`microsim_%s_total{callee="db",outcome="ok",service="a"}`, what))
	}
	if calls, attempts := of("calls"), of("call_attempts"); calls != "20" || attempts != "1" {
		t.Errorf("%s calls and %s attempts are counted", calls, attempts)
	}
}

func TestSharedCallsEndInTime(t *testing.T) {
	s, url, _, _, release := cached(t, func(_ *topology.Service, load *topology.Call) { load.Timeout = 500 * millisecond })
	defer release()
	if got := ask(t, s, url, 5, 0)(); got[http.StatusGatewayTimeout] != 5 {
		t.Errorf("answers %v", got)
	}
}

// One whose client leaves breaks its call off. Those who wait for it do not fail: one
// of them makes it.
func TestSharedCallsOutliveTheirClient(t *testing.T) {
	s, url, db, _, release := cached(t, func(web *topology.Service, _ *topology.Call) { web.OnCancel = topology.Stop })
	defer release()
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err == nil {
			var r *http.Response
			if r, err = http.DefaultClient.Do(request); err == nil {
				r.Body.Close()
			}
		}
		left <- err
	}()
	<-db.arrived
	statuses := ask(t, s, url, 4, 4)
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-db.arrived
	release()
	if got := statuses(); got[http.StatusOK] != 4 || db.canceled.Load() != 1 {
		t.Errorf("answers %v, %d broken off", got, db.canceled.Load())
	}
}
