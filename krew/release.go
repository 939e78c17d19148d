package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/cluster/image"
)

// A platform is one that the plugin is built for, in Go's words.
type platform struct{ os, arch string }

// platforms are those that an archive is made for. The agent and microsim-store run in
// containers, so they are built for Linux alone.
func platforms() []platform {
	return []platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "amd64"}, {"darwin", "arm64"}, {"windows", "amd64"}, {"windows", "arm64"}}
}

func agentPlatforms() []platform { return []platform{{"linux", "amd64"}, {"linux", "arm64"}} }

// plugin is the name of the plugin's program.
func (p platform) plugin() string {
	if p.os == "windows" {
		return "kubectl-microsim.exe"
	}
	return "kubectl-microsim"
}

// beside are the names under which the plugin looks for the programs for pods of an
// architecture beside itself, by the commands that they are built from.
func (p platform) beside() map[string]string {
	return map[string]string{
		"./cmd/microsim-agent": "microsim-agent-" + p.os + "-" + p.arch, "./cmd/microsim-store": "microsim-store-" + p.os + "-" + p.arch,
	}
}

// archive is the name of a platform's archive. Windows has a program for zip.
func (p platform) archive() string {
	name := "kubectl-microsim_" + p.os + "_" + p.arch
	if p.os == "windows" {
		return name + ".zip"
	}
	return name + ".tar.gz"
}

// A release is made of the sources in root.
type release struct {
	root, out, version string
	// build makes the program of a command, such as ./cmd/microsim-agent, for a
	// platform.
	build func(ctx context.Context, r *release, command string, p platform, to string) error
	// images is the repository that the images of the programs are pushed to, such as
	// registry.example/microsim; empty publishes none.
	images string
	// level is how hard archives are compressed, as of compress/flate.
	level int
	tell  func(string)
}

// versionPattern is what krew takes as a version: semantic, with a v.
var versionPattern = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?$`) //nolint:gochecknoglobals // a constant

// make builds all archives, their checksums and the manifest into out.
func (r *release) make(ctx context.Context) error {
	if !versionPattern.MatchString(r.version) {
		return fmt.Errorf("making release %q: krew wants a version such as v1.2.3", r.version)
	}
	if err := os.RemoveAll(r.out); err != nil {
		return fmt.Errorf("emptying the directory of the release: %w", err)
	}
	programs, err := os.MkdirTemp("", "microsim-release-")
	if err != nil {
		return fmt.Errorf("making a directory for the programs of the release: %w", err)
	}
	defer func() { _ = os.RemoveAll(programs) }() // it is a temporary directory
	for _, dir := range []string{r.out, programs} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("making a directory for the release: %w", err)
		}
	}
	for _, p := range agentPlatforms() {
		for command, name := range p.beside() {
			if err := r.build(ctx, r, command, p, filepath.Join(programs, name)); err != nil {
				return err
			}
		}
	}
	for _, p := range platforms() {
		if err := r.build(ctx, r, "./cmd/kubectl-microsim", p, p.program(programs)); err != nil {
			return err
		}
	}
	if err := r.publish(ctx, programs); err != nil {
		return err
	}
	sums := map[string]string{}
	for _, p := range platforms() {
		if sums[p.archive()], err = r.pack(programs, p); err != nil {
			return err
		}
	}
	if err := r.writeSums(sums); err != nil {
		return err
	}
	return r.writeManifest(sums)
}

// program is where the plugin is built for a platform.
func (p platform) program(programs string) string {
	return filepath.Join(programs, p.os+"-"+p.arch, p.plugin())
}

// pack writes the archive of a platform, and returns the checksum of that.
func (r *release) pack(programs string, p platform) (string, error) {
	started := time.Now()
	members := []member{{p.plugin(), p.program(programs), 0o755}}
	for _, a := range agentPlatforms() {
		for _, name := range slices.Sorted(maps.Values(a.beside())) {
			members = append(members, member{name, filepath.Join(programs, name), 0o755})
		}
	}
	members = append(members, member{image.PublishedFile, filepath.Join(programs, image.PublishedFile), 0o644}, member{"LICENSE", filepath.Join(r.root, "LICENSE"), 0o644})
	to := filepath.Join(r.out, p.archive())
	if err := writeArchive(to, members, r.level); err != nil {
		return "", fmt.Errorf("writing the archive %q: %w", to, err)
	}
	content, err := os.ReadFile(to)
	if err != nil {
		return "", fmt.Errorf("computing the checksum of %q: %w", to, err)
	}
	r.tell(fmt.Sprintf("%s: %.1f MB (%.0fs)", p.archive(), float64(len(content))/1e6, time.Since(started).Seconds()))
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), nil
}

// writeSums writes the checksums as sha256sum -c reads them.
func (r *release) writeSums(sums map[string]string) error {
	var text strings.Builder
	for _, p := range platforms() {
		fmt.Fprintf(&text, "%s  %s\n", sums[p.archive()], p.archive())
	}
	if err := os.WriteFile(filepath.Join(r.out, "sha256sums.txt"), []byte(text.String()), 0o644); err != nil {
		return fmt.Errorf("writing the checksums: %w", err)
	}
	return nil
}

// goBuild builds a command so that the same sources and compiler always give the
// same program: without paths, symbols, build id, and state of the repository.
func goBuild(ctx context.Context, r *release, command string, p platform, to string) error {
	const override = "github.com/microsim-dev/kubectl-microsim/internal/version.override="
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid= -X "+override+r.version, "-o", to, command)
	cmd.Dir = r.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0")
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building %s for %s/%s: %w\n%s", command, p.os, p.arch, err, said)
	}
	return nil
}
