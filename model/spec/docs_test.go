package spec

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestFilesInTheDocumentationAreValid(t *testing.T) {
	page, err := os.ReadFile("../../docs/files.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d files are found", len(blocks))
	}
	compiled := schemas(t)
	for _, block := range blocks {
		docs, err := Read("files.md", strings.NewReader(string(block[1])))
		if err != nil {
			t.Errorf("%v in\n%s", err, block[1])
		}
		if err := conforms(t, compiled, block[1]); err != nil {
			t.Error(err)
		}
		for i := range docs {
			same(t, &docs[i])
		}
	}
}
