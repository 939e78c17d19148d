package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// OneOf refuses a value of a flag that is not one of the words.
func OneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("--%s %q is not known: write %s", flag, value, strings.Join(words, ", "))
}

// Given lists which of the flags are on the command line, whatever their values
// are.
func Given(flags *pflag.FlagSet, names ...string) []string {
	var given []string
	for _, name := range names {
		if flags.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	return given
}

// Refuse returns an error if one of the flags, which have no effect here, is on the
// command line. The reason continues the sentence "--a and --b ...".
func Refuse(flags *pflag.FlagSet, reason string, names ...string) error {
	given := Given(flags, names...)
	if len(given) == 0 {
		return nil
	}
	if last := len(given) - 1; last > 0 {
		given = []string{strings.Join(given[:last], ", ") + " and " + given[last]}
	}
	return fmt.Errorf("%s %s", given[0], reason)
}

// CompleteFlag makes shell completion offer the words as values of a flag.
func CompleteFlag(cmd *cobra.Command, flag string, words ...string) {
	// Registering fails only if the flag does not exist or is completed already.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// targetsOf is the annotation of a flag that lists the targets on which it has an
// effect.
const targetsOf = "microsim-targets"

// OnlyOn notes that flags have an effect only on these targets; see
// RefuseElsewhere.
func OnlyOn(flags *pflag.FlagSet, targets []string, names ...string) {
	for _, name := range names {
		if flag := flags.Lookup(name); flag != nil {
			if flag.Annotations == nil {
				flag.Annotations = map[string][]string{}
			}
			flag.Annotations[targetsOf] = targets
		}
	}
}

// RefuseElsewhere refuses flags on the command line that have no effect on the
// target, as OnlyOn noted.
func RefuseElsewhere(flags *pflag.FlagSet, on string) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		targets := flag.Annotations[targetsOf]
		if err == nil && targets != nil && !slices.Contains(targets, on) {
			err = fmt.Errorf("--%s has no effect with --on %s: leave it out, or write --on %s", flag.Name, on, strings.Join(targets, " or --on "))
		}
	})
	return err
}
