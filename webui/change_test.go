package webui

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// aChanger is a system that can be changed, but not to have a service called bad.
type aChanger struct {
	*anInjector
	made []*topology.System
}

func (c *aChanger) Update(_ context.Context, next *topology.System) error {
	if next.Service("bad") != nil {
		return errors.New("bad does not start")
	}
	c.made = append(c.made, next)
	return nil
}

// A running system is made what the text describes: its changes are told, and are in the
// ground truth.
func TestARunningSystemIsChanged(t *testing.T) {
	changer := &aChanger{anInjector: &anInjector{}}
	goOn, kept := make(chan struct{}), make(chan []result.SystemChange, 1)
	sampled := func(o Order, at time.Duration, services ...string) {
		for _, name := range services {
			o.Observe(runner.ServiceSampled{At: at, Sample: measure.Sample{Service: name, Elapsed: time.Second, Counted: time.Second, Requests: 4, Rate: 4, Up: 1, Replicas: 1}})
		}
		o.Observe(runner.ClientSampled{Second: result.ClientSecond{At: at, Seconds: 1}})
	}
	c := serve(t, Config{Worlds: &aWorld{at: changer.anInjector, play: func(ctx context.Context, o Order) (*result.Result, error) {
		o.Deployed(changer)
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		sampled(o, time.Second, "web")
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		sampled(o, 2*time.Second, "web", "cart")
		res := &result.Result{Kind: result.ResultKind}
		o.Complete(res)
		kept <- res.Changes
		return res, nil
	}}})
	if status := c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	await(t, c, func(v *runView) bool { return v.Changeable && v.Frames == 1 })
	change := func(text string) (v runView, status int) {
		status = c.ask("POST", "/api/run/system", map[string]any{"text": text}, &v)
		return v, status
	}
	if _, status := change(emptyText); status != http.StatusConflict {
		t.Errorf("a text that changes nothing is answered %d", status)
	}
	if _, status := change("kind: x"); status != http.StatusUnprocessableEntity {
		t.Errorf("a text with mistakes is answered %d", status)
	}
	more := strings.Replace(emptyText, "    work: {sleep: 5ms}\n", "    work: {sleep: 5ms}\n    replicas: 3\n    calls: [cart]\n  - name: cart\n", 1)
	if _, status := change(strings.Replace(more, "name: cart", "name: bad", 1)); status != http.StatusUnprocessableEntity {
		t.Errorf("an unknown callee is answered %d", status)
	}
	if _, status := change(strings.ReplaceAll(more, "cart", "bad")); status != http.StatusUnprocessableEntity {
		t.Errorf("a system that does not start is answered %d", status)
	}
	v, status := change(more)
	if status != http.StatusOK || len(v.Changes) != 2 || v.Changes[0].Error == "" || v.Changes[1].Error != "" {
		t.Fatalf("a change is answered %d with %+v", status, v.Changes)
	}
	if diff := cmp.Diff([]string{"web: call of cart added, replicas 1 to 3", "cart is added"}, v.Changes[1].What); diff != "" {
		t.Error(diff)
	}
	if len(changer.made) != 1 || changer.made[0].Service("web").Replicas != 3 {
		t.Errorf("made were %+v", changer.made)
	}
	var d struct{ Graph Graph }
	c.ask("GET", "/api/run", nil, &d)
	if len(d.Graph.Nodes) != 3 || d.Graph.Nodes[2].Name != "cart" {
		t.Errorf("the graph is %+v", d.Graph)
	}
	close(goOn)
	if records := <-kept; len(records) != 2 || records[1].DoneAt.Before(records[1].AskedAt) || records[1].Done < records[1].Asked {
		t.Errorf("the ground truth is %+v", records)
	}
	await(t, c, func(v *runView) bool { return v.Ended && v.Frames == 2 })
	if _, status := change(emptyText); status != http.StatusConflict {
		t.Errorf("a change after the end is answered %d", status)
	}
}

