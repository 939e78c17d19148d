package peer

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "3": 3 * time.Second, "9999999": longestWait, "-1": 0, "1.5": 0, "soon": 0, "": 0,
		"Fri, 31 Dec 1999 23:59:59 GMT": 0, "Fri, 31 Dec 2199 23:59:59 GMT": longestWait,
	} {
		if got := retryAfter(value); got != want {
			t.Errorf("%q asks for %v, want %v", value, got, want)
		}
	}
	value := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	if got := retryAfter(value); got > time.Hour || got < 50*time.Minute {
		t.Errorf("a date in an hour asks for %v", got)
	}
}
