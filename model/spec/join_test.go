package spec

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// generator is a LoadGenerator of one request with more fields in its spec.
func generator(name, spec string) string {
	return fmt.Sprintf(`apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: %s}
spec: {requests: ['{"designation": "web"}'], %s}
---
`, name, spec)
}

// joinOf joins the loads of a text.
func joinOf(t *testing.T, text string) *document.Load {
	t.Helper()
	l, err := readText(t, text).Join()
	if err != nil {
		t.Fatal(err)
	}
	if problems := l.Profile.Validate(); len(problems) > 0 {
		t.Fatalf("the joined load is wrong: %v", problems)
	}
	return l
}

// due lists when each request of a profile of one phase is sent up to an end, as
// many times as copies of it are.
func due(p load.Profile, end time.Duration) map[string][]time.Duration {
	sent := map[string][]time.Duration{}
	phase := p.Phases[0]
	pacer := phase.Pacer(load.PhaseKey(1, 0))
	for {
		number := pacer.Index()
		at, ok := pacer.Next()
		if !ok || at >= end {
			return sent
		}
		for i := range p.Requests {
			for range phase.Burst * p.Requests[i].Beat.Copies(number) {
				sent[p.Requests[i].Name] = append(sent[p.Requests[i].Name], at)
			}
		}
	}
}

// Loads that run together send what each of them would send alone, at the same
// times.
func TestJoinedLoadsSendWhatEachSendsAlone(t *testing.T) {
	for _, specs := range [][]string{
		{"betweenDelay: 5s, replicas: 10", "betweenDelay: 5s, replicas: 10"},
		{"betweenDelay: 5s, replicas: 10", "betweenDelay: 1s, replicas: 10", "betweenDelay: 10s"},
		{"betweenDelay: 300ms, replicas: 2", "betweenDelay: 450ms, replicas: 3"},
		{"betweenDelay: 1s, requestCount: 3", "betweenDelay: 2s, requestCount: 5"},
		{"betweenDelay: 1s, timeout: 2500ms", "betweenDelay: 700ms, requestCount: 9"},
		{"betweenDelay: 1s, timeout: 20s, requestCount: 4", "betweenDelay: 2s"},
		{"betweenDelay: 0s, replicas: 7", "betweenDelay: 2s", "betweenDelay: 3s, timeout: 8s"},
		{"betweenDelay: 0s", "betweenDelay: 0s, replicas: 2"},
	} {
		text := ""
		want := map[string][]time.Duration{}
		const end = time.Minute
		for i, s := range specs {
			one := generator(fmt.Sprintf("load-%d", i), s)
			for name, at := range due(readText(t, one).Loads()[0].Profile, end) {
				want[name] = at
			}
			text += one
		}
		joined := joinOf(t, text).Profile
		if got := due(joined, end); !reflect.DeepEqual(got, want) {
			t.Errorf("%q together send\n%v\nand alone\n%v", specs, got, want)
		}
	}
}

func TestEqualLoadsNeedNoBeats(t *testing.T) {
	l := joinOf(t, generator("a", "betweenDelay: 1s, replicas: 10")+generator("b", "betweenDelay: 1s, replicas: 10"))
	want := load.Phase{Name: "ticks", Rate: 1, Arrivals: load.Constant, Burst: 10, Each: true}
	if got := l.Profile.Phases[0]; !reflect.DeepEqual(got, want) || l.Profile.Requests[0].Beat != nil || l.Profile.Requests[1].Beat != nil {
		t.Errorf("the joined load is %+v", l.Profile)
	}
}

// An experiment that is run can be written and read again.
func TestBeatsSurviveWritingAndReading(t *testing.T) {
	docs := readText(t, oneSystem+generator("slow", "betweenDelay: 5s, replicas: 3, requestCount: 2")+generator("fast", "betweenDelay: 1s"))
	e, err := docs.Experiment()
	if err != nil {
		t.Fatal(err)
	}
	text, err := FormatExperiment(e)
	if err != nil {
		t.Fatal(err)
	}
	again := readText(t, string(text)).Experiments()[0]
	if !reflect.DeepEqual(again.Load, e.Load) || again.Load.Requests[0].Beat == nil {
		t.Errorf("%s is read as %+v, want %+v", text, again.Load, e.Load)
	}
}

func TestLoadsThatCannotRunTogetherAreNamed(t *testing.T) {
	for text, want := range map[string]string{
		generator("a", "betweenDelay: 1s") + generator("a", "betweenDelay: 1s"):                                                     `two loads are named "a"`,
		generator("a", "betweenDelay: 1000001us") + generator("b", "betweenDelay: 1s"):                                              "loads a, b cannot run together: their intervals 1.000001s, 1s",
		generator("a", "betweenDelay: 720h, requestCount: 100") + generator("b", "betweenDelay: 1s"):                                `load "a" has 100 rounds, 720h apart`,
		generator("a", "betweenDelay: 1s, simulationRef: {name: x}") + generator("b", "betweenDelay: 1s, simulationRef: {name: y}"): `"a" is meant for system "x", and load "b" for "y": choose the loads of one system with --only a`,
	} {
		_, err := readText(t, text).Join()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

func TestOnlyChoosesByName(t *testing.T) {
	one := func(name string) string {
		return fmt.Sprintf("apiVersion: microsim.isala.me/v1alpha1\nkind: Simulation\nmetadata: {name: %s}\nspec: {services: {web: {language: go, framework: gorilla}}}\n---\n", name)
	}
	native := func(name, system string) string {
		return fmt.Sprintf("apiVersion: microsim.dev/v1alpha1\nkind: Experiment\nname: %s\nsystem: %s\nload: {users: 1, duration: 60s}\n---\n", name, system)
	}
	two := one("x") + one("y") + generator("a", "betweenDelay: 1s, simulationRef: {name: x}") + generator("b", "betweenDelay: 1s, simulationRef: {name: x}") + generator("c", "betweenDelay: 1s, simulationRef: {name: y}")
	for _, test := range []struct {
		text, only, want string
	}{
		{two, "", "error: one can run at a time: choose it with --only, of x, y"},
		{two, "x", "x: a b"},
		{two, "y", "y: c"},
		{two, "b", "x: b"},
		{two, "b,a", "x: a b"},
		{two, "c", "y: c"},
		{two, "a,c", "error: choose it with --only"},
		{two, "cc", `error: did you mean "c"`},
		{one("x") + generator("a", "betweenDelay: 1s") + native("e", "x") + native("f", "x"), "f", "f:"},
		{one("x") + generator("a", "betweenDelay: 1s") + native("e", "x") + native("f", "x"), "a", "x: a"},
		{one("x") + native("e", "x") + native("f", "x"), "", "error: choose it with --only, of e, f"},
		{one("x") + one("y") + native("e", "x") + native("f", "y"), "y", "f:"},
	} {
		var names []string
		if test.only != "" {
			names = strings.Split(test.only, ",")
		}
		docs, err := readText(t, test.text).Only(names)
		got := ""
		if err == nil {
			e, failed := docs.Experiment()
			if err = failed; err == nil {
				words := []string{e.Name + ":"}
				for _, r := range e.Load.Requests {
					words = append(words, r.Name)
				}
				got = strings.Join(words, " ")
			}
		}
		if want, fails := strings.CutPrefix(test.want, "error: "); fails != (err != nil) || fails && !strings.Contains(err.Error(), want) || !fails && got != want {
			t.Errorf("--only %q gives %q, %v, want %q", test.only, got, err, test.want)
		}
	}
}
