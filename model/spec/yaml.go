package spec

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flowWidth is the longest object or list that is written in one line.
const flowWidth = 80

// yaml makes a node of the YAML library. What is small is written in one line.
func (n *node) yaml() *yaml.Node {
	out := &yaml.Node{Kind: yaml.ScalarNode, Value: n.scalar}
	switch n.shape {
	case null:
		out.Tag, out.Value = "!!null", "null"
	case text:
		out.Tag = "!!str"
	case number:
		out.Tag = "!!float"
		if !strings.ContainsAny(n.scalar, ".eE") {
			out.Tag = "!!int"
		}
	case boolean:
		out.Tag = "!!bool"
	case list:
		out.Kind, out.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.items {
			out.Content = append(out.Content, item.yaml())
		}
	case object:
		out.Kind, out.Tag = yaml.MappingNode, "!!map"
		for _, f := range n.fields {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.key}
			out.Content = append(out.Content, key, f.value.yaml())
		}
	}
	if out.Kind != yaml.ScalarNode && !n.has("name") && !n.contains("name") && n.width(flowWidth) >= 0 {
		out.Style = yaml.FlowStyle
	}
	return out
}

// width returns what is left of a width when the node is written in one line,
// or a negative number where it does not fit.
func (n *node) width(left int) int {
	left -= len(n.scalar) + 2
	for _, item := range n.items {
		if left < 0 {
			return left
		}
		left = item.width(left)
	}
	for _, f := range n.fields {
		if left < 0 {
			return left
		}
		left = f.value.width(left - len(f.key) - 2)
	}
	return left
}

// contains reports whether an object in the list has the key. Lists of named
// things are written one a line.
func (n *node) contains(key string) bool {
	return slices.ContainsFunc(n.items, func(item *node) bool { return item.has(key) })
}
