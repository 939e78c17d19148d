//go:build e2e

package plugin

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/observe/report"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/doctor"
)

func accessCases() []e2eCase {
	return []e2eCase{
		{"a user without rights is told the rules that suffice", rights},
		{"the doctor knows the cluster", doctorOnKind},
		{"logs are merged and follow pods that are replaced", logsOnKind},
		{"top shows what services do", topOnKind},
		{"an operator of Prometheus finds systems", podMonitors},
	}
}

func rights(k *onKind) {
	file := k.file("shop.yaml", strings.ReplaceAll(frontAndBack, "NAME", "shop"))
	as := func(args ...string) []string { return k.microsim(append(args, "-n", "team", "--as", "ann")...) }
	k.ok("create", "namespace", "team")
	k.fails("kubectl create role microsim-configmaps-list --verb=list --resource=configmaps -n team", as("status")...)
	k.fails(`--user="ann" -n team`, as("up", "-f", file)...)
	// kubectl accepts the manifests that doctor prints and the commands that errors
	// name, unchanged.
	for _, document := range strings.Split(k.ok(as("doctor")...), "\n---\n") {
		if strings.Contains(document, "\n  namespace: team\n") {
			k.ok("create", "-f", k.file("role.yaml", document))
			k.ok("-n", "team", "create", "rolebinding", "microsim", "--role=microsim", "--user=ann")
		}
	}
	k.ok(as("up", "-f", file)...)
	k.ok(as("status", "shop")...)
	k.ok(as("fault", "add", "error", "--target", "back", "--status", "503")...)
	k.ok(as("fault", "clear", "--all")...)
	k.ok(as("top", "shop", "-o", "json")...)
	k.ok(as("logs", "--all")...)
	k.ok(as("load", "--system", "shop", "--rate", "20", "--duration", "1s")...)
	hers := strings.NewReplacer("NAME", "hers", "LENGTH", "2s", "front", "her-front", "back", "her-back").Replace(detachedExperiment)
	k.ok(as("run", "-f", k.file("hers.yaml", hers), "--detach")...)
	if out, talk, err := k.run(as("report", "hers", "--wait")...); exitOf(err) != cli.ExitCheckFailed {
		k.t.Errorf("the experiment of a user with the rules ends with %v\n%s%s", err, out, talk)
	}
	k.ok(as("down", "hers")...)
	var doctor struct{ Items []doctor.Finding }
	if err := json.Unmarshal([]byte(k.ok(as("doctor", "-o", "json")...)), &doctor); err != nil {
		k.t.Fatal(err)
	}
	for _, f := range doctor.Items {
		if strings.HasPrefix(f.Name, "may/") && f.Namespace == "team" && !f.Works {
			k.t.Errorf("with the rules, %s is not allowed: %s", f.Name, f.Why)
		}
	}
	k.ok("-n", "team", "patch", "role", "microsim", "--type=json", "-p", `[{"op": "replace", "path": "/rules", "value": [
		{"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["get", "list"]}]}]`)
	k.fails("--verb=get --resource=pods/proxy", as("top", "shop", "--watch=false")...)
	k.ok(k.microsim("down", "shop", "-n", "team")...)
	k.ok("delete", "namespace", "team")
}

