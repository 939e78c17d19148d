package netns

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Target names a namespace in exactly one of four ways.
type Target struct {
	Name   string // as `ip netns` lists it
	Path   string // a file such as /proc/123/ns/net or /run/netns/x
	PID    int
	PodUID string
}

// ParseName takes a name or, if it has a slash, a path.
func ParseName(s string) Target {
	if strings.Contains(s, "/") {
		return Target{Path: s}
	}
	return Target{Name: s}
}

// String describes the target for messages.
func (t Target) String() string {
	switch {
	case t.Name != "":
		return fmt.Sprintf("namespace %q", t.Name)
	case t.Path != "":
		return fmt.Sprintf("namespace at %q", t.Path)
	case t.PodUID != "":
		return fmt.Sprintf("pod with UID %q", t.PodUID)
	}
	return fmt.Sprintf("process %d", t.PID)
}

// Validate says whether exactly one way is used, and sensibly.
func (t Target) Validate() error {
	ways := 0
	for _, used := range []bool{t.Name != "", t.Path != "", t.PID != 0, t.PodUID != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways != 1:
		return fmt.Errorf("the network namespace is named in %d ways; name it in one: by name or path, process, or pod UID", ways)
	case t.Name == "." || t.Name == ".." || strings.Contains(t.Name, "/"):
		return fmt.Errorf("invalid name of a network namespace %q", t.Name)
	case t.PID < 0:
		return fmt.Errorf("process id %d: want a positive number", t.PID)
	case t.PodUID != "" && strings.Trim(strings.ToLower(t.PodUID), "0123456789abcdef-_") != "":
		return fmt.Errorf("pod UID %q: want hexadecimal digits and dashes, as `kubectl get pod -o jsonpath={.metadata.uid}` prints", t.PodUID)
	}
	return nil
}

// ErrHost is wrapped by the error for a target in the host's own namespace.
var ErrHost = errors.New("it is the host's own network namespace")

// Finder looks in a file system of processes.
type Finder struct {
	Proc string   // "/proc"; in a pod the host's, which needs hostPID
	Runs []string // where named namespaces are
}

// DefaultFinder looks where Linux has things.
func DefaultFinder() Finder {
	return Finder{Proc: "/proc", Runs: []string{"/run/netns", "/var/run/netns"}}
}

// Place is the namespace file of a target that was found.
type Place struct {
	Path string // the file to open
	PID  int    // the process whose namespace it is, or 0
}

// Find returns the place of a target. Of a pod's processes it prefers the
// sandbox, which lives as long as the pod does.
func (f Finder) Find(t Target) (Place, error) {
	if err := t.Validate(); err != nil {
		return Place{}, err
	}
	switch {
	case t.PodUID != "":
		return f.findPod(t.PodUID)
	case t.PID != 0:
		if _, err := f.inode(t.PID); err != nil {
			return Place{}, fmt.Errorf("finding the network namespace of process %d: %w", t.PID, err)
		}
		return Place{f.nsPath(t.PID), t.PID}, nil
	case t.Path != "":
		return Place{Path: t.Path}, nil
	}
	for _, dir := range f.Runs {
		path := filepath.Join(dir, t.Name)
		if _, err := os.Stat(path); err == nil {
			return Place{Path: path}, nil
		}
	}
	return Place{}, fmt.Errorf("no network namespace %q in %s; `ip netns list` shows those that have a name", t.Name, strings.Join(f.Runs, " or "))
}

func (f Finder) nsPath(pid int) string {
	return filepath.Join(f.Proc, strconv.Itoa(pid), "ns", "net")
}

// inode returns a process's network namespace.
func (f Finder) inode(pid int) (uint64, error) { return readInode(f.nsPath(pid)) }

// readInode reads a link such as /proc/1/ns/net: it says net:[4026531840].
func readInode(path string) (uint64, error) {
	link, err := os.Readlink(path)
	if err != nil {
		return 0, err
	}
	number, ok := strings.CutPrefix(strings.TrimSuffix(link, "]"), "net:[")
	inode, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil {
		return 0, fmt.Errorf("the link %q names %q, want net:[NUMBER]", path, link)
	}
	return inode, nil
}

// host returns the inode of the first process's namespace. If the first process
// cannot be read, it returns the inode of this process's namespace, except for
// pods: a pod may use the host's namespace while this process does not.
func (f Finder) host(t Target) (uint64, error) {
	inode, err := f.inode(1)
	if errors.Is(err, fs.ErrPermission) && t.PodUID == "" {
		inode, err = readInode(filepath.Join(f.Proc, "thread-self", "ns", "net"))
	}
	if err != nil {
		return 0, fmt.Errorf("finding the host's own network namespace, which must not be touched (root, and in a pod hostPID, are needed): %w", err)
	}
	return inode, nil
}

// member is a process of a pod.
type member struct {
	pid     int
	inode   uint64
	sandbox bool
}

func (f Finder) findPod(uid string) (Place, error) {
	host, err := f.host(Target{PodUID: uid})
	if err != nil {
		return Place{}, err
	}
	members, err := f.members(uid)
	if err != nil {
		return Place{}, err
	}
	if len(members) == 0 {
		return Place{}, fmt.Errorf("no process under %s belongs to the pod with UID %q: is it on this node, and are the host's processes visible (hostPID)?", f.Proc, uid)
	}
	inHost := func(m member) bool { return m.inode == host }
	if members = slices.DeleteFunc(members, inHost); len(members) == 0 {
		return Place{}, fmt.Errorf("the pod with UID %q uses hostNetwork: %w; its faults would hit the whole node", uid, ErrHost)
	}
	return Place{f.nsPath(members[0].pid), members[0].pid}, nil
}

