//go:build e2e

package plugin

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
)

func programCases() []e2eCase {
	return []e2eCase{
		{"a chain goes through several runtimes", severalRuntimes},
		{"a program of the user is called, broken and taken down", userProgram},
	}
}

// severalRuntimes sends a chain through an agent, Express, Gin and an agent, and wants one
// trace and one request id from the first to the last.
func severalRuntimes(k *onKind) {
	k.ok("microsim", "runtimes", "install", "express", "gin")
	system := k.file("mixed.yaml", `{apiVersion: microsim.dev/v1alpha1, kind: System, name: mixed, services: [
		{name: web, calls: [cart]}, {name: cart, runtime: express, calls: [stock]}, {name: stock, runtime: gin, calls: [db]}, {name: db}]}`)
	k.ok(k.microsim("up", "-f", system)...)
	if status := k.ok(k.microsim("status", "mixed")...); !strings.Contains(status, "runtime express") || !strings.Contains(status, "runtime gin") {
		k.t.Errorf("the status shows no runtimes:\n%s", status)
	}
	request := k.file("chain.json", `{"designation":"web","routes":[{"designation":"cart","routes":[{"designation":"stock","routes":[{"designation":"db"}]}]}]}`)
	out := k.ok(k.microsim("call", "-f", request, "--system", "mixed", "--trace", "-o", "json")...)
	var answer struct {
		Response chain.Response  `json:"response"`
		Trace    json.RawMessage `json:"trace"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		k.t.Fatalf("the answer is not a response with a trace: %v\n%s", err, out)
	}
	if got := shape(&answer.Response); got != "web(cart(stock(db)))" {
		k.t.Errorf("the answer has the shape %s, want web(cart(stock(db))): %s", got, out)
	}
	traces, requests := spansOf(k.t, answer.Trace)
	if len(traces["web"]) != 1 || len(traces["db"]) != 1 || traces["web"][0] != traces["db"][0] {
		k.t.Errorf("the traces of the spans are %v, want one of web and db", traces)
	}
	if len(requests) != 1 {
		k.t.Errorf("the ids of the requests are %v, want one", requests)
	}
	// A fault inside a runtime is ordered at its only port.
	k.ok(k.microsim("fault", "add", "error", "--target", "stock", "--status", "503", "--system", "mixed")...)
	k.fails("503 by fault", k.microsim("call", "-f", request, "--system", "mixed")...)
	// This one acts in the caller, which is an agent, and not in Express.
	k.ok(k.microsim("fault", "add", "unreachable", "--target", "cart", "--system", "mixed")...)
	k.fails("a fault lets nobody answer", k.microsim("call", "-f", request, "--system", "mixed")...)
	k.ok(k.microsim("down", "mixed")...)
}

// spansOf lists the traces of each service's spans, and all ids of requests, each once.
func spansOf(t *testing.T, trace []byte) (traces map[string][]string, requests map[string]bool) {
	t.Helper()
	type value struct {
		Key   string `json:"key"`
		Value struct {
			Text string `json:"stringValue"`
		} `json:"value"`
	}
	var doc struct {
		ResourceSpans []struct {
			Resource struct {
				Attributes []value `json:"attributes"`
			} `json:"resource"`
			ScopeSpans []struct {
				Spans []struct {
					TraceID    string  `json:"traceId"`
					Attributes []value `json:"attributes"`
				} `json:"spans"`
			} `json:"scopeSpans"`
		} `json:"resourceSpans"`
	}
	if err := json.Unmarshal(trace, &doc); err != nil {
		t.Fatal(err)
	}
	find := func(values []value, key string) string {
		for _, v := range values {
			if v.Key == key {
				return v.Value.Text
			}
		}
		return ""
	}
	seen := map[string]bool{}
	traces, requests = map[string][]string{}, map[string]bool{}
	for _, r := range doc.ResourceSpans {
		service := find(r.Resource.Attributes, "service.name")
		for _, s := range r.ScopeSpans {
			for _, span := range s.Spans {
				requests[find(span.Attributes, "microsim.request.id")] = true
				if key := service + span.TraceID; !seen[key] {
					seen[key] = true
					traces[service] = append(traces[service], span.TraceID)
				}
			}
		}
	}
	return traces, requests
}

// userServer is a program that is not of this project.
const userServer = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, r.URL.Path) })
	panic(http.ListenAndServe(":"+os.Getenv("PORT"), nil))
}
`

// userProgram runs a program of an image among services.
func userProgram(k *onKind) {
	dir := k.t.TempDir()
	for name, text := range map[string]string{"main.go": userServer, "go.mod": "module ship\n\ngo 1.26\n", "Dockerfile": "FROM scratch\nCOPY ship /ship\nENTRYPOINT [\"/ship\"]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			k.t.Fatal(err)
		}
	}
	image := "microsim-test/ship:" + k.Sandbox
	for _, words := range [][]string{
		{"go", "build", "-o", "ship", "."}, {"docker", "build", "--quiet", "--tag", image, "."}, {"kind", "load", "docker-image", image, "--name", k.Sandbox},
	} {
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			k.t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
		}
	}
	k.t.Cleanup(func() { _ = exec.Command("docker", "rmi", "--force", image).Run() })
	experiment := k.file("ship.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: cut
system:
  name: ship
  services:
  - {name: web, calls: [{to: ship, endpoint: /send, timeout: 1s}]}
  - {name: ship, image: "`+image+`", port: 3000}
load: {rate: 20, duration: 6s, requests: web}
faults:
- {type: net-partition, target: web->ship, start: 2s, duration: 2s}
checks:
- {check: "errors > 30%", phase: during}
- {check: requests > 50, from: web, service: ship}
`)
	out := k.ok(k.microsim("run", "-f", experiment)...)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "ship ") {
			k.t.Errorf("the report has figures of a program that tells none: %s", line)
		}
	}
}
