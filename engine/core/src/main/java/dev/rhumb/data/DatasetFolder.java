package dev.rhumb.data;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import dev.rhumb.checkpoint.AtomicFiles;
import dev.rhumb.checkpoint.FormatException;
import dev.rhumb.checkpoint.Json;
import dev.rhumb.checkpoint.JsonObject;
import dev.rhumb.checkpoint.Safetensors;
import dev.rhumb.kernels.Buffer;
import dev.rhumb.kernels.DType;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A dataset on disk: {@code dataset.json} (format, version, name, counts, fingerprint and the
 * digests of the parts), {@code sequences.safetensors} (offsets (users + 1) int64, items
 * (interactions) int32 and, where the dataset keeps them, times (interactions) int64), {@code
 * items.tsv}, {@code users.tsv}.
 */
final class DatasetFolder {
  private static final String FORMAT = "rhumb-dataset";
  private static final int VERSION = 1;
  private static final String HEAD = "dataset.json";
  private static final String SEQUENCES = "sequences.safetensors";
  private static final String ITEMS = "items.tsv";
  private static final String USERS = "users.tsv";
  private static final List<String> USER_COLUMNS = List.of("user", "external_id", "time");
  private static final String MEND = "restore the file, or prepare the dataset again";

  private DatasetFolder() {}

  static void save(Dataset d, Path folder) {
    try {
      Files.createDirectories(folder);
    } catch (IOException e) {
      throw AtomicFiles.failure("cannot make the folder " + folder, e);
    }
    long[] rows = {d.interactions()};
    List<Safetensors.Tensor> tensors = new ArrayList<>();
    tensors.add(
        new Safetensors.Tensor(
            "offsets", new long[] {d.users() + 1L}, Buffer.wrap(DType.I64, d.offsets())));
    tensors.add(new Safetensors.Tensor("items", rows, Buffer.wrap(DType.I32, d.sequenceItems())));
    if (d.hasTimes()) {
      tensors.add(new Safetensors.Tensor("times", rows, Buffer.wrap(DType.I64, d.times())));
    }
    Safetensors.write(folder.resolve(SEQUENCES), Map.of(), tensors);
    d.catalogue().save(folder.resolve(ITEMS));
    Tsv.write(
        folder.resolve(USERS),
        USER_COLUMNS,
        table -> {
          for (int user = 0; user < d.users(); user++) {
            table.row(user, d.userId(user), d.userTime(user));
          }
        });
    // Last, since it vouches for the others.
    Map<String, Object> head = new LinkedHashMap<>();
    head.put("format", FORMAT);
    head.put("version", VERSION);
    head.put("name", d.name());
    head.put("users", d.users());
    head.put("items", d.items());
    head.put("interactions", d.interactions());
    head.put("fingerprint", d.fingerprint());
    Map<String, Object> digests = new LinkedHashMap<>();
    digests.put("items", d.digests().items());
    digests.put("users", d.digests().users());
    digests.put("sequences", d.digests().sequences());
    if (d.hasTimes()) {
      digests.put("times", d.digests().times());
    }
    head.put("sha256", digests);
    AtomicFiles.writeString(folder.resolve(HEAD), Json.write(head));
  }

  static Dataset load(Path folder) {
    JsonObject head = Json.readObject(folder.resolve(HEAD));
    if (!head.string("format").equals(FORMAT)) {
      throw head.refuse("format", "is no " + FORMAT, "give the folder of a prepared dataset");
    }
    if (head.integer("version", 0, Integer.MAX_VALUE) != VERSION) {
      throw head.refuse(
          "version",
          "is " + head.value("version") + "; this program reads " + VERSION,
          "prepare the dataset again");
    }
    head.only(
        "format", "version", "name", "users", "items", "interactions", "fingerprint", "sha256");
    String name = head.string("name");
    int users = head.integer("users", 0, Integer.MAX_VALUE - 1);
    int items = head.integer("items", 0, Integer.MAX_VALUE - 1);
    long interactions = head.integer("interactions", 0, Long.MAX_VALUE / Integer.BYTES);
    JsonObject sha256 = head.object("sha256").only("items", "users", "sequences", "times");
    Digests wanted =
        new Digests(
            sha256.string("items"),
            sha256.string("users"),
            sha256.string("sequences"),
            sha256.has("times") ? sha256.string("times") : null);
    if (!wanted.fingerprint().equals(head.string("fingerprint"))) {
      throw head.refuse("fingerprint", "does not belong to the digests under sha256", MEND);
    }

    Tsv.requireHeap(folder.resolve(USERS), users);
    Catalogue catalogue = Catalogue.load(folder.resolve(ITEMS), items);
    if (catalogue.items() != items) {
      throw new FormatException(
          folder.resolve(ITEMS),
          "line " + (catalogue.items() + 2),
          "the table ends after " + catalogue.items() + " items, " + HEAD + " says " + items,
          MEND);
    }
    Users table = users(folder.resolve(USERS), users);
    Dataset d =
        sequences(
            folder.resolve(SEQUENCES),
            name,
            catalogue,
            table,
            interactions,
            wanted.times() != null);
    try {
      requireSame(folder.resolve(ITEMS), d.digests().items(), wanted.items());
      requireSame(folder.resolve(USERS), d.digests().users(), wanted.users());
      requireSame(folder.resolve(SEQUENCES), d.digests().sequences(), wanted.sequences());
      if (d.hasTimes()) {
        requireSame(folder.resolve(SEQUENCES), d.digests().times(), wanted.times());
      }
      return d;
    } catch (FormatException e) {
      d.close();
      throw e;
    }
  }

