package gate

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/netfault/gate/gateapi"
)

// Every type of toxic is in the docs, with its attributes and what it does.
func TestToxicsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/gates.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range gateapi.ToxicTypes() {
		attributes := ""
		if len(kind.Attributes) > 0 {
			attributes = "`" + strings.Join(kind.Attributes, "`, `") + "`"
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |\n", kind.Type, attributes, kind.Doc); !strings.Contains(string(page), row) {
			t.Errorf("docs/gates.md lacks the row %s", row)
		}
	}
}
