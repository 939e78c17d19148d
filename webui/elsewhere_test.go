package webui

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

// held is a running system that others change, too.
type held struct {
	mu     sync.Mutex
	system *topology.System
	asked  int
}

func (h *held) become(system *topology.System) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.system = system
}

// now is a copy, as it comes from another program.
func (h *held) now() *topology.System {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked++
	system := *h.system
	system.Services = append([]topology.Service{}, system.Services...)
	return &system
}

// awaitAsked returns when the page has begun to look again, so often.
func (h *held) awaitAsked(t *testing.T, times int) {
	t.Helper()
	count := func() int {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.asked
	}
	for before, n := count(), 0; count() < before+times; n++ {
		if n > 1200 {
			t.Fatal("nobody asks what the system is")
		}
		time.Sleep(25 * time.Millisecond)
	}
}

func heldSystem(t *testing.T, services string) *topology.System {
	t.Helper()
	system := systemOf(t, services)
	system.Name = "held"
	return system
}

func describedAs(c *client) string {
	var st state
	c.ask("GET", "/api/state", nil, &st)
	return st.Source.Text
}

// A system that is watched is shown as another program has made it.
func TestAWatchedSystemIsShownAsOthersMakeIt(t *testing.T) {
	var mu sync.Mutex
	var adopted []string
	h := &held{system: heldSystem(t, "- {name: web}")}
	c := serve(t, Config{Worlds: &aWorld{at: &anInjector{}, now: h.now, adopted: func(now *topology.System) {
		mu.Lock()
		defer mu.Unlock()
		adopted = append(adopted, fmt.Sprint(now.Service("web").Replicas))
	}}})
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "system", "name": "held"}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	h.awaitAsked(t, 2)
	first := describedAs(c)
	h.become(heldSystem(t, "- {name: web, replicas: 3, calls: [db]}\n- {name: db}"))
	v := await(t, c, func(v *runView) bool { return len(v.Changes) == 1 })
	if diff := cmp.Diff([]string{"web: call of db added, replicas 1 to 3", "db is added"}, v.Changes[0].What); diff != "" || !v.Changes[0].Elsewhere || v.Changes[0].DoneAt.IsZero() {
		t.Errorf("the change is told as %+v", v.Changes[0])
	}
	if text := describedAs(c); text == first || !strings.Contains(text, "replicas: 3") || !strings.Contains(text, "name: db") {
		t.Errorf("the text is\n%s", text)
	}
	var d struct{ Graph Graph }
	if c.ask("GET", "/api/run", nil, &d); len(d.Graph.Nodes) != 3 {
		t.Errorf("the graph is %+v", d.Graph)
	}
	h.awaitAsked(t, 2)
	h.become(heldSystem(t, "- {name: web, replicas: 2}"))
	v = await(t, c, func(v *runView) bool { return len(v.Changes) == 2 })
	if diff := cmp.Diff([]string{"web: call of db removed, replicas 3 to 2", "db is removed"}, v.Changes[1].What); diff != "" {
		t.Error(diff)
	}
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"3", "2"}, adopted); diff != "" {
		t.Errorf("what acts on the system was told of it so: %s", diff)
	}
}

// aSlowChanger changes a system, and is done when the page has looked at it meanwhile.
type aSlowChanger struct {
	t *testing.T
	*held
}

func (c *aSlowChanger) Update(_ context.Context, next *topology.System) error {
	c.become(next)
	c.awaitAsked(c.t, 3)
	return nil
}

