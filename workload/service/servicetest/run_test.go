package servicetest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// A server that answers everything alike passes no case, and says so without
// taking the program down.
func TestBadServersFailEachCase(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"empty object": answerWith(200, "{}"),
		"garbage":      answerWith(200, "garbage"),
		"error":        answerWith(500, goodChild),
		"chain":        answerWith(200, `{"service":"subject","address":"subject","errors":[],"response":[null]}`),
	} {
		server := httptest.NewServer(answer)
		for _, c := range Cases() {
			switch c.Name {
			case "shedding", "clients leave half-way": // they wait for ten seconds
				continue
			}
			if o := Run(c, func(T, service.Spec) string { return server.URL }); o.Passed() {
				t.Errorf("a server that answers with %s passes %q", name, c.Name)
			}
		}
		server.Close()
	}
}

func TestLevelOf(t *testing.T) {
	bad := []string{"no"}
	for _, tt := range []struct {
		outcomes []Outcome
		want     Level
	}{
		{nil, None},
		{[]Outcome{{Level: Chains}}, Chains},
		{[]Outcome{{Level: Chains, Mistakes: bad}, {Level: Endpoints}}, None},
		{[]Outcome{{Level: Chains}, {Level: Endpoints}, {Level: Endpoints, Mistakes: bad}, {Level: Policies}}, Chains},
		{[]Outcome{{Level: Chains}, {Level: Endpoints}, {Level: Policies}}, Policies},
	} {
		if got := LevelOf(tt.outcomes); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.outcomes, got, tt.want)
		}
	}
}

func TestRunTellsWhatWentWrong(t *testing.T) {
	var order []string
	o := Run(Case{Level: Chains, Name: "x", Test: func(t T, _ Start) {
		t.Cleanup(func() { order = append(order, "first") })
		t.Cleanup(func() { order = append(order, "second") })
		within(t, "part", func(t T) { t.Errorf("%d", 1); t.Error("two") })
		t.Fatal("ends")
		t.Error("is not reached")
	}}, nil)
	if got := strings.Join(o.Mistakes, "|"); got != "part: 1|part: two|ends" || o.Passed() {
		t.Errorf("mistakes %q", got)
	}
	if strings.Join(order, " ") != "second first" {
		t.Errorf("cleaned up in the order %q", order)
	}
	o = Run(Case{Test: func(T, Start) { panic("broken") }}, nil)
	if o.Passed() {
		t.Error("a case that panics passes")
	}
}
