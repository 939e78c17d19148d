package runtimes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os/exec"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/localsim/control"
	"github.com/microsim-dev/kubectl-microsim/localsim/supervise"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
	"github.com/microsim-dev/kubectl-microsim/workload/service/servicetest"
)

// A program is one that serves a mock service.
type program struct {
	// command makes the command, with its environment.
	command func() (*exec.Cmd, error)
	// timeout bounds the time until it prints its address.
	timeout time.Duration
}

// endPatience is how long a program may take to end in order.
const endPatience = 10 * time.Second

// starter starts the program as a service, and ends it with the case.
func (p *program) starter(ctx context.Context) servicetest.Start {
	return func(t servicetest.T, spec service.Spec) string {
		t.Helper()
		in, stop := p.start(ctx, t, spec)
		t.Cleanup(func() {
			defer stop()
			in.Terminate()
			if !ended(in) {
				t.Errorf("it did not end within %v after TERM; it was killed", endPatience)
				end(in)
			}
		})
		return "http://" + in.Addr()
	}
}

// start starts the program and waits until it is ready. stop lets go of the thread
// that it was started from, when it has ended.
func (p *program) start(ctx context.Context, t servicetest.T, spec service.Spec) (in supervise.Instance, stop func()) {
	t.Helper()
	spawner := supervise.NewSpawner()
	in, err := supervise.StartChild(ctx, supervise.Child{
		Command: p.serve(t, spec, "127.0.0.1:0"), Output: io.Discard, HelloTimeout: p.timeout,
		Start: spawner.Do, Started: func(int) error { return nil },
	})
	if err == nil {
		err = control.NewAdminClient("").AwaitReady(ctx, in.Control(), p.timeout)
		if err != nil {
			end(in)
		}
	}
	if err != nil {
		spawner.Stop()
		t.Fatalf("starting the program: %v", err)
	}
	return in, spawner.Stop
}

// serve makes the command that serves a service at an address.
func (p *program) serve(t servicetest.T, spec service.Spec, address string) *exec.Cmd {
	t.Helper()
	part, err := json.Marshal(spec)
	if err != nil {
		t.Fatalf("describing the service: %v", err)
	}
	cmd, err := p.command()
	if err != nil {
		t.Fatalf("starting the program: %v", err)
	}
	cmd.Env = append(cmd.Env, "MICROSIM_SERVICE="+string(part), "MICROSIM_ADDR="+address, "MICROSIM_WATCH_STDIN=1")
	return cmd
}

func ended(in supervise.Instance) bool {
	timeout := time.NewTimer(endPatience)
	defer timeout.Stop()
	select {
	case <-in.Done():
		return true
	case <-timeout.C:
		return false
	}
}

// end kills a program that does not end by itself.
func end(in supervise.Instance) {
	_ = in.Kill()
	<-in.Done()
}

// lifecycleCases are those that need the program itself, not only its address. The
// first tells whether it starts at all.
func lifecycleCases(ctx context.Context, p *program) []servicetest.Case {
	return []servicetest.Case{
		{Level: servicetest.Chains, Name: "starts and prints its address", Test: func(t servicetest.T, start servicetest.Start) {
			start(t, subject())
		}},
		{Level: servicetest.Chains, Name: "says that its port is taken", Test: func(t servicetest.T, _ servicetest.Start) { testPortTaken(ctx, t, p) }},
		{Level: servicetest.Chains, Name: "ends when its stdin is closed", Test: func(t servicetest.T, _ servicetest.Start) { testStdin(ctx, t, p) }},
		{Level: servicetest.Chains, Name: "finishes requests before it ends", Test: func(t servicetest.T, _ servicetest.Start) { testGrace(ctx, t, p) }},
	}
}

func subject(steps ...topology.Step) service.Spec {
	return service.Spec{System: "conformance", Service: topology.NewService("subject", steps...), Replica: 1, Seed: 1, Token: "conformance", TraceSample: 1}
}

// testStdin closes the program's stdin, as the system does when its parent dies.
func testStdin(ctx context.Context, t servicetest.T, p *program) {
	in, stop := p.start(ctx, t, subject())
	defer stop()
	if err := supervise.CloseStdin(in); err != nil {
		t.Errorf("closing its stdin: %v", err)
	}
	if !ended(in) {
		t.Errorf("it did not end within %v after its stdin was closed; with MICROSIM_WATCH_STDIN it must not outlive its parent", endPatience)
		end(in)
	}
}

// testPortTaken asks the program to listen where another does. One that would share
// the port, or wait for it, would answer some of the other's requests, or none.
func testPortTaken(ctx context.Context, t servicetest.T, p *program) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("taking a port: %v", err)
	}
	defer ln.Close()
	spawner := supervise.NewSpawner()
	defer spawner.Stop()
	cmd := p.serve(t, subject(), ln.Addr().String())
	in, err := supervise.StartChild(ctx, supervise.Child{
		Command: cmd, Output: io.Discard, HelloTimeout: p.timeout, Start: spawner.Do, Started: func(int) error { return nil },
	})
	switch {
	case err == nil:
		t.Errorf("it printed the address %s, where another program listens", in.Addr())
		end(in)
	case cmd.ProcessState == nil || !cmd.ProcessState.Exited():
		t.Errorf("it did not end when its port was taken: %v", err)
	case cmd.ProcessState.ExitCode() == 0:
		t.Errorf("it ended with status 0 when its port was taken, as if nothing were wrong")
	case !tellsOfPort(err, ln.Addr()):
		t.Errorf("it did not say on stderr, in its last lines, that its port was taken: %v", err)
	}
}

// tellsOfPort reports whether the last words of a program are about the address that
// it was to listen on.
func tellsOfPort(err error, taken net.Addr) bool {
	_, words, said := strings.Cut(err.Error(), supervise.LastWords)
	_, port, _ := net.SplitHostPort(taken.String())
	return said && (strings.Contains(words, port) || strings.Contains(strings.ToLower(words), "in use") || strings.Contains(words, "EADDRINUSE"))
}

// testGrace asks for an answer that takes some time, and for the end meanwhile.
func testGrace(ctx context.Context, t servicetest.T, p *program) {
	in, stop := p.start(ctx, t, subject(topology.Step{Work: &topology.Work{Sleep: dist.Fixed(time.Second)}}))
	defer stop()
	answered, sent := make(chan error, 1), make(chan struct{})
	tracing := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) }})
	go func() {
		const chain = `{"designation":"subject","faults":{"before":[{"type":"latency","args":{"delay":1000}}]}}`
		answered <- post(tracing, "http://"+in.Addr()+"/", chain)
	}()
	select {
	case <-sent:
		time.Sleep(300 * time.Millisecond) // the program takes it, and needs a second for it
	case err := <-answered:
		answered <- err // it could not be sent
	}
	in.Terminate()
	if err := <-answered; err != nil {
		t.Errorf("a request in flight at the end was not answered: %v", err)
	}
	if !ended(in) {
		t.Errorf("it did not end within %v after TERM; it was killed", endPatience)
		end(in)
	}
}

// post sends a chain and reports what is wrong with the answer.
func post(ctx context.Context, url, chain string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(chain))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true}, Timeout: endPatience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d, %q: %w", resp.StatusCode, body, err)
	}
	return nil
}
