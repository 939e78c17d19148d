package plugin

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
)

// dryRuns are commands that can say what they would do, with what each plans.
func dryRuns() map[string][]string {
	return map[string][]string{
		"up":          {"-f $FREE --on local --dry-run", "-f $FREE --on local --dry-run -o yaml", "-f $FREE --dry-run --image x"},
		"run":         {"-f $SINGLE --on local --dry-run", "-f $SINGLE --on local --dry-run -o yaml", "-f $SINGLE --dry-run -o yaml", "-f $SINGLE --on virtual --dry-run", "-f $SINGLE --dry-run --image x"},
		"run outage":  {"--on local --dry-run"},
		"fault apply": {"-f $FAULTS --on local --dry-run"},
	}
}

// A flag beside --dry-run changes what is said, or is refused: a plan that leaves it
// out would say less than would be done. kubectl's own flags say which cluster is
// asked, and these plans ask none.
func TestDryRunsTellOfEveryFlag(t *testing.T) {
	w := newFlagWorld(t)
	kubectls := pflag.NewFlagSet("", pflag.ContinueOnError)
	genericclioptions.NewConfigFlags(false).AddFlags(kubectls)
	for _, row := range flagRows() {
		own := kubectls.Lookup(row.flag) == nil || row.flag == "namespace"
		if !own || row.want == refused || row.flag == "called-as" || row.flag == "only" { // one is hidden, the other chooses among several
			continue
		}
		for _, args := range dryRuns()[row.command] {
			if strings.Contains(args, "--"+row.flag) || strings.Contains(row.with, "--on ") {
				continue
			}
			line := row.command + " " + args
			if with, without := w.see(t, line+" "+row.with, nil), w.see(t, line, nil); with == without {
				t.Errorf("kubectl microsim %s says the same with %s", line, row.with)
			}
		}
	}
}
