package edit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/spec/source"
)

func open(t testing.TB, name string) *File {
	t.Helper()
	path := filepath.Join("..", "..", "..", "testdata", "edit", name)
	if _, err := os.Stat(path); err != nil {
		path = filepath.Join("..", "..", "..", "examples", name)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Open(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func unmarshal(t testing.TB, text string) Operation {
	t.Helper()
	op, err := Unmarshal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// TestOperations compares the whole text after an operation: it is the text before
// with some pieces replaced, each of which is there once.
func TestOperations(t *testing.T) {
	for _, c := range []struct {
		file, op string
		pieces   []string // before, after, before, after ...
	}{
		{"shop.yaml", `{"op": "addService", "service": {"name": "search", "work": {"cpu": "1ms"}}}`, []string{
			"      work: {io: 16Ki}\n      response: 128\n", "      work: {io: 16Ki}\n      response: 128\n\n    - name: search\n      work: {cpu: 1ms}\n",
		}},
		{"shop.yaml", `{"op": "removeService", "name": "mail", "cascade": true}`, []string{
			"calls: [payment, {to: mail, onError: ignore}]", "calls: [payment]",
			"\n    - name: mail\n      work: {io: 16Ki}\n      response: 128\n", "",
		}},
		{"shop.yaml", `{"op": "renameService", "name": "pricing", "to": "prices"}`, []string{
			"calls: [{parallel: [pricing, stock]}]", "calls: [{parallel: [prices, stock]}]",
			"- name: pricing\n", "- name: prices\n", "calls: [pricing]\n", "calls: [prices]\n", "target: pricing\n", "target: prices\n",
		}},
		{"shop.yaml", `{"op": "setService", "service": "cart", "field": "replicas", "value": 3}`, []string{
			"- name: cart\n", "- name: cart\n      replicas: 3\n",
		}},
		{"shop.yaml", `{"op": "setService", "service": "cart", "field": "work", "value": {"cpu": "200us", "sleep": "2ms"}}`, []string{
			"sleep: 1ms}", "sleep: 2ms}",
		}},
		{"shop.yaml", `{"op": "setService", "service": "web", "endpoint": "/buy", "field": "response", "value": "8Ki"}`, []string{
			"response: 4Ki", "response: 8Ki",
		}},
		{"shop.yaml", `{"op": "setPolicy", "service": "pricing", "to": "pricing-db", "policy": "retry", "value": {"attempts": 3}}`, []string{
			"calls: [pricing-db]", "calls: [{to: pricing-db, retry: {attempts: 3}}]",
		}},
		{"shop.yaml", `{"op": "addCall", "service": "stock", "call": "pricing-db"}`, []string{
			"      work: {sleep: {lognormal: {p50: 3ms, p99: 12ms}}}\n", "      work: {sleep: {lognormal: {p50: 3ms, p99: 12ms}}}\n      calls: [pricing-db]\n",
		}},
		{"shop.yaml", `{"op": "removeCall", "service": "payment", "to": "pricing"}`, []string{
			"      work: {sleep: {uniform: {min: 10ms, max: 20ms}}}\n      calls: [pricing]\n", "      work: {sleep: {uniform: {min: 10ms, max: 20ms}}}\n",
		}},
		{"shop.yaml", `{"op": "setFault", "index": 1, "fault": {"type": "error", "target": "pricing-db", "status": 503, "probability": 0.5, "start": "6s", "duration": "6s"}}`, []string{
			"probability: 0.1", "probability: 0.5",
		}},
		{"shop.yaml", `{"op": "addFault", "fault": {"type": "kill", "target": "cart", "start": "3s"}}`, []string{
			"    probability: 0.1\n    start: 6s\n    duration: 6s\n", "    probability: 0.1\n    start: 6s\n    duration: 6s\n  - type: kill\n    target: cart\n    start: 3s\n",
		}},
		{"shop.yaml", `{"op": "setLoad", "load": {"requests": [{"service": "web", "endpoint": "/browse", "weight": 2}, {"service": "web", "endpoint": "/buy", "weight": 1}], "phases": [{"name": "steady", "rate": 60, "arrivals": "poisson", "duration": "20s"}]}}`, []string{
			"rate: 30", "rate: 60",
		}},
		{"shop.yaml", `{"op": "removeCheck", "index": 6}`, []string{"  - {check: p50 < 100ms, service: cart}\n", ""}},
		{"comments.yaml", `{"op": "removeFault", "index": 0}`, []string{
			"  # slow\n  - type: latency # slow\n    target: cart\n    # how much\n    delay: 5ms\n\n", "",
		}},
		{"comments.yaml", `{"op": "addCheck", "check": {"check": "p99 < 5s", "service": "cart"}}`, []string{"  - p99 < 10s\n", "  - p99 < 10s\n  - {check: p99 < 5s, service: cart}\n"}},
		{"documents.yaml", `{"op": "renameService", "document": 1, "name": "cart", "to": "basket"}`, []string{
			"calls: [cart, ", "calls: [basket, ", "- name: cart\n", "- name: basket\n", "web->cart/items", "web->basket/items", "from: cart}", "from: basket}", "call: cart,", "call: basket,",
		}},
		{"documents.yaml", `{"op": "setPolicy", "service": "web", "to": "db", "policy": "retry"}`, []string{"{to: db, retry: null}", "{to: db}"}},
		{"documents.yaml", `{"op": "setPolicy", "service": "web", "to": "cart", "policy": "breaker", "value": null}`, []string{"[cart, {to: db", "[{to: cart, breaker: null}, {to: db"}},
		{"documents.yaml", `{"op": "addService", "document": 2, "service": "more"}`, []string{`["only"]`, `["only", "more"]`}},
		{"chains.yaml", `{"op": "renameService", "name": "db", "to": "store"}`, []string{
			"services: [web, cart, db]", "services: [web, cart, store]", "{designation: db}", "{designation: store}", `{"designation": "db"}`, `{"designation": "store"}`,
		}},
		{"pretty.json", `{"op": "addFault", "fault": {"type": "latency", "target": "cart", "delay": "1ms"}}`, []string{
			`"faults": []`, `"faults": [{"type": "latency", "target": "cart", "delay": "1ms"}]`,
		}},
		{"crlf.yaml", `{"op": "setCall", "service": "web", "to": "db", "field": "count", "value": 2}`, []string{
			"  - to: db\r\n", "  - to: db\r\n    count: 2\r\n",
		}},
		{"flow.yaml", `{"op": "renameService", "name": "pay", "to": "payment"}`, []string{"{to: pay/now, ", "{to: payment/now, ", "{name: pay, ", "{name: payment, "}},
		// All users of the anchor change alike.
		{"anchors.yaml", `{"op": "renameService", "name": "db", "to": "store"}`, []string{
			"{to: db, timeout: &short 1s}", "{to: store, timeout: &short 1s}", "- to: db\n", "- to: store\n", "- name: db\n", "- name: store\n", "{to: db, retry: *retry}", "{to: store, retry: *retry}",
		}},
		{"anchors.yaml", `{"op": "setPolicy", "service": "cart", "to": "db", "policy": "breaker", "value": {"failures": 3, "reset": "1s"}}`, []string{
			"retry: &retry {attempts: 3, backoff: 10ms}\n", "retry: &retry {attempts: 3, backoff: 10ms}\n        breaker: {failures: 3, reset: 1s}\n",
		}},
	} {
		f := open(t, c.file)
		want := string(f.Text())
		for i := 0; i < len(c.pieces); i += 2 {
			if strings.Count(want, c.pieces[i]) != 1 {
				t.Fatalf("%s: %q is there %d times", c.file, c.pieces[i], strings.Count(want, c.pieces[i]))
			}
			want = strings.Replace(want, c.pieces[i], c.pieces[i+1], 1)
		}
		after, change, err := f.Apply(unmarshal(t, c.op))
		if err != nil {
			t.Errorf("%s: %v", c.op, err)
			continue
		}
		if string(after.Text()) != want {
			t.Errorf("%s: %s: the edits are %+v", c.file, c.op, change.Edits)
		}
	}
}

func TestOperationsAreRefused(t *testing.T) {
	for _, c := range []struct{ file, op, want string }{
		{"shop.yaml", `{"op": "removeService", "name": "pricing"}`, `service "pricing" is in use; remove what names it, too (cascade), or change it first: call catalog->pricing, call payment->pricing, fault latency pricing of experiment shop`},
		{"shop.yaml", `{"op": "removeService", "name": "web", "cascade": true}`, "the only request of shop"},
		{"shop.yaml", `{"op": "removeService", "name": "none"}`, `there is no service "none" in system "shop"`},
		{"shop.yaml", `{"op": "renameService", "name": "web", "to": "cart"}`, `has a service "cart" already`},
		{"shop.yaml", `{"op": "setService", "service": "web", "field": "work", "value": {"cpu": "1ms"}}`, "name one of /browse, /buy"},
		{"shop.yaml", `{"op": "setService", "service": "cart", "field": "replica", "value": 1}`, `did you mean "replicas"?`},
		{"shop.yaml", `{"op": "setService", "service": "cart", "field": "replicas", "value": "many"}`, `"many"`},
		{"shop.yaml", `{"op": "setService", "service": "cart", "field": "replicas", "value": -1}`, "shop.yaml:"},
		{"shop.yaml", `{"op": "setPolicy", "service": "cart", "to": "web", "policy": "retry", "value": null}`, `service "cart" does not call "web"`},
		{"shop.yaml", `{"op": "addCall", "service": "mail", "call": "web/buy"}`, "calls go round without end"},
		{"shop.yaml", `{"op": "addFault", "document": 1, "fault": {}}`, "there is no document 1: the file has 1"},
		{"flow.yaml", `{"op": "addFault", "fault": {"type": "kill"}}`, "document 0 is a System"},
		{"microsim-four.yaml", `{"op": "addService", "service": "x"}`, "kubectl microsim convert"},
		{"outage-lab.yaml", `{"op": "addService", "service": "x"}`, `the system "outage" is described elsewhere`},
	} {
		_, _, err := open(t, c.file).Apply(unmarshal(t, c.op))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nis not: %s", c.op, err, c.want)
		}
	}
}

// TestSharedValuesAreRefused names the anchor and its users where an edit would
// change them all.
func TestSharedValuesAreRefused(t *testing.T) {
	for _, c := range []struct{ file, op, want string }{
		{"anchors.yaml", `{"op": "setService", "service": "db", "field": "work", "value": {"cpu": "2ms"}}`, "anchors.yaml:10:11: the value is shared by the anchor &work, used at anchors.yaml:16:11"},
		{"anchors.yaml", `{"op": "setService", "service": "cart", "field": "work", "value": {"cpu": "2ms"}}`, "by the anchor &work"},
		{"anchors.yaml", `{"op": "addCall", "service": "api", "call": "batch"}`, "by the anchor &common, used at anchors.yaml:18:12"},
		{"anchors.yaml", `{"op": "setPolicy", "service": "batch", "to": "db", "policy": "retry", "value": {"attempts": 2}}`, "by the anchor &retry"},
		{"merges.yaml", `{"op": "setService", "service": "api", "field": "replicas", "value": 5}`, "by the anchor &base"},
		{"merges.yaml", `{"op": "setService", "service": "web", "field": "replicas", "value": 5}`, "by the anchor &base"},
		{"merges.yaml", `{"op": "setPolicy", "service": "cart", "to": "db", "nth": 1, "policy": "retry", "value": null}`, "by the anchor &call"},
	} {
		_, _, err := open(t, c.file).Apply(unmarshal(t, c.op))
		var shared *source.SharedError
		if !errors.As(err, &shared) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nis not: %s", c.op, err, c.want)
		}
	}
	// A value that the merge does not bring can be changed.
	if _, _, err := open(t, "merges.yaml").Apply(unmarshal(t, `{"op": "setService", "service": "api", "field": "workers", "value": 9}`)); err != nil {
		t.Error(err)
	}
}

func TestUnmarshalIsStrict(t *testing.T) {
	for text, want := range map[string]string{
		`{"op": "addServise"}`:                 `did you mean "addService"?`,
		`{"op": "addService", "servise": "x"}`: `unknown field "servise"`,
		`{}`:                                   "known are addCall, addCheck",
		`[]`:                                   "reading an operation",
		`{"op": "removeFault", "index": "1"}`:  "cannot unmarshal string",
		`{"op": "addCheck", "check": 1, "at": 1.5}`:  "1.5",
		`{"op": "addCheck", "check": 1} {"op": "x"}`: "invalid character",
	} {
		if _, err := Unmarshal([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v is not: %s", text, err, want)
		}
	}
}

// FuzzApply applies any operation to any text: no panic, and what is undone gives
// the bytes before.
func FuzzApply(f *testing.F) {
	for _, file := range files(f) {
		if len(file.Text()) < 3000 {
			f.Add(string(file.Text()), `{"op": "setService", "service": "web", "field": "replicas", "value": 2}`)
			f.Add(string(file.Text()), `{"op": "removeService", "name": "cart", "cascade": true}`)
			f.Add(string(file.Text()), `{"op": "renameService", "name": "db", "to": "store"}`)
		}
	}
	f.Fuzz(func(t *testing.T, text, operation string) {
		file, err := Open("f.yaml", []byte(text))
		if err != nil {
			return
		}
		op, err := Unmarshal([]byte(operation))
		if err != nil {
			return
		}
		after, change, err := file.Apply(op)
		if err != nil {
			if strings.Contains(err.Error(), "overlap") {
				t.Errorf("%s: %v", operation, err)
			}
			return
		}
		if back, err := after.Splice(change.Undo); err != nil || string(back.Text()) != text {
			t.Errorf("undoing %s gives %q: %v", operation, back.Text(), err)
		}
	})
}