// members returns the processes of a pod, the sandbox first, then by pid.
// Processes that end during the search are left out.
func (f Finder) members(uid string) ([]member, error) {
	entries, err := os.ReadDir(f.Proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []member
	var denied error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !f.inPod(pid, uid) {
			continue
		}
		inode, err := f.inode(pid)
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
		if err != nil {
			continue
		}
		out = append(out, member{pid, inode, f.isSandbox(pid)})
	}
	if len(out) == 0 && denied != nil {
		return nil, fmt.Errorf("looking at the pod's processes (root and CAP_SYS_PTRACE are needed): %w", denied)
	}
	slices.SortFunc(out, func(a, b member) int {
		return cmp.Or(-cmp.Compare(b2i(a.sandbox), b2i(b.sandbox)), cmp.Compare(a.pid, b.pid))
	})
	return out, nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// isSandbox tells of the process that only holds a pod's namespaces.
func (f Finder) isSandbox(pid int) bool {
	comm, err := os.ReadFile(filepath.Join(f.Proc, strconv.Itoa(pid), "comm"))
	return err == nil && strings.TrimSpace(string(comm)) == "pause"
}

func (f Finder) inPod(pid int, uid string) bool {
	text, err := os.ReadFile(filepath.Join(f.Proc, strconv.Itoa(pid), "cgroup"))
	return err == nil && cgroupOfPod(string(text), uid)
}

// cgroupOfPod tells whether a file /proc/PID/cgroup (lines N:CONTROLLERS:PATH)
// is that of a container in the pod. Only single parts of the path are looked
// at: what comes before them depends on where one stands.
//
//	systemd driver:  .../kubepods-<qos>-pod<UID with _ for ->.slice/<runtime>-<id>.scope
//	cgroupfs driver: .../kubepods/<qos>/pod<UID>/<id>
func cgroupOfPod(text, uid string) bool {
	uid = plainUID(uid)
	for _, line := range strings.Split(text, "\n") {
		fields := strings.SplitN(line, ":", 3)
		if len(fields) != 3 {
			continue
		}
		parts := strings.Split(fields[2], "/")
		n := slices.IndexFunc(parts, func(part string) bool { return uid != "" && podUIDOf(part) == uid })
		if n < 0 {
			continue
		}
		// cri-o keeps a helper of the host beside each container.
		helper := func(part string) bool { return strings.HasPrefix(part, "crio-conmon-") }
		return !slices.ContainsFunc(parts[n+1:], helper)
	}
	return false
}

// podUIDOf reads the UID from one part of a cgroup's path; empty if it has none.
func podUIDOf(part string) string {
	if name, ok := strings.CutSuffix(part, ".slice"); ok {
		n := strings.LastIndex(name, "-pod")
		if !strings.Contains(name, "kubepods") || n < 0 {
			return ""
		}
		return plainUID(name[n+len("-pod"):])
	}
	uid, ok := strings.CutPrefix(part, "pod")
	if !ok {
		return ""
	}
	return plainUID(uid)
}

// plainUID drops what drivers write differently.
func plainUID(uid string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(uid))
}

// Process is one process of a pod.
type Process struct {
	PID int
	// Pod is the pod's UID as [PlainUID] returns it.
	Pod string
	// Container names the pod's container on this node; processes of one
	// container have the same.
	Container string
	// Sandbox is set for the process that only holds the pod's namespaces.
	Sandbox bool
}

// Processes returns the processes of all pods, sandboxes first, then by pid.
// Processes that end during the search are left out.
func (f Finder) Processes() ([]Process, error) {
	entries, err := os.ReadDir(f.Proc)
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	var out []Process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := f.process(pid); ok {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b Process) int {
		return cmp.Or(-cmp.Compare(b2i(a.Sandbox), b2i(b.Sandbox)), cmp.Compare(a.PID, b.PID))
	})
	return out, nil
}

func (f Finder) process(pid int) (p Process, ok bool) {
	text, err := os.ReadFile(filepath.Join(f.Proc, strconv.Itoa(pid), "cgroup"))
	if err != nil {
		return p, false
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if fields := strings.SplitN(line, ":", 3); len(fields) == 3 {
			if uid, container := PodOf(fields[2]); uid != "" && container != "" {
				return Process{pid, uid, container, f.isSandbox(pid)}, true
			}
		}
	}
	return p, false
}

// PodOf reads a pod's plain UID and its container from the path of a cgroup, as
// /proc/PID/cgroup has it. Other cgroups of a runtime have none.
func PodOf(path string) (uid, container string) {
	parts := strings.Split(path, "/")
	for n, part := range parts[:len(parts)-1] {
		if uid = podUIDOf(part); uid != "" && !strings.HasPrefix(parts[n+1], "crio-conmon-") {
			return uid, parts[n+1]
		}
	}
	return "", ""
}

// PlainUID returns a pod's UID without what cgroup drivers write differently.
func PlainUID(uid string) string { return plainUID(uid) }

// Has tells whether a process still is the one that [Finder.Processes] found, as
// far as its container tells.
func (f Finder) Has(p Process) bool {
	now, ok := f.process(p.PID)
	return ok && now.Pod == p.Pod && now.Container == p.Container
}
