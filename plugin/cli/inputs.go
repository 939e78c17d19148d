package cli

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/examples"
	"github.com/microsim-dev/kubectl-microsim/model/spec"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
)

// Inputs are the files that a command reads, named by -f or as arguments.
type Inputs struct {
	Filenames []string
	// Recursive reads directories below directories, too.
	Recursive bool
	// Only names the experiments, systems and loads that are used of those in the
	// files; empty means all.
	Only []string
}

// AddFlags adds -f and -R. what says, in the help, what the files describe.
func (i *Inputs) AddFlags(cmd *cobra.Command, what string) {
	cmd.Flags().VarP((*filenames)(&i.Filenames), "filename", "f", what+": a file, a directory, a URL, an example's name, or - for standard input; several are separated by commas")
	cmd.Flags().BoolVarP(&i.Recursive, "recursive", "R", false, "read the directories below those of --filename, too")
}

// filenames is the value of -f, which takes several files separated by commas, as
// kubectl's does. A comma in a URL, or in the name of a file that exists, is part of it.
type filenames []string

func (f *filenames) Type() string   { return "stringArray" }
func (f *filenames) String() string { return strings.Join(*f, ",") }

func (f *filenames) Set(text string) error {
	_, err := os.Lstat(text)
	if err == nil || strings.Contains(text, "://") {
		*f = append(*f, text)
		return nil
	}
	*f = append(*f, strings.Split(text, ",")...)
	return nil
}

// Args returns the flags that name the same inputs, for a command line that repeats
// this one.
func (i *Inputs) Args() (words []string) {
	for _, f := range i.Filenames {
		words = append(words, "-f", f)
	}
	if i.Recursive {
		words = append(words, "-R")
	}
	if len(i.Only) > 0 {
		words = append(words, "--only", asList(i.Only))
	}
	return words
}

// asList writes names as a flag takes them: a name with a comma or a quote stands in
// quotes, as in CSV.
func asList(names []string) string {
	var text strings.Builder
	w := csv.NewWriter(&text)
	_ = w.Write(names) // a Builder takes everything
	w.Flush()
	return strings.TrimSuffix(text.String(), "\n")
}

// AddOnly adds --only, for commands that use one of several descriptions. what
// names them in the help.
func (i *Inputs) AddOnly(cmd *cobra.Command, what string) {
	cmd.Flags().StringSliceVar(&i.Only, "only", nil, "of what the files describe, only these "+what+": names, separated by commas")
	_ = cmd.RegisterFlagCompletionFunc("only", i.completeOnly)
}

// completeOnly completes --only with the names in the files that the command line
// names before it.
func (i *Inputs) completeOnly(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	all := Inputs{Filenames: i.Filenames, Recursive: i.Recursive}
	docs, err := all.Read(ctx, Streams{In: strings.NewReader("")}, args)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	chosen := begun[:strings.LastIndex(begun, ",")+1]
	var names []cobra.Completion
	for _, name := range docs.Names() {
		if !slices.Contains(strings.Split(chosen, ","), name) {
			names = append(names, chosen+name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// CompleteInputs completes arguments that name examples or files. Kinds limit the
// examples; without kinds all are offered.
func CompleteInputs(kinds ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return ExampleNames(args, begun, kinds...), cobra.ShellCompDirectiveDefault
	}
}

// Read reads the files of -f and those given as arguments. It returns when ctx
// ends, even while it waits for a file that gives nothing, such as a pipe without a
// writer.
func (i *Inputs) Read(ctx context.Context, streams Streams, args []string) (document.Documents, error) {
	paths := append(append([]string(nil), i.Filenames...), args...)
	if i.Recursive && !slices.ContainsFunc(paths, isDir) {
		return nil, errors.New("--recursive is about directories, and none is named: leave it out")
	}
	return Interruptible(ctx, func() (document.Documents, error) {
		docs, err := spec.Reader{Stdin: streams.In, Fetch: fetch, Recursive: i.Recursive}.ReadFiles(ctx, paths...)
		if err != nil {
			return docs, err
		}
		return docs.Only(i.Only)
	})
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Interruptible returns what read returns, or the cause of ctx as soon as ctx ends.
// Opening and reading files cannot be interrupted, so the goroutine of read may go
// on until the program ends.
func Interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	done := make(chan answer, 1)
	go func() {
		value, err := read()
		done <- answer{value, err}
	}()
	select {
	case a := <-done:
		return a.value, Cause(ctx, a.err)
	case <-ctx.Done():
		var none T
		return none, Cause(ctx, ctx.Err())
	}
}

// ExampleNames lists, as completions with titles, the examples whose names begin
// with begun and are not among args. Kinds limit the list.
func ExampleNames(args []string, begun string, kinds ...string) []cobra.Completion {
	var names []cobra.Completion
	for _, e := range examples.List() {
		if !strings.HasPrefix(e.Name, begun) || slices.Contains(args, e.Name) || len(kinds) > 0 && !slices.Contains(kinds, e.Kind) {
			continue
		}
		names = append(names, cobra.CompletionWithDesc(e.Name, e.Title))
	}
	return names
}

// fetchTimeout bounds the reading of a file by URL, from the request to the last
// byte.
const fetchTimeout = 30 * time.Second

// fetch opens a URL for reading. The caller closes what it returns.
func fetch(ctx context.Context, address string) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, fetchTimeout, fmt.Errorf("the server took longer than %v", fetchTimeout))
	content, err := get(ctx, address)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		cancel()
		return nil, err
	}
	return body{content, ctx, cancel}, nil
}

func get(ctx context.Context, address string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		// The error of url.Parse is not wrapped, because it repeats the URL with
		// its password.
		return nil, errors.New("it is not a valid URL")
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		if to, err := resp.Location(); err == nil {
			return nil, fmt.Errorf("the server answered %s, and redirects are not followed: name %q if you trust it", resp.Status, to.Redacted())
		}
		return nil, fmt.Errorf("the server answered %s", resp.Status)
	}
	return resp.Body, nil
}

// body is a response body that is bounded by fetchTimeout until it is closed.
type body struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelFunc
}

func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.ctx); cause != nil {
			err = cause
		}
	}
	return n, err
}

func (b body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}

// NoteRemoved returns a function that reports half-written results which were found
// and removed.
func NoteRemoved(w io.Writer) func(path string) {
	return func(path string) {
		fmt.Fprintf(w, "note: removed %s: half-written results of a command that was killed\n", Clean(path))
	}
}

// ShowNotes prints which parts of files in dialects were read but have no effect.
func ShowNotes(w io.Writer, docs document.Documents) {
	for _, d := range docs {
		showNotes(w, d.Origin.Notes, d.Origin.OffCluster)
	}
}

// ShowNotesOnCluster is ShowNotes for a command that applies faults on a cluster, where
// more parts have an effect.
func ShowNotesOnCluster(w io.Writer, docs document.Documents) {
	for _, d := range docs {
		showNotes(w, d.Origin.Notes)
	}
}

func showNotes(w io.Writer, lists ...[]decode.Mistake) {
	for _, n := range slices.Concat(lists...) {
		fmt.Fprintf(w, "note: %v\n", n)
	}
}

// ShowLoad prints which load an experiment gets if its files describe none.
func ShowLoad(w io.Writer, docs document.Documents) {
	if docs.Plain() {
		fmt.Fprintf(w, "note: no load is described for system %q, so it gets %d requests a second; describe one in a LoadGenerator or an Experiment\n", docs.Systems()[0].Name, document.PlainRate)
	}
}
