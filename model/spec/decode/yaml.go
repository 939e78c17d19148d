package decode

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// flowWidth is the longest object or list that is written in one line.
const flowWidth = 80

// YAML returns a node of the YAML library. Small values are written in one line.
func (n *Node) YAML() *yaml.Node {
	out := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Scalar}
	switch n.Shape {
	case null:
		out.Tag, out.Value = "!!null", "null"
	case Text:
		out.Tag = "!!str"
	case Number:
		out.Tag = "!!float"
		if !strings.ContainsAny(n.Scalar, ".eE") {
			out.Tag = "!!int"
		}
	case Boolean:
		out.Tag = "!!bool"
	case List:
		out.Kind, out.Tag = yaml.SequenceNode, "!!seq"
		for _, item := range n.Items {
			out.Content = append(out.Content, item.YAML())
		}
	case Object:
		out.Kind, out.Tag = yaml.MappingNode, "!!map"
		for _, f := range n.Fields {
			key := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: f.Key}
			out.Content = append(out.Content, key, f.Value.YAML())
		}
	}
	if out.Kind != yaml.ScalarNode && !n.Has("name") && !n.contains("name") && n.width(flowWidth) >= 0 {
		out.Style = yaml.FlowStyle
	}
	return out
}

// width returns what is left of a width when the node is written in one line,
// or a negative number where it does not fit.
func (n *Node) width(left int) int {
	left -= len(n.Scalar) + 2
	for _, item := range n.Items {
		if left < 0 {
			return left
		}
		left = item.width(left)
	}
	for _, f := range n.Fields {
		if left < 0 {
			return left
		}
		left = f.Value.width(left - len(f.Key) - 2)
	}
	return left
}

// contains reports whether an object in the list has the key. Lists of named
// things are written one a line.
func (n *Node) contains(key string) bool {
	return slices.ContainsFunc(n.Items, func(item *Node) bool { return item.Has(key) })
}
