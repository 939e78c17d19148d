//go:build e2e

package plugin

func loadCases() []e2eCase { return nil }
