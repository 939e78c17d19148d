package chain

import (
	"slices"
	"strings"
	"testing"
)

func TestFailedHopsAreNamed(t *testing.T) {
	const (
		leaf = `{"designation":"front"}`
		two  = `{"designation":"front","routes":[{"designation":"cart","routes":[{"designation":"db"}]},{"designation":"ads"}]}`
	)
	for name, tt := range map[string]struct {
		chain, answer string
		want          []string
	}{
		"all well":                         {two, `{"service":"front","address":"x","errors":[],"response":[{"errors":[],"response":[{"errors":[],"response":[]}]},{"errors":[],"response":[]}]}`, nil},
		"lists are missing":                {two, `{"response":[{"errors":null,"response":[{}]},{"response":null}]}`, nil},
		"what is foreign is not looked at": {leaf, `{"payload":"000","status":7}`, nil},
		"a route without answer": {
			two, `{"errors":["calling http://h:1/?a: b: connection_error: refused"],"response":[null,{}]}`,
			[]string{"front -> cart: b: connection_error: refused"},
		},
		"deep": {two, `{"errors":[],"response":[{"errors":["calling db: it answered 503"],"response":[null]},{}]}`, []string{"front -> cart -> db: it answered 503"}},
		"both": {
			two, `{"errors":["calling http://a: one","calling http://b: two"],"response":[null,null]}`,
			[]string{"front -> cart: one", "front -> ads: two"},
		},
		"own error beside a route's": {
			two, `{"errors":["memory-leak: too much","calling http://b: two"],"response":[null,{}]}`,
			[]string{"front: memory-leak: too much", "front -> cart: two"},
		},
		"own error alone":         {leaf, `{"errors":["fault type x, is not implemented"]}`, []string{"front: fault type x, is not implemented"}},
		"text of another service": {two, `{"errors":["Post \"http://b\": EOF"],"response":[{"response":[{}]},null]}`, []string{`front -> ads: Post "http://b": EOF`}},
		"null without a reason":   {two, `{"errors":[],"response":[null,{}]}`, []string{"front -> cart: no answer"}},
		"too short":               {two, `{"errors":[],"response":[{"response":[{}]}]}`, []string{"front -> ads: no answer"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := ReadResponse([]byte(tt.answer))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range r.Failed(mustParse(t, tt.chain)) {
				got = append(got, f.String())
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestWhatIsNoResponseDocument(t *testing.T) {
	for _, text := range []string{"", "null", "[]", `"ok"`, "<html>", `{"errors":[`, `{"errors":"none"}`, `{"response":[1]}`} {
		if r, err := ReadResponse([]byte(text)); err == nil || !strings.Contains(err.Error(), "response document") {
			t.Errorf("%q is read as %v, %v", text, r, err)
		}
	}
}
