package result

// An Explanation is the chain of causes of what clients saw, in the order of time.
type Explanation struct {
	// Trouble is set where requests failed, were degraded, or waited long.
	Trouble bool              `json:"trouble"`
	Lines   []ExplanationLine `json:"lines"`
}

// An ExplanationLine is one link of the chain, for people.
type ExplanationLine struct {
	// At is when it began, in seconds since the load started.
	At float64 `json:"at"`
	// Service is the one that it is about; empty for the clients.
	Service string `json:"service,omitempty"`
	Text    string `json:"text"`
}
