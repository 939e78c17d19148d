//go:build e2e

package plugin

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/chain"
)

// An onKind runs the built plugin by kubectl, with state and kubeconfig of its
// own, against one sandbox that ends with the test.
type onKind struct {
	t       *testing.T
	env     []string
	Sandbox string
}

func newOnKind(t *testing.T, how ...string) *onKind {
	t.Helper()
	for _, tool := range []string{"docker", "kubectl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("these tests need %s: %v", tool, err)
		}
	}
	nodes := cmp.Or(os.Getenv("MICROSIM_NODE_IMAGE"), "kindest/node:v1.34.4")
	if out, err := exec.Command("docker", "image", "inspect", nodes).CombinedOutput(); err != nil {
		t.Fatalf("these tests need docker and the node image %s; MICROSIM_NODE_IMAGE names another: %v\n%s", nodes, err, out)
	}
	dir := t.TempDir()
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir, "github.com/microsim-dev/kubectl-microsim/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the programs: %v\n%s", err, out)
	}
	// Nobody else has a sandbox of this name, not even another test.
	sandbox := fmt.Sprintf("microsim-e2e-%d", os.Getpid())
	k := &onKind{t: t, Sandbox: sandbox, env: append(os.Environ(),
		"PATH="+dir+string(os.PathListSeparator)+os.Getenv("PATH"), "MICROSIM_STATE_DIR="+filepath.Join(dir, "state"),
		"KUBECONFIG="+filepath.Join(dir, "state-sandboxes", sandbox+".kubeconfig"),
	)}
	t.Cleanup(func() { k.ok("microsim", "cluster", "delete", sandbox, "--ignore-not-found") })
	k.ok(append([]string{"microsim", "cluster", "create", sandbox, "--node-image", nodes}, how...)...)
	return k
}

// run runs kubectl and returns what it printed.
func (k *onKind) run(args ...string) (stdout, stderr string, err error) {
	k.t.Helper()
	var out, talk bytes.Buffer
	cmd := exec.Command("kubectl", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = k.env, &out, &talk
	started := time.Now()
	err = cmd.Run()
	k.t.Logf("kubectl %s: %v (%.1fs)\n%s%s", strings.Join(args, " "), err, time.Since(started).Seconds(), talk.String(), out.String())
	return out.String(), talk.String(), err
}

// ok runs kubectl, which must succeed, and returns its data.
func (k *onKind) ok(args ...string) string {
	k.t.Helper()
	out, talk, err := k.run(args...)
	if err != nil {
		k.t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, talk)
	}
	return out
}

// fails runs kubectl, which must fail with a text.
func (k *onKind) fails(want string, args ...string) {
	k.t.Helper()
	if _, talk, err := k.run(args...); err == nil || !strings.Contains(talk, want) {
		k.t.Errorf("kubectl %s: %v; want an error with %q, got\n%s", strings.Join(args, " "), err, want, talk)
	}
}

// everything lists what there is in all namespaces, by name.
func (k *onKind) everything() string {
	k.t.Helper()
	return k.ok("get", "all,configmap,secret,namespace", "-A", "-o", "name")
}

func (k *onKind) file(name, text string) string {
	k.t.Helper()
	path := filepath.Join(k.t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		k.t.Fatal(err)
	}
	return path
}

func (k *onKind) microsim(args ...string) []string {
	return append(append([]string{"microsim"}, args...), "--on", "kind", "--sandbox", k.Sandbox)
}

const frontAndBack = `
apiVersion: microsim.dev/v1alpha1
kind: System
name: NAME
services:
  - {name: front, calls: [back]}
  - {name: back, replicas: 2}
`

// An e2eCase leaves the cluster as it was.
type e2eCase struct {
	name string
	run  func(*onKind)
}

// leaving runs what is to leave all as it was.
func (k *onKind) leaving(run func(*onKind)) {
	k.t.Helper()
	before := k.everything()
	run(k)
	if after := k.everything(); after != before {
		k.t.Errorf("before there was\n%s\nafterwards\n%s", before, after)
	}
}

func TestOnKind(t *testing.T) {
	k := newOnKind(t)
	for _, test := range slices.Concat(systemCases(), faultCases(), loadCases(), fileCases(), accessCases(), troubleCases(), detachCases(), pushCases(), programCases(), storeCases()) {
		t.Run(test.name, func(t *testing.T) {
			in := &onKind{t: t, env: k.env, Sandbox: k.Sandbox}
			// Leftovers of a failure must not make other tests fail.
			t.Cleanup(func() {
				if t.Failed() {
					_, _, _ = in.run(in.microsim("down", "--all")...)
				}
			})
			in.leaving(test.run)
		})
	}
}

