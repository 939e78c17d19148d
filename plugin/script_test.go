package plugin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// beProgram is set where the test binary is to be the program.
const beProgram = "MICROSIM_TEST_BE_PROGRAM"

// The program runs as a command of the scripts, so that each test sees what a
// user sees: arguments, streams, exit codes, signals.
//
// Beside that, the test binary is the program where it is asked to, and where it
// is started as the agent, as the program starts itself.
func TestMain(m *testing.M) {
	if os.Getenv(beProgram) != "" || len(os.Args) > 1 && os.Args[1] == "agent" {
		os.Exit(Main())
	}
	testscript.Main(m, map[string]func(){
		"kubectl-microsim": func() { os.Exit(Main()) },
	})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("MICROSIM_STATE_DIR", filepath.Join(env.WorkDir, "state"))
			env.Setenv("HOME", env.WorkDir)
			cases, err := filepath.Abs(filepath.Join("..", "testdata", "cases"))
			if err != nil {
				return err
			}
			env.Setenv("CASES", cases)
			plugin, err := exec.LookPath("kubectl-microsim")
			env.Setenv("PLUGIN", plugin)
			return err
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"awaits":    awaits,
			"signals":   signals,
			"freeports": freeports,
			"other":     other,
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// other starts a program that is not of this project until the script ends, and puts its
// URL in place of http://OTHER in files. It answers what it was asked.
func other(ts *testscript.TestScript, _ bool, files []string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.URL.Path, r.Header.Get("X-Request-ID"))
	}))
	ts.Defer(server.Close)
	ts.Setenv("OTHER", server.URL)
	for _, name := range files {
		text := strings.ReplaceAll(ts.ReadFile(name), "http://OTHER", server.URL)
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
}
