package tc

import (
	"fmt"
	"strings"
	"time"
)

// mark is the record of our changes in an interface's alias. It is written
// before the first change and removed after the last, so that any process that
// can list links finds changes that were left half-way.
type mark struct {
	owner    string
	by       string // the generation; empty in marks of older versions
	deadline time.Time
	egress   bool // a root discipline with our handle is or may be there
	ingress  bool // an ingress discipline of ours is or may be there
	was      string
}

const (
	markPrefix = "microsim-netfault "
	// bySign separates the owner, which cannot contain it, from the generation.
	bySign = "@"
	// maxAlias is the kernel's IFALIASZ, less the end.
	maxAlias = 255
)

// String is the alias. The previous alias comes last, because it may contain
// anything.
func (m mark) String() string {
	until, dirs := "-", ""
	if !m.deadline.IsZero() {
		until = m.deadline.UTC().Format(time.RFC3339Nano)
	}
	if m.egress {
		dirs += "e"
	}
	if m.ingress {
		dirs += "i"
	}
	owner := m.owner
	if m.by != "" {
		owner += bySign + m.by
	}
	return fmt.Sprintf("%sowner=%s until=%s on=%s was=%s", markPrefix, owner, until, dirs, m.was)
}

// parseMark reads an alias; ok is false if it is not of ours.
func parseMark(alias string) (m mark, ok bool) {
	rest, ok := strings.CutPrefix(alias, markPrefix)
	if !ok {
		return m, false
	}
	fields := strings.SplitN(rest, " ", 4)
	if len(fields) != 4 {
		return m, false
	}
	for n, key := range []string{"owner=", "until=", "on=", "was="} {
		value, found := strings.CutPrefix(fields[n], key)
		if !found {
			return m, false
		}
		fields[n] = value
	}
	m.owner, m.by, _ = strings.Cut(fields[0], bySign)
	m.was = fields[3]
	m.egress, m.ingress = strings.Contains(fields[2], "e"), strings.Contains(fields[2], "i")
	if fields[1] != "-" {
		var err error
		if m.deadline, err = time.Parse(time.RFC3339Nano, fields[1]); err != nil {
			return m, false
		}
	}
	return m, true
}
