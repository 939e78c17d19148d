package plugin_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/microsim-dev/kubectl-microsim/plugin"
	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
)

var updateDocs = flag.Bool("update-docs", false, "write docs/commands from the commands")

// The pages of docs/commands are made from the commands.
func TestCommandsAreDocumented(t *testing.T) {
	dir := filepath.Join("..", "docs", "commands")
	want := commandPages(t)
	if *updateDocs {
		writePages(t, dir, want)
		return
	}
	remedy := "run: go test ./plugin -run CommandsAreDocumented -update-docs"
	found, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range found {
		if want[filepath.Base(path)] == nil {
			t.Errorf("%s is of no command; %s", path, remedy)
		}
	}
	for name, page := range want {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, page) {
			t.Errorf("docs/commands/%s is not what the command says (%v); %s", name, err, remedy)
		}
	}
}

// commandPages are the pages of all commands that help shows, by file name.
func commandPages(t *testing.T) map[string][]byte {
	t.Helper()
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string][]byte{}
	var add func(cmd *cobra.Command)
	add = func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd.HasParent() {
			return
		}
		cmd.DisableAutoGenTag = true
		var page bytes.Buffer
		if err := doc.GenMarkdown(cmd, &page); err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(page.String(), home+string(filepath.Separator), "$HOME/")
		pages[strings.ReplaceAll(cmd.CommandPath(), " ", "_")+".md"] = []byte(text)
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	root := plugin.Command(cli.Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	add(root)
	return pages
}

func writePages(t *testing.T, dir string, pages map[string][]byte) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, page := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), page, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
