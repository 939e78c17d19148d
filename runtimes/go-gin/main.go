// Command go-gin is a mock service on Gin.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/microsim-dev/kubectl-microsim/runtimes/go-gin/mock"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// serve serves what the environment describes, until TERM, INT or the end of stdin.
func serve() error {
	gin.SetMode(gin.ReleaseMode)
	spec, err := readSpec()
	if err != nil {
		return err
	}
	service, err := mock.New(spec)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cmp.Or(os.Getenv("MICROSIM_ADDR"), ":"+cmp.Or(os.Getenv("PORT"), "8080")))
	if err != nil {
		return err
	}
	if address, ok := listener.Addr().(*net.TCPAddr); ok {
		service.Loopback = address.IP.IsLoopback()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if os.Getenv("MICROSIM_WATCH_STDIN") != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	// A connection may rest for 3 minutes; a request has 20 s for its header and 30 s more for its body.
	server := &http.Server{Handler: newApp(service), ReadHeaderTimeout: 20 * time.Second, ReadTimeout: 50 * time.Second, IdleTimeout: 3 * time.Minute}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	told, err := json.Marshal(map[string]string{"addr": listener.Addr().String()})
	if err != nil {
		return err
	}
	fmt.Println(string(told))
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), service.Grace)
	defer cancel()
	_ = server.Shutdown(grace) // what is still in flight after the grace ends with the service
	service.Close()
	return server.Close()
}

func readSpec() ([]byte, error) {
	text, set := os.LookupEnv("MICROSIM_SERVICE")
	switch {
	case !set:
		text = `{"service":{"name":"Undefined","endpoints":[{}]}}`
	case strings.HasPrefix(text, "@"):
		return os.ReadFile(text[1:])
	}
	return []byte(text), nil
}