func systemCases() []e2eCase {
	return []e2eCase{
		{"a MicroSim request is answered as its route says", sample},
		{"a system comes, changes and goes without a trace", comeAndGo},
		{"two systems live side by side", sideBySide},
		{"a dry run changes nothing", dryRun},
		{"a pod that cannot start is explained", explained},
		{"what others own is not touched", untouched},
	}
}

func sample(k *onKind) {
	started := time.Now()
	out := k.ok(k.microsim("call", "microsim-sample", "--seed", "3", "-o", "json")...)
	if took := time.Since(started); took < 1600*time.Millisecond {
		k.t.Errorf("the answer came after %v, sooner than its delays allow", took)
	}
	var response chain.Response
	if err := json.Unmarshal([]byte(out), &response); err != nil {
		k.t.Fatalf("the answer is not a response document: %v\n%s", err, out)
	}
	if response.Service != "service-1" || len(response.Errors) > 0 || len(response.Response) == 0 {
		k.t.Errorf("the answer is %s", out)
	}
	// With every hop taken, the delays of the request are 2.4 s.
	whole := k.file("whole.json", `{"designation":"a","faults":{"before":[{"type":"latency","args":{"delay":600}}]},"routes":[
		{"designation":"b","faults":{"after":[{"type":"latency","args":{"delay":600}}]},"routes":[{"designation":"c","faults":{"before":[{"type":"latency","args":{"delay":200}}]}}]},
		{"designation":"d","faults":{"before":[{"type":"latency","args":{"delay":1000}}]}}]}`)
	system := k.file("abcd.yaml", `{apiVersion: microsim.dev/v1alpha1, kind: System, name: abcd, services: [{name: a}, {name: b}, {name: c}, {name: d}]}`)
	k.ok(k.microsim("up", "-f", system)...)
	started = time.Now()
	out = k.ok(k.microsim("call", "-f", whole, "--system", "abcd", "-o", "json")...)
	if took := time.Since(started); took < 2400*time.Millisecond {
		k.t.Errorf("the answer came after %v, sooner than the 2.4 s of its delays", took)
	}
	var tree chain.Response
	if err := json.Unmarshal([]byte(out), &tree); err != nil {
		k.t.Fatal(err)
	}
	if got := shape(&tree); got != "a(b(c),d)" {
		k.t.Errorf("the answer has the shape %s, want a(b(c),d): %s", got, out)
	}
	k.ok(k.microsim("down", "abcd")...)
}

// shape writes an answer as its services: a(b(c),d).
func shape(r *chain.Response) string {
	if r == nil {
		return "?"
	}
	text := r.Service
	if len(r.Errors) > 0 {
		text += "!"
	}
	var parts []string
	for _, child := range r.Response {
		parts = append(parts, shape(child))
	}
	if len(parts) > 0 {
		text += "(" + strings.Join(parts, ",") + ")"
	}
	return text
}

func comeAndGo(k *onKind) {
	text := strings.ReplaceAll(frontAndBack, "NAME", "shop")
	file := k.file("shop.yaml", text)
	k.ok(k.microsim("up", "-f", file)...)
	if out := k.ok("get", "--raw", "/api/v1/namespaces/shop/services/http:front:80/proxy/"); !strings.Contains(out, "payload") {
		k.t.Errorf("front answers %q", out)
	}
	if out := k.ok(k.microsim("status", "shop")...); !strings.Contains(out, "2/2") {
		k.t.Errorf("status does not show two pods of back:\n%s", out)
	}
	// Services that the file no longer names are removed, new ones are added.
	k.ok(k.microsim("up", "-f", k.file("smaller.yaml", strings.NewReplacer("calls: [back]", "replicas: 2", "  - {name: back, replicas: 2}\n", "").Replace(text)))...)
	if out := k.ok("-n", "shop", "get", "deployments,services", "-o", "name"); strings.Contains(out, "back") || !strings.Contains(out, "front") {
		k.t.Errorf("after the change there is\n%s", out)
	}
	// Changes by others are not overwritten in silence.
	k.ok("-n", "shop", "scale", "deployment/front", "--replicas=3")
	k.fails("--force-conflicts", k.microsim("up", "-f", file)...)
	k.ok(k.microsim("up", "-f", file, "--force-conflicts")...)
	k.ok(k.microsim("down", "shop")...)
	k.fails(`no system "shop"`, k.microsim("down", "shop")...)
	k.fails(`no system "shop"`, k.microsim("status", "shop")...)
}

