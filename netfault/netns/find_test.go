package netns

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	uid        = "1b2c3d4e-5f60-7182-93a4-b5c6d7e8f901"
	underscore = "1b2c3d4e_5f60_7182_93a4_b5c6d7e8f901"
	otherUID   = "ffffffff-5f60-7182-93a4-b5c6d7e8f901"
	id         = "4c5ad9d1f1b2b7a0e0a8f5d0c4a1b0f6c3d2e1f0a9b8c7d6e5f4a3b2c1d0e9f8"
	hostInode  = 4026531840
)

func TestCgroupOfPod(t *testing.T) {
	for _, tt := range []struct {
		name, cgroup string
		want         bool
	}{
		{"v2 systemd containerd", "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscore + ".slice/cri-containerd-" + id + ".scope", true},
		{"v2 systemd containerd guaranteed", "0::/kubepods.slice/kubepods-pod" + underscore + ".slice/cri-containerd-" + id + ".scope", true},
		{"v2 systemd cri-o", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + underscore + ".slice/crio-" + id + ".scope", true},
		{"v2 systemd cri-o inner", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + underscore + ".slice/crio-" + id + ".scope/container", true},
		{"v2 systemd cri-o helper", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + underscore + ".slice/crio-conmon-" + id + ".scope", false},
		{"v2 systemd docker", "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + underscore + ".slice/docker-" + id + ".scope", true},
		{"v2 cgroupfs", "0::/kubepods/burstable/pod" + uid + "/" + id, true},
		{"v2 cgroupfs guaranteed", "0::/kubepods/pod" + uid + "/" + id, true},
		{"v2 relative", "0::/../../kubepods-burstable-pod" + underscore + ".slice/cri-containerd-" + id + ".scope", true},
		{"kind systemd", "0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + underscore + ".slice/cri-containerd-" + id + ".scope", true},
		{"kind cgroupfs", "0::/kubelet/kubepods/besteffort/pod" + uid + "/" + id, true},
		{"kind from outside", "0::/docker/" + id + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + underscore + ".slice/cri-containerd-" + id + ".scope", true},
		{"v1 systemd", "12:memory:/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + underscore + ".slice/cri-containerd-" + id + ".scope\n1:name=systemd:/x\n", true},
		{"v1 cgroupfs", "11:pids:/kubepods/besteffort/pod" + uid + "/" + id + "\n4:cpu,cpuacct:/kubepods/besteffort/pod" + uid + "/" + id, true},
		{"another pod", "0::/kubepods/burstable/pod" + otherUID + "/" + id, false},
		{"a longer UID", "0::/kubepods/burstable/pod" + uid + "0/" + id, false},
		{"no pod", "0::/user.slice/user-0.slice/session-1.scope", false},
		{"a container's name that has it", "0::/docker/x" + uid, false},
		{"empty", "", false},
		{"rubbish", "0:/kubepods", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, asked := range []string{uid, underscore, strings.ToUpper(uid)} {
				if got := cgroupOfPod(tt.cgroup, asked); got != tt.want {
					t.Errorf("cgroupOfPod(%q, %q) = %v", tt.cgroup, asked, got)
				}
			}
			if cgroupOfPod(tt.cgroup, "") {
				t.Error("no UID at all matches")
			}
		})
	}
}

// process is one directory of a made-up /proc.
type process struct {
	pid          int
	comm, cgroup string
	inode        int // 0: gone while we look
}

func fakeProc(t *testing.T, processes ...process) Finder {
	t.Helper()
	f := Finder{Proc: t.TempDir(), Runs: []string{t.TempDir(), t.TempDir()}}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(filepath.Join(f.Proc, "net"), 0o755)) // not every entry is a process
	for _, p := range append(processes, process{1, "systemd", "0::/init.scope", hostInode}) {
		dir := filepath.Join(f.Proc, strconv.Itoa(p.pid))
		check(os.MkdirAll(filepath.Join(dir, "ns"), 0o755))
		check(os.WriteFile(filepath.Join(dir, "comm"), []byte(p.comm+"\n"), 0o644))
		check(os.WriteFile(filepath.Join(dir, "cgroup"), []byte(p.cgroup+"\n"), 0o644))
		if p.inode != 0 {
			check(os.Symlink(fmt.Sprintf("net:[%d]", p.inode), filepath.Join(dir, "ns", "net")))
		}
	}
	return f
}

func TestFindPod(t *testing.T) {
	pod := "0::/kubepods/burstable/pod" + uid + "/"
	other := "0::/kubepods/burstable/pod" + otherUID + "/"
	for _, tt := range []struct {
		name      string
		processes []process
		want      int
		wantErr   string
	}{
		{"the sandbox before others", []process{{20, "app", pod + "a", 7}, {30, "pause", pod + "b", 7}, {25, "pause", other + "c", 8}}, 30, ""},
		{"without a sandbox the first", []process{{40, "app", pod + "a", 7}, {9, "app", pod + "b", 7}, {100, "app", pod + "b", 7}}, 9, ""},
		{"a process that is gone", []process{{9, "app", pod + "a", 0}, {40, "app", pod + "b", 7}}, 40, ""},
		{"a process of the pod in the host's network", []process{{9, "app", pod + "a", hostInode}, {40, "app", pod + "b", 7}}, 40, ""},
		{"hostNetwork", []process{{9, "pause", pod + "a", hostInode}}, 0, "hostNetwork"},
		{"nobody", []process{{9, "app", other + "a", 7}}, 0, "hostPID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fakeProc(t, tt.processes...)
			place, err := f.Find(Target{PodUID: uid})
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Errorf("error %v does not say %q", err, tt.wantErr)
				}
				return
			}
			if err != nil || place.PID != tt.want || place.Path != filepath.Join(f.Proc, strconv.Itoa(tt.want), "ns", "net") {
				t.Errorf("found %+v, %v; want process %d", place, err, tt.want)
			}
		})
	}
	f := fakeProc(t, process{9, "pause", pod + "a", hostInode})
	if _, err := f.Find(Target{PodUID: uid}); !errors.Is(err, ErrHost) {
		t.Errorf("hostNetwork gives %v, want ErrHost", err)
	}
}

