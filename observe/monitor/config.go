package monitor

import (
	"net/url"
	"time"
)

// Job is the name of the job under which Prometheus scrapes systems.
const Job = "microsim"

// refresh is how often Prometheus asks for the targets of a system.
const refresh = 5 * time.Second

type configuration struct {
	Global    globalConfig   `yaml:"global"`
	RuleFiles []string       `yaml:"rule_files,omitempty"`
	Scrape    []scrapeConfig `yaml:"scrape_configs"`
}

type globalConfig struct {
	ScrapeInterval     string `yaml:"scrape_interval"`
	EvaluationInterval string `yaml:"evaluation_interval"`
}

type scrapeConfig struct {
	Job string `yaml:"job_name"`
	// HonorLabels keeps the service and endpoint that a service itself says.
	HonorLabels   bool     `yaml:"honor_labels"`
	ScrapeTimeout string   `yaml:"scrape_timeout"`
	HTTPSD        []httpSD `yaml:"http_sd_configs"`
}

type httpSD struct {
	URL     string `yaml:"url"`
	Refresh string `yaml:"refresh_interval"`
}

// Config is the text of a prometheus.yml that scrapes what a list of targets (HTTP
// service discovery) names, and evaluates rule files, whose paths are relative to it.
func Config(targets *url.URL, ruleFiles []string, o Options) ([]byte, error) {
	return writeYAML(configuration{
		Global:    globalConfig{Span(o.Interval), Span(o.Interval)},
		RuleFiles: ruleFiles,
		Scrape: []scrapeConfig{{
			Job: Job, HonorLabels: true, ScrapeTimeout: Span(min(o.Interval, 10*time.Second)),
			HTTPSD: []httpSD{{targets.String(), Span(refresh)}},
		}},
	})
}
