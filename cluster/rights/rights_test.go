package rights

import (
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var updateDocs = flag.Bool("update-docs", false, "write the tables of docs/kubernetes.md from the list")

// TestAnExperimentHasNoMoreThanItsUser holds the list to what Kubernetes lets a user
// grant: no verb of an experiment that its user does not need, too.
func TestAnExperimentHasNoMoreThanItsUser(t *testing.T) {
	for _, p := range Purposes() {
		for _, r := range p.Rights {
			for _, verb := range strings.Fields(r.Run) {
				if !slices.Contains(strings.Fields(r.Verbs), verb) {
					t.Errorf("%s: an experiment may %s %s, which its user need not", p.Name, verb, r.Resource)
				}
			}
			if r.Run != "" && p.Scope == Cluster {
				t.Errorf("%s: an experiment has a right on %s in the whole cluster", p.Name, r.Resource)
			}
		}
	}
}

func TestNoExperimentOpensSecretsOfOthers(t *testing.T) {
	run := Run{SystemObject: "microsim-shop", Kills: true, LoadObject: "microsim-x-load"}
	for _, rule := range slices.Concat(RulesOf(run, Systems), RulesOf(run, Helpers)) {
		if slices.Contains(rule.Resources, "secrets") && len(rule.ResourceNames) == 0 {
			t.Errorf("a rule opens every Secret of the namespace: %v", rule)
		}
	}
	for _, rule := range RulesOf(Run{SystemObject: "microsim-shop"}, Systems) {
		if slices.Contains(rule.Resources, "jobs") || slices.Contains(rule.Resources, "pods") && slices.Contains(rule.Verbs, "delete") {
			t.Errorf("an experiment without faults on pods and without pods of load has %v", rule)
		}
	}
}

// TestNoExperimentMakesHelpers keeps the hole closed by which a detached experiment
// amounted to root on every node: helpers are privileged pods.
func TestNoExperimentMakesHelpers(t *testing.T) {
	run := Run{SystemObject: "microsim-shop", Kills: true, LoadObject: "microsim-x-load", HelperOrders: []string{"helper-1"}, HelperTokens: []string{"helper-1-x"}}
	for _, rule := range RulesOf(run, Helpers) {
		for _, verb := range []string{"create", "patch", "deletecollection"} {
			if slices.Contains(rule.Verbs, verb) {
				t.Errorf("an experiment may %s %v in the namespace of the helpers", verb, rule.Resources)
			}
		}
		if slices.Contains(rule.Resources, "configmaps") && slices.Contains(rule.Verbs, "update") && !slices.Equal(rule.ResourceNames, run.HelperOrders) {
			t.Errorf("an experiment may change the orders of other helpers: %v", rule)
		}
	}
}

func TestListed(t *testing.T) {
	for _, tt := range []struct {
		scope                 Scope
		verb, group, resource string
		want                  bool
	}{
		{Helpers, "patch", "batch", "jobs", true},
		{Systems, "update", "", "secrets", false},
		{Helpers, "get", "", "services", false},
		{Helpers, "get", "", "namespaces", true},
	} {
		if got := Listed(tt.scope, tt.verb, tt.group, tt.resource); got != tt.want {
			t.Errorf("%s on %s in %s: %t, want %t", tt.verb, tt.resource, tt.scope, got, tt.want)
		}
	}
}

func TestRightsAreDocumented(t *testing.T) {
	const path = "../../docs/kubernetes.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for name, table := range map[string]string{"user": UserTable(), "run": RunTable()} {
		begin, end := "<!-- rights of "+name+": generated -->\n", "<!-- end -->\n"
		before, rest, found := strings.Cut(doc, begin)
		_, after, ended := strings.Cut(rest, end)
		if !found || !ended {
			t.Fatalf("%s has no place for the table of %q", path, name)
		}
		doc = before + begin + "\n" + table + "\n" + end + after
	}
	if *updateDocs {
		if err := os.WriteFile(path, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if doc != string(text) {
		t.Errorf("the tables of rights in %s are old; run: go test ./cluster/rights -run RightsAreDocumented -update-docs", path)
	}
}
