package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/microsim-dev/kubectl-microsim/"

// A floor lists the rooms that stand on it; a room may import rooms of lower
// floors, rooms inside itself, and those named in sideways.
var floors = []struct {
	level int
	rooms []string
}{
	{0, []string{"model/problem", "model/unit", "model/outcome", "model/stats", "model/des"}},
	{1, []string{"model/dist"}},
	{2, []string{"model/topology", "model/fault", "model/load", "model/policy"}},
	{3, []string{"model/chain", "model/order"}},
	{4, []string{"model/behave"}},
	{5, []string{"model/exec"}},
	{6, []string{"model/experiment", "model/spec"}},
	{7, []string{"cluster", "localsim", "netfault", "workload", "observe", "webui"}},
	{8, []string{"plugin"}},
	{9, []string{"cmd", "krew"}},
}

// sideways names the imports between rooms of one floor, each with its reason.
var sideways = map[string]string{
	"model/topology -> model/policy": "a call of the topology carries its policies",
	"model/spec -> model/experiment": "a file of kind Experiment is read into what the use case runs",
}

// free rooms may be imported from anywhere and import nothing of the project.
var free = []string{"internal/golden", "internal/testenv", "internal/version"}

// outside says which packages from outside the project a room must not know.
var outside = []struct{ room, banned, why string }{
	{"model/", "net/http", "the domain knows no network"},
	{"model/", "net/netip", "the domain knows no network"},
	{"model/", "k8s.io/", "the domain knows no Kubernetes"},
	{"workload", "k8s.io/", "a service runs everywhere, and stays small"},
	{"netfault", "k8s.io/", "the agent is small"},
	{"localsim", "k8s.io/", "local runs need no cluster"},
	{"observe", "k8s.io/", "observations come over HTTP"},
	{"plugin/agent", "k8s.io/", "the agent is small"},
	{"cmd/microsim-agent", "k8s.io/", "the agent is small"},
}

// suite asks running systems what they do, so it knows the network.
const suite = "model/experiment/experimenttest"

// groundOnly rooms import nothing but the standard library and the project.
var groundOnly = []string{
	"model/problem", "model/unit", "model/outcome", "model/dist", "model/stats", "model/des", "model/topology", "model/fault", "model/load", "model/policy", "model/chain", "model/behave", "model/exec", "model/order",
}

type pkg struct {
	ImportPath string
	Imports    []string
	Doc        string
	Standard   bool
}

// goList returns the packages that `go list` names for the arguments.
func goList(t *testing.T, args ...string) []pkg {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,Doc,Standard"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}

// room returns the room a package of the project stands in and its floor.
func room(path string) (name string, level int, ok bool) {
	path = strings.TrimPrefix(path, module)
	for _, f := range floors {
		for _, r := range f.rooms {
			if path == r || strings.HasPrefix(path, r+"/") {
				return r, f.level, true
			}
		}
	}
	return path, 0, false
}

func isFree(path string) bool {
	path = strings.TrimPrefix(path, module)
	for _, f := range free {
		if path == f || strings.HasPrefix(path, f+"/") {
			return true
		}
	}
	return path == "examples"
}

func TestImportsGoDownOnly(t *testing.T) {
	for _, p := range goList(t, "./...") {
		from, level, ok := room(p.ImportPath)
		if !ok {
			if !isFree(p.ImportPath) && !strings.Contains(p.ImportPath, "/internal/") {
				t.Errorf("%s stands on no floor: add it to the plan in this file, with the reason in its commit", p.ImportPath)
			}
			continue
		}
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) || isFree(imp) {
				continue
			}
			to, toLevel, ok := room(imp)
			if ok && (from == to || toLevel < level) || sideways[from+" -> "+to] != "" {
				continue
			}
			t.Errorf("%s imports %s: imports go down only; move the shared part to a lower floor, or wire it in plugin", p.ImportPath, imp)
		}
	}
}

func TestRoomsKeepTheOutsideOut(t *testing.T) {
	for _, p := range goList(t, "./...") {
		path := strings.TrimPrefix(p.ImportPath, module)
		for _, rule := range outside {
			if !strings.HasPrefix(path, rule.room) || path == suite {
				continue
			}
			for _, imp := range p.Imports {
				if imp == rule.banned || strings.HasSuffix(rule.banned, "/") && strings.HasPrefix(imp, rule.banned) {
					t.Errorf("%s imports %s: %s", p.ImportPath, imp, rule.why)
				}
			}
		}
		for _, r := range groundOnly {
			if path != r {
				continue
			}
			for _, imp := range p.Imports {
				if strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !strings.HasPrefix(imp, module) {
					t.Errorf("%s imports %s: the ground floors use the standard library only", p.ImportPath, imp)
				}
			}
		}
	}
}

func TestAgentStaysSmall(t *testing.T) {
	for _, p := range goList(t, "-deps", "./cmd/microsim-agent") {
		if strings.HasPrefix(p.ImportPath, "k8s.io/") || strings.HasPrefix(p.ImportPath, "sigs.k8s.io/kind") {
			t.Errorf("microsim-agent depends on %s: it must stay small and free of Kubernetes", p.ImportPath)
		}
	}
}

func TestEveryPackageSaysWhatLivesThere(t *testing.T) {
	for _, p := range goList(t, "./...") {
		if p.Doc == "" {
			t.Errorf("%s has no package comment: say in one sentence what lives there", p.ImportPath)
		}
	}
}
