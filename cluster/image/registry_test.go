package image

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
)

// small is an image without a program.
type small struct{ v1.Image }

func (s small) OCI() (v1.Image, error) { return s.Image, nil }

func smallImage(t *testing.T) []small {
	t.Helper()
	img, err := random.Image(100, 1)
	if err != nil {
		t.Fatal(err)
	}
	return []small{{img}}
}

// aRegistry answers requests for images through guard, which says whether it has answered.
func aRegistry(guard func(http.ResponseWriter, *http.Request) bool) http.Handler {
	images := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if guard == nil || !guard(w, r) {
			images.ServeHTTP(w, r)
		}
	})
}

// ask refuses requests without the user ann and her password.
func ask(w http.ResponseWriter, r *http.Request) bool {
	if user, password, _ := r.BasicAuth(); user == "ann" && password == "secret" {
		return false
	}
	w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// dockerConfig has the configuration of docker for a test, and trusts nobody.
func dockerConfig(t *testing.T, text string) (home string) {
	t.Helper()
	home = t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("DOCKER_CONFIG", filepath.Join(home, ".docker"))
	write(t, home, map[string]string{".docker/config.json": text})
	return home
}

// listening serves until the test ends, and returns the address.
func listening(t *testing.T, handler http.Handler, start func(*httptest.Server)) (server *httptest.Server, address string) {
	t.Helper()
	server = httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are what is tested
	start(server)
	t.Cleanup(server.Close)
	_, address, _ = strings.Cut(server.URL, "://")
	return server, address
}

// TestCredentialsAreThoseOfDocker wants each way in which docker keeps credentials.
func TestCredentialsAreThoseOfDocker(t *testing.T) {
	_, address := listening(t, aRegistry(ask), (*httptest.Server).Start)
	bin := t.TempDir()
	helper := "#!/bin/sh\nread server\n[ \"$server\" = '" + address + "' ] || { echo credentials not found in native keychain; exit 1; }\necho '{\"ServerURL\":\"" + address + "\",\"Username\":\"ann\",\"Secret\":\"secret\"}'\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-mine"), []byte(helper), 0o700); err != nil { //nolint:gosec // it is started
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	for name, c := range map[string]struct{ config, want string }{
		"auths":             {`{"auths":{"` + address + `":{"auth":"YW5uOnNlY3JldA=="}}}`, ""},
		"a helper for it":   {`{"credHelpers":{"` + address + `":"mine"}}`, ""},
		"a helper for all":  {`{"credsStore":"mine"}`, ""},
		"a wrong password":  {`{"auths":{"` + address + `":{"auth":"YW5uOndyb25n"}}}`, "log in with 'docker login " + address + "'"},
		"no credentials":    {`{}`, "log in with 'docker login " + address + "'"},
		"a missing helper":  {`{"credHelpers":{"` + address + `":"gone"}}`, "docker-credential-gone"},
		"those of another":  {`{"auths":{"other.example":{"auth":"YW5uOnNlY3JldA=="}}}`, "docker login " + address},
		"a broken file":     {`{"auths":`, "config.json"},
		"an empty password": {`{"auths":{"` + address + `":{"auth":"YW5uOg=="}}}`, "docker login " + address},
	} {
		t.Run(name, func(t *testing.T) {
			dockerConfig(t, c.config)
			_, err := Push(t.Context(), smallImage(t), address+"/team/agent:v1")
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error has the password: %v", err)
			}
		})
	}
}

