package dev.microsim.mock;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The decisions are those of all runtimes, to the bit. */
class VectorsTest {
  private static JsonNode vectors(String part) throws IOException {
    JsonNode list = Json.read(Files.readAllBytes(Path.of("../../testdata/vectors.json"))).path(part);
    assertFalse(list.isEmpty());
    return list;
  }

  @Test
  void keys() throws IOException {
    for (JsonNode v : vectors("keys")) {
      Key key = Key.seed(Long.parseUnsignedLong(v.get("seed").asText()));
      for (JsonNode step : v.get("path")) key = step.isTextual() ? key.with(step.textValue()) : key.with(step.asLong());
      assertEquals(v.get("key").asText(), Long.toUnsignedString(key.value()), v.toString());
      assertEquals(v.get("uint64").asText(), Long.toUnsignedString(key.uint64()));
      assertEquals(v.get("float64").asDouble(), key.float64());
      assertEquals(v.get("intN10").asInt(), key.below(10));
    }
  }

  @Test
  void delays() throws IOException {
    for (JsonNode v : vectors("delays")) {
      Delay delay = Delay.of(v.get("delay"));
      long sum = 0;
      for (int j = 0; j < 10_000; j++) {
        long drawn = delay.draw(Key.seed(1).with(j));
        sum += drawn;
        if (j < v.get("nanoseconds").size()) assertEquals(v.get("nanoseconds").get(j).asLong(), drawn, "draw " + j + " of " + v.get("delay"));
      }
      assertEquals(v.get("sumOf10000").asText(), Long.toUnsignedString(sum), v.get("delay").toString());
    }
  }

  @Test
  void durationsAndSizes() {
    Map.of("5ms", 5_000_000L, "1m30s", 90_000_000_000L, "1.5s", 1_500_000_000L, "-1ms", -1_000_000L, "0", 0L, "", 0L, "1d", 86_400_000_000_000L, "2min", 120_000_000_000L, "100µs", 100_000L)
        .forEach((text, want) -> assertEquals(want, Units.duration(text), text));
    Map.of("512", 512L, "64Ki", 65_536L, "1Mi", 1L << 20, "2k", 2000L, "1.5Ki", 1536L, "3M", 3_000_000L).forEach((text, want) -> assertEquals(want, Units.size(text), text));
    for (String bad : List.of("5", "5 ms", "5parsec", "ms", "999999999999999d")) assertThrows(IllegalArgumentException.class, () -> Units.duration(bad), bad);
    for (String bad : List.of("-1", "5KB", "x", "1K", "1.", "")) assertThrows(IllegalArgumentException.class, () -> Units.size(bad), bad);
  }
}
