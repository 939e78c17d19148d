package archtest

import (
	"strings"
	"testing"
)

// clusterLayers are the packages below cluster, from the ground up. A package may
// import those of lower layers.
var clusterLayers = []struct {
	packages []string
	why      string
}{
	{[]string{"rights", "archive", "image", "sandbox", "nodeagent"}, "each knows one thing and nothing of the others; what may be asked of a cluster is a list"},
	{[]string{"manifest"}, "objects are built without a cluster"},
	{[]string{"kubeapi"}, "one way to speak to the API server, with its errors explained"},
	{[]string{"watch", "apitest"}, "one loop to wait for objects; the API server of the tests"},
	{[]string{"nodehelper"}, "the helpers of nodes, for faults of any owner"},
	{[]string{"apply"}, "a system comes and goes, with what helpers do for it"},
	{[]string{"faults", "loadjob"}, "what acts on a system that is there"},
	{[]string{"workload", "logs", "detached", "access"}, "what users ask for, over all of it"},
	{[]string{""}, "the cluster as a target of the runner"},
}

func clusterLayerOf(path string) (level int, inside bool) {
	name, inside := strings.CutPrefix(path+"/", module+"cluster/")
	if !inside {
		return 0, false
	}
	name = strings.TrimSuffix(name, "/")
	for level, l := range clusterLayers {
		for _, p := range l.packages {
			if p == name {
				return level, true
			}
		}
	}
	return -1, true
}

func TestClusterImportsGoDownOnly(t *testing.T) {
	seen := 0
	for _, p := range goList(t, "./cluster/...") {
		level, _ := clusterLayerOf(p.ImportPath)
		if level < 0 {
			t.Errorf("%s is in no layer of cluster: add it to the table in cluster_test.go, with the reason", p.ImportPath)
			continue
		}
		seen++
		for _, imp := range p.Imports {
			if to, inside := clusterLayerOf(imp); inside && to >= level {
				t.Errorf("%s imports %s: imports inside cluster go down only; move the shared part to a lower layer", p.ImportPath, imp)
			}
		}
	}
	listed := 0
	for _, l := range clusterLayers {
		listed += len(l.packages)
	}
	if seen != listed {
		t.Errorf("the table lists %d packages, and there are %d: take out those that are gone", listed, seen)
	}
}

func TestOnlyTestsUseTheirAPIServer(t *testing.T) {
	for _, p := range goList(t, "./...") {
		for _, imp := range p.Imports {
			if imp == module+"cluster/apitest" {
				t.Errorf("%s imports %s outside of tests: it stores objects and checks next to nothing", p.ImportPath, imp)
			}
		}
	}
}
