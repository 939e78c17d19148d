// Command vm runs the root tests of packages on a Debian kernel under qemu, for
// what the kernel of this machine lacks: it boots with the static test binaries
// in its initial file system, prints what they print, and ends as they end.
//
//	go run ./internal/testenv/vm [-run REGEXP] [-v] ./netfault/tc ...
//
// The kernel is Debian's linux-image-cloud-amd64, downloaded by apt-get and
// kept in a cache directory. Nothing runs as root on this machine.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// options are the command line.
type options struct {
	cache, run, modules, tools string
	verbose                    bool
	timeout                    time.Duration
	packages                   []string
}

// Modules and programs that tests of the network need.
const (
	defaultModules = "veth ifb sch_netem sch_prio sch_htb sch_tbf sch_ingress cls_bpf cls_u32 cls_flower cls_matchall act_mirred " +
		"nfnetlink_queue nf_tables nft_queue nft_ct nft_counter ip_tables ip6_tables xt_NFQUEUE xt_comment iptable_mangle ip6table_mangle"
	defaultTools = "tc ip"
)

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	f := flag.NewFlagSet("vm", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.cache, "cache", filepath.Join(cache, "microsim-vm"), "directory that keeps the kernel")
	f.StringVar(&o.run, "run", "", "run only the tests that match, as go test does")
	f.BoolVar(&o.verbose, "v", false, "print each test, and the kernel's messages")
	f.StringVar(&o.modules, "modules", defaultModules, "kernel modules to load, if the kernel has them")
	f.StringVar(&o.tools, "tools", defaultTools, "programs of this machine to take along")
	f.DurationVar(&o.timeout, "timeout", 20*time.Minute, "end the machine after this time")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if o.packages = f.Args(); len(o.packages) == 0 {
		return o, errors.New("name the packages whose root tests to run, such as ./netfault/tc")
	}
	return o, nil
}

// checkTools names every program that is missing, and what brings it.
func checkTools(tools []string) error {
	needed := []struct{ program, pkg string }{
		{"qemu-system-x86_64", "qemu-system-x86"},
		{"busybox", "busybox-static"},
		{"dpkg-deb", "dpkg"},
		{"apt-get", "apt"},
		{"go", "golang"},
	}
	var errs []error
	for _, n := range needed {
		if _, err := exec.LookPath(n.program); err != nil {
			errs = append(errs, fmt.Errorf("%s is not here; `apt-get install %s` brings it", n.program, n.pkg))
		}
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			errs = append(errs, fmt.Errorf("%s is not here; `apt-get install iproute2` brings tc and ip", tool))
		}
	}
	return errors.Join(errs...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int, err error) {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	if err := checkTools(strings.Fields(o.tools)); err != nil {
		return 1, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the machine did not end within %v", o.timeout))
	defer cancel()
	dir, err := os.MkdirTemp("", "microsim-vm-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	k, err := fetchKernel(ctx, o.cache, stderr)
	if err != nil {
		return 1, err
	}
	initrd := filepath.Join(dir, "initrd")
	if err := buildInitrd(ctx, initrd, dir, o, k); err != nil {
		return 1, fmt.Errorf("building the machine's file system: %w", err)
	}
	return boot(ctx, k, initrd, o, stdout, stderr)
}

// errEnded says that qemu itself had nothing to complain of.
var errEnded = errors.New("ended well")

// Lines by which the machine tells where it is.
const (
	beginLine = "vm: begin"
	endLine   = "vm: exit status "
)

// boot runs the machine and copies what it prints between begin and end.
func boot(ctx context.Context, k kernel, initrd string, o options, stdout, stderr io.Writer) (int, error) {
	// The q35 machine has a clock (HPET) against which the kernel can measure the
	// processor's; without one, it counts and waits in steps of 4 ms.
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64",
		"-M", "q35", "-accel", "tcg", "-cpu", "max", "-m", "768", "-no-reboot",
		"-nodefaults", "-display", "none", "-serial", "stdio",
		"-kernel", k.image, "-initrd", initrd,
		"-append", "console=ttyS0 reboot=t panic=-1 quiet mitigations=off")
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("starting qemu: %w", err)
	}
	code, early := follow(out, stdout, o.verbose)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return 1, context.Cause(ctx)
	}
	if code < 0 {
		return 1, fmt.Errorf("the machine ended without saying how its tests did (qemu: %w); its last words:\n%s", cmp.Or(err, errEnded), early)
	}
	fmt.Fprintf(stderr, "vm: %s took %.0f s\n", k.version, time.Since(start).Seconds())
	return code, nil
}

// follow copies the console's lines and returns the exit status, or -1 and the
// last lines if there was none.
func follow(console io.Reader, stdout io.Writer, verbose bool) (code int, last string) {
	code = -1
	var tail []string
	begun := verbose
	lines := bufio.NewScanner(console)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := string(bytes.TrimRight(lines.Bytes(), "\r"))
		if tail = append(tail, line); len(tail) > 50 {
			tail = tail[1:]
		}
		switch status, ended := strings.CutPrefix(line, endLine); {
		case ended:
			if n, err := strconv.Atoi(status); err == nil {
				code = n
			}
			begun = verbose
		case line == beginLine:
			begun = true
		case begun:
			fmt.Fprintln(stdout, line)
		}
	}
	return code, strings.Join(tail, "\n")
}
