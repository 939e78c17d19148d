package servicetest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Outcome is what became of a case.
type Outcome struct {
	Level    Level
	Name     string
	Mistakes []string
	Took     time.Duration
}

// Passed reports whether the service did all that the case asks for.
func (o *Outcome) Passed() bool { return len(o.Mistakes) == 0 }

// Run runs a case outside of a test.
func Run(c Case, start Start) Outcome {
	began := time.Now()
	j := &judge{}
	ended := make(chan struct{})
	go func() { // Fatal ends the goroutine
		defer close(ended)
		defer j.cleanUp()
		defer j.recover()
		c.Test(j, start)
	}()
	<-ended
	return Outcome{Level: c.Level, Name: c.Name, Mistakes: j.mistakes, Took: time.Since(began)}
}

// LevelOf is the highest level of which all cases, and all those of lower levels,
// have passed.
func LevelOf(outcomes []Outcome) Level {
	reached := None
	for l := Chains; l <= Policies; l++ {
		of := func(o Outcome) bool { return o.Level == l }
		if !slices.ContainsFunc(outcomes, of) || slices.ContainsFunc(outcomes, func(o Outcome) bool { return of(o) && !o.Passed() }) {
			break
		}
		reached = l
	}
	return reached
}

// maxMistakes bounds what is told of one case.
const maxMistakes = 20

// A judge is the T of Run.
type judge struct {
	mu       sync.Mutex
	mistakes []string
	cleanups []func()
}

func (j *judge) Helper() {}

func (j *judge) add(text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.mistakes) < maxMistakes {
		j.mistakes = append(j.mistakes, strings.TrimSpace(text))
	}
}

func (j *judge) Error(args ...any)                 { j.add(fmt.Sprint(args...)) }
func (j *judge) Errorf(format string, args ...any) { j.add(fmt.Sprintf(format, args...)) }
func (j *judge) Fatal(args ...any)                 { j.Error(args...); runtime.Goexit() }
func (j *judge) Fatalf(format string, args ...any) { j.Errorf(format, args...); runtime.Goexit() }
func (j *judge) Cleanup(f func())                  { j.cleanups = append(j.cleanups, f) }

func (j *judge) cleanUp() {
	for _, f := range slices.Backward(j.cleanups) {
		f()
	}
}

// recover makes a mistake of a panic, such as of an answer that has no entry where
// a case looks for one.
func (j *judge) recover() {
	if reason := recover(); reason != nil {
		j.Errorf("the answer is not of the form that the case looks for: %v", reason)
	}
}
