package topology

import "strings"

// PathNames lists the names in braces of a path or a text, in order, each once:
// /users/{id} has id. A name has letters, digits, _ and -, and begins with a letter
// or _, so that braces of JSON do not count.
func PathNames(text string) (names []string) {
	seen := map[string]bool{}
	ExpandPath(text, func(name string) string {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
		return ""
	})
	return names
}

// ExpandPath replaces each {name} of a text by its value.
func ExpandPath(text string, value func(name string) string) string {
	var b strings.Builder
	for {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			break
		}
		end := open + 1
		for end < len(text) && inName(text[end], end > open+1) {
			end++
		}
		if end == open+1 || end == len(text) || text[end] != '}' {
			b.WriteString(text[:open+1])
			text = text[open+1:]
			continue
		}
		b.WriteString(text[:open])
		b.WriteString(value(text[open+1 : end]))
		text = text[end+1:]
	}
	b.WriteString(text)
	return b.String()
}

func inName(c byte, further bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || further && (c >= '0' && c <= '9' || c == '-')
}

// MatchPath reports whether a request's path fits an endpoint's, in which a segment
// in braces stands for any text that is not empty.
func MatchPath(pattern, path string) bool {
	_, ok := PathValue(pattern, path, "")
	return ok
}

// PathValue returns the text in a request's path at the place of the name in braces
// in the endpoint's path, and whether the two paths fit.
func PathValue(pattern, path, name string) (value string, fits bool) {
	for {
		want, patternLeft, more := strings.Cut(pattern, "/")
		have, pathLeft, left := strings.Cut(path, "/")
		if len(want) > 2 && want[0] == '{' && want[len(want)-1] == '}' {
			if have == "" {
				return "", false
			}
			if want[1:len(want)-1] == name {
				value = have
			}
		} else if want != have {
			return "", false
		}
		if more != left {
			return "", false
		}
		if !more {
			return value, true
		}
		pattern, path = patternLeft, pathLeft
	}
}
