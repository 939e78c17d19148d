package dev.microsim.mock;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** What requests spend: processor time and the disk. */
final class Work {
  private static final int UNIT_ROOTS = 32768;
  private static final int CHUNK = 1024;
  private static final long PERIOD = 10 * Units.MS;
  private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

  /** Takes the sums, so that nobody leaves them out. */
  private static volatile double sink;

  private Work() {}

  private static void roots(long n) {
    ThreadLocalRandom random = ThreadLocalRandom.current();
    double sum = 0;
    for (long i = 0; i < n; i++) sum += Math.sqrt(random.nextDouble());
    sink = sum;
  }

  /** Takes so many units of 32 768 square roots of random numbers. */
  static void burnUnits(double units) {
    roots((long) (units * UNIT_ROOTS));
  }

  /** Spends so much processor time on this thread. */
  static void burnTime(long time) {
    for (long start = threadTime(); threadTime() - start < time; ) roots(CHUNK);
  }

  /** The processor time that this thread has spent, or the time that has gone by where that is not known. */
  private static long threadTime() {
    return THREADS.isCurrentThreadCpuTimeSupported() ? THREADS.getCurrentThreadCpuTime() : System.nanoTime();
  }

  /** Keeps a number of processors busy for so long. */
  static void burnCores(double cores, long time) throws InterruptedException {
    long end = System.nanoTime() + time;
    List<Thread> threads = new ArrayList<>();
    for (double left = cores; left > 0; left--) {
      long busy = (long) (Math.min(left, 1) * PERIOD);
      Thread thread = new Thread(() -> burnShare(busy, end), "burn");
      thread.setDaemon(true);
      thread.start();
      threads.add(thread);
    }
    for (Thread thread : threads) thread.join();
  }

  private static void burnShare(long busy, long end) {
    while (System.nanoTime() < end) {
      for (long began = System.nanoTime(); System.nanoTime() - began < busy; ) roots(CHUNK);
      try {
        Thread.sleep((PERIOD - busy) / Units.MS, (int) ((PERIOD - busy) % Units.MS));
      } catch (InterruptedException e) {
        return;
      }
    }
  }

  /** Writes a temporary file, syncs it every 512 KiB and at the end, and removes it. */
  static void writeAndSync(long bytes) {
    try {
      Path path = Files.createTempFile("microsim-io-", null);
      try (FileChannel file = FileChannel.open(path, StandardOpenOption.WRITE, StandardOpenOption.DELETE_ON_CLOSE)) {
        for (long written = 0; written < bytes; ) {
          written += file.write(ByteBuffer.allocate((int) Math.min(1024, bytes - written)));
          if (written % (512 * 1024) == 0 || written == bytes) file.force(true);
        }
      } finally {
        Files.deleteIfExists(path);
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
