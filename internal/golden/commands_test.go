package golden

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestCommands pins the names, shorthands, types and defaults of all commands
// and flags, hidden ones included. Help texts may change.
func TestCommands(t *testing.T) {
	// The default of a flag of kubectl names a directory in it.
	t.Setenv("HOME", "/home/user")
	var b strings.Builder
	writeCommand(&b, pluginTree())
	writeAgent(t, &b)
	compare(t, "commands.txt", b.String())
}

// writeCommand describes a command and those below it.
func writeCommand(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "%s\n", c.CommandPath())
	if _, args, has := strings.Cut(c.Use, " "); has {
		fmt.Fprintf(b, "    arguments %s\n", args)
	}
	if c.Hidden {
		b.WriteString("    hidden\n")
	}
	if len(c.Aliases) > 0 {
		fmt.Fprintf(b, "    aliases %s\n", strings.Join(c.Aliases, ", "))
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		fmt.Fprintf(b, "    --%s", f.Name)
		if f.Shorthand != "" {
			fmt.Fprintf(b, " -%s", f.Shorthand)
		}
		fmt.Fprintf(b, " %s default %q", f.Value.Type(), f.DefValue)
		if f.NoOptDefVal != "" && f.NoOptDefVal != "true" {
			fmt.Fprintf(b, " bare %q", f.NoOptDefVal)
		}
		if f.Hidden {
			b.WriteString(" hidden")
		}
		if f.Deprecated != "" {
			b.WriteString(" deprecated")
		}
		b.WriteByte('\n')
	})
	subs := slices.Clone(c.Commands())
	slices.SortFunc(subs, func(x, y *cobra.Command) int { return strings.Compare(x.Name(), y.Name()) })
	for _, sub := range subs {
		writeCommand(b, sub)
	}
}

var (
	agentCommand = regexp.MustCompile(`(?m)^  ([a-z]+) `)
	// agentFlag is a flag as package flag prints it: "  -name type", then a line
	// with the usage and at times a default.
	agentFlag = regexp.MustCompile(`(?m)^  -([a-z-]+)( [a-z]+)?\n[^\n]*?(\(default [^\n]*\))?$`)
)

// writeAgent describes the commands of the agent as far as its help tells them.
func writeAgent(t *testing.T, b *strings.Builder) {
	t.Helper()
	help := agentHelp(t)
	for _, c := range agentCommand.FindAllStringSubmatch(help, -1) {
		fmt.Fprintf(b, "microsim-agent %s\n", c[1])
		for _, f := range agentFlag.FindAllStringSubmatch(agentHelp(t, c[1]), -1) {
			fmt.Fprintf(b, "    -%s%s\n", f[1], strings.TrimRight(f[2]+" "+f[3], " "))
		}
	}
}

func agentHelp(t *testing.T, command ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := runAgent(context.Background(), &out, append(command, "--help")...); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
