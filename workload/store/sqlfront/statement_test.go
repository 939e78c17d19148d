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
		"select value from items where name = 'a'":                       "[{1 [value] [a] false  false false}]",
		"SELECT * FROM items WHERE name IN ('a', 'it''s') ORDER BY name": "[{1 [name value] [a it's] true  false false}]",
		";; select 1;":                       "[{11 [?column?] [] false 1 false false}]",
		"insert into items values ('a', '')": "[{4 [] [a] false  false false}]",
		"insert into items (name, value) values ('a', 'b\\c') on conflict (name) do update set value = excluded.value": "[{5 [] [a] false b\\c false false}]",
		"delete from items where name = 'a'; commit": "[{7 [] [a] false  false false} {9 [] [] false  false false}]",
		"": "[]", "-- ping": "[]", "-- a\nselect /* b */ 1": "[{11 [?column?] [] false 1 false false}]", "select 1 /*": `syntax error at or near "/*"`,
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
	for text, want := range map[string]verb{
		"set autocommit = 0": autocommitOff, "SET SESSION autocommit=OFF": autocommitOff, "set names utf8mb4, @@session.autocommit = false": autocommitOff,
		"set autocommit=1": autocommitOn, "set autocommit": set, "set sql_mode = 'autocommit = 0'": set, "rollback work": rollback, "start transaction read only": start,
	} {
		if list, err := mysql().parse(text); err != nil || len(list) != 1 || list[0].verb != want {
			t.Errorf("%s: %v, %v", text, list, err)
		}
	}
	list, err := mysql().parse(`insert into items values ('a', 'it\'s\n\\') on duplicate key update value = values(value)`)
	if err != nil || list[0].verb != upsert || list[0].value != "it's\n\\" {
		t.Errorf("%v, %v", list, err)
	}
}

func TestPlacesTakeArguments(t *testing.T) {
	for _, tt := range []struct {
		dialect *dialect
		text    string
		args    []string
		want    string
	}{
		{postgres(), "select value from items where name = $1", []string{"it's"}, "{1 [value] [it's] false  false false}"},
		{postgres(), "insert into items values ($2, $1)", []string{"a", "b"}, "{4 [] [b] false a false false}"},
		{postgres(), "select name from items where name in ($1, 'x', $1)", []string{"a"}, "{1 [name] [a x a] true  false false}"},
		{mysql(), "insert into items values (?, '?')", []string{"a"}, "{4 [] [a] false ? false false}"},
		{mysql(), "update items set value = ? where name = ?", []string{"a", "b"}, "{6 [] [b] false a false false}"},
		{mysql(), "", nil, "{0 [] [] false  false false}"},
		{mysql(), "select 1; select 1", nil, errSeveral.Error()},
		{mysql(), "select ? from items", []string{"a"}, errNotKnown.Error()},
		{mysql(), "select value from items where name = ?", nil, "the number of arguments is wrong: 0, and not 1"},
		{postgres(), "select value from items where name = $70000", nil, `syntax error at or near "$70000"`},
		{postgres(), "select value from items where name = ?", nil, `syntax error at or near "?"`},
	} {
		p, err := tt.dialect.prepare(tt.text)
		var bound statement
		if err == nil {
			bound, err = p.bind(tt.args)
		}
		got := fmt.Sprint(bound)
		if err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%q with %q: %s, want %s", tt.text, tt.args, got, tt.want)
		}
	}
	// A place stands for nothing in a message that has no arguments.
	if _, err := postgres().parse("select value from items where name = $1"); err == nil {
		t.Error("a place without an argument is a text")
	}
}

// FuzzArguments reads the arguments of MySQL's binary protocol.
func FuzzArguments(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 0, 0, 1, 253, 0, 8, 0, 1, 'a', 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 1, 0, 0, 0, 3, 1, 253, 0, 1, 0x80})
	f.Fuzz(func(t *testing.T, message []byte) {
		p, err := mysql().prepare("insert into items values (?, ?)")
		if err != nil {
			t.Fatal(err)
		}
		st := &mysqlStatement{prepared: p, long: map[int][]byte{}}
		if args, failed := st.arguments(message); failed == nil {
			if _, err := p.bind(args); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestOperationsOfTexts(t *testing.T) {
	for text, want := range map[string]topology.Operation{
		"select value from items where name = 'a'": topology.OpRead, "SELECT * from items where name in ('a')": topology.OpRange,
		" insert into items values ('a', 'b')": topology.OpWrite, "delete from items where name = 'a'": topology.OpWrite,
		"begin; select value from items where name = 'a' for update; commit": topology.OpTransaction, "begin": "", "set names x": "", "": "", "select 1": "",
	} {
		if got := operationOf(text); got != want {
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
