package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// sameWish is how long after the first signal others count as the same wish:
// timeout(1), for one, signals a process and then its group.
const sameWish = time.Second

// UntilSignal returns a context that ends with INT, TERM or HUP. A signal more than
// a second after the first calls leave, which must end the program: its work did
// not stop with the context. HUP stays ignored under nohup(1). From here on, a write
// to a pipe that nobody reads is an error; SIGPIPE would end the program before it
// takes faults back.
func UntilSignal(w io.Writer, leave func()) (ctx context.Context, stop func()) {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(signals, syscall.SIGHUP)
	}
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		first := time.Now()
		cancel()
		for range signals {
			if time.Since(first) > sameWish {
				fmt.Fprintln(w, "microsim-agent: interrupted again: leaving at once; `microsim-agent net list` shows network faults that are left, `microsim-agent net clear` removes them")
				leave()
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}
