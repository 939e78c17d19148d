//go:build e2e

package plugin

import (
	"bytes"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func helperCases() []e2eCase {
	return []e2eCase{
		{"the network of services is broken and mended", networkBroken},
		{"a fault on the network outlives its helper", helperGoes},
		{"a fault follows pods as long as it is waited for", followed},
		{"pods that are not of a system are broken with care", selected},
		{"resources are taken and processes paused", stressed},
		{"a helper that is not admitted is explained", helperRefused},
	}
}

// netSystem has two callers of one service.
const netSystem = `
apiVersion: microsim.dev/v1alpha1
kind: System
name: NAME
services:
  - {name: web, calls: [db]}
  - {name: other, calls: [db]}
  - {name: db, replicas: 2}
`

func (k *onKind) upNet(name string) {
	k.t.Helper()
	k.ok(k.microsim("up", "-f", k.file(name+".yaml", strings.ReplaceAll(netSystem, "NAME", name)))...)
}

// takes returns how long a request to a service takes.
func (k *onKind) takes(namespace, service string) time.Duration {
	k.t.Helper()
	started := time.Now()
	k.ok("get", "--raw", "/api/v1/namespaces/"+namespace+"/services/http:"+service+":80/proxy/")
	return time.Since(started)
}

// delayed checks that no request is faster than a delay allows, however fast the
// machine is.
func (k *onKind) delayed(namespace, service string, by time.Duration) {
	k.t.Helper()
	for range 3 {
		if took := k.takes(namespace, service); took < by {
			k.t.Errorf("a request to %s takes %v, less than the delay of %v", service, took, by)
		}
	}
}

// prompt checks that there are requests that a delay would not allow, however
// slow the machine is at times.
func (k *onKind) prompt(namespace, service string, than time.Duration) {
	k.t.Helper()
	k.within(20*time.Second, service+" answers without delay", func() bool { return k.takes(namespace, service) < than })
}

// silent checks that a service gets no answer from those that it calls.
func (k *onKind) silent(namespace, service string) {
	k.t.Helper()
	if out, _, err := k.run("get", "--raw", "/api/v1/namespaces/"+namespace+"/services/http:"+service+":80/proxy/", "--request-timeout=2s"); err == nil {
		k.t.Errorf("%s answers %s", service, out)
	}
}

// within waits until holds says so.
func (k *onKind) within(limit time.Duration, what string, holds func() bool) {
	k.t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			k.t.Fatalf("after %v it does not hold that %s", limit, what)
		}
	}
}

// slow is the delay of the tests.
const slow = time.Second

func networkBroken(k *onKind) {
	k.upNet("nets")
	const little = 300 * time.Millisecond
	k.prompt("nets", "web", little)
	k.ok(k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", little.String(), "--for", "5m")...)
	k.delayed("nets", "web", little)
	out := k.ok(k.microsim("fault", "list")...)
	for _, want := range []string{"db/1,db/2", "delay 300ms"} {
		if !strings.Contains(out, want) {
			k.t.Errorf("fault list does not show %q:\n%s", want, out)
		}
	}
	// Another machine clears it: it knows the cluster alone.
	elsewhere := &onKind{t: k.t, Sandbox: k.Sandbox, env: append(slices.Clone(k.env), "MICROSIM_STATE_DIR="+k.t.TempDir())}
	elsewhere.ok("microsim", "fault", "clear", "--all")
	k.prompt("nets", "web", little)
	// A partition parts one caller from the service, and nobody else.
	k.ok(k.microsim("fault", "add", "net-partition", "--target", "web->db", "--for", "5m")...)
	k.silent("nets", "web")
	k.prompt("nets", "other", little)
	k.ok(k.microsim("fault", "clear", "net-partition-web-db")...)
	k.prompt("nets", "web", little)
	k.ok(k.microsim("fault", "add", "net-loss", "--target", "db", "--percent", "100", "--for", "5m")...)
	k.silent("nets", "other")
	k.ok(k.microsim("down", "nets")...)
}

func helperGoes(k *onKind) {
	k.upNet("gone")
	k.prompt("gone", "web", slow)
	started := time.Now()
	const lasts = time.Minute
	k.ok(k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", slow.String(), "--for", lasts.String())...)
	k.delayed("gone", "web", slow)
	acts := func() bool {
		out, _, err := k.run(k.microsim("fault", "list", "-o", "yaml")...)
		return err == nil && strings.Contains(out, "effective: delay 1s") && !strings.Contains(out, "errors:")
	}
	killed := exec.Command("docker", "exec", k.Sandbox+"-control-plane", "pkill", "-KILL", "-f", "^/microsim-agent node")
	if out, err := killed.CombinedOutput(); err != nil {
		k.t.Fatalf("killing the helper: %v\n%s", err, out)
	}
	k.within(15*time.Second, "a killed helper is started again", acts)
	k.delayed("gone", "web", slow)
	k.ok("-n", "microsim-system", "delete", "pod", "-l", "microsim.dev/role=helper")
	k.within(40*time.Second, "a deleted helper is made again", acts)
	k.delayed("gone", "web", slow)
	time.Sleep(time.Until(started.Add(lasts + time.Second)))
	k.prompt("gone", "web", slow)
	k.ok(k.microsim("down", "gone")...)
}

// background runs a command until stop interrupts it.
func (k *onKind) background(args ...string) (said *lockedBuffer, stop func()) {
	k.t.Helper()
	cmd := exec.Command("kubectl", args...)
	said = &lockedBuffer{}
	cmd.Env, cmd.Stdout, cmd.Stderr = k.env, said, said
	if err := cmd.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { k.t.Logf("kubectl %s:\n%s", strings.Join(args, " "), said) })
	return said, func() {
		k.t.Helper()
		_ = cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			k.t.Errorf("kubectl %s: %v", strings.Join(args, " "), err)
		}
	}
}

