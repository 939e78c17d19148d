package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/model/load"
)

// TLSFlags say how the certificates of https URLs are checked. They have curl's
// names, because kubectl's names are about the API server.
type TLSFlags struct {
	insecure bool
	file     string
}

// AddFlags adds the flags to a command.
func (f *TLSFlags) AddFlags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.insecure, "insecure", false, "do not check the certificates of https URLs")
	cmd.Flags().StringVar(&f.file, "cacert", "", "file with the certificates, in PEM, of the authorities to trust for https URLs (default those of the machine)")
}

// Read returns the settings that the flags ask for, or nil if none is given.
func (f *TLSFlags) Read() (*load.TLS, error) {
	switch {
	case f.insecure && f.file != "":
		return nil, errors.New("--insecure checks no certificates, and --cacert says how to: keep one")
	case f.insecure:
		return &load.TLS{Insecure: true}, nil
	case f.file == "":
		return nil, nil
	}
	text, err := os.ReadFile(f.file)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of --cacert: %w", err)
	}
	return &load.TLS{CA: string(text)}, nil
}
