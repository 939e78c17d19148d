package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// archive writes a cpio archive in the format newc, which the kernel unpacks
// as its first file system.
type archive struct {
	out  *os.File
	have map[string]bool
	node int
	err  error
}

func (a *archive) entry(name string, mode uint32, data []byte) {
	name = strings.TrimPrefix(name, "/")
	if a.err != nil || a.have[name] {
		return
	}
	a.have[name] = true
	if parent := filepath.Dir(name); parent != "." && name != "TRAILER!!!" {
		a.entry(parent, 0o40755, nil)
	}
	a.node++
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.node, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name)+1, 0)
	pad := func(n int) string { return strings.Repeat("\x00", (4-n%4)%4) }
	head := header + name + "\x00"
	for _, part := range []string{head, pad(len(head)), string(data), pad(len(data))} {
		if _, err := a.out.WriteString(part); err != nil {
			a.err = err
		}
	}
}

func (a *archive) file(name, from string) {
	if a.have[strings.TrimPrefix(name, "/")] {
		return
	}
	data, err := os.ReadFile(from)
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	a.entry(name, 0o100755, data)
}

// libraryDirs are where a dynamic loader looks first.
func libraryDirs() []string {
	return []string{"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

// program adds a program of this machine and the libraries that it needs.
func (a *archive) program(path string) {
	a.file(path, path)
	f, err := elf.Open(path)
	if err != nil {
		a.err = errors.Join(a.err, err)
		return
	}
	defer func() { _ = f.Close() }() // it was only read
	if interp := f.Section(".interp"); interp != nil {
		if data, err := interp.Data(); err == nil {
			loader := strings.TrimRight(string(data), "\x00")
			a.file(loader, loader)
		}
	}
	libraries, err := f.ImportedLibraries()
	a.err = errors.Join(a.err, err)
	for _, name := range libraries {
		found := false
		for _, dir := range libraryDirs() {
			lib := filepath.Join(dir, name)
			if _, err := os.Stat(lib); err == nil {
				if found = true; !a.have[strings.TrimPrefix(lib, "/")] {
					a.program(lib)
				}
				break
			}
		}
		if !found {
			a.err = errors.Join(a.err, fmt.Errorf("library %s of %s is in none of %v", name, path, libraryDirs()))
		}
	}
}

// buildInitrd writes the machine's first and only file system.
func buildInitrd(ctx context.Context, path, dir string, o options, k kernel) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	a := &archive{out: out, have: map[string]bool{}}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return err
	}
	a.program(busybox)
	modules, content, err := k.order(ctx, strings.Fields(o.modules))
	if err != nil {
		return err
	}
	for _, m := range modules {
		a.entry("modules/"+m+".ko", 0o100644, content[m])
	}
	for _, tool := range strings.Fields(o.tools) {
		tool, err := exec.LookPath(tool)
		if err != nil {
			return err
		}
		a.program(tool)
	}
	tests, err := addTests(ctx, a, dir, o)
	if err != nil {
		return err
	}
	for _, d := range []string{"proc", "sys", "dev", "tmp", "run"} {
		a.entry(d, 0o40755, nil)
	}
	netem := strings.Contains(" "+o.modules+" ", " sch_netem ")
	a.entry("init", 0o100755, []byte(initScript(busybox, modules, tests, netem)))
	a.entry("TRAILER!!!", 0, nil)
	return errors.Join(a.err, out.Close())
}

// addTests builds the root tests of each package and returns the commands that
// run them.
func addTests(ctx context.Context, a *archive, dir string, o options) ([]string, error) {
	var commands []string
	for n, pkg := range o.packages {
		binary := filepath.Join(dir, fmt.Sprintf("test%d", n))
		build := exec.CommandContext(ctx, "go", "test", "-c", "-tags", "root", "-o", binary, pkg)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w\n%s", build, err, out)
		}
		home := fmt.Sprintf("/t%d", n)
		a.file(home+"/test", binary)
		list := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg)
		source, err := list.Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", list, err)
		}
		data := filepath.Join(strings.TrimSpace(string(source)), "testdata")
		err = filepath.WalkDir(data, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				a.file(home+"/testdata"+strings.TrimPrefix(path, data), path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		// Tests that may run beside each other mostly wait.
		command := "cd " + home + " && ./test -test.parallel 4"
		if o.verbose {
			command += " -test.v"
		}
		if o.run != "" {
			command += " -test.run '" + strings.ReplaceAll(o.run, "'", `'\''`) + "'"
		}
		commands = append(commands, fmt.Sprintf("echo %s; (%s)", pkg, command))
	}
	return commands, nil
}

// initScript is the machine's first program. With netem the tests of traffic
// control must find it, and fail rather than skip if the module did not load.
func initScript(busybox string, modules, tests []string, netem bool) string {
	var s strings.Builder
	fmt.Fprintf(&s, "#!%s sh\nBB=%s\n", busybox, busybox)
	s.WriteString(`export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp TMPDIR=/tmp
$BB mount -t proc proc /proc
$BB mount -t sysfs sys /sys
$BB mount -t cgroup2 cgroups /sys/fs/cgroup
$BB mount -t devtmpfs dev /dev
$BB mount -t tmpfs tmp /tmp
$BB mount -t tmpfs run /run
`)
	if netem {
		s.WriteString("export REQUIRE_NETEM=1\n")
	}
	for _, m := range modules {
		fmt.Fprintf(&s, "$BB insmod /modules/%s.ko\n", m)
	}
	fmt.Fprintf(&s, "$BB ip link set lo up\necho %s\nstatus=0\n", beginLine)
	for _, t := range tests {
		fmt.Fprintf(&s, "%s || status=$?\n", t)
	}
	fmt.Fprintf(&s, "echo %s$status\n$BB reboot -f\n", endLine)
	return s.String()
}