// aLateChanger is a system whose new replicas are not ready before it is told so.
type aLateChanger struct {
	*anInjector
	ready chan struct{}
}

func (c *aLateChanger) Update(context.Context, *topology.System) error {
	<-c.ready
	return nil
}

// A change says at once how many replicas were asked for; which of them are there, the
// figures of the services say.
func TestAChangeUnderWayIsTold(t *testing.T) {
	changer := &aLateChanger{&anInjector{}, make(chan struct{})}
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		o.Deployed(changer)
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		<-ctx.Done()
		return nil, ctx.Err()
	}}})
	if status := c.ask("POST", "/api/run", map[string]any{"text": emptyText, "on": OnLocal}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	await(t, c, func(v *runView) bool { return v.Changeable && v.Changing == nil })
	more := strings.Replace(emptyText, "    work: {sleep: 5ms}\n", "    work: {sleep: 5ms}\n    replicas: 3\n    calls: [cart]\n  - name: cart\n", 1)
	answered := make(chan int, 1)
	go func() { answered <- c.ask("POST", "/api/run/system", map[string]any{"text": more}, nil) }()
	v := await(t, c, func(v *runView) bool { return v.Changing != nil })
	if diff := cmp.Diff(map[string]int{"web": 3, "cart": 1}, v.Changing.Replicas); diff != "" || len(v.Changes) != 0 || v.Changing.What[0] != "web: call of cart added, replicas 1 to 3" {
		t.Errorf("under way are %+v, done %+v", v.Changing, v.Changes)
	}
	close(changer.ready)
	if status := <-answered; status != http.StatusOK {
		t.Fatal(status)
	}
	v = await(t, c, func(v *runView) bool { return v.Changing == nil })
	if len(v.Changes) != 1 || v.Changes[0].DoneAt.IsZero() {
		t.Errorf("done are %+v", v.Changes)
	}
}

// A system that loses a service, and gets another, is played back with each second of its
// clients, and with all of its services.
func TestARecordOfASystemThatChanges(t *testing.T) {
	system := heldSystem(t, "- {name: web, calls: [db]}\n- {name: db, kind: postgres}")
	rec := &Record{Result: &result.Result{Kind: result.ResultKind, Target: OnLocal}, System: system}
	for second := 1.0; second <= 9; second++ {
		rec.Clients = append(rec.Clients, ClientRow{At: second, Rate: 10 * second})
		rows := []ServiceRow{{Service: "web", Edges: []EdgeRow{{Callee: "cache", Rate: 1}, {Callee: "example.com", Rate: 1}}}}
		if second < 4 {
			rows = append(rows, ServiceRow{Service: "db"})
		}
		if second > 6 {
			rows = append([]ServiceRow{{Service: "cache", Replicas: 2}}, rows...)
		}
		for i := range rows {
			rows[i].At, rows[i].Seconds = second, 1
		}
		rec.Services = append(rec.Services, rows...)
	}
	c := serve(t, Config{})
	if err := c.Replay("results", rec); err != nil {
		t.Fatal(err)
	}
	r := c.current()
	if diff := cmp.Diff(&aside{Added: []Node{{Name: "cache", Replicas: 2}}, Calls: [][2]string{{"web", "cache"}}}, r.aside); diff != "" {
		t.Error(diff)
	}
	if n := r.graph.Nodes[2]; n.Name != "db" || !n.Store {
		t.Errorf("the file knows db as a store, the graph has %+v", n)
	}
	frames := r.series.frames
	if len(frames) != 9 {
		t.Fatalf("there are %d frames", len(frames))
	}
	for i, f := range frames {
		if second := float32(i + 1); f[0] != second || f[2] != 10*second {
			t.Errorf("in second %v, the clients are %v at %v", second, f[2], f[0])
		}
		if cache := f[headWidth+2*serviceWidth]; (i+1 > 6) != (cache == cache) {
			t.Errorf("in second %d, cache has %v", i+1, cache)
		}
	}
}

