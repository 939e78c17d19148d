package control

import "testing"

// A seed decides about a request's id, and by it about what the services draw.
func TestRequestIDOfAText(t *testing.T) {
	for text, want := range map[string]string{
		"":  "165b7602-9f89-4afb-b561-0cf46bebc1dd",
		"a": "f6f2ff93-3e52-49de-b3cd-a33705513422",
	} {
		if got := newRequestID(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
