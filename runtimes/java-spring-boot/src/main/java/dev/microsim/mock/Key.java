package dev.microsim.mock;

import java.nio.charset.StandardCharsets;

/**
 * Names one random decision. It follows from the seed and the names of what decides, so
 * all runtimes decide alike.
 */
public record Key(long value) {
  private static final long GOLDEN = 0x9e3779b97f4a7c15L;

  /** The output function of SplitMix64. */
  private static long mix(long z) {
    z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
    z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
    return z ^ (z >>> 31);
  }

  public static Key seed(long n) {
    return new Key(mix(n + GOLDEN));
  }

  /** The key of something that has a name. */
  public Key with(String name) {
    byte[] bytes = name.getBytes(StandardCharsets.UTF_8);
    long h = value ^ 0xcbf29ce484222325L;
    for (byte b : bytes) h = (h ^ (b & 0xff)) * 1099511628211L;
    return new Key(mix(h + bytes.length));
  }

  /** The key of something that has a number. */
  public Key with(long n) {
    return new Key(mix(Long.rotateLeft(value, 25) ^ mix(n + GOLDEN)));
  }

  public long uint64() {
    return mix(value + GOLDEN);
  }

  /** Uniform in [0, 1). */
  public double float64() {
    return (uint64() >>> 11) * 0x1.0p-53;
  }

  /** Uniform in 0..n-1. */
  public int below(int n) {
    long u = uint64();
    return (int) (Math.multiplyHigh(u, n) + ((u >> 63) & n));
  }

  public boolean chance(double p) {
    return p > 0 && float64() < p;
  }
}
