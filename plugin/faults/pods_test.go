package faults

import (
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// The pods of one command are in one namespace, which no flag contradicts.
func TestNamespaceOfSelectedPods(t *testing.T) {
	for name, test := range map[string]struct {
		named       []string // by the faults of files
		given       bool     // -n here
		want, fails string
	}{
		"none":                  {[]string{"", ""}, false, "here", ""},
		"none, and -n":          {[]string{"", ""}, true, "here", ""},
		"one":                   {[]string{"there", "there"}, false, "there", ""},
		"that of -n":            {[]string{"here", ""}, true, "here", ""},
		"another than -n":       {[]string{"there"}, true, "", `fault "a" selects pods of namespace "there", and -n says "here"`},
		"two":                   {[]string{"there", "elsewhere"}, false, "", `the faults "a" and "b" select pods of the namespaces "there" and "elsewhere"`},
		"one, and that of here": {[]string{"", "there"}, false, "", `"here" and "there"`},
	} {
		var pods []document.PodFault
		for i, namespace := range test.named {
			pods = append(pods, document.PodFault{Fault: fault.Fault{Name: string(rune('a' + i))}, Namespace: namespace})
		}
		got, err := namespaceOf(pods, "here", test.given)
		if got != test.want || (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
			t.Errorf("%s: got %q, %v; want %q and an error with %q", name, got, err, test.want, test.fails)
		}
	}
}
