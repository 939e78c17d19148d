package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/gateapi"
)

// roles are what this program is in its other processes.
func roles() map[string]func(args []string) error {
	return map[string]func(args []string) error{"web": web, "copy": copies, "gate": gates}
}

// web is a bare HTTP server.
func web(args []string) error {
	return http.ListenAndServe(args[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello\n") // wrk counts what went wrong
	}))
}

// copies is the plainest proxy: two loops for each connection, for pairs of addresses.
func copies(args []string) error {
	failed := make(chan error)
	for ; len(args) >= 2; args = args[2:] {
		listen, upstream := args[0], args[1]
		l, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					failed <- err
					return
				}
				go copyBoth(c, upstream)
			}
		}()
	}
	return <-failed
}

func copyBoth(c net.Conn, upstream string) {
	s, err := net.Dial("tcp", upstream)
	if err != nil {
		c.Close()
		return
	}
	for _, way := range [][2]net.Conn{{c, s}, {s, c}} {
		go func() {
			buf := make([]byte, 32<<10)
			// The wrapper hides ReadFrom, and with it splice.
			_, err := io.CopyBuffer(struct{ io.Writer }{way[1]}, struct{ io.Reader }{way[0]}, buf)
			if err != nil && !errors.Is(err, net.ErrClosed) {
				way[0].Close()
			}
			way[1].Close()
		}()
	}
}

// gates serves the API of gates.
func gates(args []string) error {
	api := gateapi.New(gateapi.Config{})
	return fmt.Errorf("serving gates: %w", errors.Join(http.ListenAndServe(args[0], api), api.Close()))
}
