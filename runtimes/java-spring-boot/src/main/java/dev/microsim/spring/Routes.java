package dev.microsim.spring;

import static org.springframework.web.servlet.function.RequestPredicates.all;
import static org.springframework.web.servlet.function.RequestPredicates.path;

import dev.microsim.mock.Answer;
import dev.microsim.mock.Request;
import dev.microsim.mock.Service;
import jakarta.servlet.http.HttpServletRequest;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.http.HttpMethod;
import org.springframework.web.servlet.function.HandlerFunction;
import org.springframework.web.servlet.function.RouterFunction;
import org.springframework.web.servlet.function.RouterFunctions;
import org.springframework.web.servlet.function.ServerRequest;
import org.springframework.web.servlet.function.ServerResponse;

/** The routes of a mock service. */
@Configuration
class Routes {
  private static final int MAX_BODY = 64 << 20;

  @Bean
  RouterFunction<ServerResponse> router(Service service) {
    HandlerFunction<ServerResponse> health = request -> ServerResponse.ok().header("Content-Type", "text/plain").body("ok\n");
    RouterFunctions.Builder routes = RouterFunctions.route()
        .filter((request, next) -> {
          Answer refusal = service.refuse(read(request, new byte[0]));
          return refusal == null ? next.handle(request) : respond(request, refusal);
        })
        .add(readable("/healthz", health))
        .add(readable("/readyz", health))
        .add(readable("/metrics", request -> respond(request, service.answerMetrics())))
        .route(path("/admin").or(path("/admin/**")), answering(service::control));
    // Paths of a service are literal; those that Spring takes for patterns are left to the
    // last route, which finds every path.
    service.paths().stream().filter(p -> !p.matches(".*[{}*?%].*")).forEach(p -> routes.route(path(p), answering(service::answer)));
    return routes.route(all(), answering(service::answer)).onError(Exception.class, (error, request) -> {
      System.err.println("answering " + request.method() + " " + request.uri() + ": " + error);
      return failed(request, error);
    }).build();
  }

  private static ServerResponse failed(ServerRequest request, Throwable error) {
    try {
      return respond(request, Answer.error(500, String.valueOf(error.getMessage())));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A path that is only read. */
  private static RouterFunction<ServerResponse> readable(String path, HandlerFunction<ServerResponse> handler) {
    return RouterFunctions.route().GET(path, handler).HEAD(path, handler)
        .route(path(path), request -> {
          Answer answer = Answer.error(405, path + " is read by GET");
          answer.headers().put("Allow", "GET, HEAD");
          return respond(request, answer);
        }).build();
  }

  /** Reads the whole request before it is answered. */
  private static HandlerFunction<ServerResponse> answering(Function<Request, Answer> answer) {
    return request -> {
      byte[] body = request.servletRequest().getInputStream().readNBytes(MAX_BODY + 1);
      if (body.length > MAX_BODY) return respond(request, Answer.error(413, "the body has more than the " + MAX_BODY + " bytes possible"));
      return respond(request, answer.apply(read(request, body)));
    };
  }

  private static Request read(ServerRequest request, byte[] body) {
    HttpServletRequest servlet = request.servletRequest();
    BooleanSupplier gone = (BooleanSupplier) servlet.getAttribute(ClosingValve.GONE);
    return new Request(request.method().name(), servlet.getRequestURI(), servlet::getHeader, body, gone);
  }

  /** Makes a response, or lets the connection be closed if there is no answer. */
  private static ServerResponse respond(ServerRequest request, Answer answer) throws IOException {
    if (answer == null) {
      request.servletRequest().setAttribute(ClosingValve.CLOSED, true);
      return ServerResponse.ok().build();
    }
    ServerResponse.BodyBuilder response = ServerResponse.status(answer.status());
    answer.headers().forEach(response::header);
    return request.method().equals(HttpMethod.HEAD) || answer.body().length == 0 ? response.build() : response.body(answer.body());
  }
}
