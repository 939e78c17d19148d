package exec

import (
	"errors"
	"slices"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/behave"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// cached is a service that looks an item up in a cache, asks db on a miss, and fills
// the cache in.
func cached() *Replica {
	look, load, fill := topology.NewCall("cache"), topology.NewCall("db"), topology.NewCall("cache")
	look.Reads, look.OnError = 1, topology.Ignore
	load.Reads, load.IfMissed, load.Coalesce = 1, "cache", true
	fill.Writes, fill.IfMissed = 1, "cache"
	s := topology.NewService("a", topology.Step{Call: &look}, topology.Step{Call: &load}, topology.Step{Call: &fill})
	return NewReplica(behave.New(1, &s), &s, 0)
}

// afterMiss plays the calls of a request; ends has how each ends, in order.
func afterMiss(t *testing.T, ends ...Event) (callees []string, r *Request) {
	t.Helper()
	r, op := request(t, cached(), nil)
	a := Action{Kind: MakeCall, Op: op}
	for a.Kind == MakeCall {
		callees = append(callees, a.Op.Call.To)
		e := Event{Class: outcome.OK}
		if len(ends) > 0 {
			e, ends = ends[0], ends[1:]
		}
		e.Kind, e.Now = Called, 20*ms
		a = r.Next(e)
	}
	return callees, r
}

func TestCallsFollowAMiss(t *testing.T) {
	hit, miss := Event{Class: outcome.OK}, Event{Class: outcome.OK, Missed: true}
	for name, tt := range map[string]struct {
		ends []Event
		want []string
	}{
		"hit":                {[]Event{hit}, []string{"cache"}},
		"miss":               {[]Event{miss}, []string{"cache", "db", "cache"}},
		"failed, ignored":    {[]Event{{Class: outcome.Timeout}}, []string{"cache", "db", "cache"}},
		"missed there, too":  {[]Event{miss, miss}, []string{"cache", "db", "cache"}},
		"another filled in":  {[]Event{miss, {Class: outcome.OK, Shared: true}}, []string{"cache", "db"}},
		"the other's failed": {[]Event{miss, {Class: outcome.Timeout, Shared: true}}, []string{"cache", "db"}},
	} {
		if got, _ := afterMiss(t, tt.ends...); !slices.Equal(got, tt.want) {
			t.Errorf("%s: it calls %v, want %v", name, got, tt.want)
		}
	}
	if _, r := afterMiss(t, miss, Event{Class: outcome.Timeout, Shared: true}); r.Ending().Kind != behave.OpFail {
		t.Errorf("it ends with %+v", r.Ending())
	}
}

// A request's machine is used again: nothing of a miss stays.
func TestMissesAreForgotten(t *testing.T) {
	_, r := afterMiss(t, Event{Class: outcome.OK, Missed: true})
	replica := r.replica
	r.Release()
	r.Begin(replica, Arrival{Endpoint: replica.Plan.Endpoints[0]}, 0)
	r.Identify(&Identity{Request: behave.Request{ID: "s"}, Left: Never}, 0)
	if a := r.Next(Event{Kind: Called, Class: outcome.OK}); a.Kind != End {
		t.Error(say(a))
	}
}

func coalescing(t *testing.T) (*Call, Action) {
	t.Helper()
	r, _ := request(t, cached(), nil)
	a := r.Next(Event{Kind: Called, Class: outcome.OK, Missed: true, Now: 15 * ms})
	c := &Call{}
	return c, c.Begin(r.Root(), a.Op, 15*ms)
}

func TestCoalescedCalls(t *testing.T) {
	t.Run("leads", func(t *testing.T) {
		c, a := coalescing(t)
		if a.Kind != Coalesce || a.Until != r120 {
			t.Fatal(say(a))
		}
		if a = c.Next(Event{Kind: Done, Now: 15 * ms}); a.Kind != Send || !c.Leads() {
			t.Fatal(say(a))
		}
		if a = c.Next(answered(30*ms, 200)); a.Kind != End || c.Called().Shared || c.Sent() != 1 {
			t.Errorf("%s, %+v", say(a), c.Called())
		}
	})
	t.Run("follows", func(t *testing.T) {
		c, _ := coalescing(t)
		a := c.Next(Event{Kind: Told, Class: outcome.Timeout, Err: ErrNotTold, Now: 30 * ms})
		e := c.Called()
		if a.Kind != End || c.Leads() || !e.Shared || e.Class != outcome.Timeout || !errors.Is(e.Err, ErrNotTold) || c.Sent() != 0 || c.Took() != 15*ms {
			t.Errorf("%s, %+v", say(a), e)
		}
	})
	t.Run("the other was broken off", func(t *testing.T) {
		c, _ := coalescing(t)
		if a := c.Next(Event{Kind: Told, Class: outcome.Cancelled, Now: 30 * ms}); a.Kind != Coalesce {
			t.Fatal(say(a))
		}
		if a := c.Next(Event{Kind: Done, Now: 30 * ms}); a.Kind != Send || !c.Leads() {
			t.Error(say(a))
		}
	})
	t.Run("the client leaves", func(t *testing.T) {
		for _, e := range []Event{{Kind: Left}, {Kind: Told, Gone: true}, {Kind: Done, Gone: true}} {
			c, _ := coalescing(t)
			a := c.Next(e)
			if a.Kind != End || c.Called().Class != outcome.Cancelled || c.Leads() != (e.Kind == Done) {
				t.Errorf("%+v: %s, %+v", e, say(a), c.Called())
			}
		}
	})
}

// r120 is when the time of a request is over that began at 10 ms.
const r120 = 120010 * ms

func TestFlights(t *testing.T) {
	var f Flights[string]
	if !f.Enter(1, 7, "a") || f.Enter(1, 7, "b") || f.Enter(1, 7, "c") || !f.Enter(1, 8, "d") || !f.Enter(2, 7, "e") {
		t.Error("who leads is wrong")
	}
	if got := f.End(1, 7); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("%v wait", got)
	}
	if got := f.End(1, 8); len(got) > 0 || !f.Enter(1, 7, "f") {
		t.Errorf("%v wait", got)
	}
}
