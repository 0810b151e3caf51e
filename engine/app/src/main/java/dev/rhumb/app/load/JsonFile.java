package dev.rhumb.app.load;

import dev.rhumb.app.terminal.Refusal;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.LongConsumer;
import java.util.stream.Collectors;

/**
 * A JSON object on each line; its columns are the keys of the first lines. Numbers are kept as they
 * are written.
 */
final class JsonFile implements TableFile {
  private static final int SAMPLE = 100;
  private static final String LINES = "json_lines";
  private static final String OBJECT = "json_type(TRY_CAST(json AS JSON)) = 'OBJECT'";

  private final Source source;
  private final List<String> columns;

  /** Reads the first lines. */
  JsonFile(Source source, DuckDb db) {
    this.source = source;
    Set<String> keys = new LinkedHashSet<>();
    stage(db, SAMPLE, new Dropped(Dropped.Leniency.ALL), "", n -> {});
    db.query(
        "SELECT unnest(json_keys(TRY_CAST(json AS JSON))) FROM (SELECT * FROM "
            + LINES
            + " ORDER BY line) WHERE "
            + OBJECT,
        row -> keys.add(row.getString(1)));
    if (keys.isEmpty()) {
      throw new Refusal(
          source.file() + ", line 1",
          "holds no JSON object with a key",
          "put one object on each line, without a list around them");
    }
    columns = List.copyOf(keys);
  }

  @Override
  public Source source() {
    return source;
  }

  @Override
  public String description() {
    return "JSON lines";
  }

  @Override
  public List<String> columns() {
    return columns;
  }

  @Override
  public BadRow load(
      DuckDb db,
      String table,
      List<Integer> wanted,
      long base,
      String what,
      Dropped dropped,
      LongConsumer onBytes) {
    BadRow bad = stage(db, Long.MAX_VALUE, dropped, what, onBytes);
    String not = "(" + OBJECT + ") IS NOT TRUE";
    if (dropped.refuses(Fault.NOT_JSON)) {
      long first = db.number("SELECT coalesce(min(line), 0) FROM " + LINES + " WHERE " + not);
      if (first > 0) {
        bad = new BadRow(first, Fault.NOT_JSON);
        db.execute("DELETE FROM " + LINES + " WHERE line > " + first);
      }
    }
    long others = db.update("DELETE FROM " + LINES + " WHERE " + not);
    if (others > 0) {
      dropped.add(what, Fault.NOT_JSON, others);
    }
    db.execute(
        "INSERT INTO "
            + table
            + " SELECT line + "
            + base
            + wanted.stream().map(c -> ", " + text(columns.get(c))).collect(Collectors.joining())
            + " FROM "
            + LINES);
    db.execute("DROP TABLE " + LINES);
    return bad;
  }

  /** A key's value as text; a list as {@link TableFile#LIST} says. */
  private static String text(String key) {
    String pointer = DuckDb.quote("/" + key.replace("~", "~0").replace("/", "~1"));
    return ("CASE WHEN json_type(json, %s) = 'ARRAY' THEN chr(31) ||"
            + " array_to_string(json_extract_string(json, %s), chr(31))"
            + " ELSE json_extract_string(json, %s) END")
        .formatted(pointer, DuckDb.quote("$.\"" + key.replace("\"", "\\\"") + "\"[*]"), pointer);
  }

  /** Puts the first lines into a table of numbers and text. */
  private BadRow stage(DuckDb db, long most, Dropped dropped, String what, LongConsumer onBytes) {
    db.execute("CREATE OR REPLACE TABLE " + LINES + " (line BIGINT, json VARCHAR)");
    BadRow[] bad = {null};
    try (Lines lines = new Lines(source.file(), onBytes)) {
      db.append(
          LINES,
          rows -> {
            while (bad[0] == null && lines.number() < most && lines.next()) {
              String text = lines.tooLong() ? null : decode(lines);
              if (text != null && text.isBlank()) {
                continue;
              }
              if (text == null) {
                Fault fault = lines.tooLong() ? Fault.TOO_LONG : Fault.NOT_TEXT;
                if (dropped.refuses(fault)) {
                  bad[0] = new BadRow(lines.number(), fault);
                } else {
                  dropped.add(what, fault, 1);
                }
                continue;
              }
              rows.add(lines.number());
              rows.add(text);
              rows.end();
            }
          });
    }
    return bad[0];
  }

  private static String decode(Lines lines) {
    try {
      String text =
          StandardCharsets.UTF_8
              .newDecoder()
              .decode(ByteBuffer.wrap(lines.bytes(), lines.from(), lines.to() - lines.from()))
              .toString();
      return text.indexOf('\0') < 0 ? text : null;
    } catch (CharacterCodingException e) {
      return null;
    }
  }
}
