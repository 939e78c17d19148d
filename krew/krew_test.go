package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/yaml"

	"github.com/microsim-dev/kubectl-microsim/cluster/image"
)

// A krewPlugin is what krew reads of a manifest.
type krewPlugin struct {
	APIVersion, Kind string
	Metadata         struct{ Name string }
	Spec             struct {
		Version, Homepage, ShortDescription, Description, Caveats string

		Platforms []krewPlatform
	}
}

type krewPlatform struct {
	Selector struct{ MatchLabels map[string]string }
	URI      string
	Sha256   string
	Files    []struct{ From, To string }
	Bin      string
}

// standIn builds programs of this platform, and writes words in place of others.
func standIn(ctx context.Context, r *release, command string, p platform, to string) error {
	if p.os == runtime.GOOS && p.arch == runtime.GOARCH {
		return goBuild(ctx, r, command, p, to)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.WriteFile(to, fmt.Appendf(nil, "%s of %s for %s/%s", command, r.version, p.os, p.arch), 0o600)
}

func newRelease(t *testing.T) *release {
	t.Helper()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	r := &release{
		root: "..", out: filepath.Join(t.TempDir(), "dist"), version: "v1.2.3", build: standIn, level: flate.BestSpeed, tell: func(line string) { t.Log(line) },
		images: strings.TrimPrefix(server.URL, "http://") + "/microsim",
	}
	if err := r.make(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func readManifest(t *testing.T, r *release) *krewPlugin {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(r.out, "microsim.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var p krewPlugin
	if err := yaml.UnmarshalStrict(text, &p); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return &p
}

// TestKrewTakesTheManifest applies the rules by which krew and its index judge a
// manifest.
func TestKrewTakesTheManifest(t *testing.T) {
	r := newRelease(t)
	p := readManifest(t, r)
	t.Run("installed", func(t *testing.T) { installed(t, r, p) })
	t.Run("images", func(t *testing.T) { imagesNamed(t, r) })
	for _, problem := range judge(p) {
		t.Error(problem)
	}
	for _, want := range platforms() {
		var matching []*krewPlatform
		for i := range p.Spec.Platforms {
			if p.Spec.Platforms[i].matches(want) {
				matching = append(matching, &p.Spec.Platforms[i])
			}
		}
		if len(matching) != 1 {
			t.Errorf("%v is matched by %d entries of the manifest", want, len(matching))
			continue
		}
		for _, problem := range judgeArchive(r, matching[0], want) {
			t.Errorf("%v: %v", want, problem)
		}
	}
	if len(p.Spec.Platforms) != len(platforms()) {
		t.Errorf("the manifest has %d platforms", len(p.Spec.Platforms))
	}
}

func (e *krewPlatform) matches(p platform) bool {
	labels := map[string]string{"os": p.os, "arch": p.arch}
	for key, value := range e.Selector.MatchLabels {
		if labels[key] != value {
			return false
		}
	}
	return true
}

// judge applies the rules for what does not depend on the archives.
func judge(p *krewPlugin) []error {
	var problems []error
	demand := func(holds bool, format string, args ...any) {
		if !holds {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	demand(p.APIVersion == "krew.googlecontainertools.github.com/v1alpha2" && p.Kind == "Plugin", "it is a %s %s", p.APIVersion, p.Kind)
	demand(p.Metadata.Name == "microsim" && regexp.MustCompile(`^[\w-]+$`).MatchString(p.Metadata.Name), "the name is %q", p.Metadata.Name)
	demand(versionPattern.MatchString(p.Spec.Version), "the version is %q", p.Spec.Version)
	demand(p.Spec.ShortDescription != "" && len(p.Spec.ShortDescription) <= 50 && !strings.ContainsAny(p.Spec.ShortDescription, "\n.\r"), "the short description is %q", p.Spec.ShortDescription)
	demand(p.Spec.Description != "" && !strings.Contains(p.Spec.Description, "--"), "the description is missing or explains flags: %q", p.Spec.Description)
	demand(path.Base(p.Spec.Homepage) == "kubectl-microsim", "the homepage is %q", p.Spec.Homepage)
	for i := range p.Spec.Platforms {
		e := &p.Spec.Platforms[i]
		for key := range e.Selector.MatchLabels {
			demand(key == "os" || key == "arch", "krew selects by os and arch alone, not by %q", key)
		}
		demand(strings.HasPrefix(e.URI, "https://") && (strings.HasSuffix(e.URI, ".tar.gz") || strings.HasSuffix(e.URI, ".zip")), "the uri is %q", e.URI)
		demand(strings.Contains(e.URI, "/"+p.Spec.Version+"/"), "the uri %q is that of another version", e.URI)
		demand(regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(e.Sha256), "the checksum is %q", e.Sha256)
		demand(e.Bin != "" && !path.IsAbs(e.Bin) && !strings.Contains(e.Bin, ".."), "the program is %q", e.Bin)
		demand(len(e.Files) > 0, "the list of files is empty")
		windows := e.Selector.MatchLabels["os"] == "windows"
		demand(strings.HasSuffix(e.Bin, ".exe") == windows && strings.HasSuffix(e.URI, ".zip") == windows, "the program %q of %q is not one of its platform", e.Bin, e.URI)
	}
	return problems
}

// judgeArchive looks into the archive of a platform.
func judgeArchive(r *release, e *krewPlatform, p platform) []error {
	content, err := os.ReadFile(filepath.Join(r.out, path.Base(e.URI)))
	if err != nil {
		return []error{err}
	}
	if sum := sha256.Sum256(content); hex.EncodeToString(sum[:]) != e.Sha256 {
		return []error{fmt.Errorf("the checksum of %s is another", e.URI)}
	}
	members, err := unpack(e.URI, content)
	if err != nil {
		return []error{err}
	}
	installed := map[string]bool{}
	var problems []error
	for _, f := range e.Files {
		if members[f.From] == nil {
			problems = append(problems, fmt.Errorf("there is no %q in the archive", f.From))
		}
		installed[path.Join(f.To, path.Base(f.From))] = true
	}
	for _, want := range []string{"LICENSE", image.PublishedFile, e.Bin, "microsim-agent-linux-amd64", "microsim-agent-linux-arm64", "microsim-store-linux-amd64", "microsim-store-linux-arm64"} {
		if !installed[want] {
			problems = append(problems, fmt.Errorf("%q is not installed", want))
		}
	}
	if want := fmt.Sprintf("for %s/%s", p.os, p.arch); (p.os != runtime.GOOS || p.arch != runtime.GOARCH) && !bytes.HasSuffix(members[e.Bin], []byte(want)) {
		problems = append(problems, fmt.Errorf("the program is not %s: %s", want, members[e.Bin]))
	}
	return problems
}

// unpack returns the files of an archive as krew reads them.
func unpack(uri string, content []byte) (map[string][]byte, error) {
	files := map[string][]byte{}
	if strings.HasSuffix(uri, ".zip") {
		z, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return nil, err
		}
		for _, f := range z.File {
			r, err := f.Open()
			if err != nil {
				return nil, err
			}
			if files[f.Name], err = io.ReadAll(r); err != nil {
				return nil, err
			}
		}
		return files, nil
	}
	g, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	for t := tar.NewReader(g); ; {
		header, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if files[header.Name], err = io.ReadAll(t); err != nil {
			return nil, err
		}
		if want := int64(0o755); header.Name != "LICENSE" && header.Name != image.PublishedFile && header.Mode != want {
			return nil, fmt.Errorf("%s has mode %o in place of %o", header.Name, header.Mode, want)
		}
	}
}

// installed installs the archive of this platform as krew does, and calls the
// plugin by the link that krew puts on the PATH.
func installed(t *testing.T, r *release, p *krewPlugin) {
	here := platform{runtime.GOOS, runtime.GOARCH}
	if !slices.Contains(platforms(), here) {
		t.Skipf("there is no archive for %v", here)
	}
	i := slices.IndexFunc(p.Spec.Platforms, func(e krewPlatform) bool { return e.matches(here) })
	link := install(t, r, p, &p.Spec.Platforms[i])
	out, err := exec.Command(link, "--help").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "kubectl microsim up") {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.Command(link, "version").CombinedOutput(); err != nil || !strings.Contains(string(out), r.version) {
		t.Errorf("the version is %v\n%s", err, out)
	}
	// Without a word about images, pods get those of the release.
	plan := exec.Command(link, "up", "simple", "--dry-run=client", "-o", "yaml")
	plan.Env = append(os.Environ(), "KUBECONFIG=/dev/null")
	if out, err := plan.CombinedOutput(); err != nil || !strings.Contains(string(out), "image: "+r.images+"@sha256:") {
		t.Errorf("a plan for a cluster names no published image: %v\n%s", err, out)
	}
	if here.os != "linux" {
		return
	}
	agent, err := image.Find(link, here.arch)
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(agent.Path) != "microsim-agent-linux-"+here.arch {
		t.Errorf("by the link, the agent found is %s", agent.Path)
	}
}

// imagesNamed reads the images from the registry that an archive names, and compares them
// with the programs of the archives.
func imagesNamed(t *testing.T, r *release) {
	published := &image.Published{}
	if err := json.Unmarshal(membersOf(t, r, platform{"darwin", "arm64"})[image.PublishedFile], published); err != nil {
		t.Fatal(err)
	}
	if published.Version != r.version {
		t.Errorf("they are of version %q", published.Version)
	}
	for reference, program := range map[string]string{published.Agent: "microsim-agent", published.Store: "microsim-store", published.Runner: "kubectl-microsim"} {
		digest, err := name.NewDigest(reference)
		if err != nil {
			t.Errorf("%s has the image %q: %v", program, reference, err)
			continue
		}
		for _, p := range agentPlatforms() {
			img, err := remote.Image(digest, remote.WithPlatform(v1.Platform{OS: p.os, Architecture: p.arch}))
			if err != nil {
				t.Fatal(err)
			}
			files := tar.NewReader(mutate.Extract(img))
			header, err := files.Next()
			if err != nil {
				t.Fatal(err)
			}
			content, err := io.ReadAll(files)
			if err != nil {
				t.Fatal(err)
			}
			members := membersOf(t, r, p)
			want := members[program+"-linux-"+p.arch]
			if program == "kubectl-microsim" {
				want = members[program]
			}
			if header.Name != program || !bytes.Equal(content, want) {
				t.Errorf("the image of %s for %v has the program %s of %d bytes, and the archive one of %d", program, p, header.Name, len(content), len(want))
			}
		}
	}
}

// membersOf are the files of the archive of a platform.
func membersOf(t *testing.T, r *release, p platform) map[string][]byte {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.out, p.archive()))
	if err != nil {
		t.Fatal(err)
	}
	members, err := unpack(p.archive(), content)
	if err != nil {
		t.Fatal(err)
	}
	return members
}

// install unpacks an archive into krew's store, and returns the link to the
// program.
func install(t *testing.T, r *release, p *krewPlugin, e *krewPlatform) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(r.out, path.Base(e.URI)))
	if err != nil {
		t.Fatal(err)
	}
	members, err := unpack(e.URI, content)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	store, bin := filepath.Join(root, "store", p.Metadata.Name, p.Spec.Version), filepath.Join(root, "bin")
	err = cmp.Or(os.MkdirAll(store, 0o755), os.MkdirAll(bin, 0o755))
	for _, f := range e.Files {
		to := filepath.Join(store, f.To)
		err = cmp.Or(err, os.MkdirAll(to, 0o755), os.WriteFile(filepath.Join(to, path.Base(f.From)), members[f.From], 0o700))
	}
	link := filepath.Join(bin, "kubectl-"+strings.ReplaceAll(p.Metadata.Name, "-", "_")+filepath.Ext(e.Bin))
	if err := cmp.Or(err, os.Symlink(filepath.Join(store, e.Bin), link)); err != nil {
		t.Fatal(err)
	}
	return link
}

// TestReleaseIsReproducible: the same sources give the same programs, and the same
// programs the same archives.
func TestReleaseIsReproducible(t *testing.T) {
	make := func() (sums, program string) {
		dir := t.TempDir()
		r := &release{root: "..", out: filepath.Join(dir, "dist"), version: "v1.2.3", level: flate.BestSpeed, tell: func(string) {}}
		r.build = func(ctx context.Context, r *release, command string, p platform, to string) error {
			return standIn(ctx, r, command, platform{p.os, p.arch + " of another kind"}, to)
		}
		agent := filepath.Join(dir, "agent")
		if err := cmp.Or(r.make(t.Context()), goBuild(t.Context(), r, "./cmd/microsim-agent", agentPlatforms()[0], agent)); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(agent)
		text, err2 := os.ReadFile(filepath.Join(r.out, "sha256sums.txt"))
		if err := cmp.Or(err, err2); err != nil {
			t.Fatal(err)
		}
		return string(text), fmt.Sprintf("%x", sha256.Sum256(content))
	}
	sums, program := make()
	if again, programAgain := make(); again != sums || programAgain != program || strings.Count(sums, "\n") != len(platforms()) {
		t.Errorf("one build gives\n%s%s\nanother\n%s%s", sums, program, again, programAgain)
	}
}

func TestReleaseSaysWhatIsWrong(t *testing.T) {
	boom := errors.New("boom")
	for name, tt := range map[string]struct {
		version string
		build   error
		want    string
	}{
		"version without v": {"1.2.3", nil, "v1.2.3"},
		"no version":        {"6377c1d", nil, "v1.2.3"},
		"build":             {"v1.2.3", boom, "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &release{root: "..", out: filepath.Join(t.TempDir(), "dist"), version: tt.version, tell: func(string) {}}
			r.build = func(context.Context, *release, string, platform, string) error { return tt.build }
			if err := r.make(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := render("v1.2.3", map[string]string{}); err == nil || !strings.Contains(err.Error(), "kubectl-microsim_linux_amd64.tar.gz") {
		t.Errorf("without archives: %v", err)
	}
}
