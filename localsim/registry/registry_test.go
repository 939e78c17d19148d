package registry

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func open(t *testing.T) *Registry {
	t.Helper()
	r, err := Open(filepath.Join(t.TempDir(), "deep", "state"))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestDefaultDir(t *testing.T) {
	home, err := os.UserHomeDir()
	if err != nil {
		t.Skip(err)
	}
	for _, test := range []struct {
		env  map[string]string
		want string
	}{
		{nil, filepath.Join(home, ".local", "state", "microsim")},
		{map[string]string{"XDG_STATE_HOME": "relative"}, filepath.Join(home, ".local", "state", "microsim")},
		{map[string]string{"XDG_STATE_HOME": filepath.Join(home, "xdg")}, filepath.Join(home, "xdg", "microsim")},
		{map[string]string{"XDG_STATE_HOME": filepath.Join(home, "xdg"), DirVariable: filepath.Join(home, "own")}, filepath.Join(home, "own")},
	} {
		got, err := DefaultDir(func(name string) string { return test.env[name] })
		if err != nil || got != test.want {
			t.Errorf("with %v it is %q, %v; want %q", test.env, got, err, test.want)
		}
	}
}

func TestAnEntryFromCreateToRemove(t *testing.T) {
	r := open(t)
	e, err := r.Create("shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Publish("http://127.0.0.1:1", "secret"); err != nil {
		t.Fatal(err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddChild(Child{Process: self, Replica: "cart/1"}); err != nil {
		t.Fatal(err)
	}
	s, err := r.Find("shop")
	if err != nil || s.ControlURL != "http://127.0.0.1:1" || s.Token != "secret" || !s.Alive || s.Holder != self || len(s.Leftover()) != 1 {
		t.Errorf("found is %+v, %v", s, err)
	}
	var exists *ExistsError
	if _, err := r.Create("shop"); !errors.As(err, &exists) || !exists.System.Alive {
		t.Errorf("a second Create says %v", err)
	}
	for range 2 {
		if err := e.Remove(); err != nil {
			t.Fatal(err)
		}
	}
	var missing *NotFoundError
	if _, err := r.Find("shop"); !errors.As(err, &missing) {
		t.Errorf("after Remove, Find says %v", err)
	}
	if list, err := r.List(); err != nil || len(list) != 0 {
		t.Errorf("after Remove, List says %v, %v", list, err)
	}
}

func TestOnlyOneOfManyCreates(t *testing.T) {
	r := open(t)
	for round := range 10 {
		// A stale entry is in the way at first.
		stale := &Entry{registry: r, record: Record{Name: "shop", Holder: Process{PID: 1 << 22, Start: "x"}}}
		if err := stale.create(); err != nil {
			t.Fatal(err)
		}
		var won atomic.Int32
		var wait sync.WaitGroup
		for range 8 {
			wait.Go(func() {
				_, err := r.Create("shop")
				var exists *ExistsError
				if err == nil {
					won.Add(1)
				} else if !errors.As(err, &exists) {
					t.Errorf("Create says %v", err)
				}
			})
		}
		wait.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of 8 have created it", round, won.Load())
		}
		s, err := r.Find("shop")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Remove(s); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemoveLeavesTheEntryOfAnotherHolder(t *testing.T) {
	r := open(t)
	if _, err := r.Create("shop"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(System{Record: Record{Name: "shop", Holder: Process{PID: 1, Start: "x"}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Find("shop"); err != nil {
		t.Errorf("it is gone: %v", err)
	}
}

func TestDamagedEntries(t *testing.T) {
	r := open(t)
	e, err := r.Create("shop")
	if err != nil {
		t.Fatal(err)
	}
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if err := e.AddChild(Child{Process: self}); err != nil {
		t.Fatal(err)
	}
	dir := r.path("shop")
	f, err := os.OpenFile(filepath.Join(dir, childrenFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"pid":12,"sta`); err != nil {
		t.Fatal(err)
	}
	f.Close()
	// Half a line, as a full disk leaves one, is no part of the next.
	if err := e.AddChild(Child{Process: self, Replica: "web/2"}); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "no JSON", `{"name":"other"}`} {
		if err := os.WriteFile(filepath.Join(dir, recordFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := r.Find("shop")
		if err != nil || s.Damage == nil || s.Alive || len(s.Children) != 2 {
			t.Errorf("with record %q found is %+v, %v; want it damaged, with both children", text, s, err)
		}
	}
	s, err := r.Find("shop")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(s); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Create("shop"); err != nil {
		t.Errorf("after the damaged entry was removed, Create says %v", err)
	}
}

func TestNamesDoNotLeadOut(t *testing.T) {
	r := open(t)
	for _, name := range []string{"", "..", "../shop", "a/b", ".lock", "-x", "A", "a b", string(make([]byte, 64))} {
		if _, err := r.Create(name); err == nil {
			t.Errorf("Create(%q) is accepted", name)
		}
		if _, err := r.Find(name); err == nil {
			t.Errorf("Find(%q) is accepted", name)
		}
		if err := r.Remove(System{Record: Record{Name: name}}); err == nil {
			t.Errorf("Remove(%q) is accepted", name)
		}
	}
}

func TestProcessesAreToldApart(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Identify(os.Getpid()); err != nil || again != self {
		t.Errorf("this process is %v and then %v, %v", self, again, err)
	}
	other := Process{PID: self.PID, Start: self.Start + "0"}
	if !self.Alive() || other.Alive() || (Process{}).Alive() {
		t.Error("a process is taken for another")
	}
	if err := other.Kill(); err != nil {
		t.Errorf("Kill of a process that is gone says %v", err)
	}
}

func TestAProcessThatNobodyWaitedForIsDead(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	p, err := Identify(cmd.Process.Pid)
	if err != nil {
		t.Skip("it ended at once")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for p.Alive() {
	}
}
