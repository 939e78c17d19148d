package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNames(t *testing.T) {
	for name, good := range map[string]bool{
		"microsim": true, "microsim-2": true, "microsim-a-b": true,
		"kind": false, "": false, "microsim-": false, "microsims": false, "microsim-A": false, "microsim-" + strings.Repeat("a", 60): false, "x-microsim": false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestNodesAreMarkedAsOurs(t *testing.T) {
	c := config(Options{Workers: 2})
	if len(c.Nodes) != 3 {
		t.Fatalf("%d nodes, want a control plane and 2 workers", len(c.Nodes))
	}
	for _, n := range c.Nodes {
		if n.Labels[nodeLabel] == "" {
			t.Errorf("a node of role %s has no mark", n.Role)
		}
	}
}

func TestRecords(t *testing.T) {
	r := records{filepath.Join(t.TempDir(), "sandboxes")}
	if rec, err := r.read("microsim"); rec != nil || err != nil {
		t.Errorf("with nothing written there is %+v, %v", rec, err)
	}
	done, err := r.begin("microsim")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.begin("microsim"); err == nil || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a second creation at the same time: %v", err)
	}
	made := time.Now().UTC().Truncate(time.Second)
	if err := r.write(record{Name: "microsim", Created: made}); err != nil {
		t.Fatal(err)
	}
	if err := r.markReady("microsim"); err != nil {
		t.Fatal(err)
	}
	if rec, err := r.read("microsim"); err != nil || rec == nil || !rec.Ready || !rec.Created.Equal(made) {
		t.Errorf("read %+v, %v", rec, err)
	}
	done()
	again, err := r.begin("microsim")
	if err != nil {
		t.Fatal(err)
	}
	again()
	for range 2 {
		if err := r.remove("microsim"); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(r.file("microsim")); !os.IsNotExist(err) {
		t.Errorf("the record is still there: %v", err)
	}
}
