package agent

import (
	"context"
	"fmt"
	"io"

	"github.com/microsim-dev/kubectl-microsim/internal/interrupt"
)

// UntilSignal returns a context that ends with INT, TERM or HUP. A signal a second
// or more after the first calls leave, which must end the program.
func UntilSignal(w io.Writer, leave func()) (ctx context.Context, stop func()) {
	return interrupt.Context(context.Background(), func() {
		fmt.Fprintln(w, "microsim-agent: interrupted again: leaving at once; `microsim-agent net list` shows network faults that are left, `microsim-agent net clear` removes them")
		leave()
	})
}
