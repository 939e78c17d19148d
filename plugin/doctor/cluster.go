package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster/access"
	"github.com/microsim-dev/kubectl-microsim/cluster/image"
	"github.com/microsim-dev/kubectl-microsim/cluster/kubeapi"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/target"
)

// clusterPatience bounds the examination of a cluster that answers.
const clusterPatience = time.Minute

// examineCluster finds out what works on the cluster that the flags mean. Only
// with probe, helpers run there for a moment.
func examineCluster(ctx context.Context, at *target.Target, probe bool) []Finding {
	ctx, cancel := context.WithTimeout(ctx, clusterPatience)
	defer cancel()
	quiet := cli.Streams{Out: io.Discard, Err: io.Discard}
	c, err := at.Kube.Cluster(ctx, at.On, quiet, false, func(c *kubeapi.Config) {
		c.Image, c.FindImage = at.Kube.ImageToExpect(ctx, at.On), at.Kube.ImageFinder(at.On, quiet)
	})
	if err != nil {
		return []Finding{{Where: "cluster", Name: "cluster", What: "systems on Kubernetes", Why: err.Error()}}
	}
	findings := []Finding{examineKubectl(ctx)}
	for _, f := range access.Examine(ctx, c.Client, access.Examination{HasAgent: hasAgent(at.Kube.Image), Loads: at.Kube.Loads(ctx, at.On), Probe: probe}) {
		findings = append(findings, Finding{
			Where: "cluster", Name: f.Name, Works: f.Works, What: f.What, Why: f.Why, Remedy: f.Remedy, Rules: f.Missing, Namespace: f.Namespace,
		})
	}
	return findings
}

// hasAgent says why there is no agent for an architecture. A named image has its
// own.
func hasAgent(named string) func(arch string) error {
	if named != "" {
		return nil
	}
	return func(arch string) error {
		self, err := os.Executable()
		if err == nil {
			_, err = image.Find(self, arch)
		}
		return err
	}
}

// oldestKubectl is the release of Kubernetes 1 whose kubectl first asks plugins
// for the completion of words.
const oldestKubectl = 26

// examineKubectl looks for kubectl, which starts the plugin.
func examineKubectl(ctx context.Context) Finding {
	f := Finding{Where: "cluster", Name: "kubectl"}
	path, err := exec.LookPath("kubectl")
	if err != nil {
		f.What, f.Why, f.Remedy = "calls this plugin", "there is no kubectl on the PATH", "install it, or call kubectl-microsim by its own name"
		return f
	}
	cmd := exec.CommandContext(ctx, path, "version", "--client", "-o", "json")
	cmd.WaitDelay = time.Second
	text, err := cmd.Output()
	var v struct {
		ClientVersion struct{ GitVersion, Minor string } `json:"clientVersion"`
	}
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	if err != nil {
		f.Why, f.Remedy = fmt.Sprintf("asking %s for its version: %v", path, err), "install another"
		return f
	}
	f.What = "kubectl " + v.ClientVersion.GitVersion
	minor, err := strconv.Atoi(strings.TrimRight(v.ClientVersion.Minor, "+"))
	if f.Works = err == nil && minor >= oldestKubectl; !f.Works {
		f.Why, f.Remedy = fmt.Sprintf("it is of version %s, which does not complete the words of plugins", v.ClientVersion.GitVersion), fmt.Sprintf("upgrade it to 1.%d or newer", oldestKubectl)
	}
	return f
}

// printRoles prints the Roles that would give the rights that are missing, as
// documents that kubectl takes.
func printRoles(w io.Writer, findings []Finding) error {
	var order []string
	missing := map[string][]rbacv1.PolicyRule{}
	for _, f := range findings {
		if len(f.Rules) == 0 {
			continue
		}
		if missing[f.Namespace] == nil {
			order = append(order, f.Namespace)
		}
		missing[f.Namespace] = addRules(missing[f.Namespace], f.Rules)
	}
	var failed error
	for _, namespace := range order {
		text, err := yaml.Marshal(roleOf(namespace, missing[namespace]))
		if err == nil {
			_, err = fmt.Fprintf(w, "\n---\n# What is missing; bind it with kubectl create %s.\n%s", bindingOf(namespace), text)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// addRules adds rules to others without repeating any.
func addRules(rules, more []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	for _, m := range more {
		at := slices.IndexFunc(rules, func(r rbacv1.PolicyRule) bool {
			return r.APIGroups[0] == m.APIGroups[0] && r.Resources[0] == m.Resources[0]
		})
		if at < 0 {
			rules = append(rules, rbacv1.PolicyRule{APIGroups: m.APIGroups, Resources: m.Resources})
			at = len(rules) - 1
		}
		for _, verb := range m.Verbs {
			if !slices.Contains(rules[at].Verbs, verb) {
				rules[at].Verbs = append(rules[at].Verbs, verb)
			}
		}
	}
	return rules
}

// roleOf has the fields of a Role, or of a ClusterRole where there is no
// namespace.
func roleOf(namespace string, rules []rbacv1.PolicyRule) any {
	meta := metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"}
	name := map[string]string{"name": "microsim"}
	if namespace == "" {
		meta.Kind = "ClusterRole"
	} else {
		name["namespace"] = namespace
	}
	return struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        map[string]string   `json:"metadata"`
		Rules           []rbacv1.PolicyRule `json:"rules"`
	}{meta, name, rules}
}

// bindingOf is how the role is given to a user.
func bindingOf(namespace string) string {
	if namespace == "" {
		return "clusterrolebinding microsim --clusterrole=microsim --user=USER"
	}
	return "rolebinding microsim --role=microsim --user=USER -n " + namespace
}