func doctorOnKind(k *onKind) {
	out := k.ok(k.microsim("doctor")...)
	for _, want := range []string{"version", "may/up", "may/helpers", "pod-security/microsim-system", "podmonitors", "node/" + k.Sandbox + "-control-plane", "image"} {
		if !strings.Contains(out, "\n"+want+" ") {
			k.t.Errorf("the doctor does not know %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, " no ") && strings.Contains(out, "\nmay/") && strings.Contains(out, "not allowed") {
		k.t.Errorf("an administrator is told of missing rights:\n%s", out)
	}
	// A namespace that keeps privileged pods out is told, with the remedy.
	k.ok("create", "namespace", "microsim-system")
	k.ok("label", "namespace", "microsim-system", "pod-security.kubernetes.io/enforce=baseline")
	if out := k.ok(k.microsim("doctor")...); !strings.Contains(out, "kubectl label namespace microsim-system pod-security.kubernetes.io/enforce=privileged --overwrite") {
		k.t.Errorf("the doctor does not say what lets helpers in:\n%s", out)
	}
	k.ok("delete", "namespace", "microsim-system")
	// With neither a context nor a cluster that answers, the rest is told.
	if out := (&onKind{t: k.t, env: append(k.env, "KUBECONFIG=")}).ok("microsim", "doctor"); !strings.Contains(out, "there is no kubeconfig") || !strings.Contains(out, "inprocess") {
		k.t.Errorf("without a cluster, the doctor says\n%s", out)
	}
	if out := k.ok(k.microsim("doctor", "--probe")...); !strings.Contains(out, "by emulate") && !strings.Contains(out, "by tc") {
		k.t.Errorf("the helper tells of no way to break networks:\n%s", out)
	}
	k.ok("wait", "--for=delete", "namespace/microsim-system", "--timeout=30s")
}

func logsOnKind(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("shop.yaml", strings.ReplaceAll(frontAndBack, "NAME", "shop")))...)
	out := k.ok(k.microsim("logs", "--all", "--system", "shop", "--tail", "1")...)
	for _, want := range []string{"front/1 {", "back/1 {", "back/2 {"} {
		if strings.Count(out, want) != 1 {
			k.t.Errorf("there is not one line %q in\n%s", want, out)
		}
	}
	if out := k.ok(k.microsim("logs", "front")...); strings.Contains(out, "back/") || !strings.Contains(out, "front/1 ") {
		k.t.Errorf("the log of front is\n%s", out)
	}
	k.fails("no container has ended", k.microsim("logs", "front", "-p")...)
	k.fails(`no service "fornt"`, k.microsim("logs", "fornt")...)
	// A pod that takes the place of another is followed.
	b := k.Begin(k.microsim("logs", "front", "-f", "--tail", "1")...)
	b.until("front/1 {")
	k.ok("-n", "shop", "delete", "pod", "-l", "microsim.dev/service=front", "--wait=false")
	for range 600 {
		if strings.Count(b.said(), "front/1 {") == 2 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	_ = b.cmd.Process.Signal(os.Interrupt)
	if code := b.end(); code != cli.ExitDone || strings.Count(b.said(), "front/1 {") != 2 {
		k.t.Errorf("the log that was followed ends with %d:\n%s", code, b.said())
	}
	k.ok(k.microsim("down", "shop")...)
}

func topOnKind(k *onKind) {
	k.ok(k.microsim("up", "-f", k.file("shop.yaml", strings.ReplaceAll(frontAndBack, "NAME", "shop")))...)
	b := k.Begin(k.microsim("top", "shop", "-w", "--interval", "500ms")...)
	b.until("SERVICE")
	busy := regexp.MustCompile(`(?m)^back +([1-9][0-9.]*|0\.[1-9]) +0%.* 2/2$`)
	for range 60 {
		k.ok("get", "--raw", "/api/v1/namespaces/shop/services/http:front:80/proxy/")
		if busy.MatchString(b.said()) {
			break
		}
	}
	_ = b.cmd.Process.Signal(os.Interrupt)
	if code := b.end(); code != cli.ExitDone || !busy.MatchString(b.said()) {
		k.t.Errorf("top ends with %d, or does not show requests:\n%s", code, b.said())
	}
	var top report.Top
	if err := json.Unmarshal([]byte(k.ok(k.microsim("top", "shop", "-o", "json")...)), &top); err != nil {
		k.t.Fatal(err)
	}
	if len(top.Services) != 2 || top.Services[1].Up != 2 || top.Services[1].Memory < 1<<20 {
		k.t.Errorf("a sample is %+v", top)
	}
	k.ok(k.microsim("down", "shop")...)
}

const podMonitorKind = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  scope: Namespaced
  names: {kind: PodMonitor, listKind: PodMonitorList, plural: podmonitors, singular: podmonitor}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

func podMonitors(k *onKind) {
	file := k.file("shop.yaml", strings.ReplaceAll(frontAndBack, "NAME", "shop"))
	if out := k.ok(k.microsim("up", "-f", file, "--dry-run=client", "-o", "yaml")...); strings.Contains(out, "PodMonitor") {
		k.t.Error("a plan for no cluster in particular has a PodMonitor")
	}
	if out := k.ok(k.microsim("up", "-f", file, "--dry-run=client", "--pod-monitor")...); !strings.Contains(out, "podmonitor.monitoring.coreos.com/microsim-shop") {
		k.t.Errorf("the PodMonitor that is asked for is not planned:\n%s", out)
	}
	k.fails("does not know this kind", k.microsim("up", "-f", file, "--pod-monitor")...)
	definition := k.file("crd.yaml", podMonitorKind)
	k.ok("create", "-f", definition)
	k.ok("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com")
	k.ok("create", "namespace", "shared")
	there := func() string { return k.ok("get", "podmonitors", "-A", "-o", "name") }
	k.ok(k.microsim("up", "-f", file, "-n", "shared")...)
	if out := there(); out != "podmonitor.monitoring.coreos.com/microsim-shop\n" {
		k.t.Errorf("of a system that is up, there is %q", out)
	}
	k.ok(k.microsim("up", "-f", file, "-n", "shared", "--pod-monitor=false")...)
	if out := there(); out != "" {
		k.t.Errorf("though none is wanted any more, there is %q", out)
	}
	k.ok(k.microsim("up", "-f", file, "-n", "shared")...)
	k.ok(k.microsim("down", "shop")...)
	if out := there(); out != "" {
		k.t.Errorf("of a system that is down, there is %q", out)
	}
	k.ok("delete", "namespace", "shared")
	k.ok("delete", "-f", definition)
}
