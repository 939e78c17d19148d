package nodeagent

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/netfault/netns"
)

func TestCgroupDirs(t *testing.T) {
	const uid = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
	of := netns.Process{Pod: netns.PlainUID(uid), Container: "c1"}
	cgroupfs := "/kubepods/burstable/pod" + uid + "/c1"
	systemd := "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-c1.scope"
	for _, tt := range []struct {
		Name, text string
		files      []string // of the mounted file systems
		want       []string
		fails      bool
	}{
		{"version 2", "0::" + systemd + "\n", []string{"cgroup.controllers", systemd + "/cgroup.procs"}, []string{systemd}, false},
		{"version 2, below", "0::" + systemd + "/inner/c1", []string{"cgroup.controllers", systemd + "/inner/c1/cgroup.procs"}, []string{systemd + "/inner/c1"}, false},
		{"version 2, relative", "0::/../../" + filepath.Base(filepath.Dir(systemd)) + "/" + filepath.Base(systemd), []string{"cgroup.controllers", systemd + "/cgroup.procs"}, []string{systemd}, false},
		{"version 1", "9:name=systemd:" + cgroupfs + "\n5:devices:" + cgroupfs + "\n4:memory:" + cgroupfs + "\n3:cpu,cpuacct:" + cgroupfs + "\n0::/",
			[]string{"memory" + cgroupfs + "/cgroup.procs", "cpu,cpuacct" + cgroupfs + "/cgroup.procs", "systemd" + cgroupfs + "/cgroup.procs", "devices" + cgroupfs + "/cgroup.procs"},
			[]string{"/memory" + cgroupfs, "/cpu,cpuacct" + cgroupfs}, false},
		{"version 1, each its own", "2:cpuacct:" + cgroupfs + "\n1:cpu:" + cgroupfs,
			[]string{"cpu" + cgroupfs + "/cgroup.procs", "cpuacct" + cgroupfs + "/cgroup.procs"}, []string{"/cpuacct" + cgroupfs, "/cpu" + cgroupfs}, false},
		{"mounted from further in", "4:memory:/docker/abc" + cgroupfs, []string{"memory/kubelet" + cgroupfs + "/cgroup.procs"}, []string{"/memory/kubelet" + cgroupfs}, false},
		{"no pod", "0::/user.slice", []string{"cgroup.controllers", "cgroup.procs"}, nil, true},
		{"another pod", "0::/kubepods/podffffffff-5f60-7182-93a4-b5c6d7e8f901/c1", []string{"cgroup.controllers", "cgroup.procs"}, nil, true},
		{"not mounted", "0::" + systemd, []string{"cgroup.controllers"}, nil, true},
		{"nothing mounted", "0::" + systemd, nil, nil, true},
	} {
		t.Run(tt.Name, func(t *testing.T) {
			root := t.TempDir()
			for _, f := range tt.files {
				path := filepath.Join(root, f)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			dirs, err := cgroupDirs(root, tt.text, of)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v", err)
			}
			var want []string
			for _, w := range tt.want {
				want = append(want, filepath.Join(root, w))
			}
			if !slices.Equal(dirs, want) {
				t.Errorf("%q, want %q", dirs, want)
			}
		})
	}
}

func TestTableIsReadOnceForAll(t *testing.T) {
	reads := 0
	table := processTable{read: func() ([]netns.Process, error) { reads++; return []netns.Process{{PID: reads}}, nil }}
	first, _ := table.since(table.begun)
	again, _ := table.since(table.begun)
	later, _ := table.since(table.begun.Add(1))
	if first[0].PID != 1 || again[0].PID != 1 || later[0].PID != 2 {
		t.Errorf("%v %v %v", first, again, later)
	}
}
