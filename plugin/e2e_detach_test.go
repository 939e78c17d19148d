//go:build e2e

package plugin

import (
	"errors"
	"fmt"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func detachCases() []e2eCase {
	return []e2eCase{
		{"a detached experiment needs no machine but the cluster's, and no rights but its own", startDetached},
		{"a detached experiment whose pod is lost is told and removed", runnerLost},
		{"a detached experiment whose pod is to end takes its system down", runnerEnded},
		{"a detached experiment that cannot begin leaves nothing", neverBegun},
	}
}

const detachedExperiment = `
apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: NAME
system:
  name: NAME-system
  services:
    - {name: front, calls: [back]}
    - {name: back, replicas: 2}
load: {rate: 20, duration: LENGTH}
faults: [{type: error, target: {service: back}, start: 1s}]
checks:
  - {check: "errors > 1%", service: back}
  - {check: "rate > 100"}
`

// detachedFile writes an experiment of which the second check fails.
func (k *onKind) detachedFile(name, length string) string {
	k.t.Helper()
	return k.file(name+".yaml", strings.NewReplacer("NAME", name, "LENGTH", length).Replace(detachedExperiment))
}

func startDetached(k *onKind) {
	file := k.detachedFile("alone", "10s")
	if out := k.ok(k.microsim("run", "-f", file, "--detach")...); !strings.Contains(out, "experiment/alone started") {
		k.t.Errorf("run --detach prints\n%s", out)
	}
	k.fails("has no results yet", k.microsim("report", "alone")...)
	if out := k.ok(k.microsim("status")...); !strings.Contains(out, "alone-system") || !strings.Contains(out, "running") {
		k.t.Errorf("status shows\n%s", out)
	}
	k.fails(`an experiment "alone"`, k.microsim("run", "-f", file, "--detach")...)
	k.leastRights()
	k.reported()
	// The system went with the run; the results stay until they are deleted.
	if out := k.ok("-n", "alone-system", "get", "deployments,services,secrets", "-o", "name"); out != "" {
		k.t.Errorf("of the system there is still\n%s", out)
	}
	k.ok(k.microsim("down", "alone")...)
	k.fails(`no experiment "alone"`, k.microsim("report", "alone")...)
	k.noRights()
}

// reported has another machine, which knows nothing but how to reach the cluster,
// wait for the results.
func (k *onKind) reported() {
	k.t.Helper()
	elsewhere := &onKind{t: k.t, env: append(append([]string{}, k.env...), "MICROSIM_STATE_DIR="+k.t.TempDir())}
	dir := filepath.Join(k.t.TempDir(), "results")
	page := filepath.Join(k.t.TempDir(), "page.html")
	out, talk, err := elsewhere.run("microsim", "report", "alone", "--wait", "--out", dir, "--report", page)
	if exitOf(err) != cli.ExitCheckFailed {
		k.t.Errorf("report: %v, want exit code %d\n%s", err, cli.ExitCheckFailed, talk)
	}
	for _, want := range []string{"PASS  errors > 1%", "FAIL  rate > 100", "error back"} {
		if !strings.Contains(out, want) {
			k.t.Errorf("report shows no %q:\n%s", want, out)
		}
	}
	for _, path := range []string{page, filepath.Join(dir, "timeline.csv"), filepath.Join(dir, "experiment.yaml")} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			k.t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "result.json")); err != nil || !strings.Contains(string(text), "alone.yaml --on kind") {
		k.t.Errorf("the result does not tell how it is repeated: %v\n%s", err, text)
	}
}

// leastRights asks the cluster what the experiment may do: no more than it has
// to.
func (k *onKind) leastRights() {
	k.t.Helper()
	type right struct{ verb, group, resource, name, Namespace, want string }
	rights := []right{
		{"create", "apps", "deployments", "", "alone-system", "true"},
		{"get", "", "secrets", "microsim-alone-system", "alone-system", "true"},
		{"list", "", "secrets", "", "alone-system", ""},
		{"get", "", "secrets", "another", "alone-system", ""},
		{"create", "", "pods", "", "alone-system", ""},
		{"create", "", "pods/exec", "", "alone-system", ""},
		{"create", "rbac.authorization.k8s.io", "rolebindings", "", "alone-system", ""},
		{"create", "batch", "jobs", "", "alone-system", ""},
		{"get", "", "secrets", "", "kube-system", ""},
		{"list", "", "pods", "", "default", ""},
		{"list", "", "configmaps", "", "", ""},
		{"list", "", "nodes", "", "", ""},
		{"list", "", "namespaces", "", "", ""},
		{"delete", "", "namespaces", "alone-system", "alone-system", ""},
	}
	var questions strings.Builder
	for _, r := range rights {
		resource, sub, _ := strings.Cut(r.resource, "/")
		fmt.Fprintf(&questions, `---
{apiVersion: authorization.k8s.io/v1, kind: SubjectAccessReview, spec: {user: "system:serviceaccount:alone-system:microsim-alone-experiment",
 resourceAttributes: {verb: %q, group: %q, resource: %q, subresource: %q, name: %q, namespace: %q}}}
`, r.verb, r.group, resource, sub, r.name, r.Namespace)
	}
	out := k.ok("create", "-f", k.file("rights.yaml", questions.String()), "-o", `jsonpath={.status.allowed}{"\n"}`)
	answers := strings.Split(out, "\n")
	for i, r := range rights {
		// A no may be told by nothing.
		if got := strings.TrimPrefix(answers[min(i, len(answers)-1)], "false"); got != r.want {
			k.t.Errorf("%+v: the answer is %q", r, got)
		}
	}
}

