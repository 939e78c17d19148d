package system

import (
	"encoding/json"
	"fmt"
	"io"

	"golang.org/x/term"

	"github.com/microsim-dev/kubectl-microsim/observe/trace"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/plugin/request"
)

// showTrace draws the spans below the tree, or writes them beside the answer.
func (o *callOptions) showTrace(t *trace.Trace, a *request.Answer) error {
	if o.output.Machine() {
		origin := trace.Origin{System: o.system, Target: o.target.On}
		return o.output.Object(o.streams.Out, struct {
			Response json.RawMessage `json:"response"`
			Trace    trace.Export    `json:"trace"`
		}{a.Raw, origin.Encode(t.Spans)})
	}
	fmt.Fprintln(o.streams.Out)
	return t.WriteWaterfall(o.streams.Out, width(o.streams.Out))
}

// plainWidth is how wide waterfalls are where no terminal tells.
const plainWidth = 100

func width(w io.Writer) int {
	f, terminal := cli.IsTerminal(w)
	if !terminal {
		return plainWidth
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return plainWidth
	}
	return n
}
