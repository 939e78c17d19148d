//go:build e2e

package plugin

import (
	"encoding/json"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

func troubleCases() []e2eCase {
	return []e2eCase{
		{"a cluster that cannot be used is explained", unusable},
		{"namespaces that admit little are enough, or explained", admission},
		{"a run outlives a restart of the API server", restartedServer},
		{"a run outlives the sleep of its machine", asleep},
		{"faults end though their program was killed, and the rest can be taken down", killedPlugin},
	}
}

func unusable(k *onKind) {
	k.fails("/no/such/file", "microsim", "status", "--kubeconfig", "/no/such/file")
	k.fails("--on kind", "microsim", "status", "--kubeconfig", "/dev/null")
	k.fails("no context \"nobodys\"", "microsim", "status", "--context", "nobodys")
	k.fails("is the cluster of this context reachable?", "microsim", "status", "--server", "https://127.0.0.1:1")
	server := k.ok("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
	k.fails("log in to the cluster again", "microsim", "status", "--kubeconfig", "/dev/null", "--server", server, "--token", "expired", "--insecure-skip-tls-verify")
}

func admission(k *onKind) {
	file := k.file("strict.yaml", strings.ReplaceAll(frontAndBack, "NAME", "strict"))
	k.ok("create", "namespace", "strict")
	k.ok("label", "namespace", "strict", "pod-security.kubernetes.io/enforce=restricted")
	in := func(args ...string) []string { return k.microsim(append(args, "-n", "strict")...) }
	k.ok(in("up", "-f", file)...)
	delay := in("fault", "add", "net-delay", "--system", "strict", "--target", "back", "--delay", "20ms", "--for", "1min")
	k.ok("create", "namespace", "microsim-system")
	k.ok("label", "namespace", "microsim-system", "pod-security.kubernetes.io/enforce=restricted")
	k.fails("pod-security.kubernetes.io/enforce=privileged", delay...)
	k.ok("label", "namespace", "microsim-system", "pod-security.kubernetes.io/enforce=privileged", "--overwrite")
	k.ok("-n", "microsim-system", "create", "quota", "none", "--hard=pods=0")
	k.fails("ask for a larger quota in the namespace \"microsim-system\"", delay...)
	// A run makes its helpers before its load begins, and leaves nothing without them.
	file = k.file("second.yaml", `
{apiVersion: microsim.dev/v1alpha1, kind: Experiment, name: second, system: {services: [{name: web}]}, load: {rate: 5, duration: 2s},
 faults: [{type: net-delay, target: web, delay: 1ms, start: 1s, duration: 1s}]}`)
	k.fails("error: preparing the faults on system \"second\"", in("run", "-f", file)...)
	if out := k.ok("-n", "strict", "get", "all", "-l", "microsim.dev/system=second", "-o", "name"); out != "" {
		k.t.Errorf("the run without helpers leaves\n%s", out)
	}
	k.ok("-n", "microsim-system", "delete", "quota", "none")
	k.ok(delay...)
	k.ok(in("fault", "clear", "--all")...)
	k.ok("delete", "namespace", "microsim-system")

	load := in("load", "--system", "strict", "--rate", "20", "--duration", "1s", "--load-pods", "2")
	k.ok("-n", "strict", "create", "quota", "few", "--hard=pods=4")
	k.fails("exceeded quota: few", load...)
	k.ok("-n", "strict", "delete", "quota", "few")
	k.ok("-n", "strict", "create", "quota", "bounded", "--hard=limits.memory=1Gi")
	k.fails("ask for a LimitRange", load...)
	k.ok("-n", "strict", "delete", "quota", "bounded")
	k.ok(load...)
	k.ok(in("down", "strict")...)
	k.ok("delete", "namespace", "strict")
}

// steady sends 200 requests in ten seconds.
var steady = strings.NewReplacer("little-social", "steady", "{duration: 6s, rate: 30}", "{duration: 10s, rate: 20}").Replace(smallSocial) //nolint:gochecknoglobals // a constant

// result is the result of a run that printed nothing else to stdout.
func (b *background) result() *result.Result {
	b.t.Helper()
	said := b.said()
	start := strings.Index(said, "\n{\n")
	if start < 0 {
		b.t.Fatalf("there is no result in\n%s", said)
	}
	var result result.Result
	if err := json.NewDecoder(strings.NewReader(said[start:])).Decode(&result); err != nil {
		b.t.Fatalf("the result cannot be read: %v\n%s", err, said)
	}
	return &result
}

// node runs a command on the node.
func (k *onKind) node(args ...string) {
	k.t.Helper()
	if out, err := exec.Command("docker", append([]string{"exec", k.Sandbox + "-control-plane"}, args...)...).CombinedOutput(); err != nil {
		k.t.Fatalf("on the node, %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func restartedServer(k *onKind) {
	b := k.Begin(k.microsim("run", "-f", k.file("steady.yaml", steady), "-o", "json")...)
	b.until("fault applied")
	k.node("pkill", "-KILL", "kube-apiserver")
	code := b.end()
	result := b.result()
	if result.Load == nil || result.Load.Total.Sent != 200 || code != cli.ExitDone && code != cli.ExitCheckFailed {
		k.t.Errorf("the run whose API server was restarted ends with %d, and has sent %+v", code, result.Load)
	}
}

func asleep(k *onKind) {
	b := k.Begin(k.microsim("run", "-f", k.file("steady.yaml", steady), "-o", "json")...)
	b.until("fault applied")
	if err := b.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		k.t.Fatal(err)
	}
	time.Sleep(4 * time.Second) // of sleep
	_ = b.cmd.Process.Signal(syscall.SIGCONT)
	code := b.end()
	if result := b.result(); result.Load == nil || result.Load.Total.Sent != 200 || code != cli.ExitDone && code != cli.ExitCheckFailed {
		k.t.Errorf("the run that slept ends with %d, and has sent %+v", code, result.Load)
	}
}

func killedPlugin(k *onKind) {
	b := k.Begin(k.microsim("run", "-f", k.file("steady.yaml", steady))...)
	b.until("fault applied")
	_ = b.cmd.Process.Kill()
	b.end()
	if out := k.ok(k.microsim("fault", "list")...); !strings.Contains(out, "latency") {
		k.t.Errorf("the fault of the killed run is not listed:\n%s", out)
	}
	// Its time is 2 s, and some more in case that its program lives.
	for range 100 {
		out, talk, err := k.run(k.microsim("fault", "list")...)
		if err == nil && !strings.Contains(out, "latency") && strings.Contains(talk, "No faults") {
			k.ok(k.microsim("down", "steady")...)
			return
		}
		time.Sleep(200 * time.Millisecond)
	}
	k.t.Error("the fault of the killed run still acts")
}
