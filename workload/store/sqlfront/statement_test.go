package sqlfront

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

func TestStatementsAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"select value from items where name = 'a'":                       "[{1 [value] [a] false }]",
		"SELECT * FROM items WHERE name IN ('a', 'it''s') ORDER BY name": "[{1 [name value] [a it's] true }]",
		";; select 1;":                       "[{3 [1] [] false 1}]",
		"insert into items values ('a', '')": "[{4 [] [a] false }]",
		"insert into items (name, value) values ('a', 'b\\c') on conflict (name) do update set value = excluded.value": "[{5 [] [a] false b\\c}]",
		"delete from items where name = 'a'; commit": "[{7 [] [a] false } {9 [] [] false }]",
		"": "[]", "-- ping": "[]", "-- a\nselect /* b */ 1": "[{3 [1] [] false 1}]", "select 1 /*": `syntax error at or near "/*"`,
		"select value from items":                    errNotKnown.Error(),
		"select name from users where name = 'a'":    errNotKnown.Error(),
		"drop table items":                           errNotKnown.Error(),
		"select value from items where name = 'a":    `syntax error at or near "'a"`,
		"select value from items where name = 5":     `syntax error at or near "5"`,
		"insert into items values ('a')":             `syntax error at or near ")"`,
		"select 1 1":                                 `syntax error at or near "1"`,
		"delete from items where name in ('a', ":     `syntax error at or near "end of input"`,
		strings.Repeat("select 1;", maxStatements+1): "a message has more than 100 statements",
	} {
		list, err := postgres().parse(text)
		got := fmt.Sprint(list)
		if err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%.60q: %s, want %s", text, got, want)
		}
	}
	list, err := mysql().parse(`insert into items values ('a', 'it\'s\n\\') on duplicate key update value = values(value)`)
	if err != nil || list[0].verb != upsert || list[0].value != "it's\n\\" {
		t.Errorf("%v, %v", list, err)
	}
}

func TestOperationsOfTexts(t *testing.T) {
	for text, want := range map[string]topology.Operation{
		"select value from items where name = 'a'": topology.OpRead, "SELECT * from items where name in ('a')": topology.OpRange,
		" insert into items values ('a', 'b')": topology.OpWrite, "delete from items where name = 'a'": topology.OpWrite,
		"begin; select value from items where name = 'a' for update; commit": topology.OpTransaction, "begin": "", "set names x": "", "": "", "select 1": "",
	} {
		if got := Operation(text); got != want {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"select value from items where name = 'a'", `insert into items values ('a', 'b\'')`, "begin; commit", "''''", "select * from items where name in ('a','b')"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, d := range []*dialect{postgres(), mysql()} {
			list, err := d.parse(text)
			var wrong *syntaxError
			if err != nil && !errors.As(err, &wrong) && !errors.Is(err, errNotKnown) && len(list) > 0 {
				t.Errorf("%q: %v with %v", text, err, list)
			}
			for i := range list {
				if s := &list[i]; (s.verb == selectItems || s.verb == update || s.verb == remove) && len(s.names) == 0 {
					t.Errorf("%q: no names in %+v", text, *s)
				}
			}
		}
	})
}
