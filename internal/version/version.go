// Package version says which version of the program this is.
package version

import "runtime/debug"

// override is set by the linker for releases.
var override string //nolint:gochecknoglobals // the linker sets variables only

// String returns the release's version, or the one that the Go tool recorded.
func String() string {
	if override != "" {
		return override
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// Go returns the version of Go the program was built with.
func Go() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.GoVersion
	}
	return "unknown"
}
