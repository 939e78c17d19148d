package topology

import (
	"fmt"
	"strings"
	"testing"
)

func TestPathNames(t *testing.T) {
	for text, want := range map[string]string{
		"/users/{id}": "[id]", "/{a}/{b}/{a}": "[a b]", "": "[]", "/": "[]", "{": "[]", "{}": "[]", "{a": "[]", "{{a}}": "[a]",
		`{"id": {user_id}, "o": {"x":{x-1}}}`: "[user_id x-1]", "{1}": "[]", "{_}": "[_]", "{a b}": "[]",
	} {
		if got := fmt.Sprint(PathNames(text)); got != want {
			t.Errorf("%s has %s, want %s", text, got, want)
		}
	}
}

func TestPathValue(t *testing.T) {
	for _, tt := range []struct {
		pattern, path, value string
		fits                 bool
	}{
		{"/users/{id}", "/users/7", "7", true}, {"/users/{id}", "/users/", "", false}, {"/users/{id}", "/users", "", false},
		{"/users/{id}", "/users/7/", "", false}, {"/users/{id}/x", "/users/7/x", "7", true}, {"/users/{id}/x", "/users/7/y", "", false},
		{"/{id}", "/a%2Fb", "a%2Fb", true}, {"/a", "/a", "", true}, {"/users/{id}", "/users/{user_id}", "{user_id}", true}, {"/{id}", "", "", false},
	} {
		if value, fits := PathValue(tt.pattern, tt.path, "id"); value != tt.value || fits != tt.fits {
			t.Errorf("%s in %s: %q, %v", tt.path, tt.pattern, value, fits)
		}
	}
}

func FuzzExpandPath(f *testing.F) {
	for _, text := range []string{"/users/{id}", "{{a}}", "{a", `{"x":{y}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := ExpandPath(text, func(name string) string { return "{" + name + "}" }); got != text {
			t.Errorf("%q became %q", text, got)
		}
		got := ExpandPath(text, func(string) string { return "" })
		if want := strings.Count(text, "{") - count(text); strings.Count(got, "{") != want {
			t.Errorf("%q became %q", text, got)
		}
	})
}

// count is how many names a text has, repeated ones too.
func count(text string) (n int) {
	ExpandPath(text, func(string) string { n++; return "" })
	return n
}
