package plugin

import (
	"bytes"
	"errors"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a command and demands its exit code: exits CODE COMMAND [ARG ...].
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG ...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// awaits waits until a file matches a pattern: awaits FILE PATTERN.
func awaits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: awaits FILE PATTERN")
	}
	pattern := regexp.MustCompile("(?m)" + args[1])
	const patience = 30 * time.Second
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		content, _ := os.ReadFile(ts.MkAbs(args[0]))
		if pattern.Match(content) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not match %q after %v:\n%s", args[0], args[1], patience, content)
		}
	}
}

// signals sends a signal to the process whose number a file holds:
// signals (INT|TERM|HUP|KILL) FILE.
func signals(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: signals NAME FILE")
	}
	signal, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "HUP": syscall.SIGHUP, "KILL": syscall.SIGKILL}[args[0]]
	if !ok {
		ts.Fatalf("signal %q is not known", args[0])
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace([]byte(ts.ReadFile(args[1])))))
	ts.Check(err)
	p, err := os.FindProcess(pid)
	ts.Check(err)
	ts.Check(p.Signal(signal))
}

// freeports sets variables to ports of this machine that nothing listens on, one after
// another: freeports NAME COUNT sets NAME, NAME_1, NAME_2 and so on. They lie below those
// that Linux gives to connections, so that no connection takes one meanwhile.
func freeports(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: freeports NAME COUNT")
	}
	count, err := strconv.Atoi(args[1])
	ts.Check(err)
	const first, most = 20_000, 32_000
	for base := first + os.Getpid()*count%(most-first); base+count < most; base += count {
		if !areFree(base, count) {
			continue
		}
		ts.Setenv(args[0], strconv.Itoa(base))
		for i := 1; i < count; i++ {
			ts.Setenv(args[0]+"_"+strconv.Itoa(i), strconv.Itoa(base+i))
		}
		return
	}
	ts.Fatalf("no %d ports in a row are free below %d", count, most)
}

func areFree(base, count int) bool {
	for port := base; port < base+count; port++ {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		defer ln.Close()
	}
	return true
}
