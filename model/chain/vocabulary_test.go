package chain

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// Parse takes what the vocabulary offers: each fault with the arguments that are needed,
// with all, and with none that is not listed.
func TestVocabularyIsWhatParseTakes(t *testing.T) {
	var types []string
	for _, e := range Vocabulary() {
		types = append(types, string(e.Type))
		if e.Doc == "" {
			t.Errorf("nothing says what %s does", e.Type)
		}
		all := map[string]bool{}
		for _, a := range e.Args {
			all[a.Name] = true
		}
		if err := parseFault(string(e.Type), all); err != nil {
			t.Errorf("%s with all its arguments: %v", e.Type, err)
		}
		for _, name := range []string{"delay", "size", "duration", "cores", "status", "rate"} {
			i := slices.IndexFunc(e.Args, func(a Argument) bool { return a.Name == name })
			other := maps.Clone(all)
			other[name] = i < 0
			if err := parseFault(string(e.Type), other); (err == nil) != (i >= 0 && !e.Args[i].Needed) {
				t.Errorf("%s with %v: %v", e.Type, other, err)
			}
		}
	}
	if got, want := fmt.Sprint(types), "[latency error abort hang corrupt memory-leak cpu io panic]"; got != want {
		t.Errorf("the types are %s, want %s", got, want)
	}
}

// parseFault parses a chain with one fault, which has the named arguments.
func parseFault(kind string, args map[string]bool) error {
	var list []string
	for name, there := range args {
		if !there {
			continue
		}
		value := 1
		if name == "status" {
			value = 500
		}
		list = append(list, fmt.Sprintf("%q:%d", name, value))
	}
	_, err := Parse(fmt.Appendf(nil, `{"designation":"a","faults":{"before":[{"type":%q,"args":{%s}}]}}`, kind, strings.Join(list, ",")), Limits{})
	return err
}
