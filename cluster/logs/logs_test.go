package logs

import "testing"

func TestLogLinesHaveTheirTime(t *testing.T) {
	s := logSource{service: "cart", replica: 2}
	for text, want := range map[string]string{"2026-01-02T03:04:05.000000006Z two words": "two words", "2026-01-02T03:04:05Z": "", "no time": "no time"} {
		l := parseLine(s, text)
		if l.Text != want || l.Service != "cart" || l.Replica != 2 || l.at.IsZero() != (text == "no time") {
			t.Errorf("%q is %+v", text, l)
		}
	}
}
