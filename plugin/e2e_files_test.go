//go:build e2e

package plugin

func fileCases() []e2eCase { return nil }
