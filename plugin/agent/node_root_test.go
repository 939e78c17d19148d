//go:build root && linux

package agent

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/control"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// testPod is processes that look like a pod's: a sandbox and a container, in a
// network of their own and in cgroups named as a kubelet names them.
type testPod struct {
	uid     string
	lab     *netfaulttest.Lab
	sandbox *exec.Cmd
	dirs    []string // the container's cgroups
}

// cgroupRoots returns where cgroups can be made: for each controller that the
// tests read, or the one root of version 2.
func cgroupRoots() []string {
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return []string{"/sys/fs/cgroup"}
	}
	var roots []string
	for _, name := range []string{"cpu", "cpuacct", "memory", "pids", "blkio"} {
		root, err := filepath.EvalSymlinks(filepath.Join("/sys/fs/cgroup", name))
		if err == nil && !slices.Contains(roots, root) {
			roots = append(roots, root)
		}
	}
	return roots
}

// newTestPod makes a pod, whose uid ends with the number.
func newTestPod(t *testing.T, number int) *testPod {
	t.Helper()
	p := &testPod{uid: fmt.Sprintf("1b2c3d4e-5f60-7182-93a4-%06x%06x", os.Getpid()+int(time.Now().UnixNano()&0xffff), number), lab: netfaulttest.NewLab(t)}
	pause := filepath.Join(t.TempDir(), "pause")
	copyFile(t, programPath(t, "sleep"), pause)
	p.dirs = p.makeCgroups(t, "container")
	logs := filepath.Join(podLogs(), "test_pod_"+p.uid)
	if err := os.MkdirAll(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.RemoveAll(logs)
		_ = os.Remove(podLogs()) // other pods may be in it
	})
	p.sandbox = p.start(t, p.makeCgroups(t, "sandbox"), pause, "1000000")
	return p
}

// podLogs is where the tests' pods have directories as the kubelet makes them.
func podLogs() string { return filepath.Join(os.TempDir(), fmt.Sprintf("pod-logs-%d", os.Getpid())) }

func programPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, data, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *testPod) makeCgroups(t *testing.T, name string) (dirs []string) {
	t.Helper()
	for _, root := range cgroupRoots() {
		dir := filepath.Join(root, "kubepods", "besteffort", "pod"+p.uid, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatalf("making a cgroup like a pod's: %v", err)
		}
		countMemory(t, root, dir)
		t.Cleanup(func() {
			// The kernel removes the state of a killed process a moment later.
			for range 100 {
				if err := os.Remove(dir); err == nil || os.IsNotExist(err) {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			for range 3 {
				dir = filepath.Dir(dir)
				_ = os.Remove(dir) // others may be in use
			}
		})
		dirs = append(dirs, dir)
	}
	return dirs
}

// countMemory lets a cgroup of version 2 count its memory, which each cgroup above
// it has to be asked for.
func countMemory(t *testing.T, root, dir string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, "cgroup.controllers")); err != nil {
		return // version 1 always does
	}
	path := root
	for _, name := range append([]string{""}, strings.Split(filepath.Dir(strings.TrimPrefix(dir, root+"/")), "/")...) {
		path = filepath.Join(path, name)
		if err := os.WriteFile(filepath.Join(path, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// start starts a process in the pod's network and in cgroups.
func (p *testPod) start(t *testing.T, dirs []string, program string, args ...string) *exec.Cmd {
	t.Helper()
	// It is stopped until it is where it belongs.
	cmd := exec.Command(programPath(t, "sh"), append([]string{"-c", `read go; exec "$0" "$@"`, program}, args...)...)
	cmd.Env = append(os.Environ(), order.NamespaceVariable+"=test", order.SystemVariable+"=shop")
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = p.lab.Near.Do(cmd.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have been ended
		_ = cmd.Wait()
	})
	for _, dir := range dirs {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(cmd.Process.Pid)), 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(stdin, "go\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the process runs its program", func() bool {
		comm, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", cmd.Process.Pid))
		return strings.TrimSpace(string(comm)) == filepath.Base(program)
	})
	return cmd
}

// app starts a container's process.
func (p *testPod) app(t *testing.T) *exec.Cmd {
	return p.start(t, p.dirs, programPath(t, "sleep"), "1000000")
}

// processorTime is what the container's cgroup has used.
func (p *testPod) processorTime(t *testing.T) time.Duration {
	t.Helper()
	if n, ok := p.read(t, "cpuacct.usage", ""); ok {
		return time.Duration(n)
	}
	n, ok := p.read(t, "cpu.stat", "usage_usec ")
	if !ok {
		t.Fatal("no cgroup of the pod counts processor time")
	}
	return time.Duration(n) * time.Microsecond
}

// memory is what the container's cgroup holds, in bytes.
func (p *testPod) memory(t *testing.T) int64 {
	t.Helper()
	for _, file := range []string{"memory.usage_in_bytes", "memory.current"} {
		if n, ok := p.read(t, file, ""); ok {
			return n
		}
	}
	t.Fatal("no cgroup of the pod counts memory")
	return 0
}

// read returns the number behind a word in a file of the container's cgroups.
func (p *testPod) read(t *testing.T, file, word string) (n int64, ok bool) {
	t.Helper()
	for _, dir := range p.dirs {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			continue
		}
		_, rest, found := strings.Cut(string(text), word)
		if fields := strings.Fields(rest); found && len(fields) > 0 {
			if n, err = strconv.ParseInt(fields[0], 10, 64); err != nil {
				t.Fatal(err)
			}
			return n, true
		}
	}
	return 0, false
}

// eventually waits until something is so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

// testHelper is a helper that runs.
type testHelper struct {
	cmd    *exec.Cmd
	url    string
	stderr bytes.Buffer
}

const testToken = "secret"

func startHelper(t *testing.T, args ...string) *testHelper {
	t.Helper()
	h := &testHelper{cmd: exec.Command(os.Args[0], append([]string{"node", "--addr", "127.0.0.1:0", "--pod-logs", podLogs()}, args...)...)}
	h.cmd.Env = append(os.Environ(), beAgent+"=1", "MICROSIM_TOKEN="+testToken)
	h.cmd.Stderr = &h.stderr
	out, err := h.cmd.StdoutPipe()
	if err == nil {
		err = h.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill() // it may have been ended
		_ = h.cmd.Wait()
		if t.Failed() {
			t.Logf("the helper said: %s", h.stderr.String())
		}
	})
	var at addresses
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		t.Fatalf("the helper did not tell its address: %v", err)
	}
	h.url = "http://" + at.Addr
	return h
}

func (h *testHelper) do(t *testing.T, method, path string, body any) (int, []order.Status, string) {
	t.Helper()
	var content bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&content).Encode(body); err != nil {
			t.Fatal(err)
		}
	}
	req, err := http.NewRequest(method, h.url+path, &content)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set(control.TokenHeader, testToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var statuses []order.Status
	_ = json.Unmarshal(text, &statuses) // an error is text
	return resp.StatusCode, statuses, string(text)
}

// put gives an order and expects that all of it acts.
func (h *testHelper) put(t *testing.T, o order.Order) []order.Status {
	t.Helper()
	code, statuses, text := h.do(t, "PUT", "/orders/"+url.PathEscape(o.Owner), o)
	if code != 200 {
		t.Fatalf("the order is answered %d: %s", code, text)
	}
	for _, s := range statuses {
		if !s.Acts {
			t.Fatalf("it does not act: %+v", s)
		}
	}
	return statuses
}

func (h *testHelper) delete(t *testing.T, o order.Order) {
	t.Helper()
	if code, _, text := h.do(t, "DELETE", fmt.Sprintf("/orders/%s?version=%d", url.PathEscape(o.Owner), o.Version), nil); code != 200 {
		t.Fatalf("taking back is answered %d: %s", code, text)
	}
}

// end tells the helper to end. One of which something is wanted need not end
// well, so that it is started again; its faults may also end before it does.
func (h *testHelper) end(t *testing.T) {
	t.Helper()
	_, statuses, _ := h.do(t, "GET", "/status", nil)
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	err := h.cmd.Wait()
	acts := func(s order.Status) bool { return s.Acts }
	if wanted := slices.ContainsFunc(statuses, acts); err != nil && !wanted || strings.Contains(h.stderr.String(), "something is left") {
		t.Errorf("with the orders %+v, the helper ended with %v: %s", statuses, err, h.stderr.String())
	}
}

