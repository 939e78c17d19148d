package outlet

import (
	"fmt"
	"io"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/logline"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/workload/service"
)

// ReadLine reads what a replica has printed at a time; at zero it is now. Words that
// are no line of a log, such as those of a framework, become one; logged tells them
// apart.
func ReadLine(at time.Time, system, service string, replica int, text []byte) (line logline.Line, logged bool) {
	if line, logged = logline.Parse(text); logged {
		return line, true
	}
	if at.IsZero() {
		at = time.Now()
	}
	return logline.Wrap(at, system, service, replica, string(text)), false
}

// PrintLine writes a line in a format of logs. In text, the words of which a line was
// made are written as they are.
func PrintLine(w io.Writer, format string, line *logline.Line, logged bool, words []byte) {
	switch {
	case format == service.JSONLogs:
		fmt.Fprintf(w, "%s\n", line.Text)
	case !logged:
		fmt.Fprintf(w, "%s\n", cli.Clean(string(words)))
	default:
		_ = line.WriteText(w) // the screen keeps errors
	}
}
