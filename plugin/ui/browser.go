package ui

import (
	"fmt"
	"html"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// openBrowser opens an address in the user's browser. The address holds a token,
// and arguments of programs are seen by all users of a machine: so the browser is
// handed a file that only this user can read, and that leads on. The returned
// function removes the file.
func openBrowser(talk io.Writer, address string) (remove func()) {
	dir, err := os.MkdirTemp("", "microsim-ui-")
	if err != nil {
		fmt.Fprintf(talk, "note: no browser was opened: %v; open the address yourself\n", err)
		return func() {}
	}
	remove = func() { _ = os.RemoveAll(dir) } // a rest is cleared with other temporary files
	path := filepath.Join(dir, "open.html")
	text := fmt.Sprintf("<!doctype html><meta charset=\"utf-8\"><title>kubectl microsim ui</title><meta http-equiv=\"refresh\" content=\"0; url=%s\">\n", html.EscapeString(address))
	if err = os.WriteFile(path, []byte(text), 0o600); err == nil {
		err = browser(path)
	}
	if err != nil {
		fmt.Fprintf(talk, "note: no browser was opened: %v; open the address yourself, and --no-open says not to try\n", err)
	}
	return remove
}

// browser starts the program that opens files on this system.
func browser(path string) error {
	words := []string{"xdg-open", path}
	switch runtime.GOOS {
	case "darwin":
		words = []string{"open", path}
	case "windows":
		words = []string{"rundll32", "url.dll,FileProtocolHandler", path}
	}
	cmd := exec.Command(words[0], words[1:]...)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // what the browser says of itself does not matter
	return nil
}