func (h *testHelper) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait() // it was killed
}

func orderOf(owner string, version int64, uid string, faults ...order.Fault) order.Order {
	for i := range faults {
		faults[i].MaxPods = 1
	}
	return order.Order{Owner: owner, Version: version, Pods: []order.Pod{{UID: uid, Namespace: "test", Name: "pod", Faults: faults}}}
}

func faultOf(id string, kind fault.Type, args fault.Args, lasting time.Duration) order.Fault {
	f := order.Fault{ID: id, Fault: fault.Fault{Type: kind, Target: fault.Target{Service: "db"}, Probability: 1, Args: args}}
	if lasting > 0 {
		f.Deadline = time.Now().Add(lasting)
	}
	return f
}

// delay measures how long packets from the pod take, and how many are lost.
func (p *testPod) delay(t *testing.T, v6 bool) (median time.Duration, lost int) {
	t.Helper()
	m, err := p.lab.Run(netfaulttest.Flow{Direction: netfault.Egress, V6: v6, Count: 20, Interval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return m.Quantile(0.5), m.Lost()
}

func delayed(by time.Duration) fault.Args { return fault.Args{Delay: dist.Fixed(by)} }

func TestNodeDelays(t *testing.T) {
	p := newTestPod(t, 1)
	before := dumped(t, p.lab)
	h := startHelper(t)
	o := orderOf("test/shop", 1, p.uid, faultOf("d", fault.NetDelay, delayed(100*time.Millisecond), time.Hour))
	s := h.put(t, o)
	if len(s) != 1 || s[0].PodUID != p.uid || s[0].By == "" || !strings.Contains(s[0].Effective, "delay 100ms, egress eth0") {
		t.Errorf("it says %+v", s)
	}
	if d, lost := p.delay(t, false); d < 100*time.Millisecond || lost != 0 {
		t.Errorf("packets take %v, %d are lost; want 100 ms", d, lost)
	}
	// Another owner's faults act as well.
	second := orderOf(order.WorkloadsOwner("test"), 1, p.uid, faultOf("d", fault.NetDelay, delayed(150*time.Millisecond), 0))
	h.put(t, second)
	if d, lost := p.delay(t, false); d < 250*time.Millisecond || lost != 0 {
		t.Errorf("packets take %v, %d are lost; want 250 ms", d, lost)
	}
	h.delete(t, o)
	if d, _ := p.delay(t, false); d < 150*time.Millisecond || d > 240*time.Millisecond {
		t.Errorf("packets take %v; want 150 ms", d)
	}
	h.delete(t, second)
	if d, _ := p.delay(t, false); d > 80*time.Millisecond {
		t.Errorf("packets take %v after all was taken back", d)
	}
	h.end(t)
	if after := dumped(t, p.lab); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func TestNodeParts(t *testing.T) {
	p := newTestPod(t, 1)
	h := startHelper(t)
	f := faultOf("p", fault.NetPartition, fault.Args{}, time.Hour)
	f.Peers = []string{p.lab.Far.V4.String()}
	f.Only = true
	h.put(t, orderOf("test/shop", 1, p.uid, f))
	if _, lost := p.delay(t, false); lost != 20 {
		t.Errorf("%d of 20 packets to the peer are lost", lost)
	}
	if _, lost := p.delay(t, true); lost != 0 {
		t.Errorf("%d of 20 packets to another address are lost", lost)
	}
	// Without peers, it acts on nothing.
	f.Peers = nil
	s := h.put(t, orderOf("test/shop", 2, p.uid, f))
	if _, lost := p.delay(t, false); lost != 0 || !strings.Contains(s[0].Effective, "no peers") {
		t.Errorf("%d of 20 packets are lost where there is no peer: %+v", lost, s)
	}
	h.end(t)
}

func TestNodeKeepsDeadlines(t *testing.T) {
	p := newTestPod(t, 1)
	h := startHelper(t)
	before := dumped(t, p.lab)
	// A rate is what tc does by itself, and would stay.
	o := orderOf("test/shop", 1, p.uid, faultOf("r", fault.NetRate, fault.Args{Rate: 1000000}, 500*time.Millisecond),
		faultOf("d", fault.NetDelay, delayed(100*time.Millisecond), time.Hour))
	h.put(t, o)
	eventually(t, "the rate ends", func() bool {
		_, s, _ := h.do(t, "GET", "/status", nil)
		return len(s) == 2 && s[0].Acts && !s[1].Acts && s[1].Error == ""
	})
	if d, _ := p.delay(t, false); d < 100*time.Millisecond {
		t.Errorf("packets take %v, but the delay still has time", d)
	}
	o.Version, o.Pods[0].Faults = 2, []order.Fault{faultOf("r", fault.NetRate, fault.Args{Rate: 1000000}, 300*time.Millisecond)}
	h.put(t, o)
	eventually(t, "everything is as before", func() bool { return dumped(t, p.lab) == before })
	h.end(t)
}

func TestNodeContinuesAfterKill(t *testing.T) {
	p := newTestPod(t, 1)
	app := p.app(t)
	before := dumped(t, p.lab)
	dir := t.TempDir()
	write := func(o order.Order) {
		t.Helper()
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, order.FileName(o.Owner)), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rate := faultOf("r", fault.NetRate, fault.Args{Rate: 1000000}, time.Hour)
	pause := faultOf("p", fault.Pause, fault.Args{}, time.Hour)
	write(orderOf("test/shop", 1, p.uid, rate, pause))
	acts := func(h *testHelper, want int) func() bool {
		return func() bool {
			_, statuses, _ := h.do(t, "GET", "/status", nil)
			n := 0
			for _, s := range statuses {
				if s.Acts {
					n++
				}
			}
			return n == want && len(statuses) > 0
		}
	}
	first := startHelper(t, "--orders", dir)
	eventually(t, "the order of the file acts", acts(first, 2))
	first.kill(t)
	if dumped(t, p.lab) == before || processState(t, app) != 'T' {
		t.Fatal("nothing of the killed helper is left, so there is nothing to test")
	}
	second := startHelper(t, "--orders", dir)
	eventually(t, "the next helper goes on", acts(second, 2))
	second.kill(t)
	rate.Deadline, pause.Deadline = time.Now(), time.Now()
	write(orderOf("test/shop", 2, p.uid, rate, pause))
	third := startHelper(t, "--orders", dir)
	eventually(t, "the next helper takes back what is over", func() bool {
		return dumped(t, p.lab) == before && processState(t, app) == 'S'
	})
	third.end(t)
}

func TestNodeCleansWhatNoOrderNames(t *testing.T) {
	p := newTestPod(t, 1)
	app := p.app(t)
	others := newTestPod(t, 2)
	stoppedByOthers := others.app(t)
	if err := stoppedByOthers.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	before := dumped(t, p.lab)
	first := startHelper(t)
	first.put(t, orderOf("test/shop", 1, p.uid, faultOf("r", fault.NetRate, fault.Args{Rate: 1000000}, time.Hour), faultOf("p", fault.Pause, fault.Args{}, time.Hour)))
	first.kill(t)
	if dumped(t, p.lab) == before || processState(t, app) != 'T' {
		t.Fatal("nothing of the killed helper is left, so there is nothing to test")
	}
	second := startHelper(t)
	eventually(t, "everything is as before", func() bool { return dumped(t, p.lab) == before && processState(t, app) == 'S' })
	if processState(t, stoppedByOthers) != 'T' {
		t.Error("a process that somebody else has stopped goes on")
	}
	second.end(t)
}

// processState is the letter after the name in /proc/PID/stat (proc(5)).
func processState(t *testing.T, cmd *exec.Cmd) byte {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return stat[bytes.LastIndexByte(stat, ')')+2]
}

func TestNodePauses(t *testing.T) {
	p := newTestPod(t, 1)
	app := p.app(t)
	h := startHelper(t)
	o := orderOf("test/shop", 1, p.uid, faultOf("p", fault.Pause, fault.Args{}, time.Hour))
	s := h.put(t, o)
	if processState(t, app) != 'T' || s[0].By != "processes" {
		t.Errorf("the container is in state %c, %+v", processState(t, app), s)
	}
	if processState(t, p.sandbox) == 'T' {
		t.Error("the sandbox is stopped")
	}
	later := p.app(t) // as after a restart of the container
	eventually(t, "a process that came later is stopped", func() bool { return processState(t, later) == 'T' })
	h.delete(t, o)
	if processState(t, app) == 'T' || processState(t, later) == 'T' {
		t.Error("the container still is stopped")
	}
	h.put(t, orderOf("test/shop", 2, p.uid, faultOf("p", fault.Pause, fault.Args{}, time.Hour)))
	h.end(t)
	if processState(t, app) == 'T' || processState(t, later) == 'T' {
		t.Error("the container still is stopped after the helper's end")
	}
}

func TestNodeStressesProcessors(t *testing.T) {
	p := newTestPod(t, 1)
	p.app(t)
	h := startHelper(t)
	o := orderOf("test/shop", 1, p.uid, faultOf("c", fault.CPUStress, fault.Args{Cores: 1, Load: 0.3}, time.Hour))
	s := h.put(t, o)
	if s[0].By != "processes" || !strings.Contains(s[0].Effective, "30 %") {
		t.Errorf("it says %+v", s)
	}
	used, begun := p.processorTime(t), time.Now()
	eventually(t, "the pod uses processors", func() bool { return p.processorTime(t)-used > 300*time.Millisecond })
	// On a busy machine it may be less than what was ordered, but not more.
	share := float64(p.processorTime(t)-used) / float64(time.Since(begun))
	t.Logf("the pod uses %.3f of a processor, 0.3 were ordered", share)
	if share > 0.45 {
		t.Errorf("the pod uses %.3f of a processor", share)
	}
	h.delete(t, o)
	if procs, err := os.ReadFile(filepath.Join(p.dirs[0], "cgroup.procs")); err != nil || strings.Count(string(procs), "\n") != 1 {
		t.Errorf("the cgroup has the processes %q, %v", procs, err)
	}
	h.end(t)
}

func TestNodeStressesMemory(t *testing.T) {
	p := newTestPod(t, 1)
	app := p.app(t)
	h := startHelper(t)
	usage := func() int64 { return p.memory(t) >> 20 }
	before := usage()
	h.put(t, orderOf("test/shop", 1, p.uid, faultOf("m", fault.MemoryStress, fault.Args{Size: 64 * unit.Size(1<<20)}, time.Hour)))
	eventually(t, "the pod has 64 MiB more", func() bool { return usage()-before >= 64 })
	// The stress ends with the container, so that its cgroup can be removed,
	// and begins again with the next one.
	_ = app.Process.Kill()
	eventually(t, "the stress ends with the container", func() bool {
		procs, err := os.ReadFile(filepath.Join(p.dirs[0], "cgroup.procs"))
		return err == nil && len(procs) == 0
	})
	p.app(t)
	eventually(t, "it begins again", func() bool { return usage()-before >= 64 })
	h.kill(t)
	eventually(t, "the stress ends with a helper that is killed", func() bool { return usage()-before < 10 })
}

func TestNodeStressesDisks(t *testing.T) {
	p := newTestPod(t, 1)
	p.app(t)
	h := startHelper(t)
	for n, method := range []string{"sync", "iomix"} {
		h.put(t, orderOf("test/shop", int64(n+1), p.uid, faultOf("d", fault.IOStress, fault.Args{Method: method, Size: 4 << 20}, time.Hour)))
		procs, err := os.ReadFile(filepath.Join(p.dirs[0], "cgroup.procs"))
		if err != nil {
			t.Fatal(err)
		}
		pids := strings.Fields(string(procs))
		written := func() int {
			text, err := os.ReadFile("/proc/" + pids[len(pids)-1] + "/io")
			if err != nil {
				t.Fatal(err)
			}
			_, rest, _ := strings.Cut(string(text), "wchar: ")
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
		eventually(t, "the stress writes", func() bool { return written() > 1<<20 })
	}
	h.end(t)
}
