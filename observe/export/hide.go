package export

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	modelspan "github.com/microsim-dev/kubectl-microsim/model/span"
	"github.com/microsim-dev/kubectl-microsim/observe/trace"
)

// A hider takes out of logs and traces what only a mock service says: that a fault
// began, ended, or acted on a request. It would give the cause of a case away.
type hider struct{ byFault *regexp.Regexp }

func newHider() hider { return hider{regexp.MustCompile(`\b([1-5]\d\d) by fault [^\s"]+`)} }

// text writes an error as a service does that has it by itself.
func (h hider) text(s string) string {
	return h.byFault.ReplaceAllStringFunc(s, func(match string) string {
		status := h.byFault.FindStringSubmatch(match)[1]
		code, _ := strconv.Atoi(status) // three digits
		return status + " " + http.StatusText(code)
	})
}

// traces changes the spans of a trace in place.
func (h hider) traces(e *trace.Export) {
	for i := range e.ResourceSpans {
		for j := range e.ResourceSpans[i].ScopeSpans {
			spans := e.ResourceSpans[i].ScopeSpans[j].Spans
			for k := range spans {
				spans[k].Events = slices.DeleteFunc(spans[k].Events, func(ev trace.OTLPEvent) bool { return ev.Name == string(modelspan.FaultActed) })
				spans[k].Status.Message = h.text(spans[k].Status.Message)
			}
		}
	}
}

// lines returns the lines that may be shown.
func (h hider) lines(lines []logline.Line) []logline.Line {
	shown := make([]logline.Line, 0, len(lines))
	aboutFault := regexp.MustCompile(`"msg":"fault (applied|cleared)"`)
	for _, l := range lines {
		if aboutFault.Match(l.Text) {
			continue
		}
		l.Text = []byte(h.text(string(l.Text)))
		shown = append(shown, l)
	}
	return shown
}
