package page

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestDataIsGolden holds the data of a small page against testdata/page.json,
// which is also an example of what the page's program reads.
func TestDataIsGolden(t *testing.T) {
	p := play{variant: "none", seed: 3, seconds: 6, calls: [][2]string{{"web", "cart"}, {"web", "db"}, {"cart", "db"}}, broken: "db", hurt: 0.5}
	d, err := newDocument(p.page())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	encoder := json.NewEncoder(&got)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(d); err != nil {
		t.Fatal(err)
	}
	const file = "testdata/page.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the data differs from %s; look at it with `go test -run Golden -update` and git diff", file)
	}
}
