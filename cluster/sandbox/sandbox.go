// Package sandbox makes, finds and deletes kind clusters of our own, and brings images
// to clusters on one machine that others have made. Those are never changed otherwise,
// nor deleted, whatever they are called.
package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
	"sigs.k8s.io/kind/pkg/cluster/nodeutils"
	"sigs.k8s.io/kind/pkg/exec"
)

// DefaultName is the sandbox that is meant where none is named.
const DefaultName = "microsim"

// nodeLabel is on every node of a sandbox, so that it is known as ours even
// where its record is lost.
const nodeLabel = "microsim.dev/sandbox"

// names are those that a sandbox may have.
var names = regexp.MustCompile(`^microsim(-[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?)?$`) //nolint:gochecknoglobals // a constant

// CheckName refuses names that a sandbox cannot have.
func CheckName(name string) error {
	if !names.MatchString(name) {
		return fmt.Errorf("%q is not a name for a sandbox: write microsim, or microsim- and up to 32 lower-case letters, digits and hyphens", name)
	}
	return nil
}

// Options say what a sandbox is to be.
type Options struct {
	// Workers are the nodes beside the control plane, which works itself where
	// there are none.
	Workers int
	// NodeImage is the image of the nodes; kind's own default where it is empty.
	NodeImage string
}

// A Manager makes and deletes sandboxes by the container runtime of this
// machine.
type Manager struct {
	provider *cluster.Provider
	records  records
	progress func(string)
}

// New returns a manager that keeps its records in dir and tells of its progress
// line by line. Without a container runtime there is an error.
func New(dir string, progress func(string)) (*Manager, error) {
	runtime, err := cluster.DetectNodeProvider()
	if err != nil {
		return nil, errors.New("looking for a container runtime for kind: neither docker, podman nor nerdctl is here; install one, or write --on local or --on cluster")
	}
	if progress == nil {
		progress = func(string) {}
	}
	return &Manager{
		provider: cluster.NewProvider(runtime, cluster.ProviderWithLogger(logger{progress})),
		records:  records{dir}, progress: progress,
	}, nil
}

// A Sandbox is a kind cluster of ours, or one of others that is used like one.
type Sandbox struct {
	Name string `json:"name"`
	// Foreign is set if others have made it. It is never deleted.
	Foreign bool `json:"foreign,omitempty"`
	// Nodes are the names of its containers.
	Nodes []string `json:"nodes"`
	// Created is zero where neither its record nor its nodes tell.
	Created time.Time `json:"created,omitzero"`
	// Ready is unset while the sandbox is made, and where that was interrupted.
	Ready bool `json:"ready"`
	// Kubeconfig is a file by which kubectl reaches it; "" where none is known, as for
	// a cluster of others.
	Kubeconfig string `json:"kubeconfig,omitempty"`
}

// List returns our sandboxes and the kind clusters of others, by name.
func (m *Manager) List() ([]Sandbox, error) {
	there, err := m.provider.List()
	if err != nil {
		return nil, explain("listing kind clusters", err)
	}
	sandboxes := []Sandbox{}
	for _, name := range there {
		s, err := m.find(name)
		if err != nil {
			return nil, err
		}
		if s != nil {
			m.restoreKubeconfig(s)
			sandboxes = append(sandboxes, *s)
		}
	}
	slices.SortFunc(sandboxes, func(a, b Sandbox) int { return cmp.Compare(a.Name, b.Name) })
	return sandboxes, nil
}

// A ForeignError says that a cluster was not made by us.
type ForeignError struct{ Name string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the kind cluster %q was not made by kubectl microsim, and is left alone; choose another name", e.Name)
}

// A NotFoundError says that there is no such sandbox.
type NotFoundError struct{ Name string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("there is no kind cluster %q; 'kubectl microsim cluster list' shows those that are there", e.Name)
}