// TestARestOfASecondIsNoRate ends a series with a frame of a hundredth of a second.
func TestARestOfASecondIsNoRate(t *testing.T) {
	s := NewSeries(&Graph{Nodes: []Node{{}, {Name: "web"}}}, false)
	for _, row := range []ServiceRow{{At: 1, Seconds: 1, Rate: 30}, {At: 1.3, Seconds: 0.3, Rate: 20}, {At: 1.31, Seconds: 0.01, Rate: 300}} {
		row.Service = "web"
		s.Service(&row)
	}
	s.End()
	if count, _ := s.Count(); count != 2 {
		t.Errorf("there are %d frames, want those of a second and of 300 ms", count)
	}
}

// Frames from before a system grew say nothing of what came later.
func TestASeriesGrows(t *testing.T) {
	one := &Graph{Nodes: []Node{{}, {Name: "web"}}, Edges: []Edge{{0, 1}}}
	s := NewSeries(one, false)
	s.Service(&ServiceRow{At: 1, Service: "web", Rate: 7})
	two := one.with(&Graph{Nodes: []Node{{}, {Name: "cart"}, {Name: "web"}}, Edges: []Edge{{0, 2}, {2, 1}}})
	if diff := cmp.Diff([]Edge{{0, 1}, {1, 2}}, two.Edges); diff != "" || two.Nodes[2].Name != "cart" {
		t.Fatal(two.Nodes, diff)
	}
	s.Grow(two, []string{"web", "cart"})
	s.Service(&ServiceRow{At: 2, Service: "web", Rate: 8, Edges: []EdgeRow{{Callee: "cart", Rate: 5}}})
	s.Service(&ServiceRow{At: 2, Service: "cart", Rate: 5})
	s.End()
	if len(s.frames) != 2 {
		t.Fatalf("there are %d frames", len(s.frames))
	}
	cart, edge := headWidth+serviceWidth, headWidth+2*serviceWidth+edgeWidth
	for i, want := range [][3]float32{{7, float32(math.NaN()), float32(math.NaN())}, {8, 5, 5}} {
		f := s.frames[i]
		got := [3]float32{f[headWidth], f[cart], f[edge]}
		if len(f) != headWidth+2*serviceWidth+2*edgeWidth || !cmp.Equal(got, want, cmp.Comparer(func(a, b float32) bool { return a == b || a != a && b != b })) {
			t.Errorf("frame %d has %v, want %v", i, got, want)
		}
	}
}

// A service that was removed is still told of for a while; seconds stay whole.
func TestASeriesForgetsServices(t *testing.T) {
	g := &Graph{Nodes: []Node{{}, {Name: "web"}, {Name: "cart"}, {Name: "db"}}}
	s := NewSeries(g, false)
	round := func(at float64) {
		for _, name := range []string{"web", "cart", "db"} {
			s.Service(&ServiceRow{At: at, Service: name, Rate: at})
		}
	}
	round(1)
	s.Grow(g, []string{"web", "db"})
	round(2)
	round(3)
	s.Grow(g, []string{"web", "cart", "db"})
	round(4)
	s.End()
	nan := float32(math.NaN())
	for i, want := range [][4]float32{{1, 1, 1, 1}, {2, 2, nan, 2}, {3, 3, nan, 3}, {4, 4, 4, 4}} {
		if i >= len(s.frames) {
			t.Fatalf("there are %d frames", len(s.frames))
		}
		f := s.frames[i]
		got := [4]float32{f[0], f[headWidth], f[headWidth+serviceWidth], f[headWidth+2*serviceWidth]}
		if !cmp.Equal(got, want, cmp.Comparer(func(a, b float32) bool { return a == b || a != a && b != b })) {
			t.Errorf("frame %d has %v, want %v", i, got, want)
		}
	}
	if len(s.frames) != 4 {
		t.Errorf("there are %d frames", len(s.frames))
	}
}