func followed(k *onKind) {
	k.upNet("follow")
	k.prompt("follow", "web", slow)
	said, stop := k.background(k.microsim("fault", "add", "net-delay", "--target", "web->db", "--delay", slow.String(), "--for", "5m", "--wait")...)
	k.within(time.Minute, "the fault is added", func() bool { return strings.Contains(said.String(), "added") })
	k.delayed("follow", "web", slow)
	// Both ends of the edge are replaced.
	k.ok("-n", "follow", "rollout", "restart", "deployment/web", "deployment/db")
	k.ok("-n", "follow", "rollout", "status", "deployment/db", "--timeout=60s")
	k.ok("-n", "follow", "rollout", "status", "deployment/web", "--timeout=60s")
	k.within(10*time.Second, "new pods get the fault", func() bool { return k.takes("follow", "web") >= slow })
	// Somebody deletes the helper with its orders.
	k.ok("-n", "microsim-system", "delete", "job", "-l", "microsim.dev/role=helper", "--wait")
	k.within(20*time.Second, "the fault comes back", func() bool { return k.takes("follow", "web") >= slow })
	stop()
	k.prompt("follow", "web", slow)
	k.ok(k.microsim("down", "follow")...)
}

// foreignApp is a Deployment of somebody else, which the agent's image serves.
const foreignApp = `
apiVersion: v1
kind: Namespace
metadata: {name: theirs}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: theirs}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      containers:
        - name: app
          image: IMAGE
          imagePullPolicy: Never
          args: [serve]
          env: [{name: SERVICE_NAME, value: app}]
          readinessProbe: {httpGet: {path: /readyz, port: 8080}, periodSeconds: 1}
---
apiVersion: v1
kind: Service
metadata: {name: app, namespace: theirs}
spec:
  selector: {app: app}
  ports: [{port: 80, targetPort: 8080}]
`

const labelledChaos = `
apiVersion: chaos-mesh.org/v1alpha1
kind: NetworkChaos
metadata: {name: labelled}
spec:
  action: delay
  mode: all
  selector: {labelSelectors: {team: red}}
  delay: {latency: SLOW}
  duration: 5min
`

