package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"

	"github.com/microsim-dev/kubectl-microsim/model/result"
)

// The elements of JUnit's XML that systems of continuous integration read (the form is
// that of Ant's junitreport, as github.com/testmoapp/junitxml collects it).
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Errors   int          `xml:"errors,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Failure *junitTrouble `xml:"failure"`
		Error   *junitTrouble `xml:"error"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitTrouble struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
	}
)

// JUnit writes runs as JUnit's XML: a suite for each, whose tests are its checks. The
// first test of a suite says whether the run was complete: one that ended early is an
// error, whatever its checks say.
func JUnit(w io.Writer, runs []*result.Result) error {
	all := junitSuites{}
	for _, r := range runs {
		s := junitOf(r)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
		all.Suites = append(all.Suites, s)
	}
	text, err := xml.MarshalIndent(all, "", "  ")
	if err == nil {
		_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	}
	return err
}

func junitOf(r *result.Result) junitSuite {
	name := r.Name
	if r.Variant != "" {
		name += "/" + r.Variant
	}
	s := junitSuite{
		Name: fmt.Sprintf("%s, seed %d, on %s", name, r.Seed, r.Target), Time: fmt.Sprintf("%.3f", r.Ended.Sub(r.Started).Seconds()),
		Timestamp:  r.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: []junitProperty{{"seed", fmt.Sprint(r.Seed)}, {"target", r.Target}, {"command", r.Command}},
	}
	complete := junitCase{Name: "the run is complete", Class: name}
	if r.Incomplete {
		complete.Error = &junitTrouble{"incomplete", cmp.Or(r.Why, "the run ended before its end")}
		s.Errors++
	}
	s.Cases = append(s.Cases, complete)
	for i := range r.Checks {
		check := &r.Checks[i]
		c := junitCase{Name: checkText(check.Check), Class: name}
		switch {
		case check.Pass:
			c.Out = check.Why
		case check.NotKnown:
			c.Failure = &junitTrouble{"not known", check.Why}
			s.Failures++
		default:
			c.Failure = &junitTrouble{"failed", check.Why}
			s.Failures++
		}
		s.Cases = append(s.Cases, c)
	}
	s.Tests = len(s.Cases)
	return s
}
