//go:build linux

package trust

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
)

// A hostileServer answers each connection in its own way, until its client leaves.
func hostileServer(t *testing.T, answer func(c net.Conn)) string {
	t.Helper()
	return "http://" + peer.Serve(t, func(c *net.TCPConn) {
		// The head of the request is read first, as servers do.
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			answer(c)
		}
	})
}

// endless writes the same text until the client leaves.
func endless(first, text string) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, first)
		for text = strings.Repeat(text, 1+(64<<10)/len(text)); err == nil; {
			_, err = io.WriteString(c, text)
		}
	}
}

// once writes a text and closes the connection.
func once(text string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, text) }
}

// Servers that answer for ever, nonsense, or with a wrong certificate cost neither
// time nor memory without bounds.
func TestHostileServers(t *testing.T) {
	servers := map[string]func(net.Conn){
		"endless headers":   endless("HTTP/1.1 200 OK\r\n", "X-More: and more\r\n"),
		"endless header":    endless("HTTP/1.1 200 OK\r\nX-Long: ", "x"),
		"endless status":    endless("HTTP/1.1 200 ", "x"),
		"endless body":      endless("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", `{"a":`),
		"endless chunks":    endless("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\nhello\r\n"),
		"endless hints":     endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
		"endless error":     endless("HTTP/1.1 500 No\r\n\r\n", "all is lost\n"),
		"closes":            once(""),
		"no HTTP":           once("SSH-2.0-OpenSSH_9.2\r\n"),
		"escapes":           once("HTTP/1.1 500 \x1b[2J\x1b]0;owned\a\r\nContent-Length: 5\r\n\r\n\x1b[2Jx"),
		"huge length":       once("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\nx"),
		"two lengths":       once("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
		"redirects to file": once("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"),
		"redirects itself":  once("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
	}
	for name, answer := range servers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := hostileServer(t, answer)
			for _, tr := range []trial{
				{command: command{args: words("validate -f " + url + "/system.yaml")}, code: 1, says: []string{url}},
				// A load counts what becomes of its requests, and is no judge of it.
				{command: command{args: words("load --rate 20 --count 2 --timeout 2s --url " + url)}, prints: []string{"^all +2"}},
				{command: command{args: words("status --request-timeout 5s --server " + url)}, code: 1},
				{command: command{args: words("doctor --on cluster --request-timeout 5s -o json --server " + url)}, prints: []string{`"works": false`}},
				{command: command{args: words("top --watch=false --on local one")}, code: 1, prepare: recordOf(url)},
				{command: command{args: words("fault list --on local --system one")}, code: 1, prepare: recordOf(url)},
			} {
				tr.run(t)
			}
		})
	}
}

// recordOf makes an entry of a system whose control plane is at the address: what
// a system of an older program, or a stranger on its port, may answer.
func recordOf(url string) func(t *testing.T, b *box) {
	return func(t *testing.T, b *box) { holdEntry(t, b, url) }
}

// A certificate of nobody known is refused where data is read; so is plain HTTP in
// place of TLS.
func TestWrongCertificates(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	plain := strings.Replace(hostileServer(t, once("HTTP/1.1 200 OK\r\n\r\n")), "http:", "https:", 1)
	const unknown = "certificate signed by unknown authority"
	runAll(t, []trial{
		{name: "validate", command: command{args: words("validate -f " + server.URL)}, code: 1, says: []string{unknown}},
		{name: "status", command: command{args: words("status --server " + server.URL)}, code: 1, says: []string{unknown}},
		{name: "load", command: command{args: words("load --rate 20 --count 2 --url " + server.URL)}, prints: []string{"100%", "unknown authority"}},
		{name: "validate plain", command: command{args: words("validate -f " + plain)}, code: 1, says: []string{"https"}},
		{name: "status plain", command: command{args: words("status --server " + plain)}, code: 1, says: []string{"https|TLS|tls"}},
		{name: "load plain", command: command{args: words("load --rate 20 --count 2 --url " + plain)}, prints: []string{"100%"}},
	})
}

// A kubeconfig that is none, or that asks for what is not there, is named.
func TestHostileKubeconfigs(t *testing.T) {
	config := func(cluster, user string) string {
		return fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: c}}]\nclusters: [{name: c, cluster: %s}]\nusers: [{name: c, user: %s}]\n", cluster, user)
	}
	var trials []trial
	for name, text := range map[string]string{
		"binary": "\x00\x7fELF", "no YAML": "][", "another kind": "kind: Pod\napiVersion: v1\n", "escapes": "current-context: \"\\e[2Jx\"\napiVersion: v1\nkind: Config\n",
		"bomb":       "a: &a [x,x]\nb: &b [*a,*a]\n" + strings.Repeat("#", 1<<20),
		"no address": config(`{server: ""}`, "{}"), "garbage address": config(`{server: "::::"}`, "{}"), "other scheme": config(`{server: "ftp://127.0.0.1:1"}`, "{}"),
		"refused": config(`{server: "http://127.0.0.1:1"}`, "{}"), "no authority": config(`{server: "https://127.0.0.1:1", certificate-authority: nowhere}`, "{}"),
		"bad authority": config(`{server: "https://127.0.0.1:1", certificate-authority-data: bm9wZQ==}`, "{}"), "no token": config(`{server: "https://127.0.0.1:1"}`, "{tokenFile: nowhere}"),
		"no login": config(`{server: "https://127.0.0.1:1"}`, "{exec: {apiVersion: client.authentication.k8s.io/v1, command: ./nosuch, interactiveMode: Never}}"),
	} {
		prepare := func(t *testing.T, b *box) { writeFiles(t, b); b.write(t, "kubeconfig", []byte(text)) }
		for _, args := range [][]string{words("status"), words("up one.yaml --image x"), words("down one")} {
			trials = append(trials, trial{name: name + " " + args[0], command: command{args: append(args, "--kubeconfig", "kubeconfig")}, code: 1, prepare: prepare})
		}
	}
	runAll(t, trials)
}

// holdEntry makes the entry of a system that this process seems to hold.
func holdEntry(t *testing.T, b *box, url string) {
	t.Helper()
	self, err := registry.Self()
	if err != nil {
		t.Fatal(err)
	}
	record, err := json.Marshal(registry.Record{Name: "one", Holder: self, Started: time.Now(), ControlURL: url, Token: "t"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(b.path("state", "one"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.path("state", "one", "system.json"), record, 0o644); err != nil {
		t.Fatal(err)
	}
}
