package plugin

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// A flagWorld is what commands find in TestEveryFlagActsOrIsRefused: files, a system
// on this machine, a web server, an API server, and a docker that only writes down
// what it is asked for.
type flagWorld struct {
	words map[string]string
	seen  map[string]string
	dir   string

	mu       sync.Mutex
	requests strings.Builder
	conns    map[string]bool // their clients' addresses
}

// flagFiles are the files of the world, each by the word that stands for it.
var flagFiles = map[string]struct{ name, text string }{
	"$SYSTEM": {"system.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: System
name: held
services: [{name: web, calls: [db]}, {name: db}]
`},
	"$LABELS": {"labels.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: System
name: labels
services: [{name: web, language: perl, framework: mojolicious}]
`},
	"$FREE": {"free.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: System
name: free
services: [{name: web}]
`},
	"$EXPERIMENT": {"experiment.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: brief
system: {name: brief, services: [{name: web}]}
load: {rate: 50, duration: 200ms}
variants: [{name: first}, {name: second}]
`},
	"$SINGLE": {"single.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: single
system: {name: single, services: [{name: web}]}
load: {rate: 50, duration: 200ms}
`},
	"$LOAD": {"load.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: urls
system: {services: [{name: web}]}
load: {rate: 20, duration: 400ms, requests: [{url: "$SERVER/from-file"}]}
`},
	"$ONEUSER": {"one-user.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: user
system: {services: [{name: web}]}
load: {users: 1, count: 8, requests: [{url: "$SERVER/from-file"}]}
`},
	"$LOADS": {"loads.yaml", `
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: first}
spec: {requests: ['{"designation": "$SERVER/first"}'], betweenDelay: 0s}
---
apiVersion: microsim.isala.me/v1alpha1
kind: LoadGenerator
metadata: {name: second}
spec: {requests: ['{"designation": "$SERVER/second"}'], betweenDelay: 0s}
`},
	"$REQUEST": {"request.json", `{"designation":"web","probability":100}`},
	"$FAULTS": {"faults.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: faults
system: {name: held, services: [{name: web, calls: [db]}, {name: db}]}
load: {rate: 1, duration: 1s}
faults: [{name: slow, type: latency, target: {service: db}, args: {delay: 1ms}, duration: 200ms}]
`},
	"$CHAOS": {"chaos.yaml", `
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {name: slow}
spec: {action: delay, mode: all, selector: {labelSelectors: {app: x}}, delay: {latency: 1ms}, duration: 200ms}
`},
	"$CHAOSDNS": {"chaos-dns.yaml", `
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {name: slow}
spec: {action: delay, mode: all, selector: {labelSelectors: {app: dns}}, delay: {latency: 1ms}, duration: 200ms}
`},
	"$CALIBRATION": {"calibration.json", `
apiVersion: microsim.dev/v1alpha1
kind: Calibration
program: v1
date: 2026-01-31T12:00:00Z
machine: {os: linux, arch: amd64, cpus: 2, go: go1.26}
load: 0.3
costs:
  {processorSeconds: 0.0001, connectionSeconds: 0.0001, packetSeconds: 0.00001, requestWaitSeconds: 0, callWaitSeconds: 0.0001, cpuUnitSeconds: 0.001,
    diskSyncSeconds: 0.001, diskBytesPerSecond: 200000000, startSeconds: 0.05, lateness: [{share: 0, seconds: 0}, {share: 1, seconds: 0.001}]}
`},
	"$DATASET": {"dataset.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Dataset
name: failures
system: {name: failures, services: [{name: web, calls: [db]}, {name: db}]}
load: {rate: 20}
before: 2s
after: 2s
faults: [{type: error, targets: [db]}]
formats: [csv]
`},
	"$OLD":   {"old.csv", "it may be overwritten"},
	"$GATES": {"gates.json", `[{"name":"fromfile","listen":"127.0.0.1:0","upstream":"127.0.0.1:1","enabled":true}]`},
}

func newFlagWorld(t *testing.T) *flagWorld {
	w := &flagWorld{dir: t.TempDir(), conns: map[string]bool{}, seen: map[string]string{}, words: map[string]string{}}
	t.Setenv("MICROSIM_STATE_DIR", filepath.Join(w.dir, "state"))
	api := apitest.New(t)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.serve(rw, r, api) })
	plain, secured := httptest.NewServer(handler), httptest.NewUnstartedServer(handler)
	secured.Config.ErrorLog = nil
	secured.StartTLS()
	t.Cleanup(func() {
		for _, s := range []*httptest.Server{plain, secured} {
			s.CloseClientConnections()
			s.Close()
		}
	})
	w.words["$SERVER"] = plain.URL
	w.words["$PORT"], w.words["$AFTERPORT"] = freePorts(t)
	w.words["$SECUREDX"] = secured.URL + "/x"
	w.words["$HTTPSREQUEST"] = w.file(t, "https-request.json", fmt.Sprintf(`{"designation":%q}`, secured.URL+"/secured"))
	w.words["$TWO"] = plain.URL + "/one " + plain.URL + "/two"
	for word, f := range flagFiles {
		w.words[word] = w.file(t, f.name, strings.ReplaceAll(f.text, "$SERVER", plain.URL))
	}
	w.words["$DEEP"] = filepath.Join(w.dir, "deep")
	if err := os.MkdirAll(filepath.Join(w.dir, "deep", "below"), 0o755); err != nil {
		t.Fatal(err)
	}
	w.file(t, "deep/below/wrong.yaml", "kind: nothing")
	w.makeSet(t)
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secured.Certificate().Raw})
	w.words["$CA"] = w.file(t, "ca.pem", string(authority))
	t.Setenv("KUBECONFIG", w.file(t, "kubeconfig", fmt.Sprintf(`
apiVersion: v1
kind: Config
current-context: first
contexts:
- {name: first, context: {cluster: first, user: first}}
- {name: second, context: {cluster: second, user: first}}
clusters:
- {name: first, cluster: {server: %[1]q}}
- {name: second, cluster: {server: %[2]q}}
- {name: secured, cluster: {server: %[3]q}}
users:
- {name: first, user: {}}
- {name: second, user: {token: token-of-second}}
`, plain.URL, plain.URL+"/second", secured.URL)))
	w.words["$OTHERCONFIG"] = w.file(t, "otherconfig", fmt.Sprintf(
		`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c}}], clusters: [{name: c, cluster: {server: %q}}]}`, plain.URL+"/otherconfig"))
	w.createPods(t, plain.URL)
	w.fakeDocker(t)
	w.holdSystem(t)
	w.file(t, filepath.Join("state", "held.log"), "first line\nsecond line\n")
	var talk strings.Builder
	standing := []string{"fault", "add", "error", "--target", "db", "--status", "500", "--name", "standing", "--on", "local"}
	if code := Run(t.Context(), standing, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk}); code != cli.ExitDone {
		t.Fatalf("adding a fault: exit code %d: %s", code, talk.String())
	}
	w.words["$RECORD"] = filepath.Join(w.dir, "record")
	record := []string{"run", "-f", w.words["$SINGLE"], "--on", "local", "--out", w.words["$RECORD"]}
	if code := Run(t.Context(), record, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk}); code != cli.ExitDone {
		t.Fatalf("recording a run: exit code %d: %s", code, talk.String())
	}
	return w
}

// serve answers requests of all kinds, and records them. Paths under /apis, /api or
// /version belong to the API server.
func (w *flagWorld) serve(rw http.ResponseWriter, r *http.Request, api http.Handler) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	compressed := "compressed"
	if r.Header.Get("Accept-Encoding") == "" {
		compressed = "uncompressed"
	}
	forAPI := strings.HasPrefix(r.URL.Path, "/api") || r.URL.Path == "/version"
	w.mu.Lock()
	if !forAPI { // clients of the API server keep connections in their own way
		w.conns[r.RemoteAddr] = true
	}
	fmt.Fprintf(&w.requests, "asked: %s %s %s body=%q", r.Method, r.URL, compressed, body[:min(len(body), 4000)])
	for _, name := range []string{"Authorization", "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra-Scope"} {
		if v := r.Header.Get(name); v != "" {
			fmt.Fprintf(&w.requests, " %s=%s", name, v)
		}
	}
	w.requests.WriteString("\n")
	w.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/api") {
		api.ServeHTTP(rw, r)
		return
	}
	if r.URL.Path == "/version" {
		fmt.Fprint(rw, `{"major":"1","minor":"34","gitVersion":"v1.34.0"}`)
		return
	}
	if r.URL.Path == "/slow" {
		select { // longer than the timeouts of the rows
		case <-time.After(4 * time.Second):
		case <-r.Context().Done():
		}
	}
	http.Error(rw, "there is nothing here", http.StatusNotFound)
}

// fakeDocker puts a docker on the PATH that has no containers, and fails at all
// else; what it is asked for is written down.
func (w *flagWorld) fakeDocker(t *testing.T) {
	bin := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"docker $*\" >>" + filepath.Join(w.dir, "docker.log") + "\ncase \"$1\" in -v) echo Docker version 28.0.0; exit 0;; info) echo {}; exit 0;; ps|version|inspect|pull|image|rm) exit 0;; esac\necho refused >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	// No command opens a browser.
	for _, opener := range []string{"xdg-open", "open"} {
		if err := os.WriteFile(filepath.Join(bin, opener), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// holdSystem brings the system held up for the time of the test.
func (w *flagWorld) holdSystem(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var talk strings.Builder
	go func() {
		ended <- Run(ctx, []string{"up", "-f", w.words["$SYSTEM"], "--on", "local"}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk})
	}()
	t.Cleanup(func() {
		stop()
		if code := <-ended; code != cli.ExitDone {
			t.Errorf("the system ended with exit code %d: %s", code, talk.String())
		}
	})
	for {
		code := Run(ctx, []string{"status", "held", "--on", "local"}, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
		if code == cli.ExitDone {
			return
		}
		select {
		case code := <-ended:
			ended <- code
			t.Fatalf("the system did not come up: exit code %d", code)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// reset forgets what was asked for, and gives other names to $NEW, where nothing is,
// and to $FOREIGN, a directory with files.
func (w *flagWorld) reset(t *testing.T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.requests.Reset()
	_ = os.Remove(filepath.Join(w.dir, "docker.log"))
	w.conns = map[string]bool{}
	number := strconv.Itoa(len(w.seen))
	w.words["$NEW"], w.words["$FOREIGN"] = filepath.Join(w.dir, "new"+number), filepath.Join(w.dir, "foreign"+number)
	if err := os.Mkdir(w.words["$FOREIGN"], 0o755); err != nil {
		t.Fatal(err)
	}
	w.file(t, filepath.Join("foreign"+number, "of-somebody"), "else")
	w.file(t, filepath.Join("foreign"+number, "simple.yaml"), "else")
}

// createPods makes a node and pods that no system has, as others would.
func (w *flagWorld) createPods(t *testing.T, server string) {
	pod := `{"metadata":{"name":%q,"labels":{"app":%q}},"spec":{"nodeName":"node-1","containers":[{"name":"c","image":"i"}]},
		"status":{"phase":"Running","podIP":"10.1.0.%d","podIPs":[{"ip":"10.1.0.%[3]d"}],"containerStatuses":[{"name":"c","containerID":"containerd://1","state":{"running":{}}}]}}`
	for _, created := range [][2]string{
		{"/api/v1/nodes", `{"metadata":{"name":"node-1"},"status":{"conditions":[{"type":"Ready","status":"True"}],"nodeInfo":{"architecture":"amd64"}}}`},
		{"/api/v1/namespaces", `{"metadata":{"name":"default"}}`},
		{"/api/v1/namespaces/default/pods", fmt.Sprintf(pod, "one", "x", 1)},
		{"/api/v1/namespaces/default/pods", fmt.Sprintf(pod, "two", "x", 2)},
		{"/api/v1/namespaces/kube-system/pods", fmt.Sprintf(pod, "dns", "dns", 3)},
		{"/api/v1/namespaces", `{"metadata":{"name":"microsim-system","labels":{"app.kubernetes.io/managed-by":"microsim"}}}`},
		{"/api/v1/namespaces/microsim-system/serviceaccounts", `{"metadata":{"name":"default"}}`},
	} {
		path, body := created[0], created[1]
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("User-Agent", apitest.Outsider)
		resp, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode/100 != 2 {
			t.Fatalf("POST %s: %s", path, resp.Status)
		}
	}
}

// asked is what servers and docker were asked for, and the files that were made.
func (w *flagWorld) asked() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	docker, _ := os.ReadFile(filepath.Join(w.dir, "docker.log"))
	text := w.requests.String() + string(docker) + fmt.Sprintf("connections: %d\n", len(w.conns))
	if info, err := os.Stat(w.words["$NEW"]); err == nil {
		text += fmt.Sprintf("made: a new %s\n", map[bool]string{true: "directory", false: "file"}[info.IsDir()])
	}
	return text
}

// expand replaces the words of the world.
func (w *flagWorld) expand(text string) string {
	for word, is := range w.words {
		if text == word {
			return is
		}
	}
	for _, word := range []string{"$SERVER", "$PORT", "$AFTERPORT"} {
		text = strings.ReplaceAll(text, word, w.words[word])
	}
	return text
}

func (w *flagWorld) file(t *testing.T, name, text string) string {
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// freePorts returns two ports in a row that nobody listens to at the moment. They are
// none of those that the system gives to connections.
func freePorts(t *testing.T) (port, after string) {
	for base := 20000 + os.Getpid()%5000*2; base < 32000; base += 2 {
		one, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base)))
		if err != nil {
			continue
		}
		two, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(base+1)))
		one.Close()
		if err == nil {
			two.Close()
			return strconv.Itoa(base), strconv.Itoa(base + 1)
		}
	}
	t.Fatal("there are no two free ports in a row")
	return "", ""
}

// makeSet records a run of which data sets can be made, and makes one.
func (w *flagWorld) makeSet(t *testing.T) {
	experiment := w.file(t, "broken.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: broken
system: {name: broken, services: [{name: web, calls: [db]}, {name: db, work: {sleep: 20ms}}]}
load: {rate: 20, duration: 12s}
variants: [{name: broken, faults: [fails]}, {name: well, faults: [nothing]}]
faults:
  - {name: fails, type: error, target: db, start: 6s, duration: 4s}
  - {name: nothing, type: latency, target: db, start: 6s, duration: 4s, delay: 1us}
`)
	w.words["$RUNS"], w.words["$SET"] = filepath.Join(w.dir, "runs", "broken"), filepath.Join(w.dir, "set")
	w.words["$HARMLESS"] = filepath.Join(w.dir, "runs", "well")
	for _, line := range []string{
		"run -f " + experiment + " --on virtual --out " + filepath.Join(w.dir, "runs"),
		"export $RUNS --format csv --out $SET",
	} {
		var args []string
		for _, word := range strings.Fields(line) {
			args = append(args, w.expand(word))
		}
		var talk strings.Builder
		if code := Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &talk}); code != 0 {
			t.Fatalf("kubectl microsim %s: exit code %d: %s", line, code, talk.String())
		}
	}
}
