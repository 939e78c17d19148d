package dev.microsim.mock;

import java.util.List;

/**
 * The types of faults, in the order in which they act. From abort on, the first ends the
 * request; unreachable acts on calls.
 */
enum FaultKind {
  MEMORY_LEAK(new Args(List.of("size", "duration"), List.of()), new Args(List.of("size"), List.of("hold"))),
  LATENCY(new Args(List.of("delay"), List.of()), new Args(List.of("delay"), List.of("jitter"))),
  CPU(new Args(List.of("duration"), List.of("cores")), new Args(List.of("hold"), List.of("cores"))),
  IO(new Args(List.of("size"), List.of()), new Args(List.of("size"), List.of())),
  CORRUPT,
  HANG,
  ABORT,
  PANIC,
  ERROR(new Args(List.of(), List.of("status", "rate")), new Args(List.of(), List.of("status"))),
  UNREACHABLE;

  /** The arguments that something needs, and those that it may have. */
  record Args(List<String> needs, List<String> may) {
    boolean know(String name) {
      return needs.contains(name) || may.contains(name);
    }
  }

  /** Arguments in chains, and by control. */
  final Args ofChain;
  final Args ofControl;

  FaultKind(Args ofChain, Args ofControl) {
    this.ofChain = ofChain;
    this.ofControl = ofControl;
  }

  FaultKind() {
    this(new Args(List.of(), List.of()), new Args(List.of(), List.of()));
  }

  String text() {
    return name().toLowerCase().replace('_', '-');
  }

  /** The type of a name; null if there is none. */
  static FaultKind of(String name) {
    for (FaultKind kind : values()) {
      if (kind.text().equals(name)) return kind;
    }
    return null;
  }
}
