//go:build linux

package trust

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// printers are commands that print data, and end by themselves.
var printers = [][]string{
	words("version"), words("--help"), words("help up"), words("examples"), words("examples shop"), words("examples generate random --services 100"), words("schema system"),
	words("validate -f one.yaml"), words("convert -f one.yaml"), words("status --on local -o json"), words("fault list --on local -o json"), words("completion bash"),
	words("up -f one.yaml --on local --dry-run=client"), words("run -f brief.yaml --on local"), words("load --url http://127.0.0.1:1/ --rate 50 --count 2"),
	words("call -f request.json --on local"), words("doctor -o json"), words("__complete run --"),
}

const briefExperiment = `apiVersion: microsim.dev/v1alpha1
kind: Experiment
name: brief
system: {name: one, services: [{name: web}]}
load: {rate: 20, duration: 200ms}
`

func writeFiles(t *testing.T, b *box) {
	b.write(t, "one.yaml", []byte(oneSystem))
	b.write(t, "brief.yaml", []byte(briefExperiment))
	b.write(t, "request.json", []byte(`{"designation":"web","probability":100}`))
}

// Output that is lost is an error, also on a full disk. If the reader has left, as
// head(1) does, the program ends without a word. A stream that was closed from the
// start is /dev/null to a Go program: nobody wants that output.
func TestLostOutput(t *testing.T) {
	var trials []trial
	for _, args := range printers {
		name := args[0] + " " + args[len(args)-1]
		trials = append(trials,
			trial{name: name + " full", command: command{args: args, redirect: ">/dev/full"}, code: 1, says: []string{"no space left on device"}, prepare: writeFiles},
			trial{name: name + " closed", command: command{args: args, redirect: ">&-"}, prepare: writeFiles},
			trial{name: name + " left", command: command{args: args, stdout: abandoned(t)}, code: 1, quiet: true, prepare: writeFiles},
			trial{name: name + " all full", command: command{args: args, redirect: ">/dev/full 2>&1"}, code: 1, quiet: true, prepare: writeFiles},
			trial{name: name + " all closed", command: command{args: args, redirect: "<&- >&- 2>&-"}, prepare: writeFiles},
		)
	}
	// A command that holds something until a signal ends it gives that back.
	for _, args := range [][]string{
		words("up -f one.yaml --on local"), words("up -f one.yaml --on local --isolation process"), words("gate --listen 127.0.0.1:0 --upstream 127.0.0.1:1 --api unix:api"),
	} {
		trials = append(trials,
			trial{name: args[0] + " held, left", command: command{args: args, stdout: abandoned(t)}, code: 1, quiet: true, prepare: writeFiles},
			trial{name: args[0] + " held, talk left", command: command{args: args, stdout: abandoned(t), redirect: "2>&1"}, code: 1, quiet: true, prepare: writeFiles},
		)
	}
	// Without stderr, all that was asked for is done.
	for _, args := range printers {
		trials = append(trials, trial{name: args[0] + " no stderr", command: command{args: args, redirect: "2>&-"}, prepare: writeFiles})
	}
	runAll(t, trials)
}

// abandoned returns a pipe that nobody reads.
func abandoned(t *testing.T) io.Writer {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	return w
}

// A system in the background does not depend on the streams of its start; and
// what ends for want of a reader takes its faults back.
func TestReadersThatLeave(t *testing.T) {
	b := newBox(t)
	writeFiles(t, b)
	up := command{args: words("up -f one.yaml --on local --detach"), redirect: "2>&-"}
	if a := up.in(t, b); a.code != 0 {
		t.Fatalf("exit code %d", a.code)
	}
	for _, args := range [][]string{
		words("logs --all --follow --on local"), words("top --watch --on local"), words("fault add error --target web --status 500 --wait --on local"), words("status one --on local"),
		words("load --system one --on local --rate 50 --count 10"), words("fault list --on local -o json"),
	} {
		c := command{args: args, stdout: abandoned(t)}
		if a := c.in(t, b); a.code != 1 || a.late {
			t.Errorf("%q: exit code %d, signal %d, late %v: %s", args, a.code, a.signal, a.late, a.stderr)
		}
	}
	list := command{args: words("fault list --on local -o json")}
	if a := list.in(t, b); a.code != 0 {
		t.Errorf("exit code %d: %s", a.code, a.stderr)
	} else {
		matches(t, "the list of faults", a.stdout, []string{`"items": \[\]`})
	}
	b.before = []string{"work/one.yaml", "work/brief.yaml", "work/request.json"}
	down := trial{command: command{args: words("down one --on local")}}
	down.runIn(t, b)
}

// Under nohup(1), the end of a terminal does not end a command; other signals do.
func TestNohup(t *testing.T) {
	b := newBox(t)
	pipe := b.path("work", "pipe")
	if err := syscall.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	b.before = b.files()
	script := exec.Command("/bin/sh", "-c", `trap "" HUP; exec "$0" validate -f pipe`, program)
	script.Dir, script.Env = b.path("work"), b.environment()
	var talk bytes.Buffer
	script.Stderr = &talk
	if err := script.Start(); err != nil {
		t.Fatal(err)
	}
	awaitOpen(script.Process.Pid)
	for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGTERM} {
		if err := script.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
	}
	_ = script.Wait() // an error says that the code is not 0
	matches(t, "stderr", talk.String(), []string{"interrupted by SIGTERM"})
}
