//go:build linux

package storeagent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	model "github.com/microsim-dev/kubectl-microsim/model/store"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
	"github.com/microsim-dev/kubectl-microsim/workload/store/driver"
)

// build makes the program as a release does.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "microsim-store")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "github.com/microsim-dev/kubectl-microsim/cmd/microsim-store")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building microsim-store: %v\n%s", err, out)
	}
	return program
}

// A process is the program running.
type process struct {
	t             *testing.T
	cmd           *exec.Cmd
	Addr, Control string
}

// start starts the program with a part of a system, and waits for its addresses.
func start(t *testing.T, program string, part service.Spec, args ...string) *process {
	t.Helper()
	text, err := json.Marshal(part)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, cmd: exec.Command(program, append(args, "--addr", "127.0.0.1:0", "--control-addr", "127.0.0.1:0")...)}
	p.cmd.Env = append(os.Environ(), "MICROSIM_SERVICE="+string(text), "MICROSIM_TOKEN=secret")
	p.cmd.Stderr = t.Output()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, p)
	}
	if err != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		t.Fatalf("the program printed %q: %v", line, err)
	}
	return p
}

// end asks the program to end, which it must do well.
func (p *process) end() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("the program ended with %v", err)
	}
}

// ask sends a request and returns the status and the answer.
func ask(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// memory is the resident memory of a process in kilobytes.
func memory(t *testing.T, pid int) (kilobytes int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kilobytes); err == nil {
			return kilobytes
		}
	}
	t.Fatalf("there is no VmRSS in\n%s", text)
	return 0
}

// TestAServiceCallsAStore runs both as pods do, breaks the store by its control, and wants
// its words in the answer of the service.
func TestAServiceCallsAStore(t *testing.T) {
	const mostBytes, mostKilobytes = 25e6, 20e3
	program := build(t)
	if info, err := os.Stat(program); err != nil || info.Size() > mostBytes {
		t.Errorf("the program has %d bytes, %v; want at most %.0f", info.Size(), err, mostBytes)
	}
	db := topology.Service{Name: "db", Kind: topology.Redis, Replicas: 1, Store: &topology.Store{Items: 100}}
	system := &topology.System{Name: "shop", Services: []topology.Service{topology.NewService("web", topology.CallTo("db")), db}}
	store := start(t, program, service.SpecFor(system, &db, 1, 1, nil, ""), "store")
	defer store.end()
	peers := map[string][]string{"db": {"http://" + store.Addr}, "web": {"http://127.0.0.1:1"}}
	web := start(t, program, service.SpecFor(system, &system.Services[0], 1, 1, peers, ""), "caller")
	defer web.end()
	if status, text := ask(t, http.MethodGet, "http://"+web.Addr+"/", ""); status != http.StatusOK {
		t.Errorf("the service answers %d: %s", status, text)
	}
	if got := memory(t, store.cmd.Process.Pid); got > mostKilobytes {
		t.Errorf("an idle store has %d kB, want at most %.0f", got, mostKilobytes)
	}
	order, err := json.Marshal(control.FaultRequest{Fault: fault.Fault{Type: fault.AuthRevoked, Probability: 1}, Deadline: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := ask(t, http.MethodPut, "http://"+store.Control+control.FaultPath("f"), string(order)); status != http.StatusNoContent {
		t.Fatalf("the store answers the order with %d: %s", status, text)
	}
	if status, text := ask(t, http.MethodGet, "http://"+web.Addr+"/", ""); status != http.StatusBadGateway || !strings.Contains(text, "store_error") {
		t.Errorf("with the fault the service answers %d: %s", status, text)
	}
	if _, text := ask(t, http.MethodGet, "http://"+store.Control+control.MetricsPath, ""); !strings.Contains(text, `fault="auth-revoked",service="db"} 1`) || strings.Contains(text, "process_network") {
		t.Errorf("the metrics of the store do not tell of the fault, or tell of the network of this machine:\n%s", text)
	}
}

// TestTheOwnServerIsFilledAndMissed starts a store before the real server of its own. The
// store waits for the server, fills it, and ends with it.
func TestTheOwnServerIsFilledAndMissed(t *testing.T) {
	path, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skipf("it needs redis-server: %v", err)
	}
	program := build(t)
	port := freePort(t)
	own := "127.0.0.1:" + port
	db := topology.Service{Name: "db", Kind: topology.Redis, Replicas: 1, Store: &topology.Store{Engine: topology.Real, Items: 50}}
	store := start(t, program, service.Spec{System: "shop", Service: db, Replica: 1}, "store", "--own-server="+own)
	if status, _ := ask(t, http.MethodGet, "http://"+store.Control+control.ReadyPath, ""); status != http.StatusServiceUnavailable {
		t.Errorf("without its server the store is ready: %d", status)
	}
	server := exec.Command(path, "--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir())
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	stop := func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}
	defer stop()
	eventually(t, "the store is ready", func() bool {
		status, _ := ask(t, http.MethodGet, "http://"+store.Control+control.ReadyPath, "")
		return status == http.StatusOK
	})
	client, err := driver.New("test", &db)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	query := model.Query{Operation: topology.OpRead, Item: model.ItemName(49)}
	if found, err := client.Do(t.Context(), store.Addr, &query); err != nil || !found {
		t.Errorf("the last item is found: %v, %v", found, err)
	}
	stop()
	ended := make(chan error, 1)
	go func() { ended <- store.cmd.Wait() }()
	eventually(t, "the store ends with its server", func() bool {
		_, _ = client.Do(t.Context(), store.Addr, &query)
		select {
		case err := <-ended:
			if err == nil {
				t.Error("the store ended well")
			}
			return true
		default:
			return false
		}
	})
}

// freePort is one that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for limit := time.Now().Add(30 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in 30 s it does not come that %s", what)
		}
	}
}
