package nodeagent

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// A fakeProcess is a process in a container of a pod.
type fakeProcess struct {
	uid, container string
	// environ is its environment, with semicolons between the variables.
	environ     string
	hostNetwork bool
}

// newAdmission makes a node of these processes, with a directory of logs for each pod
// named as NAMESPACE_NAME_UID.
func newAdmission(t *testing.T, logs []string, processes ...fakeProcess) *admission {
	t.Helper()
	dir := t.TempDir()
	m := &machine{finder: netns.Finder{Proc: filepath.Join(dir, "proc")}}
	m.table.read = m.finder.Processes
	a := m.admission()
	a.logs = filepath.Join(dir, "pods")
	write := func(path, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, []byte(text))
	}
	for _, name := range logs {
		write(filepath.Join(a.logs, name, "service", "0.log"), "")
	}
	for i, p := range append([]fakeProcess{{hostNetwork: true}}, processes...) {
		at := filepath.Join(m.finder.Proc, strconv.Itoa(i+1))
		comm, inode := "app", 7
		if strings.HasPrefix(p.container, "sandbox") {
			comm = "pause"
		}
		if p.hostNetwork {
			inode = 1
		}
		write(filepath.Join(at, "comm"), comm+"\n")
		write(filepath.Join(at, "environ"), strings.ReplaceAll(p.environ, ";", "\x00"))
		cgroup := "0::/init.scope\n"
		if p.uid != "" {
			cgroup = "0::/kubepods/burstable/pod" + p.uid + "/" + p.container + "\n"
		}
		write(filepath.Join(at, "cgroup"), cgroup)
		write(filepath.Join(at, "ns", "x"), "")
		if err := os.Symlink(fmt.Sprintf("net:[%d]", inode), filepath.Join(at, "ns", "net")); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func TestAdmission(t *testing.T) {
	const (
		uid  = "1b2c3d4e-5f60-7182-93a4-000000000001"
		shop = "PATH=/bin;MICROSIM_SYSTEM=shop;MICROSIM_NAMESPACE=team;"
		bank = "MICROSIM_SYSTEM=bank;MICROSIM_NAMESPACE=team;"
	)
	sandbox := fakeProcess{uid: uid, container: "sandbox"}
	in := func(environ string) fakeProcess { return fakeProcess{uid: uid, container: "service", environ: environ} }
	logs := []string{"team_cart-1_" + uid}
	for name, tt := range map[string]struct {
		logs      []string
		processes []fakeProcess
		owner     string
		pods, max int
		allow     bool
		refused   string
	}{
		"of the system":                     {logs, []fakeProcess{sandbox, in(shop)}, "team/shop", 1, 0, false, ""},
		"with a sidecar":                    {logs, []fakeProcess{sandbox, in(""), in(shop)}, "team/shop", 1, 0, false, ""},
		"without a directory of logs":       {nil, []fakeProcess{sandbox, in(shop)}, "team/shop", 1, 0, false, ""},
		"of another system":                 {logs, []fakeProcess{sandbox, in(bank)}, "team/shop", 1, 0, false, `it is a pod of system "team/bank", and not of "shop" in namespace "team"`},
		"of no system":                      {logs, []fakeProcess{sandbox, in("A=b")}, "team/shop", 1, 0, false, `does not say to be of system "shop"`},
		"a system of the same name":         {[]string{"other_cart-1_" + uid}, []fakeProcess{in("MICROSIM_SYSTEM=shop;MICROSIM_NAMESPACE=other")}, "team/shop", 1, 0, false, `a pod of namespace "other"`},
		"it lies about its namespace":       {[]string{"other_cart-1_" + uid}, []fakeProcess{in(shop)}, "team/shop", 1, 0, false, `a pod of namespace "other"`},
		"no container runs":                 {logs, []fakeProcess{sandbox}, "team/shop", 1, 0, false, ""},
		"no container of another runs":      {[]string{"other_x_" + uid}, []fakeProcess{sandbox}, "team/shop", 1, 0, false, `a pod of namespace "other"`},
		"of no system, called pause":        {logs, []fakeProcess{sandbox, {uid: uid, container: "sandbox-like"}}, "team/shop", 1, 0, false, `does not say to be of system "shop"`},
		"not on the node":                   {nil, nil, "team/shop", 1, 0, false, "nothing of the pod runs on this node"},
		"selected":                          {logs, []fakeProcess{sandbox, in("")}, "foreign.faults/team", 2, 2, false, ""},
		"selected in another namespace":     {logs, []fakeProcess{sandbox, in("")}, "foreign.faults/bank", 1, 2, false, `a pod of namespace "team", and "foreign.faults/bank" breaks those of "bank" alone`},
		"selected, of an unknown namespace": {nil, []fakeProcess{in(shop)}, "foreign.faults/team", 1, 2, false, "cannot tell which namespace"},
		"selected, too many":                {logs, []fakeProcess{in("")}, "foreign.faults/team", 3, 2, false, "3 pods of this node, more than the 2 that are allowed; select fewer, or write --max-pods=3"},
		"selected, without a bound":         {logs, []fakeProcess{in("")}, "foreign.faults/team", 1, 0, false, "does not say how many pods"},
		"selected, of the cluster":          {[]string{"kube-system_dns_" + uid}, []fakeProcess{in("")}, "foreign.faults/kube-system", 1, 1, false, "without --allow-system"},
		"selected, of the cluster, allowed": {[]string{"kube-system_dns_" + uid}, []fakeProcess{in("")}, "foreign.faults/kube-system", 1, 1, true, ""},
		"selected, on the node's network":   {logs, []fakeProcess{{uid: uid, container: "service", hostNetwork: true}}, "foreign.faults/team", 1, 1, true, "uses the network of its node"},
		"of nobody":                         {logs, []fakeProcess{in(shop)}, "shop", 1, 1, true, "names neither a system"},
		"of a path":                         {logs, []fakeProcess{in(shop)}, "team/shop/x", 1, 1, true, "names neither a system"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdmission(t, tt.logs, tt.processes...)
			a.allowSystem = tt.allow
			w := &desiredFault{owner: tt.owner, uid: uid, pods: tt.pods, fault: order.Fault{ID: "f", MaxPods: tt.max}}
			for range 2 { // the second answer may be a remembered one
				err := a.admit(w)
				if tt.refused == "" && err != nil || tt.refused != "" && (err == nil || !strings.Contains(err.Error(), tt.refused)) {
					t.Errorf("got %v, want %q", err, tt.refused)
				}
			}
		})
	}
}

