package controlhttp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/microsim-dev/kubectl-microsim/model/control"
)

func TestAuthorized(t *testing.T) {
	for _, tt := range []struct {
		authorization, header, token string
		want                         bool
	}{
		{"Bearer secret", "", "secret", true},
		{"", "secret", "secret", true},
		{"Bearer secret", "wrong", "secret", false}, // the header counts
		{"Bearer wrong", "secret", "secret", true},
		{"secret", "", "secret", false},
		{"bearer secret", "", "secret", false},
		{"Bearer secre", "", "secret", false},
		{"Bearer secrets", "", "secret", false},
		{"Bearer ", "", "secret", false},
		{"", "", "secret", false},
		{"Bearer ", "", "", false},
		{"", "", "", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if tt.authorization != "" {
			r.Header.Set("Authorization", tt.authorization)
		}
		if tt.header != "" {
			r.Header.Set("Microsim-Token", tt.header)
		}
		if got := Authorized(r, tt.token); got != tt.want {
			t.Errorf("Authorization %q, Microsim-Token %q, token %q: %t", tt.authorization, tt.header, tt.token, got)
		}
	}
}

func TestReadJSON(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"rate":1}`, ""},
		{"{\"rate\":1}\n \n", ""},
		{`{"rate":1}{}`, "reading the body of POST /control: there is more than one JSON value"},
		{`{"rate":1} x`, "reading the body of POST /control: there is more than one JSON value"},
		{`{"tare":1}`, `reading the body of POST /control: json: unknown field "tare"`},
		{`{"rate":"fast"}`, "cannot unmarshal string"},
		{``, "EOF"},
		{`{"rate":`, "unexpected EOF"},
		{`{"rate":1}` + strings.Repeat(" ", 100), "too large"},
		{`{"rate":` + strings.Repeat("1", 100), "too large"},
	} {
		var f control.LoadFactors
		r := httptest.NewRequest("POST", "/control", strings.NewReader(tt.body))
		err := ReadJSON(httptest.NewRecorder(), r, 50, &f)
		if tt.want == "" && (err != nil || f.Rate != 1) || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%.20q: %v, %v; want %q", tt.body, f, err, tt.want)
		}
		var large *http.MaxBytesError
		if errors.As(err, &large) != (tt.want == "too large") {
			t.Errorf("%.20q: %v is a MaxBytesError: %t", tt.body, err, errors.As(err, &large))
		}
	}
}

func TestClient(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch r.URL.Path {
		case "/echo":
			fmt.Fprintf(w, `{"error":"%s %s %s %s","later":1}`, r.Method, strings.ReplaceAll(string(body), `"`, "'"), r.Header.Get("Authorization"), r.Header.Get("Microsim-Token"))
		case "/huge":
			_, _ = w.Write(make([]byte, maxAnswer+1))
		case "/two":
			_, _ = io.WriteString(w, "{}{}")
		case "/none":
			w.WriteHeader(http.StatusNoContent)
		default:
			http.Error(w, strings.Repeat("no ", 300), http.StatusConflict)
		}
	}))
	defer server.Close()
	var got control.Refusal
	for _, tt := range []struct {
		header, path string
		body         any
		want, fails  string
	}{
		{"", "/echo", control.LoadStart{}, "PUT {'delayNs':0} Bearer t ", ""},
		{control.TokenHeader, "/echo", nil, "PUT   t", ""},
		{"", "/none", nil, "", "reading the answer"},
		{"", "/huge", nil, "", fmt.Sprintf("reading the answer: it has more than %d bytes", maxAnswer)},
		{"", "/two", nil, "", "reading the answer"},
		{"", "/echo", func() {}, "", "writing the body of PUT"},
		{"", "/other", nil, "", "it answers 409: no no"},
	} {
		got = control.Refusal{}
		c := Client{HTTP: server.Client(), Token: "t", Header: tt.header}
		err := c.Do(context.Background(), "PUT", server.URL+tt.path, tt.body, &got)
		if got.Error != tt.want || (err == nil) != (tt.fails == "") || err != nil && !strings.Contains(err.Error(), tt.fails) {
			t.Errorf("%s: %q, %v; want %q, %q", tt.path, got.Error, err, tt.want, tt.fails)
		}
	}
	c := Client{HTTP: server.Client()}
	var status *StatusError
	if err := c.Do(context.Background(), "GET", server.URL+"/other", nil, nil); !errors.As(err, &status) || status.Code != 409 || status.Status != "409 Conflict" || len(status.Body) != 901 || len(err.Error()) > 600 {
		t.Errorf("a refusal is %v", err)
	}
	if err := c.Do(context.Background(), "GET", server.URL+"/none", nil, nil); err != nil {
		t.Errorf("no answer wanted: %v", err)
	}
	if _, err := c.Stream(context.Background(), server.URL+"/other"); !errors.As(err, &status) || len(status.Body) > maxQuoted {
		t.Errorf("a stream that is refused: %v", err)
	}
	body, err := c.Stream(context.Background(), server.URL+"/echo")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if text, err := io.ReadAll(body); err != nil || !strings.Contains(string(text), "GET") {
		t.Errorf("a stream has %q, %v", text, err)
	}
}
