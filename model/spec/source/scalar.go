package source

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// scalar finds the end of a scalar.
func (b *builder) scalar(n *Node, y *yaml.Node, indent int) {
	switch {
	case empty(y):
	case y.Style&yaml.DoubleQuotedStyle != 0:
		n.Style = Double
		b.quoted('"')
	case y.Style&yaml.SingleQuotedStyle != 0:
		n.Style = Single
		b.quoted('\'')
	case y.Style&yaml.LiteralStyle != 0:
		n.Style = Literal
		b.blockScalar('|', indent)
	case y.Style&yaml.FoldedStyle != 0:
		n.Style = Folded
		b.blockScalar('>', indent)
	default:
		b.plain(y.Value)
	}
}

func (b *builder) quoted(mark byte) {
	if b.at >= len(b.Text) || b.Text[b.at] != mark {
		b.fail()
		return
	}
	for b.at++; b.at < len(b.Text); b.at++ {
		switch c := b.Text[b.at]; {
		case c == '\\' && mark == '"':
			b.at++
		case c == mark && mark == '\'' && b.at+1 < len(b.Text) && b.Text[b.at+1] == mark:
			b.at++
		case c == mark:
			b.at++
			return
		}
	}
	b.at = min(b.at, len(b.Text))
	b.fail()
}

// plain follows a plain scalar, whose value is known. Where it goes on in another
// line, one line break stands for a blank, and more for one less.
func (b *builder) plain(value string) {
	for value != "" {
		if b.at >= len(b.Text) {
			b.fail()
			return
		}
		end, breaks := b.fold(b.at)
		switch {
		case len(breaks) == 1 && breaks[0] == "\n" && value[0] == ' ':
			value, b.at = value[1:], end
		case len(breaks) > 0:
			folded := strings.Join(breaks[1:], "")
			if breaks[0] != "\n" {
				folded = breaks[0] + folded
			}
			rest, ok := strings.CutPrefix(value, folded)
			if !ok || folded == "" {
				b.fail()
				return
			}
			value, b.at = rest, end
		case b.Text[b.at] == value[0]:
			value, b.at = value[1:], b.at+1
		default:
			b.fail()
			return
		}
	}
}

// fold skips blanks and line breaks, if there is a line break after the blanks. It
// returns how each is read.
func (b *builder) fold(i int) (end int, breaks []string) {
	for ; i < len(b.Text); i++ {
		if n := b.breakAt(i); n > 0 {
			read := "\n"
			if n == 3 {
				read = string(b.Text[i : i+3])
			}
			breaks = append(breaks, read)
			i += n - 1
		} else if c := b.Text[i]; c != ' ' && c != '\t' {
			break
		}
	}
	return i, breaks
}

// blockScalar skips a scalar in literal or folded style. It ends with its last
// line, before the line break; with + in its header the blank lines after it are
// its own, too.
func (b *builder) blockScalar(mark byte, indent int) {
	if b.at >= len(b.Text) || b.Text[b.at] != mark {
		b.fail()
		return
	}
	least, keep := 0, false
	for b.at++; b.at < len(b.Text); b.at++ {
		if c := b.Text[b.at]; c == '+' {
			keep = true
		} else if c >= '1' && c <= '9' {
			least = max(indent, 0) + int(c-'0')
		} else if c != '-' {
			break
		}
	}
	header := b.lineEnd(b.at)
	if least == 0 {
		least = b.blockIndent(header, indent)
	}
	b.at = header
	for from := b.nextLine(header); from < len(b.Text) && from > header; from = b.nextLine(from) {
		end := b.lineEnd(from)
		spaces := countSpaces(b.Text[from:end])
		switch {
		case from+spaces == end && spaces <= least: // blank
			if keep && b.nextLine(from) > end {
				b.at = end
			}
		case spaces < least || spaces == 0 && (marker(b.Text[from:], "---") || marker(b.Text[from:], "...")):
			return
		default:
			b.at = end
		}
		if b.nextLine(from) == from {
			return
		}
		if b.nextLine(from) >= len(b.Text) {
			return
		}
	}
}

// blockIndent finds the indentation of a block scalar from its first lines, as the
// YAML library does.
func (b *builder) blockIndent(header, indent int) int {
	most := 0
	for from := b.nextLine(header); from < len(b.Text); from = b.nextLine(from) {
		end := b.lineEnd(from)
		spaces := countSpaces(b.Text[from:end])
		most = max(most, spaces)
		if from+spaces < end || b.nextLine(from) >= len(b.Text) {
			break
		}
	}
	return max(most, indent+1, 1)
}

func countSpaces(line []byte) int {
	n := 0
	for n < len(line) && line[n] == ' ' {
		n++
	}
	return n
}
