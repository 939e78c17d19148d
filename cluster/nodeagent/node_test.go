package nodeagent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/impair"
)

// fakeWorld keeps what acts on each pod.
type fakeWorld struct {
	mu     sync.Mutex
	acts   map[string][]string // by pod: owner/fault
	sets   map[string]int
	stuck  bool // nothing can be taken back
	failOn string
	refuse string // the fault that the pod's identity forbids
	slow   time.Duration
}

func newFakeWorld() *fakeWorld {
	return &fakeWorld{acts: map[string][]string{}, sets: map[string]int{}}
}

func (w *fakeWorld) actuators(uid string) []actuator { return []actuator{&fakeCraft{w, uid}} }

func (w *fakeWorld) admit(d *desiredFault) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if d.fault.ID == w.refuse {
		return errors.New("it is another's pod")
	}
	return nil
}

func (w *fakeWorld) on(uid string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.acts[uid], " ")
}

// times returns how often a pod was looked after.
func (w *fakeWorld) times(uid string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sets[uid]
}

func (w *fakeWorld) setStuck(stuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stuck = stuck
}

type fakeCraft struct {
	*fakeWorld
	uid string
}

func (c *fakeCraft) takes(fault.Type) bool { return true }

func (c *fakeCraft) set(_ context.Context, want []desiredFault) ([]result, error) {
	time.Sleep(c.slow)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sets[c.uid]++
	var next []string
	results := make([]result, len(want))
	for n, w := range want {
		label := w.owner + "/" + w.fault.ID
		if w.fault.ID == c.failOn {
			results[n].err = errors.New("out of order")
			continue
		}
		results[n].by = "fake"
		next = append(next, label)
	}
	if c.stuck && len(next) < len(c.acts[c.uid]) {
		return results, errors.New("it is stuck")
	}
	c.acts[c.uid] = next
	return results, nil
}

func (c *fakeCraft) Close(ctx context.Context) error {
	_, err := c.set(ctx, nil)
	return err
}

// testNode is a node on a fake world.
type testNode struct {
	*Node
	world  *fakeWorld
	dir    string
	cancel context.CancelFunc
	ended  chan error
}

func startNode(t *testing.T, world *fakeWorld, dir string, linger time.Duration, found ...string) *testNode {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	n := &testNode{
		Node: newNode(ctx, world.actuators, world.admit, func() ([]string, error) { return found, nil }, slog.New(slog.DiscardHandler)), world: world,
		dir: dir, cancel: cancel, ended: make(chan error, 1),
	}
	go func() { n.ended <- n.Run(ctx, dir, linger) }()
	return n
}

func (n *testNode) end(t *testing.T) {
	t.Helper()
	n.cancel()
	// Faults that are still desired at the end are left to the next helper.
	if err := <-n.ended; err != nil && err.Error() != ErrWanted.Error() {
		t.Errorf("the node ended with %v", err)
	}
}

// http sends a request that knows the token.
func (n *testNode) http(t *testing.T, method, path string, body any) (int, string) {
	t.Helper()
	data, isText := body.(string)
	if !isText && body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		data = string(text)
	}
	req := httptest.NewRequest(method, path, strings.NewReader(data))
	req.Header.Set(control.TokenHeader, "secret")
	w := httptest.NewRecorder()
	n.Handler("secret").ServeHTTP(w, req)
	return w.Code, w.Body.String()
}

func someFault(id string, deadline time.Time) order.Fault {
	return order.Fault{ID: id, Deadline: deadline, Fault: fault.Fault{
		Type: fault.NetDelay, Target: fault.Target{Service: "db"}, Probability: 1, Args: fault.Args{Delay: dist.Fixed(time.Second)},
	}}
}

// someOrder has one fault a pod, of the pod's name.
func someOrder(owner string, version int64, pods ...string) order.Order {
	o := order.Order{Owner: owner, Version: version}
	for _, uid := range pods {
		o.Pods = append(o.Pods, order.Pod{UID: uid, Name: uid, Faults: []order.Fault{someFault("f", time.Time{})}})
	}
	return o
}

