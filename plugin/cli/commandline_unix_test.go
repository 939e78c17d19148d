//go:build unix

package cli

import (
	"os/exec"
	"strings"
	"testing"
)

func TestAShellTakesACommandLineApart(t *testing.T) {
	words := []string{"run", "-f", "my file.yaml", "--slo", "web->cart: p99 < 1s", "it's", "a\\b", "", "$HOME", "`id`", "--vary", "load.rate=1..5/1", "*", "ä", "a\nb", "{a,b}", "\"q\"", "#x", "~"}
	line := CommandLine(words...)
	if !strings.HasPrefix(line, "run -f 'my file.yaml' --slo ") {
		t.Errorf("the line is %s", line)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(shell, "-c", "for w in "+line+`; do printf '%s\0' "$w"; done`).Output()
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Join(words, "\x00") + "\x00"; string(out) != want {
		t.Errorf("the shell reads %q, want %q", out, want)
	}
}
