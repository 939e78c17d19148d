package emulate

import "fmt"

// atLeast tells whether a kernel's release, such as "6.1.0-13-amd64", is of that
// version or a later one. It takes a release that it cannot parse for an old one.
func atLeast(release string, major, minor int) bool {
	var a, b int
	if _, err := fmt.Sscanf(release, "%d.%d", &a, &b); err != nil {
		return false
	}
	return a > major || a == major && b >= minor
}
