package dev.microsim.mock;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;

/** What is held for requests and leaks. */
final class Memory {
  /** Bounds what is held. */
  static final long MOST = 4L << 30;

  private static final int BLOCK = 16 << 20;

  private final AtomicLong held = new AtomicLong();

  /** Memory that is given back when this is closed. */
  final class Held implements AutoCloseable {
    private final long bytes;
    private List<byte[]> blocks = new ArrayList<>();

    private Held(long bytes) {
      this.bytes = bytes;
      for (long left = bytes; left > 0; left -= BLOCK) {
        byte[] block = new byte[(int) Math.min(left, BLOCK)];
        for (int i = 0; i < block.length; i += 4096) block[i] = 1;
        blocks.add(block);
      }
    }

    @Override
    public synchronized void close() {
      if (blocks == null) return;
      blocks = null;
      held.addAndGet(-bytes);
    }
  }

  /** Takes memory and makes it real. */
  Held take(long bytes) {
    long before = held.getAndAdd(bytes);
    if (before + bytes > MOST) {
      held.addAndGet(-bytes);
      throw new IllegalArgumentException(bytes + " bytes beside the " + before + " held are more than the " + MOST + " possible");
    }
    try {
      return new Held(bytes);
    } catch (OutOfMemoryError e) {
      held.addAndGet(-bytes);
      throw new IllegalArgumentException(bytes + " bytes are more than this process may have", e);
    }
  }

  long now() {
    return held.get();
  }
}