// noRights checks that nobody has been left with the rights of an experiment.
func (k *onKind) noRights() {
	k.t.Helper()
	if out := k.ok("get", "roles,rolebindings,serviceaccounts,jobs", "-A", "-l", "microsim.dev/experiment", "-o", "name"); out != "" {
		k.t.Errorf("left behind is\n%s", out)
	}
}

func runnerLost(k *onKind) {
	k.ok(k.microsim("run", "-f", k.detachedFile("lost", "60s"), "--detach")...)
	k.ok("-n", "lost-system", "delete", "pod", "-l", "microsim.dev/experiment=lost", "--grace-period=0", "--force")
	k.until(30*time.Second, "the loss is told", func() bool {
		return strings.Contains(k.ok(k.microsim("status", "lost")...), "died")
	})
	k.fails("left no results", k.microsim("report", "lost", "--wait")...)
	k.ok(k.microsim("down", "lost")...)
	k.noRights()
}

// runnerEnded asks the pod to end, as the drain of its node does.
func runnerEnded(k *onKind) {
	k.ok(k.microsim("run", "-f", k.detachedFile("drained", "60s"), "--detach")...)
	k.until(time.Minute, "the fault acts", func() bool {
		out, _, err := k.run("-n", "drained-system", "logs", "-l", "microsim.dev/experiment=drained", "--tail=-1")
		return err == nil && strings.Contains(out, "fault applied")
	})
	k.ok("-n", "drained-system", "delete", "pod", "-l", "microsim.dev/experiment=drained")
	if _, talk, err := k.run(k.microsim("report", "drained", "--wait")...); exitOf(err) != cli.ExitError || !strings.Contains(talk, "ended badly") {
		k.t.Errorf("report of an experiment that was ended: %v\n%s", err, talk)
	}
	if out := k.ok("-n", "drained-system", "get", "deployments", "-o", "name"); out != "" {
		k.t.Errorf("of the system there is still\n%s", out)
	}
	k.ok(k.microsim("down", "drained")...)
	k.noRights()
}

func neverBegun(k *onKind) {
	file := k.detachedFile("never", "5s")
	k.fails("cannot be pulled", k.microsim("run", "-f", file, "--detach", "--runner-image", "127.0.0.1:1/no/such:image")...)
	k.ok("create", "namespace", "full")
	k.ok("-n", "full", "create", "quota", "none", "--hard=pods=0")
	k.fails("exceeded quota", k.microsim("run", "-f", file, "--detach", "-n", "full")...)
	k.noRights()
	k.ok("delete", "namespace", "full")
	// Ctrl-C while the pod is waited for.
	b := k.Begin(k.microsim("run", "-f", file, "--detach", "--runner-image", "127.0.0.1:1/no/such:image")...)
	k.until(time.Minute, "its pod is there", func() bool {
		out, _, err := k.run("-n", "never-system", "get", "pods", "-o", "name")
		return err == nil && strings.Contains(out, "microsim-never-experiment")
	})
	_ = b.cmd.Process.Signal(os.Interrupt)
	if code := b.end(); code != cli.ExitError || !strings.Contains(b.said(), "interrupt") {
		k.t.Errorf("the start that was interrupted ends with %d", code)
	}
	k.noRights()
}

// until asks until something is so.
func (k *onKind) until(limit time.Duration, what string, so func() bool) {
	k.t.Helper()
	for deadline := time.Now().Add(limit); !so(); {
		if time.Now().After(deadline) {
			k.t.Fatalf("after %v it is not so that %s", limit, what)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// exitOf is the exit code of a command that failed; 0 where it did not.
func exitOf(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}
