package problem

import (
	"net/url"
	"strings"
	"testing"
)

func TestCleanURL(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"web":                                 "web",
		"http://127.0.0.1:8080/a?b=c":         "http://127.0.0.1:8080/a?b=c",
		"http://ann@host/":                    "http://ann@host/",
		"http://ann:secret@host/a":            "http://ann:xxxxx@host/a",
		"https://ann:secret@host:443/a?b=c@d": "https://ann:xxxxx@host:443/a?b=c@d",
		"http://:secret@host/":                "http://:xxxxx@host/",
		"http://ann:sec%2Fret@host/":          "http://ann:xxxxx@host/",
		// These are no URLs.
		"http://ann:secret@host:port/": "http://ann:xxxxx@host:port/",
		"http://ann:sec/ret@host/":     "http://ann:xxxxx@host/",
		"http://ann:se@cret@host:x/":   "http://ann:xxxxx@host:x/",
		"http://ann:%zzsecret@host/":   "http://ann:xxxxx@host/",
		"ann:secret@host:5432":         "ann:xxxxx@host:5432",
		"http://host:99999999999/":     "http://host:99999999999/",
		"127.0.0.1:5432":               "127.0.0.1:5432",
	} {
		if got := CleanURL(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

func TestCleanText(t *testing.T) {
	for text, want := range map[string]string{
		`Get "http://ann:secret@host/": refused`:                  `Get "http://ann:xxxxx@host/": refused`,
		`at 12:30 mail bob@example.org about http://host:80/x`:    `at 12:30 mail bob@example.org about http://host:80/x`,
		`from http://a:secret@b/ to https://c:secret@d/, nothing`: `from http://a:xxxxx@b/ to https://c:xxxxx@d/, nothing`,
		`{"designation":"http://a:secret@b/","probability":100}`:  `{"designation":"http://a:xxxxx@b/","probability":100}`,
	} {
		if got := CleanText(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

// FuzzCleanURL looks for a URL that shows its password.
func FuzzCleanURL(f *testing.F) {
	f.Add("ann", "secret", "host", "/a@b")
	f.Add("", "%zz", "host:x", "")
	f.Fuzz(func(t *testing.T, user, password, host, rest string) {
		const mark = "PaSsWoRd"
		text := "http://" + user + ":" + password + mark + "@" + host + rest
		if strings.ContainsAny(user, ":/@?#\\ \t\r\n\v\f\u0085\u00a0") || strings.ContainsAny(password, "/?#@ \t\r\n\v\f") || strings.Contains(user+host+rest, mark) {
			return // it is not a password to url.Parse, or a word of its own
		}
		if u, err := url.Parse(text); err == nil && u.User == nil {
			return
		}
		if got := CleanURL(text); strings.Contains(got, mark) {
			t.Errorf("%q is shown as %q", text, got)
		}
	})
}

func TestExcerpt(t *testing.T) {
	long := strings.Repeat("a", 128)
	for text, want := range map[string]string{
		"": "", long: long, long + "b": long + "...", "http://ann:secret@host/": "http://ann:xxxxx@host/",
	} {
		if got := Excerpt(text); got != want {
			t.Errorf("%q is repeated as %q, want %q", text, got, want)
		}
	}
}
