// Package tail keeps the end of what a program prints, which says why it has ended.
package tail

import (
	"strings"
	"sync"
)

// limit is how many bytes are kept.
const limit = 2 << 10

// A Log keeps the last 2 KiB that were written to it. It may be used by several
// goroutines at once.
type Log struct {
	mu   sync.Mutex
	text []byte
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if over := len(l.text) - limit; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(p), nil
}

// Lines are the lines that are kept, without white space at their ends. The first may
// be cut off.
func (l *Log) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSpace(string(l.text))
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines
}
