package load

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// play runs the command, and returns what it prints, its talk and its exit code.
func play(t *testing.T, args ...string) (out, talk string, code int) {
	t.Helper()
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	var o, e strings.Builder
	streams := cli.Streams{In: strings.NewReader(""), Out: &o, Err: &e}
	cmd := New(streams)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(args)
	code = cli.Conclude(&e, cmd.ExecuteContext(t.Context()))
	return o.String(), e.String(), code
}

// A load counts what came back, good or bad; requests that fail are what it was made to
// show, and no error of the command.
func TestLoadOnURLs(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	for path, failed := range map[string]int64{"/good": 0, "/bad": 12} {
		asked.Store(0)
		out, talk, code := play(t, "--url", server.URL+path, "--rate", "400", "--count", "12", "-o", "json")
		var report result.LoadReport
		if err := json.Unmarshal([]byte(out), &report); err != nil {
			t.Fatalf("%v: %s%s", err, out, talk)
		}
		if c := report.Total; code != cli.ExitDone || c.Sent != 12 || c.Outcomes[outcome.OK] != 12-failed || c.Outcomes[outcome.HTTPError] != failed || asked.Load() != 12 {
			t.Errorf("%s: exit code %d, %+v, and the server was asked %d times: %s", path, code, c, asked.Load(), talk)
		}
	}
}

func TestExitCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "load.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: microsim.dev/v1alpha1\nkind: System\nname: s\nservices: [{name: web}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	urls := filepath.Join(t.TempDir(), "urls.yaml")
	if err := os.WriteFile(urls, []byte("apiVersion: microsim.isala.me/v1alpha1\nkind: LoadGenerator\nmetadata: {name: g}\nspec: {replicas: 1, requestCount: 1, betweenDelay: 1s, requests: ['{\"designation\":\"http://127.0.0.1:1/\"}']}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, tt := range map[string]struct {
		args string
		code int
	}{
		"the load is not described":                    {"", cli.ExitUsage},
		"the load has only URLs: keep one":             {"-f " + urls + " --system shop", cli.ExitUsage},
		"--url and --system are both given":            {"--system shop --url http://127.0.0.1:1/ --users 1", cli.ExitUsage},
		"--only chooses among the loads of files":      {"--url http://127.0.0.1:1/ --rate 1 --only x", cli.ExitUsage},
		"--follow needs a file that it can read again": {"--url http://127.0.0.1:1/ --rate 1 --follow", cli.ExitUsage},
		"--load-pods 0 is not possible":                {"--rate 1 --on cluster --load-pods 0", cli.ExitUsage},
		"--load-pods":                                  {"--rate 1 --on local --load-pods 2", cli.ExitUsage},
		"moon":                                         {"--rate 1 --on moon", cli.ExitUsage},
		"--rate":                                       {"--rate -1 --count 1 --url http://127.0.0.1:1/", cli.ExitUsage},
		"the files describe no load and 0 experiments": {"-f " + file + " --on local", cli.ExitError},
		"gone.yaml":                                    {"-f gone.yaml --on local", cli.ExitError},
		"finding the cluster: there is no kubeconfig":  {"--rate 1", cli.ExitError},
	} {
		if out, talk, code := play(t, strings.Fields(tt.args)...); code != tt.code || !strings.Contains(talk, want) || out != "" {
			t.Errorf("%q: exit code %d, %q, %s; want %d and %q", tt.args, code, out, talk, tt.code, want)
		}
	}
}

// A load needs a system if any of its requests, or of the routes of its chains, names a
// service.
func TestNeedsSystem(t *testing.T) {
	url := load.Request{URL: "http://a/"}
	for name, tt := range map[string]struct {
		requests []load.Request
		want     bool
	}{
		"no request: every entry":   {nil, true},
		"URLs":                      {[]load.Request{url, url}, false},
		"a URL and a service":       {[]load.Request{url, {Service: "web"}}, true},
		"a chain to a URL":          {[]load.Request{{Chain: `{"designation":"http://a/"}`}}, false},
		"a chain to a service":      {[]load.Request{{Chain: `{"designation":"web"}`}}, true},
		"a route to a service":      {[]load.Request{{Chain: `{"designation":"http://a/","routes":[{"designation":"web"}]}`}}, true},
		"a chain that is not valid": {[]load.Request{{Chain: `{`}}, true},
	} {
		if got := needsSystem(&load.Profile{Requests: tt.requests}); got != tt.want {
			t.Errorf("%s: needs a system %v, want %v", name, got, tt.want)
		}
	}
}

// Changes of a file are followed as factors of what the load began with.
func TestFactorsOf(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to load.Phase
		want     control.LoadFactors
	}{
		"twice the rate":       {load.Phase{Rate: 10}, load.Phase{Rate: 20}, control.LoadFactors{Rate: 2, Burst: 1, Users: 1}},
		"nothing any more":     {load.Phase{Rate: 10}, load.Phase{}, control.LoadFactors{Rate: 0, Burst: 1, Users: 1}},
		"bursts from none":     {load.Phase{Rate: 10}, load.Phase{Rate: 10, Burst: 4}, control.LoadFactors{Rate: 1, Burst: 4, Users: 1}},
		"a third of the users": {load.Phase{Users: 6}, load.Phase{Users: 2}, control.LoadFactors{Rate: 1, Burst: 1, Users: 1.0 / 3}},
	} {
		if got := factorsOf(&tt.from, &tt.to); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestSameBeats(t *testing.T) {
	every := func(n int) *load.Beat { return &load.Beat{Every: n} }
	began := load.Profile{Requests: []load.Request{{Name: "a"}, {Name: "b", Beat: every(2)}}}
	for name, tt := range map[string]struct {
		requests []load.Request
		want     bool
	}{
		"the same":          {[]load.Request{{Name: "a"}, {Name: "b", Beat: every(2)}}, true},
		"another beat":      {[]load.Request{{Name: "a"}, {Name: "b", Beat: every(3)}}, false},
		"a beat less":       {[]load.Request{{Name: "a"}, {Name: "b"}}, false},
		"another order":     {[]load.Request{{Name: "b", Beat: every(2)}, {Name: "a"}}, false},
		"a request less":    {[]load.Request{{Name: "a"}}, false},
		"a request renamed": {[]load.Request{{Name: "c"}, {Name: "b", Beat: every(2)}}, false},
	} {
		if got := sameBeats(&began, &load.Profile{Requests: tt.requests}); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The line of progress counts what ended since the line before it.
func TestProgress(t *testing.T) {
	profile := load.Profile{Phases: []load.Phase{{Duration: unit.Duration(20 * time.Second)}, {Duration: unit.Duration(70 * time.Second)}}}
	l := &progressLine{began: time.Unix(100, 0), length: lengthOf(&profile)}
	for i := range 5 {
		class := outcome.OK
		if i == 0 {
			class = outcome.Timeout
		}
		l.observe(measure.Outcome{Class: class})
	}
	if got, want := l.text(time.Unix(101, 0)), "1s of 1m30s: 5 requests ended, 5 in the last second, 1 failed"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	l.observe(measure.Outcome{Class: outcome.OK})
	if got, want := l.text(time.Unix(102, 0)), "2s of 1m30s: 6 requests ended, 1 in the last second, 1 failed"; got != want {
		t.Errorf("the line is %q, want %q", got, want)
	}
	profile.Phases[1].Duration = 0
	if got := lengthOf(&profile); got != 0 {
		t.Errorf("a load without an end lasts %v", got)
	}
	if showProgress(&strings.Builder{}, &profile).observe != nil {
		t.Error("progress is shown on what is no terminal")
	}
}
