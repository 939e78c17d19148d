package explore

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// changed are the flags that were given, as words of a command line, but for those
// that name files, the seed and the form of the output.
func changed(cmd *cobra.Command) (words []string) {
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "filename", "seed", "output", "out", "report", "force", "state":
			return
		}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			for _, v := range list.GetSlice() {
				words = append(words, "--"+f.Name, v)
			}
			return
		}
		if f.Value.Type() == "bool" {
			words = append(words, "--"+f.Name+"="+f.Value.String())
			return
		}
		words = append(words, "--"+f.Name, f.Value.String())
	})
	return words
}
