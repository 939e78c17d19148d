//go:build e2e

package plugin

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/runner"
)

func fileCases() []e2eCase {
	return []e2eCase{
		{"a killed replica comes back in its place", killed},
		{"an experiment measures how long a killed replica takes", recovered},
		{"the faults of files come and go", applied},
		{"the faults of a file end without the program", abandoned},
	}
}

// eventually waits until what holds.
func (k *onKind) eventually(what string, holds func() bool) {
	k.t.Helper()
	const patience = time.Minute
	for end := time.Now().Add(patience); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("after %v it is still not so that %s", patience, what)
		}
	}
}

// back returns the replicas of the service back.
func (k *onKind) back(system string) []runner.Replica {
	k.t.Helper()
	var status cluster.Status
	if err := json.Unmarshal([]byte(k.ok(k.microsim("status", system, "-o", "json")...)), &status); err != nil {
		k.t.Fatal(err)
	}
	for _, s := range status.Services {
		if s.Name == "back" {
			return s.Replicas
		}
	}
	k.t.Fatalf("the status has no service back: %+v", status)
	return nil
}

func killed(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("mortal.yaml", strings.ReplaceAll(frontAndBack, "NAME", "mortal")))...)
	before := k.ok("-n", "mortal", "get", "pods", "-l", "microsim.dev/service=back", "-o", "name")
	k.ok(k.microsim("fault", "add", "kill", "--target", "back/1")...)
	if r := k.back("mortal"); len(r) != 2 || r[0].State == runner.Ready && r[0].Restarts == 0 || r[1].State != runner.Ready || r[1].Restarts != 0 {
		k.t.Errorf("after the kill of back/1 there is %+v", r)
	}
	k.eventually("the killed replica is ready", func() bool {
		r := k.back("mortal")
		return r[0].State == runner.Ready && r[0].Restarts == 1
	})
	if out := k.ok(k.microsim("fault", "list", "-o", "json")...); strings.Contains(out, "kill") {
		k.t.Errorf("the kill is over, but listed:\n%s", out)
	}
	k.ok(k.microsim("fault", "add", "restart", "--target", "back/2")...)
	k.eventually("the restarted replica is ready", func() bool {
		r := k.back("mortal")
		return len(r) == 2 && r[0].Restarts == 1 && r[1].State == runner.Ready && r[1].Restarts == 1
	})
	after := k.ok("-n", "mortal", "get", "pods", "-l", "microsim.dev/service=back", "-o", "name")
	for pod := range strings.Lines(before) {
		if strings.Contains(after, pod) && k.gone(strings.TrimSpace(pod)) {
			k.t.Errorf("pod %s is still there", pod)
		}
	}
	k.ok(k.microsim("down", "mortal")...)
}

// gone reports whether a pod that is listed has not even begun to end.
func (k *onKind) gone(pod string) bool {
	out, _, err := k.run("-n", "mortal", "get", pod, "-o", "jsonpath={.metadata.deletionTimestamp}")
	return err == nil && out == ""
}

func recovered(k *onKind) {
	file := k.file("recovery.yaml", `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: recovery
system:
  services:
    - {name: front, calls: [back]}
    - {name: back, replicas: 2}
load: {rate: 10, duration: 15s}
faults:
  - {name: strike, type: kill, target: back/2, start: 2s}
checks: [recovery < 60s]
`)
	var result result.Result
	if err := json.Unmarshal([]byte(k.ok(k.microsim("run", "-f", file, "--load-pods", "3", "-o", "json")...)), &result); err != nil {
		k.t.Fatal(err)
	}
	if len(result.Recoveries) != 1 {
		k.t.Fatalf("recoveries are %+v, want one", result.Recoveries)
	}
	r := result.Recoveries[0]
	if r.Service != "back" || r.Replica != 2 || r.Fault != "kill-1" || r.Took <= 0 || r.Took > 15 {
		k.t.Errorf("the recovery is %+v, want that of back/2 from the kill", r)
	}
}

// applyFiles are one fault in the service and a kill, each in its own format.
const applyFiles = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: broken
system: NAME
load: {users: 1, duration: 30s}
faults:
  - {name: broken, type: error, target: back, status: 404, duration: LENGTH}
---
apiVersion: microsim.dev/v1alpha1
kind: System
name: NAME
services:
  - {name: front, calls: [back]}
  - {name: back, replicas: 2}
---
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: strike}
spec:
  action: pod-kill
  mode: fixed
  value: "2"
  selector: {labelSelectors: {app.kubernetes.io/name: back}}
`

func applied(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("files.yaml", strings.ReplaceAll(frontAndBack, "NAME", "files")))...)
	file := k.file("faults.yaml", strings.NewReplacer("NAME", "files", "LENGTH", "3s").Replace(applyFiles))
	if out := k.ok(k.microsim("fault", "apply", "-f", file, "--dry-run")...); !strings.Contains(out, "broken") || !strings.Contains(out, "strike") {
		k.t.Errorf("the plan is\n%s", out)
	}
	out := k.ok(k.microsim("fault", "apply", "-f", file)...)
	for _, want := range []string{"fault/strike added", "fault/broken added", "fault/broken cleared (3."} {
		if !strings.Contains(out, want) {
			k.t.Errorf("fault apply does not say %q:\n%s", want, out)
		}
	}
	k.fails(`there is no service "bakk"`, k.microsim("fault", "apply", "-f", k.file("wrong.yaml", "{name: x, faults: [{name: f, target: bakk, duration: 1s, behaviors: {net-loss: {percent: 1}}}]}"))...)
	if out := k.ok(k.microsim("fault", "list", "-o", "json")...); strings.Contains(out, "broken") {
		k.t.Errorf("after all have ended, there is\n%s", out)
	}
	k.ok(k.microsim("down", "files")...)
}

func abandoned(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("left.yaml", strings.ReplaceAll(frontAndBack, "NAME", "left")))...)
	file := k.file("faults.yaml", strings.NewReplacer("NAME", "left", "LENGTH", "20s").Replace(applyFiles))
	var out syncBuffer
	cmd := exec.Command("kubectl", k.microsim("fault", "apply", "-f", file)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = k.env, &out, &out
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	// Both pods are killed at the beginning: what answers is a pod that came later.
	back := []string{"get", "--raw", "/api/v1/namespaces/left/services/http:back:80/proxy/"}
	k.eventually("a new pod has the fault", func() bool {
		_, talk, err := k.run(back...)
		return err != nil && strings.Contains(talk, "could not find the requested resource")
	})
	if err := cmd.Process.Kill(); err != nil {
		k.t.Error(err)
	}
	_ = cmd.Wait() // it was killed
	k.t.Logf("until it was killed, fault apply said\n%s", out.String())
	k.eventually("the fault has ended at its deadline", func() bool { _, _, err := k.run(back...); return err == nil })
	k.ok(k.microsim("down", "left")...)
}

// A syncBuffer may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
