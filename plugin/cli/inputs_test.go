package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestFetchFollowsNoRedirect reads a file from a server that sends the reader elsewhere,
// with a password.
func TestFetchFollowsNoRedirect(t *testing.T) {
	visited := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited = true }))
	defer elsewhere.Close()
	to := strings.Replace(elsewhere.URL, "http://", "http://ann:secret@", 1) + "/x.yaml"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }))
	defer s.Close()
	_, err := fetch(t.Context(), s.URL)
	if err == nil || visited || !strings.Contains(err.Error(), `302 Found, and redirects are not followed: name "http://ann:xxxxx@127.0.0.1:`) {
		t.Errorf("visited %v: %v", visited, err)
	}
}

func TestFetchReadsWithTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }))
	defer s.Close()
	if _, err := fetch(t.Context(), s.URL); err == nil || !strings.Contains(err.Error(), "x509: ") {
		t.Errorf("a server of an unknown authority is trusted: %v", err)
	}
}

func TestFetchNamesNoPassword(t *testing.T) {
	for _, address := range []string{"http://ann:secret@127.0.0.1:port/x", "http://ann:sec/ret@127.0.0.1:1/", "http://ann:secret@127.0.0.1:1/x"} {
		if _, err := fetch(t.Context(), address); err == nil || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "sec/") || strings.Contains(err.Error(), `":sec"`) {
			t.Errorf("%v", err)
		}
	}
}

// What Args writes is what the flags read, whatever is in names.
func TestOnlyIsWrittenAsItIsRead(t *testing.T) {
	for _, names := range [][]string{{"a"}, {"a", "b"}, {"a,b;c", `q"q`}, {" a ", "流量"}} {
		in := Inputs{Only: names}
		var again Inputs
		cmd := &cobra.Command{}
		again.AddFlags(cmd, "")
		again.AddOnly(cmd, "")
		if err := cmd.ParseFlags(in.Args()); err != nil || !slices.Equal(again.Only, names) {
			t.Errorf("%q is written as %q, and read as %q, %v", names, in.Args(), again.Only, err)
		}
	}
}
