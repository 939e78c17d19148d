package nodeagent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// errNoContainer says that a pod has ended, or starts later.
var errNoContainer = errors.New("no container of the pod runs on this node: it has ended, or starts later")

// firstContainer returns the first process of the pod's first container, and a
// descriptor of it that becomes readable when it ends.
func (m *machine) firstContainer(uid string) (netns.Process, *os.File, error) {
	processes, err := m.of(uid, time.Now())
	if err != nil {
		return netns.Process{}, nil, err
	}
	in := map[int]string{}
	for _, p := range processes {
		in[p.PID] = p.Container
	}
	for _, p := range processes {
		stat, err := m.stat(p.PID)
		if err != nil || p.Sandbox || in[stat.parent] == p.Container || m.isStress(p.PID) {
			continue
		}
		fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return p, nil, fmt.Errorf("watching process %d of the pod: %w", p.PID, err)
		}
		file := os.NewFile(uintptr(fd), "pidfd "+strconv.Itoa(p.PID))
		if m.finder.Has(p) {
			return p, file, nil
		}
		file.Close()
	}
	return netns.Process{}, nil, errNoContainer
}

// controllers are those whose limits a stress shall feel and fill.
func controllers() []string {
	return []string{"cpu", "cpuacct", "cpuset", "memory", "blkio", "pids"}
}

// moveInto moves a process into the cgroups of another one, and makes it as
// likely a victim when memory runs out.
//
// If cgroups have namespaces, as on nodes of kind and in pods of cgroup v2, this
// is done in that of the first process: from there names are
// those of the mounted file systems, and the kernel lets processes be moved.
func (m *machine) moveInto(pid int, like netns.Process) error {
	return netns.OnThread(func() error {
		if err := m.enterCgroups(); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(m.finder.Proc, strconv.Itoa(like.PID), "cgroup"))
		if err != nil {
			return fmt.Errorf("reading the cgroups of the pod: %w", err)
		}
		dirs, err := cgroupDirs(m.cgroups, string(text), like)
		if err != nil {
			return err
		}
		for _, dir := range dirs {
			if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0); err != nil {
				return fmt.Errorf("moving process %d into a cgroup of the pod: %w", pid, err)
			}
		}
		score := func(pid int) string { return filepath.Join(m.finder.Proc, strconv.Itoa(pid), "oom_score_adj") }
		text, err = os.ReadFile(score(like.PID))
		if err == nil {
			err = os.WriteFile(score(pid), text, 0)
		}
		if err != nil {
			return fmt.Errorf("making process %d as likely a victim as those of the pod: %w", pid, err)
		}
		return nil
	})
}

// enterCgroups moves the calling thread into the cgroup namespace of the node.
func (m *machine) enterCgroups() error {
	f, err := os.Open(filepath.Join(m.finder.Proc, "1", "ns", "cgroup"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a kernel without them
	}
	if err != nil {
		return fmt.Errorf("entering the node's cgroup namespace: %w", err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("entering the node's cgroup namespace: %w", err)
	}
	return nil
}

// cgroupDirs returns the directories below root that stand for the cgroups of a
// pod's process, whose file /proc/PID/cgroup says text.
func cgroupDirs(root, text string, of netns.Process) ([]string, error) {
	var dirs []string
	for line := range strings.SplitSeq(text, "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		if uid, _ := netns.PodOf(fields[2]); uid != of.Pod {
			continue
		}
		for _, mount := range cgroupMounts(root, fields[0], fields[1]) {
			dir, err := cgroupDir(mount, fields[2])
			if err != nil {
				return nil, err
			}
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("no cgroup of the pod with UID %q is below %q: is it the node's /sys/fs/cgroup?", of.Pod, root)
	}
	return dirs, nil
}

// cgroupMounts returns where the hierarchy of a line of /proc/PID/cgroup is
// mounted: of those of version 1, only those with controllers that matter.
func cgroupMounts(root, number, names string) []string {
	isDir := func(path string) bool { info, err := os.Stat(path); return err == nil && info.IsDir() }
	if number == "0" && names == "" {
		for _, mount := range []string{root, filepath.Join(root, "unified")} {
			if _, err := os.Stat(filepath.Join(mount, "cgroup.controllers")); err == nil {
				return []string{mount}
			}
		}
		return nil
	}
	list := strings.Split(names, ",")
	if !slices.ContainsFunc(list, func(name string) bool { return slices.Contains(controllers(), name) }) {
		return nil
	}
	for _, name := range append([]string{names}, list...) {
		if mount := filepath.Join(root, name); isDir(mount) {
			return []string{mount}
		}
	}
	return nil
}

// cgroupDir returns the directory of a cgroup. Where what is mounted does not
// begin where names do, it is looked for by the end of its name.
func cgroupDir(mount, path string) (string, error) {
	_, container := netns.PodOf(path)
	parts := strings.Split(path, "/")
	tail := "/" + strings.Join(parts[slices.Index(parts, container)-1:], "/")
	if dir := filepath.Join(mount, path); !strings.Contains(path, "..") {
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return dir, nil
		}
	}
	found := ""
	err := filepath.WalkDir(mount, func(dir string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it has gone meanwhile
		case err != nil:
			return err
		case e.IsDir() && strings.HasSuffix(dir, tail):
			found = dir
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && found == "" {
		err = fs.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("finding the cgroup %q of the pod below %q: %w", path, mount, err)
	}
	return found, nil
}

// tempDir opens the directory for temporary files of a process's container; nil
// if it has none that can be written to. Links lead nowhere outside of the
// container.
func (m *machine) tempDir(pid int) *os.File {
	root, err := os.Open(filepath.Join(m.finder.Proc, strconv.Itoa(pid), "root"))
	if err != nil {
		return nil
	}
	defer root.Close()
	fd, err := unix.Openat2(int(root.Fd()), "tmp", &unix.OpenHow{Flags: unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT})
	if err != nil {
		return nil
	}
	dir := os.NewFile(uintptr(fd), "tmp")
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil || st.Flags&unix.ST_RDONLY != 0 {
		dir.Close()
		return nil
	}
	return dir
}
