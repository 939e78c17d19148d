package dev.microsim.mock;

import java.util.List;

/** One thing that is done for a request, by a fault if there is one. */
record Op(Kind kind, ActiveFault fault) {
  static Op of(Kind kind) {
    return new Op(kind, null);
  }

  /** Whether the last operation ends the request. */
  static boolean ends(List<Op> ops) {
    if (ops.isEmpty()) return false;
    Kind last = ops.get(ops.size() - 1).kind;
    return last instanceof Fail || last instanceof Abort || last instanceof Respond;
  }

  sealed interface Kind permits Sleep, Cpu, CpuUnits, Io, Hold, Leak, CallService, CallRoute, Parallel, Corrupt, Hang, Abort, Fail, Respond {}

  record Sleep(long time) implements Kind {}

  record Cpu(long time, double cores) implements Kind {}

  record CpuUnits(double units) implements Kind {}

  record Io(long bytes) implements Kind {}

  record Hold(long bytes) implements Kind {}

  record Leak(long bytes, long time) implements Kind {}

  record CallService(Call call, int index) implements Kind {}

  record CallRoute(Chain.Route route, int index) implements Kind {}

  record Parallel(List<List<Op>> branches) implements Kind {}

  record Corrupt() implements Kind {}

  record Hang() implements Kind {}

  record Abort() implements Kind {}

  record Fail(int status) implements Kind {}

  record Respond() implements Kind {}
}
