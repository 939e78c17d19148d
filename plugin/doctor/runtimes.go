package doctor

import (
	"errors"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/runtimes"
)

// examineRuntimes looks for the tools of runtimes, by language, and says which
// runtimes are installed. It runs none of the tools, as some take seconds for their
// version, and leave files behind.
func examineRuntimes() []Finding {
	all, err := runtimes.All()
	store, storeErr := runtimes.Default()
	if err := errors.Join(err, storeErr); err != nil {
		return []Finding{{Where: "machine", Name: "runtimes", What: "services in web frameworks", Why: err.Error()}}
	}
	var languages []string
	names, missing := map[string][]string{}, map[string][]string{}
	for i := range all {
		m := &all[i]
		if !slices.Contains(languages, m.Language) {
			languages = append(languages, m.Language)
			missing[m.Language] = missingTools(m.Tools)
		}
		name := string(m.Name)
		if _, err := store.Installed(m); err == nil {
			name += " (installed)"
		}
		names[m.Language] = append(names[m.Language], name)
	}
	var findings []Finding
	for _, language := range languages {
		f := Finding{Where: "machine", Name: "runtimes in " + language, What: "tools for services on " + strings.Join(names[language], ", ") + " (their versions: runtimes list)", Works: len(missing[language]) == 0}
		if !f.Works {
			f.Why = strings.Join(missing[language], "; ")
			f.Remedy = "nothing, unless services on " + strings.Join(names[language], ", ") + " are wanted"
		}
		findings = append(findings, f)
	}
	return findings
}

func missingTools(tools []runtimes.Tool) (missing []string) {
	for i := range tools {
		if _, err := tools[i].Find(); err != nil {
			missing = append(missing, err.Error())
		}
	}
	return missing
}
