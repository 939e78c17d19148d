package dev.microsim.mock;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.URISyntaxException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;

/** Who may be called, by name and by address. */
final class Peers {
  private final String system;
  private final List<String> allowHosts;
  private volatile Map<String, List<URI>> known = Map.of();

  /** Where a designation of a chain leads. */
  record Located(String name, List<URI> urls) {}

  Peers(String system, JsonNode allowHosts) {
    this.system = system;
    List<String> hosts = new ArrayList<>();
    allowHosts.forEach(h -> hosts.add(h.asText()));
    this.allowHosts = hosts;
  }

  /** Says anew where the services are. */
  void set(JsonNode peers) {
    if (!peers.isObject()) throw new IllegalArgumentException("peers are an object of names with lists of base URLs");
    Map<String, List<URI>> map = new TreeMap<>();
    peers.fields().forEachRemaining(e -> {
      List<URI> urls = new ArrayList<>();
      if (!e.getValue().isArray()) throw new IllegalArgumentException("the peers of " + Json.quote(e.getKey()) + " are a list of base URLs");
      for (JsonNode text : e.getValue()) {
        URI url = parse(text.asText());
        if (url == null || url.getRawUserInfo() != null || url.getRawQuery() != null || url.getRawFragment() != null || !(url.getRawPath().isEmpty() || url.getRawPath().equals("/"))) {
          throw new IllegalArgumentException(text + " of " + Json.quote(e.getKey()) + " is no base URL: write one such as http://127.0.0.1:8080");
        }
        urls.add(url);
      }
      map.put(e.getKey(), List.copyOf(urls));
    });
    known = map;
  }

  /** The addresses of a service. */
  List<URI> of(String name) {
    return known.getOrDefault(name, List.of());
  }

  /** Finds what a designation of a chain means. The error says why it is not called. */
  Located locate(String designation) {
    for (String name : List.of(designation, designation.replace('_', '-'))) {
      if (!of(name).isEmpty()) return new Located(name, of(name));
    }
    String quoted = "designation " + Json.quote(designation);
    if (!designation.startsWith("http")) throw new IllegalArgumentException(quoted + " is not a service of system " + Json.quote(system));
    URI url = parse(designation);
    if (url == null) throw new IllegalArgumentException(quoted + " is not a URL");
    List<URI> instead = of(address(url));
    if (!instead.isEmpty()) url = URI.create(url.getScheme() + "://" + instead.get(0).getRawAuthority() + (url.getRawPath().isEmpty() ? "/" : url.getRawPath()));
    for (Map.Entry<String, List<URI>> e : known.entrySet()) {
      String address = address(url);
      if (!e.getKey().contains(":") && e.getValue().stream().anyMatch(u -> address(u).equals(address))) return new Located(e.getKey(), List.of(url));
    }
    String host = url.getPort() < 0 ? url.getHost() : url.getHost() + ":" + url.getPort();
    if (allowHosts.contains(host) || allowHosts.contains(url.getHost())) return new Located("external", List.of(url));
    throw new IllegalArgumentException("designation " + Json.quote(url.getScheme() + "://" + host) + " is outside system " + Json.quote(system) + ": add " + Json.quote(host) + " to its allowHosts to permit it");
  }

  /** The names to which no connection can be made from here. */
  List<String> unreachable(Executor executor) {
    Map<String, CompletableFuture<Boolean>> asked = new TreeMap<>();
    known.forEach((name, urls) -> {
      if (!name.contains(":")) asked.put(name, CompletableFuture.supplyAsync(() -> urls.stream().anyMatch(Peers::canConnect), executor));
    });
    return asked.entrySet().stream().filter(e -> !e.getValue().join()).map(Map.Entry::getKey).toList();
  }

  private static boolean canConnect(URI url) {
    try (Socket socket = new Socket()) {
      socket.connect(new InetSocketAddress(host(url), port(url)), 1000);
      return true;
    } catch (IOException e) {
      return false;
    }
  }

  private static URI parse(String text) {
    try {
      URI url = new URI(text);
      boolean http = "http".equalsIgnoreCase(url.getScheme()) || "https".equalsIgnoreCase(url.getScheme());
      return http && url.getHost() != null ? url : null;
    } catch (URISyntaxException e) {
      return null;
    }
  }

  private static String host(URI url) {
    return url.getHost().replaceAll("^\\[|]$", "");
  }

  private static int port(URI url) {
    if (url.getPort() >= 0) return url.getPort();
    return url.getScheme().equalsIgnoreCase("https") ? 443 : 80;
  }

  private static String address(URI url) {
    return url.getHost() + ":" + port(url);
  }
}
