package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.format.DateTimeParseException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** The faults of one replica. Requests see one set of them from beginning to end. */
final class FaultBoard {
  private static final int MAX_FAULTS = 200;

  private final String service;
  private final int replica;
  private final ScheduledExecutorService timer;
  private List<ActiveFault> running = List.of();
  private volatile FaultSet set;

  FaultBoard(String service, int replica, ScheduledExecutorService timer) {
    this.service = service;
    this.replica = replica;
    this.timer = timer;
    set = new FaultSet(replica, running);
  }

  FaultSet set() {
    return set;
  }

  /** Lets a fault act, in place of one with the same id. */
  void add(String id, JsonNode request) {
    if (id.isEmpty() || id.length() > 128) throw new IllegalArgumentException("the id of a fault has 1 to 128 characters");
    Json.only(request, "the request", Set.of("fault", "deadline"));
    if (!request.hasNonNull("fault")) throw new IllegalArgumentException("the request has no fault");
    ActiveFault fault = new ActiveFault(id, request.get("fault"), service);
    String deadline = request.path("deadline").asText("");
    Duration left = null;
    if (!deadline.isEmpty() && !deadline.startsWith("0001-")) {
      fault.deadline = instant(deadline);
      left = Duration.between(Instant.now(), fault.deadline);
      if (left.isNegative() || left.isZero()) throw new IllegalArgumentException("its deadline " + Json.quote(deadline) + " is over");
    }
    synchronized (this) {
      end(f -> f.id.equals(id));
      if (running.size() >= MAX_FAULTS) throw new IllegalArgumentException(MAX_FAULTS + " faults act already, the most possible");
      List<ActiveFault> more = new ArrayList<>(running);
      more.add(fault);
      publish(more);
    }
    if (left != null) timer.schedule(() -> end(f -> f == fault), left.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static Instant instant(String text) {
    try {
      return OffsetDateTime.parse(text).toInstant();
    } catch (DateTimeParseException e) {
      throw new IllegalArgumentException("deadline: " + e.getMessage(), e);
    }
  }

  void clear(String id) {
    end(f -> f.id.equals(id));
  }

  void clearAll() {
    end(f -> true);
  }

  private synchronized void end(Predicate<ActiveFault> which) {
    running.stream().filter(which).forEach(f -> f.cleared.countDown());
    publish(running.stream().filter(which.negate()).toList());
  }

  private void publish(List<ActiveFault> faults) {
    running = faults;
    set = new FaultSet(replica, faults);
  }

  /** The faults as control lists them. */
  synchronized ArrayNode list() {
    ArrayNode list = Json.MAPPER.createArrayNode();
    running.forEach(f -> list.add(f.list(service + "/" + replica)));
    return list;
  }

  /** How many faults of a type act. */
  synchronized long count(FaultKind kind) {
    return running.stream().filter(f -> f.kind == kind).count();
  }
}
