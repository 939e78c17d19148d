// Command microsim-agent is the small program that serves one mock service,
// breaks the network of one namespace, or generates load inside a pod.
package main

func main() {}
