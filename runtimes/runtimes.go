// Package runtimes has the sources of the mock services in other languages, and
// installs and starts them: from their lock files into a directory of the user, so
// that they start without a network afterwards.
package runtimes

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"golang.org/x/tools/txtar"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// sources are what an installation needs, by name, so that what was installed
// beside them in a working tree stays out.
//
// A directory with a go.mod is a module of its own, from which no file can be
// embedded, so a bundle has a copy of it; a test compares the two.
//
//go:embed go-gin.txtar
//go:embed bun-hono/runtime.json bun-hono/package.json bun-hono/bun.lock bun-hono/src
//go:embed node-common/package.json node-common/src
//go:embed node-express/.npmrc node-express/runtime.json node-express/package.json node-express/package-lock.json node-express/src
//go:embed node-fastify/.npmrc node-fastify/runtime.json node-fastify/package.json node-fastify/package-lock.json node-fastify/src
//go:embed python-common/microsim_common/*.py
//go:embed python-flask/runtime.json python-flask/requirements.lock python-flask/microsim_flask/*.py
//go:embed python-fastapi/runtime.json python-fastapi/requirements.lock python-fastapi/microsim_fastapi/*.py
//go:embed java-spring-boot/runtime.json java-spring-boot/pom.xml java-spring-boot/src/main
//go:embed rust-common/Cargo.toml rust-common/src
//go:embed rust-axum/runtime.json rust-axum/Cargo.toml rust-axum/Cargo.lock rust-axum/src
//go:embed rust-actix/runtime.json rust-actix/Cargo.toml rust-actix/Cargo.lock rust-actix/src
var sources embed.FS

// A Manifest is the file runtime.json of a runtime.
type Manifest struct {
	Name      topology.RuntimeName `json:"name"`
	Language  string               `json:"language"`
	Framework string               `json:"framework"`
	// Level is how much of the service contract it obeys: L2.
	Level string `json:"level"`
	// Shares are the directories beside its own that it needs.
	Shares []string `json:"shares"`
	// Tools must be on the PATH.
	Tools []Tool `json:"tools"`
	// Install are the commands that install it, Run is the one that serves, in its
	// directory. A program with a slash is in that directory.
	Install [][]string `json:"install"`
	Run     []string   `json:"run"`
	// Env are variables for Run; {dir} stands for its directory.
	Env map[string]string `json:"env,omitempty"`
}

// A Tool is a program that a runtime needs.
type Tool struct {
	// Command prints its version.
	Command []string `json:"command"`
	// Least is the oldest version that will do: 20.0.0.
	Least string `json:"least"`
	// From is what to install where the program is missing, if it has another name.
	From string `json:"from,omitempty"`
}

// dir is the name of the runtime's directory among the sources.
func (m *Manifest) dir() string { return m.Language + "-" + string(m.Name) }

// All returns the manifests of all runtimes but the agent, in the order of
// topology.Runtimes.
func All() (all []Manifest, err error) {
	for _, r := range topology.Runtimes() {
		if r.Name == topology.Agent {
			continue
		}
		m, err := read(r.Language + "-" + string(r.Name))
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// Lookup returns the manifest of a runtime that is not the agent.
func Lookup(name topology.RuntimeName) (Manifest, error) {
	r, ok := topology.LookupRuntime(name)
	if !ok || r.Name == topology.Agent {
		var names []string
		for _, known := range topology.Runtimes() {
			if known.Name != topology.Agent {
				names = append(names, string(known.Name))
			}
		}
		return Manifest{}, fmt.Errorf("there is no runtime %q to install: use one of %s", name, strings.Join(names, ", "))
	}
	return read(r.Language + "-" + string(r.Name))
}

func read(dir string) (m Manifest, err error) {
	files, err := sourcesOf(dir)
	if err != nil {
		return m, fmt.Errorf("reading the sources of runtime %s: %w", dir, err)
	}
	for _, f := range files {
		if f.name == path.Join(dir, manifestName) {
			err = json.Unmarshal(f.data, &m)
		}
	}
	if err == nil && m.Name == "" {
		err = errors.New("it has none")
	}
	if err != nil {
		return m, fmt.Errorf("reading the manifest of runtime %s: %w", dir, err)
	}
	return m, nil
}

const manifestName = "runtime.json"

// A file is one of the sources; its name begins with its runtime's directory.
type file struct {
	name string
	data []byte
}

// sourcesOf are the files of a directory among the sources.
func sourcesOf(dir string) (files []file, err error) {
	bundle, err := sources.ReadFile(dir + ".txtar")
	if err == nil {
		for _, f := range txtar.Parse(bundle).Files {
			files = append(files, file{path.Join(dir, f.Name), f.Data})
		}
		return files, nil
	}
	err = fs.WalkDir(sources, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := sources.ReadFile(name)
		files = append(files, file{name, data})
		return err
	})
	return files, err
}

// files are the sources of a runtime, with those that it shares.
func (m *Manifest) files() (files []file, err error) {
	for _, dir := range append(slices.Clone(m.Shares), m.dir()) {
		of, err := sourcesOf(dir)
		if err != nil {
			return nil, err
		}
		files = append(files, of...)
	}
	return files, nil
}

// version tells the sources of a runtime from all others that it ever had.
func (m *Manifest) version() (string, error) {
	files, err := m.files()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, f := range files {
		fmt.Fprintf(sum, "%s\x00%d\x00%s", f.name, len(f.data), f.data)
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}
