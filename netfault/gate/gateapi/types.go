package gateapi

import (
	"reflect"
)

// A ToxicType describes a type of toxic for help texts and docs.
type ToxicType struct {
	Type string
	// Attributes are the names of the attributes, as clients write them.
	Attributes []string
	// Toxiproxy says whether toxiproxy knows the type, too.
	Toxiproxy bool
	Doc       string
}

// ToxicTypes lists the types of toxics, those of toxiproxy first.
func ToxicTypes() []ToxicType {
	types := []ToxicType{
		{"latency", nil, true, "delays data by latency, plus or minus jitter (ms)"},
		{"bandwidth", nil, true, "limits each connection to rate KB (1000 bytes) per second"},
		{"slow_close", nil, true, "passes the end of data on after delay (ms)"},
		{"timeout", nil, true, "discards data and closes after timeout (ms); 0: when it is removed"},
		{"reset_peer", nil, true, "resets a connection after timeout (ms) from its first data"},
		{"slicer", nil, true, "sends parts of average_size, plus or minus size_variation, with delay (microseconds) before each"},
		{"limit_data", nil, true, "closes each connection after bytes"},
		{"noop", nil, true, "passes everything, and counts"},
		{"delay", nil, false, "delays like latency (ms); serial: one read of 4096 bytes at a time"},
		{"stop_reading", nil, false, "reads nothing: the sender blocks"},
		{"drop", nil, false, "loses a share (0 to 1; 0: all) of chunks or datagrams"},
		{"retransmit", nil, false, "delays as TCP does if a share (0 to 1) of sendings is lost"},
		{"reorder", nil, false, "delays datagrams by delay (ms), but for a share (0 to 1), which overtakes; UDP gates alone"},
		{"close_on_data", nil, false, "closes, or resets, a connection at its first data"},
		{"corrupt", nil, false, "changes every byte"},
		{"limit_bps", nil, false, "limits all connections together, or per_connection, to bytes_per_second; burst (bytes) at once"},
		{"limit_time", nil, false, "closes when data comes later than timeout, plus up to jitter (ms), after the first; idle: also without data"},
		{"limit_bytes", nil, false, "closes all connections after bytes in all; per_connection: each after its own"},
		{"smaller_parts", nil, false, "sends parts of at most max_size, with delay (ms) before each"},
		{"concatenate", nil, false, "holds data until there are size bytes, or for give_up (ms; 0: a minute)"},
		{"substitute", nil, false, "replaces matches of pattern (Go syntax) by replacement"},
		{"slow_open", nil, false, "waits delay, plus or minus jitter (ms), before it connects to the upstream"},
	}
	for i := range types {
		types[i].Attributes = fieldsOf(reflect.TypeOf(newAttributes(types[i].Type)))
	}
	return types
}
