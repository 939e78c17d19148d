//go:build unix

package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	model "github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/plugin/local"
	"github.com/microsim-dev/kubectl-microsim/runner"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// storePatience bounds the waits of these tests: a real server makes its data first.
const storePatience = time.Minute

// TestAKilledStoreStartsAgainWithItsFirstItems breaks stores by the ends of their
// processes. Data that clients wrote are lost with the process, and a real server ends
// with it.
func TestAKilledStoreStartsAgainWithItsFirstItems(t *testing.T) {
	for name, db := range map[string]topology.Service{
		"embedded redis":    {Kind: topology.Redis, Store: &topology.Store{Items: 100}},
		"embedded postgres": {Kind: topology.Postgres, Store: &topology.Store{Items: 100}},
		"redis-server":      {Kind: topology.Redis, Store: &topology.Store{Engine: topology.Real, Items: 100}},
		"memcached":         {Kind: topology.Memcached, Store: &topology.Store{Engine: topology.Real, Items: 100}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(name); err != nil && db.StoreSettings().Engine == topology.Real {
				t.Skipf("it needs %s: %v", name, err)
			}
			db.Name, db.Replicas = "db", 1
			d := upProcesses(t, &topology.System{Name: "stored", Services: []topology.Service{topology.NewService("web", topology.CallTo("db")), db}})
			store, web := replicaOf(t, d, "db"), replicaOf(t, d, "web")
			c, err := driver.New("test", &db)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			const ours, first = "item:ours", "item:99"
			do := func(op topology.Operation, item string) (found bool) {
				t.Helper()
				found, err := c.Do(t.Context(), addressOf(t, store.URL), &model.Query{Operation: op, Item: item, Value: []byte("x")})
				if err != nil {
					t.Fatalf("%s of %s: %v", op, item, err)
				}
				return found
			}
			do(topology.OpWrite, ours)
			if !do(topology.OpRead, ours) || !do(topology.OpRead, first) {
				t.Error("before the kill an item is missing")
			}
			if err := d.Inject(t.Context(), "k", fault.Fault{Type: fault.Kill, Probability: 1, Target: fault.Target{Service: "db"}}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			within(t, "the store is ready again", func() bool {
				now := replicaOf(t, d, "db")
				return now.State == runner.Ready && now.Restarts == 1 && now.PID != store.PID
			})
			within(t, "the way to the store works again", func() bool {
				// A connection of the pool may have been cut.
				_, err := c.Do(t.Context(), addressOf(t, store.URL), &model.Query{Operation: topology.OpRead, Item: first})
				return err == nil
			})
			if do(topology.OpRead, ours) {
				t.Error("what a client wrote outlives the process")
			}
			if !do(topology.OpRead, first) {
				t.Error("the new process lacks an item that it begins with")
			}
			within(t, "the service reaches the store again", func() bool {
				return strings.HasPrefix(ask(t, http.MethodGet, web.URL+"/", ""), "200 ")
			})
		})
	}
}

// upProcesses starts a system whose replicas are processes.
func upProcesses(t *testing.T, system *topology.System) *localsim.Deployment {
	t.Helper()
	deployer, err := (&local.Flags{Isolation: string(localsim.Process)}).DeployerIn("", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d, err := deployer.Up(t.Context(), system, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

func replicaOf(t *testing.T, d *localsim.Deployment, service string) runner.Replica {
	t.Helper()
	replicas, err := d.Replicas(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range replicas {
		if r.Service == service {
			return r
		}
	}
	t.Fatalf("no replica of %s among %+v", service, replicas)
	return runner.Replica{}
}

func addressOf(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func within(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(storePatience); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in %v it does not come that %s", storePatience, what)
		}
	}
}

// TestStoresEndWithTheProgram kills the program that holds a system: its stores end, and
// so do their real servers.
func TestStoresEndWithTheProgram(t *testing.T) {
	dir := t.TempDir()
	text := `{apiVersion: microsim.dev/v1alpha1, kind: System, name: held, services: [{name: web, calls: [db, cache]}, {name: db, kind: redis}`
	names := []string{"web", "db"}
	if _, err := exec.LookPath("memcached"); err == nil {
		text, names = text+`, {name: cache, kind: memcached, store: {engine: real, items: 10}}`, append(names, "cache")
	} else {
		text = strings.ReplaceAll(text, ", cache]", "]")
	}
	file := filepath.Join(dir, "held.yaml")
	if err := os.WriteFile(file, []byte(text+`]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	program := func(args ...string) *exec.Cmd {
		cmd := exec.Command(os.Args[0], append(args, "--on", "local")...)
		cmd.Env = append(os.Environ(), beProgram+"=1", "MICROSIM_STATE_DIR="+filepath.Join(dir, "state"))
		return cmd
	}
	holder := program("up", "-f", file, "--isolation", "process")
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() { _, _ = holder.Process.Kill(), holder.Wait() }
	defer stop()
	addresses := map[string]string{}
	within(t, "all services are up", func() bool {
		out, err := program("status", "held", "-o", "json").Output()
		var status struct {
			Services []struct{ Name, Endpoint string }
		}
		if err != nil || json.Unmarshal(out, &status) != nil {
			return false
		}
		for _, s := range status.Services {
			addresses[s.Name] = addressOf(t, s.Endpoint)
		}
		return len(addresses) == len(names)
	})
	stop()
	for _, name := range names {
		within(t, name+" takes no connections", func() bool {
			conn, err := net.DialTimeout("tcp", addresses[name], time.Second)
			if err == nil {
				conn.Close()
			}
			return errors.Is(err, syscall.ECONNREFUSED)
		})
	}
	if out, err := program("down", "held").CombinedOutput(); err != nil {
		t.Errorf("taking down what was left: %v\n%s", err, out)
	}
}