// restoreKubeconfig writes the file by which kubectl reaches a sandbox of ours if it is
// lost. Without it the sandbox has none.
func (m *Manager) restoreKubeconfig(s *Sandbox) {
	if s.Foreign || !s.Ready {
		return
	}
	file := m.records.kubeconfig(s.Name)
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(m.records.dir, 0o700); err != nil {
			return
		}
		if err := m.provider.ExportKubeConfig(s.Name, file, false); err != nil {
			s.Kubeconfig = ""
			return
		}
	}
	s.Kubeconfig = file
}

// find returns the kind cluster of a name, nil where there is none.
func (m *Manager) find(name string) (*Sandbox, error) {
	all, err := m.provider.ListNodes(name)
	if err != nil {
		return nil, explain(fmt.Sprintf("looking for the kind cluster %q", name), err)
	}
	if len(all) == 0 {
		return nil, nil
	}
	s := &Sandbox{Name: name}
	for _, n := range all {
		s.Nodes = append(s.Nodes, n.String())
	}
	slices.Sort(s.Nodes)
	record, err := m.records.read(name)
	if err != nil {
		return nil, err
	}
	ours, created, known := marked(all)
	switch {
	case record != nil && !record.Ready, record != nil && !known:
		s.Created, s.Ready, s.Kubeconfig = record.Created, record.Ready, m.records.kubeconfig(name)
	case !ours:
		s.Created, s.Ready, s.Foreign = created, true, true
	case record != nil:
		s.Created, s.Ready, s.Kubeconfig = record.Created, true, m.records.kubeconfig(name)
	default:
		s.Created, s.Ready = created, true
	}
	return s, nil
}

// marked reports whether the nodes were made with our label, and when; known is unset
// where none of them runs.
func marked(all []nodes.Node) (ours bool, created time.Time, known bool) {
	const ask = "grep -q " + nodeLabel + " /kind/kubeadm.conf && echo ours || echo foreign; stat -c %Y /kind/kubeadm.conf"
	for _, n := range all {
		out, err := exec.Output(n.Command("sh", "-c", ask))
		if err != nil {
			continue
		}
		whose, when, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if seconds, err := strconv.ParseInt(strings.TrimSpace(when), 10, 64); err == nil {
			created = time.Unix(seconds, 0).UTC()
		}
		return whose == "ours", created, true
	}
	return false, time.Time{}, false
}

// Ensure returns the kind cluster of that name, also one of others. It makes a sandbox
// where there is none, and first removes the leftovers of an interrupted creation.
func (m *Manager) Ensure(ctx context.Context, name string, o Options) (*Sandbox, error) {
	s, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if s != nil && s.Ready {
		m.restoreKubeconfig(s)
		return s, nil
	}
	if err := CheckName(name); err != nil {
		return nil, fmt.Errorf("there is no kind cluster %q, and none is made by that name: %w", name, err)
	}
	s, err = m.Create(ctx, name, o)
	if there := (*thereError)(nil); errors.As(err, &there) {
		return m.find(name) // somebody else has made it meanwhile
	}
	return s, err
}

// A thereError says that a sandbox has been made already.
type thereError struct{ name string }

func (e *thereError) Error() string {
	return fmt.Sprintf("creating the sandbox %q: it is there already; 'kubectl microsim cluster delete %s' deletes it", e.name, e.name)
}

