//go:build e2e

package plugin

func accessCases() []e2eCase { return nil }