func writeOrder(t *testing.T, dir string, o order.Order) {
	t.Helper()
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, order.FileName(o.Owner)), data)
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestNodePutsAndDeletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newFakeWorld(), "", 0)
		for _, step := range []struct {
			method, path string
			body         any
			code         int
			says         string
			on1, on2     string
		}{
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 2, "1", "2"), 200, `"acts":true`, "a/b/f", "a/b/f"},
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 2, "1", "2"), 200, `"acts":true`, "a/b/f", "a/b/f"},
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 1, "1"), 409, "later version is known", "a/b/f", "a/b/f"},
			{"PUT", "/orders/c", someOrder("c", 7, "1"), 200, `"owner":"c"`, "a/b/f c/f", "a/b/f"},
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 3, "2"), 200, `"version":3`, "c/f", "a/b/f"},
			{"DELETE", "/orders/a%2Fb?version=2", nil, 409, "later version", "c/f", "a/b/f"},
			{"DELETE", "/orders/a%2Fb?version=x", nil, 400, "not a version number", "c/f", "a/b/f"},
			{"DELETE", "/orders/a%2Fb?version=5", nil, 200, "[]", "c/f", ""},
			{"DELETE", "/orders/a%2Fb?version=5", nil, 200, "[]", "c/f", ""},
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 5, "2"), 409, "later version", "c/f", ""},
			{"PUT", "/orders/a%2Fb", someOrder("a/b", 6, "2"), 200, `"acts":true`, "c/f", "a/b/f"},
			{"PUT", "/orders/c", order.Order{Owner: "c", Version: 8}, 200, "[]", "", "a/b/f"},
			{"DELETE", "/orders/a%2Fb", nil, 200, "[]", "", ""},
			{"DELETE", "/orders/nobody?version=4", nil, 200, "[]", "", ""},
			{"PUT", "/orders/nobody", someOrder("nobody", 4, "1"), 409, "later version", "", ""},
			{"PUT", "/orders/d", someOrder("c", 9, "1"), 400, `in the place of`, "", ""},
			{"PUT", "/orders/c", "{", 400, "reading an order", "", ""},
			{"PUT", "/orders/c", `{"owner":"c","age":1}`, 400, "age", "", ""},
			{"PUT", "/orders/c", `{"owner":"c"}{}`, 400, "one order", "", ""},
			{"PUT", "/orders/c", `{"owner":"c","version":-1}`, 400, "negative", "", ""},
			{"GET", "/orders/c", nil, 405, "", "", ""},
			{"GET", "/", nil, 404, "", "", ""},
		} {
			code, text := n.http(t, step.method, step.path, step.body)
			if code != step.code || !strings.Contains(text, step.says) {
				t.Errorf("%s %s %v: %d %s; want %d and %q", step.method, step.path, step.body, code, text, step.code, step.says)
			}
			if a, b := n.world.on("1"), n.world.on("2"); a != step.on1 || b != step.on2 {
				t.Errorf("after %s %s: %q, %q act; want %q, %q", step.method, step.path, a, b, step.on1, step.on2)
			}
		}
		n.end(t)
	})
}

func TestNodeWantsTheToken(t *testing.T) {
	n := newNode(t.Context(), newFakeWorld().actuators, newFakeWorld().admit, func() ([]string, error) { return nil, nil }, slog.New(slog.DiscardHandler))
	for _, tt := range []struct {
		path, token string
		want        int
	}{{"/status", "", 403}, {"/status", "secre", 403}, {"/status", "secret", 200}, {"/orders/x", "", 403}, {"/healthz", "", 200}, {"/nowhere", "", 403}} {
		req := httptest.NewRequest(http.MethodGet, tt.path, nil)
		req.Header.Set(control.TokenHeader, tt.token)
		w := httptest.NewRecorder()
		n.Handler("secret").ServeHTTP(w, req)
		if w.Code != tt.want {
			t.Errorf("%s with %q is answered %d, want %d", tt.path, tt.token, w.Code, tt.want)
		}
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

func TestNodeEndsFaultsAtTheirDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newFakeWorld(), "", 0)
		begun := time.Now()
		o := order.Order{Owner: "o", Version: 1, Pods: []order.Pod{{UID: "1", Faults: []order.Fault{
			someFault("late", begun.Add(90*time.Second)), someFault("early", begun.Add(1500*time.Millisecond)), someFault("past", begun),
		}}}}
		if code, text := n.http(t, "PUT", "/orders/o", o); code != 200 {
			t.Fatal(text)
		}
		for _, at := range []struct {
			after time.Duration
			want  string
		}{{0, "o/late o/early"}, {1499 * time.Millisecond, "o/late o/early"}, {1500 * time.Millisecond, "o/late"}, {89 * time.Second, "o/late"}, {90 * time.Second, ""}} {
			time.Sleep(at.after - time.Since(begun))
			synctest.Wait()
			if got := n.world.on("1"); got != at.want {
				t.Errorf("after %v %q act, want %q", at.after, got, at.want)
			}
		}
		_, text := n.http(t, "GET", "/status", nil)
		if strings.Contains(text, `"acts":true`) || strings.Count(text, `"faultId"`) != 3 || strings.Contains(text, "error") {
			t.Errorf("the status is %s", text)
		}
		n.end(t)
	})
}

func TestNodeTellsOfEachFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newFakeWorld()
		world.failOn = "bad"
		n := startNode(t, world, "", 0)
		o := someOrder("o", 1, "1", "2")
		o.Pods[0].Faults = append(o.Pods[0].Faults, someFault("bad", time.Time{}))
		code, text := n.http(t, "PUT", "/orders/o", o)
		var statuses []order.Status
		if err := json.Unmarshal([]byte(text), &statuses); err != nil || code != 200 || len(statuses) != 3 {
			t.Fatalf("%d %s %v", code, text, err)
		}
		if bad := statuses[0]; bad.Acts || bad.Error != "out of order" || bad.FaultID != "bad" {
			t.Errorf("%+v", bad)
		}
		for _, good := range statuses[1:] {
			if !good.Acts || good.By != "fake" || !good.Since.Equal(time.Now()) || good.Error != "" {
				t.Errorf("%+v", good)
			}
		}
		// It is tried again, ever more seldom, and goes on to act since then.
		since := time.Now()
		time.Sleep(time.Minute)
		if sets := world.times("1"); sets < 5 || sets > 12 {
			t.Errorf("it was tried %d times in a minute", sets)
		}
		if s := n.statuses("o")[1]; !s.Since.Equal(since) {
			t.Errorf("it acts since %v, want %v", s.Since, since)
		}
		n.end(t)
	})
}

func TestNodeTriesToTakeBackAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newFakeWorld(), "", 10*time.Second)
		n.http(t, "PUT", "/orders/o", someOrder("o", 1, "1"))
		n.world.setStuck(true)
		if code, text := n.http(t, "DELETE", "/orders/o?version=1", nil); code != 500 || !strings.Contains(text, "it is stuck") {
			t.Errorf("%d %s", code, text)
		}
		time.Sleep(time.Minute) // longer than the linger
		if _, text := n.http(t, "GET", "/status", nil); !strings.Contains(text, `"acts":true`) || !strings.Contains(text, "it is stuck") {
			t.Errorf("the status is %s", text)
		}
		n.world.setStuck(false)
		time.Sleep(retryMost)
		synctest.Wait()
		if _, text := n.http(t, "GET", "/status", nil); text != "[]\n" || n.world.on("1") != "" {
			t.Errorf("the status is %s, and %q act", text, n.world.on("1"))
		}
		if err := <-n.ended; err != nil {
			t.Error(err)
		}
	})
}

func TestNodeSaysWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newFakeWorld(), "", 0)
		n.http(t, "PUT", "/orders/o", someOrder("o", 1, "1"))
		n.world.setStuck(true)
		n.cancel()
		if err := <-n.ended; !errors.Is(err, impair.ErrCleanup) || !strings.Contains(err.Error(), "stuck") {
			t.Errorf("it ends with %v", err)
		}
	})
}

func TestNodeThatIsWantedDoesNotEndWell(t *testing.T) {
	for _, tt := range []struct {
		order order.Order
		want  error
	}{{someOrder("o", 1, "1"), ErrWanted}, {someOrder("o", 1), nil}} {
		synctest.Test(t, func(t *testing.T) {
			n := startNode(t, newFakeWorld(), "", 0)
			n.http(t, "PUT", "/orders/o", tt.order)
			n.cancel()
			if err := <-n.ended; !errors.Is(err, tt.want) {
				t.Errorf("with %d pods in its order it ends with %v, want %v", len(tt.order.Pods), err, tt.want)
			}
		})
	}
}

func TestNodeTakesEverythingBackInTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newFakeWorld(), "", 0)
		n.http(t, "PUT", "/orders/o", someOrder("o", 1, "1", "2"))
		n.end(t)
		if n.world.on("1") != "" || n.world.on("2") != "" {
			t.Error("faults act after the end")
		}
		if code, text := n.http(t, "PUT", "/orders/o", someOrder("o", 2, "1")); code != 503 || n.world.on("1") != "" {
			t.Errorf("an order after the end is answered %d %s", code, text)
		}
	})
}

func TestNodeLingers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		n := startNode(t, newFakeWorld(), "", time.Minute)
		time.Sleep(30 * time.Second)
		o := someOrder("o", 1, "1")
		o.Pods[0].Faults[0].Deadline = time.Now().Add(time.Hour)
		n.http(t, "PUT", "/orders/o", o)
		if err := <-n.ended; err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < time.Hour+90*time.Second-2*readEvery || took > time.Hour+90*time.Second+2*readEvery {
			t.Errorf("it ended after %v", took)
		}
	})
}

func TestNodeGoesOnAfterARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, world := t.TempDir(), newFakeWorld()
		// A helper that was killed has left these.
		world.acts["1"], world.acts["2"], world.acts["3"], world.acts["4"] = []string{"o/f"}, []string{"o/f"}, []string{"x/f"}, nil
		o := someOrder("o", 3, "1", "2")
		o.Pods[1].Faults[0].Deadline = time.Now().Add(-time.Second)
		writeOrder(t, dir, o)
		n := startNode(t, world, dir, 0, "3", "4")
		synctest.Wait()
		if world.on("1") != "o/f" || world.on("2") != "" || world.on("3") != "" {
			t.Errorf("%q, %q and %q act", world.on("1"), world.on("2"), world.on("3"))
		}
		if world.times("4") == 0 {
			t.Error("a pod that no order names was not looked at")
		}
		n.end(t)
	})
}

func TestNodeReadsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := startNode(t, newFakeWorld(), dir, 0)
		path := filepath.Join(dir, "o.json")
		remove := func() {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
		}
		put := func(version int64) {
			if code, text := n.http(t, "PUT", "/orders/o", someOrder("o", version, "1")); code != 200 {
				t.Fatal(text)
			}
		}
		for _, step := range []struct {
			what string
			do   func()
			Wait time.Duration
			want string
		}{
			{"a file appears", func() { writeOrder(t, dir, someOrder("o", 1, "1")) }, readEvery, "o/f"},
			{"it is half-written", func() { writeFile(t, path, []byte(`{"owner":"o","ver`)) }, readEvery, "o/f"},
			{"it is gone", remove, readEvery, ""},
			{"it is back", func() { writeOrder(t, dir, someOrder("o", 1, "1")) }, readEvery, "o/f"},
			{"a later order comes by HTTP", func() { put(3) }, 0, "o/f"},
			{"the file is late", func() { writeOrder(t, dir, order.Order{Owner: "o", Version: 2}) }, readEvery, "o/f"},
			{"the late file is gone", remove, fileGrace - 2*readEvery, "o/f"},
			{"and stays gone", func() {}, 2 * readEvery, ""},
			{"the file of what came by HTTP appears", func() { writeOrder(t, dir, someOrder("o", 3, "1")) }, readEvery, "o/f"},
			{"it is gone, as all that was known is in it", remove, readEvery, ""},
			{"a later one", func() { writeOrder(t, dir, someOrder("o", 5, "1")) }, readEvery, "o/f"},
			{"it is taken back by name", func() { n.http(t, "DELETE", "/orders/o?version=6", nil) }, 0, ""},
			{"a late file does not bring it back", func() { writeOrder(t, dir, someOrder("o", 6, "1")) }, readEvery, ""},
			{"a later one does", func() { writeOrder(t, dir, someOrder("o", 7, "1")) }, readEvery, "o/f"},
		} {
			step.do()
			time.Sleep(step.Wait)
			synctest.Wait()
			if got := n.world.on("1"); got != step.want {
				t.Errorf("%s: %q act, want %q", step.what, got, step.want)
			}
		}
		n.end(t)
	})
}

func TestNodeTellsOfBadFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := startNode(t, newFakeWorld(), dir, 0)
		writeOrder(t, dir, someOrder("good", 1, "1"))
		writeFile(t, filepath.Join(dir, "half.json"), []byte(`{"owner":"half"`))
		writeFile(t, filepath.Join(dir, "wrong.json"), []byte(`{"owner":"other","version":1}`))
		writeFile(t, filepath.Join(dir, "huge.json"), bytes.Repeat([]byte{' '}, maxNodeOrder+1))
		writeFile(t, filepath.Join(dir, "notes.txt"), []byte("no order"))
		if err := os.Mkdir(filepath.Join(dir, "..data.json"), 0o755); err != nil {
			t.Fatal(err)
		}
		time.Sleep(readEvery)
		synctest.Wait()
		var got []string
		for _, s := range n.statuses("") {
			got = append(got, fmt.Sprintf("%s: %s", s.Owner, s.Error))
		}
		for i, want := range []string{"good: ", `half: order file "half.json": reading an order`, `huge: order file "huge.json"`, `wrong: order file "wrong.json": it holds the order of "other"`} {
			if len(got) != 4 || !strings.HasPrefix(got[i], want) {
				t.Fatalf("the statuses are %q; want %q", got, want)
			}
		}
		// A directory that cannot be read changes nothing either.
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(readEvery)
		synctest.Wait()
		if s := n.statuses(""); n.world.on("1") != "good/f" || !strings.Contains(s[0].Error, "listing orders") {
			t.Errorf("%q act, and the status is %+v", n.world.on("1"), s)
		}
		n.end(t)
	})
}

func TestOrdersBeforeWorkIsDoneAreNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newFakeWorld()
		world.slow = 700 * time.Millisecond
		n := startNode(t, world, "", 0)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				owner := fmt.Sprintf("o%02d", i)
				if code, text := n.http(t, "PUT", "/orders/"+owner, someOrder(owner, 1, "1")); code != 200 || !strings.Contains(text, `"acts":true`) {
					t.Errorf("%s: %d %s", owner, code, text)
				}
				if i%2 == 0 {
					if code, text := n.http(t, "DELETE", "/orders/"+owner, nil); code != 200 || strings.Contains(world.on("1"), owner) {
						t.Errorf("%s: %d %s", owner, code, text)
					}
				}
			})
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
		if got := strings.Fields(world.on("1")); len(got) != 10 {
			t.Errorf("%q act", got)
		}
		n.end(t)
	})
}

func TestAnOrderComesWhileThePodIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newFakeWorld()
		world.slow = 700 * time.Millisecond
		n := startNode(t, world, "", 0)
		n.http(t, "PUT", "/orders/o", someOrder("o", 1, "1"))
		var wg sync.WaitGroup
		wg.Go(func() { n.http(t, "DELETE", "/orders/o?version=2", nil) })
		time.Sleep(100 * time.Millisecond)
		if code, text := n.http(t, "PUT", "/orders/o", someOrder("o", 3, "1")); code != 200 || !strings.Contains(text, `"acts":true`) || world.on("1") != "o/f" {
			t.Errorf("%d %s, and %q act", code, text, world.on("1"))
		}
		wg.Wait()
		n.end(t)
	})
}

func TestEveryPartOfAnOrderIsRefused(t *testing.T) {
	data, err := json.Marshal(someOrder("o", 1, "1", "2"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range data {
		if _, err := parseOrder(data[:n]); err == nil {
			t.Errorf("half-written, %q is taken for an order", data[:n])
		}
	}
	if _, err := parseOrder(data); err != nil {
		t.Error(err)
	}
}

func FuzzOrderFiles(f *testing.F) {
	good, err := json.Marshal(someOrder("o", 2, "1"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"owner":"o","version":3}`))
	f.Add([]byte(`{"owner":"o","version":1,"pods":[{"uid":"1"`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b := newOrderStore()
		b.sync(map[string][]byte{"o.json": good}, time.Time{})
		b.sync(map[string][]byte{"o.json": data}, time.Time{})
		parsed, err := parseOrder(data)
		bad := err != nil || parsed.Owner != "o"
		if reported := len(b.troubles()) == 1; reported != bad {
			t.Errorf("%q: reported is %v, %v", data, b.troubles(), err)
		}
		want := int64(2)
		if !bad {
			want = max(want, parsed.Version)
		}
		if o := b.orders(); len(o) != 1 || o[0].Version != want {
			t.Errorf("after %q the orders are %+v; want version %d", data, o, want)
		}
	})
}