// The page takes its own changes for its own, even if it sees one before the change is
// done.
func TestAChangeOfThePageIsItsOwn(t *testing.T) {
	h := &held{system: heldSystem(t, "- {name: web}")}
	c := serve(t, Config{Worlds: &aWorld{at: &anInjector{}, now: h.now, changer: &aSlowChanger{t, h}}})
	if status := c.ask("POST", "/api/open", map[string]string{"kind": "system", "name": "held"}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	text := strings.Replace(describedAs(c), "name: web", "name: web\n    replicas: 4", 1)
	if status := c.ask("POST", "/api/run/system", map[string]string{"text": text}, nil); status != http.StatusOK {
		t.Fatalf("the change is answered %d", status)
	}
	h.awaitAsked(t, 3)
	v := await(t, c, func(v *runView) bool { return len(v.Changes) > 0 })
	if len(v.Changes) != 1 || v.Changes[0].Elsewhere || describedAs(c) != text {
		t.Errorf("the changes are %+v, the text is\n%s", v.Changes, describedAs(c))
	}
}

// The ground truth of a run that the page plays has changes by other programs, and the text
// stays that of the user.
func TestWhatOthersDoToARunIsInTheGroundTruth(t *testing.T) {
	injector := &anInjector{}
	h := &held{}
	goOn, kept := make(chan struct{}), make(chan *result.Result, 1)
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		h.become(&o.Experiment.System)
		o.Deployed(injector)
		o.Described(Description{Now: func(context.Context) (*topology.System, error) { return h.now(), nil }})
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		select {
		case <-goOn:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		res := &result.Result{Kind: result.ResultKind}
		o.Complete(res)
		kept <- res
		return res, nil
	}}})
	const text = emptyText + "faults:\n- {type: latency, target: {service: web}, args: {delay: 5ms}, start: 1s}\n"
	if status := c.ask("POST", "/api/run", map[string]any{"text": text, "on": OnLocal}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	h.awaitAsked(t, 2)
	more := h.now()
	more.Services[0].Replicas = 2
	h.become(more)

	broken := fault.Fault{Type: fault.Error, Target: fault.Target{Service: "web"}, Args: fault.Args{Status: 418}, Probability: 1}
	add := func(id string) {
		if err := injector.Inject(t.Context(), id, broken, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	// The fault of the file may be found before the run tells of it.
	add("latency-1")
	for range 2 {
		add("mine")
		await(t, c, func(v *runView) bool { return acting(v) == "mine" })
		if err := injector.Clear(t.Context(), "mine"); err != nil {
			t.Fatal(err)
		}
		await(t, c, func(v *runView) bool { return acting(v) == "" })
	}
	v := await(t, c, func(v *runView) bool { return len(v.Changes) == 1 })
	if !v.Changes[0].Elsewhere || v.Changes[0].What[0] != "web: replicas 1 to 2" {
		t.Errorf("the change is told as %+v", v.Changes[0])
	}
	close(goOn)
	res := <-kept
	if len(res.Changes) != 1 || res.Changes[0].Text() != "web: replicas 1 to 2, by another program" {
		t.Errorf("the changes of the ground truth are %+v", res.Changes)
	}
	if len(res.Faults) != 2 || res.Faults[0].ID != "mine" || res.Faults[1].ID != "mine" || !res.Faults[1].Applied() || res.Faults[0].ClearedAt.IsZero() || res.Faults[0].Fault.Args.Status != 418 {
		t.Errorf("the faults of the ground truth are %+v", res.Faults)
	}
}

// A run that the page plays is drawn with what others add to it, and tells what they have
// removed, until the page makes it what its text says; the text stays.
func TestWhatOthersMakeOfARunIsDrawnBesideItsText(t *testing.T) {
	h := &held{}
	c := serve(t, Config{Worlds: &aWorld{play: func(ctx context.Context, o Order) (*result.Result, error) {
		h.become(&o.Experiment.System)
		o.Deployed(&aChangeable{anInjector: &anInjector{}, held: h})
		o.Described(Description{Now: func(context.Context) (*topology.System, error) { return h.now(), nil }})
		o.Observe(runner.LoadBegun{At: time.Now(), Length: time.Minute})
		<-ctx.Done()
		return nil, ctx.Err()
	}}})
	const text = "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: held\nservices:\n- {name: web, calls: [db]}\n- {name: db}\n"
	if status := c.ask("POST", "/api/run", map[string]any{"text": text, "on": OnLocal}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	h.awaitAsked(t, 2)
	type detail struct {
		Aside *aside
		Text  string
	}
	for n, step := range []struct {
		services string
		want     *aside
	}{
		{"- {name: web, calls: [db]}\n- {name: db, replicas: 2}", nil},
		{"- {name: web, calls: [db, cache]}\n- {name: db, replicas: 2, calls: [cache]}\n- {name: cache, replicas: 3}", &aside{
			Added: []Node{{Name: "cache", Replicas: 3}}, Calls: [][2]string{{"web", "cache"}, {"db", "cache"}},
		}},
		{"- {name: web, calls: [cache]}\n- {name: cache}", &aside{Added: []Node{{Name: "cache", Replicas: 1}}, Calls: [][2]string{{"web", "cache"}}, Removed: []string{"db"}}},
		{"- {name: db}\n- {name: web}", nil},
		{"- {name: db, calls: [web]}\n- {name: web}", &aside{Calls: [][2]string{{"db", "web"}}}},
	} {
		h.become(heldSystem(t, step.services))
		await(t, c, func(v *runView) bool { return len(v.Changes) == n+1 })
		var d detail
		c.ask("GET", "/api/run", nil, &d)
		if diff := cmp.Diff(step.want, d.Aside); diff != "" || d.Text != "" {
			t.Errorf("beside its text (now %q), the run has\n%s%s", d.Text, step.services, diff)
		}
	}
	var d detail
	if status := c.ask("POST", "/api/run/system", map[string]string{"text": text}, nil); status != http.StatusOK {
		t.Fatal(status)
	}
	if c.ask("GET", "/api/run", nil, &d); d.Aside != nil || d.Text != text {
		t.Errorf("made what the text says, the run has %+v beside %q", d.Aside, d.Text)
	}
}

// aChangeable is a system that the page plays, and that becomes what it is told.
type aChangeable struct {
	*anInjector
	*held
}

func (c *aChangeable) Update(_ context.Context, next *topology.System) error {
	c.become(next)
	return nil
}

// acting names the faults that others have added and that act.
func acting(v *runView) string {
	var names []string
	for i := range v.Faults {
		if f := &v.Faults[i]; f.ByHand && f.From != nil && f.To == nil {
			names = append(names, f.ID)
		}
	}
	return strings.Join(names, " ")
}
