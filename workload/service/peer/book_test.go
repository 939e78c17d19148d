package peer

import "testing"

func TestPeersOfBothSchemes(t *testing.T) {
	for text, want := range map[string]string{
		"http://A:81": "a:81", "http://a": "a:80", "https://a/": "a:443", "http://[::1]": "[::1]:80",
	} {
		r, err := newReplica(text)
		if err != nil || r.addr != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
}
