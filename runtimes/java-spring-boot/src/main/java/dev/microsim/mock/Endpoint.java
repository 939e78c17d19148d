package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Pattern;

/** An endpoint of a System, compiled for deciding. */
final class Endpoint {
  static final List<String> METHODS = List.of("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT");
  private static final Pattern BRACES = Pattern.compile("\\{[A-Za-z_][A-Za-z0-9_-]*\\}");

  final String path;
  /** Empty means any. */
  final String method;
  final int status;
  final String body;
  final long size;
  final long timeout;
  final TreeSet<String> callees = new TreeSet<>();
  private final double errorRate;
  private final int errorStatus;
  private final List<Step> steps;
  private int numberOfSteps;
  private int numberOfCalls;

  /** A step of a System, or a part of one, with its number. */
  private record Step(int n, double chance, Function<Key, Op.Kind> kind) {}

  Endpoint(JsonNode node) {
    path = node.path("path").asText("/");
    method = node.path("method").asText("");
    JsonNode response = node.path("response");
    status = response.path("status").asInt(200);
    body = response.path("body").asText("");
    size = Units.size(response.path("size"));
    timeout = Units.duration(node.path("timeout"));
    errorRate = node.path("errorRate").asDouble(0);
    errorStatus = node.path("errorStatus").asInt(500);
    refuse("endpoint " + path, "require", Json.given(node.path("require")));
    refuse("endpoint " + path, "a name in braces", hasBraces(path) || hasBraces(body));
    steps = compile(node.path("steps"));
  }

  static boolean hasBraces(String text) {
    return BRACES.matcher(text).find();
  }

  /** Says that this runtime cannot do something, rather than leave it out. */
  static void refuse(String where, String what, boolean used) {
    if (used) throw new IllegalArgumentException(where + ": " + what + " needs a runtime of level L3, this one has L2");
  }

  private List<Step> compile(JsonNode list) {
    List<Step> compiled = new ArrayList<>();
    for (JsonNode from : list) {
      if (from.hasNonNull("work")) compileWork(from.get("work"), compiled);
      if (from.hasNonNull("call")) {
        Call call = Call.of(from.get("call"));
        callees.add(call.to());
        for (int i = 0; i < call.count(); i++) {
          Op.Kind kind = new Op.CallService(call, numberOfCalls++);
          compiled.add(new Step(numberOfSteps++, call.probability(), key -> kind));
        }
      }
      if (!from.path("parallel").isEmpty()) {
        int n = numberOfSteps++;
        List<List<Step>> branches = new ArrayList<>();
        for (JsonNode branch : from.get("parallel")) branches.add(compile(Json.MAPPER.createArrayNode().add(branch)));
        // Its branches are decided by the key of all steps, not by its own.
        compiled.add(new Step(n, 1, key -> new Op.Parallel(branches.stream().map(b -> decide(b, key)).toList())));
      }
    }
    return compiled;
  }

  private void compileWork(JsonNode work, List<Step> compiled) {
    Delay sleep = Delay.of(work.path("sleep")), cpu = Delay.of(work.path("cpu"));
    if (!sleep.isZero()) {
      int n = numberOfSteps++;
      compiled.add(new Step(n, 1, key -> new Op.Sleep(sleep.draw(key.with(n)))));
    }
    if (!cpu.isZero()) {
      int n = numberOfSteps++;
      compiled.add(new Step(n, 1, key -> new Op.Cpu(cpu.draw(key.with(n)), 1)));
    }
    double units = work.path("cpuUnits").asDouble(0);
    if (units > 0) compiled.add(new Step(numberOfSteps++, 1, key -> new Op.CpuUnits(units)));
    long io = Units.size(work.path("io")), memory = Units.size(work.path("memory"));
    if (io > 0) compiled.add(new Step(numberOfSteps++, 1, key -> new Op.Io(io)));
    if (memory > 0) compiled.add(new Step(numberOfSteps++, 1, key -> new Op.Hold(memory)));
  }

  boolean answers(String asked) {
    return method.equals(asked) || method.isEmpty() && METHODS.contains(asked);
  }

  /** The program of one request. */
  List<Op> decide(Key key, String from, FaultSet faults) {
    List<Op> ops = faults.decide(key, from, path);
    if (Op.ends(ops)) return ops;
    if (errorRate > 0 && key.with("error").chance(errorRate)) {
      ops.add(Op.of(new Op.Fail(errorStatus)));
      return ops;
    }
    ops.addAll(decide(steps, key.with("step")));
    ops.add(Op.of(new Op.Respond()));
    return ops;
  }

  private static List<Op> decide(List<Step> steps, Key key) {
    List<Op> ops = new ArrayList<>();
    for (Step s : steps) {
      if (s.chance >= 1 || key.with(s.n).with("chance").chance(s.chance)) ops.add(Op.of(s.kind.apply(key)));
    }
    return ops;
  }
}
