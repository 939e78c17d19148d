package problem

import (
	"net/url"
	"regexp"
	"strings"
)

// userinfo is a user and a password in text that need not be a URL. The password is
// taken to end at the last @ of the word.
var userinfo = regexp.MustCompile(`^((?:[a-zA-Z][a-zA-Z0-9+.-]*://)?[^:/@\s]*):\S*@`) //nolint:gochecknoglobals // a constant

// CleanURL returns a URL as it may be shown: its password, if it has one, is xxxxx, as
// url.URL.Redacted writes it. Text that cannot be read as a URL loses what looks like
// one. All that is printed, logged or stored of URLs which users give goes through it.
func CleanURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Opaque != "" && strings.Contains(u.Opaque, "@"):
		return userinfo.ReplaceAllString(text, "$1:xxxxx@")
	case u.User == nil:
		return text
	}
	if _, has := u.User.Password(); !has {
		return text
	}
	return u.Redacted()
}

// CleanText returns text of others, such as an error, without the passwords of URLs.
func CleanText(text string) string { return inText.ReplaceAllString(text, "$1:xxxxx@") }

// inText is a user and a password of a URL within text.
var inText = regexp.MustCompile(`(\b[a-zA-Z][a-zA-Z0-9+.-]*://[^:/@\s"']*):[^\s"']*@`) //nolint:gochecknoglobals // a constant

// maxExcerpt is how many bytes an Excerpt has at most, beside its dots.
const maxExcerpt = 128

// Excerpt bounds how much of a sender's word a text repeats, and leaves passwords out.
func Excerpt(text string) string {
	text = CleanURL(text)
	if len(text) > maxExcerpt {
		return text[:maxExcerpt] + "..."
	}
	return text
}
