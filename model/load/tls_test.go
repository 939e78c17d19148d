package load

import (
	"strings"
	"testing"
)

func TestTLS(t *testing.T) {
	const ca = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	https := []Request{{URL: "https://host/"}}
	for name, tt := range map[string]struct {
		tls      TLS
		requests []Request
		want     string
	}{
		"unchecked":    {TLS{Insecure: true}, https, ""},
		"checked":      {TLS{CA: ca}, https, ""},
		"of a chain":   {TLS{Insecure: true}, []Request{{Chain: `{"designation": "https://host/"}`}}, ""},
		"nothing":      {TLS{}, https, "says nothing"},
		"both":         {TLS{Insecure: true, CA: ca}, https, "either checked with ca, or not at all"},
		"no PEM":       {TLS{CA: "secret"}, https, "there is no certificate"},
		"a key":        {TLS{CA: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}, https, "there is no certificate"},
		"no https URL": {TLS{Insecure: true}, []Request{{URL: "http://host/"}, {Service: "web"}}, "no request goes to an https URL"},
		"no request":   {TLS{Insecure: true}, nil, "no request goes to an https URL"},
	} {
		t.Run(name, func(t *testing.T) {
			p := Profile{TLS: &tt.tls, Requests: tt.requests, Phases: []Phase{{Users: 1, Count: 1}}}
			p = p.WithDefaults()
			err := p.Validate().Err()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestRequestsAreNamedWithoutPasswords(t *testing.T) {
	p := Profile{Requests: []Request{{URL: "http://ann:secret@host/x"}}}
	p = p.WithDefaults()
	if got := p.Requests[0].Name; got != "http://ann:xxxxx@host/x" {
		t.Errorf("the name is %q", got)
	}
	if err := CheckURL("http://ann:secret@host:port/"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the error is %v", err)
	}
}
