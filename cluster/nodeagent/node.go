// Package nodeagent is the helper of a node: it reconciles the pods of the node with
// the desired faults of all owners, and takes every fault back at its deadline.
package nodeagent

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// Node carries out the orders of all owners on the pods of one node.
type Node struct {
	store *orderStore
	log   *slog.Logger
	// actuators makes what breaks one pod.
	actuators func(uid string) []actuator
	// admit returns why a fault may not act on a pod; nil if it may.
	admit func(*desiredFault) error
	// found lists the pods of the node.
	found func() ([]string, error)

	ctx     context.Context // of the pods
	cancel  context.CancelFunc
	running sync.WaitGroup // the pods' goroutines

	mu     sync.Mutex
	ending bool
	pods   map[string]*pod
	errs   []error
	dirErr error
}

// A Machine says where a node has what its helper needs.
type Machine struct {
	// Proc and Cgroups are the file systems of the node's processes and control groups.
	Proc, Cgroups string
	// PodLogs is where the kubelet has the logs of pods, in directories whose names say
	// which pod is of which namespace.
	PodLogs string
	// AllowSystem admits faults on pods that the cluster itself needs.
	AllowSystem bool
}

// Open makes the node of this machine. It takes back what helpers that were killed have
// left outside of networks.
func Open(ctx context.Context, m Machine, log *slog.Logger) (*Node, error) {
	machine, err := openMachine(m.Proc, m.Cgroups, log)
	if err != nil {
		return nil, err
	}
	a := machine.admission()
	a.logs, a.allowSystem = m.PodLogs, m.AllowSystem
	return newNode(ctx, machine.actuators, a.admit, machine.pods, log), nil
}

// newNode makes a node whose pods work until run ends.
func newNode(ctx context.Context, actuators func(uid string) []actuator, admit func(*desiredFault) error, found func() ([]string, error), log *slog.Logger) *Node {
	n := &Node{store: newOrderStore(), log: log, actuators: actuators, admit: admit, found: found, pods: map[string]*pod{}}
	n.ctx, n.cancel = context.WithCancel(context.WithoutCancel(ctx))
	return n
}

// ErrWanted says that the helper has ended too early. Its supervisor, such as a
// Job, must treat that as a failure and start it again.
var ErrWanted = errors.New("ended while orders want something: all faults are cleared until another helper starts") //nolint:gochecknoglobals // a sentinel

// readEvery is how often the files are read.
const readEvery = 2 * time.Second

// Run carries out orders until ctx ends or, with a linger, nobody has wanted
// anything for so long. Then it takes everything back.
//
// The pods that the node has are looked at once, for what a former helper has
// left there.
func (n *Node) Run(ctx context.Context, dir string, linger time.Duration) error {
	n.readFiles(dir)
	uids, err := n.found()
	if err != nil {
		return errors.Join(err, n.stop())
	}
	for _, o := range n.store.orders() {
		uids = append(uids, podsOf(o)...)
	}
	n.notify(uids)
	ticker := time.NewTicker(readEvery)
	defer ticker.Stop()
	for busy := time.Now(); ; {
		select {
		case <-ctx.Done():
			var err error
			if !n.store.idle(time.Now()) {
				err = ErrWanted
			}
			return errors.Join(err, n.stop())
		case <-ticker.C:
		}
		n.readFiles(dir)
		if !n.idle() {
			busy = time.Now()
		} else if linger > 0 && time.Since(busy) >= linger {
			n.log.Info("ends: no order wants anything", "for", linger)
			return n.stop()
		}
	}
}

// stop has all pods take back what acts, waits for them, and returns what could
// not be taken back.
func (n *Node) stop() error {
	n.mu.Lock()
	n.ending = true
	n.mu.Unlock()
	n.cancel()
	n.running.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return errors.Join(n.errs...)
}

