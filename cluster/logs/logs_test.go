package logs

import (
	"maps"
	"testing"
)

func TestLogLinesHaveTheirTime(t *testing.T) {
	s := logSource{service: "cart", replica: 2}
	for text, want := range map[string]string{"2026-01-02T03:04:05.000000006Z two words": "two words", "2026-01-02T03:04:05Z": "", "no time": "no time"} {
		l := parseLine(s, text)
		if l.Text != want || l.Service != "cart" || l.Replica != 2 || l.At.IsZero() != (text == "no time") {
			t.Errorf("%q is %+v", text, l)
		}
	}
}

// TestReplicasOfARolloutDiffer replaces the three pods of a service one after the
// other. The place of each new one is the last; its number in the logs is its own.
func TestReplicasOfARolloutDiffer(t *testing.T) {
	n := numbers{}
	see := func(pods ...string) map[string]int {
		var sources []logSource
		for i, pod := range pods {
			sources = append(sources, logSource{service: "a", pod: pod, replica: i + 1})
		}
		n.assign(sources)
		got := map[string]int{}
		for _, s := range sources {
			got[s.pod] = s.replica
		}
		return got
	}
	see("old-1", "old-2", "old-3")
	see("old-1", "old-2", "old-3", "new-1")
	see("old-2", "old-3", "new-1", "new-2")
	see("old-3", "new-1", "new-2", "new-3")
	got := see("new-1", "new-2", "new-3")
	if want := map[string]int{"new-1": 4, "new-2": 1, "new-3": 2}; !maps.Equal(got, want) {
		t.Errorf("the new pods are %v, want %v: none has the number of another", got, want)
	}
	if again := see("new-1", "new-2", "new-3"); !maps.Equal(got, again) {
		t.Errorf("the numbers change from %v to %v", got, again)
	}
}