func TestFindOthers(t *testing.T) {
	f := fakeProc(t, process{9, "app", "", 7})
	second := filepath.Join(f.Runs[1], "blue")
	if err := os.WriteFile(second, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target  Target
		want    string
		wantErr string
	}{
		{ParseName("blue"), second, ""},
		{ParseName("/run/x"), "/run/x", ""},
		{Target{PID: 9}, filepath.Join(f.Proc, "9", "ns", "net"), ""},
		{ParseName("red"), "", "ip netns list"},
		{Target{PID: 10}, "", "process 10"},
		{Target{}, "", "in 0 ways"},
		{Target{PID: 9, Name: "blue"}, "", "in 2 ways"},
		{Target{PID: -1}, "", "positive"},
		{Target{Name: ".."}, "", "invalid name"},
		{Target{PodUID: "../.."}, "", "hexadecimal"},
	} {
		place, err := f.Find(tt.target)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%s: error %v does not say %q", tt.target, err, tt.wantErr)
			}
		} else if err != nil || place.Path != tt.want {
			t.Errorf("%s: found %+v, %v; want %q", tt.target, place, err, tt.want)
		}
	}
}

func FuzzCgroupOfPod(f *testing.F) {
	f.Add("0::/kubepods/pod"+uid+"/"+id, uid)
	f.Fuzz(func(t *testing.T, text, uid string) {
		if cgroupOfPod(text, uid) && !strings.Contains(plainUID(text), plainUID(uid)) {
			t.Errorf("%q is taken for a cgroup of pod %q", text, uid)
		}
	})
}

func TestProcesses(t *testing.T) {
	pod := "0::/kubepods/burstable/pod" + uid + "/"
	scope := "0::/../kubepods-besteffort-pod" + strings.ReplaceAll(otherUID, "-", "_") + ".slice/"
	f := fakeProc(t, process{9, "app", pod + "a", 7}, process{30, "pause", pod + "b", 7}, process{40, "app", scope + "cri-containerd-" + id + ".scope/inner", 8},
		process{50, "conmon", scope + "crio-conmon-" + id + ".scope", 8}, process{60, "app", pod[:len(pod)-1], 8}, process{70, "app", "0::/user.slice", 8})
	got, err := f.Processes()
	if err != nil {
		t.Fatal(err)
	}
	want := []Process{
		{30, PlainUID(uid), "b", true}, {9, PlainUID(uid), "a", false}, {40, PlainUID(otherUID), "cri-containerd-" + id + ".scope", false},
	}
	if !slices.Equal(got, want) {
		t.Errorf("found %+v\nwant  %+v", got, want)
	}
	if !f.Has(want[1]) || f.Has(Process{9, PlainUID(uid), "b", false}) || f.Has(Process{10, PlainUID(uid), "a", false}) {
		t.Error("a process is taken for another one")
	}
}
