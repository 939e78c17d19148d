// Package gateapi serves gates over HTTP, in the API of toxiproxy 2.x: the same
// paths, JSON, toxic types, status codes and error bodies, so that its client
// libraries drive a gate unchanged.
//
//	api := gateapi.New(gateapi.Config{})
//	defer api.Close()
//	http.ListenAndServe("127.0.0.1:8474", api)
//
// Any client of the API can open ports on this machine and relay through them,
// so the caller should listen on loopback unless asked otherwise. Requests of
// web pages are refused by their User-Agent, Origin, Sec-Fetch-Site and, with
// [Config.Hosts], their Host. A proxy without a listen address gets a free port
// of 127.0.0.1.
//
// # Toxics
//
// Types known from toxiproxy, with its attributes and units: latency, bandwidth,
// slow_close, timeout, reset_peer, slicer, limit_data, noop (which passes
// everything). Further types:
//
//	delay          delay, jitter (ms), serial
//	stop_reading
//	drop           share (0..1; 0 means all)
//	retransmit     share (0..1) of sendings lost, as TCP shows it: by delay
//	reorder        delay (ms), share (0..1) of datagrams that overtake; UDP only
//	close_on_data  reset
//	corrupt
//	limit_bps      bytes_per_second, burst (0: one second's worth), per_connection
//	limit_time     timeout, jitter (ms), idle
//	limit_bytes    bytes, per_connection
//	smaller_parts  max_size, delay (ms)
//	concatenate    size, give_up (ms; 0: one minute)
//	substitute     pattern, replacement
//	slow_open      delay, jitter (ms)
//
// # Beyond toxiproxy
//
//   - A proxy's listen and upstream may be "udp:host:port" or "unix:/path".
//
//   - A proxy may be sent "accepting": false, which leaves its port open and
//     serves no new clients; it is shown only while it is false.
//
//   - GET /proxies/{proxy}/connections lists connections. DELETE closes all, or
//     ?count=N of them; with ?reset=true by a TCP reset.
//
//   - GET /proxies/{proxy}/toxics/{toxic}/effect tells how often the toxic acted;
//     ?wait=5s waits until it has, and answers 408 if it does not.
//
//   - A proxy may be made with its toxics, in POST /proxies and POST /populate:
//     they act from its first connection. Populate makes the toxics of a proxy
//     that exists those of the list if the list has some.
//
// # Differences
//
// Fields that are not known are answered with 400, where toxiproxy drops them:
// they would have no effect. For the same reason a proxy cannot be renamed, and a
// toxic keeps its name, type and stream. Toxics in a change of a proxy are not
// looked at, because client libraries send those that they once read.
//
// A change that fails leaves a proxy as it was, and POST /reset goes on past a
// proxy that cannot start. A change of the upstream keeps the port open.
//
// A wrong value (a negative rate, a share above 1, an unreadable pattern) is
// answered with 400, where toxiproxy accepts it and misbehaves. The
// timeout toxic closes its time after it met the connection, as documented,
// rather than after the last data. reset_peer also resets connections
// that were open before it came. A half-close is passed on as such.
package gateapi
