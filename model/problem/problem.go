// Package problem collects what is wrong with a description, so that all
// mistakes are reported at once and each with its place.
package problem

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A Problem is one mistake: where it is, what is wrong, what to write instead.
type Problem struct {
	// Path leads to the mistake from the root of the described value, in the
	// words of its JSON form: services[2].endpoints[0].errorRate.
	Path string
	// Message says what is wrong, with the offending value quoted.
	Message string
	// Hint says what to write instead; it may be empty.
	Hint string
}

func (p Problem) Error() string {
	var b strings.Builder
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (")
		b.WriteString(p.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// A List gathers problems in the order in which they are found. Its zero value
// is empty and ready to use.
type List []Problem

// Add appends a problem without a hint.
func (l *List) Add(path, format string, args ...any) {
	*l = append(*l, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// AddHint appends a problem with the remedy.
func (l *List) AddHint(path, hint, format string, args ...any) {
	*l = append(*l, Problem{Path: path, Message: fmt.Sprintf(format, args...), Hint: hint})
}

// Under appends the problems of a part, each path prefixed by that of the part.
func (l *List) Under(prefix string, part List) {
	for _, p := range part {
		p.Path = Join(prefix, p.Path)
		*l = append(*l, p)
	}
}

// maxLabel is the longest label, in bytes.
const maxLabel = 200

// CheckLabel adds a problem if a name that is shown to people has control
// characters, which would change what a terminal or a table shows, or is very
// long. An empty name is left to the caller.
func (l *List) CheckLabel(path, name string) {
	if len(name) > maxLabel {
		l.AddHint(path, fmt.Sprintf("use up to %d bytes", maxLabel), "a name of %d bytes is too long", len(name))
	}
	for _, c := range name {
		if c != ' ' && !unicode.IsGraphic(c) || unicode.Is(unicode.Bidi_Control, c) {
			l.AddHint(path, "use letters, digits, spaces and signs", "name %q has control characters", name)
			return
		}
	}
}

// IsFileName reports whether a name that users give leads to one file right below a
// directory, on every system, and to one that is not hidden.
func IsFileName(name string) bool {
	return name != "" && name[0] != '.' && !strings.ContainsAny(name, `/\:`)
}

// CheckFileName is CheckLabel for a name that directories are made of.
func (l *List) CheckFileName(path, name string) {
	if name != "" && !IsFileName(name) {
		l.AddHint(path, "leave out slashes, colons, and a dot at the beginning", "%q cannot name a directory, as this name does", name)
		return
	}
	l.CheckLabel(path, name)
}

// Cell returns a name of the user as a cell of a CSV file. It puts an apostrophe before a
// name that a spreadsheet would take for a formula, so that a foreign file does not run
// there (OWASP, CSV injection).
func Cell(name string) string {
	if name != "" && strings.ContainsRune("=+-@\t\r", rune(name[0])) {
		return "'" + name
	}
	return name
}

// Err returns nil for an empty list, else an error that names every problem, a
// line each. Its parts are of type Problem and can be had by errors.As.
func (l List) Err() error {
	errs := make([]error, len(l))
	for i, p := range l {
		errs[i] = p
	}
	return errors.Join(errs...)
}

// Join connects two paths: Join("services[0]", "name") is "services[0].name".
func Join(prefix, path string) string {
	switch {
	case prefix == "":
		return path
	case path == "":
		return prefix
	case path[0] == '[':
		return prefix + path
	}
	return prefix + "." + path
}

// Index names the i-th element of a list: Index("services", 0) is "services[0]".
func Index(path string, i int) string {
	return fmt.Sprintf("%s[%d]", path, i)
}
