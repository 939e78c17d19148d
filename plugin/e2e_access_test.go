//go:build e2e

package plugin

import (
	"encoding/json"
	"strings"
)

func accessCases() []e2eCase {
	return []e2eCase{
		{"a user without rights is told the rules that suffice", rights},
		{"the doctor knows the cluster", doctorOnKind},
	}
}

func rights(k *onKind) {
	file := k.file("shop.yaml", strings.ReplaceAll(frontAndBack, "NAME", "shop"))
	as := func(args ...string) []string { return k.microsim(append(args, "-n", "team", "--as", "ann")...) }
	k.ok("create", "namespace", "team")
	k.fails("kubectl create role microsim-configmaps-list --verb=list --resource=configmaps -n team", as("status")...)
	k.fails(`--user="ann" -n team`, as("up", "-f", file)...)
	// What the doctor says is missing, and the commands of an error, are taken by
	// kubectl as they are.
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
	var doctor struct{ Items []finding }
	if err := json.Unmarshal([]byte(k.ok(as("doctor", "-o", "json")...)), &doctor); err != nil {
		k.t.Fatal(err)
	}
	for _, f := range doctor.Items {
		if strings.HasPrefix(f.Name, "may/") && f.Namespace == "team" && !f.Works {
			k.t.Errorf("with the rules, %s is not allowed: %s", f.Name, f.Why)
		}
	}
	k.ok(as("down", "shop")...)
	k.ok("delete", "namespace", "team")
}

func doctorOnKind(k *onKind) {
	out := k.ok(k.microsim("doctor")...)
	for _, want := range []string{"version", "may/up", "may/helpers", "pod-security/microsim-system", "podmonitors", "node/" + k.sandbox + "-control-plane", "image"} {
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
}
