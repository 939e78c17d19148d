//go:build e2e

package sandbox

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
)

func nodeImage() string {
	return cmp.Or(os.Getenv("MICROSIM_NODE_IMAGE"), "kindest/node:v1.34.4")
}

func newManager(t *testing.T) *Manager {
	t.Helper()
	m, err := New(t.TempDir(), func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// half makes the containers of a cluster, as an interrupted creation leaves
// them.
func half(t *testing.T, m *Manager, name string) {
	t.Helper()
	file := t.TempDir() + "/kubeconfig"
	err := m.provider.Create(name, cluster.CreateWithNodeImage(nodeImage()), cluster.CreateWithKubeconfigPath(file), cluster.CreateWithStopBeforeSettingUpKubernetes(true))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.provider.Delete(name, file); err != nil {
			t.Error(err)
		}
	})
}

func TestSandboxLeavesClustersOfOthersAlone(t *testing.T) {
	const name = "microsim-foreign"
	m := newManager(t)
	half(t, m, name)
	var foreign *ForeignError
	if err := m.Delete(name); !errors.As(err, &foreign) {
		t.Errorf("Delete: %v", err)
	}
	if _, err := m.Create(t.Context(), name, Options{NodeImage: nodeImage()}); !errors.As(err, &foreign) {
		t.Errorf("Create: %v", err)
	}
	if s, err := m.Ensure(t.Context(), name, Options{NodeImage: nodeImage()}); err != nil || !s.Foreign {
		t.Errorf("Ensure: %+v, %v", s, err)
	}
	if all, err := m.List(); err != nil || !slices.ContainsFunc(all, func(s Sandbox) bool { return s.Name == name && s.Foreign && !s.Created.IsZero() }) {
		t.Errorf("List: %+v, %v", all, err)
	}
	if m.Serves(name, "https://127.0.0.1:1") {
		t.Error("it is said to serve where it does not")
	}
	if nodes, err := m.provider.ListNodes(name); err != nil || len(nodes) != 1 {
		t.Errorf("the cluster has %d nodes, %v; want the one it had", len(nodes), err)
	}
}

func TestSandboxReplacesAnInterruptedCreation(t *testing.T) {
	const name = "microsim-half"
	m := newManager(t)
	half(t, m, name)
	if err := m.records.write(record{Name: name, Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s, err := m.Ensure(t.Context(), name, Options{NodeImage: nodeImage()})
	if err != nil {
		t.Fatal(err)
	}
	if !s.Ready {
		t.Errorf("the sandbox is %+v", s)
	}
	// Our mark is enough where the record is lost.
	other := newManager(t)
	all, err := other.List()
	if err != nil || !slices.ContainsFunc(all, func(s Sandbox) bool { return s.Name == name && s.Ready }) {
		t.Errorf("without its record, the sandbox is not listed: %+v, %v", all, err)
	}
	if err := other.Delete(name); err != nil {
		t.Error(err)
	}
	var missing *NotFoundError
	if err := m.Delete(name); !errors.As(err, &missing) {
		t.Errorf("deleting it again: %v", err)
	}
}

func TestSandboxInterruptedLeavesNothing(t *testing.T) {
	const name = "microsim-cut"
	m := newManager(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := m.Create(ctx, name, Options{NodeImage: nodeImage()}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Create: %v", err)
	}
	if nodes, err := m.provider.ListNodes(name); err != nil || len(nodes) != 0 {
		t.Errorf("%d nodes are left, %v", len(nodes), err)
	}
	if rec, err := m.records.read(name); rec != nil || err != nil {
		t.Errorf("the record is left: %+v, %v", rec, err)
	}
}
