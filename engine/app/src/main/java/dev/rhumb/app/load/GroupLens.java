package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import dev.rhumb.kernels.Settings;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * Fetches ml-latest-small from GroupLens's own address (the setting {@code rhumb.data.url} names
 * another; {@code none} forbids it) and checks it against the MD5 published beside it.
 */
final class GroupLens {
  private static final String ADDRESS =
      "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip";
  private static final List<String> FILES = List.of("ratings.csv", "movies.csv", "README.txt");
  private static final Pattern MD5 = Pattern.compile("(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])");
  private static final int MOST_BYTES = 50_000_000;
  private static final Duration TO_CONNECT = Duration.ofSeconds(5);
  private static final Duration TO_ANSWER = Duration.ofSeconds(30);

  private GroupLens() {}

  /** Fetches the data into a folder, which appears only when all is there. */
  static Path fetch(Path folder) {
    String address = Settings.get("rhumb.data.url");
    address = address == null ? ADDRESS : address;
    if (address.equals("none")) {
      throw new Refusal("download", "the setting rhumb.data.url forbids it", "unset it");
    }
    try (HttpClient client =
        HttpClient.newBuilder()
            .connectTimeout(TO_CONNECT)
            .followRedirects(HttpClient.Redirect.NORMAL)
            .build()) {
      byte[] archive = get(client, address);
      String published = new String(get(client, address + ".md5"), StandardCharsets.ISO_8859_1);
      check(address, archive, published);
      unpack(address, archive, folder);
      return folder;
    } catch (IOException e) {
      String reason = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
      throw new Refusal(address, "cannot be fetched (" + reason + ")", "check the network", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new Refusal(address, "the download was interrupted", "run again", e);
    }
  }

  private static byte[] get(HttpClient client, String address)
      throws IOException, InterruptedException {
    HttpRequest request = HttpRequest.newBuilder(URI.create(address)).timeout(TO_ANSWER).build();
    HttpResponse<java.io.InputStream> answer =
        client.send(request, HttpResponse.BodyHandlers.ofInputStream());
    try (java.io.InputStream body = answer.body()) {
      if (answer.statusCode() != 200) {
        throw new IOException("the server answered with status " + answer.statusCode());
      }
      byte[] bytes = body.readNBytes(MOST_BYTES + 1);
      if (bytes.length > MOST_BYTES) {
        throw new IOException("the answer has more than " + MOST_BYTES + " bytes");
      }
      return bytes;
    }
  }

  private static void check(String address, byte[] archive, String published) {
    Matcher matcher = MD5.matcher(published);
    if (!matcher.find()) {
      throw new Refusal(address + ".md5", "holds no MD5", "fetch the data by hand");
    }
    String found;
    try {
      found = HexFormat.of().formatHex(MessageDigest.getInstance("MD5").digest(archive));
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every JDK has MD5", e);
    }
    if (!found.equals(matcher.group())) {
      throw new Refusal(
          address,
          "has the MD5 " + found + ", but " + matcher.group() + " is published beside it",
          "fetch it again later, or by hand");
    }
  }

  private static void unpack(String address, byte[] archive, Path folder) throws IOException {
    Files.createDirectories(folder.getParent());
    Path fresh = Files.createTempDirectory(folder.getParent(), "fetch");
    try {
      try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(archive))) {
        for (ZipEntry entry = zip.getNextEntry(); entry != null; entry = zip.getNextEntry()) {
          // Only the names that are wanted leave the archive, so no entry can lead elsewhere.
          String name = entry.getName().substring(entry.getName().lastIndexOf('/') + 1);
          if (FILES.contains(name)) {
            Files.write(fresh.resolve(name), zip.readNBytes(MOST_BYTES));
          }
        }
      }
      for (String name : FILES) {
        if (!Files.exists(fresh.resolve(name))) {
          throw new IOException("the archive lacks " + name);
        }
      }
      Files.move(fresh, folder, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      remove(fresh);
    }
  }

  private static void remove(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (Stream<Path> files = Files.list(folder)) {
        for (Path file : files.toList()) {
          Files.delete(file);
        }
      }
      Files.delete(folder);
    }
  }
}
