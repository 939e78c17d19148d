package doctor

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster/apitest"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// program puts a shell script of a name on an otherwise empty PATH.
func program(t *testing.T, name, script string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the programs of this test are shell scripts")
	}
	dir := t.TempDir()
	if script != "" {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

func TestExamineKubectl(t *testing.T) {
	version := func(git, minor string) string {
		return fmt.Sprintf("echo '{\"clientVersion\":{\"major\":\"1\",\"minor\":%q,\"gitVersion\":%q}}'", minor, git)
	}
	for name, tt := range map[string]struct {
		script      string
		works       bool
		why, remedy string
	}{
		"the oldest that completes": {version("v1.26.0", "26"), true, "", ""},
		"of a cloud":                {version("v1.31.2-gke.1", "31+"), true, "", ""},
		"one release too old":       {version("v1.25.9", "25"), false, "v1.25.9, which does not complete", "upgrade it to 1.26"},
		"without a number":          {version("dev", "main"), false, "version dev", "upgrade it"},
		"that fails":                {"exit 3", false, "exit status 3", "install another"},
		"that says something else":  {"echo hello", false, "invalid character", "install another"},
		"none":                      {"", false, "no kubectl on the PATH", "install it"},
	} {
		t.Run(name, func(t *testing.T) {
			program(t, "kubectl", tt.script)
			f := examineKubectl(t.Context())
			if f.Works != tt.works || !strings.Contains(f.Why, tt.why) || !strings.Contains(f.Remedy, tt.remedy) || f.Works != (f.Why == "") || f.Works != (f.Remedy == "") {
				t.Errorf("found %+v; want works %v, why %q, remedy %q", f, tt.works, tt.why, tt.remedy)
			}
		})
	}
}

func TestTryProgram(t *testing.T) {
	for name, tt := range map[string]struct{ script, err string }{
		"works":             {"echo 27.1", ""},
		"is missing":        {"", "there is no program docker on the PATH"},
		"refuses":           {"echo permission denied >&2; echo more; exit 1", "docker version: exit status 1: permission denied"},
		"ends by a silence": {"exit 1", "docker version: exit status 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			program(t, "docker", tt.script)
			err := tryProgram(t.Context(), "docker", "version")
			if fmt.Sprint(err) != cmp.Or(tt.err, "<nil>") {
				t.Errorf("the error is %q, want %q", fmt.Sprint(err), tt.err)
			}
		})
	}
}

// A finding that only root can mend has that remedy, even if another helps, too.
func TestRemedies(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{errors.New("no such module"), "load it"},
		{fmt.Errorf("making a namespace: %w", syscall.EPERM), "run as root, such as by sudo"},
		{&os.PathError{Op: "open", Path: "/run/x", Err: fs.ErrPermission}, "run as root, such as by sudo"},
	} {
		if got := remedyFor(tt.err, "load it"); got != tt.want {
			t.Errorf("%v: the remedy is %q, want %q", tt.err, got, tt.want)
		}
	}
}