// idle tells whether no order wants anything, and nothing is left to take back.
func (n *Node) idle() bool {
	n.mu.Lock()
	left := len(n.pods)
	n.mu.Unlock()
	return left == 0 && n.store.idle(time.Now())
}

// readFiles takes over what the files of orders say.
func (n *Node) readFiles(dir string) {
	if dir == "" {
		return
	}
	read, err := readOrders(dir)
	n.mu.Lock()
	changed := oneLine(err) != oneLine(n.dirErr)
	n.dirErr = err
	n.mu.Unlock()
	if err != nil {
		if changed {
			n.log.Error("orders cannot be read", "error", err)
		}
		return // what was known before still counts
	}
	before := n.store.troubles()
	n.notify(n.store.sync(read, time.Now()))
	for name, err := range n.store.troubles() {
		if oneLine(before[name]) != oneLine(err) {
			n.log.Error("an order cannot be read", "error", err)
		}
	}
}

// notify has pods look at the orders, and returns what is closed when they have.
func (n *Node) notify(uids []string) []<-chan struct{} {
	slices.Sort(uids)
	n.mu.Lock()
	defer n.mu.Unlock()
	var answers []<-chan struct{}
	for _, uid := range slices.Compact(uids) {
		if n.ending {
			break // everything is being taken back
		}
		var answer <-chan struct{}
		if p := n.pods[uid]; p != nil {
			answer = p.ask()
		}
		if answer == nil {
			answer = n.start(uid).ask()
		}
		answers = append(answers, answer)
	}
	return answers
}

// start starts the goroutine of a pod.
func (n *Node) start(uid string) *pod {
	former := n.pods[uid] // has ended but for the last of its work
	p := newPod(uid, n.store, n.actuators(uid), n.admit)
	n.pods[uid] = p
	n.running.Go(func() {
		if former != nil {
			<-former.done
		}
		p.Run(n.ctx)
		if p.endErr != nil {
			n.log.Error("something is left", "error", p.endErr)
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.errs = append(n.errs, p.endErr)
		if n.pods[uid] == p {
			delete(n.pods, uid)
		}
	})
	return p
}

// statuses returns what became of the faults of an owner, or with "" of all,
// ordered by owner, pod and fault.
func (n *Node) statuses(owner string) []order.Status {
	n.mu.Lock()
	defer n.mu.Unlock()
	type place struct{ pod, owner, fault string }
	known := map[place]order.Status{}
	note := func(s order.Status) {
		if owner == "" || s.Owner == owner {
			known[place{netns.PlainUID(s.PodUID), s.Owner, s.FaultID}] = s
		}
	}
	for _, o := range n.store.orders() {
		for _, p := range o.Pods {
			for _, f := range p.Faults {
				note(order.Status{Owner: o.Owner, Version: o.Version, PodUID: p.UID, FaultID: f.ID})
			}
		}
	}
	// The figures that pods report count, also of faults that are being taken back.
	for _, p := range n.pods {
		for _, s := range p.allStatuses() {
			note(s)
		}
	}
	out := slices.AppendSeq([]order.Status{}, maps.Values(known))
	out = append(out, n.troubles(owner)...)
	slices.SortFunc(out, func(a, b order.Status) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), cmp.Compare(a.PodUID, b.PodUID), cmp.Compare(a.FaultID, b.FaultID))
	})
	return out
}

// troubles tells what is wrong with files of orders: there, the owner is the
// name of the file without .json.
func (n *Node) troubles(owner string) []order.Status {
	var out []order.Status
	for name, err := range n.store.troubles() {
		if owner == "" || order.FileName(owner) == name {
			out = append(out, order.Status{Owner: strings.TrimSuffix(name, filepath.Ext(name)), Error: oneLine(err)})
		}
	}
	if n.dirErr != nil && owner == "" {
		out = append(out, order.Status{Error: oneLine(n.dirErr)})
	}
	return out
}

// oneLine is an error's text in one line; empty if there is none.
func oneLine(err error) string {
	if err == nil {
		return ""
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
