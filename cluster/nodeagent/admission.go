package nodeagent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/order"
	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

// An admission decides whether an owner may break a pod. It does not believe the order:
// it asks the kubelet for the namespace of a pod, and the pod's own processes for their
// system. A pod that falsely claims a system exposes only itself to faults.
type admission struct {
	finder netns.Finder
	// processes lists those of a pod, as they were at that time or later.
	processes func(uid string, when time.Time) ([]netns.Process, error)
	// logs is where the kubelet has the logs of pods, in directories
	// NAMESPACE_NAME_UID.
	logs string
	// allowSystem admits the pods of protected namespaces.
	allowSystem bool

	mu sync.Mutex
	// known are the identities that will not change, by plain UID.
	known map[string]identity
}

// maxKnown bounds the identities that are remembered.
const maxKnown = 1000

// An identity is what a node knows of a pod.
type identity struct {
	// namespace and name are "" if the kubelet has no directory for the pod.
	namespace, name string
	// runs is set while a container of the pod runs.
	runs bool
	// systems are those that its containers say to be of, each as NAMESPACE/SYSTEM.
	systems []string
	// hostNetwork is set for a pod that uses the network of its node.
	hostNetwork bool
}

// admit returns why a fault may not act on a pod; nil if it may.
func (a *admission) admit(w *desiredFault) error {
	namespace, system, err := order.ParseOwner(w.owner)
	if err != nil {
		return err
	}
	id, err := a.remembered(w.uid, system != "")
	if err != nil {
		return err
	}
	if system != "" {
		return id.ofSystem(namespace, system)
	}
	switch {
	case id.namespace == "":
		return fmt.Errorf("the helper cannot tell which namespace the pod is of: there is no directory %q with its UID; start the helper with the --pod-logs of this node's kubelet", filepath.Join(a.logs, "NAMESPACE_NAME_UID"))
	case id.namespace != namespace:
		return fmt.Errorf("it is a pod of namespace %q, and %q breaks those of %q alone", id.namespace, w.owner, namespace)
	case order.Protected(namespace) && !a.allowSystem:
		return fmt.Errorf("the cluster itself needs the pods of namespace %q, and the helper of this node was started for faults without --allow-system; clear these faults, wait a minute until it has ended, and try again", namespace)
	case w.fault.MaxPods < 1:
		return errors.New("the order does not say how many pods it may hit; write maxPods, as --max-pods does")
	case w.pods > w.fault.MaxPods:
		return fmt.Errorf("it would hit %d pods of this node, more than the %d that are allowed; select fewer, or write --max-pods=%d", w.pods, w.fault.MaxPods, w.pods)
	case id.hostNetwork:
		return errors.New("the pod uses the network of its node, which would be broken as a whole; select other pods")
	}
	return nil
}

// ofSystem returns why a pod is not one of a system; nil if it is. A pod of which no
// container runs cannot say it: then its namespace decides, until one runs.
func (id *identity) ofSystem(namespace, system string) error {
	switch {
	case id.namespace != "" && id.namespace != namespace:
		return fmt.Errorf("it is a pod of namespace %q, and not of system %q in namespace %q", id.namespace, system, namespace)
	case slices.Contains(id.systems, namespace+"/"+system), !id.runs && id.namespace != "":
		return nil
	case !id.runs:
		return errors.New("nothing of the pod runs on this node")
	case len(id.systems) > 0:
		return fmt.Errorf("it is a pod of system %q, and not of %q in namespace %q", id.systems[0], system, namespace)
	}
	return fmt.Errorf("the pod does not say to be of system %q in namespace %q; if it was made by an older version, bring it up again", system, namespace)
}

// remembered says what the node knows of a pod, and looks only as long as the answer may
// change. A pod that is asked for its system may still say one, once a container runs.
func (a *admission) remembered(uid string, ofSystem bool) (identity, error) {
	a.mu.Lock()
	id, known := a.known[netns.PlainUID(uid)]
	a.mu.Unlock()
	if known && (!ofSystem || len(id.systems) > 0) {
		return id, nil
	}
	id, err := a.identify(uid)
	if err == nil && id.runs && id.namespace != "" {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.known == nil || len(a.known) >= maxKnown {
			a.known = map[string]identity{}
		}
		a.known[netns.PlainUID(uid)] = id
	}
	return id, err
}

// identify says what the node knows of a pod.
func (a *admission) identify(uid string) (identity, error) {
	var id identity
	entries, err := os.ReadDir(a.logs)
	if err != nil && !os.IsNotExist(err) {
		return id, fmt.Errorf("finding out which namespace the pod is of: %w", err)
	}
	for _, e := range entries {
		parts := strings.Split(e.Name(), "_")
		if len(parts) == 3 && netns.PlainUID(parts[2]) == netns.PlainUID(uid) {
			id.namespace, id.name = parts[0], parts[1]
		}
	}
	processes, err := a.processes(uid, time.Now())
	if err != nil {
		return id, err
	}
	var sandbox string
	for _, p := range processes {
		// A pod has one sandbox; another program of that name is a container's.
		if p.Sandbox && (sandbox == "" || sandbox == p.Container) {
			sandbox = p.Container
			continue
		}
		id.runs = true
		if system := a.systemOf(p); system != "" && !slices.Contains(id.systems, system) {
			id.systems = append(id.systems, system)
		}
	}
	_, err = a.finder.Find(netns.Target{PodUID: uid})
	id.hostNetwork = errors.Is(err, netns.ErrHost)
	return id, nil
}

// systemOf returns which system a process says to be of, as NAMESPACE/SYSTEM; "" if it
// says nothing, or has ended.
func (a *admission) systemOf(p netns.Process) string {
	text, err := os.ReadFile(filepath.Join(a.finder.Proc, strconv.Itoa(p.PID), "environ"))
	if err != nil || !a.finder.Has(p) {
		return ""
	}
	var namespace, system string
	for variable := range strings.SplitSeq(string(text), "\x00") {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case order.NamespaceVariable:
			namespace = value
		case order.SystemVariable:
			system = value
		}
	}
	if namespace == "" || system == "" {
		return ""
	}
	return order.SystemOwner(namespace, system)
}
