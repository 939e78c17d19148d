package dev.microsim.mock;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** The faults that act on one replica, in the order in which they act. */
final class FaultSet {
  private final List<ActiveFault> here;
  private final List<ActiveFault> calls;

  FaultSet(int replica, List<ActiveFault> active) {
    calls = active.stream().filter(f -> f.kind == FaultKind.UNREACHABLE).toList();
    here = active.stream().filter(f -> f.kind != FaultKind.UNREACHABLE && f.actsOn(replica)).sorted(Comparator.comparing(f -> f.kind)).toList();
  }

  List<Op> decide(Key key, String from, String path) {
    List<Op> ops = new ArrayList<>();
    for (ActiveFault f : here) {
      if (!f.means("from", from) || !f.means("endpoint", path)) continue;
      Key own = key.with("fault").with(f.id);
      if (!f.acts(own)) continue;
      ops.add(new Op(f.decide(own), f));
      if (Op.ends(ops)) break;
    }
    return ops;
  }

  /** The fault that lets a call fail at once; null if none does. */
  ActiveFault unreachableBy(Key key, String from, String to, String path, int replica, int index) {
    for (ActiveFault f : calls) {
      if (f.isOf(to) && f.means("from", from) && f.means("endpoint", path) && f.actsOn(replica) && f.acts(key.with("fault").with(f.id).with(index).with(1))) return f;
    }
    return null;
  }
}
