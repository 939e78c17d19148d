package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// Inputs are the files that a command reads: by -f, or by name as arguments.
type Inputs struct {
	Filenames []string
}

func (i *Inputs) AddFlags(cmd *cobra.Command, what string) {
	cmd.Flags().StringArrayVarP(&i.Filenames, "filename", "f", nil, what+": a file, a directory, a URL, an example's name, or - for standard input")
}

// Read reads the files of -f and those given as arguments.
func (i *Inputs) Read(ctx context.Context, streams Streams, args []string) (document.Documents, error) {
	paths := append(append([]string(nil), i.Filenames...), args...)
	return spec.Reader{Stdin: streams.In, Fetch: fetch}.ReadFiles(ctx, paths...)
}

// fetchTimeout bounds the reading of a file by URL.
const fetchTimeout = 30 * time.Second

// fetch opens a URL.
func fetch(ctx context.Context, url string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		cancel()
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return body{resp.Body, cancel}, nil
}

// body ends the time allowed for a response together with its body.
type body struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// ShowNotes tells what of a dialect was read but has no meaning here.
func ShowNotes(w io.Writer, docs document.Documents) {
	for _, d := range docs {
		for _, n := range d.Origin.Notes {
			fmt.Fprintf(w, "note: %v\n", n)
		}
	}
}