func sideBySide(k *onKind) {
	left := k.file("left.yaml", strings.ReplaceAll(frontAndBack, "NAME", "left"))
	right := k.file("right.yaml", strings.ReplaceAll(frontAndBack, "NAME", "right"))
	k.ok(k.microsim("up", "-f", left)...)
	k.ok(k.microsim("up", "-f", right)...)
	if out := k.ok(k.microsim("status")...); !strings.Contains(out, "left") || !strings.Contains(out, "right") {
		k.t.Errorf("status shows\n%s", out)
	}
	k.fails("objects of others", k.microsim("up", "-f", right, "-n", "left")...)
	// The end of one system's fault leaves that of the other.
	for _, system := range []string{"left", "right"} {
		k.ok(k.microsim("fault", "add", "net-delay", "--system", system, "--target", "back", "--delay", "50ms", "--for", "2min")...)
	}
	k.ok(k.microsim("fault", "clear", "--all", "--system", "left")...)
	if out := k.ok(k.microsim("fault", "list", "--system", "right")...); !strings.Contains(out, "delay 50ms") || strings.Contains(out, "does not act") {
		k.t.Errorf("with its neighbour's fault cleared, the one of right is\n%s", out)
	}
	k.ok(k.microsim("down", "left")...)
	if out := k.ok("get", "--raw", "/api/v1/namespaces/right/services/http:front:80/proxy/"); !strings.Contains(out, "payload") {
		k.t.Errorf("with its neighbour gone, front answers %q", out)
	}
	k.ok(k.microsim("down", "--all")...)
}

func dryRun(k *onKind) {
	file := k.file("dry.yaml", strings.ReplaceAll(frontAndBack, "NAME", "dry"))
	plan := k.ok(k.microsim("up", "-f", file, "--dry-run=client", "-o", "yaml")...)
	k.ok("create", "namespace", "dry")
	// kubectl takes the plan as it is.
	k.ok("apply", "--dry-run=server", "-f", k.file("plan.yaml", plan))
	if out := k.ok(k.microsim("up", "-f", file, "-n", "dry", "--dry-run=server")...); !strings.Contains(out, "deployment.apps/front applied (server dry run)") {
		k.t.Errorf("the server's dry run says\n%s", out)
	}
	k.ok("delete", "namespace", "dry")
	// A system that kubectl applied can be brought up again and taken down, as any
	// other.
	k.ok("apply", "-f", k.file("plan.yaml", plan))
	k.ok(k.microsim("up", "-f", file)...)
	k.ok(k.microsim("down", "dry")...)
}

func explained(k *onKind) {
	file := k.file("bad.yaml", strings.ReplaceAll(frontAndBack, "NAME", "bad"))
	k.fails("cannot be pulled", k.microsim("up", "-f", file, "--image", "127.0.0.1:1/no/such:image")...)
	large := strings.Replace(strings.ReplaceAll(frontAndBack, "NAME", "large"), "replicas: 2", "resources: {cpuRequest: 900}", 1)
	k.fails("no node takes it", k.microsim("up", "-f", k.file("large.yaml", large))...)
	k.ok("create", "namespace", "tight")
	k.ok("-n", "tight", "create", "quota", "few", "--hard=pods=1")
	k.fails("exceeded quota", k.microsim("up", "-f", file, "-n", "tight")...)
	k.ok("delete", "namespace", "tight")
}

func untouched(k *onKind) {
	file := k.file("mine.yaml", strings.ReplaceAll(frontAndBack, "NAME", "mine"))
	k.ok("create", "namespace", "mine")
	k.fails("was not made for it", k.microsim("up", "-f", file)...)
	k.ok("-n", "mine", "create", "service", "clusterip", "back", "--tcp=80")
	k.fails("service/back", k.microsim("up", "-f", file, "-n", "mine")...)
	k.ok("-n", "mine", "delete", "service", "back")
	k.ok("-n", "mine", "create", "configmap", "keep")
	k.ok(k.microsim("up", "-f", file, "-n", "mine")...)
	k.ok(k.microsim("down", "mine")...)
	k.ok("-n", "mine", "get", "configmap", "keep")
	k.ok("delete", "namespace", "mine")
}
