package dev.microsim.mock;

import io.prometheus.metrics.core.metrics.Counter;
import io.prometheus.metrics.core.metrics.GaugeWithCallback;
import io.prometheus.metrics.core.metrics.Histogram;
import io.prometheus.metrics.expositionformats.ExpositionFormats;
import io.prometheus.metrics.instrumentation.jvm.JvmMetrics;
import io.prometheus.metrics.model.registry.PrometheusRegistry;
import io.prometheus.metrics.model.snapshots.Labels;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.util.List;
import java.util.function.LongSupplier;

/** The metrics of the contract. Every series that the System implies starts at zero. */
final class Metrics {
  private static final double[] BUCKETS = {0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 25};
  private static final List<String> ATTEMPTS = List.of("ok", "http_error", "connection_error", "timeout", "cancelled", "malformed");

  private final PrometheusRegistry registry = new PrometheusRegistry();
  private final Labels service;
  private final Counter requests;
  private final Counter degraded;
  private final Counter calls;
  private final Counter attempts;
  private final Counter callsDegraded;
  private final Histogram requestTimes;
  private final Histogram callTimes;

  Metrics(String name, List<Endpoint> endpoints, FaultBoard faults, LongSupplier inflight, LongSupplier held) {
    service = Labels.of("service", name);
    requests = counter("requests", "Requests answered, by endpoint and status; code aborted got no answer.", "endpoint", "code");
    requestTimes = histogram("request_duration_seconds", "Time from the arrival of a request to its answer.", "endpoint");
    degraded = counter("requests_degraded", "Requests answered well, but with parts that are not what they should be.", "endpoint");
    calls = counter("calls", "Calls made, by callee and by how they ended.", "callee", "outcome");
    attempts = counter("call_attempts", "Requests sent for calls, by callee and outcome.", "callee", "outcome");
    callTimes = histogram("call_duration_seconds", "Time of calls, whatever their outcome.", "callee");
    callsDegraded = counter("calls_degraded", "Calls answered well, but with parts that are not what they should be.", "callee");
    gauge("inflight_requests", "Requests being worked on.", inflight);
    gauge("queue_length", "Requests that wait inside the service: none.", () -> 0);
    gauge("held_memory_bytes", "Memory held for requests and leaks.", held);
    GaugeWithCallback.builder().name("microsim_fault_active").help("Faults that act now, by type.").constLabels(service).labelNames("fault").callback(set -> {
      for (FaultKind kind : FaultKind.values()) set.call(faults.count(kind), kind.text());
    }).register(registry);
    JvmMetrics.builder().register(registry);
    for (Endpoint e : endpoints) {
      start(e.path, e.status);
      e.callees.forEach(this::startCallee);
    }
    start("chain", 200);
    start("other", 404);
  }

  private Counter counter(String name, String help, String... labels) {
    return Counter.builder().name("microsim_" + name).help(help).constLabels(service).labelNames(labels).withoutExemplars().register(registry);
  }

  private Histogram histogram(String name, String help, String label) {
    return Histogram.builder().name("microsim_" + name).help(help).constLabels(service).labelNames(label).classicOnly().classicUpperBounds(BUCKETS).withoutExemplars().register(registry);
  }

  private void gauge(String name, String help, LongSupplier now) {
    GaugeWithCallback.builder().name("microsim_" + name).help(help).constLabels(service).callback(value -> value.call(now.getAsLong())).register(registry);
  }

  private void start(String endpoint, int usual) {
    for (String code : List.of(String.valueOf(usual), "500", "502", "503", "504", "aborted")) requests.initLabelValues(endpoint, code);
    requestTimes.initLabelValues(endpoint);
    degraded.initLabelValues(endpoint);
  }

  private void startCallee(String callee) {
    calls.initLabelValues(callee, "breaker_open");
    calls.initLabelValues(callee, "rejected");
    for (String outcome : ATTEMPTS) {
      calls.initLabelValues(callee, outcome);
      attempts.initLabelValues(callee, outcome);
    }
    callTimes.initLabelValues(callee);
    callsDegraded.initLabelValues(callee);
  }

  /** Counts a request; a status of 0 means that it got no answer. */
  void request(String endpoint, int status, long took, long parts) {
    requests.labelValues(endpoint, status > 0 ? String.valueOf(status) : "aborted").inc();
    requestTimes.labelValues(endpoint).observe(took / 1e9);
    if (parts > 0 && status > 0 && status < 400) degraded.labelValues(endpoint).inc();
  }

  /** Counts a call, which is sent once. */
  void call(String callee, String outcome, long took, long parts) {
    calls.labelValues(callee, outcome).inc();
    attempts.labelValues(callee, outcome).inc();
    callTimes.labelValues(callee).observe(took / 1e9);
    if (outcome.equals("ok") && parts > 0) callsDegraded.labelValues(callee).inc();
  }

  /** All metrics as text. */
  byte[] text() {
    try {
      ByteArrayOutputStream out = new ByteArrayOutputStream();
      ExpositionFormats.init().getPrometheusTextFormatWriter().write(out, registry.scrape());
      return out.toByteArray();
    } catch (IOException e) {
      throw new IllegalStateException(e);
    }
  }
}
