package cli

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"
)

func TestTables(t *testing.T) {
	for name, tt := range map[string]struct {
		output Output
		want   string
	}{
		"with titles":    {Output{}, "NAME   STATE\na      <none>\nb\\nc   up\n"},
		"without titles": {Output{NoHeaders: true}, "a      <none>\nb\\nc   up\n"},
	} {
		var got bytes.Buffer
		rows := [][]string{{"a", ""}, {"b\nc", "up"}}
		if err := tt.output.Table(&got, []string{"NAME", "STATE"}, rows); err != nil || got.String() != tt.want {
			t.Errorf("%s: %v, %q, want %q", name, err, got.String(), tt.want)
		}
		if rows[0][1] != "" || rows[1][0] != "b\nc" {
			t.Errorf("%s: the rows have changed to %q", name, rows)
		}
	}
}

// Letters that take two columns, or none, keep the columns below their titles.
func TestColumnsOfWideLetters(t *testing.T) {
	var got bytes.Buffer
	if err := PrintTable(&got, []string{"NAME", "STATE"}, [][]string{{"流量", "up"}, {"e\u0301te\u0301", "up"}, {"plain", "up"}}); err != nil {
		t.Fatal(err)
	}
	if want := "NAME    STATE\n流量    up\ne\u0301te\u0301     up\nplain   up\n"; got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestOutputFormats(t *testing.T) {
	object := map[string]any{"items": []map[string]any{{"name": "a"}, {"name": "b"}}}
	for _, tt := range []struct {
		args []string
		want string // empty: refused
	}{
		{[]string{"-o", "json"}, "{\n  \"items\": [\n    {\n      \"name\": \"a\"\n    },\n    {\n      \"name\": \"b\"\n    }\n  ]\n}\n"},
		{[]string{"-o", "yaml"}, "items:\n- name: a\n- name: b\n"},
		{[]string{"-o", "jsonpath={.items[*].name}"}, "a b"},
		{[]string{"-o", "go-template={{range .items}}{{.name}};{{end}}"}, "a;b;"},
		{[]string{"-o", "jsonpath="}, ""},
		{[]string{"-o", "jsonpath"}, ""},
		{[]string{"-o", "jsonpath={"}, ""},
		{[]string{"-o", "go-template={{"}, ""},
		{[]string{"-o", "json=x"}, ""},
		{[]string{"-o", "wide"}, ""},
		{[]string{"-o", "yaml", "--no-headers"}, ""},
	} {
		var o Output
		cmd := &cobra.Command{}
		o.AddFlags(cmd, Templates()...)
		o.AddNoHeaders(cmd)
		if err := cmd.ParseFlags(tt.args); err != nil {
			t.Fatal(err)
		}
		if err := o.Validate(); (err == nil) != (tt.want != "") {
			t.Errorf("%q: %v", tt.args, err)
		}
		if tt.want == "" {
			continue
		}
		var got bytes.Buffer
		if err := o.Object(&got, object); err != nil || got.String() != tt.want {
			t.Errorf("%q: %v, %q, want %q", tt.args, err, got.String(), tt.want)
		}
	}
}
