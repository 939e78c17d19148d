package plugin

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/plugin/cli"
	"github.com/spf13/cobra"
)

func newCompletion(streams cli.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion",
		Short: "Set up the completion of commands, flags and names in the shell",
		Long: `Set up the completion of commands, flags and names in the shell.

  kubectl microsim completion install                   for 'kubectl microsim', in any shell
  source <(kubectl-microsim completion bash)            for 'kubectl-microsim' in bash
  source <(kubectl-microsim completion zsh)             for 'kubectl-microsim' in zsh
  kubectl-microsim completion fish | source             for 'kubectl-microsim' in fish

kubectl 1.26 and newer asks a program called kubectl_complete-microsim on the PATH, in every
shell for which kubectl's own completion is set up. 'completion install' writes that program;
'completion print' shows it. A shell script of 'completion bash', 'zsh' or 'fish' completes the
plugin when it is called by its own name, without kubectl.`,
		Args: cli.Commands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newCompletionInstall(streams), &cobra.Command{
		Use:   "print",
		Short: "Print the program that kubectl asks",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, text := completer(runtime.GOOS)
			_, err := fmt.Fprint(cli.Raw(streams.Out), text)
			return err
		},
	})
	for shell, generate := range map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":  func(root *cobra.Command, w io.Writer) error { return root.GenZshCompletion(w) },
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	} {
		cmd.AddCommand(&cobra.Command{
			Use:   shell,
			Short: "Print the script that completes kubectl-microsim in " + shell,
			Args:  cobra.NoArgs,
			RunE: func(cmd *cobra.Command, _ []string) error {
				root := cmd.Root()
				root.Use = program // the script completes this name
				return generate(root, cli.Raw(streams.Out))
			},
		})
	}
	return cmd
}

// program is the name by which this program is called without kubectl.
const program = "kubectl-microsim"

func newCompletionInstall(streams cli.Streams) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "install",
		Short: "Write the program that kubectl asks beside the plugin on the PATH",
		Example: `  kubectl microsim completion install
  kubectl microsim completion install --dir ~/bin`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			path, err := installCompleter(dir)
			if err != nil {
				return fmt.Errorf("installing the completion of kubectl microsim: %w", err)
			}
			fmt.Fprintln(streams.Out, path)
			if !onPath(filepath.Dir(path)) {
				fmt.Fprintf(streams.Err, "note: %s is not on the PATH, where kubectl looks for this program\n", filepath.Dir(path))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "directory to write to (default that of the plugin on the PATH)")
	return cmd
}

// completerMark is in every file that completer makes, so that no other file is
// overwritten.
const completerMark = "kubectl-microsim __complete"

// completer returns the name and the text of the program that kubectl runs to
// complete a command line of this plugin.
func completer(system string) (name, text string) {
	if system == "windows" {
		return "kubectl_complete-microsim.cmd", "@echo off\r\n" + completerMark + " %*\r\n"
	}
	return "kubectl_complete-microsim", "#!/bin/sh\nexec " + completerMark + " \"$@\"\n"
}

// installCompleter writes the completer into a directory, and returns its path.
func installCompleter(dir string) (string, error) {
	if dir == "" {
		plugin, err := exec.LookPath("kubectl-microsim")
		if err != nil {
			return "", errors.New("there is no kubectl-microsim on the PATH; name a directory that is on it with --dir")
		}
		dir = filepath.Dir(plugin)
	}
	name, text := completer(runtime.GOOS)
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	there, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(there), completerMark) {
		return "", fmt.Errorf("%q exists and does not come from this command; remove it, or name another directory on the PATH with --dir", path)
	}
	err = os.WriteFile(path, []byte(text), 0o755)
	if err == nil {
		err = os.Chmod(path, 0o755)
	}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return "", fmt.Errorf("the directory %q is not writable; run the command as a user who may write there, or name another directory on the PATH with --dir", dir)
	case errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("there is no directory %q; create it, or name another on the PATH with --dir", dir)
	case err != nil:
		return "", err
	}
	return path, nil
}

// onPath reports whether a directory is in PATH.
func onPath(dir string) bool {
	return slices.ContainsFunc(filepath.SplitList(os.Getenv("PATH")), func(d string) bool {
		abs, err := filepath.Abs(d)
		return err == nil && abs == dir
	})
}
