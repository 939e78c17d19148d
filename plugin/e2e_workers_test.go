//go:build e2e

package plugin

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestOnWorkers needs nodes beside the control plane: a helper works on each, and
// a fault goes with pods from one to another.
func TestOnWorkers(t *testing.T) {
	k := newOnKind(t, "--workers", "2")
	before := k.everything()
	k.upNet("wide")
	nodes := k.nodesOf("wide", "microsim.dev/service=db")
	if len(nodes) != 2 {
		t.Fatalf("the two pods of db are on the nodes %v", nodes)
	}
	said, stop := k.background(k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", slow.String(), "--for", "5m", "--wait")...)
	k.within(time.Minute, "the fault is added", func() bool { return strings.Contains(said.String(), "added") })
	k.delayed("wide", "web", slow)
	if helpers := k.nodesOf("microsim-system", "microsim.dev/role=helper"); !slices.Equal(helpers, nodes) {
		t.Errorf("there are helpers on %v, and pods of db on %v", helpers, nodes)
	}
	// All pods of a node go to another one.
	k.ok("drain", nodes[0], "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=90s", "--pod-selector=microsim.dev/system=wide")
	k.ok("-n", "wide", "rollout", "status", "deployment/db", "--timeout=60s")
	if now := k.nodesOf("wide", "microsim.dev/service=db"); slices.Contains(now, nodes[0]) {
		t.Errorf("after the drain, the pods of db are on %v", now)
	}
	k.within(20*time.Second, "pods that have moved get the fault", func() bool {
		for range 3 { // one after another reach different pods
			if k.takes("wide", "web") < slow {
				return false
			}
		}
		return true
	})
	k.ok("uncordon", nodes[0])
	stop()
	k.prompt("wide", "web", slow)
	if out := k.ok(k.microsim("load", "--rate", "200", "--count", "400", "--load-pods", "2")...); !strings.Contains(out, "400 ok") {
		t.Errorf("the load of two pods shows\n%s", out)
	}
	k.nodeLost(nodes[1])
	if after := k.everything(); after != before {
		t.Errorf("before there was\n%s\nafterwards\n%s", before, after)
	}
}

// nodeLost stops the kubelet of a node that has pods of the system wide, which is then
// taken down.
func (k *onKind) nodeLost(node string) {
	k.t.Helper()
	kubelet := func(verb string) {
		if out, err := exec.Command("docker", "exec", node, "systemctl", verb, "kubelet").CombinedOutput(); err != nil {
			k.t.Fatalf("systemctl %s kubelet on %s: %v\n%s", verb, node, err, out)
		}
	}
	kubelet("stop")
	// The cluster would find out by itself after 50 s.
	k.ok("patch", "node", node, "--subresource=status", "--type=strategic", "-p", `{"status": {"conditions": [{"type": "Ready", "status": "Unknown", "message": "Nothing is heard of it."}]}}`)
	k.fails(`node "`+node+`": the node is not ready: Nothing is heard of it.`, k.microsim("fault", "add", "net-delay", "--target", "db", "--delay", "1ms", "--for", "1m")...)
	b := k.Begin(k.microsim("down", "wide")...)
	b.until(`on node "` + node + `", which is not ready: Nothing is heard of it;`)
	kubelet("start")
	if code := b.end(); code != 0 {
		k.t.Errorf("with its node back, down ends with %d", code)
	}
}

// nodesOf lists the nodes that have pods with a label.
func (k *onKind) nodesOf(namespace, label string) []string {
	k.t.Helper()
	nodes := strings.Fields(k.ok("-n", namespace, "get", "pods", "-l", label, "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].spec.nodeName}"))
	slices.Sort(nodes)
	return slices.Compact(nodes)
}
