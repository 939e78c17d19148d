package dev.microsim.mock;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.apache.hc.client5.http.classic.methods.HttpUriRequestBase;
import org.apache.hc.client5.http.config.ConnectionConfig;
import org.apache.hc.client5.http.config.RequestConfig;
import org.apache.hc.client5.http.impl.classic.CloseableHttpClient;
import org.apache.hc.client5.http.impl.classic.HttpClients;
import org.apache.hc.client5.http.impl.io.ManagedHttpClientConnectionFactory;
import org.apache.hc.client5.http.impl.io.PoolingHttpClientConnectionManagerBuilder;
import org.apache.hc.client5.http.protocol.HttpClientContext;
import org.apache.hc.core5.http.ClassicHttpResponse;
import org.apache.hc.core5.http.Header;
import org.apache.hc.core5.http.HttpException;
import org.apache.hc.core5.http.MessageConstraintException;
import org.apache.hc.core5.http.impl.io.DefaultHttpResponseParserFactory;
import org.apache.hc.core5.http.io.entity.ByteArrayEntity;
import org.apache.hc.core5.util.TimeValue;
import org.apache.hc.core5.util.Timeout;

/** Sends requests over connections that are kept. A request is never sent twice. */
final class Sender implements AutoCloseable {
  private static final String CONNECTED = "microsim.connected";

  /** An answer to a call; of one that is longer than wanted, body is the beginning. */
  record Reply(int status, String contentType, byte[] body, boolean whole, String times, long degraded) {}

  private final CloseableHttpClient client;
  private final ScheduledExecutorService timer;

  Sender(ScheduledExecutorService timer) {
    this.timer = timer;
    client = HttpClients.custom()
        .setConnectionManager(PoolingHttpClientConnectionManagerBuilder.create()
            // The usual one skips what is no HTTP, and then says that nobody answered.
            .setConnectionFactory(ManagedHttpClientConnectionFactory.builder().responseParserFactory(new DefaultHttpResponseParserFactory()).build())
            .setMaxConnTotal(Integer.MAX_VALUE).setMaxConnPerRoute(Integer.MAX_VALUE)
            .setDefaultConnectionConfig(ConnectionConfig.custom().setConnectTimeout(Timeout.DISABLED).setSocketTimeout(Timeout.DISABLED).build())
            .build())
        .setDefaultRequestConfig(RequestConfig.custom().setResponseTimeout(Timeout.DISABLED).build())
        .evictIdleConnections(TimeValue.ofSeconds(90))
        .addRequestInterceptorFirst((request, entity, context) -> context.setAttribute(CONNECTED, true))
        .disableAutomaticRetries().disableRedirectHandling().disableContentCompression().disableCookieManagement().disableAuthCaching().disableDefaultUserAgent()
        .build();
    warm();
  }

  /** Sends a request to itself. The first call would spend its time on loading classes, and seem to get no connection. */
  private void warm() {
    try (ServerSocket listener = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
      timer.execute(() -> {
        try (Socket socket = listener.accept()) {
          socket.setSoTimeout(1000);
          socket.getInputStream().read(new byte[4096]);
          socket.getOutputStream().write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}".getBytes(StandardCharsets.US_ASCII));
        } catch (IOException e) {
          // Nobody waits for it.
        }
      });
      URI url = new URI("http", null, "127.0.0.1", listener.getLocalPort(), "/", null, null);
      send("GET", url, Map.of(), new byte[0], System.nanoTime() + 1000 * Units.MS, 100);
    } catch (IOException | URISyntaxException | CallException e) {
      // Then the first call is as slow as it is.
    }
  }

  /**
   * Sends a request and reads its whole answer, of which it keeps so much. The deadline is
   * a System.nanoTime; Long.MAX_VALUE means none.
   */
  Reply send(String method, URI url, Map<String, String> headers, byte[] body, long deadline, int keep) throws CallException {
    HttpUriRequestBase request = new HttpUriRequestBase(method, url);
    headers.forEach(request::setHeader);
    if (body.length > 0) request.setEntity(new ByteArrayEntity(body, null));
    HttpClientContext context = HttpClientContext.create();
    ScheduledFuture<?> end = null;
    if (deadline != Long.MAX_VALUE) end = timer.schedule(request::abort, Math.max(deadline - System.nanoTime(), 0), TimeUnit.NANOSECONDS);
    try {
      return client.execute(request, context, response -> read(response, keep));
    } catch (IOException | IllegalStateException e) { // the latter, if it is aborted at the wrong moment
      throw classify(e, request.isAborted(), context.getAttribute(CONNECTED) != null);
    } finally {
      if (end != null) end.cancel(false);
    }
  }

  private static Reply read(ClassicHttpResponse response, int keep) throws IOException {
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    boolean whole = true;
    if (response.getEntity() != null) {
      try (InputStream in = response.getEntity().getContent()) {
        byte[] buffer = new byte[8192];
        for (int n; (n = in.read(buffer)) >= 0; ) {
          int kept = Math.min(n, keep - body.size());
          body.write(buffer, 0, kept);
          whole &= kept == n;
        }
      }
    }
    return new Reply(response.getCode(), value(response, "Content-Type"), body.toByteArray(), whole, value(response, "Microsim-Times"), degraded(value(response, "Microsim-Degraded")));
  }

  private static String value(ClassicHttpResponse response, String name) {
    Header header = response.getFirstHeader(name);
    return header == null || header.getValue() == null ? "" : header.getValue();
  }

  private static long degraded(String text) {
    return text.matches("\\d{1,18}") ? Math.min(Long.parseLong(text), 1_000_000) : 0;
  }

  private static CallException classify(Exception e, boolean aborted, boolean connected) {
    if (aborted) return connected ? new CallException("timeout", "no answer came in time") : new CallException("connection_error", "no connection was made in time");
    for (Throwable cause = e; cause != null; cause = cause.getCause()) {
      if (cause instanceof HttpException || cause instanceof MessageConstraintException) return new CallException("malformed", "the answer is no HTTP");
    }
    return new CallException("connection_error", String.valueOf(e.getMessage()));
  }

  @Override
  public void close() throws IOException {
    client.close();
  }
}
