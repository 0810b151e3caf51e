package dev.rhumb.app.load;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.rhumb.app.terminal.Refusal;
import java.io.BufferedReader;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GroupLensTest {
  private static final String SETTING = "rhumb.data.url";
  private static final String NAME = "/ml-latest-small.zip";

  @TempDir private Path cache;
  private final Map<String, byte[]> served = new ConcurrentHashMap<>();
  private ServerSocket server;

  @BeforeEach
  void start() throws Exception {
    server = new ServerSocket(0, 0, InetAddress.getLoopbackAddress());
    Thread.ofVirtual().start(this::answer);
    System.setProperty(SETTING, "http://localhost:" + server.getLocalPort() + NAME);
  }

  @AfterEach
  void stop() throws Exception {
    server.close();
    System.clearProperty(SETTING);
  }

  @Test
  void aCheckedArchiveBecomesAFolder() throws Exception {
    byte[] archive =
        zip(
            Map.of(
                "ml-latest-small/ratings.csv", "ratings",
                "ml-latest-small/movies.csv", "movies",
                "ml-latest-small/README.txt", "terms",
                "../../evil.txt", "evil"));
    serve(NAME, archive);
    serve(
        NAME + ".md5",
        ("MD5 (ml-latest-small.zip) = " + md5(archive) + "\n").getBytes(StandardCharsets.US_ASCII));
    Path folder = GroupLens.fetch(cache.resolve("data").resolve("ml-latest-small"));
    assertEquals("ratings", Files.readString(folder.resolve("ratings.csv")));
    assertEquals(3, Files.list(folder).count(), "only the files that are wanted");
    assertEquals(1, Files.list(folder.getParent()).count(), "no temporary folder stays");
  }

  @Test
  void anotherMd5IsRefusedAndLeavesNothing() throws Exception {
    serve(NAME, zip(Map.of("ml-latest-small/ratings.csv", "ratings")));
    serve(NAME + ".md5", "0123456789abcdef0123456789abcdef".getBytes(StandardCharsets.US_ASCII));
    assertTrue(refusal().contains("MD5"), refusal());
    assertEquals(0, Files.list(cache).count());
  }

  @Test
  void anArchiveWithoutRatingsLeavesNothing() throws Exception {
    byte[] archive = zip(Map.of("ml-latest-small/movies.csv", "movies"));
    serve(NAME, archive);
    serve(NAME + ".md5", md5(archive).getBytes(StandardCharsets.US_ASCII));
    assertTrue(refusal().contains("lacks"), refusal());
    assertEquals(0, Files.list(cache).count());
  }

  @Test
  void aMissingFileIsNamed() {
    assertTrue(refusal().contains("404"), refusal());
  }

  private String refusal() {
    return assertThrows(Refusal.class, () -> GroupLens.fetch(cache.resolve("ml-latest-small")))
        .getMessage();
  }

  private void serve(String path, byte[] bytes) {
    served.put(path, bytes);
  }

  /** Answers one request on each connection, until the server is closed. */
  private void answer() {
    while (true) {
      try (Socket socket = server.accept();
          BufferedReader in =
              new BufferedReader(
                  new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII));
          OutputStream out = socket.getOutputStream()) {
        byte[] body = served.get(in.readLine().split(" ")[1]);
        while (!in.readLine().isEmpty()) {
          // The headers do not matter.
        }
        String status = body == null ? "404 Not Found" : "200 OK";
        int length = body == null ? 0 : body.length;
        String head =
            "HTTP/1.1 "
                + status
                + "\r\nContent-Length: "
                + length
                + "\r\nConnection: close\r\n\r\n";
        out.write(head.getBytes(StandardCharsets.US_ASCII));
        if (body != null) {
          out.write(body);
        }
      } catch (IOException e) {
        if (server.isClosed()) {
          return;
        }
      }
    }
  }

  private static byte[] zip(Map<String, String> files) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      for (Map.Entry<String, String> file : files.entrySet()) {
        zip.putNextEntry(new ZipEntry(file.getKey()));
        zip.write(file.getValue().getBytes(StandardCharsets.UTF_8));
      }
    }
    return bytes.toByteArray();
  }

  private static String md5(byte[] bytes) throws Exception {
    return HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(bytes));
  }
}
