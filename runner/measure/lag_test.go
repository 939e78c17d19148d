package measure

import "testing"

// A lag that is not known stays so, and the highest of those that are counts.
func TestLagsAreMerged(t *testing.T) {
	var l Lag
	l.Merge(Lag{})
	if messages, seconds := l.values(); messages != nil || seconds != nil {
		t.Errorf("without a lag there are %v messages of %v s", messages, seconds)
	}
	l.Merge(Lag{Known: true})
	if messages, _ := l.values(); messages == nil || *messages != 0 {
		t.Errorf("a lag of 0 is known, got %v", messages)
	}
	l.Merge(Lag{Messages: 3, Seconds: 9, Known: true})
	l.Merge(Lag{Messages: 5, Seconds: 2, Known: true})
	l.Merge(Lag{})
	if messages, seconds := l.values(); *messages != 5 || *seconds != 9 {
		t.Errorf("%d messages and %v s, want 5 and 9", *messages, *seconds)
	}
}
