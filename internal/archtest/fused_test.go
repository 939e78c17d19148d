package archtest

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// decides lists the packages whose arithmetic decides something by a seed, or is written
// into results of virtual time, so that the same seed must give the same bits on every
// processor.
var decides = []string{"model/exact", "model/dist", "model/load", "model/policy", "model/behave", "model/chain", "model/exec", "model/fault/timeline",
	"model/des", "model/stats", "model/result", "runner/measure", "runner/account", "localsim/virtual"}

// fused are the operations of arm64 that round a product and a sum only once.
var fused = regexp.MustCompile(`\tFN?M(ADD|SUB)[SD]\t`)

// place is file and line in a line of the compiler's listing.
var place = regexp.MustCompile(`\(([^()]*\.go:\d+)\)`)

// TestNothingFusedDecides compiles for arm64, where the compiler fuses x*y + z,
// and looks at the assembly. Other processors that fuse do so at the same places.
func TestNothingFusedDecides(t *testing.T) {
	for _, pkg := range decides {
		listing := assembly(t, "./"+pkg)
		if !strings.Contains(listing, "STEXT") {
			t.Fatalf("there is no assembly of %s:\n%.300s", pkg, listing)
		}
		for line := range strings.Lines(listing) {
			if fused.MatchString(line) {
				t.Errorf("%s: a product and a sum are fused at %s: convert the product, float64(x*y) + z, or use exact.MulAdd; an assignment between the two prevents nothing", pkg, place.FindString(line))
			}
		}
	}
}

// The test finds what it looks for.
func TestFusedIsFound(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/go.mod", []byte("module fused\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const text = "package fused\n\nfunc Fused(x, y, z float64) float64 { p := x * y; return p + z }\n\nfunc Apart(x, y, z float64) float64 { return float64(x*y) + z }\n"
	if err := os.WriteFile(dir+"/fused.go", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if n := len(fused.FindAllString(assemblyIn(t, dir, "."), -1)); n != 1 {
		t.Errorf("%d fused operations are found, want 1", n)
	}
}

func assembly(t *testing.T, pkg string) string {
	t.Helper()
	return assemblyIn(t, "../..", pkg)
}

func assemblyIn(t *testing.T, dir, pkg string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-gcflags=-S", pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compiling %s for arm64: %v\n%s", pkg, err, out)
	}
	return string(out)
}
