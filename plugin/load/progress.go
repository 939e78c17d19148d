package load

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/load"
	"github.com/microsim-dev/kubectl-microsim/model/outcome"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/microsim-dev/kubectl-microsim/runner/measure"
)

// progress shows the progress of a load in one line of a terminal.
type progress struct {
	// observe counts a request; it is nil if nothing is shown.
	observe func(measure.Outcome)
	// close erases the line.
	close func()
}

// showProgress begins to show the progress of a load, if w is a terminal.
func showProgress(w io.Writer, p *load.Profile) progress {
	if _, terminal := cli.IsTerminal(w); !terminal {
		return progress{close: func() {}}
	}
	l := &progressLine{began: time.Now(), length: lengthOf(p)}
	raw, done := cli.Raw(w), make(chan struct{})
	var painting sync.WaitGroup
	painting.Go(func() {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				fmt.Fprint(raw, eraseLine)
				return
			case now := <-ticker.C:
				fmt.Fprint(raw, eraseLine+l.text(now))
			}
		}
	})
	return progress{l.observe, func() { close(done); painting.Wait() }}
}

// eraseLine moves to the beginning of the line and empties it.
const eraseLine = "\r\x1b[K"

// A progressLine counts the requests that have ended. Several goroutines may call
// observe at once.
type progressLine struct {
	began         time.Time
	length        time.Duration // 0 if there is none
	ended, failed atomic.Int64
	before        int64 // how many had ended when the line was last painted
}

func (l *progressLine) observe(o measure.Outcome) {
	l.ended.Add(1)
	if o.Class != outcome.OK {
		l.failed.Add(1)
	}
}

// text returns the line at a moment. It is called once a second.
func (l *progressLine) text(now time.Time) string {
	ended := l.ended.Load()
	rate := ended - l.before
	l.before = ended
	at := unit.Duration(now.Sub(l.began).Round(time.Second)).String()
	if l.length > 0 {
		at += " of " + unit.Duration(l.length).String()
	}
	return fmt.Sprintf("%s: %d requests ended, %d in the last second, %d failed", at, ended, rate, l.failed.Load())
}

// lengthOf returns the length of a load, or 0 if it ends by a count or not at all.
func lengthOf(p *load.Profile) (length time.Duration) {
	for i := range p.Phases {
		if p.Phases[i].Duration == 0 {
			return 0
		}
		length += p.Phases[i].Duration.Std()
	}
	return length
}
