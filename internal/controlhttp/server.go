package controlhttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

// Authorized reports whether a request carries the token, in TokenHeader or,
// if that is empty, in AuthorizationHeader. Nobody has the empty token.
func Authorized(r *http.Request, token string) bool {
	given := r.Header.Get(control.TokenHeader)
	if given == "" {
		bearer, ok := strings.CutPrefix(r.Header.Get(control.AuthorizationHeader), control.Bearer)
		if !ok {
			return false
		}
		given = bearer
	}
	// Hashes have one length, so the time to compare them reveals nothing.
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && token != ""
}

// ReadJSON reads the body of a request, of at most limit bytes, into a value.
// It refuses unknown fields and anything behind the first JSON value. A body
// past the limit is an *http.MaxBytesError.
func ReadJSON(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		var large *http.MaxBytesError
		if _, more := decoder.Token(); errors.As(more, &large) {
			err = more
		} else if !errors.Is(more, io.EOF) {
			err = errors.New("there is more than one JSON value")
		}
	}
	if err != nil {
		return fmt.Errorf("reading the body of %s %s: %w", r.Method, r.URL.Path, err)
	}
	return nil
}