func selected(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("mine.yaml", "{apiVersion: microsim.dev/v1alpha1, kind: System, name: mine, services: [{name: front, calls: [back]}, {name: back}]}"))...)
	image := k.ok("-n", "mine", "get", "deployment", "front", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	k.ok("apply", "-f", k.file("theirs.yaml", strings.ReplaceAll(foreignApp, "IMAGE", image)))
	k.ok("-n", "theirs", "rollout", "status", "deployment/app", "--timeout=60s")
	add := func(args ...string) []string {
		return k.microsim(append([]string{"fault", "add", "net-delay", "--delay", slow.String(), "--for", "5m"}, args...)...)
	}
	k.fails("--yes", add("-l", "app=app", "-n", "theirs")...)
	k.fails("--allow-system", add("-l", "k8s-app=kube-dns", "-n", "kube-system", "--yes")...)
	k.fails("network of its node", add("-l", "component=etcd", "-n", "kube-system", "--allow-system", "--yes")...)
	k.fails("--max-pods=2", add("-l", "app=app", "-n", "theirs", "--max-pods", "1", "--yes")...)
	k.fails("no pod in namespace", add("-l", "app=none", "-n", "theirs", "--yes")...)
	k.fails("only services and data stores of a system", k.microsim("fault", "add", "latency", "--delay", slow.String(), "-l", "app=app", "-n", "theirs", "--yes")...)
	if out := k.ok(add("-l", "app=app", "-n", "theirs", "--to", "back.mine", "--dry-run")...); strings.Count(out, "theirs/app-") != 2 || !strings.Contains(out, "leaving packets, peers 10.") {
		k.t.Errorf("the plan is\n%s", out)
	}
	k.ok(add("-l", "app=app", "-n", "theirs", "--yes")...)
	if out := k.ok(k.microsim("fault", "list", "-A")...); !strings.Contains(out, "theirs/app-") || !strings.Contains(out, "selected pods in namespace theirs") {
		k.t.Errorf("fault list shows\n%s", out)
	}
	k.ok(k.microsim("fault", "clear", "net-delay-app-app")...)
	// The answers that pods of ours send, and the requests that they send to a
	// Service, are met as well where the pods are selected by labels.
	k.ok(add("--name", "answers", "-l", "microsim.dev/service=back", "-n", "mine", "--yes")...)
	k.delayed("mine", "front", slow)
	k.ok(k.microsim("fault", "clear", "answers")...)
	k.prompt("mine", "front", slow)
	k.ok(add("--name", "requests", "-l", "microsim.dev/service=front", "-n", "mine", "--to", "back", "--yes")...)
	k.delayed("mine", "front", slow)
	k.ok(k.microsim("fault", "clear", "requests", "-n", "mine")...)
	k.prompt("mine", "front", slow)
	// Labels of a file that name no service select pods, and need no system.
	k.ok("-n", "mine", "label", "pod", "-l", "microsim.dev/service=back", "team=red")
	file := k.file("chaos.yaml", strings.ReplaceAll(labelledChaos, "SLOW", slow.String()))
	k.fails("--yes", k.microsim("fault", "apply", "-f", file, "-n", "mine")...)
	applying := k.Begin(k.microsim("fault", "apply", "-f", file, "-n", "mine", "--yes")...)
	applying.until("fault/labelled added")
	k.delayed("mine", "front", slow)
	_ = applying.cmd.Process.Signal(os.Interrupt)
	if applying.end(); !strings.Contains(applying.said(), "fault/labelled cleared") {
		k.t.Error("the interrupt does not clear the fault")
	}
	k.prompt("mine", "front", slow)
	k.ok(k.microsim("down", "mine")...)
	k.ok("delete", "namespace", "theirs")
}

func stressed(k *onKind) {
	k.upNet("stress")
	k.ok(k.microsim("fault", "add", "cpu-stress", "--target", "db", "--cores", "1", "--for", "5m")...)
	k.ok(k.microsim("fault", "add", "pause", "--target", "other", "--for", "5m")...)
	k.silent("stress", "other")
	out := k.ok(k.microsim("fault", "list")...)
	for _, want := range []string{"processes", "1 process stopped"} {
		if !strings.Contains(out, want) {
			k.t.Errorf("fault list does not show %q:\n%s", want, out)
		}
	}
	k.ok(k.microsim("fault", "clear", "pause-other")...)
	k.takes("stress", "other")
	k.ok(k.microsim("down", "stress")...)
}

func helperRefused(k *onKind) {
	k.upNet("refused")
	k.ok("create", "namespace", "microsim-system")
	k.ok("label", "namespace", "microsim-system", "pod-security.kubernetes.io/enforce=restricted")
	k.fails("enforce=privileged", k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", slow.String(), "--for", "5m")...)
	k.ok("label", "namespace", "microsim-system", "--overwrite", "pod-security.kubernetes.io/enforce=privileged")
	k.ok("-n", "microsim-system", "create", "quota", "none", "--hard=pods=0")
	k.fails("larger quota", k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", slow.String(), "--for", "5m")...)
	k.ok("-n", "microsim-system", "delete", "quota", "none")
	k.fails("--image", k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", slow.String(), "--for", "5m", "--image", "127.0.0.1:1/no/such:image")...)
	k.within(20*time.Second, "nothing is left", func() bool { return k.ok("-n", "microsim-system", "get", "all,secret", "-o", "name") == "" })
	k.ok("delete", "namespace", "microsim-system")
	k.ok(k.microsim("down", "refused")...)
}

// A lockedBuffer may be read while it is written to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
