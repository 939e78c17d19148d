package chain

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

const sample = `{"designation":"service_1","probability":100,
 "faults":{"before":[{"type":"latency","args":{"delay":600}}],"after":[{"type":"memory-leak","args":{"size":250,"duration":10000}}]},
 "routes":[
  {"designation":"service_2","probability":50,"faults":{"after":[{"type":"latency","args":{"delay":600}}]},
   "routes":[{"designation":"service_4","faults":{"before":[{"type":"latency","args":{"delay":200}}],"after":[]},"routes":null}]},
  {"designation":"http://service-3.ns.svc/","probability":100,"faults":{"before":[{"type":"latency","args":{"delay":1000}}]}}]}`

func mustParse(t *testing.T, text string) *Chain {
	t.Helper()
	c, err := Parse([]byte(text), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestParseReadsEveryField(t *testing.T) {
	c := mustParse(t, sample)
	want := &Chain{
		Designation: "service_1", Probability: 100,
		Faults: Faults{
			Before: []Fault{{Type: fault.Latency, Delay: 600 * time.Millisecond}},
			After:  []Fault{{Type: fault.MemoryLeak, Size: 250 << 20, Duration: 10 * time.Second}},
		},
		Routes: []*Chain{
			{
				Designation: "service_2", Probability: 50,
				Faults: Faults{Before: []Fault{}, After: []Fault{{Type: fault.Latency, Delay: 600 * time.Millisecond}}},
				Routes: []*Chain{{
					Designation: "service_4", Probability: 100,
					Faults: Faults{Before: []Fault{{Type: fault.Latency, Delay: 200 * time.Millisecond}}, After: []Fault{}},
					Routes: []*Chain{},
				}},
			},
			{
				Designation: "http://service-3.ns.svc/", Probability: 100,
				Faults: Faults{Before: []Fault{{Type: fault.Latency, Delay: time.Second}}, After: []Fault{}},
				Routes: []*Chain{},
			},
		},
	}
	if !reflect.DeepEqual(c, want) {
		got, _ := json.Marshal(c)
		t.Errorf("got %s", got)
	}
}

func TestChainReadsBackWhatItWrites(t *testing.T) {
	all := `{"designation":"a","faults":{"before":[{"type":"cpu","args":{"duration":5}},{"type":"cpu","args":{"cores":2,"duration":5}},
	 {"type":"io","args":{"size":0.5}},{"type":"error"},{"type":"error","args":{"status":503,"rate":12.5}},{"type":"abort","args":null},
	 {"type":"hang","args":{}},{"type":"corrupt"},{"type":"panic"}]},"routes":[{"designation":"b","probability":0}]}`
	for _, text := range []string{sample, all} {
		c := mustParse(t, text)
		data, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if again := mustParse(t, string(data)); !reflect.DeepEqual(again, c) {
			t.Errorf("%s\nread back as %+v", data, again)
		}
		if strings.Contains(string(data), "null") {
			t.Errorf("%s has a null, which other services cannot read", data)
		}
	}
}

func nested(depth int) string {
	return strings.Repeat(`{"designation":"a","routes":[`, depth-1) + `{"designation":"a"}` + strings.Repeat("]}", depth-1)
}

func TestParseRefuses(t *testing.T) {
	faulty := func(f string) string { return `{"designation":"a","faults":{"before":[` + f + `]}}` }
	tests := []struct{ name, text, want string }{
		{"empty", "", "it is empty"},
		{"null", "null", "it is null"},
		{"no JSON", "hello", "invalid character"},
		{"cut off", `{"designation":"a"`, "unexpected EOF"},
		{"more behind", `{"designation":"a"} {}`, "after its end"},
		{"unknown field", `{"designation":"a","desination":"b"}`, "desination"},
		{"wrong type", `{"designation":7}`, "designation"},
		{"no designation", `{"routes":[{"designation":""}]}`, "routes[0].designation: there is no designation"},
		{"probability", `{"designation":"a","probability":130}`, "probability: 130 is out of range"},
		{"space in a URL", `{"designation":"a","routes":[{"designation":"http://b/?a HTTP/1.0"}]}`, "routes[0].designation: a URL has no spaces"},
		{"line break in a URL", `{"designation":"http://b/?a\r\nX: y"}`, "write %20"},
		{"null route", `{"designation":"a","routes":[null]}`, "routes[0]: the route is null"},
		{"too deep", nested(65), "deeper than the 64"},
		{"too wide", `{"designation":"a","routes":[` + strings.Repeat(`{"designation":"b"},`, 1000) + `{"designation":"b"}]}`, "1001 routes are more than the 1000"},
		{"too large", `{"designation":"` + strings.Repeat("a", 1<<20) + `"}`, "more than the 1048576 possible"},
		{"too many faults", faulty(strings.Repeat(`{"type":"abort"},`, 100) + `{"type":"abort"}`), "101 faults"},
		{"unknown fault", faulty(`{"type":"rain","args":{"mm":3}}`), "fault type rain, is not implemented"},
		{"missing type", faulty(`{"args":{}}`), "fault type was not defined"},
		{"missing argument", faulty(`{"type":"latency"}`), "faults.before[0].args.delay: fault type latency needs delay"},
		{"foreign argument", faulty(`{"type":"latency","args":{"delay":1,"size":2}}`), "takes no size"},
		{"unknown argument", faulty(`{"type":"latency","args":{"delai":1}}`), "delai"},
		{"negative delay", faulty(`{"type":"latency","args":{"delay":-1}}`), "-1 is out of range"},
		{"huge leak", faulty(`{"type":"memory-leak","args":{"size":4097,"duration":1}}`), "4097 MB are more than the 4Gi possible"},
		{"overflow", faulty(`{"type":"memory-leak","args":{"size":1e300,"duration":1}}`), "more than the 4Gi possible"},
		{"status", faulty(`{"type":"error","args":{"status":200}}`), "200 is out of range"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := Parse([]byte(tt.text), Limits{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v; want an error with %q", c, err, tt.want)
			}
		})
	}
}

func TestParseBoundsTheWholeTree(t *testing.T) {
	wide := `{"designation":"a","routes":[` + strings.TrimSuffix(strings.Repeat(nested(2)+",", 50), ",") + `]}`
	if _, err := Parse([]byte(wide), Limits{Nodes: 101}); err != nil {
		t.Errorf("101 services: %v", err)
	}
	_, err := Parse([]byte(wide), Limits{Nodes: 100})
	if err == nil || strings.Count(err.Error(), "more than the 100 services") != 1 {
		t.Errorf("got %v, want one word about more than 100 services", err)
	}
	if _, err := Parse([]byte(nested(64)), Limits{}); err != nil {
		t.Errorf("64 deep: %v", err)
	}
}

func TestRefusalSpeaksMicroSim(t *testing.T) {
	_, err := Parse([]byte(`{"faults":{"before":[{"type":"rain"},{}]}}`), Limits{})
	got := Refusal(err)
	want := []string{"designation: there is no designation (name the service to call)", "fault type rain, is not implemented", "fault type was not defined"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
	_, err = Parse([]byte(`{`), Limits{})
	if got := Refusal(err); len(got) != 1 || !strings.HasPrefix(got[0], "reading a chain: ") {
		t.Errorf("got %q", got)
	}
}

func TestSampleKeepsANodeWithItsProbability(t *testing.T) {
	const n = 20000
	for _, p := range []float64{0, 1, 50, 99, 100} {
		c := mustParse(t, fmt.Sprintf(`{"designation":"a","routes":[{"designation":"b","probability":%v,"routes":[{"designation":"c"}]},{"designation":"d"}]}`, p))
		kept := 0
		for i := range n {
			s := Sample(c, dist.Seed(1).WithInt(i))
			if s == nil || s.Routes[len(s.Routes)-1].Designation != "d" {
				t.Fatal("a certain node went")
			}
			if len(s.Routes) == 2 {
				kept++
				if len(s.Routes[0].Routes) != 1 {
					t.Fatal("a certain child of a kept node went")
				}
			}
		}
		checkRate(t, fmt.Sprintf("p=%v%%", p), kept, n, p/100)
	}
}

func TestSampleRepeatsAndLeavesSiblingsAlone(t *testing.T) {
	two := mustParse(t, `{"designation":"a","routes":[{"designation":"b","probability":50},{"designation":"c","probability":50}]}`)
	certain := mustParse(t, `{"designation":"a","routes":[{"designation":"b","probability":100},{"designation":"c","probability":50}]}`)
	before, _ := json.Marshal(two)
	has := func(c *Chain, name string) bool {
		for _, r := range c.Routes {
			if r.Designation == name {
				return true
			}
		}
		return false
	}
	for i := range 500 {
		key := dist.Seed(9).WithInt(i)
		if !reflect.DeepEqual(Sample(two, key), Sample(two, key)) {
			t.Fatal("the same key decided otherwise")
		}
		if has(Sample(two, key), "c") != has(Sample(certain, key), "c") {
			t.Fatal("a sibling's probability changed the decision")
		}
	}
	if after, _ := json.Marshal(two); string(after) != string(before) {
		t.Error("sampling changed the chain")
	}
	if Sample(mustParse(t, `{"designation":"a","probability":0}`), dist.Seed(1)) != nil {
		t.Error("a root with probability 0 stayed")
	}
}

func TestResolve(t *testing.T) {
	c := mustParse(t, sample)
	known := map[string]string{"service-1": "http://127.0.0.1:1", "service-2": "http://127.0.0.1:2"}
	r, unknown := Resolve(c, func(name string) (string, bool) { url, ok := known[name]; return url, ok })
	got := r.Designations()
	want := []string{"http://127.0.0.1:1", "http://127.0.0.1:2", "service_4", "http://service-3.ns.svc/"}
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(unknown, []string{"service_4"}) {
		t.Errorf("got %q, unknown %q", got, unknown)
	}
	if c.Designation != "service_1" {
		t.Error("resolving changed the chain")
	}
}

// checkRate holds a count of hits to the binomial distribution: within five
// standard deviations, and exact where nothing is random.
func checkRate(t *testing.T, what string, hits, n int, p float64) {
	t.Helper()
	mean, sd := float64(n)*p, math.Sqrt(float64(n)*p*(1-p))
	if math.Abs(float64(hits)-mean) > 5*sd {
		t.Errorf("%s: %d hits of %d, want %.0f±%.0f", what, hits, n, mean, 5*sd)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{sample, nested(3), "null", `{"designation":"a","faults":{"before":[{"type":"cpu","args":{"duration":1}}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse(data, Limits{})
		if err != nil {
			if len(Refusal(err)) == 0 {
				t.Error("an error without a word")
			}
			return
		}
		again, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(again, Limits{Body: 1 << 30}); err != nil {
			t.Errorf("%s is refused when written as %s: %v", data, again, err)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse([]byte(sample), Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