func TestFindings(t *testing.T) {
	pods := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list"}}
	more := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list", "create"}}
	nodes := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"list"}}
	findings := []Finding{
		{Where: "machine", Name: "gates", Works: true, What: "delay"},
		{Where: "machine", Name: "tc", Why: "no netem", Remedy: "load it"},
		{Where: "cluster", Name: "systems", Why: "not allowed", Rules: []rbacv1.PolicyRule{pods}, Namespace: "team"},
		{Where: "cluster", Name: "helpers", Why: "not allowed", Rules: []rbacv1.PolicyRule{nodes}},
		{Where: "cluster", Name: "faults", Why: "not allowed", Rules: []rbacv1.PolicyRule{more}, Namespace: "team"},
	}
	var out strings.Builder
	if err := printFindings(cli.Streams{Out: &out, Err: &out}, &cli.Output{}, findings); err != nil {
		t.Fatal(err)
	}
	table, roles, _ := strings.Cut(out.String(), "\n---\n")
	for _, line := range []string{"gates +works +delay", "tc +no +no netem -> load it", "systems +no +not allowed\n"} {
		if !regexp.MustCompile(line).MatchString(table) {
			t.Errorf("the table has no line %q:\n%s", line, table)
		}
	}
	// The machine and the cluster are told apart by an empty line.
	if !strings.Contains(table, "load it\n\n") {
		t.Errorf("the machine and the cluster are not apart:\n%s", table)
	}
	documents := strings.Split(roles, "\n---\n")
	if len(documents) != 2 || !strings.Contains(documents[0], "rolebinding microsim --role=microsim --user=USER -n team") || !strings.Contains(documents[1], "clusterrolebinding microsim --clusterrole=microsim --user=USER") {
		t.Fatalf("the roles are\n%s", roles)
	}
	var role rbacv1.Role
	if err := yaml.UnmarshalStrict([]byte(documents[0]), &role); err != nil {
		t.Fatal(err)
	}
	want := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "list", "create"}}}
	if role.Kind != "Role" || role.Namespace != "team" || !reflect.DeepEqual(role.Rules, want) {
		t.Errorf("the role is %+v, want %v", role, want)
	}
	var all rbacv1.ClusterRole
	if err := yaml.UnmarshalStrict([]byte(documents[1]), &all); err != nil || all.Kind != "ClusterRole" || all.Namespace != "" || !reflect.DeepEqual(all.Rules, []rbacv1.PolicyRule{nodes}) {
		t.Errorf("the cluster's role is %+v, %v", all, err)
	}
}

// doctor runs the command on a cluster.
func doctor(t *testing.T, api http.Handler) []Finding {
	t.Helper()
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	config := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, namespace: team}}], clusters: [{name: c, cluster: {server: %q}}]}`, server.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", config)
	t.Setenv("MICROSIM_STATE_DIR", t.TempDir())
	program(t, "kubectl", "")
	var out, talk strings.Builder
	cmd := New(cli.Streams{In: strings.NewReader(""), Out: &out, Err: &talk})
	cmd.SetArgs([]string{"--on", "cluster", "--image", "registry.example/agent:1", "-o", "json"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, talk.String())
	}
	var list struct{ Items []Finding }
	if err := json.Unmarshal([]byte(out.String()), &list); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	return list.Items
}

// A cluster that does not answer is one finding, and no error of the command.
func TestAClusterThatDoesNotAnswer(t *testing.T) {
	findings := doctor(t, http.NotFoundHandler())
	i := slices.IndexFunc(findings, func(f Finding) bool { return f.Name == "cluster" })
	if i < 0 || findings[i].Works || findings[i].Why == "" {
		t.Errorf("found %+v, want that the cluster does not work", findings)
	}
	for _, f := range findings {
		if f.Where != "cluster" {
			t.Errorf("--on cluster examined %s of this machine", f.Name)
		}
	}
}

// Rights that the API server does not give are written as rules of the namespace.
func TestRightsThatAreMissing(t *testing.T) {
	api := apitest.New(t)
	api.Intercept = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/version" {
			_, _ = fmt.Fprint(w, `{"major":"1","minor":"33","gitVersion":"v1.33.1"}`)
			return true
		}
		if !strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		review, ok := object.(*authorizationv1.SelfSubjectAccessReview)
		if err != nil || !ok {
			t.Errorf("the review is %v, %v", object, err)
			return false
		}
		asked := review.Spec.ResourceAttributes
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"kind":"SelfSubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":{"allowed":%v}}`, asked.Resource != "secrets")
		return true
	}
	var missing []string
	for _, f := range doctor(t, api) {
		for _, rule := range f.Rules {
			missing = append(missing, rule.Resources...)
			if f.Works || f.Namespace != "team" && f.Namespace != "microsim-system" {
				t.Errorf("the finding that lacks %v is %+v", rule, f)
			}
		}
	}
	if len(missing) == 0 || slices.ContainsFunc(missing, func(r string) bool { return r != "secrets" }) {
		t.Errorf("the rights to %q are missing, want those to secrets alone", missing)
	}
}
