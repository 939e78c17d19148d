//go:build unix

package gate

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheSocketIsForTheUserAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api")
	ln, err := (&gateOptions{api: "unix:" + path}).listenForAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
}