// Create makes a sandbox. On an error, and when ctx ends before it is ready,
// nothing is left of it.
func (m *Manager) Create(ctx context.Context, name string, o Options) (*Sandbox, error) {
	if o.Workers < 0 || o.Workers > 20 {
		return nil, fmt.Errorf("creating the sandbox %q: %d workers are not possible; use 0 to 20", name, o.Workers)
	}
	if err := CheckName(name); err != nil {
		return nil, err
	}
	done, err := m.records.begin(name)
	if err != nil {
		return nil, err
	}
	defer done()
	// A look from before the lock could be outdated: another program may have finished
	// the sandbox since.
	old, err := m.find(name)
	switch {
	case err != nil:
		return nil, err
	case old != nil && old.Foreign:
		return nil, &ForeignError{name}
	case old != nil && old.Ready:
		return nil, &thereError{name}
	}
	if old != nil {
		m.progress(fmt.Sprintf("Removing what an interrupted creation of %q has left.", name))
		if err := m.remove(name); err != nil {
			return nil, err
		}
	}
	if err := m.records.write(record{Name: name, Created: time.Now().UTC().Truncate(time.Second)}); err != nil {
		return nil, err
	}
	if err := m.create(ctx, name, o); err != nil {
		return nil, errors.Join(err, m.remove(name))
	}
	if err := m.records.markReady(name); err != nil {
		return nil, errors.Join(err, m.remove(name))
	}
	return m.find(name)
}

// readyTimeout bounds how long a control plane may take after its start. Pods
// wait for nodes in any case, so running over it is not an error.
const readyTimeout = 2 * time.Minute

// create makes the cluster and waits for it. The library cannot be stopped,
// so when ctx ends the nodes are taken away from under it.
func (m *Manager) create(ctx context.Context, name string, o Options) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("creating the sandbox %q: %w", name, err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- m.provider.Create(name,
			cluster.CreateWithV1Alpha4Config(config(o)),
			cluster.CreateWithNodeImage(o.NodeImage),
			cluster.CreateWithWaitForReady(readyTimeout),
			cluster.CreateWithKubeconfigPath(m.records.kubeconfig(name)),
			cluster.CreateWithDisplayUsage(false),
			cluster.CreateWithDisplaySalutation(false),
		)
	}()
	select {
	case err := <-ended:
		if err != nil {
			return explain(fmt.Sprintf("creating the sandbox %q", name), err)
		}
		return nil
	case <-ctx.Done():
	}
	m.progress(fmt.Sprintf("Interrupted: removing the sandbox %q.", name))
	for again := time.NewTicker(time.Second); ; {
		_ = m.provider.Delete(name, m.records.kubeconfig(name))
		select {
		case <-ended:
			again.Stop()
			return fmt.Errorf("creating the sandbox %q: %w", name, context.Cause(ctx))
		case <-again.C:
		}
	}
}

// config describes the nodes, each marked as ours.
func config(o Options) *v1alpha4.Cluster {
	labels := map[string]string{nodeLabel: "true"}
	c := &v1alpha4.Cluster{
		TypeMeta: v1alpha4.TypeMeta{APIVersion: "kind.x-k8s.io/v1alpha4", Kind: "Cluster"},
		Nodes:    []v1alpha4.Node{{Role: v1alpha4.ControlPlaneRole, Labels: labels}},
	}
	for range o.Workers {
		c.Nodes = append(c.Nodes, v1alpha4.Node{Role: v1alpha4.WorkerRole, Labels: labels})
	}
	return c
}

// Delete deletes a sandbox and all that is in it.
func (m *Manager) Delete(name string) error {
	s, err := m.find(name)
	if err != nil {
		return err
	}
	if s == nil && CheckName(name) != nil {
		return &NotFoundError{name} // nor has it a record
	}
	if s == nil {
		// A record without a cluster is of no use.
		return errors.Join(&NotFoundError{name}, m.records.remove(name))
	}
	if s.Foreign {
		return &ForeignError{name}
	}
	return m.remove(name)
}

func (m *Manager) remove(name string) error {
	if err := m.provider.Delete(name, m.records.kubeconfig(name)); err != nil {
		return explain(fmt.Sprintf("deleting the sandbox %q", name), err)
	}
	return m.records.remove(name)
}

// Connect returns what a client needs to reach the sandbox.
func (m *Manager) Connect(name string) (*rest.Config, error) {
	s, err := m.find(name)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &NotFoundError{name}
	}
	text, err := m.provider.KubeConfig(name, false)
	if err != nil {
		return nil, explain(fmt.Sprintf("asking the sandbox %q for its credentials", name), err)
	}
	c, err := clientcmd.RESTConfigFromKubeConfig([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("reading the credentials of the sandbox %q: %w", name, err)
	}
	return c, nil
}

