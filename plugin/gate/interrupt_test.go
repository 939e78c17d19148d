package gate

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

// Requests that wait for a toxic to act, and clients that do not end what they send,
// do not make an interrupt an error.
func TestAnInterruptEndsWaitingRequests(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	said, talk := io.Pipe()
	o := &gateOptions{streams: cli.Streams{Out: io.Discard, Err: talk}, api: "127.0.0.1:0", listen: "127.0.0.1:0", upstream: "127.0.0.1:1", name: "gate", seed: 1}
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx) }()
	var address string
	if _, err := fmt.Fscanf(said, "API at http://%s seed", &address); err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, said)
	address = strings.TrimSuffix(address, ",")
	made, err := http.Post("http://"+address+"/proxies/gate/toxics", "application/json", strings.NewReader(`{"type":"noop","stream":"upstream"}`))
	if err != nil {
		t.Fatal(err)
	}
	made.Body.Close()
	answered := make(chan int, 1)
	go func() {
		client := http.Client{Timeout: 20 * time.Second}
		answer, err := client.Get("http://" + address + "/proxies/gate/toxics/noop_upstream/effect?wait=1h")
		if err != nil {
			answered <- 0
			return
		}
		answer.Body.Close()
		answered <- answer.StatusCode
	}()
	half, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	fmt.Fprintf(half, "POST /proxies HTTP/1.1\r\nHost: %s\r\nContent-Length: 9\r\n\r\n{", address)
	time.Sleep(100 * time.Millisecond) // either may be under way already, or come too late
	interrupt()
	if err := <-ended; err != nil {
		t.Errorf("an interrupt ends it with %v", err)
	}
	if status := <-answered; status != http.StatusRequestTimeout && status != 0 {
		t.Errorf("the waiting request was answered %d", status)
	}
}