// TestAPodSaysItsSystemLater asks for a pod whose sidecar runs before the service does.
func TestAPodSaysItsSystemLater(t *testing.T) {
	const uid = "1b2c3d4e-5f60-7182-93a4-000000000001"
	a := newAdmission(t, []string{"team_cart-1_" + uid}, fakeProcess{uid: uid, container: "mesh"})
	w := &desiredFault{owner: "team/shop", uid: uid}
	if err := a.admit(w); err == nil {
		t.Fatal("a pod that says nothing is taken")
	}
	writeFile(t, filepath.Join(a.finder.Proc, "2", "environ"), []byte("MICROSIM_SYSTEM=shop\x00MICROSIM_NAMESPACE=team\x00"))
	if err := a.admit(w); err != nil {
		t.Errorf("once it says so: %v", err)
	}
}

// TestARefusedFaultNeverActs gives an order with a fault that its owner may not have on
// the pod. The fault beside it acts.
func TestARefusedFaultNeverActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newFakeWorld()
		world.refuse = "bad"
		n := startNode(t, world, "", 0)
		o := someOrder("a/b", 1, "1")
		o.Pods[0].Faults = append(o.Pods[0].Faults, someFault("bad", time.Time{}))
		code, text := n.http(t, "PUT", "/orders/a%2Fb", o)
		if code != 200 || !strings.Contains(text, `"faultId":"bad","acts":false,"error":"the helper refuses it: it is another's pod"`) || !strings.Contains(text, `"acts":true`) {
			t.Errorf("%d %s", code, text)
		}
		if got := world.on("1"); got != "a/b/f" {
			t.Errorf("there act %q", got)
		}
		world.mu.Lock()
		world.refuse = "f"
		world.mu.Unlock()
		time.Sleep(2 * reconcileEvery)
		if got := world.on("1"); got != "a/b/bad" {
			t.Errorf("after what is allowed has changed, there act %q", got)
		}
		n.end(t)
	})
}
