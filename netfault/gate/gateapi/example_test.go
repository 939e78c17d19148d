package gateapi_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/gateapi"
)

// A program of gates: one from the start, others and all conditions through the API.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	api := gateapi.New(gateapi.Config{})
	defer api.Close()
	g, err := api.Add("db", "127.0.0.1:0", "127.0.0.1:5432")
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // loopback, for the API can open ports
	if err != nil {
		panic(err)
	}
	server := &http.Server{Handler: api}
	served := make(chan error)
	go func() { served <- server.Serve(listener) }()
	context.AfterFunc(ctx, func() { server.Close() })

	answer, err := http.Post("http://"+listener.Addr().String()+"/proxies/db/toxics", "application/json",
		strings.NewReader(`{"type":"latency","attributes":{"latency":100}}`))
	if err != nil {
		panic(err)
	}
	text, _ := io.ReadAll(answer.Body)
	answer.Body.Close()
	fmt.Print(string(text))
	fmt.Println(len(g.ToClient().Active()), "condition to clients")

	stop()
	fmt.Println(<-served)
	// Output:
	// {"attributes":{"latency":100,"jitter":0},"name":"latency_downstream","type":"latency","stream":"downstream","toxicity":1}
	// 1 condition to clients
	// http: Server closed
}