// Serves reports whether the API server of a kind cluster is at the given URL.
func (m *Manager) Serves(name, server string) bool {
	all, err := m.provider.ListNodes(name)
	if err != nil || len(all) == 0 {
		return false
	}
	text, err := m.provider.KubeConfig(name, false)
	if err != nil {
		return false
	}
	c, err := clientcmd.RESTConfigFromKubeConfig([]byte(text))
	return err == nil && strings.TrimSuffix(c.Host, "/") == strings.TrimSuffix(server, "/")
}

// An Archive is an image that can be loaded into nodes.
type Archive interface {
	// Archive writes the image as `docker save` does.
	Archive(w io.Writer) error
}

// Load brings an image to every node that has none of that reference, and
// returns those nodes.
func (m *Manager) Load(ctx context.Context, name, reference string, image Archive) (loaded []string, err error) {
	if s, err := m.find(name); err != nil {
		return nil, err
	} else if s == nil {
		return nil, &NotFoundError{name}
	}
	all, err := m.provider.ListInternalNodes(name)
	if err != nil {
		return nil, explain(fmt.Sprintf("listing the nodes of the sandbox %q", name), err)
	}
	for _, n := range all {
		if err := ctx.Err(); err != nil {
			return loaded, fmt.Errorf("loading the image %s: %w", reference, err)
		}
		if id, err := nodeutils.ImageID(n, reference); err == nil && id != "" {
			continue
		}
		err := load(n, image)
		if err != nil && ctx.Err() != nil {
			// Ctrl-C in a terminal ends docker, too.
			return loaded, fmt.Errorf("loading the image %s into node %q: %w", reference, n, ctx.Err())
		}
		if err != nil {
			return loaded, explain(fmt.Sprintf("loading the image %s into node %q", reference, n), err)
		}
		loaded = append(loaded, n.String())
	}
	return loaded, nil
}

func load(n nodes.Node, image Archive) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := image.Archive(w)
		w.CloseWithError(err)
		written <- err
	}()
	err := nodeutils.LoadImageArchive(n, r)
	r.CloseWithError(errors.New("the node takes no more"))
	if cause := <-written; cause != nil && err == nil {
		err = cause
	}
	return err
}

// tail is the end of what a command printed.
func tail(text string) string {
	const most = 2000
	if len(text) > most {
		return "..." + text[len(text)-most:]
	}
	return text
}

// explain adds what the command of the runtime printed, and the next step where
// it is known.
func explain(doing string, err error) error {
	var text string
	if run := exec.RunErrorForError(err); run != nil {
		text = strings.TrimSpace(string(run.Output))
	}
	text = tail(text)
	hint := ""
	// Each node takes some 20 inotify instances, of which Linux allows 128.
	const inotify = "; a node ended as it started: where other clusters run, try 'sudo sysctl fs.inotify.max_user_instances=1024'"
	for _, known := range []struct{ symptom, remedy string }{
		{"failed to pull image", "; name an image that is there with --node-image"},
		{"No such image", "; name an image that is there with --node-image"},
		{"cannot exec in a stopped", inotify},
		{"could not find a log line", inotify},
		{"already allocated", "; a port is taken: end what listens there"},
		{"Cannot connect to the Doc", "; start Docker"},
		{"permission denied", "; give yourself rights to the container runtime, or run it rootless"},
	} {
		if strings.Contains(text, known.symptom) || strings.Contains(err.Error(), known.symptom) {
			hint = known.remedy
			break
		}
	}
	if text == "" {
		return fmt.Errorf("%s: %w%s", doing, err, hint)
	}
	return fmt.Errorf("%s: %w%s\n%s", doing, err, hint, text)
}
