package logline

import (
	"strings"
	"testing"
)

// BenchmarkAdd is what it costs to take in the line of a request.
func BenchmarkAdd(b *testing.B) {
	line := strings.Replace(request, `,"more":{"x":[1]}`, "", 1)
	s := NewStore()
	for b.Loop() {
		l, _ := Parse([]byte(line))
		s.Add(l)
	}
}