// TestErrorsOfRegistriesHaveTheNextStep wants another step for each reason.
func TestErrorsOfRegistriesHaveTheNextStep(t *testing.T) {
	dockerConfig(t, `{}`)
	says := func(status int, code string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet || r.Method == http.MethodHead {
				return false
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"errors":[{"code":"`+code+`","message":"words of the registry"}]}`)
			return true
		}
	}
	for name, c := range map[string]struct {
		guard func(http.ResponseWriter, *http.Request) bool
		want  string
	}{
		"no rights":          {says(http.StatusForbidden, "DENIED"), "as a user who may push to team/agent"},
		"no such repository": {says(http.StatusNotFound, "NAME_UNKNOWN"), "create the repository team/agent"},
		"a tag that is kept": {says(http.StatusBadRequest, "TAG_INVALID"), "write another than v1"},
		"too large":          {says(http.StatusRequestEntityTooLarge, "SIZE_INVALID"), "raise the size"},
	} {
		t.Run(name, func(t *testing.T) {
			_, address := listening(t, aRegistry(c.guard), (*httptest.Server).Start)
			_, err := Push(t.Context(), smallImage(t), address+"/team/agent:v1")
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "words of the registry") || !strings.Contains(err.Error(), `"`+address+`/team/agent:v1"`) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = ln.Close()
		_, err = Push(t.Context(), smallImage(t), ln.Addr().String()+"/agent")
		if err == nil || !strings.Contains(err.Error(), "is reached from here") || strings.Contains(err.Error(), "docker login") {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("a name that means another server", func(t *testing.T) {
		if _, err := Push(t.Context(), smallImage(t), "registry.invalid/agent"); err == nil || !strings.Contains(err.Error(), "is reached from here") {
			t.Errorf("the error is %v", err)
		}
	})
}

// TestAnInterruptedPushSaysWhy: a registry that never answers ends with the command, in the
// words of who ended it.
func TestAnInterruptedPushSaysWhy(t *testing.T) {
	dockerConfig(t, `{}`)
	asked, done := make(chan struct{}, 100), make(chan struct{})
	_, address := listening(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-done:
		}
	}), (*httptest.Server).Start)
	defer close(done)
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	go func() {
		<-asked
		cancel(errors.New("interrupted"))
	}()
	started := time.Now()
	_, err := Push(ctx, smallImage(t), address+"/agent")
	if err == nil || !strings.HasSuffix(err.Error(), "/agent\": interrupted") || time.Since(started) > time.Minute {
		t.Errorf("after %v: %v", time.Since(started), err)
	}
}

// TestRegistriesAreTrustedAsDockerDoes: a certificate authority of one's own counts for the
// registry in whose directory it is, and for no other.
func TestRegistriesAreTrustedAsDockerDoes(t *testing.T) {
	home := dockerConfig(t, `{}`)
	server, address := listening(t, aRegistry(nil), (*httptest.Server).StartTLS)
	_, err := Push(t.Context(), smallImage(t), address+"/agent:v1")
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), filepath.Join("/etc/docker/certs.d", address, "ca.crt")) || !strings.Contains(err.Error(), "SSL_CERT_FILE") {
		t.Fatalf("of an unknown authority: %v", err)
	}
	authority := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	write(t, home, map[string]string{".docker/certs.d/other.example/ca.crt": authority})
	if _, err := Push(t.Context(), smallImage(t), address+"/agent:v1"); err == nil {
		t.Error("an authority for another registry is trusted")
	}
	write(t, home, map[string]string{filepath.Join(".docker/certs.d", address, "ca.crt"): authority})
	if _, err := Push(t.Context(), smallImage(t), address+"/agent:v1"); err != nil {
		t.Errorf("with its authority: %v", err)
	}
	write(t, home, map[string]string{filepath.Join(".docker/certs.d", address, "ca.crt"): "words"})
	if _, err := Push(t.Context(), smallImage(t), address+"/agent:v1"); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("with a file of something else: %v", err)
	}
}

// TestReferencesAreChecked wants no push to what cannot be one.
func TestReferencesAreChecked(t *testing.T) {
	for to, want := range map[string]string{
		"registry.example/team/agent:v1":                           "",
		"localhost:5000/agent":                                     "",
		"registry.example/agent@sha256:" + strings.Repeat("a", 64): "a digest names what is there already; write a tag, as in registry.example/agent:v1",
		"Registry.example/Team/Agent:v1":                           `reading the image reference "Registry.example/Team/Agent:v1"`,
		"https://registry.example/agent:v1":                        "REGISTRY/REPOSITORY:TAG",
		"registry.example/agent:":                                  "REGISTRY/REPOSITORY:TAG",
		"registry.example/agent:" + strings.Repeat("v", 129):       "REGISTRY/REPOSITORY:TAG",
	} {
		if err := CheckPush(to); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", to, err, want)
		}
	}
}
