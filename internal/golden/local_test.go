package golden

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const tinySystem = `apiVersion: microsim.dev/v1alpha1
kind: System
name: tiny
services:
  - name: web
    calls: [{to: cart, timeout: 900ms, retry: {attempts: 2}, onError: ignore}]
  - name: cart
`

// tinyExperiment has one of each thing that a result tells about, as far as one
// second shows it.
const tinyExperiment = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: tiny
system:
  services:
    - name: web
      calls: [{to: cart, timeout: 900ms, retry: {attempts: 2}, onError: ignore}]
    - name: cart
load: {rate: 100, duration: 1s}
tail: 100ms
faults:
  - {type: error, target: cart, start: 300ms, duration: 400ms}
checks:
  - {check: "errors < 100%", phase: during}
  - {check: "p99 < 1h", service: web}
  - {check: "errors < 100%", from: web, service: cart}
`

const variants = `variants:
  - {name: none}
  - {name: workers, set: [{service: web, workers: 8}]}
`

// states is the directory for the state of local systems.
var states string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if states, err = os.MkdirTemp("", "golden"); err != nil {
			panic(err)
		}
		defer os.RemoveAll(states)
		if err := os.Setenv("MICROSIM_STATE_DIR", states); err != nil {
			panic(err)
		}
		return m.Run()
	}())
}

// written writes a file for a command to read and returns its path.
func written(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// output returns what a command line of kubectl-microsim prints on stdout.
func output(t *testing.T, args ...string) []byte {
	t.Helper()
	var out, talk bytes.Buffer
	if code := runPlugin(t.Context(), strings.NewReader(""), &out, &talk, args...); code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, talk.String())
	}
	return out.Bytes()
}

// TestRecords pins the files of a run, and what is in them.
func TestRecords(t *testing.T) {
	for name, text := range map[string]string{"run": tinyExperiment, "variants": tinyExperiment + variants} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Two systems of one name cannot run side by side.
			file := written(t, "tiny.yaml", strings.Replace(text, "name: tiny", "name: "+name, 1))
			dir, found := filepath.Join(t.TempDir(), "out"), shape{}
			document := output(t, "run", "-f", file, "--on", "local", "--out", dir, "-o", "json")
			found.add(t, "run -o json", document)
			found.addFiles(t, "file", dir)
			compareSet(t, "records-"+name+".txt", found.certain())
		})
	}
}

// TestLocalSystem pins what the commands print of a system on this machine, the
// answers of its control plane, and the files of its state.
func TestLocalSystem(t *testing.T) {
	end := up(t)
	found := shape{}
	found.addFiles(t, "state file", states)
	found.addFiles(t, "state of SYSTEM", filepath.Join(states, "tiny"))
	found.add(t, "status SYSTEM", output(t, "status", "tiny", "--on", "local", "-o", "json"))
	found.add(t, "version", output(t, "version", "-o", "json"))
	found.add(t, "status", output(t, "status", "--on", "local", "-o", "json"))
	found.add(t, "load", output(t, "load", "--system", "tiny", "--on", "local", "--rate", "100", "--duration", "300ms", "-o", "json"))
	found.add(t, "top", output(t, "top", "tiny", "--on", "local", "-o", "json", "--watch=false"))
	output(t, "fault", "add", "latency", "--target", "cart", "--delay", "1ms", "--on", "local", "--system", "tiny")
	found.add(t, "fault list", output(t, "fault", "list", "--on", "local", "-o", "json"))
	chain := written(t, "chain.json", `{"designation":"web","routes":[{"designation":"cart"}]}`)
	found.add(t, "call", output(t, "call", "-f", chain, "--on", "local", "--system", "tiny", "-o", "json"))
	for _, path := range []string{"/admin/status", "/admin/faults", "/admin/system"} {
		found.add(t, "GET "+path, control(t, path))
	}
	end()
	compareSet(t, "local.txt", found)
}

// up brings a system up and returns how to take it down.
func up(t *testing.T) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var talk bytes.Buffer
	code := make(chan int, 1)
	file := written(t, "system.yaml", tinySystem)
	go func() {
		code <- runPlugin(ctx, strings.NewReader(""), io.Discard, &talk, "up", "-f", file, "--on", "local")
	}()
	end = func() {
		cancel()
		if got := <-code; got != 0 {
			t.Errorf("up: exit code %d\n%s", got, talk.String())
		}
		code <- 0
	}
	t.Cleanup(end)
	for runPlugin(ctx, strings.NewReader(""), io.Discard, io.Discard, "status", "tiny", "--on", "local") != 0 {
		select {
		case got := <-code:
			code <- 0
			t.Fatalf("up: exit code %d\n%s", got, talk.String())
		case <-time.After(5 * time.Millisecond):
		}
	}
	return end
}

// control returns what the control plane of the system answers.
func control(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(states, "tiny", "system.json"))
	if err != nil {
		t.Fatal(err)
	}
	var record struct{ ControlURL, Token string }
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	status, body := ask(t, http.DefaultClient, "GET", record.ControlURL+path, "", "Authorization", "Bearer "+record.Token)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, status, body)
	}
	return body
}

// ask sends a request and returns the status and the body of the answer.
func ask(t *testing.T, client *http.Client, method, url, body string, header ...string) (int, []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, got
}

// TestSchema pins the JSON Schemas without their words.
func TestSchema(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"system", "experiment", "dataset"} {
		var schema any
		if err := json.Unmarshal(output(t, "schema", kind), &schema); err != nil {
			t.Fatal(err)
		}
		wordless(schema)
		text, err := json.MarshalIndent(schema, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "schema-"+kind+".json", string(text)+"\n")
	}
}

// wordless removes descriptions from a schema.
func wordless(v any) {
	switch v := v.(type) {
	case map[string]any:
		if text, is := v["description"].(string); is && text != "" {
			delete(v, "description")
		}
		for _, inner := range v {
			wordless(inner)
		}
	case []any:
		for _, inner := range v {
			wordless(inner)
		}
	}
}
