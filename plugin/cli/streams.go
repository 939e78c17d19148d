package cli

import "io"

// Streams are the standard streams of a command: data goes to Out, messages go to
// Err.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}
