package supervise

import (
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A process that could not be started is one error with the next step, also if Start has
// closed its input.
func TestProcessesThatCannotBeStarted(t *testing.T) {
	cmd := exec.Command(t.TempDir() + "/missing")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	err = notStarted(cmd, cmd.Start(), stdin)
	if !strings.HasPrefix(err.Error(), "starting ") || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %q", err)
	}
	err = notStarted(cmd, syscall.EMFILE, nil)
	if !errors.Is(err, syscall.EMFILE) || !strings.Contains(err.Error(), "ulimit -n") {
		t.Errorf("the error is %q", err)
	}
}
