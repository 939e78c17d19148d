package sandbox

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// A logger passes what kind tells on, line by line.
type logger struct{ progress func(string) }

var _ log.Logger = logger{}

func (l logger) say(text string) {
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			l.progress(line)
		}
	}
}

func (l logger) Warn(message string)               { l.say(message) }
func (l logger) Warnf(format string, args ...any)  { l.say(fmt.Sprintf(format, args...)) }
func (l logger) Error(message string)              { l.say(message) }
func (l logger) Errorf(format string, args ...any) { l.say(fmt.Sprintf(format, args...)) }
func (l logger) V(level log.Level) log.InfoLogger  { return info{l, level == 0} }

type info struct {
	logger
	enabled bool
}

func (i info) Enabled() bool { return i.enabled }

func (i info) Info(message string) {
	if i.enabled {
		i.say(message)
	}
}

func (i info) Infof(format string, args ...any) {
	if i.enabled {
		i.say(fmt.Sprintf(format, args...))
	}
}
