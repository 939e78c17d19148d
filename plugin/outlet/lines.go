package outlet

import (
	"fmt"
	"io"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// ReadLine parses a line that a replica printed at a time; the zero time means now.
// Output that is not in the format of logs, such as that of a framework, becomes the
// message of a line; then logged is false.
func ReadLine(at time.Time, system, service string, replica int, text []byte) (line logline.Line, logged bool) {
	if line, logged = logline.Parse(text); logged {
		return line, true
	}
	if at.IsZero() {
		at = time.Now()
	}
	return logline.Wrap(at, system, service, replica, string(text)), false
}

// PrintLine writes a line in a format of logs. In text it writes words, the original
// output, as they are if logged is false.
func PrintLine(w io.Writer, format string, line *logline.Line, logged bool, words []byte) {
	switch {
	case format == service.JSONLogs:
		fmt.Fprintf(w, "%s\n", line.Text)
	case !logged:
		fmt.Fprintf(w, "%s\n", cli.Clean(string(words)))
	default:
		_ = line.WriteText(w) // the screen remembers errors
	}
}
