package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// OneOf checks a flag that takes one of a few words.
func OneOf(flag, value string, words ...string) error {
	if slices.Contains(words, value) {
		return nil
	}
	return fmt.Errorf("--%s %q is not known: write %s", flag, value, strings.Join(words, ", "))
}

// Given lists which of the flags were typed, whatever their values are.
func Given(flags *pflag.FlagSet, names ...string) []string {
	var given []string
	for _, name := range names {
		if flags.Changed(name) {
			given = append(given, "--"+name)
		}
	}
	return given
}

// Refuse is the error of flags that have no effect here; it is nil if none of
// them was typed. The reason continues the sentence "--a and --b ...".
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

// CompleteFlag offers words as values of a flag.
func CompleteFlag(cmd *cobra.Command, flag string, words ...string) {
	// It fails only for a flag that is not there, or that has words already.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// targetsOf is the annotation that names the targets on which a flag has an
// effect.
const targetsOf = "microsim-targets"

// OnlyOn notes that flags have an effect on these targets alone.
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

// RefuseElsewhere refuses flags that were typed and have no effect on a target.
func RefuseElsewhere(flags *pflag.FlagSet, on string) (err error) {
	flags.Visit(func(flag *pflag.Flag) {
		targets := flag.Annotations[targetsOf]
		if err == nil && targets != nil && !slices.Contains(targets, on) {
			err = fmt.Errorf("--%s has no effect with --on %s: leave it out, or write --on %s", flag.Name, on, strings.Join(targets, " or --on "))
		}
	})
	return err
}
