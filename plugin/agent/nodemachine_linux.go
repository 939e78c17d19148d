package agent

import (
	"log/slog"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// machine is the node with its processes.
type machine struct {
	finder  netns.Finder
	cgroups string
	log     *slog.Logger
	table   processTable
}

// openMachine takes back what helpers that were killed have left outside of
// networks.
func openMachine(o nodeOptions, log *slog.Logger) (*machine, error) {
	m := &machine{finder: netns.Finder{Proc: o.proc}, cgroups: o.cgroups, log: log}
	m.table.read = m.finder.Processes
	return m, killStresses(m)
}

// crafts makes what breaks one pod.
func (m *machine) crafts(uid string, named bool) []craft {
	return []craft{&netCraft{machine: m, uid: uid}, &pauseCraft{machine: m, uid: uid, leftover: named}, &stressCraft{machine: m, uid: uid}}
}

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

func (m *machine) close() error { return nil }

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
