package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
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

	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
	"github.com/microsim-dev/kubectl-microsim/workload/service/servicetest"
)

// build makes the program once for a test.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "microsim-agent")
	cmd := exec.Command("go", "build", "-o", program, "github.com/microsim-dev/kubectl-microsim/cmd/microsim-agent")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building microsim-agent: %v\n%s", err, out)
	}
	return program
}

// A process is the agent running.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	addresses
}

// startAgent starts the program and waits for the line that tells its address.
func startAgent(t *testing.T, program string, env []string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(program, append([]string{"serve"}, args...)...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = t.Output()
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.addresses)
	}
	if err != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		t.Fatalf("the agent printed %q: %v", line, err)
	}
	return p
}

func TestAgentConforms(t *testing.T) {
	program := build(t)
	for _, c := range servicetest.Cases() {
		t.Run(c.Level.String()+" "+c.Name, func(t *testing.T) {
			c.Test(t, func(_ servicetest.T, spec service.Spec) string { return serveSpec(t, program, spec) })
		})
	}
}

// serveSpec starts the agent as the service of a spec.
func serveSpec(t *testing.T, program string, spec service.Spec) (url string) {
	t.Helper()
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	p := startAgent(t, program, []string{"MICROSIM_SERVICE=" + string(data), "MICROSIM_ADDR=127.0.0.1:0", "MICROSIM_WATCH_STDIN=1"})
	t.Cleanup(func() {
		_ = p.stdin.Close()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("the agent ended with %v when its stdin was closed", err)
		}
	})
	return "http://" + p.Addr
}

func TestAgentEndsOnSignals(t *testing.T) {
	program := build(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		p := startAgent(t, program, []string{"PORT=0", "SERVICE_NAME=from-env"}, "--service-name", "from-flag", "--control-addr", "127.0.0.1:0")
		_, port, err := net.SplitHostPort(p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		if body := httpBody(t, "POST", "http://127.0.0.1:"+port+"/", `{"designation":"x"}`); !strings.Contains(body, `"service":"from-env"`) {
			t.Errorf("it answers %s", body)
		}
		if body := httpBody(t, "GET", "http://"+p.Control+"/metrics", ""); !strings.Contains(body, "process_cpu_seconds_total") || strings.Contains(body, "process_network_") {
			t.Errorf("control has no metrics of the process, or those of the machine's network: %s", body)
		}
		if err := p.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%v: ended with %v", signal, err)
		}
	}
}

func httpBody(t *testing.T, method, url, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestServeConfig(t *testing.T) {
	spec := service.Spec{System: "shop", Service: topology.NewService("cart"), Replica: 2, Seed: 1<<63 + 1, Token: "t"}
	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "spec.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		Name      string
		env       map[string]string
		wantName  string
		wantToken string
	}{
		{"nothing", nil, "Undefined", ""},
		{"name", map[string]string{"SERVICE_NAME": "x"}, "x", ""},
		{"spec", map[string]string{"MICROSIM_SERVICE": string(data)}, "cart", "t"},
		{"file", map[string]string{"MICROSIM_SERVICE": "@" + file}, "cart", "t"},
		{"all", map[string]string{"MICROSIM_SERVICE": string(data), "SERVICE_NAME": "x", "MICROSIM_TOKEN": "u"}, "x", "u"},
	} {
		t.Run(tt.Name, func(t *testing.T) {
			cfg, err := serveConfig("Undefined", &ServeFlags{}, func(k string) string { return tt.env[k] }, io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Service.Name != tt.wantName || cfg.Token != tt.wantToken {
				t.Errorf("name %q, token %q", cfg.Service.Name, cfg.Token)
			}
			if tt.wantToken != "" && (cfg.Seed != 1<<63+1 || cfg.Replica != 2 || cfg.System != "shop") {
				t.Errorf("got %+v", cfg)
			}
		})
	}
}

func TestMistakesAreNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		Name, env string
		args      []string
		want      string
		usage     bool
	}{
		{"no command", "", nil, "no command", true},
		{"unknown command", "", []string{"sevre"}, `"sevre"`, true},
		{"unknown flag", "", []string{"serve", "--port", "1"}, "port", true},
		{"argument", "", []string{"serve", "cart"}, `"cart"`, true},
		{"no JSON", "cart", []string{"serve"}, "MICROSIM_SERVICE", false},
		{"unknown field", `{"sistem":"x"}`, []string{"serve"}, "sistem", false},
		{"no file", "@/nowhere", []string{"serve"}, "/nowhere", false},
		{"store", `{"service":{"name":"db","kind":"redis"}}`, []string{"serve"}, "data store", false},
		{"port taken", "", []string{"serve", "--addr", taken.Addr().String()}, "choose another port", false},
		{"control port taken", "", []string{"serve", "--addr", "127.0.0.1:0", "--control-addr", taken.Addr().String()}, "--control-addr", false},
	} {
		t.Run(tt.Name, func(t *testing.T) {
			t.Setenv("MICROSIM_SERVICE", tt.env)
			err := Run(context.Background(), tt.args, Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard})
			if err == nil || !strings.Contains(err.Error(), tt.want) || errors.Is(err, ErrUsage) != tt.usage {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}} {
		var out bytes.Buffer
		if err := Run(context.Background(), args, Streams{Out: &out, Err: io.Discard}); err != nil || !strings.Contains(out.String(), "microsim-agent") {
			t.Errorf("%v: %v, %q", args, err, out.String())
		}
	}
}

func TestServeEndsWithStdin(t *testing.T) {
	in, closeIn := io.Pipe()
	out, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- Run(context.Background(), []string{"serve", "--addr", "127.0.0.1:0", "--watch-stdin"}, Streams{In: in, Out: writer, Err: io.Discard})
	}()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_ = closeIn.Close()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it did not end with its stdin")
	}
}
