package emulate

import "testing"

func TestAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.5.0": true, "6.18.44-fc": true, "7.0.0-rc1": true, "6.5-rc1": true,
		"6.4.16": false, "6.1.0-13-cloud-amd64": false, "5.15.167.4-microsoft-standard-WSL2": false, "": false, "next": false,
	} {
		if got := atLeast(release, 6, 5); got != want {
			t.Errorf("%q at least 6.5: %v, want %v", release, got, want)
		}
	}
}
