package spec

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

const tiny = "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: NAME\nservices: [web]\n"

func named(name string) string { return strings.Replace(tiny, "NAME", name, 1) }

func readText(t *testing.T, text string) document.Documents {
	t.Helper()
	docs, err := Read("test.yaml", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

func TestReadFilesReadsEveryKindOfPath(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"b.yml": named("b"), "a.yaml": named("a"), "notes.txt": "no system",
		"c.json": `{"designation": "web", "routes": null}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed := false
	r := Reader{
		Stdin: strings.NewReader(named("stdin")),
		Fetch: func(_ context.Context, url string) (io.ReadCloser, error) {
			if url != "HTTPS://example.com/s.yaml" {
				t.Errorf("fetched %q", url)
			}
			return closer{strings.NewReader(named("url")), &closed}, nil
		},
	}
	docs, err := r.ReadFiles(t.Context(), dir, "-", "HTTPS://example.com/s.yaml", "alphabet")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range docs.Systems() {
		names = append(names, s.Name)
	}
	if got := strings.Join(names, " "); got != "a b stdin url alphabet" || len(docs.Chains()) != 1 || !closed {
		t.Errorf("read %s and %d chains, closed: %t", got, len(docs.Chains()), closed)
	}
	if o := docs[0].Origin; o.File != filepath.Join(dir, "a.yaml") || o.Line != 1 || o.Dialect != document.Native {
		t.Errorf("origin %+v", o)
	}
}

type closer struct {
	io.Reader
	closed *bool
}

func (c closer) Close() error { *c.closed = true; return nil }

func TestReadFilesNamesEveryFailure(t *testing.T) {
	broken := errors.New("connection refused")
	r := Reader{Fetch: func(context.Context, string) (io.ReadCloser, error) { return nil, broken }}
	empty := t.TempDir()
	bad := filepath.Join(empty, "bad.txt")
	if err := os.WriteFile(bad, []byte("services: 5"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := r.ReadFiles(t.Context(), "shp", "no/such/file.yaml", empty, "http://x/", bad, "-")
	if !errors.Is(err, broken) {
		t.Errorf("the cause is lost: %v", err)
	}
	var mistakes decode.Mistakes
	if !errors.As(err, &mistakes) || len(mistakes) != 1 {
		t.Errorf("the mistakes are lost: %v", err)
	}
	for _, want := range []string{
		`reading "shp": no such file, and no example of that name (did you mean the example "shop"?)`,
		`reading "no/such/file.yaml": no such file`, `it has no *.yaml, *.yml or *.json files`,
		`reading "http://x/": connection refused`, `bad.txt:1:1: apiVersion: apiVersion is missing`, `reading "stdin": there is no standard input`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not contain\n%s", err, want)
		}
	}
}

func TestDefaultsMakeTheDomainComplete(t *testing.T) {
	docs := readText(t, `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: e
system: {services: [{name: web, calls: [cart]}, cart]}
load: {rate: 5, duration: 1s}
faults: [{type: error, target: web->cart}]
`)
	e := docs.Experiments()[0]
	if e.System.Name != "e" || e.Seed != document.DefaultSeed || e.Load.Timeout != load.DefaultTimeout || e.Load.MaxInFlight != load.DefaultMaxInFlight {
		t.Errorf("defaults are missing: %+v", e)
	}
	web := e.System.Services[0]
	if web.Kind != topology.Base || web.Replicas != 1 || web.Endpoints[0].Path != "/" || web.Endpoints[0].Response.Status != 200 ||
		!reflect.DeepEqual(*web.Endpoints[0].Steps[0].Call, topology.NewCall("cart")) {
		t.Errorf("defaults are missing: %+v", web)
	}
	if f := e.Faults[0]; f.Probability != 1 || f.Args.Status != 500 || f.Target != (fault.Target{Service: "cart", From: "web"}) {
		t.Errorf("defaults are missing: %+v", f)
	}
	if p := e.Load.Phases[0]; p.Arrivals != load.Constant || p.Burst != 1 || p.Name == "" {
		t.Errorf("defaults are missing: %+v", p)
	}
}

func TestExecutionsOfTheExamples(t *testing.T) {
	for place, want := range map[string]float64{
		"simple a": 5, "alphabet a": 88, "social text": 11, "social image": 11, "social read-post": 9, "social recommender": 5,
		"social ads": 5, "social follow-user": 3, "social favorite": 3, "social search": 2, "social-stores text": 11, "social-stores read-post": 9,
	} {
		example, service, _ := strings.Cut(place, " ")
		total := 0.0
		for _, n := range exampleSystem(example).Executions(topology.EndpointRef{Service: service}) {
			total += n
		}
		if total != want {
			t.Errorf("a request to %s makes %v executions, not %v", place, total, want)
		}
	}
	for name, want := range map[string][3]int{"simple": {5, 4, 1}, "alphabet": {26, 33, 1}, "social": {25, 27, 12}, "social-stores": {25, 27, 12}} {
		s := exampleSystem(name)
		if got := [3]int{len(s.Services), len(s.Edges()), len(s.Entries())}; got != want {
			t.Errorf("%s has %v services, calls and entries, not %v", name, got, want)
		}
	}
}

// An example that is an experiment has a system, too, which others may name.
func TestSystemsOfExamplesAreNamed(t *testing.T) {
	for _, name := range []string{"social", "shop", "lesson-09-retries"} {
		docs := readText(t, "apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: x\nsystem: "+name+"\nload: {rate: 1, duration: 1s}\n")
		if e := docs.Experiments(); len(e) != 1 || len(e[0].System.Services) == 0 {
			t.Errorf("system %q: read as %+v", name, docs)
		}
	}
}

func TestVECROUnits(t *testing.T) {
	docs := readText(t, `
name: shop
replicas: 2
namespace: ns
services:
  - name: a
    workload: {cpu: 3, io: 2, net: 257, mem: 16, delay: {duration: 50}}
    calls: [shop-b, b]
  - name: b
    type: base
    workload: {delay: {duration: 20, jitter: 0}, memory: 1}
  - {name: c, type: mongodb, workload: {read: 3, write: 2}, node: n1}
`)
	s := docs.Systems()[0]
	a, b, c := s.Services[0], s.Services[1], s.Services[2]
	work := a.Endpoints[0].Steps[0].Work
	if work.CPUUnits != 3 || work.IO != 128<<10 || a.Memory != 16<<20 || a.Endpoints[0].Response.Size != 128+15 {
		t.Errorf("units are wrong: %+v, %+v", a, work)
	}
	if want := dist.Jittered(50*time.Millisecond, 5*time.Millisecond); *work.Sleep.Uniform != *want.Uniform {
		t.Errorf("the default jitter is wrong: %v", work.Sleep)
	}
	if calls := a.Endpoints[0].Steps[1:]; len(calls) != 2 || calls[0].Call.To != "b" || calls[1].Call.To != "b" {
		t.Errorf("calls are wrong: %+v", calls)
	}
	if b.Endpoints[0].Steps[0].Work.Sleep.String() != "20ms" || b.Memory != 1<<20 || b.Replicas != 2 || b.Endpoints[0].Response.Size != 15 {
		t.Errorf("b is wrong: %+v", b)
	}
	if c.Kind != topology.MongoDB || !reflect.DeepEqual(*c.Store, topology.Store{Reads: 3, Writes: 2}) || s.Namespace != "ns" {
		t.Errorf("c is wrong: %+v", c)
	}
	if c.Replicas != 1 || len(docs[0].Origin.Notes) != 2 {
		t.Errorf("notes are wrong: %v", docs[0].Origin.Notes)
	}
}

func TestIsotopeScripts(t *testing.T) {
	docs := readText(t, `
defaults: {requestSize: 1 KB, responseSize: 16k, errorRate: 0.1%, numReplicas: 3, script: [{sleep: 5ms}]}
services:
- name: a
  isEntrypoint: true
  errorRate: 0.5
  script:
  - - call: b
    - call: {service: c, size: 2KB, probability: 30, hostname: c.ns:8080}
    - sleep: 1ms
  - sleep: 10ms
  - call: {service: b, payloadSize: 80B}
- {name: b, type: grpc, numReplicas: 1, responseSize: 10}
- name: c
`)
	s := docs.Systems()[0]
	a, b, c := s.Services[0].Endpoints[0], s.Services[1], s.Services[2]
	if s.Name != "test" || len(s.Entries()) != 1 || a.ErrorRate != 0.5 || a.Response.Size != 16<<10 || b.Replicas != 1 || c.Replicas != 3 {
		t.Errorf("defaults are wrong: %+v", s)
	}
	at := a.Steps[0].Parallel
	if len(a.Steps) != 3 || len(at) != 3 || at[0].Call.RequestSize != 1024 || at[1].Call.RequestSize != 2048 || at[1].Call.Probability != 0.3 ||
		at[2].Work.Sleep.String() != "1ms" || a.Steps[2].Call.RequestSize != 80 {
		t.Errorf("the script is wrong: %+v", a.Steps)
	}
	if c.Endpoints[0].ErrorRate != 0.001 || len(c.Endpoints[0].Steps) != 1 || b.Endpoints[0].Response.Size != 10 {
		t.Errorf("c is wrong: %+v", c)
	}
}

func TestMicroSimObjects(t *testing.T) {
	docs := readText(t, `
apiVersion: microsim.isala.me/v1alpha1
kind: Simulation
metadata: {name: sample, namespace: prod, labels: {a: b}}
spec:
  name:
  services: {service_1: {language: go, framework: gorilla}, service_2: {language: node, framework: express}}
status: {services: {}}
---
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: load}
spec:
  simulationRef: {name: sample, namespace: prod}
  requests: ['{"designation": "service_1"}', '{"designation": "service_2", "routes": [{"designation": "service_1", "probability": 0}]}']
  replicas: 10
  requestCount: 5
  timeout: 15m
  betweenDelay: 500ms
---
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: once}
spec: {simulationRef: {name: sample}, requests: ['{"designation": "service_1"}'], betweenDelay: 0s}
`)
	s := docs.Systems()[0]
	if s.Name != "sample" || s.Namespace != "prod" || s.Services[0].Name != "service-1" || s.Services[1].Framework != "express" || len(s.Entries()) != 2 {
		t.Errorf("the simulation is wrong: %+v", s)
	}
	l := docs.Loads()[0]
	want := load.Phase{Name: "ticks", Rate: 2, Arrivals: load.Constant, Burst: 10, Each: true, Count: 3, Duration: l.Profile.Phases[0].Duration}
	if l.System != "sample" || !reflect.DeepEqual(l.Profile.Phases[0], want) || want.Duration.Std() != 15*time.Minute {
		t.Errorf("the load is wrong: %+v", l)
	}
	if got := l.Profile.Requests[1].Chain; got != `{"designation":"service_2","routes":[{"designation":"service_1","probability":0}]}` {
		t.Errorf("the request is wrong: %s", got)
	}
	if once := docs.Loads()[1].Profile.Phases[0]; once.Count != 1 || once.Burst != 1 {
		t.Errorf("no delay is one round: %+v", once)
	}
}

func TestJSONIsReadWithEscapesAndPlaces(t *testing.T) {
	docs := readText(t, "{\n\t\"designation\": \"a\\/\\ud83d\\ude00\",\n\t\"routes\": [ ]\n}\n")
	if got := docs.Chains()[0].Designations(); len(got) != 1 || got[0] != "a/😀" {
		t.Errorf("got %q", got)
	}
	_, err := Read("r.json", strings.NewReader("{\"designation\": \"a\",\n  \"routes\": [{\"designation\": \"b\",\n \t\"probability\" : 101}]}"))
	if err == nil || !strings.HasPrefix(err.Error(), "r.json:3:19: routes[0].probability") {
		t.Errorf("got %v", err)
	}
}

func TestAliasesAndMergesAreResolved(t *testing.T) {
	docs := readText(t, `
apiVersion: microsim.dev/v1alpha1
kind: System
name: aliases
services:
  - &base {name: web, work: {cpu: 1ms}, response: 2Ki, calls: [cart]}
  - {<<: *base, name: cart, calls: []}
`)
	s := docs.Systems()[0]
	cart := s.Services[1].Endpoints[0]
	if cart.Response.Size != 2048 || len(cart.Steps) != 1 || len(s.Services[0].Endpoints[0].Steps) != 2 {
		t.Errorf("got %+v", s.Services)
	}
}

// FuzzRead holds that no input makes reading panic or print what it cannot read
// again.
func FuzzRead(f *testing.F) {
	for _, e := range examples.List() {
		data, err := examples.Open(e.Name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, pattern := range []string{"testdata/good/*", "testdata/mistakes/*.yaml", "testdata/mistakes/*.json"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, err := Read("fuzz.yaml", bytes.NewReader(data))
		if err != nil {
			if err.Error() == "" {
				t.Error("an error says nothing")
			}
			return
		}
		for i := range docs {
			if docs[i].Load == nil || exampleSystem(docs[i].Load.System) != nil {
				same(t, &docs[i])
			}
		}
	})
}

func TestDesignationsThatLeadNowhereAreNoted(t *testing.T) {
	const file = `
apiVersion: microsim.isala.me/v1alpha1
kind: Simulation
metadata: {name: sim}
spec:
  services:
    front_end: {language: go, framework: gorilla}
    back_end: {language: go, framework: gorilla}
---
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: lg}
spec:
  simulationRef: {name: sim}
  betweenDelay: 1s
  requests:
    - '{"designation":"front_end","routes":[{"designation":"back_end"},{"designation":"http://back-end.ns.svc/"},{"designation":"http://127.0.0.1:9/"}]}'
    - '{"designation":"front_end","routes":[{"designation":"bak_end","routes":[{"designation":"http://example.org/"}]}]}'
`
	docs, err := Read("f.yaml", strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	var notes []string
	for _, d := range docs {
		for _, n := range d.Origin.Notes {
			notes = append(notes, n.Error())
		}
	}
	if len(notes) != 2 || !strings.Contains(notes[0], `f.yaml:18:7: spec.requests[1]: designation "bak_end" leads nowhere`) ||
		!strings.Contains(notes[0], `did you mean "back-end"?`) || !strings.Contains(notes[1], `"http://example.org/" leads nowhere`) {
		t.Errorf("the notes are %q", notes)
	}
}
