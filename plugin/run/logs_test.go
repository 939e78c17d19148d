package run

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/observe/collect"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/loadgen"
)

// playLogged plays an experiment with a line for each request.
func playLogged(t *testing.T, target string) (*result.Result, []logline.Line) {
	t.Helper()
	logs := &runLogs{requests: true, keep: true, silent: true}
	var r *result.Result
	var err error
	switch target {
	case virtual.Target:
		r, err = virtual.Run(t.Context(), troubled(), virtual.Options{Logs: logs.takeAll, LogRequests: true})
	default:
		logs.begin("troubled")
		l := local.Flags{Isolation: target, Verbose: true, Lines: logs.take}
		deployer, makeErr := l.DeployerIn("", io.Discard)
		if makeErr != nil {
			t.Fatal(makeErr)
		}
		r, err = runner.Run(context.Background(), troubled(), runner.Deps{Deployer: deployer, Loader: &loadgen.Generator{}, Collector: collect.New(collect.Options{})}, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	if sum := logs.summary(); sum.Dropped > 0 || sum.Share != 1 || sum.Lines == 0 {
		t.Errorf("%s: the logs are %+v", target, sum)
	}
	return r, logs.store.Load().Lines()
}

// The lines of requests add up to the counts of the result, and say the same in the
// same fields for real and in virtual time.
func TestLoggedRequestsAreThoseOfTheResult(t *testing.T) {
	shapes := map[string]map[string]bool{}
	for _, target := range []string{virtual.Target, string(localsim.InProcess)} {
		r, lines := playLogged(t, target)
		want, got := counts{}, counts{}
		for _, s := range r.Segments[0].Services {
			for code, n := range s.Codes {
				if n > 0 {
					want[s.Service+" "+code] += n
				}
			}
		}
		shapes[target] = map[string]bool{}
		for _, l := range lines {
			fields, err := l.Fields()
			if err != nil {
				t.Fatalf("%s: %s: %v", target, l.Text, err)
			}
			var keys []string
			values := map[string]any{}
			for _, f := range fields {
				keys, values[f.Key] = append(keys, f.Key), f.Value
			}
			if values["msg"] == "request" {
				code, answered := values["status"]
				if !answered {
					code = values["outcome"]
				}
				got[fmt.Sprintf("%s %v", l.Service, code)]++
				if l.Trace.IsZero() || values["path"] != "/" {
					t.Errorf("%s: the line %s has no trace or path", target, l.Text)
				}
			}
			message := fmt.Sprint(values["msg"])
			if message != "fault cleared" && !strings.HasPrefix(message, "replica") {
				shapes[target][message+": "+strings.Join(keys, " ")] = true
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the result (-) and the log (+) differ:\n%s", target, diff)
		}
	}
	if diff := cmp.Diff(shapes[virtual.Target], shapes[string(localsim.InProcess)]); diff != "" {
		t.Errorf("lines in virtual time (-) and for real (+) differ:\n%s", diff)
	}
}

// The file keeps all lines as JSON in the order of time, those of frameworks, too.
func TestWordsOfFrameworksAreLinesToo(t *testing.T) {
	logs := &runLogs{keep: true, format: "text"}
	var screen strings.Builder
	logs.show(&screen)
	logs.begin("shop")
	logs.take("cart", 2, []byte(`{"time":"2026-01-02T03:04:05Z","level":"INFO","msg":"fault applied","service":"cart"}`))
	logs.take("cart", 2, []byte(`{"time":"2026-01-02T03:04:06Z","level":"WARN","msg":"replica down","service":"cart"}`))
	logs.take("cart", 2, []byte("Listening on \x1b[31m:80"))
	logs.take("cart", 2, nil)
	if want := "time=2026-01-02T03:04:06.000Z level=WARN msg=\"replica down\" service=cart\nListening on "; !strings.HasPrefix(screen.String(), want) || strings.Contains(screen.String(), "\x1b") {
		t.Errorf("shown is %q", screen.String())
	}
	var file strings.Builder
	if err := logs.store.Load().Write(&file); err != nil {
		t.Fatal(err)
	}
	var messages []string
	for line := range strings.Lines(file.String()) {
		var fields struct {
			Msg, System, Service string
			Replica              int
		}
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatal(err)
		}
		messages = append(messages, fmt.Sprintf("%s %s/%d", fields.Msg, fields.Service, fields.Replica))
	}
	if diff := cmp.Diff([]string{"fault applied cart/0", "replica down cart/0", "Listening on \x1b[31m:80 cart/2"}, messages); diff != "" {
		t.Error(diff)
	}
}
