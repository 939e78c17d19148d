package control

import (
	"strconv"
	"strings"
	"time"
)

// MaxTimes bounds the value of TimesHeader, in bytes; the times of a larger tree are
// left out.
const MaxTimes = 16 << 10

// FormatTimes makes the value of TimesHeader from a service's own time and those of
// its routes.
func FormatTimes(took time.Duration, routes []string) string {
	b := strconv.AppendFloat(nil, float64(took)/float64(time.Millisecond), 'f', 1, 64)
	if len(routes) > 0 {
		b = append(b, '(')
		b = append(b, strings.Join(routes, ",")...)
		b = append(b, ')')
	}
	if len(b) > MaxTimes {
		return ""
	}
	return string(b)
}

// Times are how long a chain's service took, and those it called.
type Times struct {
	Took   time.Duration
	Routes []*Times
}

// Child returns the times of the i-th route, or nil where they are not known.
func (t *Times) Child(i int) *Times {
	if t == nil || i >= len(t.Routes) {
		return nil
	}
	return t.Routes[i]
}

// ParseTimes reads the value of TimesHeader; it returns nil where that is none.
func ParseTimes(value string) *Times {
	if len(value) > MaxTimes {
		return nil
	}
	t, rest := parseTimes(value, 0)
	if rest != "" {
		return nil
	}
	return t
}

// maxTimesDepth bounds the parentheses inside each other.
const maxTimesDepth = 1000

func parseTimes(s string, depth int) (t *Times, rest string) {
	end := strings.IndexAny(s, "(,)")
	if end < 0 {
		end = len(s)
	}
	ms, err := strconv.ParseFloat(s[:end], 64)
	if err == nil && ms >= 0 && ms < 1e12 {
		t = &Times{Took: time.Duration(ms * float64(time.Millisecond))}
	}
	s = s[end:]
	if depth > maxTimesDepth || !strings.HasPrefix(s, "(") {
		return t, s
	}
	for {
		var child *Times
		child, s = parseTimes(s[1:], depth+1)
		if t != nil {
			t.Routes = append(t.Routes, child)
		}
		if !strings.HasPrefix(s, ",") {
			break
		}
	}
	return t, strings.TrimPrefix(s, ")")
}
