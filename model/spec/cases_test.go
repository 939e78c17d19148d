package spec

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Times of faults whose sum overflows are refused where they stand.
func TestFaultsThatEndTooLateAreRefused(t *testing.T) {
	file, err := os.Open(filepath.Join("..", "..", "testdata", "cases", "fault-too-late.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	_, err = Read("fault-too-late.yaml", file)
	if err == nil {
		t.Fatal("the file is accepted")
	}
	for _, want := range []string{":10:41: faults[0].start: ", ":11:55: faults[1].duration: ", ":12:62: faults[2].rounds.interval: "} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the error %v", want, err)
		}
	}
}