  private record Users(List<String> ids, long[] times) {}

  private static Users users(Path file, int users) {
    List<String> ids = new ArrayList<>();
    List<Long> times = new ArrayList<>();
    Set<String> distinct = new HashSet<>();
    try (Tsv.Reader table = new Tsv.Reader(file, USER_COLUMNS)) {
      while (table.next()) {
        if (ids.size() == users) {
          throw table.refuse("there are more users than the " + users + " of " + HEAD, MEND);
        }
        if (table.whole(0) != ids.size()) {
          throw table.refuse("user is " + table.text(0) + ", next in turn is " + ids.size(), MEND);
        }
        String id = table.text(1);
        if (id.isEmpty() || !distinct.add(id)) {
          throw table.refuse("external_id is empty or was there before", MEND);
        }
        ids.add(id);
        times.add(table.whole(2));
      }
    }
    if (ids.size() < users) {
      throw new FormatException(
          file,
          "line " + (ids.size() + 2),
          "the table ends after " + ids.size() + " users, " + HEAD + " says " + users,
          MEND);
    }
    return new Users(List.copyOf(ids), times.stream().mapToLong(Long::longValue).toArray());
  }

  private static Dataset sequences(
      Path file,
      String name,
      Catalogue catalogue,
      Users users,
      long interactions,
      boolean hasTimes) {
    try (Safetensors tensors = Safetensors.open(file)) {
      long rows = users.ids().size() + 1L;
      // Ask for type and shape before any memory is taken for what the head claims.
      tensors.tensor("offsets", DType.I64, rows);
      tensors.tensor("items", DType.I32, interactions);
      if (hasTimes) {
        tensors.tensor("times", DType.I64, interactions);
      }
      return new Dataset(
          name,
          catalogue,
          users.ids(),
          users.times(),
          interactions,
          hasTimes,
          (offsets, items, times) -> {
            tensors.copyTo("offsets", Buffer.wrap(DType.I64, offsets), rows);
            tensors.copyTo("items", Buffer.wrap(DType.I32, items), interactions);
            check(file, offsets, items, catalogue.items());
            if (hasTimes) {
              tensors.copyTo("times", Buffer.wrap(DType.I64, times), interactions);
              checkTimes(file, offsets, times);
            }
          });
    }
  }

  /** Refuses what no sequences of these items could be, before anything is read by it. */
  private static void check(Path file, MemorySegment offsets, MemorySegment items, int most) {
    long users = offsets.byteSize() / Long.BYTES - 1;
    long interactions = items.byteSize() / Integer.BYTES;
    if (offsets.getAtIndex(JAVA_LONG, 0) != 0
        || offsets.getAtIndex(JAVA_LONG, users) != interactions) {
      throw new FormatException(
          file, "offsets", "do not go from 0 to " + interactions + ", the number of items", MEND);
    }
    for (long user = 0; user < users; user++) {
      long from = offsets.getAtIndex(JAVA_LONG, user);
      long to = offsets.getAtIndex(JAVA_LONG, user + 1);
      if (to <= from || to > interactions || to - from > Integer.MAX_VALUE) {
        throw new FormatException(
            file, "offsets[" + (user + 1) + "]", to + " cannot follow " + from, MEND);
      }
    }
    for (long i = 0; i < interactions; i++) {
      int item = items.getAtIndex(JAVA_INT, i);
      if (item < 1 || item > most) {
        throw new FormatException(
            file, "items[" + i + "]", item + " is no item of 1.." + most, MEND);
      }
    }
  }

  /** Refuses times that fall within a user's sequence. */
  private static void checkTimes(Path file, MemorySegment offsets, MemorySegment times) {
    long user = 0;
    for (long i = 0; i < times.byteSize() / Long.BYTES; i++) {
      if (i == offsets.getAtIndex(JAVA_LONG, user + 1)) {
        user++;
      } else if (i > 0 && times.getAtIndex(JAVA_LONG, i) < times.getAtIndex(JAVA_LONG, i - 1)) {
        throw new FormatException(file, "times[" + i + "]", "is before that before it", MEND);
      }
    }
  }

  private static void requireSame(Path file, String found, String wanted) {
    if (!found.equals(wanted)) {
      throw new FormatException(
          file, "content", "has the SHA-256 " + found + ", " + HEAD + " says " + wanted, MEND);
    }
  }
}
