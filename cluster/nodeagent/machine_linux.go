package nodeagent

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// machine is the node with its processes.
type machine struct {
	finder  netns.Finder
	cgroups string
	// world tells the processes of this node from those of nodes inside of it,
	// such as those of kind: it is the first process's namespace of processes.
	world string
	log   *slog.Logger
	table processTable
}

// owner marks what helpers of this node set up, whoever has ordered it: an
// interface takes the faults of one owner, so those of all are one state.
func (m *machine) owner() string { return "microsim-node-" + m.world }

// worldOf returns the namespace of processes that one is in.
func worldOf(proc string, pid int) (string, error) {
	link, err := os.Readlink(filepath.Join(proc, strconv.Itoa(pid), "ns", "pid"))
	if err != nil {
		return "", fmt.Errorf("telling the processes of this node from those inside of containers (root, and in a pod hostPID, are needed): %w", err)
	}
	return strings.Trim(link, "pid:[]"), nil
}

// openMachine takes back what helpers that were killed have left outside of
// networks.
func openMachine(proc, cgroups string, log *slog.Logger) (*machine, error) {
	world, err := worldOf(proc, 1)
	if err != nil {
		return nil, err
	}
	m := &machine{finder: netns.Finder{Proc: proc}, cgroups: cgroups, world: world, log: log}
	m.table.read = m.finder.Processes
	return m, killStresses(m)
}

// actuators makes what breaks one pod.
func (m *machine) actuators(uid string) []actuator {
	return []actuator{&netActuator{machine: m, uid: uid}, &pauseActuator{machine: m, uid: uid}, &stressActuator{machine: m, uid: uid}}
}

// admission decides by the processes of the node.
func (m *machine) admission() *admission { return &admission{finder: m.finder, processes: m.of} }

// pods returns the pods of the node, by the form of their UIDs that orders use.
func (m *machine) pods() ([]string, error) {
	processes, err := m.table.since(time.Now())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range processes {
		out = append(out, p.Pod)
	}
	return out, nil
}

// of returns the processes of a pod, as they were at that time or later.
func (m *machine) of(uid string, when time.Time) ([]netns.Process, error) {
	all, err := m.table.since(when)
	var out []netns.Process
	for _, p := range all {
		if p.Pod == netns.PlainUID(uid) {
			out = append(out, p)
		}
	}
	return out, err
}

// processTable lists the processes of all pods, once for all who ask meanwhile.
type processTable struct {
	mu    sync.Mutex
	read  func() ([]netns.Process, error)
	begun time.Time
	list  []netns.Process
}

// since returns a list whose making began at that time or later.
func (t *processTable) since(when time.Time) ([]netns.Process, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.begun.Before(when) && t.list != nil {
		return t.list, nil
	}
	begun := time.Now()
	list, err := t.read()
	if err != nil {
		return nil, err
	}
	t.begun, t.list = begun, list
	return list, nil
}
