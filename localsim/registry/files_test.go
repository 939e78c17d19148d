//go:build unix

package registry

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestNoLinkIsFollowed(t *testing.T) {
	for _, name := range []string{lockFile, "shop", "shop/" + recordFile, "shop/." + recordFile, "shop/" + childrenFile} {
		t.Run(name, func(t *testing.T) {
			r := open(t)
			foreign := filepath.Join(t.TempDir(), "foreign")
			if err := os.WriteFile(foreign, []byte("of somebody else\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			var e *Entry
			if strings.Contains(name, "/") {
				var err error
				if e, err = r.Create("shop"); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(r.dir, name)
			if err := os.RemoveAll(path); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(foreign, path); err != nil {
				t.Fatal(err)
			}
			if e == nil {
				if _, err := r.Create("shop"); err == nil {
					t.Error("the link is followed")
				}
			} else {
				s, err := r.Find("shop")
				if err != nil || name == "shop/"+recordFile && s.Damage == nil || len(s.Children) > 0 {
					t.Errorf("Find says %+v, %v", s, err)
				}
				self, _ := Self()
				if err := e.AddChild(Child{Process: self}); (err == nil) == strings.HasSuffix(name, childrenFile) {
					t.Errorf("AddChild says %v", err)
				}
				if err := e.Publish("http://127.0.0.1:1", "t"); err != nil {
					t.Error(err) // a link is replaced, as any old file
				}
			}
			if text, err := os.ReadFile(foreign); err != nil || string(text) != "of somebody else\n" {
				t.Errorf("the file of somebody else is now %q, %v", text, err)
			}
		})
	}
}

func TestWhatKilledProgramsLeftIsRemoved(t *testing.T) {
	t.Run("by the next system", func(t *testing.T) {
		removesLeftovers(t, func(r *Registry) error { _, err := r.Create("other"); return err }, ".lock other")
	})
	t.Run("by a sweep", func(t *testing.T) {
		removesLeftovers(t, func(r *Registry) error { return r.Sweep() }, ".lock")
	})
}

func removesLeftovers(t *testing.T, do func(*Registry) error, want string) {
	t.Helper()
	r := open(t)
	outside := filepath.Join(t.TempDir(), "kept")
	for _, dir := range []string{filepath.Join(r.dir, ".new-1"), filepath.Join(r.dir, ".old-2", "shop"), outside} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(r.dir, ".old-3")); err != nil {
		t.Fatal(err)
	}
	if err := do(r); err != nil {
		t.Fatal(err)
	}
	var left []string
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if strings.Join(left, " ") != want {
		t.Errorf("left are %q", left)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what a link led to was removed: %v", err)
	}
}

func TestTheListOfChildrenIsBounded(t *testing.T) {
	r := open(t)
	e, err := r.Create("shop")
	if err != nil {
		t.Fatal(err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddChild(Child{Process: self, Replica: "runs/1"}); err != nil {
		t.Fatal(err)
	}
	ended := self
	ended.Start = "long ago"
	for range 10 * childrenSlack {
		if err := e.AddChild(Child{Process: ended, Replica: "ended/1"}); err != nil {
			t.Fatal(err)
		}
	}
	s, err := r.Find("shop")
	if err != nil || len(s.Children) > 2*childrenSlack || len(s.Leftover()) != 1 {
		t.Errorf("%d children are listed, %d of which run, %v", len(s.Children), len(s.Leftover()), err)
	}
}
